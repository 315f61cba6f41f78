//! Decoders that are no networks, and what tells how good a decoder is.
//!
//! Responses are `(n_stimuli, n_neurons)`, orientations and what is decoded `(n_stimuli, 1)` in
//! degrees.

use std::fmt::{self, Write};
use std::time::Instant;

use candle_nn::ops::log_softmax;

use crate::recording::n_rows;
use crate::train::quietly;
use crate::{
    D, DType, DeepNetReLU, Device, Error, Layers, Module, Result, Tensor, TorchRng, Values, loss,
    n_parameters, train,
};

/// How far decoded orientations are from the true ones on average, the shorter way round the circle:
/// 359 degrees are 2 away from 1.
///
/// # Errors
/// If the two have different shapes.
pub fn circular_error(decoded: &Tensor, stimuli: &Tensor) -> Result<f64> {
    let differences = decoded.sub(stimuli)?.values()?;
    let around = |d: &f64| ((d + 180.0).rem_euclid(360.0) - 180.0).abs();
    Ok(differences.iter().map(around).sum::<f64>() / differences.len() as f64)
}

/// The number of the class, of `n_classes` equal ones around the circle, that each orientation is
/// in: from 0, `(n_stimuli,)`, u32.
///
/// # Errors
/// If `n_classes` is 0 or an orientation is outside 0 to below 360 degrees.
pub fn stimulus_class(stimuli: &Tensor, n_classes: usize) -> Result<Tensor> {
    let stimuli = stimuli.values()?;
    let on_circle = |ori: &f64| (0.0..360.0).contains(ori);
    if n_classes == 0 || !stimuli.iter().all(on_circle) {
        return Err(Error::Msg(format!(
            "stimulus_class: expected 1 class or more and orientations from 0 to below 360 degrees, \
             got {n_classes} and {:?}: pass orientations in degrees",
            stimuli.iter().find(|ori| !on_circle(ori))
        )));
    }
    let class = |ori: &f64| (ori * n_classes as f64 / 360.0) as u32;
    Tensor::new(stimuli.iter().map(class).collect::<Vec<_>>(), &Device::Cpu)
}

/// The middle of each class, in degrees, `(n, 1)`.
fn class_middles(classes: &Tensor, n_classes: usize) -> Result<Tensor> {
    let width = 360.0 / n_classes as f64;
    classes
        .to_dtype(DType::F32)?
        .affine(width, width / 2.0)?
        .reshape(((), 1))
}

/// Responses smoothed from stimulus to stimulus, as `scipy.ndimage.gaussian_filter1d(resp, sigma,
/// axis=0)`: `sigma` is a number of rows, and at the ends the rows are continued in mirror image.
///
/// # Errors
/// If `resp` is no matrix, or `sigma` is not from 0, which changes nothing, to the number of rows.
pub fn smooth(resp: &Tensor, sigma: f64) -> Result<Tensor> {
    let (n, _) = resp.dims2()?;
    if !(0.0..=n as f64).contains(&sigma) {
        return Err(Error::Msg(format!(
            "smooth: expected a sigma from 0 to the number of stimuli, {n}, got {sigma}: 5 is what \
             the lesson takes"
        )));
    }
    if sigma == 0.0 {
        return Ok(resp.clone());
    }
    let reach = (4.0 * sigma + 0.5) as i64;
    let weight = |away: i64| (-0.5 * (away as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(weight).sum();
    let mut mixing = vec![0f32; n * n];
    for row in 0..n {
        for away in -reach..=reach {
            let at = (row as i64 + away).rem_euclid(2 * n as i64) as usize;
            let at = at.min(2 * n - 1 - at); // the mirror image
            mixing[row * n + at] += (weight(away) / total) as f32;
        }
    }
    Tensor::from_vec(mixing, (n, n), &Device::Cpu)?.matmul(resp)
}

/// The orientation to which each neuron responds most once its responses are smoothed over `sigma`
/// stimuli, in degrees, `(n_neurons,)`.
///
/// # Errors
/// If the shapes do not fit each other, or `sigma` is not as [`smooth`] wants it.
pub fn preferred_orientations(resp: &Tensor, stimuli: &Tensor, sigma: f64) -> Result<Tensor> {
    n_rows("preferred_orientations", resp, stimuli)?;
    let order = in_order(stimuli)?;
    let smoothed = smooth(&resp.index_select(&order, 0)?, sigma)?;
    let best = smoothed.argmax(0)?;
    stimuli
        .flatten_all()?
        .index_select(&order, 0)?
        .index_select(&best, 0)
}

/// The numbers of the stimuli in the order of their orientations.
fn in_order(stimuli: &Tensor) -> Result<Tensor> {
    let orientations = stimuli.values()?;
    let mut order: Vec<u32> = (0..orientations.len() as u32).collect();
    order.sort_by(|&a, &b| orientations[a as usize].total_cmp(&orientations[b as usize]));
    Tensor::new(order, &Device::Cpu)
}

/// Linear regression of orientation on responses, in closed form.
///
/// There are far more neurons than stimuli, so many weights fit the training set without an error.
/// With `ridge` 0 these are the smallest of them (minimum norm); above 0, smaller still:
/// `|| y - W r - b ||^2 + ridge || W ||^2` is least.
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
    /// If the shapes do not fit each other, or responses to different stimuli are the same.
    pub fn fit(resp: &Tensor, stimuli: &Tensor, ridge: f64) -> Result<Self> {
        let n = n_rows("LinearRegression::fit", resp, stimuli)?;
        let resp = resp.to_dtype(DType::F64)?;
        let mean_resp = resp.mean_keepdim(0)?; // (1, n_neurons)
        let centred = resp.broadcast_sub(&mean_resp)?;
        let y = stimuli.values()?;
        let mean_y = y.iter().sum::<f64>() / n as f64;
        let y: Vec<f64> = y.iter().map(|y| y - mean_y).collect();

        // W = X' a with (X X' + ridge) a = y: as many unknowns as stimuli, not as neurons.
        let mut gram = centred.matmul(&centred.t()?)?.values()?;
        let size = (0..n).map(|i| gram[i * n + i]).sum::<f64>() / n as f64;
        // Centred rows add up to nothing, so one direction is missing; y has no part in it.
        gram.iter_mut().for_each(|g| *g += size / n as f64);
        (0..n).for_each(|i| gram[i * n + i] += ridge);
        let a = solve(gram, y).ok_or_else(|| {
            Error::Msg(
                "LinearRegression::fit: expected responses that differ from stimulus to stimulus, \
                 got some that do not: fit with a ridge above 0"
                    .into(),
            )
        })?;
        let weights = centred
            .t()?
            .matmul(&Tensor::from_vec(a, (n, 1), &Device::Cpu)?)?;
        let offset = mean_resp.matmul(&weights)?.values()?[0];
        Ok(Self {
            weights: weights.to_dtype(DType::F32)?,
            bias: mean_y - offset,
        })
    }

    /// Decodes orientations.
    ///
    /// # Errors
    /// If there are not as many neurons as were fitted.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        resp.matmul(&self.weights)? + self.bias
    }
}

/// Solves `a x = b` for a symmetric positive definite matrix, by Cholesky's decomposition.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    let smallest = 1e-12 * (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = match i == j {
                true if rest <= smallest => return None,
                true => rest.sqrt(),
                false => rest / a[j * n + j],
            };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    Some(b)
}

/// Smoothing of the tuning curves from which the next two decoders work, in stimuli.
const SIGMA: f64 = 5.0;

/// Each neuron votes for its preferred orientation, as strongly as it responds (Georgopoulos et
/// al., Science 1986).
#[derive(Clone, Debug)]
pub struct PopulationVector {
    /// Sine and cosine of the preferred orientations, `(n_neurons, 2)`.
    directions: Tensor,
}

impl PopulationVector {
    /// Finds preferred orientations.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn fit(resp: &Tensor, stimuli: &Tensor) -> Result<Self> {
        let preferred = preferred_orientations(resp, stimuli, SIGMA)?;
        let directions = sin_cos(&preferred)?;
        Ok(Self { directions })
    }

    /// Decodes orientations.
    ///
    /// # Errors
    /// If there are not as many neurons as were fitted.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        angle(&resp.matmul(&self.directions)?)
    }
}

/// Compares a response with what the training set has for each orientation, smoothed, and takes the
/// orientation whose template correlates best.
#[derive(Clone, Debug)]
pub struct MatchedFilter {
    /// Of mean 0 and length 1 each, `(n_stimuli, n_neurons)`.
    templates: Tensor,
    /// In degrees, `(n_stimuli,)`.
    orientations: Tensor,
}

impl MatchedFilter {
    /// Makes the templates.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn fit(resp: &Tensor, stimuli: &Tensor) -> Result<Self> {
        n_rows("MatchedFilter::fit", resp, stimuli)?;
        let order = in_order(stimuli)?;
        let templates = smooth(&resp.index_select(&order, 0)?, SIGMA)?;
        let templates = templates.broadcast_sub(&templates.mean_keepdim(1)?)?;
        let lengths = templates.sqr()?.sum_keepdim(1)?.sqrt()?;
        Ok(Self {
            templates: templates.broadcast_div(&lengths)?,
            orientations: stimuli.flatten_all()?.index_select(&order, 0)?,
        })
    }

    /// Decodes orientations.
    ///
    /// # Errors
    /// If there are not as many neurons as were fitted.
    pub fn decode(&self, resp: &Tensor) -> Result<Tensor> {
        let best = resp.matmul(&self.templates.t()?)?.argmax(D::Minus1)?;
        self.orientations.index_select(&best, 0)?.unsqueeze(1)
    }
}

/// Sine and cosine of angles in degrees, `(n, 2)`.
pub(crate) fn sin_cos(degrees: &Tensor) -> Result<Tensor> {
    let radians = (degrees.reshape(((), 1))? * (std::f64::consts::PI / 180.0))?;
    Tensor::cat(&[radians.sin()?, radians.cos()?], 1)
}

/// Angles in degrees, 0 to below 360, `(n, 1)`, from what is proportional to their sine and cosine.
pub(crate) fn angle(sin_cos: &Tensor) -> Result<Tensor> {
    let pairs = sin_cos.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let degrees = |pair: &Vec<f32>| {
        let angle = pair[0].atan2(pair[1]).to_degrees().rem_euclid(360.0);
        if angle < 360.0 { angle } else { 0.0 } // 360 is what comes of a little below 0
    };
    let degrees: Vec<f32> = pairs.iter().map(degrees).collect();
    let n = degrees.len();
    Tensor::from_vec(degrees, (n, 1), &Device::Cpu)
}

/// What [`compare_decoders`] has found; in a notebook it shows itself.
#[derive(Clone, Debug)]
pub struct Comparison {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: &'static str,
    mean_squared_error: f64,
    circular_error: f64,
    seconds: f64,
    n_parameters: usize,
}

/// Fits all decoders of the bonus notebook to the training set, and measures them on the test set.
/// Takes some seconds.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn compare_decoders(
    resp_train: &Tensor,
    stimuli_train: &Tensor,
    resp_test: &Tensor,
    stimuli_test: &Tensor,
) -> Result<Comparison> {
    const N_CLASSES: usize = 20;
    let n_neurons = resp_train.dim(1)?;
    let seed = || TorchRng::manual_seed(1);
    let mut rows = Vec::new();
    // A decoder fits, decodes the test set, and says how many numbers it has adjusted.
    let mut measure = |name, decoder: &dyn Fn() -> Result<(Tensor, usize)>| -> Result<()> {
        let start = Instant::now();
        let (decoded, n_parameters) = quietly(decoder)?;
        rows.push(Row {
            name,
            mean_squared_error: loss::mse(&decoded, stimuli_test)?
                .to_scalar::<f32>()?
                .into(),
            circular_error: circular_error(&decoded, stimuli_test)?,
            seconds: start.elapsed().as_secs_f64(),
            n_parameters,
        });
        Ok(())
    };
    let regression = |ridge: f64| -> Result<(Tensor, usize)> {
        let fitted = LinearRegression::fit(resp_train, stimuli_train, ridge)?;
        Ok((fitted.decode(resp_test)?, n_neurons + 1))
    };
    measure("population vector", &|| {
        let fitted = PopulationVector::fit(resp_train, stimuli_train)?;
        Ok((fitted.decode(resp_test)?, n_neurons))
    })?;
    measure("matched filter", &|| {
        let fitted = MatchedFilter::fit(resp_train, stimuli_train)?;
        Ok((fitted.decode(resp_test)?, fitted.templates.elem_count()))
    })?;
    measure("linear regression, minimum norm", &|| regression(0.0))?;
    measure("linear regression, ridge 100", &|| regression(100.0))?;
    measure("network, M = 10", &|| {
        let net = DeepNetReLU::new(&mut seed(), n_neurons, 10)?;
        train(&net, loss::mse, resp_train, stimuli_train, 50, 1e-4)?;
        Ok((net.forward(resp_test)?, n_parameters(&net)))
    })?;
    measure("network, M = 10, sine and cosine", &|| {
        let net = Layers::new(&mut seed(), &[n_neurons, 10, 2])?;
        train(
            &net,
            loss::mse,
            resp_train,
            &sin_cos(stimuli_train)?,
            100,
            0.05,
        )?;
        Ok((angle(&net.forward(resp_test)?)?, n_parameters(&net)))
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
                match l2 > 0.0 {
                    true => loss + penalty(w_in, l2, l1)?,
                    false => Ok(loss),
                }
            };
            let classes = stimulus_class(stimuli_train, N_CLASSES)?;
            train(&net, loss_fn, resp_train, &classes, 300, 0.1)?;
            let out = net.forward(resp_test)?;
            let decoded = class_middles(&out.argmax(D::Minus1)?, N_CLASSES)?;
            Ok((decoded, n_parameters(&net)))
        })?;
    }
    Ok(Comparison { rows })
}

/// `l2` times the sum of the squared weights and `l1` times the sum of their sizes.
pub(crate) fn penalty(weights: &Tensor, l2: f64, l1: f64) -> Result<Tensor> {
    (weights.sqr()?.sum_all()? * l2)? + (weights.abs()?.sum_all()? * l1)?
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40} {:>12} {:>14} {:>8} {:>12}",
            "decoder", "MSE (deg²)", "circular (°)", "time (s)", "parameters"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<40} {:>12.1} {:>14.2} {:>8.2} {:>12}",
                row.name, row.mean_squared_error, row.circular_error, row.seconds, row.n_parameters
            )?;
        }
        Ok(())
    }
}

impl Comparison {
    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        let mut html = String::from(
            "<table><thead><tr><th>decoder</th><th>mean squared error (degrees²)</th>\
             <th>circular error (degrees)</th><th>time (s)</th><th>parameters</th></tr></thead>",
        );
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = write!(
                html,
                "<tr><td style='text-align: left'>{}</td><td>{:.1}</td><td>{:.2}</td><td>{:.2}</td>\
                 <td>{}</td></tr>",
                row.name, row.mean_squared_error, row.circular_error, row.seconds, row.n_parameters
            );
        }
        println!(
            "EVCXR_BEGIN_CONTENT text/html\n{html}</table>\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\n{self}\nEVCXR_END_CONTENT"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_below_360() -> Result<()> {
        let pairs = Tensor::new(&[[-1e-7f32, 1.0], [0.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
        assert_eq!(angle(&pairs)?.values()?, [0.0, 0.0, 90.0]);
        Ok(())
    }
}
