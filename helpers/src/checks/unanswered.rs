//! What the exercises' names stand for until the learner defines them: `use helpers::*` brings these,
//! and a definition of the learner's own takes their place. So a check says which cell to run.

use candle_core::{Error, Module, Result, Tensor, Var};

use crate::net::{self, Network};
use crate::rng::TorchRng;

pub(super) const HINT: &str =
    "run the cell of the exercise first (if it does not compile, its first error says why)";

fn unanswered<T>() -> Result<T> {
    Err(Error::Msg(HINT.into()))
}

/// Exercise 2.2.
#[derive(Debug)]
pub struct DeepNetReLU;

impl DeepNetReLU {
    /// Says that the exercise has no answer yet, as everything here does.
    pub fn new(_: &mut TorchRng, _: usize, _: usize) -> Result<Self> {
        unanswered()
    }
}

impl Module for DeepNetReLU {
    fn forward(&self, _: &Tensor) -> Result<Tensor> {
        unanswered()
    }
}

impl Network for DeepNetReLU {
    fn vars(&self) -> Vec<Var> {
        panic!("{HINT}")
    }
}

/// The network of exercise 2.2: a function, which a variable of this name may replace.
pub fn net(_: &Tensor) -> Result<Tensor> {
    unanswered()
}

impl<F: Fn(&Tensor) -> Result<Tensor>> Network for F {
    fn vars(&self) -> Vec<Var> {
        panic!("{HINT}")
    }
}

/// Exercise 3.2.
pub fn train(
    _: &impl Network,
    _: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    _: &Tensor,
    _: &Tensor,
    _: usize,
    _: f64,
) -> Result<Vec<f32>> {
    unanswered()
}

/// Exercise 2.1 of the bonus notebook.
pub fn gradient_of_w_in(_: &net::DeepNetReLU, _: &Tensor, _: &Tensor) -> Result<Tensor> {
    unanswered()
}

/// Exercise 4.1 of the bonus notebook.
pub fn to_sin_cos(_: &Tensor) -> Result<Tensor> {
    unanswered()
}

/// Exercise 4.1 of the bonus notebook.
pub fn from_sin_cos(_: &Tensor) -> Result<Tensor> {
    unanswered()
}

/// Exercise 4.2 of the bonus notebook.
pub fn nll(_: &Tensor, _: &Tensor) -> Result<Tensor> {
    unanswered()
}

/// Exercise 6 of the bonus notebook.
pub fn regularizer(_: &Tensor, _: f64, _: f64) -> Result<Tensor> {
    unanswered()
}
