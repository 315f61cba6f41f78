//! What the commands say when something is missing, and the files from which images are built. Needs
//! no set-up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use xtask::{evcxr, root, toolchain};

const RUSTC: (&str, &str) = ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)");
const OLD_RUSTC: (&str, &str) = ("rustc", "rustc 1.94.1 (x)");
const CC: (&str, &str) = ("cc", "cc 12");
const PYTHON: (&str, &str) = ("python3", "True");

/// Runs a command with only these programs on its PATH. Each prints the line that stands beside it.
fn xtask(command: &str, programs: &[(&str, &str)], home: &Path) -> Output {
    let bin = tempfile::tempdir().unwrap();
    for (name, says) in programs {
        let program = bin.path().join(name);
        fs::write(&program, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.arg(command).env("PATH", bin.path()).env("HOME", home);
    for name in ["CARGO_HOME", "CONDA_PREFIX", "DECODING_HOME", "XDG_DATA_HOME"] {
        xtask.env_remove(name);
    }
    xtask.output().unwrap()
}

#[test]
fn doctor_names_each_missing_tool_and_what_to_do() {
    let (home, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (home, shared) = (home.path(), shared.path());
    let parts = shared.join(".local/share/decoding-in-rust");
    fs::create_dir_all(&parts).unwrap();
    fs::set_permissions(&parts, fs::Permissions::from_mode(0o777)).unwrap();
    for (programs, home, expected) in [
        (&[CC, PYTHON][..], home, "there is no rustc: install Rust from"),
        (&[RUSTC, PYTHON], home, "there is no C compiler `cc`"),
        (&[RUSTC, CC], home, "there is no Python 3.11 or later: install one"),
        (&[OLD_RUSTC, CC, PYTHON], home, "expected 1.95.0, got rustc 1.94.1 (x): run `rustup"),
        (&[RUSTC, CC, PYTHON], Path::new("/proc"), "/proc/.cargo: make it writable"),
        (&[RUSTC, CC, PYTHON], shared, "other users can write to"),
    ] {
        let output = xtask("doctor", programs, home);
        let said = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(expected)).collect();
        assert!(lines.len() == 1 && lines[0].starts_with("wrong: "), "{expected:?} in\n{said}");
        assert!(!output.status.success(), "{said}");
    }
    let output = xtask("doctor", &[RUSTC, CC, PYTHON], home);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("nothing is wrong"), "{said}");
}

#[test]
fn an_older_rust_is_refused_in_one_line_before_anything_is_installed() {
    let home = tempfile::tempdir().unwrap();
    let output = xtask("setup", &[OLD_RUSTC, CC, PYTHON], home.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: Rust is too old: expected 1.95.0"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn one_rust_version_is_named_and_is_enough_for_all_crates() {
    let version = toolchain::version();
    let minor = version.strip_suffix(".0").unwrap();
    for (file, line) in [
        ("Cargo.toml", format!("rust-version = \"{minor}\"")),
        ("environment.yml", format!("- rust>={minor} ")),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&line), "{file}: expected {line}");
    }
    let metadata = toolchain::cargo().args(["metadata", "--format-version=1"]).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let assert_is_enough_for = |name: &str, asked: &str| {
        let is_enough = toolchain::numbers(version) >= toolchain::numbers(asked);
        assert!(is_enough, "{name} asks for Rust {asked}");
    };
    for package in metadata["packages"].as_array().unwrap() {
        if let Some(asked) = package["rust_version"].as_str() {
            assert_is_enough_for(&package["name"].to_string(), asked);
        }
    }
    let evcxr = format!("evcxr@{}", evcxr::VERSION);
    let info = toolchain::cargo().args(["info", "--quiet", &evcxr]).output().unwrap();
    let info = String::from_utf8(info.stdout).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("rust-version: "));
    assert_is_enough_for(&evcxr, line.expect("evcxr names its Rust version"));
}

#[test]
fn images_are_prepared_when_they_are_built() {
    let post_build = root().join("postBuild");
    let mode = fs::metadata(&post_build).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "postBuild should be executable");
    assert!(fs::read_to_string(post_build).unwrap().contains("cargo xtask setup"));
    let devcontainer = fs::read_to_string(root().join(".devcontainer/devcontainer.json")).unwrap();
    let devcontainer: Value = serde_json::from_str(&devcontainer).unwrap();
    assert_eq!(devcontainer["onCreateCommand"], "./postBuild");
}
