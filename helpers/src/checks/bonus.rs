//! Checks of the bonus notebook's exercises. None of them fails: see [`super::check_exercise_2_2`].

use candle_core::{D, DType, Device, Module, Result, Tensor, bail};
use candle_nn::loss;
use candle_nn::ops::log_softmax;

use super::{LossFn, Verdict, compare, expect_shape, run, uniform};
use crate::decoders::{angle, penalty, sin_cos};
use crate::net::DeepNetReLU;
use crate::rng::TorchRng;

/// Checks the gradient by hand: whether `gradient_of_w_in(&net, &r, &ori)` is the gradient of the
/// mean squared error with respect to `W_in`, `(n_hidden, n_inputs)`.
pub fn check_exercise_gradient(
    gradient_of_w_in: impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict::new(gradient(&gradient_of_w_in)))
}

/// Checks the way to sine and cosine and back: whether `to_sin_cos(&stimuli)` is `(n_stimuli, 2)`,
/// sine first, and `from_sin_cos(&out)` degrees from 0 to below 360, `(n_stimuli, 1)`.
pub fn check_exercise_sin_cos(
    to_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
    from_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict::new(round_trip(&to_sin_cos, &from_sin_cos)))
}

/// Checks the loss of a classifier: whether `nll(&log_p, &classes)` is minus the mean of the log
/// probabilities of the true classes.
pub fn check_exercise_nll(nll: LossFn) -> Result<Verdict> {
    Ok(Verdict::new(negative_log_likelihood(nll)))
}

/// Checks the penalty: whether `regularizer(&w_in, l2, l1)` is `l2` times the sum of the squared
/// weights plus `l1` times the sum of their absolute values.
pub fn check_exercise_penalty(
    regularizer: impl Fn(&Tensor, f64, f64) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict::new(regularization(&regularizer)))
}

#[rustfmt::skip] // one line each mistake
fn gradient(answer: &dyn Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>) -> Result<String> {
    let (n_stimuli, n_inputs, n_hidden) = (6, 7, 5);
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(3), n_inputs, n_hidden)?;
    let mut rng = TorchRng::manual_seed(5);
    let r = uniform(&mut rng, (n_stimuli, n_inputs), -2.0, 2.0)?;
    let ori = uniform(&mut rng, (n_stimuli, 1), 0.0, 4.0)?;
    let got = run(|| answer(&net, &r, &ori))?;
    if got.dims() == [n_inputs, n_hidden] {
        bail!(
            "the gradient should have the shape of W_in, ({n_hidden}, {n_inputs}), got its \
             transpose: which of the two goes first in the product?"
        )
    }
    expect_shape(&got, &[n_hidden, n_inputs], "the gradient")?;

    let p = n_stimuli as f64;
    let z = net.in_layer.forward(&r)?;
    let error = (net.forward(&r)? - &ori)?;
    let dl_dh = (error.matmul(net.out_layer.weight())? * (2.0 / p))?;
    let active = z.gt(0.0)?.to_dtype(DType::F32)?;
    let through = |slope: &Tensor| (&dl_dh * slope)?.t()?.matmul(&r);
    let expected = through(&active)?;
    let no_mask = through(&z.ones_like()?)?;
    let mistakes = vec![
        ((&expected * p)?, "that is the sum over the stimuli: the loss is their mean, so divide by their number P"),
        ((&expected * 0.5)?, "the 2 of the square's derivative is missing"),
        ((&expected * (0.5 * p))?, "the 2 of the square's derivative and the 1/P of the mean are missing"),
        (expected.neg()?, "the gradient is negated: the error is y minus the true orientation"),
        (no_mask.clone(), "units that are not active pass no gradient on: multiply by the slope of ReLU, 1 where the hidden unit is active and 0 elsewhere"),
        ((no_mask * p)?, "units that are not active pass no gradient on, and the mean's 1/P is missing"),
        (through(&z.relu()?)?, "that multiplies by h itself: the slope of ReLU is 1 where h > 0, whatever h is"),
    ];
    let backward = loss::mse(&net.forward(&r)?, &ori)?.backward()?;
    let expected = backward.get(net.in_layer.weight()).unwrap_or(&expected);
    compare(
        &got,
        expected,
        mistakes,
        |k| format!("number {k} of the gradient"),
        "go through the equations line by line: error, through W_out, through ReLU, times the responses",
    )?;
    Ok("the gradient of W_in is that of backward(), for a test net and test stimuli".into())
}

#[rustfmt::skip] // one line each mistake
fn round_trip(
    to: &dyn Fn(&Tensor) -> Result<Tensor>,
    from: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<String> {
    let degrees = [10f32, 30.0, 100.0, 135.0, 200.0, 300.0, 359.0];
    let n = degrees.len();
    let column = |values: [f32; 7]| Tensor::from_vec(values.to_vec(), (n, 1), &Device::Cpu);
    let stimuli = column(degrees)?;
    let got = run(|| to(&stimuli))?;
    expect_shape(&got, &[n, 2], "what to_sin_cos returns")?;
    let pairs = sin_cos(&stimuli)?;
    let (sin, cos) = (pairs.narrow(1, 0, 1)?, pairs.narrow(1, 1, 1)?);
    let mistakes = vec![
        (Tensor::cat(&[&cos, &sin], 1)?, "sine comes first, cosine second"),
        (Tensor::cat(&[stimuli.sin()?, stimuli.cos()?], 1)?, "sin() and cos() want radians: multiply degrees by pi / 180"),
        (Tensor::cat(&[&sin, &sin], 1)?, "that is the sine twice"),
    ];
    compare(
        &got,
        &pairs,
        mistakes,
        |k| format!("number {k} of to_sin_cos's result"),
        "the columns are sine and cosine of the orientation",
    )?;

    // A network's outputs do not lie on the circle, so the pairs have lengths other than 1.
    let pairs = (pairs * 0.7)?;
    let got = run(|| from(&pairs))?;
    expect_shape(&got, &[n, 1], "what from_sin_cos returns")?;
    let signed = degrees.map(|d| if d > 180.0 { d - 360.0 } else { d });
    let swapped = degrees.map(|d| (90.0 - d).rem_euclid(360.0));
    let mistakes = vec![
        (column(signed)?, "half of the angles are negative: orientations are 0 to 360 degrees, rem_euclid(360.0) brings them there"),
        (column(swapped)?, "sine and cosine are swapped: it is sine.atan2(cosine)"),
        (column(degrees.map(f32::to_radians))?, "that is in radians: to_degrees() makes degrees of them"),
    ];
    compare(
        &got,
        &angle(&pairs)?,
        mistakes,
        |k| format!("number {k} of from_sin_cos's result"),
        "the angle whose sine and cosine these are is sine.atan2(cosine)",
    )?;
    Ok(format!("sine and cosine, and back, are right for {n} orientations"))
}

#[rustfmt::skip] // one line each mistake
fn negative_log_likelihood(nll: LossFn) -> Result<String> {
    let out = uniform(&mut TorchRng::manual_seed(8), (5, 4), -2.0, 2.0)?;
    let log_p = log_softmax(&out, D::Minus1)?;
    let classes = Tensor::new(&[2u32, 0, 3, 3, 1], &Device::Cpu)?;
    let got = run(|| nll(&log_p, &classes))?;
    if got.elem_count() == 5 {
        bail!("the loss should be one number, got one for each stimulus: take the mean")
    }
    expect_shape(&got, &[], "the loss")?;
    let expected = loss::nll(&log_p, &classes)?;
    let of_true_class = log_p.gather(&classes.unsqueeze(1)?, 1)?;
    let mistakes = vec![
        (expected.neg()?, "the sign is missing: a loss is large where the network is wrong, and log p is largest, 0, where it is right"),
        ((&expected * 5.0)?, "that is the sum over the stimuli: take the mean"),
        ((&expected * -5.0)?, "that is the sum, without the minus: take the mean of -log p"),
        (of_true_class.exp()?.mean_all()?.neg()?, "log_p holds logarithms already: no exp()"),
        (log_p.mean_all()?.neg()?, "that is the mean over all classes: only the true class of each stimulus counts, see gather()"),
        (log_p.max(1)?.mean_all()?.neg()?, "that takes the likeliest class: take the true one"),
    ];
    compare(
        &got,
        &expected,
        mistakes,
        |_| "the loss".into(),
        "take log p of each stimulus' true class, the mean of these, and the minus",
    )?;
    Ok("the loss is the negative log-likelihood, for 5 stimuli of 4 classes".into())
}

#[rustfmt::skip] // one line each mistake
fn regularization(answer: &dyn Fn(&Tensor, f64, f64) -> Result<Tensor>) -> Result<String> {
    let weights = Tensor::new(&[[1f32, -2.0, 0.5], [0.0, 3.0, -1.5]], &Device::Cpu)?;
    let (l2, l1) = (0.3, 0.05);
    let got = run(|| answer(&weights, l2, l1))?;
    expect_shape(&got, &[], "the penalty")?;
    let l2_part = penalty(&weights, l2, 0.0)?;
    let l1_part = penalty(&weights, 0.0, l1)?;
    let root = (weights.sqr()?.sum_all()?.sqrt()? * l2)?;
    let signed = (weights.sum_all()? * l1)?;
    let expected = (&l2_part + &l1_part)?;
    let mistakes = vec![
        (penalty(&weights, l1, l2)?, "l1 and l2 are swapped"),
        (l2_part.clone(), "the L1 part is missing"),
        (l1_part.clone(), "the L2 part is missing"),
        ((&expected / 6.0)?, "these are means: take sums"),
        ((root + &l1_part)?, "no square root: the L2 part is the sum of the squares"),
        ((l2_part + signed)?, "abs() is missing: the L1 part is the sum of the absolute values"),
    ];
    compare(
        &got,
        &expected,
        mistakes,
        |_| "the penalty".into(),
        "it is l2 times the sum of the squares plus l1 times the sum of the absolute values",
    )?;
    Ok("the penalty is right, for test weights".into())
}
