//! Checks of the bonus notebook's exercises. Like [`super::check_exercise_2_2`], they return an error
//! only while nbgrader grades.

use candle_core::{D, DType, Device, Error, Module, Result, Tensor, Var, bail};
use candle_nn::loss;
use candle_nn::ops::log_softmax;

use super::{
    KEEP_GRADIENTS, ROUNDING, Verdict, compare, expect_shape, flatten, mismatch, run, to_vec,
    uniform,
};
use crate::decoders::{angles, penalty, sin_cos};
use crate::net::{DeepNetReLU, Network};
use crate::rng::TorchRng;
use crate::session::first_line;

/// Checks bonus exercise 2.1: whether `gradient_of_w_in(&net, &r, &ori)` is the gradient of the mean
/// squared error with respect to `W_in`, `(n_hidden, n_inputs)`.
pub fn check_exercise_gradient(
    gradient_of_w_in: impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    Verdict::new(gradient(&gradient_of_w_in))
}

/// Checks bonus exercise 4.1: whether `to_sin_cos(&stimuli)` returns sine and cosine,
/// `(n_stimuli, 2)`, and `from_sin_cos(&out)` returns degrees from 0 to 360, `(n_stimuli, 1)`.
pub fn check_exercise_sin_cos(
    to_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
    from_sin_cos: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Verdict> {
    let parts = [
        ("to_sin_cos", sines_and_cosines(&to_sin_cos)),
        ("from_sin_cos", angles_of_pairs(&from_sin_cos)),
    ];
    if parts.iter().all(|(_, part)| part.is_ok()) {
        let n = ORIENTATIONS.len();
        return Verdict::new(Ok(format!("both functions are right for {n} orientations")));
    }
    let lines = parts.map(|(name, part)| match part {
        Ok(()) => format!("{name} is right."),
        Err(err) => format!("{name}: {}.", first_line(err)),
    });
    Verdict::new(Err(Error::Msg(lines.join("\t"))))
}

/// Checks bonus exercise 4.2: whether `nll(&log_p, &classes)` is minus the mean of the log
/// probabilities of the true classes.
pub fn check_exercise_nll(nll: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Verdict> {
    Verdict::new(negative_log_likelihood(&nll))
}

/// Checks bonus exercise 6: whether the penalty `regularizer(&w_in, l2, l1)` is `l2` times the sum of
/// the squared weights plus `l1` times the sum of their absolute values.
pub fn check_exercise_penalty(
    regularizer: impl Fn(&Tensor, f64, f64) -> Result<Tensor>,
) -> Result<Verdict> {
    Verdict::new(weight_penalty(&regularizer))
}

#[rustfmt::skip] // one line each mistake
fn gradient(answer: &dyn Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor>) -> Result<String> {
    // Large gradients show whether the answer clips them.
    for (n_stimuli, highest) in [(6, 4.0), (11, 1e4)] {
        let (n_inputs, n_hidden) = (7, 5);
        let net = DeepNetReLU::new(&mut TorchRng::manual_seed(3), n_inputs, n_hidden)?;
        let mut rng = TorchRng::manual_seed(5);
        let r = uniform(&mut rng, (n_stimuli, n_inputs), -2.0, 2.0)?;
        let ori = uniform(&mut rng, (n_stimuli, 1), -highest, highest)?; // for errors of both signs
        let before = flatten(&net.vars())?;
        let got = run(|| answer(&net, &r, &ori))?;
        if flatten(&net.vars())? != before {
            bail!("gradient_of_w_in() changes the parameters of net: only compute the gradient")
        }
        let hint = match *got.dims() {
            [n, m] if (n, m) == (n_inputs, n_hidden) => "swap the factors of the last product: this is the transpose",
            [1, m] if m == n_hidden => "go on through w_out and the ReLU to the responses: this has the shape of W_out",
            [m] if m == n_hidden => "multiply by the responses instead of summing: this has the shape of b_in",
            [n, m] if (n, m) == (n_stimuli, n_hidden) => "multiply by the responses at the end: this has the shape of the hidden layer",
            _ => "",
        };
        if !hint.is_empty() {
            bail!("the gradient should have the shape of W_in, ({n_hidden}, {n_inputs}):\t{hint}")
        }
        expect_shape(&got, &[n_hidden, n_inputs], "the gradient")?;

        let backward = loss::mse(&net.forward(&r)?, &ori)?.backward()?;
        let expected = backward.get(net.in_layer.weight()).expect("the loss depends on W_in");
        let mistakes = || {
            let p = n_stimuli as f64;
            let z = net.in_layer.forward(&r)?;
            let error = ((net.forward(&r)? - &ori)? * (2.0 / p))?;
            let dl_dh = error.matmul(net.out_layer.weight())?;
            let active = z.gt(0.0)?.to_dtype(DType::F32)?;
            let product = |dl_dz: Result<Tensor>| dl_dz?.t()?.matmul(&r);
            let no_mask = product(Ok(dl_dh.clone()))?;
            Ok(vec![
                ((expected * p)?, "divide by the number of stimuli P: this is the gradient of the sum, and the loss is the mean"),
                ((expected * 0.5)?, "multiply by 2, from the derivative of the square"),
                ((expected * (0.5 * p))?, "multiply by 2 / P: the square gives the 2, the mean gives the 1 / P"),
                ((expected * (p / 216.0))?, "divide by r.dim(0)?, the number of stimuli in r, instead of 216"),
                (expected.neg()?, "change the sign: the error is the output minus the true orientation"),
                (no_mask.clone(), "multiply by active, the slope of the ReLU: inactive units pass no gradient on"),
                ((no_mask * p)?, "multiply by active, the slope of the ReLU, and divide by the number of stimuli P"),
                (product(&dl_dh * z.relu()?)?, "multiply by active instead of h: the slope of the ReLU is 1 wherever h > 0"),
                (product(&dl_dh * &z)?, "multiply by active instead of z: the slope of the ReLU is 1 wherever z > 0"),
                (product(&dl_dh * (1.0 - &active)?)?, "multiply by active instead of 1 - active: the slope of the ReLU is 1 where z > 0"),
                (product(dl_dh.broadcast_mul(&active.mean_keepdim(0)?))?, "multiply by active without taking its mean: each stimulus has its own active units"),
                (product(dl_dh.relu())?, "multiply the gradient by active instead of applying relu() to it"),
                (product(active.broadcast_mul(&error))?, "multiply the error by w_out: it goes back through the output layer first"),
            ])
        };
        compare(
            &got,
            expected,
            ROUNDING,
            mistakes,
            |i| format!("the gradient of {n_stimuli} stimuli, row {}, column {}", i / n_inputs + 1, i % n_inputs + 1),
            "follow the equation factor by factor: the error times 2 / P, times w_out, times active, times the responses",
        )?;
    }
    Ok("your gradient of W_in equals that of backward(), for a test net and test stimuli".into())
}

/// Orientations without a pattern, each with a factor for its sine and cosine, because the outputs of a
/// network do not lie on the unit circle.
#[rustfmt::skip]
const ORIENTATIONS: [(f32, f32); 9] = [
    (5.3736, 0.7), (12.3449, 1.9), (77.7751, 0.05), (100.4, 1.0), (135.25, 3.1), (190.66, 0.4),
    (245.5, 0.01), (310.12, 1.3), (351.8, 0.8),
];

fn column(values: &[f32]) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len(), 1), &Device::Cpu)
}

#[rustfmt::skip] // one line each mistake
fn sines_and_cosines(to: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    let stimuli = column(&ORIENTATIONS.map(|(degrees, _)| degrees))?;
    let got = run(|| to(&stimuli))?;
    expect_shape(&got, &[ORIENTATIONS.len(), 2], "the result")?;
    let pairs = sin_cos(&stimuli)?;
    let mistakes = || {
        let (sin, cos) = (pairs.narrow(1, 0, 1)?, pairs.narrow(1, 1, 1)?);
        let sines = |angles: Result<Tensor>| angles.and_then(|x| Tensor::cat(&[x.sin()?, x.cos()?], 1));
        Ok(vec![
            (Tensor::cat(&[&cos, &sin], 1)?, "put the sine first and the cosine second"),
            (sines(Ok(stimuli.clone()))?, "convert degrees to radians first: multiply by pi / 180"),
            (sines(&stimuli * 1f64.to_degrees())?, "multiply by pi / 180 instead of 180 / pi"),
            (Tensor::cat(&[&sin, &sin], 1)?, "use the cosine in the second column: both columns are the sine"),
            (Tensor::cat(&[&cos, &cos], 1)?, "use the sine in the first column: both columns are the cosine"),
            (Tensor::cat(&[&sin.neg()?, &cos], 1)?, "change the sign of the sine"),
            (sin_cos(&(&stimuli * 2.0)?)?, "use the angle itself, not the double angle: orientations run from 0 to 360 degrees here"),
            (sin_cos(&(&stimuli * 0.5)?)?, "multiply degrees by pi / 180: this is half the angle"),
        ])
    };
    compare(
        &got,
        &pairs,
        1.3e-3, // a constant may be rounded
        mistakes,
        |i| format!("row {}, column {} ({} degrees)", i / 2 + 1, i % 2 + 1, ORIENTATIONS[i / 2].0),
        "return the sine of degrees times pi / 180 in column 1 and its cosine in column 2",
    )?;
    // Of a small angle, a rounded constant changes little.
    let smallest = |t: &Tensor| t.narrow(0, 0, 1);
    if mismatch(&smallest(&got)?, &smallest(&pairs)?, 2e-5)?.is_some() {
        bail!("keep all digits: these numbers are rounded")
    }
    Ok(())
}

#[rustfmt::skip] // one line each mistake
fn angles_of_pairs(from: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    let factors = column(&ORIENTATIONS.map(|(_, factor)| factor))?;
    let pairs = sin_cos(&column(&ORIENTATIONS.map(|(degrees, _)| degrees))?)?.broadcast_mul(&factors)?;
    let got = run(|| from(&pairs))?;
    expect_shape(&got, &[ORIENTATIONS.len(), 1], "the result")?;
    if to_vec(&got)?.iter().any(|angle| angle.is_nan()) {
        bail!("the result has NaN:\tuse sin.atan2(cos): asin() and acos() give NaN above 1, and a network can output more than 1")
    }
    let mistakes = || {
        type Angle = fn(f32, f32, f32) -> f32; // of sine, cosine and the right angle
        let mistakes: [(Angle, &str); 17] = [
            (|s, c, _| s.atan2(c).to_degrees(), "use rem_euclid(360.0): half of the angles are negative, and orientations run from 0 to 360 degrees"),
            (|s, c, _| s.atan2(c).to_degrees().abs(), "use rem_euclid(360.0) instead of abs(), which mirrors the negative angles"),
            (|s, c, _| s.atan2(c).to_degrees().max(0.0), "use rem_euclid(360.0) for negative angles instead of setting them to 0"),
            (|s, c, _| s.atan2(c).to_degrees() + 180.0, "use rem_euclid(360.0) instead of adding 180: only negative angles need a shift, by 360 degrees"),
            (|s, c, _| s.atan2(c).to_degrees() + 360.0, "use rem_euclid(360.0) instead of adding 360: only negative angles need a shift"),
            (|s, c, _| c.atan2(s).to_degrees().rem_euclid(360.0), "use sin.atan2(cos): sine and cosine are swapped"),
            (|s, c, _| c.atan2(s).to_degrees(), "use sin.atan2(cos), then rem_euclid(360.0): sine and cosine are swapped, and some angles are negative"),
            (|_, _, a| a.to_radians(), "convert to degrees with to_degrees(): this is in radians"),
            (|s, c, _| s.atan2(c), "use to_degrees(), then rem_euclid(360.0): this is in radians, and some angles are negative"),
            (|s, c, _| s.atan2(c).rem_euclid(360.0), "use to_degrees() before rem_euclid(360.0): this is in radians"),
            (|_, _, a| 360.0 - a, "change the sign of the sine: the angles are mirrored"),
            (|_, _, a| a / 2.0, "do not halve the angles: to_sin_cos does not double them"),
            (|_, _, a| (2.0 * a).rem_euclid(360.0), "do not double the angles: to_sin_cos does not halve them"),
            (|_, _, a| a.rem_euclid(180.0), "use rem_euclid(360.0): these angles end at 180 degrees"),
            (|s, c, _| (s / c).atan().to_degrees(), "use sin.atan2(cos): atan(sin / cos) covers only half of the circle"),
            (|s, c, _| (s / c).atan().to_degrees().rem_euclid(360.0), "use sin.atan2(cos): atan(sin / cos) covers only half of the circle"),
            (|_, _, a| a.floor(), "keep the fraction of a degree"),
        ];
        let result = |(angle, hint): (Angle, _)| {
            let pairs = pairs.to_vec2::<f32>()?;
            let angles = pairs.iter().zip(ORIENTATIONS).map(|(pair, (right, _))| angle(pair[0], pair[1], right));
            Ok((Tensor::from_iter(angles, &Device::Cpu)?.unsqueeze(1)?, hint))
        };
        mistakes.into_iter().map(result).collect()
    };
    compare(
        &got,
        &angles(&pairs)?,
        1e-6,
        mistakes,
        |i| format!("row {} (sine and cosine of {} degrees, times {})", i + 1, ORIENTATIONS[i].0, ORIENTATIONS[i].1),
        "use sin.atan2(cos), convert to degrees, and bring negative angles to 0 to 360 with rem_euclid(360.0)",
    )
}

/// Computes a loss on one test case.
type Loss<Case> = fn(&Case) -> Result<Tensor>;

/// Compares a loss on each test case, and then its gradient for that case's parameter.
fn compare_losses<Case>(
    what: &str,
    (cases, parameter): (&[Case], fn(&Case) -> &Var),
    got: &[Tensor],
    expected: Loss<Case>,
    mistakes: &[(Loss<Case>, &'static str)],
    otherwise: &str,
) -> Result<()> {
    let of_all = |loss: Loss<Case>| cases.iter().map(loss).collect::<Result<Vec<_>>>();
    for loss in got {
        expect_shape(loss, &[], what)?;
    }
    let expected = of_all(expected)?;
    let stacked = |&(loss, hint): &(Loss<Case>, _)| Ok((Tensor::stack(&of_all(loss)?, 0)?, hint));
    compare(
        &Tensor::stack(got, 0)?,
        &Tensor::stack(&expected, 0)?,
        ROUNDING,
        || mistakes.iter().map(stacked).collect(),
        |i| format!("{what} of test case {}", i + 1),
        otherwise,
    )?;
    for (case, (got, expected)) in cases.iter().zip(got.iter().zip(&expected)) {
        let (got, expected) = (run(|| got.backward())?, expected.backward()?);
        let (Some(got), Some(expected)) = (got.get(parameter(case)), expected.get(parameter(case)))
        else {
            bail!(
                "{what} is right, but has no gradient, so training would learn nothing from \
                 it:\t{KEEP_GRADIENTS}"
            )
        };
        if mismatch(got, expected, ROUNDING)?.is_some() {
            bail!(
                "{what} is right, but its gradient is not:\tleave out what changes the gradient, such \
                 as detach() or a small number that is added"
            )
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
        // Some probabilities are so low that an answer which adds a small number to them differs.
        let out = uniform(&mut TorchRng::manual_seed(8), (classes.len(), n_classes), -15.0, 15.0)?;
        let out = Var::from_tensor(&out)?;
        let log_p = log_softmax(&out, D::Minus1)?;
        Ok(Self { out, log_p, classes: Tensor::new(classes, &Device::Cpu)? })
    }
}

#[rustfmt::skip] // one line each mistake
fn negative_log_likelihood(nll: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<String> {
    let cases = [Classified::new(4, &[2, 0, 3, 3, 1])?, Classified::new(6, &[5, 0, 2])?];
    let mut got = Vec::new();
    for Classified { log_p, classes, .. } in &cases {
        let loss = run(|| nll(log_p, classes)).map_err(|err| match err.to_string() {
            hint if hint.contains("in gather") => Error::Msg(format!("{hint}:\tuse classes.unsqueeze(1)? as index: gather(&index, 1) needs one row of it for each row of log_p")),
            _ => err,
        })?;
        if loss.elem_count() == classes.elem_count() {
            bail!("take the mean over the stimuli: the loss should be one number, got one for each stimulus")
        }
        got.push(loss);
    }
    fn right(c: &Classified) -> Result<Tensor> {
        loss::nll(&c.log_p, &c.classes)
    }
    fn sum(c: &Classified) -> Result<Tensor> {
        right(c)? * c.log_p.dim(0)? as f64
    }
    let mistakes: [(Loss<Classified>, &str); 13] = [
        (|c| right(c)?.neg(), "change the sign: log p is largest, 0, where the network is right, and there the loss should be smallest"),
        (sum, "take the mean over the stimuli instead of the sum"),
        (|c| sum(c)?.neg(), "take the mean over the stimuli instead of the sum, and change the sign"),
        (|c| right(c)? / c.log_p.dim(1)? as f64, "divide by the number of stimuli only: this is also divided by the number of classes"),
        (|c| right(c)?.neg()? / c.log_p.dim(1)? as f64, "divide by the number of stimuli only, not by the number of classes, and change the sign"),
        (|c| sum(c)? / 216.0, "divide by log_p.dim(0)?, the number of stimuli in log_p, instead of 216"),
        (|c| sum(c)? / c.log_p.dim(1)? as f64, "divide by the number of stimuli instead of the number of classes"),
        (|c| c.log_p.gather(&c.classes.unsqueeze(1)?, 1)?.exp()?.mean_all()?.neg(), "leave out exp(): the loss is the mean of log p, not of p"),
        (|c| c.log_p.mean_all()?.neg(), "pick the true class of each stimulus with gather(): this is the mean over all classes"),
        (|c| c.log_p.sum_all()?.neg()? / c.log_p.dim(0)? as f64, "pick the true class of each stimulus with gather(): this is the sum over all classes"),
        (|c| c.log_p.max(1)?.mean_all()?.neg(), "pick the true class of each stimulus: this is the most probable class"),
        (|c| c.log_p.index_select(&c.classes, 1)?.mean_all()?.neg(), "use gather(), which picks one class from each row: index_select() picks each class from all rows"),
        (|c| c.log_p.index_select(&c.classes, 1)?.sum_all()?.neg()? / c.log_p.dim(0)? as f64, "use gather(), which picks one class from each row: index_select() picks each class from all rows"),
    ];
    compare_losses(
        "the loss",
        (&cases, |c| &c.out),
        &got,
        right,
        &mistakes,
        "take log p of the true class of each stimulus, then the mean over stimuli, then the minus sign",
    )?;
    Ok("the loss and its gradient are right, for 5 stimuli of 4 classes and 3 of 6".into())
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
fn weight_penalty(answer: &dyn Fn(&Tensor, f64, f64) -> Result<Tensor>) -> Result<String> {
    let cases = [
        Penalized::new((2, 3), 3.0, 0.3, 0.05)?,
        Penalized::new((4, 5), 0.5, 0.04, 0.7)?,
        Penalized::new((3, 2), 40.0, 1e-3, 0.02)?,
    ];
    let got = cases.iter().map(|c| run(|| answer(&c.weights, c.l2, c.l1)));
    let mistakes: [(Loss<Penalized>, &str); 17] = [
        (|c| c.with(c.l1, c.l2), "swap l1 and l2"),
        (|c| c.with(c.l2, 0.0), "add the L1 part, l1 × (sum of absolute weights)"),
        (|c| c.with(0.0, c.l1), "add the L2 part, l2 × (sum of squared weights)"),
        (|c| c.with(c.l2, c.l1)? / c.weights.elem_count() as f64, "take sums instead of means"),
        (|c| c.with(c.l2 / 2.0, c.l1), "leave out the factor 1/2 of the L2 part"),
        (|c| c.with(1.0, 1.0), "multiply each sum by its factor, l2 or l1"),
        (|c| c.with(c.l2, 1.0), "multiply the sum of absolute weights by l1"),
        (|c| c.with(1.0, c.l1), "multiply the sum of squared weights by l2"),
        (|c| c.with(c.l2, c.l2), "multiply the sum of absolute weights by l1, not by l2"),
        (|c| c.with(c.l1, c.l1), "multiply the sum of squared weights by l2, not by l1"),
        (|c| c.with(1e-2, 5e-4), "multiply by the arguments l2 and l1 instead of fixed numbers"),
        (|c| c.with(c.l2 * c.l2, c.l1), "square the weights first, then multiply by l2: here l2 is squared as well"),
        (|c| c.with(c.l2, -c.l1), "add the L1 part instead of subtracting it"),
        (|c| (c.weights.sqr()?.sum_all()?.sqrt()? * c.l2)? + c.with(0.0, c.l1)?, "leave out the square root: the L2 part is the sum of squared weights"),
        (|c| c.with(c.l2, 0.0)? + (c.weights.sum_all()? * c.l1)?, "use abs() for the L1 part, which is the sum of absolute weights"),
        (|c| (c.weights.sum_all()?.sqr()? * c.l2)? + c.with(0.0, c.l1)?, "square each weight first, then sum: this is the square of the sum"),
        (|c| c.with(c.l2, 0.0)? + (c.weights.sum_all()?.abs()? * c.l1)?, "take the absolute value of each weight first, then sum: this is the absolute value of the sum"),
    ];
    compare_losses(
        "the penalty",
        (&cases, |c| &c.weights),
        &got.collect::<Result<Vec<_>>>()?,
        |c| c.with(c.l2, c.l1),
        &mistakes,
        "use l2 × (sum of squared weights) + l1 × (sum of absolute weights)",
    )?;
    Ok(format!("the penalty and its gradient are right, for {} sets of weights", cases.len()))
}
