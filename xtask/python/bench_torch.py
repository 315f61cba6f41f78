"""Compares the notebooks' numbers and their speed with PyTorch's.

    bench_torch.py parity    runs both notebooks here and in PyTorch, on the same recording
    bench_torch.py speed     measures the parts of the tutorial here and in PyTorch, in turn

Needs PyTorch, NumPy and matplotlib. The Rust side runs in the kernel, in the build that learners use.
"""

import difflib
import os
import re
import statistics
import sys
import time

import numpy as np
import torch

import torch_reference as reference
from session import ROOT, START, Session, read

FOLDER = ROOT / "target/bench"
RUNS = 7

FUNCTIONS = """
use helpers::{net::DeepNetReLU, train::train};
use std::time::Instant;

fn dump(name: &str, tensor: &Tensor) -> Result<()> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(std::fs::write(name, bytes)?)
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn seconds_of_training(n_hidden: usize, x: &Tensor, y: &Tensor) -> Result<f64> {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), x.dim(1)?, n_hidden)?;
    seconds(|| train(&net, loss::mse, x, y, 50, 1e-4).map(drop))
}
"""


def start():
    """A kernel in the bench's folder that has helpers."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = Session(FOLDER)
    session.ok(START)
    session.ok(FUNCTIONS)
    return session


# ---- parity

def n_different(ours, theirs):
    return (ours != theirs).sum()


def relative_difference(ours, theirs):
    return np.abs(ours / theirs - 1).max()


def relative_to_largest(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


GRADIENTS = """{
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), n_neurons, 10)?;
    let gradients = loss::mse(&net.forward(&resp_train)?, &stimuli_train)?.backward()?;
    net.vars().iter().map(|var| gradients.get(var).expect("a gradient").clone()).collect::<Vec<_>>()
}"""


def losses(name):
    return f"Tensor::new(&{name}[..], &Device::Cpu)?"


# The tensors that are compared: the cell after which they exist, the name in the reference, the tensor
# in Rust, and how they may differ.
TUTORIAL = [
    ("18-split", "stimuli_train", "stimuli_train", n_different, 0),
    ("18-split", "stimuli_test", "stimuli_test", n_different, 0),
    *(("29-decode", f"initial_{i}", f"net.vars()[{i}]", n_different, 0) for i in range(4)),
    ("29-decode", "ori_1", "ori", n_different, 0),
    ("37-computing-mse", "ori_20", "ori", n_different, 0),
    *(("44-train", f"gradient_{i}", f"{GRADIENTS}[{i}]", relative_to_largest, 2e-5) for i in range(4)),
    ("44-train", "losses", losses("train_loss"), relative_difference, 2e-5),
    ("44-train", "mse_test", "loss::mse(&net.forward(&resp_test)?, &stimuli_test)?", relative_difference, 2e-5),
]
BONUS = [
    ("24-gradients", "gradient_by_hand", "by_hand", relative_to_largest, 2e-5),
    ("41-test-set", "out_test", "out", relative_difference, 2e-5),
    ("45-train-sin-cos", "sin_cos_loss", losses("train_loss"), relative_difference, 1e-4),
    ("45-train-sin-cos", "sin_cos_test_loss", losses("test_loss"), relative_difference, 1e-4),
    ("48-train-classes", "class_loss", losses("class_train_loss"), relative_difference, 1e-3),
    ("48-train-classes", "class_test_loss", losses("class_test_loss"), relative_difference, 1e-3),
    ("52-sorted-weights", "preferred", "preferred", n_different, 10),
    ("62-train-penalty", "sparse_loss", losses("sparse_train_loss"), relative_difference, 1e-2),
    ("62-train-penalty", "sparse_test_loss", losses("sparse_test_loss"), relative_difference, 1e-2),
]


def parity():
    verdicts = compare("W1D5_Tutorial1", reference.tutorial, TUTORIAL)
    verdicts += compare("W1D5_Tutorial1_Bonus", reference.bonus, BONUS)
    if any("DIFFERENT" in verdict for verdict in verdicts):
        sys.exit("bench: not all numbers are PyTorch's")


def compare(name, in_torch, tensors):
    """Runs a notebook in the kernel, and the same steps in PyTorch. Prints a table of what was compared
    and returns the verdicts."""
    printed = []
    with start() as session:
        for cell in read(name):
            if cell.cell_type == "code":
                printed += session.ok(cell).splitlines()
            for after, tensor, source, *_ in tensors:
                if after == cell.id:
                    session.ok(f'dump("{tensor}.f32", &({source}))?;')
    recordings = [FOLDER / "W3D4_stringer_oribinned1.npz", FOLDER / "simulated_recording_seed1.npz"]
    recording = next(path for path in recordings if path.exists())
    lines, theirs = in_torch(recording)

    print(f"\n| {name} on {recording.name} | equal to PyTorch {torch.__version__} |\n|---|---|")
    rows = [(f"`{line}`", compare_line(line, printed)) for line in lines]
    for _, tensor, _, measure, limit in tensors:
        expected = torch.as_tensor(theirs[tensor]).detach().flatten().numpy().astype("<f4")
        got = measure(np.fromfile(FOLDER / f"{tensor}.f32", "<f4"), expected)
        what = f"{measure.__name__.replace('_', ' ')}: {got:.2g}"
        rows.append((tensor, what if got <= limit else f"DIFFERENT, {what}, limit {limit}"))
    for row in rows:
        print("|", " | ".join(row), "|")
    return [verdict for _, verdict in rows]


def compare_line(expected, printed):
    """Whether a line was printed. The last bit decides how a number is rounded, and in which step a weight
    near zero changes its sign under an L1 penalty. This is so in PyTorch, too."""
    number = re.compile(r"\d+\.\d+")
    is_near = lambda a, b: abs(float(a) - float(b)) < 1.1 * 10 ** -len(b.split(".")[1])
    begins = [line[: len(expected)] for line in printed]
    if expected in begins:
        return "equal as printed"
    for got in begins:
        numbers = zip(number.findall(got), number.findall(expected))
        if number.sub("", got) == number.sub("", expected) and all(is_near(*pair) for pair in numbers):
            return f"the last digit differs: `{got}`"
    return f"DIFFERENT: {difflib.get_close_matches(expected, begins, 1)}"


# ---- speed

def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed():
    os.environ["RAYON_NUM_THREADS"] = str(torch.get_num_threads())
    session = start()
    session.ok('simulate_recording("simulated_recording_seed1.npz", 1)?;')
    resp, stimuli = reference.load(FOLDER / "simulated_recording_seed1.npz")
    stored, deflated = FOLDER / "stored_f32.npz", FOLDER / "deflated_f64.npz"
    np.savez(stored, resp=resp, stimuli=stimuli.squeeze())
    np.savez_compressed(deflated, resp=resp.double(), stimuli=stimuli.squeeze().double())
    session.ok("""
        let (resp_all, stimuli_all) = load_data("stored_f32.npz", 1)?;
        let Split { resp_train, stimuli_train, .. } =
            split(&mut TorchRng::manual_seed(4), &resp_all, &stimuli_all)?;
    """)
    resp_train, stimuli_train, _, _ = reference.split(resp, stimuli)

    def training(n_hidden):
        net = reference.seeded(n_hidden, resp_train)
        return seconds(lambda: reference.train(net, resp_train, stimuli_train))

    works = [  # name, limit of the ratio, in a cell, in PyTorch
        ("50 epochs, M = 10", 0.5,
         "seconds_of_training(10, &resp_train, &stimuli_train)?", lambda: training(10)),
        ("50 epochs, M = 200", 1.0,
         "seconds_of_training(200, &resp_train, &stimuli_train)?", lambda: training(200)),
        ("load, stored f32", 1.0,
         'seconds(|| load_data("stored_f32.npz", 1).map(drop))?',
         lambda: seconds(lambda: reference.load(stored))),
        ("load, deflated f64", 1.0,
         'seconds(|| load_data("deflated_f64.npz", 1).map(drop))?',
         lambda: seconds(lambda: reference.load(deflated))),
        ("load in bins of 10 degrees", 1.0,
         'seconds(|| load_data("stored_f32.npz", 10).map(drop))?',
         lambda: seconds(lambda: reference.load_in_bins(stored, 10))),
        ("section 1's figure to PNG", 0.5,
         """seconds(|| {
            let heat_map = plot_data_matrix(&resp_all.narrow(1, 0, 100)?.t()?)?;
            let curves = plot_tuning_curves(&resp_all, &stimuli_all, &[5, 50, 500])?;
            figure(1, 2).with(heat_map).with(curves).png().map(drop)
         })?""",
         lambda: seconds(lambda: reference.draw(resp, stimuli))),
    ]
    print(f"\nmedians of {RUNS}, in turn, on the same number of threads\n")
    print("| work | here | PyTorch, NumPy, matplotlib | ratio | limit |\n|---|---|---|---|---|")
    missed = []
    for name, limit, source, in_torch in works:
        in_cell = lambda: float(session.ok(f'println!("{{}}", {source});').split()[-1])
        in_cell(), in_torch()  # to warm up
        pairs = [(in_cell(), in_torch()) for _ in range(RUNS)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"| {name} | {ours:.3f} s | {theirs:.3f} s | {ratio:.2f} | {limit} |")
        if ratio > limit:
            missed.append(name)
    session.end()
    if missed:
        sys.exit(f"bench: slower than the limit: {', '.join(missed)}")


if __name__ == "__main__":
    {"parity": parity, "speed": speed}[sys.argv[1]]()
