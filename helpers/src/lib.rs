//! Everything the notebooks need, behind one `use helpers::*;`.
//!
//! | module | what is in it |
//! |---|---|
//! | [`rng`] | the random numbers of PyTorch and NumPy, value for value |
//! | [`recording`] | the neural recording: download, simulation, reading, splitting |
//! | [`net`] | [`Linear`], [`DeepNet`], [`DeepNetReLU`] |
//! | [`train()`], [`SGD`] | full-batch gradient descent |
//! | [`decoders`] | ways to decode without a network, what the bonus looks at, all in one table |
//! | [`checks`] | verdicts on the exercises |
//! | [`plots`] | the figures |
//! | [`session`] | readable errors and feedback in a notebook |
//!
//! One shape notation throughout: `(n_stimuli, n_neurons)`. Angles are in degrees, numbers are f32.
//!
//! A function that leaves a type open (`impl Trait`) is compiled anew in each cell that calls it, at
//! a cell's expense and quality. So such functions hand on to one that does not.
//!
//! candle is re-exported, and notebooks must use it from here and from nowhere else: a second
//! copy of candle would number its tensors from 1 again, and `backward()` tells tensors apart by
//! that number.

mod affine;
pub mod checks;
pub mod decoders;
pub mod net;
pub mod plots;
pub mod recording;
pub mod rng;
pub mod session;
mod sgd;
mod train;

pub use candle_core::{self, D, DType, Device, Error, IndexOp, Module, Result, Tensor, Var};
pub use candle_nn::{self, Optimizer, loss};
pub use checks::{
    check_exercise_2_2, check_exercise_3_2, check_exercise_gradient, check_exercise_nll,
    check_exercise_penalty, check_exercise_sin_cos,
};
pub use decoders::{
    LinearRegression, MatchedFilter, PopulationVector, circular_error, compare_decoders,
    preferred_orientations, smooth, stimulus_class,
};
pub use net::{DeepNet, DeepNetReLU, Layers, Linear, Network, n_parameters};
pub use plots::{
    Figure, Values, axes, figure, plot_confusion, plot_data_matrix, plot_decoded,
    plot_decoding_error, plot_gradient_descent, plot_matrix, plot_network, plot_recording,
    plot_train_and_test_loss, plot_train_loss, plot_tuning_curves, plot_weights,
};
pub use recording::{
    Source, Split, fetch_or_simulate_recording, fetch_recording, get_data, load_data, rows,
    simulate_recording, source, split,
};
pub use rng::{NumpyRng, TorchRng};
pub use session::{CaughtUp, catch_up, feedback, setup};
pub use sgd::SGD;
pub use train::{report_loss, train, train_and_test};
