//! A simulated recording, for use when the recording cannot be downloaded.
//!
//! Each neuron has two bumps on the circle of orientations, on top of a shallow cosine: one bump at
//! `pref`, and one at `pref + 180` that is weaker by a factor `rho`. Each neuron has its own `rho`:
//!
//! `f(ori) = a [ k(ori - pref) + rho k(ori - pref - 180) + 0.03 cos(ori - pref) ]`,
//! `k(x) = exp((cos x - 1) / width^2)`
//!
//! minus its mean. A response is `f` plus normal noise. A response in the recording is the mean of
//! about 13 trials of a neuron that was z-scored over trials. So here a neuron with more signal has
//! less noise, and the noise grows with `f`: away from its bumps a tuned neuron has little noise.
//!
//! The constants were set so that widths, heights, the second bump, the noise and the correlation
//! between neighboring orientations resemble what is known of the recording, and so does the
//! training of the tutorial's network.

use std::f64::consts::TAU;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use candle_core::{Result, bail};
use npyz::{AutoSerialize, WriterBuilder};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_mt::Mt;
use rayon::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{SIMULATED, absolute, temp_file};
use crate::kernel::check_interrupt;

const N_STIMULI: usize = 360;
const N_NEURONS: usize = 23_589;
const N_TRIALS: f64 = 12.8; // 4,598 trials over 360 orientations

/// Writes a simulated recording to a `.npz` file of the recording's shape and format, and returns
/// the path. The same seed gives the same numbers. A file that is already there is replaced.
///
/// # Errors
/// If the file cannot be written.
pub fn simulate_recording(path: impl AsRef<Path>, seed: u32) -> Result<PathBuf> {
    simulate(path.as_ref(), seed)
}

fn simulate(path: &Path, seed: u32) -> Result<PathBuf> {
    let path = absolute(path);
    let stimuli: Vec<f64> = (0..N_STIMULI).map(|ori| ori as f64).collect();
    let resp = responses(seed);
    let written = temp_file(&path).and_then(|temp| {
        let mut zip = ZipWriter::new(BufWriter::new(temp.as_file()));
        let shape = [N_STIMULI as u64, N_NEURONS as u64];
        write_array(&mut zip, "resp", &resp, &shape)?;
        write_array(&mut zip, "stimuli", &stimuli, &shape[..1])?;
        write_array(&mut zip, SIMULATED, &[seed], &[1])?;
        zip.finish()?.flush()?;
        Ok(temp.persist(&path)?)
    });
    let shown = path.display();
    if let Err(err) = written {
        bail!(
            "simulate_recording: cannot write {shown} ({err}): make its folder writable, with \
             40 MB free"
        );
    }
    println!(
        "simulated recording (seed {seed}): {N_STIMULI} stimuli x {N_NEURONS} neurons, drawn by a \
         model of visual cortex, not measured; saved as {shown}"
    );
    Ok(path)
}

/// Writes an array as NumPy does, without compression.
fn write_array<T: AutoSerialize + Copy>(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    values: &[T],
    shape: &[u64],
) -> io::Result<()> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(format!("{name}.npy"), stored)?;
    // npyz writes value by value, and zip computes the checksum of each piece it gets.
    let mut buffer = BufWriter::with_capacity(1 << 16, zip);
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut npy = options.writer(&mut buffer).begin_nd()?;
    npy.extend(values.iter().copied())?;
    npy.finish()?;
    buffer.flush()
}

/// The responses, `(n_stimuli, n_neurons)` in C order.
fn responses(seed: u32) -> Vec<f32> {
    let mut rng = Mt::new(seed);
    let neurons: Vec<_> = (0..N_NEURONS).map(|_| Neuron::draw(&mut rng)).collect();
    let columns: Vec<_> = neurons.par_iter().map(Neuron::responses).collect();
    (0..N_STIMULI * N_NEURONS).map(|i| columns[i % N_NEURONS][i / N_NEURONS]).collect()
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

    fn responses(&self) -> [f32; N_STIMULI] {
        check_interrupt();
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
