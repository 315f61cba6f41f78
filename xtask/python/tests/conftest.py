"""What the tests on a real kernel share. Run by `cargo xtask test`, which sets up first."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from session import HOME, ROOT, START, Session, code_cells, problem, stream  # noqa: E402

os.environ.pop("LD_LIBRARY_PATH", None)  # cargo sets it, and a kernel must not need it


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A kernel that has helpers, in a folder of its own."""
    with Session(tmp_path_factory.mktemp("session")) as session:
        run(session, START)
        yield session


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with all variants of the notebooks."""
    folder = tmp_path_factory.mktemp("exported")
    for variant in ["student", "instructor", "script"]:
        export = ["cargo", "xtask", "export", variant, folder / variant]
        subprocess.run(export, cwd=ROOT, check=True)
    return folder


def solved(exported, name="W1D5_Tutorial1"):
    """The cells of a notebook with the solutions in the exercises."""
    path = exported / f"instructor/source/{name}/{name}.ipynb"
    return by_id(nbformat.read(path, as_version=4).cells)


def run(session, cell):
    """Runs a cell, which must do what its tag says, and returns what it prints."""
    cell = session.run(cell)
    assert problem(cell) is None, f"{cell.get('id', '')}: {problem(cell)}\n{cell.source}"
    for output in cell.outputs:
        shown = output.get("data", {}).get("text/plain", "").strip()
        assert shown != "()" and not shown.startswith("Figure {"), f"{cell.source} shows {shown:.100}"
    return stream(cell)


def run_all(cells, folder):
    """Runs the code cells on a fresh kernel in a folder; returns what they print."""
    with Session(folder) as session:
        return "".join(run(session, cell) for cell in code_cells(cells))


def kernels():
    """The directories of all kernels."""
    return set((HOME / "kernels").iterdir())


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def by_id(cells):
    return {cell.id: cell for cell in cells}
