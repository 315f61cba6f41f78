"""The kernel: right gradients and types, short errors, apart from other kernels, offline."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import kernels, run, wait_until
from load import kills, load, restarts
from nbformat.v4 import new_code_cell
from session import HOME, PREPARED, ROOT, START, Session, problem, stream


def expected_to_fail(source):
    return new_code_cell(source, metadata={"tags": ["raises-exception"]})


def test_variables_of_different_cells_get_gradients_of_their_own(session):
    """If candle were linked into every cell, both would be 18."""
    run(session, "let a = Var::new(&[1f32], &Device::Cpu)?;")
    run(session, "let b = Var::new(&[2f32], &Device::Cpu)?;")
    run(session, "let loss = ((a.as_tensor() * 3.0)? + (b.as_tensor() * 5.0)?)?;")
    run(session, "let gradients = loss.backward()?;")
    for variable, expected in [("a", "[3.0]"), ("b", "[5.0]")]:
        source = f'println!("{{:?}}", gradients.get(&{variable}).unwrap().to_vec1::<f32>()?);'
        assert run(session, source).strip() == expected


def test_candle_computes_without_overflow_checks(session):
    run(session, "let sum = (Tensor::new(&[255u8], &Device::Cpu)? + Tensor::new(&[1u8], &Device::Cpu)?)?;")
    assert run(session, 'println!("{:?}", sum.to_vec1::<u8>()?);') == "[0]\n"


def test_the_standard_library_is_found_wherever_cells_are_compiled(session):
    folders = run(session, 'println!("{}", std::env::var("LD_LIBRARY_PATH")?);').strip().split(":")
    assert any(list(Path(folder).glob("libstd-*")) for folder in folders)


@pytest.mark.parametrize("source", [
    'load_data("no/such/file.npz", 1)?;',
    "Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?.reshape(7)?;",
    "Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?.reshape(7).unwrap();",
])
def test_errors_in_cells_are_short(session, source):
    cell = session.run(expected_to_fail(source))
    assert problem(cell) is None
    text = stream(cell, "stderr") + "".join(o.get("evalue", "") for o in cell.outputs)
    assert 0 < len(text.strip().splitlines()) <= 2, text


def test_a_cell_that_does_not_do_what_its_tag_says_is_noticed(session):
    assert problem(session.run(expected_to_fail('println!("nothing is wrong here");')))
    for source in ["assert_eq!(1 + 1, 3);", '"one".parse::<usize>()?;', 'let n: usize = "a word";']:
        assert problem(session.run(source)), source


def test_types_of_variables_are_found(session):
    """rust-analyzer sees a part of the sources only. It has to be the right part."""
    for source in (Path(__file__).parent / "types.rs").read_text().split("\n// cell\n"):
        printed = run(session, source)
    assert printed == (
        "3 1 two Mutex { data: Some(1.5), poisoned: false, .. } x 0..10\n4 [4, 1] 4 4 true\n"
        "true true 0\n3 3 3 true\nSome([4, 1])\n"
    )


def test_a_kernel_outlives_a_client_that_asks_and_leaves(session):
    """JupyterLab does so after a restart: it leaves at the first answer."""
    manager = session.client.km
    for _ in range(3):
        control = manager.connect_control()
        for _ in range(20):
            manager.session.send(control, "kernel_info_request")
        time.sleep(0.1)
        control.close(linger=0)
    assert run(session, 'println!("{}", 1 + 1);') == "2\n"


def files(folder):
    return {file: (file.stat().st_size, file.stat().st_mtime) for file in folder.rglob("*") if file.is_file()}


def test_kernels_compile_the_versions_of_the_workspaces_lock_file():
    def locked(file):
        packages = tomllib.loads(file.read_text())["package"]
        return {(package["name"], package["version"]) for package in packages}

    in_kernel = locked(PREPARED / "prepared/build/Cargo.lock")
    assert len(in_kernel) > 50
    own = {"ctx", "evcxr_dummy_validate_dep"}  # evcxr's packages for cells and for a :dep
    assert {p for p in in_kernel - locked(ROOT / "Cargo.lock") if p[0] not in own} == set()


def test_ten_kernels_at_once_keep_to_themselves_and_leave_nothing(tmp_path):
    before, prepared = kernels(), files(PREPARED)

    def start(number):
        session = Session(tmp_path)
        run(session, f"let mine = vec![{number}; 3];")
        return session

    with ThreadPoolExecutor(10) as pool:
        sessions = list(pool.map(start, range(10)))
    assert len(kernels() - before) == 10
    for number, session in enumerate(sessions):
        assert run(session, 'println!("{mine:?}");') == f"[{number}, {number}, {number}]\n"

    # The last is killed with all its processes. The others end as kernels do.
    killed = sessions.pop().client.km
    os.killpg(killed.provisioner.process.pid, signal.SIGKILL)
    for session in sessions:
        session.end()
    wait_until(lambda: kernels() == before)
    assert files(PREPARED) == prepared


def test_a_kernel_deletes_what_others_left_and_its_own_death_is_noticed(tmp_path):
    left = HOME / "kernels/kernel-left"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))  # it has been there for more than a minute
    with Session(tmp_path) as session:
        assert not left.exists()
        assert problem(session.run("std::process::abort();"))


HOSTILE = {
    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER": "gcc", "CARGO_ENCODED_RUSTFLAGS": "-Cdebuginfo=1",
    "CARGO_PROFILE_DEV_OPT_LEVEL": "0", "CARGO_INCREMENTAL": "1", "RUSTC_WRAPPER": "/none",
    "RUSTFLAGS": "--cfg x", "CC": "/none", "CARGO_HOME": "/none", "PIP_USER": "1",
}


def test_what_is_prepared_holds_in_any_environment(monkeypatch, tmp_path):
    """A kernel that compiled a crate again would have a file of its own, and take minutes."""
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "evcxr.toml").write_text("[evcxr]\nprelude = 'std::process::abort();'\n")
    (tmp_path / "libhelpers.so").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    before, prepared = kernels(), files(PREPARED)
    with Session(tmp_path) as session:
        run(session, START)
        run(session, "let unknown: Vec<f32> = Default::default();")
        (own,) = kernels() - before
        crates = [file for file in own.rglob("*.rlib") if "ctx" not in file.name]
        assert len(crates) > 50
        assert [file.name for file in crates if file.stat().st_nlink == 1 and not file.is_symlink()] == []
    assert files(PREPARED) == prepared


def test_an_edit_of_helpers_reaches_a_new_kernel_and_no_other_crate_is_compiled():
    source, before, prepared = ROOT / "helpers/src/lib.rs", kernels(), files(PREPARED)
    written = source.stat()
    os.utime(source)  # as an editor does
    try:
        with Session() as session:
            run(session, START)
            (own,) = kernels() - before
            compiled = [f.name for f in own.rglob("*.rlib") if f.stat().st_nlink == 1 and "ctx" not in f.name]
    finally:
        os.utime(source, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert compiled and all(name.startswith("libhelpers") for name in compiled)
    assert files(PREPARED) == prepared


def xtask(*args, **env):
    command = ["cargo", "xtask", *args]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)


def test_a_further_crate_is_added_and_a_second_candle_is_refused(tmp_path):
    refused = xtask("add", "candle-core@0.9.2")
    assert refused.returncode == 1
    assert "needs another candle-core than helpers" in refused.stderr.splitlines()[-1]

    list_of_crates = HOME / "crates.toml"
    before = list_of_crates.read_text() if list_of_crates.exists() else ""
    added = xtask("add", "itertools@0.14", "--features", "use_std")
    list_of_crates.write_text(before)
    assert added.returncode == 0, added.stderr
    dependency = added.stdout.splitlines()[-1].split("first cell:  ")[1]
    assert dependency == ':dep itertools = { version = "0.14", features = ["use_std"] }'
    with Session(tmp_path) as session:
        run(session, dependency + "\nuse itertools::Itertools;")
        assert run(session, 'println!("{}", [3, 1, 2].iter().sorted().join(" "));') == "1 2 3\n"


@pytest.fixture
def osf_io(tmp_path):
    """A proxy that answers in osf.io's place, with a certificate of its own, as a network does that
    decrypts its users' traffic. It redirects to http. Gives its port and the certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", key, "-out", certificate,
         "-subj", "/CN=osf.io", "-addext", "subjectAltName=DNS:osf.io",
         "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ssl.SSLError):  # the certificate is refused
                Proxy(tls.wrap_socket(self.connection, server_side=True), self.client_address, self.server)

        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "http://localhost:9/")
            self.end_headers()

    with HTTPServer(("localhost", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port, certificate
        server.shutdown()


def test_a_download_trusts_the_certificates_that_are_named_and_no_http(session, osf_io):
    port, certificate = osf_io
    download = 'println!("{}", fetch_recording().unwrap_err());'
    run(session, f'unsafe {{ std::env::set_var("HTTPS_PROXY", "http://localhost:{port}"); }}')
    said = run(session, download)
    assert "UnknownIssuer" in said and "set SSL_CERT_FILE to the file" in said, said
    run(session, f'unsafe {{ std::env::set_var("SSL_CERT_FILE", "{certificate}"); }}')
    said = run(session, download)
    assert "configured for https only: http://localhost:9/" in said, said
    run(session, 'unsafe { std::env::remove_var("HTTPS_PROXY"); std::env::remove_var("SSL_CERT_FILE"); }')


def test_doctor_says_whether_jupyterlab_runs_and_not_its_token(tmp_path):
    """A stopped container leaves the file of a server. Another program may have its process id."""
    listener = socket.create_server(("localhost", 0))
    port = listener.getsockname()[1]
    server = {"pid": os.getpid(), "port": port, "url": f"http://localhost:{port}/", "token": "secret",
              "root_dir": str(ROOT / "notebooks")}
    (tmp_path / "jpserver-1.json").write_text(json.dumps(server))
    for expected in ["yes", "no"]:
        said = xtask("doctor", JUPYTER_RUNTIME_DIR=str(tmp_path)).stdout
        assert re.search(f"JupyterLab, running +{expected}\n", said) and "secret" not in said, said
        listener.close()


def test_the_users_other_jupyter_programs_find_the_kernel(monkeypatch, tmp_path):
    assert xtask("setup", "--user", JUPYTER_DATA_DIR=str(tmp_path)).returncode == 0
    monkeypatch.delenv("JUPYTER_PATH")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    with Session(tmp_path) as session:
        run(session, START)


def test_a_kernel_ends_when_jupyter_is_killed(tmp_path):
    """Here Jupyter is another process, which starts a kernel and is killed."""
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from session import Session\n"
        "print(Session().client.km.provisioner.process.pid, flush=True); time.sleep(600)"
    )
    before = kernels()
    jupyter = subprocess.Popen(
        [sys.executable, "-c", program, ROOT / "xtask/python"], stdout=subprocess.PIPE, text=True
    )
    pid = next(int(line) for line in jupyter.stdout if line.strip().isdigit())
    jupyter.kill()
    jupyter.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and kernels() == before)


def test_a_kernel_runs_without_a_network():
    """In a network namespace that has only the machine itself."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"]).returncode:
        pytest.skip("not allowed to cut the network")
    program = (
        "import fcntl, socket, struct, sys; sys.path[:0] = sys.argv[1:]\n"
        "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH', b'lo', 1))  # loopback up\n"
        "from conftest import run\nfrom session import START, Session\n"
        "with Session() as session: run(session, START)"
    )
    folders = [Path(__file__).parent, ROOT / "xtask/python"]
    subprocess.run(["unshare", "-n", sys.executable, "-c", program, *folders], check=True)


@pytest.mark.parametrize("work", [restarts, kills])
def test_all_ends_right_and_leaves_nothing(work):
    """In short; `cargo xtask bench load` does it at length."""
    load(work, 1)
