"""Has three users of a JupyterHub run the tutorial at the same time, on one installation of which
they can write nothing.

    hub.py HUB_BIN PROXY USER USER USER

Run by hand, as root, for it starts servers as these users of the system. HUB_BIN is the bin folder of
a Python environment with jupyterhub and jupyterlab, PROXY the program configurable-http-proxy (from
npm). The installation is this project, prepared by `cargo xtask setup`.
"""

import json
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat
import websocket

ROOT = Path(__file__).resolve().parent.parent.parent
PORT, TOKEN = 8931, "a" * 32
URL = f"http://127.0.0.1:{PORT}"

CONFIG = """
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.start_timeout = 120
# The kernel, and Rust for it: all that the hub's users need of the installation.
c.Spawner.environment = {{"JUPYTER_PATH": {kernels!r}, "PATH": {path!r}}}
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.services = [{{"name": "class", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{"name": "class", "services": ["class"],
    "scopes": ["admin:users", "admin:servers", "access:servers"]}}]
"""


def ask(path, method="GET", body=None):
    request = Request(URL + path, method=method, headers={"Authorization": f"token {TOKEN}"})
    if body is not None:
        request.data = json.dumps(body).encode()
    with urlopen(request, timeout=120) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def until(what, seconds=120):
    end = time.monotonic() + seconds
    while True:
        try:
            if got := what():
                return got
        except OSError:
            pass
        if time.monotonic() > end:
            sys.exit("the hub does not answer")
        time.sleep(0.5)


def cells():
    """The tutorial's code, for a notebook that is anywhere."""
    notebook = nbformat.read(ROOT / "notebooks/W1D5_Tutorial1.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return [source.replace("../helpers", str(ROOT / "helpers")) for source in code]


def run_tutorial(user, results):
    start = time.monotonic()
    kernel = ask(f"/user/{user}/api/kernels", "POST", {"name": "rust"})["id"]
    socket = websocket.create_connection(
        f"ws://127.0.0.1:{PORT}/user/{user}/api/kernels/{kernel}/channels",
        header=[f"Authorization: token {TOKEN}"], timeout=600,
    )
    printed, errors = "", ""
    for number, source in enumerate(cells()):
        request = uuid.uuid4().hex
        socket.send(json.dumps({
            "header": {"msg_id": request, "msg_type": "execute_request", "version": "5.3",
                       "username": user, "session": user, "date": ""},
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": source, "silent": False, "store_history": True,
                        "user_expressions": {}, "allow_stdin": False, "stop_on_error": False},
        }))
        while True:
            message = json.loads(socket.recv())
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                if content["name"] == "stdout":
                    printed += content["text"]
                else:
                    errors += content["text"]
            elif message["msg_type"] == "error":
                errors += content["evalue"]
            elif content.get("execution_state") == "idle":
                break
        if number == 0:
            first = time.monotonic() - start
    results[user] = (first, time.monotonic() - start, printed, errors)
    socket.close()
    ask(f"/user/{user}/api/kernels/{kernel}", "DELETE")


def main(hub_bin, proxy, *users):
    folder = Path(tempfile.mkdtemp())
    rust = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    (folder / "config.py").write_text(CONFIG.format(
        url=URL, singleuser=str(Path(hub_bin) / "jupyterhub-singleuser"), proxy=proxy, token=TOKEN,
        kernels=str(ROOT / "target/lab/python/share/jupyter"),
        path=f"{rust.stdout.strip()}/bin:{hub_bin}:/usr/bin:/bin",
    ))
    environment = {**os.environ, "PATH": f"{hub_bin}:{os.environ['PATH']}"}
    with open(folder / "log", "w") as log:
        hub = subprocess.Popen([Path(hub_bin) / "jupyterhub", "-f", folder / "config.py"],
                               cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: ask("/hub/api/"))
        for user in users:
            pwd.getpwnam(user)
            ask(f"/hub/api/users/{user}", "POST")
            ask(f"/hub/api/users/{user}/server", "POST")
        for user in users:
            until(lambda: ask(f"/hub/api/users/{user}")["servers"].get("", {}).get("ready"))
        results = {}
        threads = [threading.Thread(target=run_tutorial, args=(u, results)) for u in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(results) == set(users), f"not done: {set(users) - set(results)}"
        for user, (first, whole, printed, errors) in results.items():
            last = [line for line in printed.splitlines() if line.startswith("iteration 50/50")]
            print(f"{user}: first cell after {first:.1f} s, all after {whole:.1f} s, {last}")
            assert not errors, errors
            assert last, printed
        for user in users:
            ask(f"/hub/api/users/{user}/server", "DELETE")
    finally:
        hub.terminate()
        hub.wait(timeout=60)
        print(f"log: {folder / 'log'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
