//! Everything the notebooks need, behind one `use helpers::*;`.
//!
//! | module | contents |
//! |---|---|
//! | [`rng`] | the random numbers of PyTorch and NumPy, value for value |
//! | [`recording`] | the neural recording: download, simulation, reading, splitting |
//! | [`mod@net`] | networks: [`Linear`], [`Layers`], [`net::DeepNetReLU`] |
//! | [`mod@train`], [`SGD`] | training: full-batch gradient descent |
//! | [`decoders`] | decoders that are not networks, and the comparison of all decoders |
//! | [`checks`], [`unsolved`] | checks of the exercises, and what exercises call until they are answered |
//! | [`plots`] | the figures |
//! | [`session`] | set-up, catching up, videos, feedback |
//!
//! One shape notation throughout: `(n_stimuli, n_neurons)`. Angles are in degrees, numbers are f32.
//!
//! A generic function (`impl Trait`) is compiled in each cell that calls it. That takes time, and
//! cells are compiled with few optimizations. So generic functions are short and call others.
//!
//! Notebooks must use the candle that is re-exported here. candle numbers its tensors, and
//! `backward()` tells tensors apart by their numbers. A second copy of candle would count from 1
//! again, and gradients would be mixed up.

mod affine;
pub mod checks;
pub mod decoders;
mod kernel;
pub mod net;
pub mod plots;
pub mod recording;
pub mod rng;
pub mod session;
mod sgd;
pub mod train;
pub mod unsolved;

pub use candle_core::{self, D, DType, Device, Error, IndexOp, Module, Result, Tensor, Var};
pub use candle_nn::{self, Optimizer, loss};
pub use checks::unanswered::*;
pub use checks::{
    check_exercise_2_2, check_exercise_3_2, check_exercise_gradient, check_exercise_nll,
    check_exercise_penalty, check_exercise_sin_cos,
};
pub use decoders::{
    LinearRegression, MatchedFilter, PopulationVector, argsort, circular_error, compare_decoders,
    preferred_orientations, smooth, stimulus_class,
};
pub use net::{Layers, Linear, Network, load_weights, n_parameters, save_weights};
pub use plots::{
    Figure, Values, animation, axes, figure, plot_confusion, plot_data_matrix, plot_decoded,
    plot_decoding_error, plot_gradient_descent, plot_grating, plot_matrix, plot_network,
    plot_train_and_test_loss, plot_train_loss, plot_tuning_curves, plot_weights,
};
pub use recording::{
    Source, Split, fetch_or_simulate_recording, fetch_recording, get_data, item, load_data, rows,
    simulate_recording, source, split,
};
pub use rng::{NumpyRng, TorchRng};
pub use session::{CaughtUp, catch_up, feedback, setup, video};
pub use sgd::SGD;
pub use train::{animate_training, report_loss, slope_along, train_and_test};
