"""Compares the notebooks' numbers and their speed with PyTorch's.

    bench_torch.py parity PYTHON    runs both notebooks in both on one recording and compares
    bench_torch.py speed PYTHON     measures the parts of it in both, in turn

PYTHON is an interpreter that has PyTorch, NumPy and matplotlib. The Rust side runs in the kernel, so
in the build that learners use.
"""

import re
import statistics
import subprocess
import sys

import nbformat
import numpy as np

from session import ROOT, Session, problem, stream

REFERENCE = ROOT / "xtask/python/torch_reference.py"
FOLDER = ROOT / "target/bench"
TUTORIAL = "W1D5_Tutorial1.ipynb"
RUNS = 7

# What is looked at behind a cell of the notebook, in full precision.
DUMP = """
fn dump(name: &str, tensor: &Tensor) -> Result<()> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(std::fs::write(format!("{name}.f32"), bytes)?)
}
"""
PROBES = {
    "06-imports": DUMP,
    "18-split": 'dump("stimuli_train", &stimuli_train)?; dump("stimuli_test", &stimuli_test)?;',
    "29-decode": """
        for (i, var) in net.vars().iter().enumerate() { dump(&format!("initial_{i}"), var)?; }
        dump("ori_1", &ori)?; dump("out_1", &out)?;""",
    "37-computing-mse": 'dump("ori_20", &ori)?; dump("mse_20", &mean_squared_error)?;',
    "44-train": """
        dump("losses", &Tensor::new(&train_loss[..], &Device::Cpu)?)?;
        dump("mse_test", &loss::mse(&net.forward(&resp_test)?, &stimuli_test)?)?;
        let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), n_neurons, 10)?;
        let gradients = loss::mse(&net.forward(&resp_train)?, &stimuli_train)?.backward()?;
        for (i, var) in net.vars().iter().enumerate() {
            dump(&format!("gradient_{i}"), gradients.get(var).expect("a gradient"))?;
        }""",
}


# The same for the bonus notebook.
BONUS_PROBES = {
    "03-imports": DUMP,
    "24-gradients": 'dump("by_hand", &by_hand)?;',
    "41-test-set": 'dump("out_test", &out)?;',
    "45-train-sin-cos": """
        dump("sin_cos", &Tensor::new(&train_loss[..], &Device::Cpu)?)?;
        dump("sin_cos_test", &Tensor::new(&test_loss[..], &Device::Cpu)?)?;""",
    "48-train-classes": """
        dump("class_loss", &Tensor::new(&class_train_loss[..], &Device::Cpu)?)?;
        dump("class_test_loss", &Tensor::new(&class_test_loss[..], &Device::Cpu)?)?;""",
    "52-sorted-weights": 'dump("preferred", &preferred)?;',
    "62-train-penalty": """
        dump("sparse_loss", &Tensor::new(&sparse_train_loss[..], &Device::Cpu)?)?;
        dump("sparse_test_loss", &Tensor::new(&sparse_test_loss[..], &Device::Cpu)?)?;""",
}


def run(session, cell):
    """Runs a cell and returns what it prints."""
    cell = session.run(cell)
    if what := problem(cell):
        sys.exit(f"bench: a cell {what}: {cell.source}")
    return stream(cell)


def start():
    """A kernel in the bench's folder that has helpers."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = Session(FOLDER)
    run(session, f':dep helpers = {{ path = "{ROOT / "helpers"}" }}\nuse helpers::*;\nuse helpers::{{net::DeepNetReLU, train::train}};\nsetup()?;')
    return session


def run_both(python, name, work, probes):
    """Runs a notebook in the kernel and what it does in PyTorch, on the same recording.

    Returns what the notebook printed, line by line, PyTorch's results, and the recording.
    """
    session = start()
    printed = []
    for cell in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        cell.source = cell.source.replace("../helpers", str(ROOT / "helpers"))
        printed += run(session, cell).splitlines()
        if cell.id in probes:
            run(session, probes[cell.id])
    session.end()
    results = FOLDER / f"{work}.npz"
    recordings = [FOLDER / "W3D4_stringer_oribinned1.npz", FOLDER / "simulated_recording_seed1.npz"]
    recording = next(path for path in recordings if path.exists())
    subprocess.run([python, REFERENCE, work, recording, results], check=True)
    return printed, np.load(results), recording


def ours(name):
    """What a probe has written."""
    return np.fromfile(FOLDER / f"{name}.f32", "<f4")


def within(torch, name, bound):
    """How far a probe is from PyTorch's numbers, as a part of the largest of these."""
    expected = np.ravel(torch[name]).astype("<f4")
    got = np.abs(ours(name) - expected).max() / np.abs(expected).max()
    return f"{got:.1e} relative" + ("" if got <= bound else f": DIFFERENT, above {bound:.0e}")


def table(title, rows):
    print(f"\n| {title} |\n|---|---|")
    for name, verdict_ in rows:
        print(f"| {name} | {verdict_} |")
    return not any("DIFFERENT" in verdict_ for _, verdict_ in rows)


def parity(python):
    for old in FOLDER.glob("*.f32"):
        old.unlink()
    both = [tutorial_parity(python), bonus_parity(python)]
    if not all(both):
        sys.exit("bench: not all numbers are PyTorch's")


def bonus_parity(python):
    printed, torch, recording = run_both(
        python, "W1D5_Tutorial1_Bonus.ipynb", "bonus", BONUS_PROBES
    )

    def relative(name, bound):
        expected = np.ravel(torch[name])
        got = np.abs(ours(name) / expected - 1).max()
        return f"{got:.1e} relative at most" + ("" if got <= bound else f": DIFFERENT, above {bound:.0e}")

    def near(line, got):
        """Whether the words are the same, and the numbers to a thousandth."""
        number = re.compile(r"\d+\.\d+")
        got = got[: len(line)]
        apart = zip(map(float, number.findall(line)), map(float, number.findall(got)))
        return number.sub("", line) == number.sub("", got) and all(abs(a - b) < 0.0011 for a, b in apart)

    rows, penalised = [], False
    for line in map(str, torch["lines"]):
        same = any(got.startswith(line) for got in printed)
        # The L1 penalty makes weights near zero jump from one side of zero to the other;
        # when, the last bit decides. PyTorch differs from itself, too, if neurons are permuted.
        penalised = penalised or line.startswith("fraction correct")
        if penalised and not same and any(near(line, got) for got in printed):
            rows.append((f"`{line}`", "equal to 0.001"))
            continue
        before = line.split(":")[0].split(" answer")[0]
        others = [got for got in printed if got.startswith(before)]
        rows.append((f"`{line}`", "equal as printed" if same else f"DIFFERENT: {others}"))
    rows.append(("gradient of W_in by hand", within(torch, "by_hand", 2e-5)))
    for name, bound in [
        ("out_test", 2e-5), ("sin_cos", 1e-4), ("sin_cos_test", 1e-4), ("class_loss", 1e-3),
        ("class_test_loss", 1e-3), ("sparse_loss", 1e-2), ("sparse_test_loss", 1e-2),
    ]:
        rows.append((name.replace("_", " "), relative(name, bound)))
    differ = int((ours("preferred") != np.ravel(torch["preferred"])).sum())
    rows.append((
        f"preferred orientations of {ours('preferred').size} neurons",
        f"all but {differ} equal" + ("" if differ <= 10 else ": DIFFERENT"),
    ))
    return table(f"the bonus on {recording.name} | equal to PyTorch {torch['torch']}", rows)


def tutorial_parity(python):
    printed, torch, recording = run_both(python, TUTORIAL, "parity", PROBES)

    def same_bits(*names):
        same = [
            np.array_equal(ours(name).view("<u4"), np.ravel(torch[name]).astype("<f4").view("<u4"))
            for name in names
        ]
        return "bit for bit" if all(same) else "DIFFERENT"

    def same_print(before, value, digits):
        """Whether the line was printed with this number."""
        line = f"{before} {value:.{digits}f}"
        got = next(p.removeprefix(before).split()[0] for p in printed if p.startswith(before))
        if f"{value:.{digits}f}" == got:
            return f"`{line}`"
        is_rounding = abs(float(got) - value) <= min(10**-digits, 1e-5 * value)
        return f"`{line}`, here {got}: " + ("rounded otherwise" if is_rounding else "DIFFERENT")

    losses = torch["losses"]
    relative = np.abs(ours("losses") / losses - 1)
    rows = [
        ("split, 216 and 144 orientations", same_bits("stimuli_train", "stimuli_test")),
        ("drawn stimuli, 1 and 20", same_bits("ori_1", "ori_20")),
        ("initial weights and biases, M = 200", same_bits(*(f"initial_{i}" for i in range(4)))),
        ("decoded", same_print("decoded orientation:", torch["out_1"].item(), 2)),
        ("true", same_print("true orientation:", torch["ori_1"].item(), 2)),
        ("20 stimuli", same_print("mean squared error:", torch["mse_20"].item(), 2)),
        *(
            (f"gradient of {name}, 216 x 23,589", within(torch, f"gradient_{i}", 2e-5))
            for i, name in enumerate(["W_in", "b_in", "W_out", "b_out"])
        ),
        *(
            (f"iteration {i}", same_print(f"iteration {i}/50 | loss:", losses[i - 1], 3))
            for i in range(10, 51, 10)
        ),
        (
            "all 50 losses",
            f"{relative.max():.1e} relative at most"
            + ("" if relative.max() <= 2e-5 else ": DIFFERENT, above 2e-5"),
        ),
        ("test error", within(torch, "mse_test", 2e-5) + f", {torch['mse_test'].item():.2f}"),
    ]
    return table(f"the tutorial on {recording.name} | equal to PyTorch {torch['torch']}", rows)


# Each function returns the seconds that its work took.
TIMED = """
use std::time::Instant;

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn time_training(x: &Tensor, y: &Tensor, n_hidden: usize) -> Result<f64> {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), x.dim(1)?, n_hidden)?;
    timed(|| {
        let mut optimizer = SGD::new(net.vars(), 1e-4)?;
        for _ in 0..50 {
            let loss = loss::mse(&net.forward(x)?, y)?;
            let gradients = loss.backward()?;
            optimizer.step(&gradients)?;
            loss.to_scalar::<f32>()?;
        }
        Ok(())
    })
}
"""
DATA = """
let (resp_all, stimuli_all) = load_data("stored_f32.npz", 1)?;
let Split { resp_train, stimuli_train, .. } =
    split(&mut TorchRng::manual_seed(4), &resp_all, &stimuli_all)?;
"""
WORK = [  # name, as a cell, as the peer is asked, how much of the peer's time it may take
    ("50 epochs, M = 10", "time_training(&resp_train, &stimuli_train, 10)?", "train 10", 0.5),
    ("50 epochs, M = 200", "time_training(&resp_train, &stimuli_train, 200)?", "train 200", 1.0),
    (
        "load, stored f32",
        'timed(|| load_data("stored_f32.npz", 1).map(drop))?',
        "load stored_f32.npz",
        1.0,
    ),
    (
        "load, deflated f64",
        'timed(|| load_data("deflated_f64.npz", 1).map(drop))?',
        "load deflated_f64.npz",
        1.0,
    ),
    (
        "load in bins of 10 degrees",
        'timed(|| load_data("stored_f32.npz", 10).map(drop))?',
        "bin stored_f32.npz",
        1.0,
    ),
    (
        "section 1's figure to PNG",
        """timed(|| {
            let heat_map = plot_data_matrix(&resp_all.narrow(1, 0, 100)?.t()?)?;
            let curves = plot_tuning_curves(&resp_all, &stimuli_all, &[5, 50, 500])?;
            figure(1, 2).with(heat_map).with(curves).png().map(drop)
        })?""",
        "figure",
        0.5,
    ),
]
def speed(python):
    session = start()
    run(session, 'simulate_recording("simulated_recording_seed1.npz", 1)?;')
    recording = np.load(FOLDER / "simulated_recording_seed1.npz")
    resp, stimuli = recording["resp"], recording["stimuli"]
    np.savez(FOLDER / "stored_f32.npz", resp=resp, stimuli=stimuli)
    np.savez_compressed(
        FOLDER / "deflated_f64.npz", resp=resp.astype("f8"), stimuli=stimuli.astype("f8")
    )
    peer = subprocess.Popen(
        [python, REFERENCE, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=FOLDER,
    )

    def ask(line):
        peer.stdin.write(line + "\n")
        peer.stdin.flush()
        return float(peer.stdout.readline())

    def time(source):
        return float(run(session, f'println!("{{}}", {source});').split()[-1])

    for source in (TIMED, DATA):
        run(session, source)
    ask("data stored_f32.npz")
    print(f"\nmedians of {RUNS}, in turn, on the same number of threads\n")
    print("| work | here | PyTorch, NumPy, matplotlib | ratio | at most |\n|---|---|---|---|---|")
    missed = []
    for name, source, line, at_most in WORK:
        time(source), ask(line)  # to warm up
        pairs = [(time(source), ask(line)) for _ in range(RUNS)]
        ours, theirs = (statistics.median(seconds) for seconds in zip(*pairs))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"| {name} | {ours:.3f} s | {theirs:.3f} s | {ratio:.2f} | {at_most} |")
        if ratio > at_most:
            missed.append(name)
    peer.stdin.close()
    session.end()
    if missed:
        sys.exit(f"bench: slower than it should be: {', '.join(missed)}")


if __name__ == "__main__":
    {"parity": parity, "speed": speed}[sys.argv[1]](sys.argv[2])
