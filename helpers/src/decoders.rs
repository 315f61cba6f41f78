//! Decoders that are not networks, and measures of how good a decoder is.
//!
//! `R` are responses, `(n_stimuli, n_neurons)`, and `y` orientations in degrees, `(n_stimuli, 1)`.
//!
//! * [`LinearRegression`]: `y = R w + b`, with the `w` and `b` that minimize
//!   `|| y - R w - b ||² + ridge || w ||²`.
//! * [`PopulationVector`]: the angle of `R [sin(p), cos(p)]`, where `p` are the preferred orientations.
//! * [`MatchedFilter`]: the orientation of the row of `T` with the largest `R Tᵀ`. The rows of `T` are
//!   the smoothed responses of the training set, each with mean 0 and norm 1.
//!
//! Functions return an error if the shapes of responses and orientations do not match, and `decode`
//! if the number of neurons differs from that in `fit`.

use std::cmp::Ordering;
use std::fmt;
use std::time::Instant;

use candle_core::{D, DType, Device, Module, Result, Tensor, bail};
use candle_nn::loss;
use candle_nn::ops::log_softmax;

use crate::kernel::{Formats, check_interrupt, show};
use crate::net::{DeepNetReLU, Layers, n_parameters};
use crate::plots::Values;
use crate::recording::{item, n_rows, rows};
use crate::rng::TorchRng;
use crate::train::{train, without_progress};

/// The mean distance in degrees between decoded and true orientations, measured the shorter way
/// around the circle: 359 and 1 are 2 degrees apart.
///
/// # Errors
/// If decoded and true orientations have different shapes.
pub fn circular_error(decoded: &Tensor, stimuli: &Tensor) -> Result<f64> {
    let (got, expected) = (decoded.dims(), stimuli.dims());
    if got != expected {
        bail!(
            "circular_error: expected decoded and true orientations of one shape, got {got:?} and \
             {expected:?}: call unsqueeze(1)? on orientations of shape (n_stimuli,)"
        )
    }
    let (decoded, stimuli) = (decoded.values()?, stimuli.values()?);
    let distance = |(a, b): (&f64, &f64)| ((a - b + 180.0).rem_euclid(360.0) - 180.0).abs();
    let total: f64 = decoded.iter().zip(&stimuli).map(distance).sum();
    Ok(total / stimuli.len() as f64)
}

/// The positions of the values in ascending order, NaN last. `rows(&resp, &argsort(&stimuli)?)?` sorts
/// responses by orientation; `argsort(&losses)?[0]` is the epoch of the lowest loss.
///
/// # Errors
/// If a tensor cannot be read.
pub fn argsort(values: &dyn Values) -> Result<Vec<usize>> {
    let values = values.values()?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| {
        let (a, b) = (values[i], values[j]);
        a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
    });
    Ok(order)
}

/// The class of each orientation, `(n_stimuli,)`, u32. The classes are `n_classes` equal parts of the
/// circle, numbered from 0.
///
/// # Errors
/// If `n_classes` is 0 or an orientation is outside 0 to below 360 degrees.
pub fn stimulus_class(stimuli: &Tensor, n_classes: usize) -> Result<Tensor> {
    let stimuli = stimuli.values()?;
    let outside = stimuli.iter().find(|ori| !(0.0..360.0).contains(*ori));
    if n_classes == 0 || outside.is_some() {
        bail!(
            "stimulus_class: expected 1 class or more and orientations from 0 to below 360 degrees, \
             got {n_classes} and {outside:?}: pass orientations in degrees"
        )
    }
    let class = |ori: &f64| (ori * n_classes as f64 / 360.0) as u32;
    Tensor::from_iter(stimuli.iter().map(class), &Device::Cpu)
}

/// Responses smoothed over stimuli, like `scipy.ndimage.gaussian_filter1d(resp, sigma, axis=0)`.
/// `sigma` is a number of rows; 0 changes nothing. At both ends the rows are mirrored, so the circle
/// of orientations is not closed.
///
/// # Errors
/// If `sigma` is not from 0 to the number of rows.
pub fn smooth(resp: &Tensor, sigma: f64) -> Result<Tensor> {
    let &[n, _] = resp.dims() else {
        bail!(
            "smooth: expected responses (n_stimuli, n_neurons), got {:?}: call unsqueeze(1)? on the \
             responses of one neuron",
            resp.dims()
        )
    };
    if !(0.0..=n as f64).contains(&sigma) {
        bail!(
            "smooth: expected a sigma from 0 to the number of stimuli, {n}, got {sigma}: the lesson \
             uses 5"
        )
    }
    if sigma == 0.0 {
        return Ok(resp.clone());
    }
    let radius = (4.0 * sigma + 0.5) as i64;
    let weight = |offset: i64| (-0.5 * (offset as f64 / sigma).powi(2)).exp();
    let total: f64 = (-radius..=radius).map(weight).sum();
    let mut kernel = vec![0f32; n * n];
    for row in 0..n {
        for offset in -radius..=radius {
            let column = (row as i64 + offset).rem_euclid(2 * n as i64) as usize;
            let column = column.min(2 * n - 1 - column); // mirrored
            kernel[row * n + column] += (weight(offset) / total) as f32;
        }
    }
    Tensor::from_vec(kernel, (n, n), &Device::Cpu)?.to_dtype(resp.dtype())?.matmul(resp)
}

/// The orientation to which each neuron responds most after [`smooth`], in degrees, `(n_neurons,)`.
pub fn preferred_orientations(resp: &Tensor, stimuli: &Tensor, sigma: f64) -> Result<Tensor> {
    n_rows("preferred_orientations", resp, stimuli)?;
    let order = argsort(stimuli)?;
    let best = smooth(&rows(resp, &order)?, sigma)?.argmax(0)?;
    rows(stimuli, &order)?.flatten_all()?.index_select(&best, 0)
}

/// Linear regression of orientation on responses, in closed form.
///
/// There are far more neurons than stimuli, so many choices of weights fit the training set exactly.
/// `ridge` 0 gives the weights of minimum norm, and a larger `ridge` gives smaller weights.
#[derive(Clone, Debug)]
pub struct LinearRegression {
    /// `(n_neurons, 1)`.
    pub weights: Tensor,
    /// In degrees.
    pub bias: f64,
}

impl LinearRegression {
    /// Fits weights and bias.
    ///
    /// # Errors
    /// If `ridge` is negative or NaN, or if it is 0 and two stimuli have the same responses.
    pub fn fit(resp: &Tensor, stimuli: &Tensor, ridge: f64) -> Result<Self> {
        let n = n_rows("LinearRegression::fit", resp, stimuli)?;
        if ridge.is_nan() || ridge < 0.0 {
            bail!("LinearRegression::fit: expected a ridge of 0 or more, got {ridge}: try 0 or 100")
        }
        let resp = resp.to_dtype(DType::F64)?;
        let mean_resp = resp.mean_keepdim(0)?; // (1, n_neurons)
        let centered = resp.broadcast_sub(&mean_resp)?;
        let y = stimuli.values()?;
        let mean_y = y.iter().sum::<f64>() / n as f64;
        let y: Vec<f64> = y.iter().map(|y| y - mean_y).collect();

        // w = Rᵀ a with (R Rᵀ + ridge) a = y has one unknown per stimulus instead of per neuron.
        let mut gram = centered.matmul(&centered.t()?)?.values()?; // (n_stimuli, n_stimuli)
        let scale = (0..n).map(|i| gram[i * n + i]).sum::<f64>() / n as f64;
        // Centered rows sum to 0, so R Rᵀ is singular along (1, .., 1). Adding a constant fixes
        // that and does not change the solution, because y is centered as well.
        gram.iter_mut().for_each(|g| *g += scale / n as f64);
        (0..n).for_each(|i| gram[i * n + i] += ridge);
        let Some(a) = solve(gram, y) else {
            bail!(
                "LinearRegression::fit: expected different responses to each stimulus, got some \
                 that are the same: fit with a ridge above 0"
            )
        };
        let weights = centered.t()?.matmul(&Tensor::from_vec(a, (n, 1), &Device::Cpu)?)?;
        let offset = mean_resp.matmul(&weights)?.values()?[0];
        Ok(Self { weights: weights.to_dtype(DType::F32)?, bias: mean_y - offset })
    }

    /// Decodes orientations.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        project("LinearRegression::decode", resp, &self.weights)? + self.bias
    }
}

/// Solves `a x = b` for a symmetric positive definite matrix, by Cholesky decomposition.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    let smallest = 1e-12 * (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    for i in 0..n {
        check_interrupt();
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if j < i {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > smallest {
                a[i * n + i] = rest.sqrt();
            } else {
                return None;
            }
        }
        let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    Some(b)
}

/// The `sigma` of [`smooth`] that the next two decoders use.
const SIGMA: f64 = 5.0;

/// Each neuron votes for its preferred orientation with its response as the weight; a negative
/// response is a vote for the opposite direction (Georgopoulos et al., Science 1986).
#[derive(Clone, Debug)]
pub struct PopulationVector {
    /// Sine and cosine of the preferred orientations, `(n_neurons, 2)`.
    directions: Tensor,
}

impl PopulationVector {
    /// Finds preferred orientations.
    pub fn fit(resp: &Tensor, stimuli: &Tensor) -> Result<Self> {
        let preferred = preferred_orientations(resp, stimuli, SIGMA)?;
        Ok(Self { directions: sin_cos(&preferred)? })
    }

    /// Decodes orientations.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        angles(&project("PopulationVector::decode", resp, &self.directions)?)
    }
}

/// Compares a response with templates, the smoothed responses to each orientation of the training set,
/// and takes the orientation of the template with the highest correlation.
#[derive(Clone, Debug)]
pub struct MatchedFilter {
    /// Rows of mean 0 and norm 1, `(n_stimuli, n_neurons)`.
    templates: Tensor,
    /// In degrees, `(n_stimuli,)`.
    orientations: Tensor,
}

impl MatchedFilter {
    /// Makes the templates.
    pub fn fit(resp: &Tensor, stimuli: &Tensor) -> Result<Self> {
        n_rows("MatchedFilter::fit", resp, stimuli)?;
        let order = argsort(stimuli)?;
        let templates = smooth(&rows(resp, &order)?, SIGMA)?;
        let templates = templates.broadcast_sub(&templates.mean_keepdim(1)?)?;
        let norms = templates.sqr()?.sum_keepdim(1)?.sqrt()?;
        Ok(Self {
            templates: templates.broadcast_div(&norms)?,
            orientations: rows(stimuli, &order)?.flatten_all()?,
        })
    }

    /// Decodes orientations.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        let similarity = project("MatchedFilter::decode", resp, &self.templates.t()?)?;
        let best = similarity.argmax(D::Minus1)?;
        self.orientations.index_select(&best, 0)?.unsqueeze(1)
    }
}

/// `resp @ weights`, for weights `(n_neurons, n)`.
fn project(caller: &str, resp: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (n_neurons, dtype) = (weights.dim(0)?, resp.dtype());
    match resp.dims() {
        &[_, n] if n == n_neurons && dtype == DType::F32 => resp.matmul(weights),
        dims => bail!(
            "{caller}: expected responses (n_stimuli, {n_neurons}) of type F32, got {dims:?} of \
             type {dtype:?}: pass the neurons that were fitted, call unsqueeze(0)? on the \
             responses to one stimulus, and to_dtype(DType::F32)? on another type"
        ),
    }
}

/// Sine and cosine of angles in degrees, `(n, 2)`.
pub(crate) fn sin_cos(degrees: &Tensor) -> Result<Tensor> {
    let radians = (degrees.reshape(((), 1))? * (std::f64::consts::PI / 180.0))?;
    Tensor::cat(&[radians.sin()?, radians.cos()?], 1)
}

/// The angle in degrees, 0 to below 360, from multiples of its sine and cosine.
pub(crate) fn angle(sin: f32, cos: f32) -> f32 {
    let degrees = sin.atan2(cos).to_degrees().rem_euclid(360.0);
    if degrees < 360.0 { degrees } else { 0.0 } // an angle just below 0 is rounded to 360
}

/// Angles in degrees, `(n, 1)`, from multiples of their sine and cosine, `(n, 2)`.
pub(crate) fn angles(sin_cos: &Tensor) -> Result<Tensor> {
    let pairs = sin_cos.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let degrees = pairs.iter().map(|pair| angle(pair[0], pair[1]));
    Tensor::from_iter(degrees, &Device::Cpu)?.unsqueeze(1)
}

/// The result of [`compare_decoders`]. In a notebook it is shown as a table.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The headings, then a row for each decoder.
    rows: Vec<[String; 5]>,
}

/// Fits all decoders of the bonus notebook to the training set, and evaluates them on the test set.
/// This takes some seconds.
pub fn compare_decoders(
    resp_train: &Tensor,
    stimuli_train: &Tensor,
    resp_test: &Tensor,
    stimuli_test: &Tensor,
) -> Result<Comparison> {
    const N_CLASSES: usize = 20;
    n_rows("compare_decoders", resp_train, stimuli_train)?;
    n_rows("compare_decoders", resp_test, stimuli_test)?;
    let n_neurons = resp_train.dim(1)?;
    let seed = || TorchRng::manual_seed(1);
    let headings = ["decoder", "MSE (degrees²)", "circular error (°)", "time (s)", "parameters"];
    let mut table = vec![headings.map(str::to_owned)];
    // `decoder` fits, and returns the orientations of the test set and the number of parameters.
    let mut measure = |name, decoder: &dyn Fn() -> Result<(Tensor, usize)>| -> Result<()> {
        check_interrupt();
        let start = Instant::now();
        let (decoded, n_parameters) = without_progress(decoder)?;
        table.push([
            str::to_owned(name),
            format!("{:.1}", item(&loss::mse(&decoded, stimuli_test)?)?),
            format!("{:.2}", circular_error(&decoded, stimuli_test)?),
            format!("{:.2}", start.elapsed().as_secs_f64()),
            n_parameters.to_string(),
        ]);
        Ok(())
    };
    let regression = |labels: &Tensor, ridge: f64| -> Result<Tensor> {
        LinearRegression::fit(resp_train, labels, ridge)?.decode(resp_test)
    };
    measure("population vector", &|| {
        let fitted = PopulationVector::fit(resp_train, stimuli_train)?;
        Ok((fitted.decode(resp_test)?, n_neurons))
    })?;
    measure("matched filter", &|| {
        let fitted = MatchedFilter::fit(resp_train, stimuli_train)?;
        Ok((fitted.decode(resp_test)?, fitted.templates.elem_count()))
    })?;
    let linear = |ridge| regression(stimuli_train, ridge).map(|decoded| (decoded, n_neurons + 1));
    measure("linear regression, minimum norm", &|| linear(0.0))?;
    measure("linear regression, ridge 100", &|| linear(100.0))?;
    measure("linear regression, sine and cosine", &|| {
        let labels = sin_cos(stimuli_train)?;
        let [sin, cos] = [0, 1].map(|i| regression(&labels.narrow(1, i, 1)?, 0.0));
        Ok((angles(&Tensor::cat(&[sin?, cos?], 1)?)?, 2 * (n_neurons + 1)))
    })?;
    measure("network, M = 10", &|| {
        let net = DeepNetReLU::new(&mut seed(), n_neurons, 10)?;
        train(&net, loss::mse, resp_train, stimuli_train, 50, 1e-4)?;
        Ok((net.forward(resp_test)?, n_parameters(&net)))
    })?;
    measure("network, M = 10, sine and cosine", &|| {
        let net = Layers::new(&mut seed(), &[n_neurons, 10, 2])?;
        train(&net, loss::mse, resp_train, &sin_cos(stimuli_train)?, 100, 0.05)?;
        Ok((angles(&net.forward(resp_test)?)?, n_parameters(&net)))
    })?;
    for (name, l2, l1) in [
        ("network, M = 20, 20 classes", 0.0, 0.0),
        ("network, M = 20, 20 classes, L1 and L2", 1e-2, 5e-4),
    ] {
        measure(name, &|| {
            let net = Layers::new(&mut seed(), &[n_neurons, 20, N_CLASSES])?;
            let w_in = net.layers[0].weight().as_tensor();
            let loss_fn = |out: &Tensor, classes: &Tensor| {
                let loss = loss::nll(&log_softmax(out, D::Minus1)?, classes)?;
                if l2 > 0.0 { loss + penalty(w_in, l2, l1)? } else { Ok(loss) }
            };
            let classes = stimulus_class(stimuli_train, N_CLASSES)?;
            train(&net, loss_fn, resp_train, &classes, 300, 0.1)?;
            let classes = net.forward(resp_test)?.argmax(D::Minus1)?.to_dtype(DType::F32)?;
            let width = 360.0 / N_CLASSES as f64; // degrees; decoded are the centers of classes
            Ok((classes.affine(width, width / 2.0)?.unsqueeze(1)?, n_parameters(&net)))
        })?;
    }
    Ok(Comparison { rows: table })
}

/// `l2` times the sum of the squared weights plus `l1` times the sum of their absolute values.
pub(crate) fn penalty(weights: &Tensor, l2: f64, l1: f64) -> Result<Tensor> {
    (weights.sqr()?.sum_all()? * l2)? + (weights.abs()?.sum_all()? * l1)?
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for [name, mse, circular, seconds, n_parameters] in &self.rows {
            writeln!(f, "{name:<38} {mse:>14} {circular:>18} {seconds:>8} {n_parameters:>10}")?;
        }
        Ok(())
    }
}

impl Comparison {
    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        let row = |cells: &[String; 5]| {
            format!("<tr><td style='text-align: left'>{}</td></tr>", cells.join("</td><td>"))
        };
        let mut html: Vec<String> = self.rows.iter().map(row).collect();
        html[0] = html[0].replace("td", "th");
        let html = format!("<table>{}</table>", html.concat());
        show(&Formats::from([("text/plain", self.to_string()), ("text/html", html)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_below_360() -> Result<()> {
        let pairs = Tensor::new(&[[-1e-7f32, 1.0], [0.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
        assert_eq!(angles(&pairs)?.values()?, [0.0, 0.0, 90.0]);
        Ok(())
    }
}
