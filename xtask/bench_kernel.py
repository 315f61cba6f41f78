"""Measures how fast kernels start and run and how much memory they take, as a table.

    bench_kernel.py EVCXR

EVCXR, the kernel's program, is measured as it comes and with no dependency ("stock") beside the
project's kernel ("prepared"), in turn, so that a machine that changes its speed does so for both.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from run_notebook import LATE, execute, start_kernel, verdict

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
TUTORIAL = NOTEBOOKS / "W1D5_Tutorial1.ipynb"
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


def stock_kernel(evcxr):
    manager = KernelManager(kernel_name="rust")
    manager._kernel_spec = KernelSpec(
        argv=[evcxr, "--control_file", "{connection_file}"],
        display_name="stock",
        language="rust",
        interrupt_mode="message",
    )
    return manager


class Kernel:
    """A kernel that runs, and how long it took to start."""

    def __init__(self, stock=None):
        start = time.monotonic()
        manager = stock_kernel(stock) if stock else None
        self.manager, self.client = start_kernel(NOTEBOOKS, 600, manager)
        self.started = time.monotonic() - start

    def run(self, source, may_stop=False):
        """Runs a cell and returns its seconds and its messages."""
        start = time.monotonic()
        messages, ok = execute(self.manager, self.client, source)
        seconds = time.monotonic() - start - LATE
        problem = verdict(nbformat.v4.new_code_cell(source), messages, ok)
        if problem and not may_stop:
            sys.exit(f"bench: a cell {problem}: {source}")
        return seconds, messages

    def memory(self):
        """Gigabytes that are resident, of the kernel and all that it has started."""
        rows = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = [tuple(map(int, row.split())) for row in rows]
        family = {self.manager.provisioner.process.pid}
        for _ in range(3):
            family |= {pid for pid, parent, _ in rows if parent in family}
        return sum(size for pid, _, size in rows if pid in family) * 1024 / 1e9

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def code_cells():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run_cells(kernel, cells):
    for cell in cells:
        kernel.run(cell.source, may_stop="raises-exception" in cell.metadata.get("tags", []))


def shows_figure(messages):
    return any("image/png" in message["content"].get("data", {}) for message in messages)


def start_and_cells(stock=None):
    kernel = Kernel(stock)
    first = 0 if stock else kernel.run(DEPENDENCY)[0]
    variable, _ = kernel.run(FIRST_VARIABLE)
    later = [kernel.run(cell)[0] for cell in LATER]
    figures = {
        "kernel answers": kernel.started,
        "first cell": first,
        "first variable": variable,
        "the three together": kernel.started + first + variable,
        "later cells (median)": statistics.median(later),
        "memory, GB": kernel.memory(),
    }
    kernel.end()
    return figures


def first_cell_and_figure():
    """What a learner feels who reads first."""
    kernel = Kernel()
    time.sleep(max(0, READING - kernel.started))
    cells = iter(code_cells())
    first, _ = kernel.run(next(cells).source)
    figure = 0
    for cell in cells:
        seconds, messages = kernel.run(cell.source)
        figure += seconds
        if shows_figure(messages):
            break
    kernel.end()
    return first, figure


def whole_tutorial():
    start = time.monotonic()
    kernel = Kernel()
    run_cells(kernel, code_cells())
    seconds, memory = time.monotonic() - start, kernel.memory()
    kernel.end()
    return seconds, memory


def many_kernels():
    """Memory in use with ever more kernels, each of which has run the tutorial's first six cells."""
    kernels, figures = [], []
    while len(kernels) < MANY:
        kernels.append(Kernel())
        run_cells(kernels[-1], code_cells()[:6])
        figures.append(sum(kernel.memory() for kernel in kernels))
    for kernel in kernels:
        kernel.end()
    return figures


def main(evcxr):
    runs = []
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        runs.append((start_and_cells(evcxr), start_and_cells(), first_cell_and_figure()))
    whole = [whole_tutorial() for _ in range(RUNS)]
    many = many_kernels()

    print(f"\nmedians of {RUNS} runs, seconds unless said otherwise\n")
    print("| step | stock, no dependency | prepared | ratio |\n|---|---|---|---|")
    for step in runs[0][0]:
        stock = statistics.median(run[0][step] for run in runs)
        prepared = statistics.median(run[1][step] for run in runs)
        ratio = statistics.median(
            run[1][step] / run[0][step] for run in runs if run[0][step]
        ) if stock else None
        print(
            f"| {step} | {stock:.2f} | {prepared:.2f} |"
            f" {'' if ratio is None else f'{ratio:.2f}'} |"
        )
    for step, seconds in [
        (f"first cell, {READING} s after opening", [run[2][0] for run in runs]),
        ("from there to the first figure", [run[2][1] for run in runs]),
        ("the whole tutorial with its start", [seconds for seconds, _ in whole]),
        ("memory after the whole tutorial, GB", [memory for _, memory in whole]),
    ]:
        print(f"| {step} | | {statistics.median(seconds):.2f} | |")
    for n in (1, 2, 5, MANY):
        print(f"| memory of {n} kernels after six cells, GB | | {many[n - 1]:.2f} | |")


if __name__ == "__main__":
    main(*sys.argv[1:])
