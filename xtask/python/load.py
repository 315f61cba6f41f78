"""Puts the load of a class on the kernel. Every run must end without an error and leave nothing
behind."""

import fcntl
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_core.utils import run_sync

from session import HOME, PREPARED, ROOT, Session, code_cells, read


def in_use():
    """The processes of kernels, their folders, and the locks that are held."""
    processes = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
    found = [line for line in processes.stdout.splitlines() if line.startswith(str(HOME))]
    found += (HOME / "kernels").glob("*")
    for file in (HOME / "lock", PREPARED / "lock"):
        with open(file, "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(file)
    return set(found)


def tutorial(folder):
    """Runs the whole tutorial and returns what it prints."""
    with Session(folder) as session:
        return "".join(session.ok(cell) for cell in code_cells(read()))


def tutorials(n):
    """Runs the whole tutorial on n kernels at once."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n) as pool:
        tutorial(folder)  # simulates the recording, for all
        printed = list(pool.map(tutorial, [folder] * n))
    assert "iteration 50/50" in printed[0] and len(set(printed)) == 1, set(printed)


def restarts(n):
    with tempfile.TemporaryDirectory() as folder, Session(folder) as session:
        for _ in range(n):
            run_sync(session.client.km.restart_kernel)()
            run_sync(session.client.kc.wait_for_ready)(timeout=120)
        session.ok("let x = 1;")


def kills(n):
    """Kills n set-ups at random moments. The next call has to complete each.

    Each set-up makes the crates or the prepared directory again. cargo finds compiled crates in the
    copy, so this takes seconds."""
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
                session.ok("let x = 1;")
    finally:
        shutil.rmtree(copy)


def load(work, n):
    """Puts one of these loads on kernels and returns how it went."""
    before, start = in_use(), time.monotonic()
    work(n)
    if in_use() - before:
        # On a busy machine Jupyter kills kernels that do not end in time. A later start deletes what
        # these leave, once it is a minute old.
        time.sleep(61)
        Session().end()
    left = in_use() - before
    assert not left, f"{work.__name__} left {left}"
    return f"{n} {work.__name__}: all right and nothing left, in {time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    for work, n in [(tutorials, 10), (restarts, 200), (kills, 20)]:
        print(load(work, n), flush=True)
