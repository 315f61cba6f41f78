//! An exercise calls these functions until the learner answers it. They compute what the solution
//! computes, so that the cells below run. A check notices that they are called and says "not yet".

use std::cell::Cell;

use candle_core::{Module, Result, Tensor};
use candle_nn::{Optimizer, loss};

use crate::decoders;
use crate::net::{DeepNetReLU, Network};
use crate::sgd::SGD;

thread_local! {
    static CALLED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs an answer. Also returns the name of the last function of this module that the answer called.
pub(crate) fn watch<T>(answer: impl FnOnce() -> T) -> (T, Option<&'static str>) {
    CALLED.set(None);
    (answer(), CALLED.get())
}

/// Exercise 2.2: the output of a network with a hidden layer of rectified linear units for
/// responses `r`, `(n_neurons,)` or `(n_stimuli, n_neurons)`.
///
/// # Errors
/// If the shapes do not match.
pub fn forward(net: &impl Network, r: &Tensor) -> Result<Tensor> {
    CALLED.set(Some("forward"));
    DeepNetReLU::from_vars(net.vars())?.forward(r)
}

/// Exercise 3.2: the network's output for all of `train_data`.
///
/// # Errors
/// If the shapes do not match.
pub fn output(net: &impl Network, train_data: &Tensor) -> Result<Tensor> {
    CALLED.set(Some("output"));
    net.forward(train_data)
}

/// Exercise 3.2: computes the gradients of the loss, and makes one step of the optimizer with them.
///
/// # Errors
/// If the loss depends on no parameter.
pub fn step(loss: &Tensor, optimizer: &mut SGD) -> Result<()> {
    CALLED.set(Some("step"));
    optimizer.step(&loss.backward()?)
}

/// Bonus exercise 2.1: the gradient of the mean squared error with respect to `W_in`,
/// `(n_hidden, n_neurons)`. `active` is `(n_stimuli, n_hidden)`, `error` `(n_stimuli, 1)`, `w_out`
/// `(1, n_hidden)`.
///
/// # Errors
/// If the shapes do not match.
pub fn gradient(
    r: &Tensor,
    active: &Tensor,
    error: &Tensor,
    w_out: &Tensor,
    n_stimuli: f64,
) -> Result<Tensor> {
    CALLED.set(Some("gradient"));
    let dl_dz = (error.matmul(w_out)? * active)?;
    dl_dz.t()?.matmul(r)? * (2.0 / n_stimuli)
}

/// Bonus exercise 4.1: sine and cosine of orientations in degrees, `(n_stimuli, 2)`.
///
/// # Errors
/// If the tensor cannot be read.
pub fn sin_cos(stimuli: &Tensor) -> Result<Tensor> {
    CALLED.set(Some("sin_cos"));
    decoders::sin_cos(stimuli)
}

/// Bonus exercise 4.1: the angle in degrees, 0 to below 360, of a point with this sine and cosine.
pub fn angle(sin: f32, cos: f32) -> f32 {
    CALLED.set(Some("angle"));
    decoders::angle(sin, cos)
}

/// Bonus exercise 4.2: the negative log-likelihood of the true classes.
///
/// # Errors
/// If the shapes do not match.
pub fn nll(log_p: &Tensor, classes: &Tensor) -> Result<Tensor> {
    CALLED.set(Some("nll"));
    loss::nll(log_p, classes)
}

/// Bonus exercise 6: `l2` times the sum of the squared weights plus `l1` times the sum of their
/// absolute values.
///
/// # Errors
/// If the weights cannot be read.
pub fn penalty(weights: &Tensor, l2: f64, l1: f64) -> Result<Tensor> {
    CALLED.set(Some("penalty"));
    decoders::penalty(weights, l2, l1)
}
