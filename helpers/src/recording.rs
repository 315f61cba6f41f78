//! The recording: responses of 23,589 neurons of a mouse's primary visual cortex to gratings of
//! 360 orientations (Stringer, Michaelos, Tsyboulski, Lindo, Pachitariu, Cell 2021,
//! <https://doi.org/10.1016/j.cell.2021.03.042>), as the file that the original tutorial uses.
//!
//! Responses were normalized by spontaneous activity, z-scored over trials, and then averaged over
//! all trials within one degree. So they have no unit, and many are negative.

mod download;
mod memory;
mod npz;
mod simulation;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, bail};
use tempfile::NamedTempFile;

use crate::rng::{NumpyRng, TorchRng};
pub use download::fetch_recording;
pub(crate) use download::tls_config;
use npz::Npz;
pub use simulation::simulate_recording;

/// Returns the path of the recording, see [`fetch_recording`]. If that fails, prints the reason
/// and returns the path of a simulated recording, `simulated_recording_seed1.npz` in the working
/// directory (for a notebook: its folder), see [`simulate_recording`].
///
/// # Errors
/// If there is no recording and the simulated one cannot be written.
pub fn fetch_or_simulate_recording() -> Result<PathBuf> {
    fetch_recording().or_else(|err| {
        println!("{err}");
        simulate_recording("simulated_recording_seed1.npz", 1)
    })
}

/// The name of the array that marks a file as simulated. It holds the seed.
const SIMULATED: &str = "simulated";

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
/// If the file is not a `.npz` file.
pub fn source(path: impl AsRef<Path>) -> Result<Source> {
    source_of(path.as_ref())
}

fn source_of(path: &Path) -> Result<Source> {
    let mut npz = Npz::open("source", path)?;
    if !npz.has_array(SIMULATED) {
        return Ok(Source::Recording);
    }
    match npz.array(SIMULATED, |x| x)?.values[..] {
        [seed] => Ok(Source::Simulated { seed: seed as u32 }),
        _ => npz.invalid(SIMULATED, "one number, the seed", "another shape"),
    }
}

/// Reads a recording and, for a `bin_width` above 1, averages it over bins of that many degrees.
///
/// The file is a `.npz` with `resp`, `(n_stimuli, n_neurons)`, and `stimuli`, `(n_stimuli,)` or
/// `(n_stimuli, 1)` in degrees, both of any integer or floating-point type. Returns responses
/// `(n_stimuli, n_neurons)` and orientations `(n_stimuli, 1)`. Bins are those of `numpy.digitize`
/// with edges `0, bin_width, ...`. The orientation of a bin is the mean of those in it, and empty
/// bins are left out.
///
/// # Errors
/// If the file cannot be read or lacks an array; if an array has another shape or type, or a NaN
/// or an infinity in it; if an orientation is not within 0 to 360 degrees; and if `bin_width` is
/// not a number above 0.
pub fn load_data(path: impl AsRef<Path>, bin_width: impl Into<f64>) -> Result<(Tensor, Tensor)> {
    load(path.as_ref(), bin_width.into())
}

fn load(path: &Path, bin_width: f64) -> Result<(Tensor, Tensor)> {
    if !(bin_width > 0.0 && bin_width.is_finite()) {
        bail!(
            "load_data: expected a bin_width above 0 degrees, got {bin_width}: 1 leaves the \
             recording as it is"
        );
    }
    let (mut resp, mut stimuli) = read(path)?;
    let n_neurons = resp.len() / stimuli.len();
    if bin_width > 1.0 {
        (resp, stimuli) = average_over_bins(&resp, &stimuli, bin_width);
    }
    let n_stimuli = stimuli.len();
    let stimuli = stimuli.iter().map(|&ori| ori as f32).collect();
    Ok((
        Tensor::from_vec(resp, (n_stimuli, n_neurons), &Device::Cpu)?,
        Tensor::from_vec(stimuli, (n_stimuli, 1), &Device::Cpu)?,
    ))
}

/// Reads the responses, row by row, and the orientations.
fn read(path: &Path) -> Result<(Vec<f32>, Vec<f64>)> {
    let mut npz = Npz::open("load_data", path)?;
    let stimuli = npz.array("stimuli", |x| x)?;
    let resp = npz.array("resp", |x| x as f32)?;

    let ([n_stimuli] | [n_stimuli, 1]) = stimuli.shape[..] else {
        let expected = "shape (n_stimuli,) or (n_stimuli, 1)";
        return npz.invalid("stimuli", expected, &format!("{:?}", stimuli.shape));
    };
    let n_neurons = match resp.shape[..] {
        [n, n_neurons] if n == n_stimuli && n > 0 && n_neurons > 0 => n_neurons,
        _ => {
            let expected = format!(
                "shape ({n_stimuli}, n_neurons), a row for each entry of stimuli, both at least 1"
            );
            return npz.invalid("resp", &expected, &format!("{:?}", resp.shape));
        }
    };
    if let Some(i) = stimuli.values.iter().position(|ori| !(0.0..=360.0).contains(ori)) {
        let got = format!("{} at position {i}", stimuli.values[i]);
        return npz.invalid("stimuli", "orientations from 0 to 360 degrees", &got);
    }
    // This fold has no early exit, so that the compiler can check many numbers at once.
    let all_finite = resp.values.iter().fold(true, |all, r| all & r.is_finite());
    if !all_finite && let Some(i) = resp.values.iter().position(|r| !r.is_finite()) {
        let got = format!("{} at position [{}, {}]", resp.values[i], i / n_neurons, i % n_neurons);
        return npz.invalid("resp", "finite numbers in the range of f32", &got);
    }
    Ok((resp.values, stimuli.values))
}

/// The mean response and the mean orientation of each bin that has a stimulus in it.
fn average_over_bins(resp: &[f32], stimuli: &[f64], bin_width: f64) -> (Vec<f32>, Vec<f64>) {
    let n_edges = ((360.0 + bin_width) / bin_width).ceil() as usize;
    let edges: Vec<f64> = (0..n_edges).map(|i| i as f64 * bin_width).collect();
    let mut bins: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, ori) in stimuli.iter().enumerate() {
        let bin = edges.partition_point(|edge| edge <= ori);
        bins.entry(bin).or_default().push(i);
    }

    let n_neurons = resp.len() / stimuli.len();
    let (mut mean_resp, mut mean_stimuli) = (Vec::new(), Vec::new());
    for bin in bins.values() {
        let n = bin.len() as f64;
        let mut sums = vec![0.0; n_neurons];
        for &i in bin {
            for (sum, &r) in sums.iter_mut().zip(&resp[i * n_neurons..]) {
                *sum += f64::from(r);
            }
        }
        mean_resp.extend(sums.iter().map(|sum| (sum / n) as f32));
        mean_stimuli.push(bin.iter().map(|&i| stimuli[i]).sum::<f64>() / n);
    }
    (mean_resp, mean_stimuli)
}

/// Draws `n_stim` stimuli with replacement, as the original does with `numpy.random.choice`.
///
/// `train_data` is `(n_stimuli, n_neurons)`, `train_labels` `(n_stimuli, 1)` in degrees. Returns
/// the drawn rows of both, `(n_stim, n_neurons)` and `(n_stim, 1)`.
///
/// # Errors
/// If `train_data` and `train_labels` have different numbers of rows, or none.
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

/// Splits a recording at random: 60 % of the stimuli for training, the others for testing.
///
/// `resp_all` is `(n_stimuli, n_neurons)`, `stimuli_all` `(n_stimuli, 1)` in degrees. The order is
/// that of `torch.randperm`.
///
/// # Errors
/// If `resp_all` and `stimuli_all` have different numbers of rows, or too few for two parts.
pub fn split(rng: &mut TorchRng, resp_all: &Tensor, stimuli_all: &Tensor) -> Result<Split> {
    let n_stimuli = n_rows("split", resp_all, stimuli_all)?;
    let n_train = (0.6 * n_stimuli as f64) as usize;
    if n_train == 0 {
        bail!("split: expected at least 2 stimuli, got {n_stimuli}: pass more stimuli");
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
    let dtypes = (resp.dtype(), stimuli.dtype());
    if dtypes != (DType::F32, DType::F32) {
        bail!(
            "{caller}: expected responses and orientations of type F32, got {dtypes:?}: convert \
             them with to_dtype(DType::F32)?"
        )
    }
    match (resp.dims(), stimuli.dims()) {
        (&[n, _], &[m, 1]) if n == m && n > 0 => Ok(n),
        (resp, stimuli) => bail!(
            "{caller}: expected responses (n_stimuli, n_neurons) and orientations (n_stimuli, 1), \
             got {resp:?} and {stimuli:?}: pass a row of both for each stimulus, and call \
             unsqueeze(1)? on orientations of shape (n_stimuli,)"
        ),
    }
}

/// The rows of a matrix with these indices, such as the stimuli of a mini-batch.
///
/// # Errors
/// If there is no such row.
pub fn rows(matrix: &Tensor, which: &[usize]) -> Result<Tensor> {
    let index = Tensor::from_iter(which.iter().map(|&i| i as u32), &Device::Cpu)?;
    matrix.contiguous()?.index_select(&index, 0)
}

/// The number in a tensor of one element, whatever its shape, as PyTorch's `item()`.
///
/// # Errors
/// If the tensor has more elements, or none.
pub fn item(tensor: &Tensor) -> Result<f32> {
    match tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?[..] {
        [number] => Ok(number),
        _ => bail!(
            "item: expected a tensor of one element, got {:?}: pick one with i(..)? first",
            tensor.dims()
        ),
    }
}

/// The absolute path, so that people find the file from any folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Opens a file, but no folder and no pipe: opening a pipe waits until somebody writes to it.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    if path.metadata()?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

/// A temporary file in the same folder as `path`, so that `persist` renames it in one step. It is
/// deleted when it goes out of scope. If the process dies before that, `recording-*.part` remains.
fn temp_file(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix("recording-")
        .suffix(".part")
        .make_in(folder, |path| File::create_new(path)) // readable for others, too
}

/// A message on one line and without control characters.
fn one_line(message: impl Display) -> String {
    let message = message.to_string().replace(char::is_control, " ");
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
