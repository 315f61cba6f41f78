"""Runs a notebook on the Rust kernel, cell by cell, and tells whether each did what it should.

    run_notebook.py NOTEBOOK EXECUTED    writes the executed notebook, and beside it an HTML page
    run_notebook.py --prepare FOLDER     only compiles, in FOLDER, what a first cell needs

The kernel answers "ok" when a cell panics or when a `?` fails: only what comes on stderr tells. So
a cell fails if it writes to stderr, unless it is tagged `raises-exception`; then it fails if it
does not.
"""

import atexit
import queue
import signal
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager

TOO_LONG = 1800  # seconds after which a cell is taken to hang
LATE = 0.2  # seconds in which stderr may still arrive after the kernel has become idle


# What the original prints for the recording, by what stands before the number, and how far the
# published runs of it differ from each other (a digit printed less: half of that digit).
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
    """A line for each published number: whether what was printed from the recording matches.

    None if it was not the recording that was used; the notebook knows it by its md5.
    """
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


def start_kernel(folder, timeout, manager=None):
    manager = manager or KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(folder))
    # Also after an error: a kernel that stays keeps whoever reads its output waiting.
    atexit.register(lambda: manager.has_kernel and manager.shutdown_kernel(now=True))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=timeout)
    return manager, client


def execute(manager, client, code):
    """Runs one cell; returns the messages of its output and whether the kernel answered ok."""
    request = client.execute(code)
    messages, idle, died = [], None, None
    deadline = time.monotonic() + TOO_LONG
    while idle is None or time.monotonic() - idle < LATE:
        if time.monotonic() > deadline:
            print(f"the cell is not done after {TOO_LONG} s: killing the kernel")
            manager.shutdown_kernel(now=True)
            return messages, False
        try:
            message = client.get_iopub_msg(timeout=LATE)
        except queue.Empty:
            # A last look for what a dying kernel has sent, then that is that.
            if died:
                return messages, False
            died = idle is None and not manager.is_alive()
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status":
            if message["content"]["execution_state"] == "idle":
                idle = time.monotonic()
        elif message["msg_type"] in ("stream", "error", "display_data", "execute_result"):
            messages.append(message)
            if message["msg_type"] == "stream":
                sys.stdout.write(message["content"]["text"])
                sys.stdout.flush()
    while True:  # replies to earlier requests may still be waiting
        try:
            reply = client.get_shell_msg(timeout=10)
        except queue.Empty:
            return messages, False
        if reply["parent_header"].get("msg_id") == request:
            return messages, reply["content"]["status"] == "ok"


def verdict(cell, messages, ok):
    """What is wrong with how a cell ended, or None."""
    stderr = "".join(
        message["content"]["text"]
        for message in messages
        if message["msg_type"] == "stream" and message["content"]["name"] == "stderr"
    )
    errors = [m["content"]["evalue"] for m in messages if m["msg_type"] == "error"]
    for error in errors:
        print(error)
    stopped = bool(stderr or errors or not ok)
    meant_to_stop = "raises-exception" in cell.metadata.get("tags", [])
    if stopped and not meant_to_stop:
        return "stopped, and was not meant to"
    if errors and meant_to_stop:
        return "did not compile; a cell that is meant to stop has to stop when it runs"
    if meant_to_stop and not stopped:
        return "was meant to stop, and did not"
    return None


def outputs(messages):
    """The messages as a notebook keeps them: pieces of one stream joined."""
    kept = []
    for message in messages:
        output = nbformat.v4.output_from_msg(message)
        if kept and output.output_type == "stream" == kept[-1].output_type:
            if output.name == kept[-1].name:
                kept[-1].text += output.text
                continue
        kept.append(output)
    return kept


def run(path, executed):
    notebook = nbformat.read(path, as_version=4)
    start = time.monotonic()
    manager, client = start_kernel(path.parent.resolve(), timeout=600)
    print(f"kernel started in {time.monotonic() - start:.1f} s")
    failures = []
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    try:
        for number, cell in enumerate(code_cells, 1):
            name = cell.get("id", "")
            cell_start = time.monotonic()
            print(f"[{number}/{len(code_cells)}] {name}")
            messages, ok = execute(manager, client, cell.source)
            cell.execution_count = number
            cell.outputs = outputs(messages)
            problem = verdict(cell, messages, ok)
            print(f"    {time.monotonic() - cell_start - LATE:.1f} s")
            if problem:
                failures.append(f"cell {number} ({name}) {problem}")
                print(f"    FAILED: {problem}")
            if not manager.is_alive():
                failures.append(f"the kernel died in cell {number} ({name})")
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    from nbconvert import HTMLExporter

    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, executed)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    executed.with_suffix(".html").write_text(page, encoding="utf-8")
    print(f"{path.name}: {len(code_cells)} cells in {time.monotonic() - start:.0f} s")
    print(f"executed notebook: {executed}\nHTML page: {executed.with_suffix('.html')}")
    printed = "".join(
        output.text
        for cell in code_cells
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    for line in compare_with_published(printed):
        print(line)
    for failure in failures:
        print(f"FAILED: {failure}")
    return not failures


def prepare(folder):
    manager, client = start_kernel(folder, timeout=3600)
    try:
        cell = ':dep helpers = { path = "../helpers" }\nuse helpers::*;\nlet one = 1;'
        messages, ok = execute(manager, client, cell)
        if problem := verdict(nbformat.v4.new_code_cell(cell), messages, ok):
            print(f"the first cell {problem}")
            return False
        # For a variable without a type the kernel asks `cargo check`, which compiles in its own way.
        _, ok = execute(manager, client, "let unknown = Default::default();")
        return not ok
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


if __name__ == "__main__":
    for end in (signal.SIGHUP, signal.SIGTERM):  # not without ending the kernel, too
        signal.signal(end, lambda *_: sys.exit(1))
    first, second = sys.argv[1:]
    if first == "--prepare":
        done = prepare(Path(second))
    else:
        done = run(Path(first), Path(second))
    sys.exit(0 if done else 1)
