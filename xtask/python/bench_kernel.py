"""Measures how fast kernels start and run and how much memory they take, as a table.

    bench_kernel.py STOCK PYTHON

STOCK is evcxr as it is published; it runs without dependencies. PYTHON has PyTorch and ipykernel. They
and the project's kernel are measured in turn: if the machine gets slower or faster, it does so for all.
"""

import statistics
import sys
import time
from contextlib import ExitStack

import psutil

from session import NOTEBOOKS, ROOT, Session, code_cells, read

RUNS = 5
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
    session.ok(cell)
    return session.seconds


def memory(session):
    """The resident memory, in gigabytes, of a kernel and all that it has started."""
    kernel = psutil.Process(session.client.km.provisioner.process.pid)
    family = [kernel, *kernel.children(recursive=True)]
    return sum(process.memory_info().rss for process in family) / 1e9


def first_and_later_cells(argv=None):
    """The seconds until there is a first variable, and the median of later cells."""
    with Session(argv=argv) as session:
        until_variable = session.seconds
        for cell in [FIRST_VARIABLE] if argv else [DEPENDENCY, FIRST_VARIABLE]:
            until_variable += seconds(session, cell)
        return until_variable, statistics.median(seconds(session, cell) for cell in LATER)


def whole_tutorial(argv=None):
    """Its seconds and gigabytes, and those of a further cell."""
    start = time.monotonic()
    with Session(argv=argv) as session:
        for cell in code_cells(read()):
            seconds(session, cell)
        taken, used = time.monotonic() - start, memory(session)
        return taken, used, seconds(session, "let own = 1;"), memory(session)


def memory_of_many_kernels():
    """Gigabytes of kernels that have run the tutorial's first six cells."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session()) for _ in range(MANY)]
        for session in sessions:
            for cell in code_cells(read())[:6]:
                seconds(session, cell)
        return sum(map(memory, sessions))


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
    ratio = [a / b for a, b in zip(ours, stock or python)]
    measured = statistics.median(ratio or ours)
    columns = [step, *medians, f"{measured:.2f}" if ratio else "", limit or ""]
    print("|", " | ".join(map(str, columns)), "|")
    return limit is None or measured <= limit


def main(stock, python):
    stock_argv = [stock, "--control_file", "{connection_file}"]
    stocks, ours, tutorials, originals = [], [], [], []
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        stocks.append(first_and_later_cells(stock_argv))
        ours.append(first_and_later_cells())
        tutorials.append(whole_tutorial())
        originals.append(original_tutorial(python))

    print(f"\nmedians of {RUNS} runs, seconds unless said otherwise\n")
    (first, later), (stock_first, stock_later) = zip(*ours), zip(*stocks)
    (whole, used, own_cell, used_then), (python_whole, python_used) = zip(*tutorials), zip(*originals)
    print("| step | here | stock evcxr | Python | ratio | limit |\n|---|---|---|---|---|---|")
    kept = [
        row("kernel answers, first cell and first variable, together", first, stock=stock_first, limit=0.8),
        row("later cells", later, stock=stock_later, limit=0.8),
        row("the whole tutorial, unchanged, with its start", whole, python=python_whole, limit=1.2),
        row("memory after the whole tutorial, GB", used, limit=0.5),
        row("the first cell of one's own after it", own_cell),
        row("memory then, GB", used_then, python=python_used),
        row(f"memory of {MANY} kernels after six cells, GB", [memory_of_many_kernels()], limit=4.5),
    ]
    on_stock, *_ = whole_tutorial(stock_argv)
    print(f"\nThe tutorial also runs on stock evcxr, which compiles first: {on_stock:.0f} seconds.")
    if not all(kept):
        sys.exit("bench: not all limits are kept")


if __name__ == "__main__":
    main(*sys.argv[1:])
