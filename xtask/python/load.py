"""Puts the load of a class on the kernel. All has to end right and leave nothing behind.

    load.py                all of these, with 10, 200 and 20
    load.py tutorials N    N kernels run the whole tutorial at once
    load.py restarts N     a kernel is restarted N times
    load.py kills N        N set-ups are killed at random moments, and the next call completes each
"""

import fcntl
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_core.utils import run_sync

from session import ROOT, Session, problem, read, stream

HOME = Path(os.environ["DECODING_HOME"])
PREPARED = Path(os.environ["JUPYTER_PATH"]).parent


def left():
    """The processes of kernels, their folders, and the locks that are held."""
    processes = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
    kernels = [line for line in processes.stdout.splitlines() if line.startswith(str(HOME))]
    kernels += map(str, (HOME / "kernels").glob("*"))
    for file in (HOME / "lock", PREPARED / "lock"):
        with open(file, "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                kernels.append(str(file))
    return sorted(kernels)


def tutorial(folder):
    """Runs the whole tutorial and returns what it prints."""
    cells = [cell for cell in read() if cell.cell_type == "code"]
    with Session(folder) as session:
        for cell in cells:
            assert problem(session.run(cell)) is None, f"{cell.id} {problem(cell)}"
    return "".join(map(stream, cells))


def tutorials(n):
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n) as pool:
        tutorial(folder)  # simulates the recording, for all
        printed = list(pool.map(tutorial, [folder] * n))
    assert "iteration 50/50" in printed[0] and len(set(printed)) == 1, set(printed)


def restarts(n):
    with tempfile.TemporaryDirectory() as folder, Session(folder) as session:
        for _ in range(n):
            run_sync(session.client.km.restart_kernel)()
            run_sync(session.client.kc.wait_for_ready)(timeout=120)
        assert problem(session.run("let x = 1;")) is None


def kills(n):
    """Each makes the crates, or what is prepared of them, again. cargo takes over what it finds in the
    copy, so that this takes seconds."""
    copy = HOME / "kernel-copy"
    shutil.copytree(PREPARED, copy, symlinks=True, copy_function=os.link)
    (crates,) = re.findall('directory = "(.*)/vendor"', (PREPARED / "cargo.toml").read_text())
    marks = [PREPARED / "complete", Path(crates) / "complete"]
    try:
        for _ in range(n):
            random.choice(marks).unlink()
            set_up = subprocess.Popen(["cargo", "xtask", "setup"], cwd=ROOT, stdout=subprocess.DEVNULL)
            time.sleep(random.uniform(0, 10))  # before it can end
            set_up.kill()
            set_up.wait()
            subprocess.run(["cargo", "xtask", "setup"], cwd=ROOT, check=True)
            with Session() as session:
                assert problem(session.run("let x = 1;")) is None
    finally:
        shutil.rmtree(copy)


def load(what, n):
    before, start = left(), time.monotonic()
    {"tutorials": tutorials, "restarts": restarts, "kills": kills}[what](n)
    if set(left()) - set(before):
        # On a busy machine Jupyter kills kernels that do not end in time. A later start deletes what
        # these leave, once it is a minute old.
        time.sleep(61)
        Session().end()
    assert set(left()) <= set(before), f"{what} left {set(left()) - set(before)}"
    return f"{n} {what}: all right and nothing left, in {time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    for what, n in [sys.argv[1:]] if sys.argv[1:] else [("tutorials", 10), ("restarts", 200), ("kills", 20)]:
        print(load(what, int(n)), flush=True)
