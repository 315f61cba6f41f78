"""Starts a kernel where one of the same process id has left files, some of them links.

    repeated_process_id.py KERNELS      the folder that kernels build in
"""

import sys
from pathlib import Path

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "xtask"))
from run_notebook import execute, start_kernel  # noqa: E402

# The shell becomes the kernel, so its process id is the kernel's.
LEFT = 'mkdir -p "$0/$$" && cp -rl "$0/prepared/target" "$0/$$/" && exec "$@"'

manager = KernelManager(kernel_name="rust")
spec = manager.kernel_spec
spec.argv = ["sh", "-c", LEFT, sys.argv[1], *spec.argv]
manager, client = start_kernel(ROOT / "notebooks", 60, manager)
messages, ok = execute(manager, client, 'println!("{}", 1 + 1);')
assert ok and messages[-1]["content"]["text"] == "2\n", messages
client.stop_channels()
manager.shutdown_kernel()
