"""Asks a kernel that is starting what it is, and leaves before the answer.

JupyterLab does that after each restart. Fails if the kernel does not outlive it.
"""

import socket
import sys
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "xtask"))
from run_notebook import execute, start_kernel  # noqa: E402


class Left(KernelManager):
    def start_kernel(self, **kwargs):
        super().start_kernel(**kwargs)
        control = self.connect_control()
        for _ in range(20):
            self.session.send(control, "kernel_info_request")
        while True:
            try:
                socket.create_connection((self.ip, self.control_port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        time.sleep(0.5)  # in which the requests arrive
        control.close(linger=0)


manager, client = start_kernel(ROOT / "notebooks", 60, Left(kernel_name="rust"))
messages, ok = execute(manager, client, 'println!("{}", 1 + 1);')
assert ok and messages[-1]["content"]["text"] == "2\n", messages
client.stop_channels()
manager.shutdown_kernel()
