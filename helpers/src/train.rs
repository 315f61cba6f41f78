//! Training by full-batch gradient descent, and a report of its progress.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use candle_core::{Result, Tensor};
use candle_nn::Optimizer;

use crate::net::Network;
use crate::sgd::SGD;

/// Full-batch gradient descent: each epoch evaluates the loss on all of the training data and
/// moves every parameter against its gradient.
///
/// `train_data` is `(n_stimuli, n_neurons)`, `train_labels` `(n_stimuli, 1)` in degrees. `loss_fn`
/// is anything like [`candle_nn::loss::mse`]. Returns the loss of each epoch, taken before that
/// epoch's update, and prints it as [`report_loss`] does.
///
/// # Errors
/// If the shapes do not match.
///
/// ```
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
        let out = net.forward(train_data)?; // (n_stimuli, 1)
        let loss = loss_fn(&out, train_labels)?; // a scalar
        let gradients = loss.backward()?;
        optimizer.step(&gradients)?;

        let loss = loss.to_scalar::<f32>()?;
        train_loss.push(loss);
        report_loss(i, n_epochs, loss);
    }
    Ok(train_loss)
}

/// Like [`train()`], and evaluates the loss on the test set as well, before each update. Returns the
/// losses on both sets.
///
/// # Errors
/// If the shapes do not match.
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

    for i in 1..=n_epochs {
        let out = net.forward(test_data)?.detach(); // needs no gradients
        test_loss.push(loss_fn(&out, test_labels)?.to_scalar()?);
        let loss = loss_fn(&net.forward(train_data)?, train_labels)?;
        train_loss.push(loss.to_scalar()?);
        optimizer.step(&loss.backward()?)?;
        report(i, n_epochs, train_loss[i - 1], Some(test_loss[i - 1]));
    }
    Ok((train_loss, test_loss))
}

/// Prints the loss of about five of `n_epochs`, and whenever nothing was printed for three seconds.
/// Call it with the loss of each epoch `i`, counted from 1. Beside the loss, the line shows the curve
/// of the loss so far, on a logarithmic scale, and the time that is left.
pub fn report_loss(i: usize, n_epochs: usize, loss: f32) {
    report(i, n_epochs, loss, None);
}

fn report(i: usize, n_epochs: usize, loss: f32, test_loss: Option<f32>) {
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
            losses: Vec::new(),
        });
        progress.losses.push(loss);
        let silent = now - progress.printed;
        if i.is_multiple_of((n_epochs / 5).max(1)) || silent > Duration::from_secs(3) {
            progress.printed = now;
            let curve = sparkline(&progress.losses, i as f64 / n_epochs as f64);
            let time = match (now - progress.begun).as_secs_f64() {
                taken if i == n_epochs => format!("took {}", format_duration(taken)),
                // The first epoch was over when the clock began to run.
                taken => {
                    let left =
                        taken / (i as f64 - 1.0).max(1.0) * n_epochs.saturating_sub(i) as f64;
                    format!("{} left", format_duration(left))
                }
            };
            let test =
                test_loss.map_or_else(String::new, |loss| format!(" | test_loss: {loss:.3}"));
            println!("iteration {i}/{n_epochs} | loss: {loss:.3}{test} | {curve} | {time}");
        }
    });
}

/// The progress of the current training.
struct Progress {
    begun: Instant,
    printed: Instant,
    losses: Vec<f32>,
}

/// The losses as bars that fill `part` of the width. The largest loss has the highest bar, NaN and
/// infinity have `?`.
fn sparkline(losses: &[f32], part: f64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 10;
    let filled = ((part * WIDTH as f64).round() as usize).clamp(1, WIDTH);
    // NaN stays NaN, which f32::max would not do.
    let clamp_positive = |loss: f32| {
        if loss < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { loss }
    };
    let height = |loss: f32| f64::from(clamp_positive(loss)).ln();
    let at = |place: usize| losses[(place * losses.len() / filled).min(losses.len() - 1)];
    let heights: Vec<f64> = (0..filled).map(|place| height(at(place))).collect();
    let finite = || heights.iter().copied().filter(|height| height.is_finite());
    let (low, high) =
        (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bar = |place: usize| match heights.get(place) {
        None => '·',
        Some(_) if !at(place).is_finite() => '?',
        Some(height) => BARS[((height - low) / (high - low).max(1e-9) * 7.0).round() as usize],
    };
    (0..WIDTH).map(bar).collect()
}

fn format_duration(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PROGRESS: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// Runs a training without a report of its progress.
pub(crate) fn without_progress<T>(training: impl FnOnce() -> T) -> T {
    struct Guard; // is dropped after a panic as well
    impl Drop for Guard {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    QUIET.set(true);
    let _guard = Guard;
    training()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_fills_up_and_falls_with_the_loss() {
        assert_eq!(sparkline(&[1000.0], 0.0), "▁·········");
        assert_eq!(sparkline(&[1000.0, 100.0, 10.0, 1.0], 0.4), "█▆▃▁······");
        let losses: Vec<f32> = (0..50).map(|i| (-i as f32).exp()).collect();
        assert_eq!(sparkline(&losses, 1.0), "█▇▆▆▅▄▃▃▂▁");
        assert_eq!(sparkline(&[1000.0, 10.0, f32::NAN], 0.3), "█▁?·······");
        assert_eq!(sparkline(&[1.0, f32::INFINITY, f32::NAN, 0.0], 0.4), "█??▁······");
    }

    #[test]
    fn durations_have_few_digits() {
        let durations = [0.04, 9.9, 9.96, 89.0, 200.0].map(format_duration);
        assert_eq!(durations, ["0.0 s", "9.9 s", "10 s", "89 s", "3 min"]);
    }
}
