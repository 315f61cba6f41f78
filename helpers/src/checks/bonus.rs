//! Verdicts on the bonus notebook's exercises.

use candle_nn::ops::log_softmax;

use super::{Checked, LossFn, Verdict, difference, explained, odd, run};
use crate::decoders::{angle, penalty, sin_cos};
use crate::{D, DType, DeepNetReLU, Device, Result, Tensor, TorchRng, loss};

/// Checks the gradient by hand: whether `gradient_of_w_in(&net, &r, &ori)` is the gradient of the
/// mean squared error with respect to `W_in`, `(n_hidden, n_inputs)`.
///
/// # Errors
/// None: whatever is wrong with the answer, a panic in it included, is in the verdict.
pub fn check_exercise_gradient(
    gradient_of_w_in: impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict(gradient(&gradient_of_w_in)))
}

/// Checks the way to sine and cosine and back: whether `to_sin_cos(&stimuli)` is `(n_stimuli, 2)`,
/// sine first, and `from_sin_cos(&out)` degrees from 0 to below 360, `(n_stimuli, 1)`.
///
/// # Errors
/// None, as with [`check_exercise_gradient`].
pub fn check_exercise_sin_cos(
    to_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
    from_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict(there_and_back(&to_sin_cos, &from_sin_cos)))
}

/// Checks the loss of a classifier: whether `nll(&log_p, &classes)` is the mean of minus the log
/// probabilities that were given to the true classes.
///
/// # Errors
/// None, as with [`check_exercise_gradient`].
pub fn check_exercise_nll(nll: LossFn) -> Result<Verdict> {
    Ok(Verdict(negative_log_likelihood(nll)))
}

/// Checks the penalty: whether `regularizer(&w_in, l2, l1)` is `l2` times the sum of the squared
/// weights plus `l1` times the sum of their sizes.
///
/// # Errors
/// None, as with [`check_exercise_gradient`].
pub fn check_exercise_penalty(
    regularizer: impl Fn(&Tensor, f64, f64) -> Result<Tensor>,
) -> Result<Verdict> {
    Ok(Verdict(regularization(&regularizer)))
}

/// Says what is wrong with an answer's shape.
fn shaped(got: &Tensor, expected: &[usize], what: &str) -> Checked<()> {
    match got.dims() == expected {
        true => Ok(()),
        false => Err(format!(
            "{what} should have shape {expected:?}, got {:?}",
            got.dims()
        )),
    }
}

/// Compares an answer with what is right, and with what common mistakes give.
fn same(
    got: &Tensor,
    right: Result<Tensor>,
    mistakes: Result<Vec<(Tensor, &'static str)>>,
    what: &str,
    otherwise: &str,
) -> Checked<()> {
    let right = right.map_err(odd)?;
    let got = got.to_dtype(DType::F32).map_err(odd)?;
    let Some((k, number, expected)) = difference(&got, &right)? else {
        return Ok(());
    };
    let fits = |(wrong, _): &(Tensor, _)| wrong.dims() == got.dims();
    let mistakes = mistakes.map_err(odd)?.into_iter().filter(fits).collect();
    let hint = explained(&got, mistakes)?.unwrap_or(otherwise);
    Err(format!(
        "number {k} of {what} should be {expected:.4}, got {number:.4}: {hint}"
    ))
}

fn gradient(answer: &dyn Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>) -> Checked<String> {
    let (n_stimuli, n_inputs, n_hidden) = (6, 7, 5);
    let made_up = || -> Result<_> {
        let net = DeepNetReLU::new(&mut TorchRng::manual_seed(3), n_inputs, n_hidden)?;
        let mut rng = TorchRng::manual_seed(5);
        let r = rng.uniform(n_stimuli * n_inputs, -2.0, 2.0);
        let ori = rng.uniform(n_stimuli, 0.0, 4.0);
        let r = Tensor::from_vec(r, (n_stimuli, n_inputs), &Device::Cpu)?;
        Ok((net, r, Tensor::from_vec(ori, (n_stimuli, 1), &Device::Cpu)?))
    };
    let (net, r, ori) = made_up().map_err(odd)?;
    let got = run(|| answer(&net, &r, &ori))?;
    if got.dims() == [n_inputs, n_hidden] {
        return Err(format!(
            "the gradient should have the shape of W_in, ({n_hidden}, {n_inputs}), got its \
             transpose: which of the two goes first in the product?"
        ));
    }
    shaped(&got, &[n_hidden, n_inputs], "the gradient")?;

    let right = || -> Result<Tensor> {
        let loss = loss::mse(&net.forward(&r)?, &ori)?;
        let gradients = loss.backward()?;
        gradients
            .get(net.in_layer.weight())
            .cloned()
            .ok_or_else(|| crate::Error::Msg("none".into()))
    };
    let mistakes = || -> Result<Vec<(Tensor, &'static str)>> {
        let z = net.in_layer.forward(&r)?;
        let error = (net.forward(&r)? - &ori)?;
        let dl_dh = (error.matmul(net.out_layer.weight())? * (2.0 / n_stimuli as f64))?;
        let active = z.gt(0.0)?.to_dtype(DType::F32)?;
        let right = (&dl_dh * &active)?.t()?.matmul(&r)?;
        let without_mask = dl_dh.t()?.matmul(&r)?;
        let by_h = (&dl_dh * z.relu()?)?.t()?.matmul(&r)?;
        Ok(vec![
            (
                (&right * n_stimuli as f64)?,
                "that is the sum over the stimuli: the loss is their mean, so divide by their number P",
            ),
            (
                (&right * 0.5)?,
                "the 2 of the square's derivative is missing",
            ),
            (
                (&right * (0.5 * n_stimuli as f64))?,
                "the 2 of the square's derivative and the 1/P of the mean are missing",
            ),
            (
                right.neg()?,
                "the sign is turned: the error is y minus the true orientation",
            ),
            (
                without_mask.clone(),
                "units that are not active pass no gradient on: multiply by the slope of ReLU, 1 where the hidden unit is active and 0 elsewhere",
            ),
            (
                (without_mask * n_stimuli as f64)?,
                "units that are not active pass no gradient on, and the mean's 1/P is missing",
            ),
            (
                by_h,
                "that multiplies by h itself: the slope of ReLU is 1 where h > 0, whatever h is",
            ),
        ])
    };
    same(
        &got,
        right(),
        mistakes(),
        "the gradient",
        "go through the equations line by line: error, through W_out, through ReLU, times the responses",
    )?;
    Ok("the gradient of W_in is that of backward(), for a net and stimuli that are made up".into())
}

fn there_and_back(
    to: &dyn Fn(&Tensor) -> Result<Tensor>,
    from: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Checked<String> {
    let degrees = [10f32, 30.0, 100.0, 135.0, 200.0, 300.0, 359.0];
    let n = degrees.len();
    let stimuli = Tensor::from_vec(degrees.to_vec(), (n, 1), &Device::Cpu).map_err(odd)?;
    let got = run(|| to(&stimuli))?;
    shaped(&got, &[n, 2], "what to_sin_cos returns")?;
    let right = sin_cos(&stimuli);
    let mistakes = || -> Result<Vec<(Tensor, &'static str)>> {
        let (sin, cos) = (
            sin_cos(&stimuli)?.narrow(1, 0, 1)?,
            sin_cos(&stimuli)?.narrow(1, 1, 1)?,
        );
        Ok(vec![
            (
                Tensor::cat(&[&cos, &sin], 1)?,
                "sine comes first, cosine second",
            ),
            (
                Tensor::cat(&[stimuli.sin()?, stimuli.cos()?], 1)?,
                "sin() and cos() want radians: multiply degrees by pi / 180",
            ),
            (Tensor::cat(&[&sin, &sin], 1)?, "that is the sine twice"),
        ])
    };
    same(
        &got,
        right,
        mistakes(),
        "to_sin_cos's result",
        "the columns are sine and cosine of the orientation",
    )?;

    // Networks do not give points on the circle, so the pairs have lengths other than 1.
    let right = sin_cos(&stimuli)
        .and_then(|pairs| pairs * 0.7)
        .map_err(odd)?;
    let got = run(|| from(&right))?;
    shaped(&got, &[n, 1], "what from_sin_cos returns")?;
    let mistakes = || -> Result<Vec<(Tensor, &'static str)>> {
        let signed = degrees.map(|d| if d > 180.0 { d - 360.0 } else { d });
        let swapped = degrees.map(|d| (90.0 - d).rem_euclid(360.0));
        let column = |values: Vec<f32>| Tensor::from_vec(values, (n, 1), &Device::Cpu);
        Ok(vec![
            (
                column(signed.to_vec())?,
                "half of the angles are negative: orientations are 0 to 360 degrees, rem_euclid(360.0) brings them there",
            ),
            (
                column(swapped.to_vec())?,
                "sine and cosine are swapped: it is sine.atan2(cosine)",
            ),
            (
                column(degrees.map(f32::to_radians).to_vec())?,
                "that is in radians: to_degrees() makes degrees of them",
            ),
        ])
    };
    same(
        &got,
        angle(&right),
        mistakes(),
        "from_sin_cos's result",
        "the angle whose sine and cosine these are is sine.atan2(cosine)",
    )?;
    Ok(format!(
        "sine and cosine, and back, are right for {n} orientations"
    ))
}

fn negative_log_likelihood(nll: LossFn) -> Checked<String> {
    let made_up = || -> Result<_> {
        let out = TorchRng::manual_seed(8).uniform(5 * 4, -2.0, 2.0);
        let log_p = log_softmax(&Tensor::from_vec(out, (5, 4), &Device::Cpu)?, D::Minus1)?;
        Ok((log_p, Tensor::new(&[2u32, 0, 3, 3, 1], &Device::Cpu)?))
    };
    let (log_p, classes) = made_up().map_err(odd)?;
    let got = run(|| nll(&log_p, &classes))?;
    if got.elem_count() == 5 {
        return Err(
            "the loss should be one number, got one for each stimulus: take the mean".into(),
        );
    }
    shaped(&got, &[], "the loss")?;
    let mistakes = || -> Result<Vec<(Tensor, &'static str)>> {
        let right = loss::nll(&log_p, &classes)?;
        let chosen = log_p.gather(&classes.unsqueeze(1)?, 1)?;
        Ok(vec![
            (
                right.neg()?,
                "the sign is missing: a loss is large where the network is wrong, and log p is largest, 0, where it is right",
            ),
            (
                (&right * 5.0)?,
                "that is the sum over the stimuli: take the mean",
            ),
            (
                (&right * -5.0)?,
                "that is the sum, without the minus: take the mean of -log p",
            ),
            (
                chosen.exp()?.mean_all()?.neg()?,
                "log_p holds logarithms already: no exp()",
            ),
            (
                log_p.mean_all()?.neg()?,
                "that is the mean over all classes: only the true class of each stimulus counts, see gather()",
            ),
            (
                log_p.max(1)?.mean_all()?.neg()?,
                "that takes the likeliest class: take the true one",
            ),
        ])
    };
    same(
        &got,
        loss::nll(&log_p, &classes),
        mistakes(),
        "the result",
        "take log p of each stimulus' true class, the mean of these, and the minus",
    )?;
    Ok("the loss is the negative log-likelihood, for 5 stimuli of 4 classes".into())
}

fn regularization(answer: &dyn Fn(&Tensor, f64, f64) -> Result<Tensor>) -> Checked<String> {
    let weights = Tensor::new(&[[1f32, -2.0, 0.5], [0.0, 3.0, -1.5]], &Device::Cpu).map_err(odd)?;
    let (l2, l1) = (0.3, 0.05);
    let got = run(|| answer(&weights, l2, l1))?;
    shaped(&got, &[], "the penalty")?;
    let mistakes = || -> Result<Vec<(Tensor, &'static str)>> {
        let mean = (penalty(&weights, l2, l1)? / 6.0)?;
        let root = (weights.sqr()?.sum_all()?.sqrt()? * l2)?;
        Ok(vec![
            (penalty(&weights, l1, l2)?, "l1 and l2 are swapped"),
            (penalty(&weights, l2, 0.0)?, "the L1 part is missing"),
            (penalty(&weights, 0.0, l1)?, "the L2 part is missing"),
            (mean, "these are means: take sums"),
            (
                (root + (weights.abs()?.sum_all()? * l1)?)?,
                "no square root: the L2 part is the sum of the squares",
            ),
            (
                (penalty(&weights, l2, 0.0)? + (weights.sum_all()? * l1)?)?,
                "abs() is missing: the L1 part is the sum of the weights' sizes",
            ),
        ])
    };
    same(
        &got,
        penalty(&weights, l2, l1),
        mistakes(),
        "the result",
        "it is l2 times the sum of the squares plus l1 times the sum of the sizes",
    )?;
    Ok("the penalty is right, for weights that are made up".into())
}
