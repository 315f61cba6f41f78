"""Runs cells on a kernel, one after another."""

import json
import os
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
TOO_LONG = 3600  # seconds

PREPARED = Path(os.environ["JUPYTER_PATH"]).parent  # what kernels start from
HOME = PREPARED.parent  # all that is set up

DEPENDENCY = f":dep helpers = {{ path = {json.dumps(str(ROOT / 'helpers'))} }}"
START = f"{DEPENDENCY}\nuse helpers::*;\nsetup()?;"


def read(name="W1D5_Tutorial1"):
    """The cells of a notebook, which find helpers from any folder."""
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    for cell in cells:
        cell.source = cell.source.replace(':dep helpers = { path = "../helpers" }', DEPENDENCY)
    return cells


def code_cells(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


class Session:
    """The Rust kernel, started in a folder. With `argv`, another program as the kernel."""

    def __init__(self, folder=NOTEBOOKS, argv=None):
        start = time.monotonic()
        self.client = NotebookClient(
            nbformat.v4.new_notebook(), kernel_name="rust", allow_errors=True, timeout=TOO_LONG,
            startup_timeout=TOO_LONG, resources={"metadata": {"path": str(folder)}},
        )
        self.client.create_kernel_manager()
        env = os.environ
        if argv:
            self.client.km._kernel_spec = KernelSpec(
                argv=argv, display_name="Rust", language="rust", interrupt_mode="message"
            )
            # With this variable stock evcxr finds the kernel.json that it replaces.
            env = {**os.environ, "JUPYTER_PATH": str(folder)}
        self.client.start_new_kernel(cwd=str(folder), env=env)
        self.client.start_new_kernel_client()
        self.seconds = time.monotonic() - start

    def run(self, cell):
        """Runs a code cell, or its source, and returns the cell with its outputs."""
        if isinstance(cell, str):
            cell = nbformat.v4.new_code_cell(cell)
        cells = self.client.nb.cells
        cells.append(cell)
        start = time.monotonic()
        try:
            self.client.execute_cell(cell, len(cells) - 1)
        except DeadKernelError:
            cell.outputs.append(nbformat.v4.new_output("error", ename="DeadKernel", evalue="the kernel died"))
        self.seconds = time.monotonic() - start
        return cell

    def ok(self, cell):
        """Runs a cell, which must do what its tag says, and returns what it prints."""
        cell = self.run(cell)
        if what := problem(cell):
            raise RuntimeError(f"a cell {what}: {cell.source}")
        return stream(cell)

    def is_dead(self):
        return not self.client.km.has_kernel or self.client.km.provisioner.process.poll() is not None

    def end(self):
        self.client._cleanup_kernel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def stream(cell, name="stdout"):
    """What a cell has printed."""
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == name)


def problem(cell):
    """What is wrong with how a cell ended, or None. A cell should fail if its tag says so, and only then."""
    errors = [f"{o.ename}: {o.evalue}" for o in cell.outputs if o.output_type == "error"]
    failed = "; ".join(errors) or stream(cell, "stderr")
    may_fail = "raises-exception" in cell.metadata.get("tags", [])
    if failed and not may_fail:
        return "failed: " + failed
    if may_fail and not failed:
        return "was expected to fail, and did not"
    return None
