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

use std::fs;
use std::path::{Path, PathBuf};

use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_mt::Mt;

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
    let part = Part::beside(&path);
    let written =
        write_simulated(&part.0, &resp, &stimuli, seed).and_then(|()| fs::rename(&part.0, &path));
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

/// The responses, `(n_stimuli, n_neurons)` in C order.
fn responses(seed: u32) -> Vec<f32> {
    let mut rng = Mt::new(seed);
    let mut resp = vec![0.0; N_STIMULI * N_NEURONS];
    for i in 0..N_NEURONS {
        let tuning = tuning_curve(&mut rng);
        for (ori, (signal, noise_sd)) in tuning.into_iter().enumerate() {
            let noise: f64 = StandardNormal.sample(&mut rng);
            resp[ori * N_NEURONS + i] = (signal + noise_sd * noise) as f32;
        }
    }
    resp
}

/// Mean and standard deviation of one neuron's response to each orientation.
fn tuning_curve(rng: &mut Mt) -> Vec<(f64, f64)> {
    let mut normal = || -> f64 { StandardNormal.sample(rng) };
    let height = (0.65 * (0.85 * normal()).exp()).min(3.5);
    let width = (11.0 * (0.38 * normal()).exp())
        .clamp(5.0, 35.0)
        .to_radians();
    let exponential: f64 = Exp1.sample(rng);
    let rho = (0.24 * exponential).min(1.0);
    let pref = f64::from(rng.next_u32()) / f64::from(u32::MAX) * std::f64::consts::TAU;

    let bump = |cos: f64| ((cos - 1.0) / width.powi(2)).exp();
    let curve: Vec<f64> = (0..N_STIMULI)
        .map(|ori| (ori as f64).to_radians() - pref)
        .map(|x| height * (bump(x.cos()) + rho * bump(-x.cos()) + 0.03 * x.cos()))
        .collect();
    let mean = curve.iter().sum::<f64>() / N_STIMULI as f64;
    let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
    let signal_variance = curve.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / N_STIMULI as f64;

    let noise_variance = 0.72 * (1.0 - signal_variance).max(0.15) / N_TRIALS;
    let tuned = (signal_variance.sqrt() / 0.5).min(1.0); // 0: even noise, 1: noise follows f
    curve
        .into_iter()
        .map(|f| {
            let following = 0.05 + 0.95 * (f - lowest) / (mean - lowest);
            let share = 1.0 - tuned + tuned * following;
            (f - mean, (noise_variance * share).sqrt())
        })
        .collect()
}
