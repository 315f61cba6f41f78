use std::cell::Cell;

use crate::{Network, Optimizer, Result, SGD, Tensor};

/// Full-batch gradient descent: each epoch evaluates the loss on all of the training data and
/// moves every parameter against its gradient.
///
/// `train_data` is `(n_stimuli, n_neurons)`, `train_labels` `(n_stimuli, 1)` in degrees. `loss_fn`
/// is anything like [`candle_nn::loss::mse`]. Returns the loss of each epoch, taken before that
/// epoch's update, and prints it as [`report_loss`] does.
///
/// # Errors
/// If shapes do not fit each other.
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

/// Prints the loss of epoch `i`, counted from 1, if it is one of some five among `n_epochs`.
pub fn report_loss(i: usize, n_epochs: usize, loss: f32) {
    if !QUIET.get() && i.is_multiple_of((n_epochs / 5).max(1)) {
        println!("iteration {i}/{n_epochs} | loss: {loss:.3}");
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a training of which nothing is to be printed.
pub(crate) fn quietly<T>(training: impl FnOnce() -> T) -> T {
    struct Loud; // also after a panic
    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    QUIET.set(true);
    let _loud = Loud;
    training()
}
