//! Functions and a type with the names that the learner defines in the exercises. `use helpers::*`
//! imports them, and the learner's definitions take their place. Until an exercise is run, its check
//! gets these, and says which cell to run.

use candle_core::{Error, Module, Result, Tensor, Var};

use crate::net::{self, Network};
use crate::rng::TorchRng;

pub(super) const HINT: &str =
    "run the cell of the exercise first (if it does not compile, its first error says why)";

fn unanswered<T>() -> Result<T> {
    Err(Error::Msg(HINT.into()))
}

macro_rules! unanswered {
    ($($name:ident($($argument:ty),*) -> $value:ty;)*) => {
        $(
            /// An exercise that was not run: returns an error that says so.
            pub fn $name($(_: $argument),*) -> Result<$value> {
                unanswered()
            }
        )*
    };
}

unanswered! {
    net(&Tensor) -> Tensor;
    train(
        &impl Network, impl Fn(&Tensor, &Tensor) -> Result<Tensor>, &Tensor, &Tensor, usize, f64
    ) -> Vec<f32>;
    gradient_of_w_in(&net::DeepNetReLU, &Tensor, &Tensor) -> Tensor;
    to_sin_cos(&Tensor) -> Tensor;
    from_sin_cos(&Tensor) -> Tensor;
    nll(&Tensor, &Tensor) -> Tensor;
    regularizer(&Tensor, f64, f64) -> Tensor;
}

/// Makes the function [`net()`] a network, as the variable of that name will be.
impl<F: Fn(&Tensor) -> Result<Tensor>> Network for F {
    fn vars(&self) -> Vec<Var> {
        panic!("{HINT}")
    }
}

/// An exercise that was not run: `new` returns an error that says so.
#[derive(Debug)]
pub struct DeepNetReLU;

impl DeepNetReLU {
    /// Returns the error.
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
