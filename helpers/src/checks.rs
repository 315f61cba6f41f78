//! Checks of the learner's answers to the coding exercises.
//!
//! An answer is right if it computes the right numbers, however it is written. So a check runs it
//! on test data and compares the result with a reference. Where the two differ, the check computes
//! what common mistakes would give: the mistake that gives the same result gives the hint.
//!
//! Inside, a hint travels as an error, so `?` passes on hints and candle's errors alike.

mod bonus;

use std::fmt;

use candle_core::{DType, Device, Error, Module, Result, Tensor, Var, bail};
use candle_nn::{loss, ops};

use crate::net::{DeepNetReLU, Network};
use crate::rng::TorchRng;
use crate::session::{catch_panic, panic_message};
use crate::train::without_progress;

pub use bonus::{
    check_exercise_gradient, check_exercise_nll, check_exercise_penalty, check_exercise_sin_cos,
};

/// What a check says. In a notebook it shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict(std::result::Result<String, String>);

impl Verdict {
    fn new(checked: Result<String>) -> Self {
        // Of an error with a backtrace, the first line is the message.
        let hint = |err: Error| err.to_string().lines().next().unwrap_or_default().to_owned();
        Self(checked.map_err(hint))
    }

    /// Whether the answer is right.
    pub fn is_ok(&self) -> bool {
        self.0.is_ok()
    }

    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/plain\n{self}\nEVCXR_END_CONTENT");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(verified) => write!(f, "ok: {verified}"),
            Err(hint) => write!(f, "not yet: {hint}"),
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks exercise 2.2: whether `net` computes `h = relu(W_in r + b_in)`, `y = W_out h + b_out`,
/// with these four parameters as `net.vars()`. The check runs the net and does not change it.
///
/// Never fails: whatever is wrong with the answer, even a panic, is in the verdict. All checks
/// return a `Result` so that `?` follows them as it follows any other call.
pub fn check_exercise_2_2(net: &impl Network) -> Result<Verdict> {
    Ok(Verdict::new(exercise_2_2(net)))
}

/// Checks exercise 3.2: whether `train`, called as
/// `train(&net, loss_fn, &train_data, &train_labels, n_epochs, learning_rate)`, trains `net` by
/// gradient descent and returns the loss of each epoch before its update.
pub fn check_exercise_3_2(
    train: impl Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
) -> Result<Verdict> {
    Ok(Verdict::new(exercise_3_2(&train)))
}

/// A loss function such as [`loss::mse`]: of outputs and labels.
pub type LossFn = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Results of common mistakes, each with its hint.
type Mistakes = Vec<(Tensor, &'static str)>;

/// Runs the learner's code; an error or a panic in it becomes the hint.
fn run<T>(answer: impl FnOnce() -> Result<T>) -> Result<T> {
    let hint = match catch_panic(answer) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(err)) => format!("your code returned an error: {err}"),
        Err(payload) => match panic_message(&*payload) {
            (message, true) => {
                format!("{message}: write it in place of the todo!, run the cell, check again")
            }
            (message, false) => format!("your code panicked: {message}"),
        },
    };
    Err(Error::Msg(hint.lines().next().unwrap_or_default().into()))
}

/// The first number in `got` that f32 rounding does not explain: its position from 1, the number,
/// and what is expected there.
fn first_mismatch(got: &Tensor, expected: &Tensor) -> Result<Option<(usize, f32, f32)>> {
    let to_vec = |t: &Tensor| t.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    let (got, expected) = (to_vec(got)?, to_vec(expected)?);
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let mut pairs = got.into_iter().zip(expected).enumerate();
    let mismatch = pairs.find(|(_, (got, expected))| {
        // Rounding is in proportion to the terms of a sum, which may be larger than the sum.
        let allowed = 1e-4 * expected.abs() + 1e-5 * largest;
        got.is_nan() || (got - expected).abs() > allowed
    });
    Ok(mismatch.map(|(i, (got, expected))| (i + 1, got, expected)))
}

/// The hint of the mistake that gives the numbers in `got`.
fn matching_hint(got: &Tensor, mistakes: Mistakes) -> Result<Option<&'static str>> {
    for (wrong, hint) in mistakes {
        if wrong.dims() == got.dims() && first_mismatch(got, &wrong)?.is_none() {
            return Ok(Some(hint));
        }
    }
    Ok(None)
}

/// Compares an answer with what is expected and, if it differs, with what mistakes give. `place`
/// names the k-th number, and `otherwise` is the hint if no mistake matches.
fn compare(
    got: &Tensor,
    expected: &Tensor,
    mistakes: Mistakes,
    place: impl Fn(usize) -> String,
    otherwise: &str,
) -> Result<()> {
    if let Some((k, number, expected)) = first_mismatch(got, expected)? {
        let hint = matching_hint(got, mistakes)?.unwrap_or(otherwise);
        let place = place(k);
        bail!("{place}: expected {expected:.4}, got {number:.4}: {hint}")
    }
    Ok(())
}

/// Checks the shape of an answer.
fn expect_shape(got: &Tensor, expected: &[usize], what: &str) -> Result<()> {
    if got.dims() != expected {
        bail!("{what} should have shape {expected:?}, got {:?}", got.dims())
    }
    Ok(())
}

/// A matrix of uniform random numbers.
fn uniform(rng: &mut TorchRng, shape: (usize, usize), low: f32, high: f32) -> Result<Tensor> {
    Tensor::from_vec(rng.uniform(shape.0 * shape.1, low, high), shape, &Device::Cpu)
}

/// The numbers of all parameters, in one vector.
fn flatten(vars: &[Var]) -> Result<Vec<f32>> {
    let numbers = vars.iter().map(|var| var.flatten_all()?.to_vec1());
    Ok(numbers.collect::<Result<Vec<_>>>()?.concat())
}

const NAMES: [&str; 4] = ["W_in", "b_in", "W_out", "b_out"];

/// The reference of exercise 2.2, with the parameters of the learner's network.
struct Reference<'a> {
    w_in: &'a Tensor,  // (n_hidden, n_inputs)
    b_in: &'a Tensor,  // (n_hidden,)
    w_out: &'a Tensor, // (1, n_hidden)
    b_out: &'a Tensor, // (1,)
}

impl<'a> Reference<'a> {
    fn new(vars: &'a [Var]) -> Result<Self> {
        let dims: Vec<&[usize]> = vars.iter().map(|var| var.dims()).collect();
        let is_f32 = vars.iter().all(|var| var.dtype() == DType::F32);
        match (&dims[..], vars) {
            (&[&[m, n], &[m1], &[1, m2], &[1]], [w_in, b_in, w_out, b_out])
                if m == m1 && m == m2 && m > 0 && n > 0 && is_f32 =>
            {
                Ok(Self { w_in, b_in, w_out, b_out })
            }
            _ => bail!(
                "leave struct, new() and vars() as they were: vars() should list W_in (n_hidden, \
                 n_inputs), b_in (n_hidden,), W_out (1, n_hidden), b_out (1,), all of f32, got \
                 shapes {dims:?}"
            ),
        }
    }

    /// `z = W_in r + b_in`.
    fn hidden(&self, r: &Tensor) -> Result<Tensor> {
        r.matmul(&self.w_in.t()?)?.broadcast_add(self.b_in)
    }

    /// `W_out h + b_out`.
    fn output(&self, h: &Tensor) -> Result<Tensor> {
        h.matmul(&self.w_out.t()?)?.broadcast_add(self.b_out)
    }

    fn forward(&self, r: &Tensor) -> Result<Tensor> {
        self.output(&self.hidden(r)?.relu()?)
    }

    #[rustfmt::skip] // one line each
    fn mistakes(&self, r: &Tensor) -> Result<Mistakes> {
        let z = self.hidden(r)?;
        let y = self.forward(r)?;
        let no_b_in = z.broadcast_sub(self.b_in)?.relu()?;
        let mut mistakes = vec![
            (self.output(&z)?, "no unit is rectified: apply relu() to the hidden layer"),
            (self.output(&z)?.relu()?, "the output is rectified, not the hidden layer: move relu() there"),
            (y.relu()?, "the output is rectified as well: an orientation is decoded by W_out h + b_out alone"),
            (self.output(&self.hidden(&r.relu()?)?)?, "the responses are rectified before the input layer: apply relu() to what it returns"),
            (self.forward(&r.relu()?)?, "the responses are rectified, too: relu() belongs to the hidden layer alone"),
            (self.output(&z.neg()?.relu()?)?, "the hidden layer is negated before relu()"),
            (self.output(&z.relu()?.neg()?)?, "the hidden layer is negated after relu()"),
            (y.neg()?, "the output is negated"),
            (self.output(&no_b_in)?, "b_in is missing: in_layer.forward() adds it"),
            (y.broadcast_sub(self.b_out)?, "b_out is missing: out_layer.forward() adds it"),
        ];
        let activations = [
            z.tanh(), ops::sigmoid(&z), z.gelu(), z.gelu_erf(), z.silu(), z.elu(1.0), z.abs(), z.sqr(),
            ops::leaky_relu(&z, 0.01),
        ];
        for h in activations {
            mistakes.push((self.output(&h?)?, "the hidden layer has another activation function: use relu()"));
        }
        Ok(mistakes)
    }

    /// Responses that tell right from wrong, `(n, n_inputs)`: zeros, which leave the biases; noise;
    /// and responses that drive the hidden units that raise the output, or those that lower it.
    fn test_stimuli(&self) -> Result<Tensor> {
        let n_inputs = self.w_in.dim(1)?;
        let silence = Tensor::zeros((1, n_inputs), DType::F32, &Device::Cpu)?;
        let noise = uniform(&mut TorchRng::manual_seed(22), (3, n_inputs), -1.0, 1.0)?;
        let mut rows = vec![silence, noise];
        for units in [self.w_out.relu()?, self.w_out.neg()?.relu()?] {
            let driving = units.matmul(self.w_in)?; // (1, n_inputs)
            let size = driving.sqr()?.mean_all()?.sqrt()?.to_scalar::<f32>()?;
            let driving = (driving / f64::from(size.max(1e-12)))?;
            rows.extend([driving.clone(), driving.neg()?]);
        }
        Ok(Tensor::cat(&rows, 0)?.detach())
    }
}

fn has_both_signs(tensor: &Tensor) -> Result<bool> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().any(|&x| x > 0.0) && values.iter().any(|&x| x < 0.0))
}

fn exercise_2_2(net: &dyn Network) -> Result<String> {
    let vars = run(|| Ok(net.vars()))?;
    let reference = Reference::new(&vars)?;
    let r = reference.test_stimuli()?;
    let n = r.dim(0)?;
    let before = flatten(&vars)?;

    let out = run(|| net.forward(&r)).map_err(|err| match err.to_string() {
        hint if hint.contains("Linear::forward") => Error::Msg(format!(
            "{hint}. r goes through in_layer first, and the hidden layer through out_layer"
        )),
        _ => err,
    })?;
    if out.dims() != [n, 1] || out.dtype() != DType::F32 {
        bail!(
            "the output for {n} stimuli should have shape ({n}, 1) and type F32, got {:?} and \
             {:?}: return what out_layer gives for the hidden layer",
            out.dims(),
            out.dtype()
        )
    }
    let expected = reference.forward(&r)?;
    if !has_both_signs(&expected)? || !has_both_signs(&reference.hidden(&r)?)? {
        bail!(
            "all outputs have the same sign, so this check cannot verify the ReLU: run the \
             exercise cell again, which makes a net of 200 hidden units, and check that net"
        )
    }
    compare(
        &out,
        &expected,
        reference.mistakes(&r)?,
        |k| format!("test stimulus {k}/{n}"),
        "the hidden layer is relu(W_in r + b_in), the output W_out h + b_out",
    )?;

    // Single stimuli: what else is in r, and what was computed before, must not matter.
    for k in [1, n - 1] {
        let alone = run(|| net.forward(&r.narrow(0, k, 1)?))?;
        let same =
            alone.dims() == [1, 1] && first_mismatch(&alone, &expected.narrow(0, k, 1)?)?.is_none();
        if !same {
            bail!(
                "test stimulus {}/{n} gives another output alone, {alone}, than among others: \
                 decode each row of r by itself",
                k + 1
            )
        }
    }
    compare_gradients(net, &vars, &reference, &r)?;
    if flatten(&vars)? != before {
        bail!("forward() changes the parameters: leave that to the training")
    }
    Ok(format!("exercise 2.2: outputs and gradients are right for {n} test stimuli"))
}

/// Checks that training finds the same gradients by the learner's `forward` as by the reference.
fn compare_gradients(
    net: &dyn Network,
    vars: &[Var],
    reference: &Reference,
    r: &Tensor,
) -> Result<()> {
    let gradients = |out: Result<Tensor>| out?.sqr()?.mean_all()?.backward();
    let expected = gradients(reference.forward(r))?;
    let got = run(|| gradients(net.forward(r)))?;
    for (var, name) in vars.iter().zip(NAMES) {
        let fix = "compute with tensors all the way, without detach() or to_vec";
        let (Some(got), Some(expected)) = (got.get(var), expected.get(var)) else {
            bail!(
                "the outputs are right, but without a gradient for {name}, so training would not \
                 change it: {fix}"
            )
        };
        if first_mismatch(got, expected)?.is_some() {
            bail!("the outputs are right, but not the gradient for {name}: {fix}")
        }
    }
    Ok(())
}

/// The arguments of `train` besides network and data: `loss_fn`, `n_epochs`, `learning_rate`.
type Task = (LossFn, usize, f64);

/// How the reference trains.
#[derive(Clone, Copy)]
struct Variant {
    scales: [f64; 4], // the size of the step of each parameter; 1 is right
    loss_after: bool, // compute the loss after the update
    only_first: bool, // use only the first stimulus
}

const CORRECT: Variant = Variant { scales: [1.0; 4], loss_after: false, only_first: false };

const fn scaled(scales: [f64; 4]) -> Variant {
    Variant { scales, ..CORRECT }
}

#[rustfmt::skip] // one line each
const MISTAKES: [(Variant, &str); 8] = [
    (scaled([-1.0; 4]), "the parameters move along the gradient, not against it: the loss grows"),
    (Variant { loss_after: true, ..CORRECT }, "the loss is taken after the update: keep the one that the gradients were computed from"),
    (Variant { only_first: true, ..CORRECT }, "only the first stimulus is used: the loss is over all of train_data"),
    (scaled([2.0; 4]), "each epoch makes two steps, or one twice as long: make one"),
    (scaled([0.5; 4]), "the steps are half as long as they should be"),
    (scaled([1.0, 1.0, 0.0, 0.0]), "only the input layer is trained: give the optimizer all of net.vars()"),
    (scaled([0.0, 0.0, 1.0, 1.0]), "only the output layer is trained: give the optimizer all of net.vars()"),
    (scaled([1.0, 0.0, 1.0, 0.0]), "the biases are not trained: give the optimizer all of net.vars()"),
];

/// A net of 5 inputs and 4 hidden units, responses `(7, 5)`, and labels `(7, 1)`.
fn test_case() -> Result<(DeepNetReLU, Tensor, Tensor)> {
    let mut rng = TorchRng::manual_seed(32);
    let net = DeepNetReLU::new(&mut rng, 5, 4)?;
    let data = uniform(&mut rng, (7, 5), -2.0, 2.0)?;
    let labels = uniform(&mut rng, (7, 1), -1.0, 3.0)?;
    Ok((net, data, labels))
}

/// Losses and, after them, the trained parameters, in one vector.
fn trained(losses: Vec<f32>, net: &DeepNetReLU) -> Result<Tensor> {
    Tensor::new([losses, flatten(&net.vars())?].concat(), &Device::Cpu)
}

/// Training as the exercise asks for it, or with a mistake. It is written without [`crate::SGD`],
/// so that it does not share an error with it.
fn reference_training(task: Task, variant: Variant) -> Result<Tensor> {
    let (loss_fn, n_epochs, learning_rate) = task;
    let (net, mut data, mut labels) = test_case()?;
    if variant.only_first {
        (data, labels) = (data.narrow(0, 0, 1)?, labels.narrow(0, 0, 1)?);
    }
    let loss = || loss_fn(&net.forward(&data)?, &labels);
    let mut losses = Vec::new();
    for _ in 0..n_epochs {
        let before = loss()?;
        let gradients = before.backward()?;
        for (var, scale) in net.vars().iter().zip(variant.scales) {
            if let Some(gradient) = gradients.get(var) {
                var.set(&var.sub(&(gradient * (scale * learning_rate))?)?)?;
            }
        }
        let kept = if variant.loss_after { loss()? } else { before };
        losses.push(kept.to_scalar()?);
    }
    trained(losses, &net)
}

/// A loss other than the mean squared error: large errors count less.
fn pseudo_huber(out: &Tensor, labels: &Tensor) -> Result<Tensor> {
    ((out.sub(labels)?.sqr()? + 1.0)?.sqrt()? * 3.0)?.mean_all()
}

type Train<'a> =
    dyn Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>> + 'a;

/// Runs the learner's `train`, and checks what needs no reference.
fn run_training(train: &Train, task: Task) -> Result<Tensor> {
    let (loss_fn, n_epochs, learning_rate) = task;
    let (net, data, labels) = test_case()?;
    let before = flatten(&net.vars())?;
    let losses =
        run(|| without_progress(|| train(&net, loss_fn, &data, &labels, n_epochs, learning_rate)))?;
    if losses.len() != n_epochs {
        bail!(
            "called with n_epochs = {n_epochs}, train should return as many losses, got {}: go \
             through the loop n_epochs times, and keep one loss each time",
            losses.len()
        )
    }
    if let Some(i) = losses.iter().position(|loss| !loss.is_finite()) {
        bail!(
            "the loss of epoch {} should be a finite number, got {}: does the update go against \
             the gradient, by learning_rate?",
            i + 1,
            losses[i]
        )
    }
    if flatten(&net.vars())? == before {
        bail!(
            "the parameters of net should have changed, and did not: compute the gradients with \
             loss.backward()? and hand them to optimizer.step(), for the net that was passed in"
        )
    }
    trained(losses, &net)
}

fn exercise_3_2(train: &Train) -> Result<String> {
    let tasks: [Task; 3] = [(loss::mse, 6, 0.03), (loss::mse, 6, 0.01), (pseudo_huber, 9, 0.02)];
    let results = tasks.map(|task| run_training(train, task));
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;

    for (i, (&task, got)) in tasks.iter().zip(&results).enumerate() {
        let (_, n_epochs, learning_rate) = task;
        let expected = reference_training(task, CORRECT)?;
        let mut mistakes = if i < 2 {
            let other_rate = results[1 - i].clone();
            let hint = "every learning rate gives the same: use the argument learning_rate";
            vec![(other_rate, hint)]
        } else {
            let mse = reference_training((loss::mse, n_epochs, learning_rate), CORRECT)?;
            let hint = "loss_fn is ignored, another loss is used: call the argument loss_fn";
            vec![(mse, hint)]
        };
        for (variant, hint) in MISTAKES {
            mistakes.push((reference_training(task, variant)?, hint));
        }
        let otherwise = match first_mismatch(got, &expected)? {
            Some((k, ..)) if k > n_epochs => "the losses are right, the last update is not",
            _ => {
                "each epoch: output for all of train_data, loss_fn, gradients, one step of the \
                 optimizer, and keep that loss"
            }
        };
        let names = [&["W_in"; 20][..], &["b_in"; 4], &["W_out"; 4], &["b_out"]].concat();
        let place = |k| match k {
            k if k <= n_epochs => format!("the loss of epoch {k}"),
            _ => format!("a number in {} after training", names[k - n_epochs - 1]),
        };
        compare(got, &expected, mistakes, place, otherwise)?;
    }
    Ok("exercise 3.2: losses and updates are right, with 2 learning rates and 2 loss functions"
        .into())
}
