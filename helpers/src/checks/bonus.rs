//! Checks of the bonus notebook's exercises. They fail as [`super::check_exercise_2_2`] does.

use candle_core::{D, DType, Device, Error, Module, Result, Tensor, Var, bail};
use candle_nn::loss;
use candle_nn::ops::log_softmax;

use super::{
    KEEP_GRADIENTS, LossFn, Mistakes, ROUNDING, Verdict, compare, expect_shape, first_mismatch,
    run, to_vec, uniform,
};
use crate::decoders::{angles, penalty, sin_cos};
use crate::net::DeepNetReLU;
use crate::rng::TorchRng;

/// Checks the gradient by hand: whether `gradient_of_w_in(&net, &r, &ori)` is the gradient of the
/// mean squared error with respect to `W_in`, `(n_hidden, n_inputs)`.
pub fn check_exercise_gradient(
    gradient_of_w_in: impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Verdict::new(gradient(&gradient_of_w_in))
}

/// Checks the way to sine and cosine and back: whether `to_sin_cos(&stimuli)` is `(n_stimuli, 2)`,
/// sine first, and `from_sin_cos(&out)` degrees from 0 to below 360, `(n_stimuli, 1)`.
pub fn check_exercise_sin_cos(
    to_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
    from_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Verdict::new(round_trip(&to_sin_cos, &from_sin_cos))
}

/// Checks the loss of a classifier: whether `nll(&log_p, &classes)` is minus the mean of the log
/// probabilities of the true classes.
pub fn check_exercise_nll(nll: LossFn) -> Result<Verdict> {
    Verdict::new(negative_log_likelihood(nll))
}

/// Checks the penalty: whether `regularizer(&w_in, l2, l1)` is `l2` times the sum of the squared
/// weights plus `l1` times the sum of their absolute values.
pub fn check_exercise_penalty(
    regularizer: impl Fn(&Tensor, f64, f64) -> Result<Tensor>,
) -> Result<Verdict> {
    Verdict::new(regularization(&regularizer))
}

type GradientOfWIn<'a> = dyn Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor> + 'a;

fn gradient(answer: &GradientOfWIn) -> Result<String> {
    compare_gradient(answer, 6, 4.0)?;
    compare_gradient(answer, 11, 1e4)?; // large gradients, which must not be clipped
    Ok("the gradient of W_in is that of backward(), for a test net and test stimuli".into())
}

#[rustfmt::skip] // one line each mistake
fn compare_gradient(answer: &GradientOfWIn, n_stimuli: usize, highest: f32) -> Result<()> {
    let (n_inputs, n_hidden) = (7, 5);
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(3), n_inputs, n_hidden)?;
    let mut rng = TorchRng::manual_seed(5);
    let r = uniform(&mut rng, (n_stimuli, n_inputs), -2.0, 2.0)?;
    let ori = uniform(&mut rng, (n_stimuli, 1), 0.0, highest)?;
    let got = run(|| answer(&net, &r, &ori))?;
    let hint = match *got.dims() {
        [n, m] if (n, m) == (n_inputs, n_hidden) => "its transpose: which of the two goes first in the product?",
        [1, m] if m == n_hidden => "that of W_out: the gradient goes on, through ReLU, to the responses",
        [m] if m == n_hidden => "that of b_in: multiply by the responses, do not sum",
        [n, m] if (n, m) == (n_stimuli, n_hidden) => "that of the hidden layer: multiply by the responses at the end",
        _ => "",
    };
    if !hint.is_empty() {
        bail!("the gradient should have the shape of W_in, ({n_hidden}, {n_inputs}), got {hint}")
    }
    expect_shape(&got, &[n_hidden, n_inputs], "the gradient")?;

    let backward = loss::mse(&net.forward(&r)?, &ori)?.backward()?;
    let Some(expected) = backward.get(net.in_layer.weight()) else { bail!("no gradient for W_in") };
    let mistakes = || {
        let p = n_stimuli as f64;
        let z = net.in_layer.forward(&r)?;
        let error = ((net.forward(&r)? - &ori)? * (2.0 / p))?;
        let dl_dh = error.matmul(net.out_layer.weight())?;
        let active = z.gt(0.0)?.to_dtype(DType::F32)?;
        let product = |dl_dz: Result<Tensor>| dl_dz?.t()?.matmul(&r);
        let no_mask = product(Ok(dl_dh.clone()))?;
        Ok(vec![
            ((expected * p)?, "that is the sum over the stimuli: the loss is their mean, so divide by their number P"),
            ((expected * 0.5)?, "the 2 of the square's derivative is missing"),
            ((expected * (0.5 * p))?, "the 2 of the square's derivative and the 1/P of the mean are missing"),
            ((expected * (p / 216.0))?, "216 is written out: P is the number of stimuli in r, r.dim(0)?"),
            (expected.neg()?, "the gradient is negated: the error is y minus the true orientation"),
            (no_mask.clone(), "units that are not active pass no gradient on: multiply by the slope of ReLU, 1 where the hidden unit is active and 0 elsewhere"),
            ((no_mask * p)?, "units that are not active pass no gradient on, and the mean's 1/P is missing"),
            (product(&dl_dh * z.relu()?)?, "that multiplies by h itself: the slope of ReLU is 1 where h > 0, whatever h is"),
            (product(&dl_dh * &z)?, "that multiplies by z itself: the slope of ReLU is 1 where z > 0, whatever z is"),
            (product(&dl_dh * (1.0 - &active)?)?, "that keeps the units that are not active: the slope of ReLU is 1 where z > 0"),
            (product(dl_dh.broadcast_mul(&active.mean_keepdim(0)?))?, "the mean of active is used: each stimulus has its own slopes"),
            (product(dl_dh.relu())?, "ReLU is applied to the gradient: multiply by its slope, active, instead"),
            (product(active.broadcast_mul(&error))?, "W_out is left out: the error goes back through w_out first"),
        ])
    };
    compare(
        &got,
        expected,
        ROUNDING,
        mistakes,
        |i| format!("the gradient of {n_stimuli} stimuli, row {}, column {}", i / n_inputs + 1, i % n_inputs + 1),
        "go through the equations line by line: error, through W_out, through ReLU, times the responses",
    )
}

/// Orientations without a pattern, each with the length of the pair that a network answers.
#[rustfmt::skip]
const ORIENTATIONS: [(f32, f32); 9] = [
    (5.37, 0.7), (12.34, 1.9), (77.77, 0.05), (100.4, 1.0), (135.25, 3.1), (190.66, 0.4),
    (245.5, 0.01), (310.12, 1.3), (351.8, 0.8),
];

fn column(values: &[f32]) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len(), 1), &Device::Cpu)
}

#[rustfmt::skip] // one line each mistake
fn round_trip(
    to: &dyn Fn(&Tensor) -> Result<Tensor>,
    from: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<String> {
    let n = ORIENTATIONS.len();
    let stimuli = column(&ORIENTATIONS.map(|(degrees, _)| degrees))?;
    let got = run(|| to(&stimuli))?;
    expect_shape(&got, &[n, 2], "what to_sin_cos returns")?;
    let pairs = sin_cos(&stimuli)?;
    let mistakes = || {
        let (sin, cos) = (pairs.narrow(1, 0, 1)?, pairs.narrow(1, 1, 1)?);
        let sines = |angles: Result<Tensor>| angles.and_then(|x| Tensor::cat(&[x.sin()?, x.cos()?], 1));
        Ok(vec![
            (Tensor::cat(&[&cos, &sin], 1)?, "sine comes first, cosine second"),
            (sines(Ok(stimuli.clone()))?, "sin() and cos() want radians: multiply degrees by pi / 180"),
            (sines(&stimuli * 1f64.to_degrees())?, "degrees are multiplied by 180 / pi: multiply by pi / 180"),
            (Tensor::cat(&[&sin, &sin], 1)?, "that is the sine twice"),
            (Tensor::cat(&[&cos, &cos], 1)?, "that is the cosine twice"),
            (Tensor::cat(&[&sin.neg()?, &cos], 1)?, "the sine is negated"),
            (sin_cos(&(&stimuli * 2.0)?)?, "that is the double angle: orientations run from 0 to 360 degrees here, take the angle itself"),
            (sin_cos(&(&stimuli * 0.5)?)?, "that is half of the angle: multiply degrees by pi / 180"),
        ])
    };
    compare(
        &got,
        &pairs,
        1.3e-3, // a constant may be rounded
        mistakes,
        |i| format!("to_sin_cos, row {}, column {} ({} degrees)", i / 2 + 1, i % 2 + 1, ORIENTATIONS[i / 2].0),
        "the columns are sine and cosine of the orientation",
    )?;

    let lengths = column(&ORIENTATIONS.map(|(_, length)| length))?;
    let pairs = pairs.broadcast_mul(&lengths)?;
    let got = run(|| from(&pairs))?;
    expect_shape(&got, &[n, 1], "what from_sin_cos returns")?;
    if to_vec(&got)?.iter().any(|angle| angle.is_nan()) {
        bail!("from_sin_cos returns NaN:\tasin() and acos() want numbers up to 1, which a network's are not: use sin.atan2(cos)")
    }
    let mistakes = || {
        type Angle = fn(f32, f32, f32) -> f32; // of sine, cosine and the right angle
        let mistakes: [(Angle, &str); 17] = [
            (|s, c, _| s.atan2(c).to_degrees(), "half of the angles are negative: orientations are 0 to 360 degrees, rem_euclid(360.0) brings them there"),
            (|s, c, _| s.atan2(c).to_degrees().abs(), "half of the angles are mirrored by abs(): rem_euclid(360.0) brings negative ones to 0 to 360"),
            (|s, c, _| s.atan2(c).to_degrees().max(0.0), "negative angles are cut off: rem_euclid(360.0) brings them to 0 to 360"),
            (|s, c, _| s.atan2(c).to_degrees() + 180.0, "all angles are shifted by 180 degrees: only negative ones need 360 more, rem_euclid(360.0) does it"),
            (|s, c, _| s.atan2(c).to_degrees() + 360.0, "all angles are shifted by 360 degrees: only negative ones need that, rem_euclid(360.0) does it"),
            (|s, c, _| c.atan2(s).to_degrees().rem_euclid(360.0), "sine and cosine are swapped: it is sine.atan2(cosine)"),
            (|s, c, _| c.atan2(s).to_degrees(), "sine and cosine are swapped, and negative angles need rem_euclid(360.0)"),
            (|_, _, a| a.to_radians(), "that is in radians: to_degrees() makes degrees of them"),
            (|s, c, _| s.atan2(c), "that is in radians, and some are negative: use to_degrees(), then rem_euclid(360.0)"),
            (|s, c, _| s.atan2(c).rem_euclid(360.0), "that is in radians: use to_degrees() before rem_euclid(360.0)"),
            (|_, _, a| 360.0 - a, "the angles are mirrored: the sine has the wrong sign"),
            (|_, _, a| a / 2.0, "the angles are halved: to_sin_cos does not double them"),
            (|_, _, a| (2.0 * a).rem_euclid(360.0), "the angles are doubled: to_sin_cos does not halve them"),
            (|_, _, a| a.rem_euclid(180.0), "the angles end at 180 degrees: bring them to 0 to 360, by rem_euclid(360.0)"),
            (|s, c, _| (s / c).atan().to_degrees(), "atan(sine / cosine) knows half of the circle only: use sine.atan2(cosine)"),
            (|s, c, _| (s / c).atan().to_degrees().rem_euclid(360.0), "atan(sine / cosine) knows half of the circle only: use sine.atan2(cosine)"),
            (|_, _, a| a.round(), "the angles are rounded to whole degrees: keep the fraction"),
        ];
        let result = |(angle, hint): (Angle, _)| {
            let pairs = pairs.to_vec2::<f32>()?;
            let angles = pairs.iter().zip(ORIENTATIONS).map(|(pair, (right, _))| angle(pair[0], pair[1], right));
            Ok((column(&angles.collect::<Vec<_>>())?, hint))
        };
        mistakes.into_iter().map(result).collect()
    };
    compare(
        &got,
        &angles(&pairs)?,
        ROUNDING,
        mistakes,
        |i| format!("from_sin_cos, row {}: sine and cosine of {} degrees, times {}", i + 1, ORIENTATIONS[i].0, ORIENTATIONS[i].1),
        "it is sine.atan2(cosine), in degrees, brought to 0 to 360 by rem_euclid(360.0)",
    )?;
    Ok(format!("sine and cosine, and back, are right for {n} orientations"))
}

/// Compares losses, each of another parameter, and then their gradients.
fn compare_losses(
    what: &str,
    parameters: &[&Var],
    got: &[Tensor],
    expected: &[Tensor],
    mistakes: impl FnOnce() -> Result<Mistakes>,
    otherwise: &str,
) -> Result<()> {
    for loss in got {
        expect_shape(loss, &[], what)?;
    }
    compare(
        &Tensor::stack(got, 0)?,
        &Tensor::stack(expected, 0)?,
        ROUNDING,
        mistakes,
        |i| format!("{what} of test case {}", i + 1),
        otherwise,
    )?;
    for (parameter, (got, expected)) in parameters.iter().zip(got.iter().zip(expected)) {
        let (got, expected) = (run(|| got.backward())?, expected.backward()?);
        let (Some(got), Some(expected)) = (got.get(parameter), expected.get(parameter)) else {
            bail!(
                "{what} is right, but has no gradient, so training would learn nothing from \
                 it:\t{KEEP_GRADIENTS}"
            )
        };
        if first_mismatch(got, expected, ROUNDING)?.is_some() {
            bail!("{what} is right, but its gradient is not:\t{KEEP_GRADIENTS}")
        }
    }
    Ok(())
}

struct Classified {
    out: Var, // (n_stimuli, n_classes)
    log_p: Tensor,
    classes: Tensor, // (n_stimuli,)
}

impl Classified {
    fn new(n_classes: usize, classes: &[u32]) -> Result<Self> {
        // Some probabilities are so low that adding a small number to them would show.
        let out = uniform(&mut TorchRng::manual_seed(8), (classes.len(), n_classes), -15.0, 15.0)?;
        let out = Var::from_tensor(&out)?;
        let log_p = log_softmax(&out, D::Minus1)?;
        Ok(Self { out, log_p, classes: Tensor::new(classes, &Device::Cpu)? })
    }
}

#[rustfmt::skip] // one line each mistake
fn negative_log_likelihood(nll: LossFn) -> Result<String> {
    let cases = [Classified::new(4, &[2, 0, 3, 3, 1])?, Classified::new(6, &[5, 0, 2])?];
    let mut got = Vec::new();
    for Classified { log_p, classes, .. } in &cases {
        let loss = run(|| nll(log_p, classes)).map_err(|err| match err.to_string() {
            hint if hint.contains("gather") => Error::Msg(format!("{hint}:\tgather(&index, 1) wants one index for each row, classes.unsqueeze(1)")),
            _ => err,
        })?;
        if loss.elem_count() == classes.elem_count() {
            bail!("the loss should be one number, got one for each stimulus: take the mean")
        }
        got.push(loss);
    }
    type Of = fn(&Classified) -> Result<Tensor>;
    let of_all = |loss: Of| cases.iter().map(loss).collect::<Result<Vec<_>>>();
    let mistakes = || {
        fn right(c: &Classified) -> Result<Tensor> {
            loss::nll(&c.log_p, &c.classes)
        }
        fn sum(c: &Classified) -> Result<Tensor> {
            right(c)? * c.log_p.dim(0)? as f64
        }
        let mistakes: [(Of, &str); 12] = [
            (|c| right(c)?.neg(), "the sign is missing: a loss is large where the network is wrong, and log p is largest, 0, where it is right"),
            (sum, "that is the sum over the stimuli: take the mean"),
            (|c| sum(c)?.neg(), "that is the sum, without the minus: take the mean of -log p"),
            (|c| right(c)? / c.log_p.dim(1)? as f64, "that divides by the number of classes as well: only the true class of each stimulus counts, divide by the number of stimuli"),
            (|c| right(c)?.neg()? / c.log_p.dim(1)? as f64, "that divides by the number of classes as well, and the minus is missing"),
            (|c| sum(c)? / c.log_p.dim(1)? as f64, "that divides by the number of classes: divide by the number of stimuli"),
            (|c| c.log_p.gather(&c.classes.unsqueeze(1)?, 1)?.exp()?.mean_all()?.neg(), "log_p holds logarithms already: no exp()"),
            (|c| c.log_p.mean_all()?.neg(), "that is the mean over all classes: only the true class of each stimulus counts, see gather()"),
            (|c| c.log_p.sum_all()?.neg()? / c.log_p.dim(0)? as f64, "that is the sum over all classes: only the true class of each stimulus counts, see gather()"),
            (|c| c.log_p.max(1)?.mean_all()?.neg(), "that takes the likeliest class: take the true one"),
            (|c| c.log_p.index_select(&c.classes, 1)?.mean_all()?.neg(), "index_select() takes each class from every row: gather() picks one from each row"),
            (|c| c.log_p.index_select(&c.classes, 1)?.sum_all()?.neg()? / c.log_p.dim(0)? as f64, "index_select() takes each class from every row: gather() picks one from each row"),
        ];
        mistakes.into_iter().map(|(loss, hint)| Ok((Tensor::stack(&of_all(loss)?, 0)?, hint))).collect()
    };
    compare_losses(
        "the loss",
        &cases.each_ref().map(|case| &case.out),
        &got,
        &of_all(|c| loss::nll(&c.log_p, &c.classes))?,
        mistakes,
        "take log p of each stimulus' true class, the mean of these, and the minus",
    )?;
    Ok("the loss is the negative log-likelihood, and so is its gradient, for 5 stimuli of 4 classes and 3 of 6".into())
}

struct Penalized {
    weights: Var,
    l2: f64,
    l1: f64,
}

impl Penalized {
    fn new(shape: (usize, usize), largest: f32, l2: f64, l1: f64) -> Result<Self> {
        let weights = uniform(&mut TorchRng::manual_seed(6), shape, -largest, 0.4 * largest)?;
        Ok(Self { weights: Var::from_tensor(&weights)?, l2, l1 })
    }

    /// A penalty with other factors than `l2` and `l1`.
    fn with(&self, l2: f64, l1: f64) -> Result<Tensor> {
        penalty(&self.weights, l2, l1)
    }
}

#[rustfmt::skip] // one line each mistake
fn regularization(answer: &dyn Fn(&Tensor, f64, f64) -> Result<Tensor>) -> Result<String> {
    let cases = [
        Penalized::new((2, 3), 3.0, 0.3, 0.05)?,
        Penalized::new((4, 5), 0.5, 0.04, 0.7)?,
        Penalized::new((3, 2), 40.0, 1e-3, 0.02)?,
    ];
    type Of = fn(&Penalized) -> Result<Tensor>;
    let of_all = |penalty: Of| cases.iter().map(penalty).collect::<Result<Vec<_>>>();
    let got = cases.iter().map(|c| run(|| answer(&c.weights, c.l2, c.l1)));
    let mistakes = || {
        let mistakes: [(Of, &str); 14] = [
            (|c| c.with(c.l1, c.l2), "l1 and l2 are swapped"),
            (|c| c.with(c.l2, 0.0), "the L1 part is missing"),
            (|c| c.with(0.0, c.l1), "the L2 part is missing"),
            (|c| c.with(c.l2, c.l1)? / c.weights.elem_count() as f64, "these are means: take sums"),
            (|c| c.with(c.l2 / 2.0, c.l1), "the L2 part is halved: it is l2 times the sum of the squares, without a factor 1/2"),
            (|c| c.with(1.0, 1.0), "l2 and l1 are left out: multiply each sum by its factor"),
            (|c| c.with(c.l2, 1.0), "l1 is left out: multiply the sum of the absolute values by it"),
            (|c| c.with(1.0, c.l1), "l2 is left out: multiply the sum of the squares by it"),
            (|c| c.with(c.l2 * c.l2, c.l1), "l2 is squared: multiply after squaring"),
            (|c| c.with(c.l2, -c.l1), "the L1 part is subtracted: add it"),
            (|c| (c.weights.sqr()?.sum_all()?.sqrt()? * c.l2)? + c.with(0.0, c.l1)?, "no square root: the L2 part is the sum of the squares"),
            (|c| c.with(c.l2, 0.0)? + (c.weights.sum_all()? * c.l1)?, "abs() is missing: the L1 part is the sum of the absolute values"),
            (|c| (c.weights.sum_all()?.sqr()? * c.l2)? + c.with(0.0, c.l1)?, "that squares the sum: square each weight, then sum"),
            (|c| c.with(c.l2, 0.0)? + (c.weights.sum_all()?.abs()? * c.l1)?, "that is the absolute value of the sum: take it of each weight, then sum"),
        ];
        mistakes.into_iter().map(|(penalty, hint)| Ok((Tensor::stack(&of_all(penalty)?, 0)?, hint))).collect()
    };
    compare_losses(
        "the penalty",
        &cases.each_ref().map(|case| &case.weights),
        &got.collect::<Result<Vec<_>>>()?,
        &of_all(|c| c.with(c.l2, c.l1))?,
        mistakes,
        "it is l2 times the sum of the squares plus l1 times the sum of the absolute values",
    )?;
    Ok(format!("the penalty and its gradient are right, for {} sets of weights", cases.len()))
}
