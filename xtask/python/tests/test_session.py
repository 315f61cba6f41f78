"""A session on the patched evcxr behaves as a session of IPython does.

These tests are of xtask/evcxr: they run the program without what is prepared and without helpers.
"""

import json
import os
import queue
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import wait_until
from jupyter_client.connect import write_connection_file
from jupyter_client.manager import KernelManager, start_new_kernel

EVCXR = os.environ["EVCXR_PROGRAM"]


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Jupyter finds the program as the kernel `rust`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(tmp_path_factory.mktemp("jupyter")))
        subprocess.run([EVCXR, "--install"], check=True)
        yield


@pytest.fixture(scope="module")
def s(installed):
    with Session() as session:
        yield session


class Cell:
    """What a cell gave: the content of its reply, and its outputs as (type, content)."""

    def __init__(self):
        self.reply, self.outputs, self.times, self.is_idle = None, [], [], False

    @property
    def status(self):
        return self.reply["status"]

    def text(self, name="stdout"):
        return "".join(c["text"] for t, c in self.outputs if t == "stream" and c["name"] == name)

    def of_type(self, message_type):
        return [content for t, content in self.outputs if t == message_type]

    def shown(self):
        """The texts of figures and results, in order."""
        kinds = ("display_data", "execute_result")
        return [c["data"].get("text/plain") for t, c in self.outputs if t in kinds]


class Session:
    """A kernel that runs within a `with`, in a folder, with these environment variables.

    nbclient would show a notebook. This shows each message: its order, its time, whether it is late.
    """

    def __init__(self, folder=None, **environment):
        self.folder, self.environment = folder, {**os.environ, **environment}
        self.cells = {}

    def __enter__(self):
        self.manager, self.client = start_new_kernel(
            startup_timeout=120, kernel_name="rust", env=self.environment, cwd=self.folder
        )
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def send(self, code, stop_on_error=True):
        id = self.client.execute(code, stop_on_error=stop_on_error)
        self.cells[id] = Cell()
        return id

    def read(self):
        """Takes in a message of each channel, if one comes soon."""
        for channel, seconds in ((self.client.shell_channel, 0), (self.client.iopub_channel, 0.05)):
            try:
                message = channel.get_msg(timeout=seconds)
            except queue.Empty:
                continue
            if cell := self.cells.get(message["parent_header"].get("msg_id")):
                self.add(cell, message["msg_type"], message["content"])

    def add(self, cell, message_type, content):
        if message_type == "execute_reply":
            cell.reply = content
        elif message_type == "status":
            cell.is_idle = content["execution_state"] == "idle"
        elif message_type != "execute_input":
            assert not cell.is_idle, f"after idle: {message_type} {content}"
            cell.outputs.append((message_type, content))
            cell.times.append(time.monotonic())

    def read_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read()

    def read_until(self, condition, timeout=60):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited {timeout} s"
            assert self.manager.is_alive(), "the kernel has died"
            self.read()

    def wait(self, id, timeout=60):
        cell = self.cells[id]
        self.read_until(lambda: cell.reply and cell.is_idle, timeout)
        return cell

    def run(self, code, timeout=60):
        return self.wait(self.send(code, stop_on_error=False), timeout)

    def ok(self, code):
        cell = self.run(code)
        assert cell.status == "ok", (code, cell.reply, cell.outputs)
        return cell

    def interrupt(self, id):
        """Presses stop as soon as the cell has printed something."""
        self.read_until(self.cells[id].text)
        self.manager.interrupt_kernel()
        return self.wait(id)

    def pause(self):
        """What is sent sooner after an error counts as queued before it."""
        self.read_for(0.5)


def plain(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def assert_error(cell, ename, evalue):
    """The cell ended with this error. The reply has it, too, in one or two lines."""
    [error] = cell.of_type("error")
    assert cell.status == "error", cell.reply
    for content in (error, cell.reply):
        assert content["ename"] == ename, content
        assert evalue in plain(content["evalue"]), content
        assert content["traceback"], content
    if ename != "CompileError":
        assert len(error["traceback"]) <= 2, error
        assert evalue in plain("\n".join(error["traceback"]))
    assert "stack backtrace" not in str(cell.outputs)
    assert not cell.text("stderr"), cell.text("stderr")


def test_names_are_completed_before_any_cell_was_run_and_the_first_count_is_one(s):
    """Comes before the other tests that use this kernel. Otherwise the count would not be one."""
    id = s.client.complete("let text = String::new(); text.is_emp")
    reply = s.client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != id:
        reply = s.client.get_shell_msg(timeout=60)
    assert "is_empty()" in reply["content"]["matches"]
    assert [s.ok("let a = 1;").reply["execution_count"] for _ in range(2)] == [1, 2]


# ---- errors

def test_code_that_fails_is_an_error_and_earlier_variables_are_kept(s):
    s.ok("let kept = 1;")
    for code, ename, evalue in [
        ('let lost = 2; panic!("no {}", "luck");', "Panic", "no luck"),
        ("let v: Vec<u8> = vec![]; v[0];", "Panic", "index out of bounds"),
        ("todo!();", "Panic", "not yet implemented"),
        ('"x".parse::<i32>()?;', "Error", "invalid digit"),
        ('"x".parse::<i32>()?', "Error", "invalid digit"),
        ("let x: i32 = 1.5;", "CompileError", "mismatched types"),
    ]:
        assert_error(s.run(code), ename, evalue)
        assert s.ok("kept").shown() == ["1"], code
    assert s.run("lost").status == "error"


def test_panic_of_another_thread_is_on_stderr(s):
    cell = s.ok('std::thread::spawn(|| panic!("elsewhere")).join().is_err()')
    assert cell.shown() == ["true"]
    assert "elsewhere" in cell.text("stderr")


def test_queued_cells_are_aborted_after_an_error_that_is_not_expected(s):
    for failing in ("todo!();", "let x: i32 = 1.5;", '"x".parse::<i32>()?;'):
        ids = [s.send(code) for code in ("let a = 1;", failing, "let b = 2;", "println!();")]
        assert [s.wait(id).status for id in ids] == ["ok", "error", "aborted", "aborted"]
        s.pause()
    s.ok("let b = 2;")
    ids = [s.send("todo!();", stop_on_error=False), s.send("let c = 3;")]
    assert [s.wait(id).status for id in ids] == ["error", "ok"]


def test_nbconvert_fails_where_a_cell_fails(tmp_path):
    def convert(*cells):
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "rust", "display_name": "Rust"}})
        for source, *tags in cells:
            notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
        nbformat.write(notebook, tmp_path / "n.ipynb")
        command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "n.ipynb"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)

    failed = convert(["Vec::<u8>::new()[0];"], ["1 + 1"])  # a variable's type takes seconds
    assert failed.returncode == 1, failed.stderr
    assert "index out of bounds" in failed.stderr
    passed = convert(["todo!();", "raises-exception"], ["1 + 1"])
    assert passed.returncode == 0, passed.stderr


# ---- stop

def test_interrupt_of_a_loop_or_a_program_keeps_variables(s):
    s.ok("let kept = vec![1, 2];")
    for endless in ("loop {}", "let mut n = 0u64; while n < u64::MAX { n += 1; }",
                    "(0..9u64).map(|_| -> u64 { loop {} }).sum::<u64>()",
                    'std::process::Command::new("sleep").arg("600").status()?;'):
        id, queued = s.send('println!("begins"); ' + endless), s.send("let never = 1;")
        assert_error(s.interrupt(id), "interrupted", "kept")
        assert s.wait(queued).status == "aborted"
        s.pause()
        assert s.ok("kept").shown() == ["[1, 2]"], endless


def test_interrupt_while_compiling_loses_nothing(s):
    s.ok("let kept = 1;")
    id = s.send("let slow = 1; println!(\"{slow}\");" + "".join(
        f"#[derive(Clone, Debug, Default, PartialEq, PartialOrd, Eq, Ord, Hash)] struct S{n}"
        "{a: Vec<String>, b: std::collections::BTreeMap<String, Vec<u8>>}" for n in range(400)))
    s.read_for(0.5)
    s.manager.interrupt_kernel()
    cell = s.wait(id)
    assert_error(cell, "interrupted", "kept")
    assert not cell.text()
    s.pause()
    assert s.ok("kept").shown() == ["1"]


def test_interrupt_while_idle_does_nothing(s):
    s.ok("let kept = 1;")
    s.manager.interrupt_kernel()
    s.read_for(0.5)
    assert s.ok("kept").shown() == ["1"]


def test_interrupt_of_a_call_that_does_not_end_loses_the_variables(s):
    s.ok("let gone = 1;")
    id = s.send('println!("begins"); std::thread::sleep(std::time::Duration::from_secs(600));')
    assert_error(s.interrupt(id), "interrupted", "all variables are gone")
    s.pause()
    assert s.run("gone").status == "error"
    assert s.ok("1 + 1").shown() == ["2"]


def test_libraries_can_find_the_interrupt_flag(s):
    cell = s.ok('let at = std::env::var("EVCXR_INTERRUPTED_AT")?;\n'
                'println!("{}", at.split(\':\').next() == Some(&std::process::id().to_string()));')
    assert cell.text() == "true\n"


def test_kernel_that_is_killed_leaves_no_process():
    with Session() as s:
        cell = s.cells[s.send('println!("{}", std::process::id()); loop { std::hint::black_box(1); }')]
        s.read_until(cell.text)
        s.manager.signal_kernel(9)
        time.sleep(3)
        child = Path(f"/proc/{int(cell.text())}/stat")
        assert not child.exists() or " Z " in child.read_text()


def test_shutdown_ends_a_running_cell():
    with Session() as s:
        id = s.send('println!("begins"); std::thread::sleep(std::time::Duration::from_secs(600));')
        s.read_until(s.cells[id].text)
        s.manager.request_shutdown()
        wait_until(lambda: not s.manager.is_alive(), seconds=60)


# ---- output

def message(message_type, text, **content):
    content = {"data": {"text/plain": text}, "metadata": {}, **content}
    return f"println!(r#\"EVCXR_MESSAGE {message_type} {{}}\"#, r#\"{json.dumps(content)}\"#);"


def test_messages_are_sent_at_once_and_in_order(s):
    pause = "std::thread::sleep(std::time::Duration::from_millis(700));"
    named = {"transient": {"display_id": "live"}}
    cell = s.ok('println!("before");' + message("display_data", "one", **named) + 'println!("mid");'
                + message("display_data", "two") + pause
                + message("update_display_data", "one again", **named)
                + 'println!("EVCXR_MESSAGE clear_output {{\\"wait\\":true}}"); println!("after");')
    assert [t for t, _ in cell.outputs] == ["stream", "display_data", "stream", "display_data",
                                            "update_display_data", "clear_output", "stream"]
    assert cell.shown() == ["one", "two"]
    assert cell.of_type("update_display_data")[0]["transient"] == {"display_id": "live"}
    assert cell.of_type("clear_output") == [{"wait": True}]
    assert cell.times[4] - cell.times[3] > 0.5


def block(text, mime_type="text/plain"):
    return f'println!("EVCXR_BEGIN_CONTENT {mime_type}\\n{text}\\nEVCXR_END_CONTENT");'


def test_several_content_blocks_are_shown(s):
    cell = s.ok(block("one") + block("<b>one</b>", "text/html") + block("two")
                + 'println!("between");' + block("three"))
    assert cell.shown() == ["one", "two", "three"]
    assert cell.of_type("display_data")[0]["data"]["text/html"] == "<b>one</b>"
    assert [t for t, _ in cell.outputs][2] == "stream"
    assert len(cell.of_type("execute_result")) == 1


def test_large_message_arrives_whole(s):
    cell = s.ok('let big = "x".repeat(3_000_000); println!("EVCXR_MESSAGE display_data '
                '{{\\"data\\": {{\\"text/plain\\": \\"{big}\\"}}}}");')
    assert [len(text) for text in cell.shown()] == [3_000_000]


def test_print_without_newline_shows_under_its_own_cell(s):
    assert s.ok('print!("hello");').text() == "hello"
    assert s.ok('print!("a"); println!("b"); print!("c");').text() == "ab\nc"
    assert s.ok('print!("value: "); 42').text() == "value: "
    assert_error(s.run('print!("before"); panic!("now");'), "Panic", "now")
    cell = s.ok('use std::io::Write; print!("x"); std::io::stdout().flush()?; '
                + message("display_data", "figure"))
    assert (cell.text(), cell.shown()) == ("x", ["figure"])


def test_flushed_text_shows_while_the_cell_runs(s):
    cell = s.ok('use std::io::Write; for _ in 0..4 { print!("."); std::io::stdout().flush()?; '
                "std::thread::sleep(std::time::Duration::from_millis(400)); }")
    assert cell.text() == "...."
    assert cell.times[-1] - cell.times[0] > 0.4


def test_text_is_not_taken_for_a_marker(s):
    assert s.ok('println!("set EVCXR_TMPDIR or EVCXR_");').text() == "set EVCXR_TMPDIR or EVCXR_\n"


def test_nothing_is_shown_below_what_has_no_value(s):
    s.ok("fn nothing() {}")
    for code in ("for _ in 0..2 {}", "let mut n = 2; while n > 0 { n -= 1; }", "nothing()",
                 'println!("x")', "if true { nothing() }"):
        cell = s.ok(code)
        assert cell.shown() == [], (code, cell.outputs)


def test_bytes_that_are_not_utf8_are_shown_as_replacement_characters(s):
    for name in ("stdout", "stderr"):
        cell = s.ok(f'use std::io::Write; std::io::{name}().write_all(b"a\\xff\\xc3\\nb\\n")?; '
                    "let after = 1;")
        assert cell.text(name) == "a\ufffd\ufffd\nb\n"
        assert s.ok('println!("{after}");').text() == "1\n"
    assert s.ok('use std::io::Write; for b in "\u00e4\u20ac".bytes() { std::io::stdout()'
                ".write_all(&[b])?; std::io::stdout().flush()?; "
                "std::thread::sleep(std::time::Duration::from_millis(100)); }").text() == "\u00e4\u20ac"


def test_stderr_arrives_before_idle(s):
    for n in range(5):
        cell = s.ok(f'for n in 0..200 {{ eprintln!("line {{n}}"); }} eprint!("end {n}");')
        assert cell.text("stderr").endswith(f"line 199\nend {n}\n"), cell.text("stderr")[-100:]


def test_many_lines_arrive_complete(s):
    cell = s.ok('for n in 0..20_000 { println!("line {n}"); }')
    assert cell.text() == "".join(f"line {n}\n" for n in range(20_000))
    assert len(cell.outputs) < 1000


def test_output_comes_before_the_result(s):
    for _ in range(3):
        cell = s.ok('for n in 0..500 { println!("{n}"); }\n"result"')
        assert [t for t, _ in cell.outputs][-1] == "execute_result"


# ---- other behavior

def test_stdin_is_empty(s):
    cell = s.ok("let mut line = String::new(); std::io::stdin().read_line(&mut line)?")
    assert cell.shown() == ["0"]
    assert s.ok('std::process::Command::new("cat").output()?.stdout.len()').shown() == ["0"]


def test_unbalanced_code_is_an_error(s):
    s.ok("let kept = 1;")
    for code in ("}", "/*", "/* open\nlet a = 1;", "let a = 1; }", "fn g() { if true { }",
                 'let a = "open;', ")"):
        cell = s.run(code, timeout=20)
        assert cell.status == "error", (code, cell.outputs)
        assert cell.of_type("error"), code
        assert "kept" not in str(cell.outputs), (code, cell.outputs)
    assert s.ok("/* a comment */").outputs == []
    assert s.ok("// a comment").outputs == []
    assert s.ok("kept").shown() == ["1"]


def test_main_gets_a_hint(s):
    assert "main" in s.ok('fn main() { println!("hi"); }').text()
    assert s.ok('fn main() { println!("hi"); }\nmain()').text() == "hi\n"
    assert s.ok("fn other() {}").text() == ""


def test_restart_works_with_live_variables(s):
    s.ok("let old = String::new();")
    s.ok(":restart")
    s.ok("let new = 1;")
    assert s.ok("new").shown() == ["1"]
    s.ok("let old = 2;\n")
    assert s.ok(":restart\nlet same_cell = 3;\nprintln!(\"{same_cell}\");").text() == "3\n"


def test_requests_are_answered(s):
    for send in (s.client.history, s.client.comm_info, s.client.kernel_info):
        id = send()
        reply = s.client.get_shell_msg(timeout=5)
        assert reply["parent_header"]["msg_id"] == id
        assert reply["content"]["status"] == "ok", reply["content"]


def test_kernel_answers_through_files():
    manager = KernelManager(kernel_name="rust", transport="ipc")
    manager.start_kernel()
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        assert client.execute("1 + 1", reply=True, timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def small_crate(folder, name):
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nedition = "2024"\n[workspace]\n')
    (folder / "src/lib.rs").write_text("pub fn answer() -> i32 { 42 }\n")


def test_a_dependency_is_compiled_in_any_folder_and_that_is_shown(tmp_path):
    """A folder that has spaces in its name and is the root of a workspace."""
    folder = tmp_path / "with spaces"
    small_crate(folder / "my-crate", "my-crate")
    (folder / "Cargo.toml").write_text("[workspace]\n")
    with Session(folder, EVCXR_TMPDIR=str(folder / "build dir"), TMPDIR=str(folder)) as s:
        cell = s.ok(f':dep my-crate = {{ path = "{folder}/my-crate" }}\nlet a = my_crate::answer();')
        assert "Compiling my-crate" in cell.text(), cell.outputs
        assert s.ok("a").shown() == ["42"]


def test_error_of_a_missing_crate_says_what_to_do():
    hint = "get it with `get {name}`"
    with Session(CARGO_NET_OFFLINE="true", EVCXR_MISSING_CRATE_HINT=hint) as s:
        cell = s.run(':dep no_such_crate_anywhere = "1"')
        assert_error(cell, "CompileError", "get it with `get no_such_crate_anywhere`")


def test_prelude_may_use_a_dependency_of_the_configuration(tmp_path):
    small_crate(tmp_path / "mine", "mine")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/evcxr.toml").write_text(
        '[evcxr]\noffline_mode = true\nprelude = "let from_prelude = mine::answer();"\n'
        f'[dependencies]\nmine = {{ path = "{tmp_path}/mine" }}\n')
    with Session(tmp_path, EVCXR_CONFIG_DIR=str(tmp_path / "config")) as s:
        assert s.ok(":dep mine = { path = \"mine\" }\nfrom_prelude").shown() == ["42"]


def test_configuration_that_fails_ends_the_kernel_with_the_reason(tmp_path):
    (tmp_path / "evcxr.toml").write_text('[evcxr]\nprelude = "no_such_function();"\n')
    connection, _ = write_connection_file(str(tmp_path / "connection.json"))
    ended = subprocess.run(
        [EVCXR, "--control_file", connection], env={**os.environ, "EVCXR_CONFIG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=120,
    )
    assert ended.returncode != 0
    assert "cannot find function `no_such_function`" in plain(ended.stderr)


def test_values_are_shown_by_their_own_display_or_by_debug(s):
    s.ok("#[derive(Debug)] struct Figure; impl Figure { fn evcxr_display(&self) {"
         + block("figure") + "} }\nimpl Figure { fn copy(&self) -> Figure { Figure } }")
    s.ok("let figure = Figure;")
    for code, shown in [
        ("figure", "figure"), ("&figure", "figure"), ("figure.copy()", "figure"),
        ("Figure", "figure"), ("if true { 1 } else { 2 }", "1"), ("loop { break 5; }", "5"),
        ('"7".parse::<i32>()?', "7"), ('[Some(("a", 1))]', '[Some(("a", 1))]'),
    ]:
        assert s.ok(code).shown() == [shown], code
    s.ok("trait Shown { fn evcxr_display(&self); } #[derive(Debug)] struct ByTrait;"
         "impl Shown for ByTrait { fn evcxr_display(&self) {" + block("by trait") + "} }")
    s.ok("struct Quiet; impl Quiet { fn evcxr_display(&self) {" + block("quiet") + "} }")
    s.ok("let mut list = vec![1];")
    for code, shown in [
        ("ByTrait", "by trait"), ("Quiet", "quiet"), ("Box::new(Quiet)", "quiet"),
        ("Box::new(Figure)", "figure"), ("std::rc::Rc::new(Figure)", "figure"),
        ('*"text"', '"text"'), ('let text = String::from("x");\ntext', '"x"'), ("text", '"x"'),
        ("1 + 1", "2"), ("2.5", "2.5"), ("None::<i32>", "None"), ("&&3", "3"), ("Box::new(1)", "1"),
        ("vec![1u8].iter().map(|n| n + 1).collect::<Vec<_>>()", "[2]"),
        ("list.push(2); list", "[1, 2]"), ("list", "[1, 2]"),
    ]:
        assert s.ok(code).shown() == [shown], code
    assert_error(s.run("todo!()"), "Panic", "not yet implemented")
    assert_error(s.run("lisst"), "CompileError", "cannot find value")
    s.ok("struct Opaque;")
    cell = s.run("Opaque")
    assert cell.status == "error" and "Debug" in str(cell.of_type("error")), cell.outputs


def test_a_cell_that_redefines_a_type_keeps_its_own_variables(s):
    s.ok("struct Unit { bias: u8 }\nlet unit = Unit { bias: 1 };\nlet old_unit = Unit { bias: 2 };")
    cell = s.ok("struct Unit { bias: u8, gain: u8 }\nlet unit = Unit { bias: 3, gain: 4 };")
    assert cell.text() == "The variable old_unit is lost: its type was redefined.\n"
    assert s.ok('println!("{}", unit.gain);').text() == "4\n"


def test_code_is_compiled_once(tmp_path):
    sessions = []
    for _ in range(2):
        with Session(EVCXR_TMPDIR=str(tmp_path)) as session:
            cells = [session.run(code) for code in ("let n = 1;", "n", "let m: u8 = n;")]
        said = [(cell.status, cell.shown(), cell.reply.get("evalue")) for cell in cells]
        written = {f: f.stat().st_mtime_ns for f in (tmp_path / "target/known").iterdir()}
        sessions.append((said, written))
    assert sessions[0] == sessions[1]
    assert [status for status, _, _ in said] == ["ok", "ok", "error"] and "mismatched types" in said[2][2]


def test_code_that_includes_a_file_is_compiled_again(s, tmp_path):
    file = tmp_path / "included.txt"
    for text in ["before", "after"]:
        file.write_text(text)
        assert s.ok(f'println!("{{}}", include_str!({json.dumps(str(file))}));').text() == f"{text}\n"


def test_code_is_compiled_where_it_is_not_run(tmp_path):
    for environment, expected in [({"EVCXR_COMPILE_ONLY": "1"}, ""), ({}, "run\n")]:
        with Session(EVCXR_TMPDIR=str(tmp_path), **environment) as session:
            assert session.ok('println!("run");').text() == expected
