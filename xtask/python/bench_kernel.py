"""Measures how fast kernels start and run and how much memory they take, as a table.

    bench_kernel.py EVCXR

EVCXR, the kernel's program, is measured unprepared and with no dependency ("stock") beside the
project's kernel ("prepared"), in turn, so that a machine that changes its speed does so for both.
"""

import statistics
import subprocess
import sys
import time

import nbformat

from session import NOTEBOOKS, Session, problem

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


def seconds(session, cell):
    """Runs a cell and returns how long it took."""
    if what := problem(session.run(cell)):
        sys.exit(f"bench: a cell {what}: {cell}")
    return session.seconds


def memory(session):
    """Gigabytes that are resident, of a kernel and all that it has started."""
    rows = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [tuple(map(int, row.split())) for row in rows]
    family = {session.client.km.provisioner.process.pid}
    for _ in range(4):
        family |= {pid for pid, parent, _ in rows if parent in family}
    return sum(size for pid, _, size in rows if pid in family) * 1024 / 1e9


def code_cells():
    notebook = nbformat.read(NOTEBOOKS / "W1D5_Tutorial1.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


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
    """What a learner feels who reads first."""
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
        return time.monotonic() - start, memory(session)


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


def main(evcxr):
    stock_argv = [evcxr, "--control_file", "{connection_file}"]
    runs = []
    for number in range(RUNS):
        print(f"run {number + 1} of {RUNS}", file=sys.stderr)
        runs.append((start_and_cells(stock_argv), start_and_cells(), first_cell_and_figure()))
    whole = [whole_tutorial() for _ in range(RUNS)]
    many = many_kernels()

    print(f"\nmedians of {RUNS} runs, seconds unless said otherwise\n")
    print("| step | stock, no dependency | prepared | ratio |\n|---|---|---|---|")
    for step in runs[0][0]:
        stock, prepared = ([run[i][step] for run in runs] for i in (0, 1))
        ratio = [b / a for a, b in zip(stock, prepared) if a]
        ratio = f"{statistics.median(ratio):.2f}" if ratio else ""
        print(f"| {step} | {statistics.median(stock):.2f} | {statistics.median(prepared):.2f} | {ratio} |")
    for step, values in [
        (f"first cell, {READING} s after opening", [run[2][0] for run in runs]),
        ("from there to the first figure", [run[2][1] for run in runs]),
        ("the whole tutorial with its start", [taken for taken, _ in whole]),
        ("memory after the whole tutorial, GB", [used for _, used in whole]),
    ]:
        print(f"| {step} | | {statistics.median(values):.2f} | |")
    for n in (1, 5, MANY):
        print(f"| memory of {n} kernels after six cells, GB | | {many[n - 1]:.2f} | |")


if __name__ == "__main__":
    main(*sys.argv[1:])
