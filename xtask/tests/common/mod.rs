//! What the tests that run notebooks share.
#![allow(dead_code)] // each of them uses a part

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Kernels compile on all cores: one notebook after another is faster, and uses less memory.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static KERNEL: Mutex<()> = Mutex::new(());
    KERNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

pub fn tutorial() -> Value {
    read(&root().join("notebooks/W1D5_Tutorial1.ipynb"))
}

pub fn read(notebook: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(notebook).unwrap()).unwrap()
}

pub fn text(lines: &Value) -> String {
    match lines {
        Value::String(text) => text.clone(),
        lines => lines
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect(),
    }
}

pub fn cells<'a>(notebook: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    notebook["cells"]
        .as_array()
        .unwrap()
        .iter()
        .filter(move |cell| cell["cell_type"] == kind)
}

/// What all cells of an executed notebook wrote to a stream.
pub fn stream(notebook: &Value, name: &str) -> Vec<String> {
    cells(notebook, "code")
        .flat_map(|cell| cell["outputs"].as_array().unwrap())
        .filter(|output| output["name"] == name)
        .map(|output| text(&output["text"]))
        .collect()
}

/// Runs a notebook as `cargo xtask run` does: whether it passed, what was printed, the result.
pub fn run(notebook: &Path) -> (bool, String, Value) {
    let _alone = one_at_a_time();
    let executed = root()
        .join("target/run")
        .join(notebook.file_name().unwrap());
    let _ = fs::remove_file(&executed); // of an earlier run
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("run")
        .arg(notebook)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let executed = read(&executed);
    for cell in cells(&executed, "code") {
        for output in cell["outputs"].as_array().unwrap() {
            // What comes of a last line that is no value, or that gives a variable away.
            let shown = text(
                &output["data"]
                    .get("text/plain")
                    .cloned()
                    .unwrap_or("".into()),
            );
            let odd = shown.trim() == "()" || shown.starts_with("Figure {");
            assert!(!odd, "{} shows {shown:.100}", cell["id"]);
        }
    }
    (output.status.success(), printed, executed)
}

pub fn run_fixture(name: &str) -> (bool, String, Value) {
    run(&fixture(name))
}

/// A notebook that is there for the tests alone.
pub fn fixture(name: &str) -> PathBuf {
    root()
        .join("xtask/tests/notebooks")
        .join(name)
        .with_extension("ipynb")
}

#[track_caller]
pub fn assert_passed(output: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}
