"""Runs a notebook on the Rust kernel, cell by cell, and says which cells failed.

    run_notebook.py NOTEBOOK EXECUTED    writes the executed notebook, and beside it an HTML page
    run_notebook.py --prepare            has the cells of all notebooks compiled, and does not run them
"""

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from session import NOTEBOOKS, Session, code_cells, problem, stream

# What the original prints for the recording: the words before each number, the number, and how far
# the published runs differ from each other (where they agree: half of the last digit).
PUBLISHED = {
    "decoded orientation:": (0.17, 0.005),
    "true orientation:": (139.00, 0.005),
    "mean squared error:": (42949.14, 0.005),
    "iteration 10/50 | loss:": (12219.759, 0.002),
    "iteration 20/50 | loss:": (1672.732, 0.002),
    "iteration 30/50 | loss:": (548.097, 0.002),
    "iteration 40/50 | loss:": (235.619, 0.002),
    "iteration 50/50 | loss:": (144.001, 0.002),
}


def compare_with_published(printed):
    """For each published number a line that says whether the recording gave it; no line for simulated
    data."""
    if "the data are recorded\n" not in printed:
        return []
    lines = []
    for what, (published, tolerance) in PUBLISHED.items():
        got = [line.split(what)[1].split()[0] for line in printed.splitlines() if what in line]
        if not got:
            lines.append(f"published: {what} {published}: nothing was printed")
        elif abs(float(got[-1]) - published) <= tolerance + 1e-9:
            lines.append(f"published: {what} {published}: matches")
        else:
            lines.append(f"published: {what} {published}: DIFFERS, got {got[-1]}")
    return lines


def run(path, executed):
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as err:
        sys.exit(f"error: {path} is not a notebook ({err})")
    cells = code_cells(notebook.cells)
    failures, start = [], time.monotonic()
    with Session(path.parent.resolve()) as session:
        print(f"kernel started in {session.seconds:.1f} s")
        for number, cell in enumerate(cells, 1):
            id = cell.get("id", "")
            session.run(cell)
            print(f"[{number}/{len(cells)}] {id}: {session.seconds:.1f} s")
            print(stream(cell), end="", flush=True)
            if what := problem(cell):
                failures.append(f"FAILED: cell {number} ({id}) {what}")
            if session.is_dead():
                break

    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, executed)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    executed.with_suffix(".html").write_text(page, encoding="utf-8")
    print(f"{path.name}: {len(cells)} cells in {time.monotonic() - start:.0f} s")
    print(f"executed notebook: {executed}\nHTML page: {executed.with_suffix('.html')}")
    for line in [*compare_with_published("".join(map(stream, cells))), *failures]:
        print(line)
    return not failures


def prepare():
    with Session() as session:
        cell = session.run(':dep helpers = { path = "../helpers" }\nuse helpers::*;')
        if what := problem(cell):
            print(f"the first cell {what}")
            return False
    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_cells, sorted(NOTEBOOKS.glob("*.ipynb"))))
    return True


def compile_cells(path):
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as err:
        print(f"{path.name} cannot be read, so its cells are compiled when they are run: {err}")
        return
    with Session() as session:
        for cell in code_cells(notebook.cells):
            session.run(cell)


if __name__ == "__main__":
    if sys.argv[1] == "--prepare":
        done = prepare()  # its kernels end if this program is killed
    else:
        for end in (signal.SIGHUP, signal.SIGTERM):  # sys.exit ends the kernel, too
            signal.signal(end, lambda *_: sys.exit(1))
        done = run(*map(Path, sys.argv[1:]))
    sys.exit(0 if done else 1)
