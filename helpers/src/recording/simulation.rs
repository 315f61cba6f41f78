//! A stand-in for the recording, for when it cannot be had.
//!
//! Each neuron has two bumps on the circle of orientations, `pref` and the opposite `pref + 180`,
//! the second weaker by a factor of its own, on top of a shallow cosine:
//!
//! `f(ori) = a [ k(ori - pref) + rho k(ori - pref - 180) + 0.03 cos(ori - pref) ]`,
//! `k(x) = exp((cos x - 1) / width^2)`
//!
//! less its mean. A response is `f` plus normal noise. As a response is the mean of some 13 trials
//! of a neuron that was z-scored over trials, the noise of a neuron with much signal is less; and
//! it follows the response, so that a tuned neuron is quiet away from its bumps.
//!
//! The constants were set so that widths, heights, the second bump, the noise and the correlation
//! between neighbouring orientations resemble what is known of the recording, and so does the
//! training of the tutorial's network.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_mt::Mt;
use rayon::prelude::*;

use super::download::Part;
use super::npz::write_simulated;
use super::{fail, whole};
use crate::Result;

const N_STIMULI: usize = 360;
const N_NEURONS: usize = 23_589;
const N_TRIALS: f64 = 12.8; // 4,598 trials over 360 orientations

/// Writes a simulated recording of the real one's shape and file format and returns its path,
/// `simulated_recording_seed<seed>.npz` in the working directory. The same seed gives the same
/// numbers, so a file that is there is replaced by its equal.
///
/// # Errors
/// If the file cannot be written.
pub fn simulate_recording(seed: u32) -> Result<PathBuf> {
    let path = whole(Path::new(&format!("simulated_recording_seed{seed}.npz")));
    let stimuli: Vec<f64> = (0..N_STIMULI).map(|ori| ori as f64).collect();
    let resp = responses(seed);
    let written = Part::beside(&path).and_then(|part| {
        write_simulated(&part.path, &resp, &stimuli, seed)?;
        fs::rename(&part.path, &path)
    });
    match written {
        Ok(()) => {
            println!(
                "simulated recording (seed {seed}): {N_STIMULI} stimuli x {N_NEURONS} neurons, \
                 drawn by a model of visual cortex, not measured"
            );
            Ok(path)
        }
        Err(why) => fail(format!(
            "simulate_recording: cannot write {} ({why}): make its folder writable, with 40 MB \
             to spare",
            path.display()
        )),
    }
}

/// Neurons that a thread takes at a time.
const BLOCK: usize = 64;

/// The responses, `(n_stimuli, n_neurons)` in C order.
fn responses(seed: u32) -> Vec<f32> {
    // All random numbers come from one generator, one neuron after another. What takes longer is
    // what is computed from them, and that goes on meanwhile on the other processors.
    let mut rng = Mt::new(seed);
    let blocks = (0..N_NEURONS).step_by(BLOCK).map(|first| {
        let neurons = first..N_NEURONS.min(first + BLOCK);
        (first, neurons.map(|_| Neuron::draw(&mut rng)).collect())
    });
    let mut blocks: Vec<(usize, Vec<[f32; N_STIMULI]>)> = blocks
        .par_bridge()
        .map(|(first, neurons): (_, Vec<Neuron>)| {
            (first, neurons.iter().map(Neuron::responses).collect())
        })
        .collect();
    blocks.sort_unstable_by_key(|&(first, _)| first);

    let mut resp = vec![0.0; N_STIMULI * N_NEURONS];
    let rows = resp.par_chunks_mut(N_NEURONS).enumerate();
    rows.for_each(|(ori, row)| {
        let responses = blocks.iter().flat_map(|(_, block)| block);
        for (value, responses) in row.iter_mut().zip(responses) {
            *value = responses[ori];
        }
    });
    resp
}

/// What is drawn for one neuron.
struct Neuron {
    height: f64,
    width: f64, // radians
    rho: f64,
    pref: f64, // radians
    noise: [f64; N_STIMULI],
}

impl Neuron {
    fn draw(rng: &mut Mt) -> Self {
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let height = (0.65 * (0.85 * normal()).exp()).min(3.5);
        let width = (11.0 * (0.38 * normal()).exp()).clamp(5.0, 35.0);
        let exponential: f64 = Exp1.sample(rng);
        Self {
            height,
            width: width.to_radians(),
            rho: (0.24 * exponential).min(1.0),
            pref: f64::from(rng.next_u32()) / f64::from(u32::MAX) * TAU,
            noise: std::array::from_fn(|_| StandardNormal.sample(rng)),
        }
    }

    /// The response to each orientation.
    fn responses(&self) -> [f32; N_STIMULI] {
        let bump = |cos: f64| ((cos - 1.0) / self.width.powi(2)).exp();
        let curve: [f64; N_STIMULI] = std::array::from_fn(|ori| {
            let cos = ((ori as f64).to_radians() - self.pref).cos();
            self.height * (bump(cos) + self.rho * bump(-cos) + 0.03 * cos)
        });
        let mean = curve.iter().sum::<f64>() / N_STIMULI as f64;
        let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
        let squares = curve.iter().map(|f| (f - mean).powi(2));
        let signal_variance = squares.sum::<f64>() / N_STIMULI as f64;

        let noise_variance = 0.72 * (1.0 - signal_variance).max(0.15) / N_TRIALS;
        let tuned = (signal_variance.sqrt() / 0.5).min(1.0); // 0: even noise, 1: it follows f
        std::array::from_fn(|ori| {
            let following = 0.05 + 0.95 * (curve[ori] - lowest) / (mean - lowest);
            let share = 1.0 - tuned + tuned * following;
            let noise_sd = (noise_variance * share).sqrt();
            (curve[ori] - mean + noise_sd * self.noise[ori]) as f32
        })
    }
}
