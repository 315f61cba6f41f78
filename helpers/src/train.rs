//! Training by full-batch gradient descent, and a report of its progress.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Error, IndexOp, Module, Result, Tensor};
use candle_nn::{Optimizer, loss};

use crate::kernel;
use crate::net::{DeepNetReLU, Network};
use crate::plots::{Figure, animation, axes, plot_decoded};
use crate::session::{finally, first_line};
use crate::sgd::SGD;

/// Full-batch gradient descent: each epoch evaluates the loss on all of the training data and
/// moves every parameter against its gradient.
///
/// `train_data` is `(n_stimuli, n_neurons)`, `train_labels` `(n_stimuli, 1)` in degrees. `loss_fn`
/// is anything like [`candle_nn::loss::mse`]. Returns the loss of each epoch, taken before that
/// epoch's update, and prints it as [`report_loss`] does.
///
/// # Errors
/// If the shapes do not match, or the loss depends on no parameter.
///
/// ```
/// use helpers::net::DeepNetReLU;
/// use helpers::train::train;
/// use helpers::*;
/// # fn main() -> Result<()> {
/// let mut rng = TorchRng::manual_seed(1);
/// let net = DeepNetReLU::new(&mut rng, 2, 4)?;
/// let data = Tensor::new(&[[0f32, 1.], [1., 0.]], &Device::Cpu)?;
/// let labels = Tensor::new(&[[90f32], [180.]], &Device::Cpu)?;
/// let train_loss = train(&net, loss::mse, &data, &labels, 50, 1e-3)?;
/// assert!(train_loss[49] < train_loss[0]);
/// # Ok(()) }
/// ```
pub fn train(
    net: &impl Network,
    loss_fn: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    train_data: &Tensor,
    train_labels: &Tensor,
    n_epochs: usize,
    learning_rate: f64,
) -> Result<Vec<f32>> {
    let mut optimizer = SGD::new(net.vars(), learning_rate)?;
    let mut train_loss = Vec::with_capacity(n_epochs);

    for i in 1..=n_epochs {
        let loss = evaluate("train", net, &loss_fn, train_data, train_labels)?;
        optimizer.step(&loss.backward()?)?;
        train_loss.push(loss.to_scalar()?);
        report_loss(i, n_epochs, train_loss[i - 1]);
    }
    Ok(train_loss)
}

/// Like [`train()`], and evaluates the loss on the test set as well, before each update. Returns the
/// losses on both sets.
///
/// # Errors
/// If the shapes do not match, or the loss depends on no parameter.
pub fn train_and_test(
    net: &impl Network,
    loss_fn: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    (train_data, train_labels): (&Tensor, &Tensor),
    (test_data, test_labels): (&Tensor, &Tensor),
    n_epochs: usize,
    learning_rate: f64,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut optimizer = SGD::new(net.vars(), learning_rate)?;
    let (mut train_loss, mut test_loss) = (Vec::new(), Vec::new());
    let loss_on = |data, labels| evaluate("train_and_test", net, &loss_fn, data, labels);

    for i in 1..=n_epochs {
        test_loss.push(loss_on(test_data, test_labels)?.to_scalar()?);
        let loss = loss_on(train_data, train_labels)?;
        train_loss.push(loss.to_scalar()?);
        optimizer.step(&loss.backward()?)?;
        report(i, n_epochs, train_loss[i - 1], Some(test_loss[i - 1]));
    }
    Ok((train_loss, test_loss))
}

/// Trains `net` with the mean squared error, as [`train()`] does. Returns an animation of what the
/// network decodes on the test set after every tenth of the epochs, against the true orientations.
///
/// # Errors
/// If the shapes do not match, or the loss depends on no parameter.
pub fn animate_training(
    net: &impl Network,
    (train_data, train_labels): (&Tensor, &Tensor),
    (test_data, test_labels): (&Tensor, &Tensor),
    n_epochs: usize,
    learning_rate: f64,
) -> Result<Figure> {
    let mut optimizer = SGD::new(net.vars(), learning_rate)?;
    let mut frames = Vec::new();
    for epoch in 0..=n_epochs {
        if epoch.is_multiple_of((n_epochs / 10).max(1)) {
            let decoded = plot_decoded(&net.forward(test_data)?, test_labels)?;
            frames.push(decoded.title(&format!("after {epoch} epochs")));
        }
        if epoch < n_epochs {
            let loss = loss::mse(&net.forward(train_data)?, train_labels)?;
            optimizer.step(&loss.backward()?)?;
        }
    }
    Ok(animation(&frames))
}

/// The slope of the mean squared error along one weight of `W_in`: the loss with the weight larger
/// by `step` minus the loss with the weight smaller by `step`, divided by `2 step`. Afterwards the
/// weight is what it was.
///
/// # Errors
/// If the shapes do not match, or there is no such unit or neuron.
///
/// ```
/// use helpers::net::DeepNetReLU;
/// use helpers::*;
/// # fn main() -> Result<()> {
/// let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 2, 4)?;
/// let (r, ori) = (Tensor::new(&[[3f32, 1.]], &Device::Cpu)?, Tensor::new(&[[90f32]], &Device::Cpu)?);
/// let slope = slope_along(&net, 0, 1, 1e-4, &r, &ori)?; // unit 0, neuron 1
/// let gradients = loss::mse(&net.forward(&r)?, &ori)?.backward()?;
/// let gradient = item(&gradients.get(net.in_layer.weight()).unwrap().i((0, 1))?)?;
/// assert!((slope - f64::from(gradient)).abs() < 0.01 * slope.abs());
/// # Ok(()) }
/// ```
pub fn slope_along(
    net: &DeepNetReLU,
    unit: usize,
    neuron: usize,
    step: f64,
    r: &Tensor,
    ori: &Tensor,
) -> Result<f64> {
    let w_in = net.in_layer.weight();
    let before = w_in.copy()?;
    before.i((unit, neuron))?;
    let loss_with = |change: f64| -> Result<f64> {
        let mut weights = before.to_vec2::<f32>()?;
        weights[unit][neuron] += change as f32;
        w_in.set(&Tensor::from_vec(weights.concat(), w_in.shape(), &Device::Cpu)?)?;
        let out = net.forward(r)?.to_dtype(DType::F64)?; // f32 is too coarse for a loss of 44,000
        loss::mse(&out, &ori.to_dtype(DType::F64)?)?.to_scalar()
    };
    let [larger, smaller] = [step, -step].map(loss_with);
    w_in.set(&before)?;
    Ok((larger? - smaller?) / (2.0 * step))
}

/// The loss, a scalar. If `loss_fn` fails and the output and the labels differ in shape or type,
/// the error says so.
fn evaluate(
    caller: &str,
    net: &dyn Network,
    loss_fn: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>,
    data: &Tensor,
    labels: &Tensor,
) -> Result<Tensor> {
    let out = net.forward(data)?; // (n_stimuli, 1)
    loss_fn(&out, labels).map_err(|err| {
        let kind = |tensor: &Tensor| format!("{:?} of type {:?}", tensor.dims(), tensor.dtype());
        let (out, labels) = (kind(&out), kind(labels));
        if out == labels {
            return err;
        }
        Error::Msg(format!(
            "{caller}: loss_fn cannot compare the output {out} with labels {labels} ({}): call \
             unsqueeze(1)? on labels of shape (n_stimuli,), and to_dtype(DType::F32)? on labels of \
             another type",
            first_line(err)
        ))
    })
}

/// Prints about five of the `n_epochs` losses, and one whenever nothing was printed for three seconds.
/// Call it with the loss of each epoch `i`, counted from 1. A training of more than a second also
/// shows the curve of the loss so far, on a logarithmic scale, on kernels that can update a figure.
pub fn report_loss(i: usize, n_epochs: usize, loss: f32) {
    report(i, n_epochs, loss, None);
}

fn report(i: usize, n_epochs: usize, loss: f32, test_loss: Option<f32>) {
    kernel::check_interrupt();
    if QUIET.get() {
        return;
    }
    PROGRESS.with_borrow_mut(|progress| {
        let now = Instant::now();
        if i <= 1 {
            *progress = None;
        }
        let progress = progress.get_or_insert_with(|| Progress {
            begun: now,
            printed: now,
            drawn: None,
            train_loss: Vec::new(),
            test_loss: Vec::new(),
        });
        progress.train_loss.push(loss);
        progress.test_loss.extend(test_loss);
        let silent = now - progress.printed;
        if i.is_multiple_of((n_epochs / 5).max(1)) || silent > Duration::from_secs(3) {
            progress.printed = now;
            let test = test_loss.map(|loss| format!(" | test_loss: {loss:.3}")).unwrap_or_default();
            println!("iteration {i}/{n_epochs} | loss: {loss:.3}{test}");
        }
        if kernel::is_patched() && progress.is_curve_due(now, i == n_epochs) {
            // Training goes on if the curve cannot be drawn.
            let _ = progress.show_curve(i, n_epochs);
        }
    });
}

struct Progress {
    begun: Instant,
    printed: Instant,
    drawn: Option<Instant>,
    train_loss: Vec<f32>,
    test_loss: Vec<f32>,
}

impl Progress {
    /// True once a second, because drawing takes about 50 ms, and at the end of a training whose curve
    /// was shown.
    fn is_curve_due(&self, now: Instant, is_end: bool) -> bool {
        let last = self.drawn.unwrap_or(self.begun);
        now - last > Duration::from_secs(1) || (is_end && self.drawn.is_some())
    }

    /// Shows the loss so far, and replaces the curve that was shown of this training before.
    fn show_curve(&mut self, i: usize, n_epochs: usize) -> Result<()> {
        let epochs = 0..self.train_loss.len();
        let mut curve = axes("epoch", "loss").line("training set", &epochs, &self.train_loss)?;
        if !self.test_loss.is_empty() {
            curve = curve.line("test set", &epochs, &self.test_loss)?;
        }
        let curve = curve.title(&format!("epoch {i} of {n_epochs}")).log_scale().formats()?;
        let id = format!("training {:?}", self.begun); // no other training began at that time
        kernel::show_live(&curve, &id, self.drawn.is_some());
        self.drawn = Some(Instant::now());
        Ok(())
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PROGRESS: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// Runs a training without a report of its progress.
pub(crate) fn without_progress<T>(training: impl FnOnce() -> T) -> T {
    QUIET.set(true);
    finally(training, || QUIET.set(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curve_is_due_every_second_and_at_the_end_of_a_long_training() {
        let begun = Instant::now();
        let after = |ms: u64| begun + Duration::from_millis(ms);
        let due = |drawn: Option<u64>, now: u64, is_end: bool| {
            let (train_loss, test_loss) = (Vec::new(), Vec::new());
            let drawn = drawn.map(after);
            let progress = Progress { begun, printed: begun, drawn, train_loss, test_loss };
            progress.is_curve_due(after(now), is_end)
        };
        assert!(!due(None, 900, false));
        assert!(!due(None, 900, true));
        assert!(due(None, 1100, false));
        assert!(!due(Some(1100), 1500, false));
        assert!(due(Some(1100), 1500, true));
        assert!(due(Some(1100), 2200, false));
    }
}
