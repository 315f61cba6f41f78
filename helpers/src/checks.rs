//! Verdicts on the learner's answers to the coding exercises.
//!
//! An answer is right if it computes the right numbers, however it is written. So it is run on data
//! made up for the purpose and held against a reference. Where it differs, the numbers of common
//! mistakes are tried until one explains what was got; that gives the hint.

mod bonus;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use crate::net::{DeepNetReLU, Network};
use crate::{Device, Result, Tensor, TorchRng, Var, loss, sgd, train};

pub use bonus::{
    check_exercise_gradient, check_exercise_nll, check_exercise_penalty, check_exercise_sin_cos,
};

/// What a check says. In a notebook it shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict(std::result::Result<String, String>);

impl Verdict {
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
            Err(problem) => write!(f, "not yet: {problem}"),
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands in the way of "ok".
type Checked<T> = std::result::Result<T, String>;

/// Checks exercise 2.2: whether `net` computes `h = relu(W_in r + b_in)`, `y = W_out h + b_out`,
/// with these four as `net.vars()`. The net is run, not changed.
///
/// # Errors
/// None: whatever is wrong with the answer, a panic in it included, is in the verdict. (A result is
/// what a cell's `?` wants, as after any other call.)
pub fn check_exercise_2_2(net: &impl Network) -> Result<Verdict> {
    Ok(Verdict(exercise_2_2(net)))
}

/// Checks exercise 3.2: whether `train`, called as
/// `train(&net, loss_fn, &train_data, &train_labels, n_epochs, learning_rate)`, trains `net` by
/// gradient descent and returns the loss of each epoch before its update.
///
/// # Errors
/// None, as with [`check_exercise_2_2`].
pub fn check_exercise_3_2(
    train: impl Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
) -> Result<Verdict> {
    Ok(Verdict(exercise_3_2(&train)))
}

/// A loss function as [`loss::mse`]: of outputs and labels.
pub type LossFn = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Runs what the learner wrote; an error or a panic becomes the verdict.
fn run<T>(answer: impl FnOnce() -> Result<T>) -> Checked<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let done = panic::catch_unwind(AssertUnwindSafe(answer));
    panic::set_hook(hook);
    let message = match done {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(why)) => why.to_string(),
        Err(payload) => match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "a panic without a message".to_owned(),
        },
    };
    let message = message.lines().next().unwrap_or_default();
    Err(match message.strip_prefix("not yet implemented: ") {
        Some(task) => format!("{task}: write it in place of the todo!, run the cell, check again"),
        None => format!("your code stopped with: {message}"),
    })
}

/// An error of candle's in what is computed here. It can only come from an answer that has odd
/// parameters.
#[allow(clippy::needless_pass_by_value)] // it goes behind map_err
fn odd(why: candle_core::Error) -> String {
    format!(
        "the parameters cannot be computed with: {why}: leave struct, new() and vars() as they were"
    )
}

/// The four parameters of a network with one hidden layer.
struct Parameters<'a> {
    w_in: &'a Tensor,  // (n_hidden, n_inputs)
    b_in: &'a Tensor,  // (n_hidden,)
    w_out: &'a Tensor, // (1, n_hidden)
    b_out: &'a Tensor, // (1,)
}

const NAMES: [&str; 4] = ["W_in", "b_in", "W_out", "b_out"];

impl<'a> Parameters<'a> {
    fn of(vars: &'a [Var]) -> Checked<Self> {
        let dims: Vec<&[usize]> = vars.iter().map(|var| var.dims()).collect();
        match dims[..] {
            [&[m, n], &[m1], &[1, m2], &[1]] if m == m1 && m == m2 && m > 0 && n > 0 => Ok(Self {
                w_in: &vars[0],
                b_in: &vars[1],
                w_out: &vars[2],
                b_out: &vars[3],
            }),
            _ => Err(format!(
                "vars() should list W_in (n_hidden, n_inputs), b_in (n_hidden,), W_out \
                 (1, n_hidden), b_out (1,), got shapes {dims:?}: leave struct, new() and vars() as \
                 they were"
            )),
        }
    }

    /// `W_in r + b_in`.
    fn hidden(&self, r: &Tensor) -> Result<Tensor> {
        r.matmul(&self.w_in.t()?)?.broadcast_add(self.b_in)
    }

    /// `W_out h + b_out`.
    fn output(&self, h: &Tensor) -> Result<Tensor> {
        h.matmul(&self.w_out.t()?)?.broadcast_add(self.b_out)
    }

    /// What the exercise asks for.
    fn right(&self, r: &Tensor) -> Result<Tensor> {
        self.output(&self.hidden(r)?.relu()?)
    }

    /// What common mistakes compute, each with its hint.
    fn mistakes(&self, r: &Tensor) -> Result<Vec<(Tensor, &'static str)>> {
        let z = self.hidden(r)?;
        let y = self.right(r)?;
        let no_b_in = z.broadcast_sub(self.b_in)?.relu()?;
        let other =
            "the hidden layer has another activation function: the exercise asks for relu()";
        Ok(vec![
            (
                self.output(&z)?,
                "no unit is rectified: apply relu() to the hidden layer",
            ),
            (
                self.output(&z)?.relu()?,
                "the output is rectified, not the hidden layer: move relu() there",
            ),
            (
                y.relu()?,
                "the output is rectified as well: an orientation is decoded by W_out h + b_out alone",
            ),
            (
                self.output(&self.hidden(&r.relu()?)?)?,
                "the responses are rectified before the input layer: apply relu() to what it returns",
            ),
            (
                self.right(&r.relu()?)?,
                "the responses are rectified, too: relu() belongs to the hidden layer alone",
            ),
            (
                self.output(&z.neg()?.relu()?)?,
                "the sign of the hidden layer is turned before relu()",
            ),
            (
                self.output(&z.relu()?.neg()?)?,
                "the sign of the hidden layer is turned after relu()",
            ),
            (y.neg()?, "the sign of the output is turned"),
            (
                self.output(&no_b_in)?,
                "b_in is missing: in_layer.forward() adds it",
            ),
            (
                y.broadcast_sub(self.b_out)?,
                "b_out is missing: out_layer.forward() adds it",
            ),
            (self.output(&z.tanh()?)?, other),
            (self.output(&candle_nn::ops::sigmoid(&z)?)?, other),
            (self.output(&z.gelu()?)?, other),
            (self.output(&z.gelu_erf()?)?, other),
            (self.output(&z.silu()?)?, other),
            (self.output(&z.elu(1.0)?)?, other),
            (self.output(&z.abs()?)?, other),
            (self.output(&z.sqr()?)?, other),
            (self.output(&candle_nn::ops::leaky_relu(&z, 0.01)?)?, other),
        ])
    }

    /// Responses to made-up stimuli, `(n, n_inputs)`, that tell right from wrong: none at all, which
    /// leaves the biases; noise; and such as drive the hidden units that raise the output, or those
    /// that lower it.
    fn stimuli(&self) -> Result<Tensor> {
        let n_inputs = self.w_in.dim(1)?;
        let silence = Tensor::zeros((1, n_inputs), self.w_in.dtype(), &Device::Cpu)?;
        let noise = TorchRng::manual_seed(22).uniform(3 * n_inputs, -1.0, 1.0);
        let noise = Tensor::from_vec(noise, (3, n_inputs), &Device::Cpu)?;
        let raising = self.w_out.relu()?;
        let lowering = self.w_out.neg()?.relu()?;
        let mut rows = vec![silence, noise];
        for units in [raising, lowering] {
            let driving = units.matmul(self.w_in)?; // (1, n_inputs)
            let size = driving.sqr()?.mean_all()?.sqrt()?.to_scalar::<f32>()?;
            let driving = (driving / f64::from(size.max(1e-12)))?;
            rows.extend([driving.clone(), driving.neg()?]);
        }
        Tensor::cat(&rows, 0)
    }
}

fn exercise_2_2(net: &dyn Network) -> Checked<String> {
    let vars = run(|| Ok(net.vars()))?;
    let parameters = Parameters::of(&vars)?;
    let r = parameters.stimuli().map_err(odd)?;
    let n = r.dims()[0];
    let before = copies(&vars).map_err(odd)?;

    let out = run(|| net.forward(&r)).map_err(|why| match why.contains("Linear::forward") {
        true => {
            format!("{why}. r goes through in_layer first, and what comes out through out_layer")
        }
        false => why,
    })?;
    if out.dims() != [n, 1] {
        return Err(format!(
            "the output for {n} stimuli should have shape ({n}, 1), got {:?}: return what \
             out_layer gives for the hidden layer",
            out.dims()
        ));
    }
    let right = parameters.right(&r).map_err(odd)?;
    let telling = |t: &Tensor| -> Result<bool> {
        let values = t.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.iter().any(|&x| x > 0.0) && values.iter().any(|&x| x < 0.0))
    };
    if !(telling(&right).and_then(|y| Ok(y && telling(&parameters.hidden(&r)?)?))).map_err(odd)? {
        return Err(
            "this net cannot be told from a wrong one, its outputs all have one sign: run the cell \
             of the exercise again, which makes one of 200 hidden units, and check that"
                .into(),
        );
    }
    if let Some((k, got, expected)) = difference(&out, &right)? {
        let mistakes = parameters.mistakes(&r).map_err(odd)?;
        let hint = explained(&out, mistakes)?
            .unwrap_or("the hidden layer is relu(W_in r + b_in), the output W_out h + b_out");
        return Err(format!(
            "for made-up stimulus {k} of {n} the output should be {expected:.4}, got {got:.4}: {hint}"
        ));
    }

    // One stimulus alone, and the same once more: what was computed before must not matter.
    for k in [1, n - 1] {
        let alone = run(|| net.forward(&r.narrow(0, k, 1)?))?;
        let expected = right.narrow(0, k, 1).map_err(odd)?;
        if alone.dims() != [1, 1] || difference(&alone, &expected)?.is_some() {
            return Err(format!(
                "made-up stimulus {} gives another output alone, {alone}, than among others: each \
                 row of r should be decoded by itself",
                k + 1
            ));
        }
    }
    gradients_agree(net, &vars, &parameters, &r)?;
    if changed(&vars, &before)?.is_some() {
        return Err("forward() changes the parameters: that is for training to do".into());
    }
    Ok(format!(
        "exercise 2.2: outputs and gradients are right for {n} made-up stimuli"
    ))
}

/// Whether training would find the same gradients by the learner's `forward` as by the reference.
fn gradients_agree(
    net: &dyn Network,
    vars: &[Var],
    parameters: &Parameters,
    r: &Tensor,
) -> Checked<()> {
    let gradients = |out: Result<Tensor>| -> Result<Vec<Option<Tensor>>> {
        let gradients = out?.sqr()?.mean_all()?.backward()?;
        Ok(vars.iter().map(|var| gradients.get(var).cloned()).collect())
    };
    let expected = gradients(parameters.right(r)).map_err(odd)?;
    let got = run(|| gradients(net.forward(r)))?;
    for ((got, expected), name) in got.iter().zip(&expected).zip(NAMES) {
        let (Some(got), Some(expected)) = (got, expected) else {
            return Err(format!(
                "the outputs are right, but without a gradient for {name}, so it could not be \
                 trained: compute with tensors all the way, without detach() or to_vec"
            ));
        };
        if difference(got, expected)?.is_some() {
            return Err(format!(
                "the outputs are right, but not the gradient for {name}: compute with tensors all \
                 the way, without detach() or to_vec"
            ));
        }
    }
    Ok(())
}

/// Where `got` differs from `expected` by more than f32 can: the place, counted from 1, and both.
fn difference(got: &Tensor, expected: &Tensor) -> Checked<Option<(usize, f32, f32)>> {
    let values = |t: &Tensor| -> Result<Vec<f32>> { t.flatten_all()?.to_vec1() };
    let got =
        values(got).map_err(|why| format!("the output should be numbers of type f32: {why}"))?;
    let expected = values(expected).map_err(odd)?;
    Ok(first_difference(&got, &expected))
}

fn first_difference(got: &[f32], expected: &[f32]) -> Option<(usize, f32, f32)> {
    let largest = expected
        .iter()
        .fold(0f32, |largest, x| largest.max(x.abs()));
    let both = got.iter().zip(expected).enumerate();
    let (k, (got, expected)) = both.into_iter().find(|(_, (got, expected))| {
        // Rounding is in proportion to what is summed up, which may be more than the sum.
        let allowed = 1e-4 * expected.abs() + 1e-5 * largest;
        got.is_nan() || (*got - *expected).abs() > allowed
    })?;
    Some((k + 1, *got, *expected))
}

/// The hint of the mistake that gives just what was got.
fn explained<H>(got: &Tensor, mistakes: Vec<(Tensor, H)>) -> Checked<Option<H>> {
    for (wrong, hint) in mistakes {
        if difference(got, &wrong)?.is_none() {
            return Ok(Some(hint));
        }
    }
    Ok(None)
}

fn copies(vars: &[Var]) -> Result<Vec<Tensor>> {
    vars.iter().map(|var| var.copy()).collect()
}

/// The first parameter that is no longer what it was.
fn changed(vars: &[Var], before: &[Tensor]) -> Checked<Option<&'static str>> {
    for ((var, before), name) in vars.iter().zip(before).zip(NAMES) {
        let same = || -> Result<bool> {
            let (now, then) = (var.flatten_all()?, before.flatten_all()?);
            Ok(now.to_vec1::<f32>()? == then.to_vec1::<f32>()?)
        };
        if !same().map_err(odd)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// One call of `train`.
#[derive(Clone, Copy)]
struct Task {
    loss_fn: LossFn,
    n_epochs: usize,
    learning_rate: f64,
}

/// What became of it: the losses, and the parameters afterwards.
struct Trained {
    losses: Vec<f32>,
    parameters: Vec<Tensor>,
}

/// How to go wrong.
#[derive(Clone, Copy)]
struct Mistake {
    times: f64,            // the step is so many times what it should be
    loss_after: bool,      // the loss is taken after the update
    only_first: bool,      // of all stimuli, only the first is used
    parameters: [bool; 4], // those that are updated
    hint: &'static str,
}

const RIGHT: Mistake = Mistake {
    times: 1.0,
    loss_after: false,
    only_first: false,
    parameters: [true; 4],
    hint: "",
};

const MISTAKES: [Mistake; 8] = [
    Mistake {
        times: -1.0,
        hint: "the parameters move along the gradient, not against it: the loss grows",
        ..RIGHT
    },
    Mistake {
        loss_after: true,
        hint: "the loss is taken after the update: keep the one that the gradients were computed from",
        ..RIGHT
    },
    Mistake {
        only_first: true,
        hint: "only the first stimulus is used: the loss is over all of train_data",
        ..RIGHT
    },
    Mistake {
        times: 2.0,
        hint: "each epoch makes two steps, or one twice as long: make one",
        ..RIGHT
    },
    Mistake {
        times: 0.5,
        hint: "the steps are half as long as they should be",
        ..RIGHT
    },
    Mistake {
        parameters: [true, true, false, false],
        hint: "only the input layer is trained: give the optimiser all of net.vars()",
        ..RIGHT
    },
    Mistake {
        parameters: [false, false, true, true],
        hint: "only the output layer is trained: give the optimiser all of net.vars()",
        ..RIGHT
    },
    Mistake {
        parameters: [true, false, true, false],
        hint: "the biases are not trained: give the optimiser all of net.vars()",
        ..RIGHT
    },
];

/// A net of 5 inputs and 4 hidden units, 7 stimuli, and their labels.
fn made_up() -> Result<(DeepNetReLU, Tensor, Tensor)> {
    let mut rng = TorchRng::manual_seed(32);
    let net = DeepNetReLU::new(&mut rng, 5, 4)?;
    let data = Tensor::from_vec(rng.uniform(35, -2.0, 2.0), (7, 5), &Device::Cpu)?;
    let labels = Tensor::from_vec(rng.uniform(7, -1.0, 3.0), (7, 1), &Device::Cpu)?;
    Ok((net, data, labels))
}

/// Training as the exercise asks for it, or with a mistake; updates are written out here, so that
/// it stands by itself.
fn reference(task: Task, mistake: Mistake) -> Result<Trained> {
    let (net, mut data, mut labels) = made_up()?;
    if mistake.only_first {
        (data, labels) = (data.narrow(0, 0, 1)?, labels.narrow(0, 0, 1)?);
    }
    let mut losses = Vec::new();
    for _ in 0..task.n_epochs {
        let loss = (task.loss_fn)(&net.forward(&data)?, &labels)?;
        let gradients = loss.backward()?;
        for (var, _) in net
            .vars()
            .iter()
            .zip(mistake.parameters)
            .filter(|(_, moves)| *moves)
        {
            if let Some(gradient) = gradients.get(var) {
                let step = (gradient * (mistake.times * task.learning_rate))?;
                var.set(&var.sub(&step)?)?;
            }
        }
        let loss = match mistake.loss_after {
            true => (task.loss_fn)(&net.forward(&data)?, &labels)?,
            false => loss,
        };
        losses.push(loss.to_scalar()?);
    }
    Ok(Trained {
        losses,
        parameters: copies(&net.vars())?,
    })
}

/// Where the losses or, failing that, the parameters differ.
fn unlike(got: &Trained, expected: &Trained) -> Checked<Option<String>> {
    if let Some((epoch, got, expected)) = first_difference(&got.losses, &expected.losses) {
        return Ok(Some(format!(
            "the loss of epoch {epoch} should be {expected:.4}, got {got:.4}"
        )));
    }
    for ((got, expected), name) in got.parameters.iter().zip(&expected.parameters).zip(NAMES) {
        if let Some((_, got, expected)) = difference(got, expected)? {
            return Ok(Some(format!(
                "a number in {name} should be {expected:.4} after training, got {got:.4}"
            )));
        }
    }
    Ok(None)
}

/// Another loss than the mean squared error: of large errors it makes less.
fn soft_absolute(out: &Tensor, labels: &Tensor) -> Result<Tensor> {
    ((out.sub(labels)?.sqr()? + 1.0)?.sqrt()? * 3.0)?.mean_all()
}

/// What the exercise asks for, of any type.
type Train<'a> =
    dyn Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>> + 'a;

fn exercise_3_2(train: &Train) -> Checked<String> {
    let tasks = [
        Task {
            loss_fn: loss::mse,
            n_epochs: 6,
            learning_rate: 0.03,
        },
        Task {
            loss_fn: loss::mse,
            n_epochs: 6,
            learning_rate: 0.01,
        },
        Task {
            loss_fn: soft_absolute,
            n_epochs: 9,
            learning_rate: 0.02,
        },
    ];
    let mut all = Vec::new();
    for task in tasks {
        let (net, data, labels) = made_up().map_err(odd)?;
        let before = copies(&net.vars()).map_err(odd)?;
        let made_before = sgd::made();
        let losses = run(|| {
            train::quietly(|| {
                train(
                    &net,
                    task.loss_fn,
                    &data,
                    &labels,
                    task.n_epochs,
                    task.learning_rate,
                )
            })
        })?;
        if losses.len() != task.n_epochs {
            return Err(format!(
                "called with n_epochs = {}, it should return as many losses, got {}: go through the \
                 loop n_epochs times, and keep one loss each time",
                task.n_epochs,
                losses.len()
            ));
        }
        if let Some(k) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(format!(
                "the loss of epoch {} should be a number, got {}: does the update go against the \
                 gradient, by learning_rate?",
                k + 1,
                losses[k]
            ));
        }
        if changed(&net.vars(), &before)?.is_none() {
            return Err(
                "the parameters of net should have changed, and are what they were: compute the \
                 gradients with loss.backward()? and hand them to optimizer.step(), for the net \
                 that was passed in"
                    .into(),
            );
        }
        let parameters = copies(&net.vars()).map_err(odd)?;
        all.push((
            task,
            Trained { losses, parameters },
            sgd::made() - made_before,
        ));
    }

    // First what shows only in comparison.
    let (_, fast, _) = &all[0];
    let (_, slow, _) = &all[1];
    let (_, other_loss, _) = &all[2];
    for (task, got, optimizers) in &all {
        let expected = reference(*task, RIGHT).map_err(odd)?;
        let Some(what) = unlike(got, &expected)? else {
            if *optimizers > 1 {
                return Err(format!(
                    "the numbers are right, but {optimizers} optimisers were made in {} epochs, and \
                     one is enough: make it before the loop (one that remembers, such as one with \
                     momentum, would forget each time)",
                    task.n_epochs
                ));
            }
            continue;
        };
        let mut hint = None;
        if unlike(fast, slow)?.is_none() {
            hint = Some("the same comes of every learning rate: use the argument learning_rate");
        }
        let with_mse = Task {
            loss_fn: loss::mse,
            ..all[2].0
        };
        let ignored = reference(with_mse, RIGHT).map_err(odd)?;
        if unlike(other_loss, &ignored)?.is_none() {
            hint = Some("loss_fn is ignored, another loss is used: call the argument loss_fn");
        }
        for mistake in MISTAKES {
            let wrong = reference(*task, mistake).map_err(odd)?;
            if hint.is_none() && unlike(got, &wrong)?.is_none() {
                hint = Some(mistake.hint);
            }
        }
        // A wrong loss may come with a right update.
        let same_losses = first_difference(&got.losses, &expected.losses).is_none();
        let hint = hint.unwrap_or(match same_losses {
            true => "the losses are right, the last update is not",
            false => {
                "each epoch: output for all of train_data, loss_fn, gradients, one step of the \
                 optimiser, and keep that loss"
            }
        });
        return Err(format!("{what}: {hint}"));
    }
    Ok(
        "exercise 3.2: losses and updates are right, with 2 learning rates and 2 loss functions"
            .into(),
    )
}
