//! The parts of the tutorial that take time: `cargo bench`. Beside PyTorch, and in the build that
//! the kernel uses, they are measured by `cargo xtask bench speed`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use helpers::*;

/// A simulated recording, in the folder that cargo has for such files.
static RECORDING: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    simulate_recording(folder.join("simulated_recording_seed1.npz"), 1).unwrap()
});
static DATA: LazyLock<(Tensor, Tensor)> = LazyLock::new(|| load_data(&*RECORDING, 1).unwrap());

#[divan::bench(args = [10, 200], sample_count = 7)]
fn five_epochs_with_hidden_units(bencher: Bencher, n_hidden: usize) {
    let (resp_all, stimuli_all) = &*DATA;
    let split = split(&mut TorchRng::manual_seed(4), resp_all, stimuli_all).unwrap();
    let n_neurons = resp_all.dim(1).unwrap();
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), n_neurons, n_hidden).unwrap();
    bencher.bench_local(|| {
        let mut optimizer = SGD::new(net.vars(), 1e-4).unwrap();
        for _ in 0..5 {
            let out = net.forward(&split.resp_train).unwrap();
            let loss = loss::mse(&out, &split.stimuli_train).unwrap();
            optimizer.step(&loss.backward().unwrap()).unwrap();
        }
    });
}

#[divan::bench(args = [1, 10], sample_count = 7)]
fn load_with_bins_of(bencher: Bencher, bin_width: u32) {
    let path = &*RECORDING;
    bencher.bench_local(|| load_data(black_box(path), bin_width).unwrap());
}

#[divan::bench(sample_count = 7)]
fn figure_of_section_1(bencher: Bencher) {
    let (resp_all, stimuli_all) = &*DATA;
    bencher.bench_local(|| {
        let figure = plot_recording(resp_all, stimuli_all, &[5, 50, 500]).unwrap();
        figure.png().unwrap()
    });
}

/// All 360 x 23,589 responses in one heat map.
#[divan::bench(sample_count = 7)]
fn heat_map_of_the_whole_recording(bencher: Bencher) {
    let (resp_all, _) = &*DATA;
    bencher.bench_local(|| plot_data_matrix(resp_all).unwrap().png().unwrap());
}

fn main() {
    setup().unwrap();
    divan::main();
}
