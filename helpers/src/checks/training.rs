//! Exercise 3.2: gradient descent.

use std::iter;

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::loss;

use super::{NAMES, PANICKED, ROUNDING, Verdict, compare, run, to_vec, uniform};
use crate::net::{DeepNetReLU, Network};
use crate::rng::TorchRng;
use crate::train::without_progress;

/// A loss function such as [`loss::mse`]: of outputs and labels.
pub type LossFn = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Checks exercise 3.2: whether `train`, called as
/// `train(&net, loss_fn, &train_data, &train_labels, n_epochs, learning_rate)`, trains `net` by
/// gradient descent and returns the loss of each epoch before its update.
///
/// The macro of the same name also takes a `train` whose `net` is the learner's own `DeepNetReLU`, or
/// a `&dyn Network`.
pub fn check_exercise_3_2(
    train: impl Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
) -> Result<Verdict> {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(36), 5, 4)?;
    let train: &Train = &|loss_fn, x, y, n, rate| train(&net, loss_fn, x, y, n, rate);
    Verdict::new(exercise_3_2(&net, train))
}

/// Checks exercise 3.2 as the function of the same name does, whatever type `train` has for `net`.
#[macro_export]
macro_rules! check_exercise_3_2 {
    ($train:expr) => {{
        use $crate::checks::{Answer, Check as _};
        (&&&Answer($train)).check(DeepNetReLU::new)
    }};
}

/// The learner's `train`. The compiler takes the first of these types that has a [`Check`]: `&&Answer`
/// if `train` takes any network, `&Answer` if it takes `&dyn Network`, `Answer` if it takes the
/// network `N` alone.
#[derive(Debug)]
pub struct Answer<F>(pub F);

/// Checks a `train`; `new` makes the learner's network.
pub trait Check<N> {
    /// Says whether the answer is right.
    fn check(&self, new: fn(&mut TorchRng, usize, usize) -> Result<N>) -> Result<Verdict>;
}

impl<N, F> Check<N> for &&Answer<F>
where
    F: Fn(&DeepNetReLU, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
{
    fn check(&self, _: fn(&mut TorchRng, usize, usize) -> Result<N>) -> Result<Verdict> {
        check_exercise_3_2(&self.0)
    }
}

impl<N, F> Check<N> for &Answer<F>
where
    F: Fn(&dyn Network, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
{
    fn check(&self, _: fn(&mut TorchRng, usize, usize) -> Result<N>) -> Result<Verdict> {
        check_exercise_3_2(|net, loss_fn, x, y, n, rate| (self.0)(net, loss_fn, x, y, n, rate))
    }
}

impl<N: Network, F> Check<N> for Answer<F>
where
    F: Fn(&N, LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>>,
{
    fn check(&self, new: fn(&mut TorchRng, usize, usize) -> Result<N>) -> Result<Verdict> {
        let net = run(|| new(&mut TorchRng::manual_seed(36), 5, 4));
        Verdict::new(net.and_then(|net| {
            exercise_3_2(&net, &|loss_fn, x, y, n, rate| (self.0)(&net, loss_fn, x, y, n, rate))
        }))
    }
}

/// The learner's `train`, with its first argument filled in.
type Train<'a> = dyn Fn(LossFn, &Tensor, &Tensor, usize, f64) -> Result<Vec<f32>> + 'a;

struct Task {
    loss_fn: LossFn,
    n_epochs: usize,
    learning_rate: f64,
}

/// The first task makes one update with large gradients, which shows whether the answer clips them.
/// The others make many updates, which show whether the learning rate changes. The third has small
/// gradients and a loss that shows whether its arguments are swapped. The loss of the fourth is tiny
/// and rises, which shows whether the training stops early.
const TASKS: [Task; 4] = [
    Task { loss_fn: large_loss, n_epochs: 1, learning_rate: 3e-3 },
    Task { loss_fn: loss::mse, n_epochs: 110, learning_rate: 2e-4 },
    Task { loss_fn: asymmetric_loss, n_epochs: 110, learning_rate: 20.0 },
    Task { loss_fn: rising_loss, n_epochs: 110, learning_rate: 2e4 },
];

fn large_loss(out: &Tensor, labels: &Tensor) -> Result<Tensor> {
    loss::mse(out, labels)? * 1e3
}

/// A loss that is higher for outputs above the labels than for those below.
fn asymmetric_loss(out: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let error = (out.sub(labels)? / 90.0)?;
    ((error.sqr()? + 1.0)?.sqrt()? + (error * 0.5)?)?.mean_all()
}

/// A thousandth of [`asymmetric_loss`] with the sign changed, but not the sign of its gradient. So it
/// is below 0, and rises by less than 1e-6 in an epoch.
fn rising_loss(out: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let loss = asymmetric_loss(out, labels)?;
    (&loss - (loss.detach() * 2.0)?)? * 1e-3
}

#[rustfmt::skip] // the table below has a line for each
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    None, LossAfter, FirstStimulus, SwappedArguments, OtherLoss, TwoSteps, OldGradients, Momentum,
    Adam, AdamW,
}

#[rustfmt::skip] // one line each
const MISTAKES: [(Mistake, &str); 9] = [
    (Mistake::LossAfter, "keep the loss that the gradients were computed from: this loss is taken after the update"),
    (Mistake::FirstStimulus, "compute the loss over all of train_data: only the first stimulus is used"),
    (Mistake::SwappedArguments, "pass loss_fn the outputs first, then the labels: its arguments are swapped"),
    (Mistake::OtherLoss, "call the argument loss_fn: another loss is used"),
    (Mistake::TwoSteps, "make one step in each epoch: these are two"),
    (Mistake::OldGradients, "compute new gradients in each epoch: all epochs use the gradients of the first"),
    (Mistake::Momentum, "use SGD::new(net.vars(), learning_rate): these steps have momentum"),
    (Mistake::Adam, "use SGD: every parameter moves equally far, as with Adam"),
    (Mistake::AdamW, "use SGD: every parameter moves equally far, as with AdamW"),
];

struct Test<'a> {
    net: &'a dyn Network,
    initial: Vec<Tensor>,
    data: Tensor,   // (250, 5)
    labels: Tensor, // (250, 1)
}

impl Test<'_> {
    /// Trains the net from its initial parameters. Returns the losses, `(n_epochs,)`, and then the
    /// change of each parameter.
    fn trained(&self, training: impl FnOnce() -> Result<Vec<f32>>) -> Result<Vec<Tensor>> {
        let vars = self.net.vars();
        for (var, initial) in vars.iter().zip(&self.initial) {
            var.set(initial)?;
        }
        let losses = Tensor::new(training()?, &Device::Cpu);
        let changes = vars.iter().zip(&self.initial).map(|(var, initial)| var.sub(initial));
        iter::once(losses).chain(changes).collect()
    }

    /// Training as the exercise asks for it, or with a mistake. It is written without [`crate::SGD`],
    /// so that it does not share an error with it.
    fn reference(&self, task: &Task, mistake: Mistake) -> Result<Vec<Tensor>> {
        self.trained(|| {
            let rate = task.learning_rate;
            let loss = || {
                let n = if mistake == Mistake::FirstStimulus { 1 } else { self.data.dim(0)? };
                let out = self.net.forward(&self.data.narrow(0, 0, n)?)?;
                let labels = self.labels.narrow(0, 0, n)?;
                match mistake {
                    Mistake::SwappedArguments => (task.loss_fn)(&labels, &out),
                    Mistake::OtherLoss => loss::mse(&out, &labels),
                    _ => (task.loss_fn)(&out, &labels),
                }
            };
            let first = loss()?.backward()?;
            let zeros = self.initial.iter().map(Tensor::zeros_like);
            let mut velocities = zeros.collect::<Result<Vec<_>>>()?;
            let mut losses = Vec::new();
            for _ in 0..task.n_epochs {
                let before = loss()?;
                for _ in 0..if mistake == Mistake::TwoSteps { 2 } else { 1 } {
                    let new = loss()?.backward()?;
                    let gradients = if mistake == Mistake::OldGradients { &first } else { &new };
                    for (var, velocity) in self.net.vars().iter().zip(&mut velocities) {
                        let Some(gradient) = gradients.get(var) else { continue };
                        let step = match mistake {
                            Mistake::Momentum => {
                                *velocity = ((&*velocity * 0.9)? + gradient)?;
                                velocity.clone()
                            }
                            Mistake::Adam => gradient.sign()?,
                            Mistake::AdamW => (gradient.sign()? + (var.as_tensor() * 0.01)?)?,
                            _ => gradient.clone(),
                        };
                        var.set(&var.sub(&(step * rate)?)?)?;
                    }
                }
                let kept = if mistake == Mistake::LossAfter { loss()? } else { before };
                losses.push(kept.to_scalar()?);
            }
            Ok(losses)
        })
    }
}

/// Runs the learner's `train`, and checks what needs no reference.
fn run_training(test: &Test, train: &Train, task: &Task) -> Result<Vec<Tensor>> {
    let &Task { loss_fn, n_epochs, learning_rate } = task;
    let train = || train(loss_fn, &test.data, &test.labels, n_epochs, learning_rate);
    let got = test.trained(|| run(|| without_progress(train)))?;
    let losses = to_vec(&got[0])?;
    if losses.len() != n_epochs {
        bail!(
            "called with n_epochs = {n_epochs}, train should return as many losses, got {}:\tgo \
             through the loop n_epochs times, without an early end, and keep one loss each time",
            losses.len()
        )
    }
    if let Some((i, loss)) = (1..).zip(&losses).find(|(_, loss)| !loss.is_finite()) {
        bail!(
            "the loss of epoch {i} should be a finite number, got {loss}:\tmake one step in each \
             epoch, against the gradient and by learning_rate times the gradient"
        )
    }
    let mut unchanged = Vec::new();
    for (change, name) in got[1..].iter().zip(NAMES) {
        if to_vec(change)?.iter().all(|&x| x == 0.0) {
            unchanged.push(name);
        }
    }
    match unchanged.len() {
        0 => Ok(got),
        4 => bail!(
            "after n_epochs = {n_epochs}, the parameters of net should have changed, and did \
             not:\tcompute the gradients with loss.backward()? and pass them to \
             optimizer.step(), for the net that was passed in"
        ),
        _ => bail!(
            "{} should have changed, and did not:\tgive the optimizer all of net.vars()",
            unchanged.join(" and ")
        ),
    }
}

#[rustfmt::skip] // one line each mistake
fn exercise_3_2(net: &dyn Network, train: &Train) -> Result<String> {
    let initial = net.vars().iter().map(|var| var.copy()).collect::<Result<_>>()?;
    let mut rng = TorchRng::manual_seed(32);
    let n_stimuli = 250; // more than the 216 of the tutorial
    let data = uniform(&mut rng, (n_stimuli, 5), -2.0, 2.0)?;
    let labels = uniform(&mut rng, (n_stimuli, 1), 0.0, 360.0)?;
    let test = Test { net, initial, data, labels };

    for task in &TASKS {
        let got = match run_training(&test, train, task) {
            // An answer may print a loss if i % (n_epochs / 5) == 0, which panics for 1 epoch.
            Err(err) if task.n_epochs == 1 && err.to_string().starts_with(PANICKED) => continue,
            got => got?,
        };
        let expected = run(|| test.reference(task, Mistake::None))?;
        let otherwise = match task.n_epochs {
            1 => "in each epoch, compute the output for all of train_data, the loss by loss_fn and \
                  its gradients, make one step of the optimizer with them, and keep that loss",
            _ => "in each epoch, compute new gradients from all of train_data and make one step, \
                  with the same learning_rate: the first epoch is right, a later one is not",
        };
        for (i, right) in expected.iter().enumerate().take(1 + NAMES.len()) {
            let mistakes = || {
                let mut mistakes = vec![
                    ((right * 250.0)?, "keep the mean, which loss_fn takes: for 250 stimuli, the sum is 250 times too much"),
                    ((right / 250.0)?, "leave out the division: loss_fn takes the mean already"),
                    (right.neg()?, "change the sign: a step goes against the gradient, and the loss is kept as it is"),
                    (right.sqrt()?, "leave out the square root of the loss"),
                ];
                for (mistake, hint) in MISTAKES {
                    mistakes.push((test.reference(task, mistake)?.swap_remove(i), hint));
                }
                Ok(mistakes)
            };
            let place = |position: usize| match i {
                0 => format!("the loss of epoch {}", position + 1),
                _ => format!("the change of {} up to epoch {}", NAMES[i - 1], task.n_epochs),
            };
            compare(&got[i], right, ROUNDING, mistakes, place, otherwise)?;
        }
    }
    Ok("exercise 3.2: losses and updates are right, with 4 learning rates and losses".into())
}
