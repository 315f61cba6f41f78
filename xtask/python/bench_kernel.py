"""Measures how fast kernels start and run and how much memory they take, as a table.

    bench_kernel.py STOCK PYTHON

STOCK is evcxr as it is published; it runs without dependencies. PYTHON has PyTorch and ipykernel. They
and the project's kernel are measured in turn: if the machine gets slower or faster, it does so for all.
"""

import statistics
import subprocess
import sys
import time

from session import NOTEBOOKS, ROOT, Session, problem, read

RUNS = 5
READING = 25  # seconds between the opening of a notebook and its first cell
MANY = 10  # kernels at once

DEPENDENCY = ':dep helpers = { path = "../helpers" }'
FIRST_VARIABLE = "let x = vec![1.0, 2.0];"
LATER = [
    "let y = x.len() + 1;",
    'println!("{y}");',
    "fn twice(n: usize) -> usize { 2 * n }",
    "let z: Vec<usize> = (0..y).map(twice).collect();",
    "let total: usize = z.iter().sum();",
    'println!("{total}");',
]

ORIGINAL = [
    "%config InlineBackend.figure_format = 'retina'\n"
    "from matplotlib import pyplot as plt\nfrom torch_reference import *",
    f"resp_all, stimuli_all = load({str(NOTEBOOKS / 'simulated_recording_seed1.npz')!r})",
    "fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5))\n"
    "low, high = np.percentile(resp_all[:, :100], [1, 99])\n"
    "image = left.imshow(resp_all[:, :100].T, vmin=low, vmax=high, cmap='pink', aspect='auto')\n"
    "fig.colorbar(image, ax=left)\nright.plot(stimuli_all, resp_all[:, [1, 2, 3]])\nplt.show()",
    "resp_train, stimuli_train, resp_test, stimuli_test = split(resp_all, stimuli_all)",
    "net = seeded(200, resp_train)\ni = np.random.choice(216, 1)\nprint(net(resp_train[i]), stimuli_train[i])",
    "net = seeded(10, resp_train)\ni = np.random.choice(216, 20)\n"
    "print(nn.functional.mse_loss(net(resp_train[i]), stimuli_train[i]).item())",
    "net = seeded(10, resp_train)\nlosses = train(net, resp_train, stimuli_train)",
    "plt.plot(losses)\nplt.show()",
    "print(nn.functional.mse_loss(net(resp_test), stimuli_test).item())",
]


def seconds(session, cell):
    """Runs a cell and returns how long it took."""
    if what := problem(session.run(cell)):
        sys.exit(f"bench: a cell {what}: {cell}")
    return session.seconds


def memory(session):
    """The resident memory, in gigabytes, of a kernel and all that it has started."""
    rows = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [tuple(map(int, row.split())) for row in rows]
    family = {session.client.km.provisioner.process.pid}
    for _ in range(4):
        family |= {pid for pid, parent, _ in rows if parent in family}
    return sum(size for pid, _, size in rows if pid in family) * 1024 / 1e9


def code_cells():
    return [cell for cell in read() if cell.cell_type == "code"]


def start_and_cells(argv=None):
    with Session(argv=argv) as session:
        started = session.seconds
        first = 0 if argv else seconds(session, DEPENDENCY)
        variable = seconds(session, FIRST_VARIABLE)
        later = [seconds(session, cell) for cell in LATER]
        return {
            "kernel answers": started,
            "first cell": first,
            "first variable": variable,
            "the three together": started + first + variable,
            "later cells (median)": statistics.median(later),
            "memory, GB": memory(session),
        }


def first_cell_and_figure():
    """How long the first cell, and all cells up to the first figure, take a learner who reads first."""
    with Session() as session:
        time.sleep(max(0, READING - session.seconds))
        cells = iter(code_cells())
        first, until_figure = seconds(session, next(cells)), 0
        for cell in cells:
            until_figure += seconds(session, cell)
            if any("image/png" in output.get("data", {}) for output in cell.outputs):
                return first, until_figure


def whole_tutorial():
    start = time.monotonic()
    with Session() as session:
        for cell in code_cells():
            seconds(session, cell)
        taken, used = time.monotonic() - start, memory(session)
        return taken, used, seconds(session, "let own = 1;"), memory(session)


def many_kernels():
    """Memory in use with ever more kernels, each of which has run the tutorial's first six cells."""
    sessions, figures = [], []
    while len(sessions) < MANY:
        sessions.append(Session())
        for cell in code_cells()[:6]:
            seconds(sessions[-1], cell)
        figures.append(sum(map(memory, sessions)))
    for session in sessions:
        session.end()
    return figures


def original_tutorial(python):
    """What the tutorial does in PyTorch, as a notebook of Python's, from the same recording."""
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    start = time.monotonic()
    with Session(ROOT / "xtask/python", argv) as session:
        for cell in ORIGINAL:
            seconds(session, cell)
        return time.monotonic() - start, memory(session)


def row(step, ours, stock=(), python=(), limit=None):
    """Prints a row and returns whether it keeps its limit. The limit is for the ratio or, if there is
    none, for our number."""
    medians = [f"{statistics.median(values):.2f}" if values else "" for values in (ours, stock, python)]
    ratio = [a / b for a, b in zip(ours, stock or python) if b]
    measured = statistics.median(ratio or ours)
    columns = [step, *medians, f"{measured:.2f}" if ratio else "", limit or ""]
    print("|", " | ".join(map(str, columns)), "|")
    return limit is None or measured <= limit


def main(stock, python):
    stock_argv = [stock, "--control_file", "{connection_file}"]
    runs, whole, original = [], [], []
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        runs.append((start_and_cells(stock_argv), start_and_cells(), first_cell_and_figure()))
        whole.append(whole_tutorial())
        original.append(original_tutorial(python))
    many = many_kernels()

    print(f"\nmedians of {RUNS} runs, seconds unless said otherwise\n")
    print("| step | here | stock evcxr | Python | ratio | limit |\n|---|---|---|---|---|---|")
    limits = {"the three together": 0.8, "later cells (median)": 0.8}
    kept = []
    for step in runs[0][0]:
        stock, ours = ([run[i][step] for run in runs] for i in (0, 1))
        kept.append(row(step, ours, stock=stock, limit=limits.get(step)))
    row(f"first cell, {READING} s after opening", [run[2][0] for run in runs])
    row("from there to the first figure", [run[2][1] for run in runs])
    (taken, used, first_own, used_then), (its_taken, its_used) = zip(*whole), zip(*original)
    kept.append(row("the whole tutorial with its start", taken, python=its_taken, limit=1.2))
    kept.append(row("memory after the whole tutorial, GB", used, limit=0.5))
    row("the first cell of one's own after it", first_own)
    row("memory then, GB", used_then, python=its_used)
    for n, limit in ((1, None), (5, None), (MANY, 4.5)):
        kept.append(row(f"memory of {n} kernels after six cells, GB", [many[n - 1]], limit=limit))
    if not all(kept):
        sys.exit("bench: not all limits are kept")


if __name__ == "__main__":
    main(*sys.argv[1:])
