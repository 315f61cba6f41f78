//! The kernel itself: separate from others, never stale, never on the network; and what the
//! commands say when something is missing. Run by `cargo xtask test`, which sets up first.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use common::{assert_passed, fixture, one_at_a_time, root, run_fixture, stream};

fn kernels() -> PathBuf {
    root().join("target/lab/kernels")
}

/// One of xtask's scripts, in the Python that has the kernel.
fn script(name: &str) -> Command {
    let python = std::env::var_os("LAB_PYTHON").expect("run by cargo xtask test");
    let mut script = Command::new(python);
    script
        .arg(root().join("xtask").join(name))
        .env("JUPYTER_PREFER_ENV_PATH", "1");
    script
}

#[test]
fn ten_kernels_at_once_keep_to_themselves_and_the_dead_are_swept() {
    let _alone = one_at_a_time();
    assert_passed(
        &script("tests/ten_kernels.py")
            .arg(kernels())
            .output()
            .unwrap(),
    );
}

#[test]
fn a_kernel_outlives_a_client_that_asks_and_leaves() {
    let _alone = one_at_a_time();
    assert_passed(&script("tests/client_that_leaves.py").output().unwrap());
}

/// After a restart of the machine process ids are given again.
#[test]
fn a_kernel_whose_process_id_an_earlier_one_had_leaves_the_prepared_files_alone() {
    let _alone = one_at_a_time();
    let before = prepared_files();
    assert_passed(
        &script("tests/repeated_process_id.py")
            .arg(kernels())
            .output()
            .unwrap(),
    );
    assert_eq!(before, prepared_files());
}

/// In a network namespace of its own, with nothing but the machine itself.
#[test]
fn a_kernel_runs_without_a_network() {
    let may = Command::new("unshare").args(["-n", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: not allowed to cut the network");
        return;
    }
    const LOOPBACK_UP: &str = "import fcntl, os, socket, struct, sys; \
        fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH', b'lo', 1)); \
        os.execv(sys.argv[1], sys.argv[1:])";
    let _alone = one_at_a_time();
    let mut command = Command::new("unshare");
    command
        .args(["-n", "python3", "-c", LOOPBACK_UP])
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .arg("run")
        .arg(fixture("gradients_across_cells"));
    let output = command.output().unwrap();
    assert_passed(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("da = [3.0], db = [5.0]"));
}

/// Name and version of each crate in a lock file.
fn locked(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let field = |package: &str, name: &str| {
        let (_, rest) = package.split_once(&format!("{name} = \"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    text.split("[[package]]")
        .skip(1)
        .map(|package| (field(package, "name"), field(package, "version")))
        .collect()
}

#[test]
fn kernels_compile_the_versions_of_the_workspaces_lock_file() {
    let workspace = locked(&root().join("Cargo.lock"));
    let kernel = locked(&kernels().join("prepared/Cargo.lock"));
    assert!(kernel.len() > 50, "{kernel:?}");
    for package in kernel.iter().filter(|(name, _)| name != "ctx") {
        assert!(
            workspace.contains(package),
            "{package:?} is not in Cargo.lock"
        );
    }
}

/// The files that kernels start from.
fn prepared_files() -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    files(&kernels().join("prepared"), &mut found);
    found
}

/// Size and time of every file below a folder.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, (u64, SystemTime)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            files(&entry.path(), found);
        } else {
            found.insert(entry.path(), (metadata.len(), metadata.modified().unwrap()));
        }
    }
}

#[test]
fn an_edit_of_helpers_reaches_a_new_kernel_and_no_other_crate_is_compiled() {
    let _alone = one_at_a_time();
    let before = prepared_files();
    let source = File::open(root().join("helpers/src/lib.rs")).unwrap();
    let written = source.metadata().unwrap().modified().unwrap();
    source.set_modified(SystemTime::now()).unwrap(); // as an editor that saves
    // The script and not `cargo xtask run`, which would renew the preparation first.
    let output = script("run_notebook.py")
        .arg(fixture("gradients_across_cells"))
        .arg(root().join("target/run/edited.ipynb"))
        .output()
        .unwrap();
    source.set_modified(written).unwrap();

    assert_passed(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let compiled: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("Compiling"))
        .collect();
    assert_eq!(compiled.len(), 1, "{said}");
    assert!(compiled[0].contains("Compiling helpers v"), "{said}");
    let after = prepared_files();
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ = |file: &&&PathBuf| before.get(**file) != after.get(**file);
    let touched: Vec<_> = all.iter().filter(differ).collect();
    assert!(
        touched.is_empty(),
        "the kernel wrote to files that others start from: {touched:?}"
    );
}

#[test]
fn candle_computes_without_overflow_checks() {
    let (passed, printed, _) = run_fixture("release_speed");
    assert!(passed && printed.contains("sum = [0]"), "{printed}");
}

/// rust-analyzer sees a part of the sources only; it has to be the right one.
#[test]
fn types_of_variables_are_found_out() {
    let (passed, printed, executed) = run_fixture("types");
    assert!(passed, "{printed}");
    let printed = stream(&executed, "stdout").concat();
    assert_eq!(
        printed,
        "3 1 two Mutex { data: Some(1.5), poisoned: false, .. } x 0..10\n\
         4 [4, 1] 4 4 true\ntrue true 0\n3 3 3 true\nSome([4, 1])\n"
    );
}

#[test]
fn a_further_crate_is_there_after_add() {
    let list = root().join("target/lab/crates.toml");
    let before = fs::read_to_string(&list);
    let mut add = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let alone = one_at_a_time();
    assert_passed(&add.args(["add", "oorandom@11"]).output().unwrap());
    drop(alone);
    let (passed, printed, _) = run_fixture("another_crate");
    match before {
        Ok(before) => fs::write(list, before).unwrap(),
        Err(_) => fs::remove_file(list).unwrap(),
    }
    assert!(passed && printed.contains("true"), "{printed}");
}

/// `cargo xtask doctor` with a PATH on which there are only these programs, which print so.
fn doctor(programs: &[(&str, &str)], home: &str) -> Output {
    let bin = tempfile::tempdir().unwrap();
    for (name, says) in programs {
        let program = bin.path().join(name);
        fs::write(&program, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .arg("doctor")
        .env("PATH", bin.path())
        .env("HOME", home);
    command.env_remove("CARGO_HOME").env_remove("CONDA_PREFIX");
    command.output().unwrap()
}

#[test]
fn what_is_missing_is_told_in_a_line_that_says_what_to_do() {
    const RUSTC: (&str, &str) = ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)");
    const CC: (&str, &str) = ("cc", "cc 12");
    const PYTHON: (&str, &str) = ("python3", "True");
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    for (programs, home, expected) in [
        (
            &[CC, PYTHON][..],
            home,
            "wrong: there is no rustc: install Rust from",
        ),
        (&[RUSTC, PYTHON], home, "wrong: there is no C compiler `cc`"),
        (
            &[RUSTC, CC],
            home,
            "wrong: there is no Python 3.11 or later: install one",
        ),
        (
            &[("rustc", "rustc 1.80.1 (x)"), CC, PYTHON],
            home,
            "got rustc 1.80.1 (x): run `rustup update`",
        ),
        (
            &[RUSTC, CC, PYTHON],
            "/proc",
            "wrong: /proc/.cargo cannot be written: make it",
        ),
    ] {
        let output = doctor(programs, home);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(expected))
            .collect();
        assert_eq!(lines.len(), 1, "expected {expected:?} in\n{said}");
        assert!(!output.status.success(), "{said}");
    }
    let output = doctor(&[RUSTC, CC, PYTHON], home);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("nothing is wrong"),
        "{said}"
    );
}
