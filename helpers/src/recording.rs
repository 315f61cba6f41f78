//! The recording: responses of 23,589 neurons of a mouse's primary visual cortex to gratings of
//! 360 orientations (Stringer, Michaelos, Tsyboulski, Lindo, Pachitariu, Cell 2021,
//! <https://doi.org/10.1016/j.cell.2021.03.042>), as the file that the original tutorial uses.
//!
//! Responses are normalised by spontaneous activity, z-scored over stimuli and averaged over all
//! trials that fall within a degree, so they are without unit and often negative.

mod download;
mod npz;
mod simulation;

use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{Device, Error, NumpyRng, Result, Tensor, TorchRng};
pub use download::fetch_recording;
use npz::{Array, Npz};
pub use simulation::simulate_recording;

/// Where the numbers in a file come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Measured in a mouse.
    Recording,
    /// Drawn by [`simulate_recording`] with this seed.
    Simulated {
        /// The seed of the simulation.
        seed: u32,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording => write!(f, "recorded"),
            Self::Simulated { seed } => write!(f, "simulated, seed {seed}"),
        }
    }
}

/// Says whether the file at `path` is a recording or a simulation: simulated files carry a mark.
///
/// # Errors
/// If the file is no `.npz`.
pub fn source(path: impl AsRef<Path>) -> Result<Source> {
    source_of(path.as_ref())
}

fn source_of(path: &Path) -> Result<Source> {
    let mut npz = Npz::open("source", path)?;
    Ok(match npz.seed_of_simulation()? {
        Some(seed) => Source::Simulated { seed },
        None => Source::Recording,
    })
}

/// Reads a recording and, for a `bin_width` above 1, averages it over bins of that many degrees.
///
/// The file is a `.npz` with `resp`, `(n_stimuli, n_neurons)`, and `stimuli`, `(n_stimuli,)` in
/// degrees, both f32 or f64. Returns responses `(n_stimuli, n_neurons)` and orientations
/// `(n_stimuli, 1)`. Bins are those of `numpy.digitize` with edges `0, bin_width, ...`; an
/// orientation is then the mean of those in its bin, and empty bins are left out.
///
/// # Errors
/// If the file cannot be read, lacks an array, has one of another shape or type, or one with a
/// NaN or an infinity in it, and if `bin_width` is not a number above 0.
pub fn load_data(path: impl AsRef<Path>, bin_width: impl Into<f64>) -> Result<(Tensor, Tensor)> {
    load(path.as_ref(), bin_width.into())
}

fn load(path: &Path, bin_width: f64) -> Result<(Tensor, Tensor)> {
    if !(bin_width > 0.0 && bin_width.is_finite()) {
        return fail(format!(
            "load_data: expected a bin_width above 0 degrees, got {bin_width}: \
             1 leaves the recording as it is"
        ));
    }
    let mut npz = Npz::open("load_data", path)?;
    let (stimuli, resp) = (npz.array("stimuli")?, npz.array("resp")?);
    let [n_stimuli] = stimuli.shape[..] else {
        return npz.wrong_shape("stimuli", "(n_stimuli,)", &stimuli.shape);
    };
    let [n_rows, n_neurons] = resp.shape[..] else {
        return npz.wrong_shape("resp", "(n_stimuli, n_neurons)", &resp.shape);
    };
    if n_rows == 0 || n_neurons == 0 {
        let expected = "(n_stimuli, n_neurons), both at least 1";
        return npz.wrong_shape("resp", expected, &resp.shape);
    }
    if n_rows != n_stimuli {
        let expected = format!("({n_stimuli}, n_neurons), a row for each entry of stimuli");
        return npz.wrong_shape("resp", &expected, &resp.shape);
    }

    let (resp, stimuli) = if bin_width > 1.0 {
        average_over_bins(&npz, &resp, &npz.numbers(&stimuli)?, bin_width)?
    } else {
        (npz.numbers(&resp)?, npz.numbers(&stimuli)?)
    };
    let n_stimuli = stimuli.len();
    Ok((
        Tensor::from_vec(resp, (n_stimuli, n_neurons), &Device::Cpu)?,
        Tensor::from_vec(stimuli, (n_stimuli, 1), &Device::Cpu)?,
    ))
}

/// The mean response and the mean orientation of each bin that has a stimulus in it.
fn average_over_bins(
    npz: &Npz,
    resp: &Array,
    stimuli: &[f64],
    bin_width: f64,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let n_edges = ((360.0 + bin_width) / bin_width).ceil() as usize;
    let edges: Vec<f64> = (0..n_edges).map(|i| i as f64 * bin_width).collect();
    let mut bins: Vec<Vec<usize>> = vec![Vec::new(); n_edges + 1];
    for (i, ori) in stimuli.iter().enumerate() {
        bins[edges.partition_point(|edge| edge <= ori)].push(i);
    }
    bins.retain(|bin| !bin.is_empty());
    let mean_orientation =
        |bin: &Vec<usize>| (bin.iter().map(|&i| stimuli[i]).sum::<f64>() / bin.len() as f64) as f32;

    // As a rule the bytes of the file are summed up as they are, without a matrix in between.
    let means = if let Some(items) = resp.plain::<4>() {
        means_of_rows(items, &bins, |x| f32::from_le_bytes(x).into())
    } else if let Some(items) = resp.plain::<8>() {
        means_of_rows(items, &bins, f64::from_le_bytes)
    } else {
        means_of_rows(&npz.numbers::<f64>(resp)?, &bins, |x| x)
    };
    if !means.iter().all(|mean| mean.is_finite()) {
        npz.numbers::<f32>(resp)?; // says which number it is
    }
    Ok((means, bins.iter().map(mean_orientation).collect()))
}

/// The mean of some rows each, `(bins.len(), n_neurons)`.
fn means_of_rows<T: Copy + Sync>(
    resp: &[T],
    bins: &[Vec<usize>],
    value: impl Fn(T) -> f64 + Sync,
) -> Vec<f32> {
    let n_neurons = resp.len() / bins.iter().map(Vec::len).sum::<usize>();
    let mut means = vec![0.0; bins.len() * n_neurons];
    let rows = means.par_chunks_mut(n_neurons).zip(bins);
    rows.for_each(|(row, bin)| {
        // Some neurons at a time, whose sums stay in the cache.
        const NEURONS: usize = 1024;
        for (k, part) in row.chunks_mut(NEURONS).enumerate() {
            let mut sums = [0.0; NEURONS];
            for &i in bin {
                let resp = &resp[i * n_neurons + k * NEURONS..][..part.len()];
                for (sum, &x) in sums.iter_mut().zip(resp) {
                    *sum += value(x);
                }
            }
            for (mean, sum) in part.iter_mut().zip(sums) {
                *mean = (sum / bin.len() as f64) as f32;
            }
        }
    });
    means
}

/// Draws `n_stim` stimuli with replacement, as the original does with `numpy.random.choice`.
///
/// `train_data` is `(n_stimuli, n_neurons)`, `train_labels` `(n_stimuli, 1)` in degrees. Returns
/// the drawn rows of both, `(n_stim, n_neurons)` and `(n_stim, 1)`.
///
/// # Errors
/// If the two have different numbers of rows, or none.
pub fn get_data(
    rng: &mut NumpyRng,
    n_stim: usize,
    train_data: &Tensor,
    train_labels: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let n_stimuli = n_rows("get_data", train_data, train_labels)?;
    let istim = rng.choice(n_stimuli, n_stim);
    Ok((rows(train_data, &istim)?, rows(train_labels, &istim)?))
}

/// The two parts of a recording that [`split`] makes.
#[derive(Clone, Debug)]
pub struct Split {
    /// Responses to train on, `(n_train, n_neurons)`.
    pub resp_train: Tensor,
    /// Their orientations in degrees, `(n_train, 1)`.
    pub stimuli_train: Tensor,
    /// Responses held out for testing, `(n_test, n_neurons)`.
    pub resp_test: Tensor,
    /// Their orientations in degrees, `(n_test, 1)`.
    pub stimuli_test: Tensor,
}

/// Splits a recording at random: 60 % of the stimuli to train on, the others to test.
///
/// `resp_all` is `(n_stimuli, n_neurons)`, `stimuli_all` `(n_stimuli, 1)` in degrees. The order is
/// that of `torch.randperm`.
///
/// # Errors
/// If the two have different numbers of rows, or too few for two parts.
pub fn split(rng: &mut TorchRng, resp_all: &Tensor, stimuli_all: &Tensor) -> Result<Split> {
    let n_stimuli = n_rows("split", resp_all, stimuli_all)?;
    let n_train = (0.6 * n_stimuli as f64) as usize;
    if n_train == 0 {
        return fail(format!(
            "split: expected at least 2 stimuli for two parts, got {n_stimuli}: pass more"
        ));
    }
    let ishuffle = rng.randperm(n_stimuli);
    let (itrain, itest) = ishuffle.split_at(n_train);
    Ok(Split {
        resp_train: rows(resp_all, itrain)?,
        stimuli_train: rows(stimuli_all, itrain)?,
        resp_test: rows(resp_all, itest)?,
        stimuli_test: rows(stimuli_all, itest)?,
    })
}

/// The number of rows that responses and orientations have in common.
pub(crate) fn n_rows(caller: &str, resp: &Tensor, stimuli: &Tensor) -> Result<usize> {
    match (resp.dims(), stimuli.dims()) {
        (&[n, _], &[m, 1]) if n == m && n > 0 => Ok(n),
        (resp, stimuli) => fail(format!(
            "{caller}: expected responses (n_stimuli, n_neurons) and orientations \
             (n_stimuli, 1), got {resp:?} and {stimuli:?}: pass the two that belong together"
        )),
    }
}

/// The rows of a matrix with these numbers, such as the stimuli of a mini-batch.
///
/// # Errors
/// If there is no such row.
pub fn rows(matrix: &Tensor, which: &[usize]) -> Result<Tensor> {
    let which: Vec<u32> = which.iter().map(|&i| i as u32).collect();
    let n = which.len();
    matrix.index_select(&Tensor::from_vec(which, n, &Device::Cpu)?, 0)
}

/// An error of one line.
fn fail<T>(message: String) -> Result<T> {
    Err(Error::Msg(message))
}

/// The path as it is told to people: whole, so that it can be found from anywhere.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
