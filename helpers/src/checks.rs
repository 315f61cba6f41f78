//! Checks of the learner's answers to the coding exercises.
//!
//! An answer is right if it computes the right numbers, and the right gradients where a network is
//! trained with it, however it is written. So a check runs the answer on test data and compares the
//! result with a reference. If they differ, the check computes the results of common mistakes. The
//! mistake that has the same result as the answer gives the hint.
//!
//! In this module a hint is an error, so `?` passes on hints in the same way as candle's errors. A
//! tab in a hint begins a new line in HTML.

mod bonus;
mod training;
pub mod unanswered;

use std::cmp::Reverse;
use std::{env, fmt};

use candle_core::{DType, Device, Error, Module, Result, Tensor, Var, bail};
use candle_nn::ops;

use crate::kernel::{Formats, show};
use crate::net::{DeepNetReLU, Network};
use crate::rng::TorchRng;
use crate::session::{catch_panic, finally, first_line, panic_message};
use crate::unsolved;

pub use bonus::*;
pub use training::{Answer, Check, LossFn, check_exercise_3_2};

/// What a check says. In a notebook it shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict(std::result::Result<String, String>);

impl Verdict {
    /// While nbgrader grades, "not yet" is an error: it gives 0 points.
    fn new(checked: Result<String>) -> Result<Self> {
        let verdict = Self(checked.map_err(first_line));
        if !verdict.is_ok() && env::var_os("NBGRADER_EXECUTION").is_some() {
            bail!("{verdict}")
        }
        Ok(verdict)
    }

    /// Whether the answer is right.
    pub fn is_ok(&self) -> bool {
        self.0.is_ok()
    }

    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        show(&Formats::from([("text/plain", self.to_string()), ("text/html", self.html())]));
    }

    /// The verdict as a notebook shows it.
    pub fn html(&self) -> String {
        let (sign, color, verdict, message) = match &self.0 {
            Ok(verified) => ("✓", "#2a9d4a", "ok", verified),
            Err(hint) => ("✗", "#d9640d", "not yet", hint),
        };
        let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('\t', " <br>");
        format!(
            "<div style='border-left: 5px solid {color}; padding-left: 10px'>\
             <b style='color: {color}'>{sign} {verdict}:</b> {message}</div>"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, message) = match &self.0 {
            Ok(verified) => ("ok", verified),
            Err(hint) => ("not yet", hint),
        };
        write!(f, "{verdict}: {}", message.replace('\t', " "))
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks exercise 2.2: whether `net` computes `h = relu(W_in r + b_in)`, `y = W_out h + b_out`,
/// with these four parameters as `net.vars()`. The check runs the net and leaves it as it was. An
/// error or a panic of the answer is in the verdict.
///
/// # Errors
/// Only while nbgrader grades: a wrong answer.
pub fn check_exercise_2_2(net: &impl Network) -> Result<Verdict> {
    Verdict::new(exercise_2_2(net))
}

/// Results of common mistakes, each with its hint.
type Mistakes = Vec<(Tensor, &'static str)>;

const KEEP_GRADIENTS: &str = "compute with tensors all the way, without detach() or to_vec";

const PANICKED: &str = "your code panicked:\t";

/// Runs the learner's code; an error or a panic in it becomes the hint.
fn run<T>(answer: impl FnOnce() -> Result<T>) -> Result<T> {
    let (result, unsolved) = unsolved::watch(|| catch_panic(answer));
    if let Some(name) = unsolved {
        bail!(
            "write your own code in place of unsolved::{name}(..), run the cell, then run the check \
             again:\tuntil then this line computes what the solution computes"
        )
    }
    let (what, message) = match result {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(err)) => ("your code returned an error:\t", first_line(err)),
        Err(payload) => (PANICKED, first_line(panic_message(&*payload))),
    };
    let what = if message.starts_with(unanswered::HINT) { "" } else { what };
    Err(Error::Msg(format!("{what}{message}")))
}

fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The f32 rounding that is allowed, as a fraction of the largest number: the rounding of a sum is in
/// proportion to its terms, which may be larger than the sum.
const ROUNDING: f32 = 1e-5;

/// The first number in `got` that `rounding` does not explain: its position from 0, the number, and
/// what is expected there.
fn mismatch(got: &Tensor, expected: &Tensor, rounding: f32) -> Result<Option<(usize, f32, f32)>> {
    let (got, expected) = (to_vec(got)?, to_vec(expected)?);
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let mut pairs = got.into_iter().zip(expected).enumerate();
    let mismatch = pairs.find(|(_, (got, expected))| {
        let difference = (got - expected).abs();
        difference.is_nan() || difference > 1e-4 * expected.abs() + rounding * largest
    });
    Ok(mismatch.map(|(i, (got, expected))| (i, got, expected)))
}

/// The hint of the mistake that gives the numbers in `got`, or of a factor between them and the right
/// numbers.
fn find_hint(got: &Tensor, expected: &Tensor, mut mistakes: Mistakes) -> Result<Option<String>> {
    if to_vec(got)?.iter().all(|&x| x == 0.0) {
        return Ok(None); // many mistakes give zeros
    }
    for decimals in 0..4 {
        mistakes.push((expected.round_to(decimals)?, "keep all digits: these numbers are rounded"));
    }
    for (wrong, hint) in mistakes {
        if wrong.dims() == got.dims() && mismatch(got, &wrong, ROUNDING)?.is_none() {
            return Ok(Some(hint.to_owned()));
        }
    }
    let dot = |a: &Tensor| {
        (a.to_dtype(DType::F64)? * expected.to_dtype(DType::F64)?)?.sum_all()?.to_scalar::<f64>()
    };
    let factor = dot(got)? / dot(expected)?;
    let rounded: f64 = format!("{factor:.3e}").parse().unwrap_or(factor); // to 4 digits
    let is_multiple = expected.elem_count() > 1
        && rounded != 1.0
        && mismatch(got, &(expected * factor)?, ROUNDING)?.is_none();
    Ok(is_multiple.then(|| {
        format!("look for the factor: all numbers are {rounded} times what they should be")
    }))
}

/// Compares an answer with what is expected and, if it differs, with what mistakes give. `place`
/// names the number at a position, and `otherwise` is the hint if no mistake matches.
fn compare(
    got: &Tensor,
    expected: &Tensor,
    rounding: f32,
    mistakes: impl FnOnce() -> Result<Mistakes>,
    place: impl Fn(usize) -> String,
    otherwise: &str,
) -> Result<()> {
    if let Some((i, number, right)) = mismatch(got, expected, rounding)? {
        let hint = find_hint(got, expected, mistakes()?)?.unwrap_or(otherwise.to_owned());
        bail!("{}:\texpected {right:.4}, got {number:.4}:\t{hint}", place(i))
    }
    Ok(())
}

fn expect_shape(got: &Tensor, expected: &[usize], what: &str) -> Result<()> {
    if got.dims() != expected {
        let hint = if expected.is_empty() { ":\tuse sum_all() or mean_all()" } else { "" };
        bail!("{what} should have shape {expected:?}, got {:?}{hint}", got.dims())
    }
    if got.dtype() != DType::F32 {
        bail!(
            "{what} should have type F32, got {:?}: leave out the to_dtype(), or convert back",
            got.dtype()
        )
    }
    Ok(())
}

fn uniform(rng: &mut TorchRng, shape: (usize, usize), low: f32, high: f32) -> Result<Tensor> {
    Tensor::from_vec(rng.uniform(shape.0 * shape.1, low, high), shape, &Device::Cpu)
}

/// The numbers of all parameters, in one vector.
fn flatten(vars: &[Var]) -> Result<Vec<f32>> {
    Ok(vars.iter().map(|var| to_vec(var)).collect::<Result<Vec<_>>>()?.concat())
}

const NAMES: [&str; 4] = ["W_in", "b_in", "W_out", "b_out"];

/// The reference of exercise 2.2: a network with the parameters of the learner's network, which may
/// list them in any order.
fn reference(mut vars: Vec<Var>) -> Result<DeepNetReLU> {
    vars.sort_by_key(|var| Reverse((var.dims().first().copied(), var.elem_count())));
    let dims: Vec<&[usize]> = vars.iter().map(|var| var.dims()).collect();
    let is_f32 = vars.iter().all(|var| var.dtype() == DType::F32);
    match dims[..] {
        [&[m, n], &[m1], &[1, m2], &[1]] if m == m1 && m == m2 && m > 0 && n > 0 && is_f32 => {
            DeepNetReLU::from_vars(vars.clone())
        }
        _ => bail!(
            "leave struct, new() and vars() as they were: vars() should list W_in (n_hidden, \
             n_inputs), b_in (n_hidden,), W_out (1, n_hidden), b_out (1,), all of f32, got \
             shapes {dims:?}"
        ),
    }
}

#[rustfmt::skip] // one line each
fn mistakes(net: &DeepNetReLU, r: &Tensor) -> Result<Mistakes> {
    let (w_in, b_in) = (net.in_layer.weight(), net.in_layer.bias());
    let output = |h: Result<Tensor>| net.out_layer.forward(&h?);
    let z = net.in_layer.forward(r)?;
    let y = net.forward(r)?;
    let no_b_in = z.broadcast_sub(b_in)?.relu()?;
    let rectified_weights = r.matmul(&w_in.relu()?.t()?)?.broadcast_add(b_in)?;
    let mut mistakes = vec![
        (output(Ok(z.clone()))?, "apply relu() to the hidden layer: no unit is rectified"),
        (output(Ok(z.clone()))?.relu()?, "apply relu() to the hidden layer instead of the output"),
        (y.relu()?, "return W_out h + b_out as it is: the output is rectified as well"),
        (y.abs()?, "return W_out h + b_out as it is, without abs()"),
        (output(net.in_layer.forward(&r.relu()?))?, "apply relu() to what in_layer returns instead of the responses"),
        (net.forward(&r.relu()?)?, "apply relu() to the hidden layer alone: the responses are rectified, too"),
        (output(Ok(rectified_weights.clone()))?, "apply relu() to what in_layer returns instead of the weights"),
        (output(rectified_weights.relu())?, "apply relu() to the hidden layer alone: the weights are rectified, too"),
        (output(z.neg()?.relu())?, "leave out the minus sign of the hidden layer before relu()"),
        (output(z.relu()?.neg())?, "leave out the minus sign of the hidden layer after relu()"),
        (y.neg()?, "leave out the minus sign of the output"),
        (output(Ok(no_b_in.clone()))?, "add b_in, as in_layer.forward() does"),
        (output(no_b_in.broadcast_add(b_in))?, "apply relu() to W_in r + b_in, which in_layer.forward() returns: b_in is added after relu()"),
        (y.broadcast_sub(net.out_layer.bias())?, "add b_out, as out_layer.forward() does"),
    ];
    let activations = [
        z.tanh(), ops::sigmoid(&z), z.gelu(), z.gelu_erf(), z.silu(), z.elu(1.0), z.abs(), z.sqr(),
        ops::leaky_relu(&z, 0.01), ops::leaky_relu(&z, 0.1), (z.exp()? + 1.0)?.log(), z.clamp(0f32, 6f32),
        ops::softmax(&z, 1), z.relu()?.tanh(), z.relu()?.sqr(), z.minimum(0f32), z.sin(), z.exp(),
    ];
    for h in activations {
        mistakes.push((output(h)?, "use relu(): the hidden layer has another activation function"));
    }
    Ok(mistakes)
}

/// Responses for which a wrong network gives other outputs than the right one, `(12, n_inputs)`.
fn test_stimuli(net: &DeepNetReLU) -> Result<Tensor> {
    let (w_in, w_out) = (net.in_layer.weight(), net.out_layer.weight());
    let n_inputs = w_in.dim(1)?;
    let silence = Tensor::zeros((1, n_inputs), DType::F32, &Device::Cpu)?;
    let noise = uniform(&mut TorchRng::manual_seed(22), (3, n_inputs), -1.0, 1.0)?;
    let mut driving = Vec::new();
    for units in [w_out.relu()?, w_out.neg()?.relu()?] {
        let responses = units.matmul(w_in)?; // (1, n_inputs)
        let size = responses.sqr()?.mean_all()?.sqrt()?.to_scalar::<f32>()?;
        let responses = (responses / f64::from(size.max(1e-12)))?;
        driving.extend([responses.clone(), responses.neg()?]);
    }
    let driving = Tensor::cat(&driving, 0)?;
    Ok(Tensor::cat(&[&silence, &noise, &driving, &(&driving * 1e3)?], 0)?.detach())
}

/// The test stimuli from this one on have large responses.
const FIRST_LARGE: usize = 8;

/// What is special about the test stimulus at a position.
fn description(i: usize) -> &'static str {
    match i {
        0 => "all responses 0, so only the biases count",
        1..4 => "random responses",
        4..FIRST_LARGE => "responses that drive some hidden units and silence others",
        _ => "large responses",
    }
}

fn has_both_signs(tensor: &Tensor) -> Result<bool> {
    let values = to_vec(tensor)?;
    Ok(values.iter().any(|&x| x > 0.0) && values.iter().any(|&x| x < 0.0))
}

fn exercise_2_2(net: &dyn Network) -> Result<String> {
    let reference = reference(run(|| Ok(net.vars()))?)?;
    let vars = reference.vars();
    let r = test_stimuli(&reference)?;
    let n = r.dim(0)?;
    let before = flatten(&vars)?;
    let forward = |r: &Tensor| run(|| net.forward(r));

    let out = forward(&r).map_err(|err| match err.to_string() {
        hint if hint.contains("Linear::forward") => Error::Msg(format!(
            "{hint}. r goes through in_layer first, and the hidden layer through out_layer"
        )),
        _ => err,
    })?;
    if out.dims() != [n, 1] && out.dims() == [n, reference.in_layer.weight().dim(0)?] {
        bail!(
            "the output should have shape ({n}, 1), got that of the hidden layer: \
             return what out_layer gives for it"
        )
    }
    expect_shape(&out, &[n, 1], &format!("the output for {n} stimuli"))?;
    let expected = reference.forward(&r)?;
    if !has_both_signs(&expected)? || !has_both_signs(&reference.in_layer.forward(&r)?)? {
        bail!(
            "all outputs have the same sign, so this check cannot verify the ReLU: run the \
             exercise cell again, which makes a net of 200 hidden units, and check that net"
        )
    }
    let ordinary = |t: &Tensor| t.narrow(0, 0, FIRST_LARGE);
    if to_vec(&ordinary(&out)?)?.iter().any(|y| y.is_nan()) {
        bail!("the outputs should be numbers, got NaN: look for a division by 0")
    }
    // The output for a stimulus must not depend on other stimuli in r, or on earlier calls.
    let again = ordinary(&forward(&r)?)?;
    if flatten(&vars)? != before {
        bail!("forward() changes the parameters: leave that to the training")
    }
    if mismatch(&again, &ordinary(&out)?, ROUNDING)?.is_some() {
        bail!(
            "forward() gives other outputs when it is called again: leave out what is random, such \
             as dropout, and what is kept between calls"
        )
    }
    let mut alone = Vec::new();
    for i in 0..FIRST_LARGE {
        let y = forward(&r.narrow(0, i, 1)?)?;
        expect_shape(&y, &[1, 1], "the output for a single stimulus")?;
        alone.push(y);
    }
    if mismatch(&Tensor::cat(&alone, 0)?, &again, ROUNDING)?.is_some() {
        bail!(
            "the output for a stimulus depends on the other stimuli in r: decode each row of r by \
             itself, without means over rows"
        )
    }
    let formula =
        "compute relu(W_in r + b_in) for the hidden layer, W_out h + b_out for the output";
    let no_limit =
        "compute without limits, such as clamp(): only large responses are decoded wrong";
    for (first, n_rows, otherwise) in
        [(0, FIRST_LARGE, formula), (FIRST_LARGE, n - FIRST_LARGE, no_limit)]
    {
        let rows = |t: &Tensor| t.narrow(0, first, n_rows);
        compare(
            &rows(&out)?,
            &rows(&expected)?,
            ROUNDING,
            || mistakes(&reference, &rows(&r)?),
            |i| format!("test stimulus {}/{n} ({})", first + i + 1, description(first + i)),
            otherwise,
        )?;
    }
    compare_gradients(net, &reference, &ordinary(&r)?)?;

    // Training changes the parameters, which a copy of them does not notice.
    scale(&vars, 0.5)?;
    let undo = || drop(scale(&vars, 2.0)); // without rounding
    let (got, expected) = finally(|| (forward(&r), reference.forward(&r)), undo);
    if mismatch(&got?, &expected?, ROUNDING)?.is_some() {
        bail!(
            "compute with the parameters themselves, without copies of them: the outputs stay as they \
             were when the parameters change, as in training"
        )
    }
    Ok(format!("exercise 2.2: outputs and gradients are right for {n} test stimuli"))
}

fn scale(vars: &[Var], factor: f64) -> Result<()> {
    vars.iter().try_for_each(|var| var.set(&(var.as_tensor() * factor)?))
}

/// Checks that training finds the same gradients by the learner's `forward` as by the reference.
fn compare_gradients(net: &dyn Network, reference: &DeepNetReLU, r: &Tensor) -> Result<()> {
    let gradients = |out: Result<Tensor>| out?.sqr()?.mean_all()?.backward();
    let expected = gradients(reference.forward(r))?;
    let got = run(|| gradients(net.forward(r)))?;
    for (var, name) in reference.vars().iter().zip(NAMES) {
        let (Some(got), Some(expected)) = (got.get(var), expected.get(var)) else {
            bail!(
                "the outputs are right, but without a gradient for {name}, so training would not \
                 change it:\t{KEEP_GRADIENTS}"
            )
        };
        if mismatch(got, expected, ROUNDING)?.is_some() {
            bail!(
                "the outputs are right, but not the gradient for {name}:\tuse relu() as it is, and \
                 {KEEP_GRADIENTS}"
            )
        }
    }
    Ok(())
}
