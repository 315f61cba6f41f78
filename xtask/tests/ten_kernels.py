"""Starts ten kernels at once, kills nine of them and starts another.

    ten_kernels.py KERNELS      the folder that kernels build in

Fails if a kernel sees another one's variables, if what dead kernels leave is not swept, or if
anything else is.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "xtask"))
from run_notebook import execute, start_kernel  # noqa: E402

KERNELS = Path(sys.argv[1])


def builds():
    return {int(path.name) for path in KERNELS.iterdir() if path.name.isdigit()}


def start(number):
    kernel = start_kernel(ROOT / "notebooks", 600)
    check(kernel, f"let mine = vec![{number}; 3];", "")
    return kernel


def check(kernel, source, expected):
    messages, ok = execute(*kernel, source)
    printed = "".join(m["content"].get("text", "") for m in messages)
    assert ok and printed == expected, f"{source}: expected {expected!r}, got {printed!r}"


def pid(kernel):
    return kernel[0].provisioner.process.pid


with ThreadPoolExecutor(10) as pool:
    kernels = list(pool.map(start, range(10)))
    for number, kernel in enumerate(kernels):
        check(kernel, 'println!("{mine:?}");', f"[{number}, {number}, {number}]\n")
    ours = {pid(kernel) for kernel in kernels}
    assert ours <= builds(), f"expected a folder each of {ours}, got {builds()}"

    # Nine die, and the processes that would clean up after them.
    *dead, alive = kernels
    for kernel in dead:
        subprocess.run(["pkill", "-KILL", "-f", f"sweep {KERNELS / str(pid(kernel))}"], check=True)
        os.killpg(pid(kernel), signal.SIGKILL)
        kernel[1].stop_channels()
        kernel[0].shutdown_kernel(now=True)
    left = ours & builds()
    assert left == ours, f"expected the folders of the dead to be left, got {left}"
    another = start(10)
    left = (ours | {pid(another)}) & builds()
    assert left == {pid(alive), pid(another)}, f"expected the living two's folders, got {left}"
    check(alive, 'println!("{mine:?}");', "[9, 9, 9]\n")

    # The others end as kernels do, and their folders go without another start.
    ended = {pid(alive), pid(another)}
    for kernel in (alive, another):
        kernel[1].stop_channels()
        kernel[0].shutdown_kernel()
    for _ in range(100):
        if not ended & builds():
            break
        signal.sigtimedwait([], 0.1)
    else:
        sys.exit("the folders of kernels that have ended are still there")
