//! The kernel that notebooks get: evcxr in a build directory of its own, which already holds the
//! compiled `helpers`.
//!
//! evcxr compiles each cell in a build directory. Left alone it makes an empty one, and the first
//! cell of a notebook compiles candle, for minutes. Here that is done once, in
//! `kernels/prepared/`, and every kernel starts in a tree of links to it,
//! `kernels/<process id>/`. Kernels cannot share one directory: they would overwrite each other's
//! cells.
//!
//! A kernel holds a lock on its directory for as long as it lives, however it ends. A process that
//! waits for that lock deletes the directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::{EVCXR, ask, lab, step};
use crate::{root, succeed};

/// Set while the directory that others start from is being prepared.
const PREPARING: &str = "LAB_PREPARING";

/// What `helpers` and the crates behind it are compiled with, whatever profile evcxr writes: its
/// own has debug assertions and overflow checks on, which candle pays for in every loop.
const PROFILE: &str = "\
[profile.dev.package.\"*\"]
opt-level = 3
debug-assertions = false
overflow-checks = false
";

/// As deep as the directories of kernels: compiled files refer to the standard library by a path
/// that is relative to their own place.
fn prepared() -> PathBuf {
    kernels().join("prepared")
}

fn kernels() -> PathBuf {
    lab().join("kernels")
}

/// What the compiled files depend on.
fn key() -> Result<String> {
    let read = |path: &str| fs::read_to_string(root().join(path));
    Ok([
        ask("rustc", &["-vV"]).context("there is no rustc: install Rust from https://rustup.rs")?,
        format!("evcxr {EVCXR}"),
        read("Cargo.lock")?,
        read("Cargo.toml")?,
        read("helpers/Cargo.toml")?,
    ]
    .join("\n"))
}

fn is_prepared(key: &str) -> bool {
    fs::read_to_string(prepared().join("key")).is_ok_and(|there| there == key)
}

/// Compiles `helpers` as the first cell of a notebook would, if what that depends on has changed.
pub fn prepare(python: &Path) -> Result<()> {
    let key = key()?;
    if is_prepared(&key) {
        return Ok(());
    }
    step(
        "step 3 of 3: compiling what the first cell needs (about 3 minutes on two cores)",
        || {
            if prepared().exists() {
                fs::remove_dir_all(prepared())?;
            }
            fs::create_dir_all(prepared())?;
            fs::create_dir_all(lab().join(".cargo"))?;
            fs::write(lab().join(".cargo/config.toml"), PROFILE)?;
            let mut runner = Command::new(python);
            runner
                .arg(root().join("xtask/run_notebook.py"))
                .arg("--prepare")
                .arg(root().join("notebooks"))
                .env(PREPARING, "1")
                .env("JUPYTER_PREFER_ENV_PATH", "1");
            succeed(&mut runner)?;
            Ok(fs::write(prepared().join("key"), &key)?)
        },
    )
}

/// Becomes an evcxr that builds in a directory of its own.
pub fn launch(control_file: &OsStr) -> Result<()> {
    let evcxr = std::env::var_os("EVCXR_PROGRAM")
        .context("the kernel does not know where evcxr is: run `cargo xtask lab` again")?;
    let mut kernel = Command::new(evcxr);
    kernel.arg("--control_file").arg(control_file);
    forget_cargo(&mut kernel);
    if std::env::var_os(PREPARING).is_some() {
        bail!(kernel.env("EVCXR_TMPDIR", prepared()).exec());
    }

    fs::create_dir_all(kernels())?;
    for build in fs::read_dir(kernels())? {
        // Of a kernel whose sweeper was killed with it.
        sweep(&build?.path(), File::try_lock).ok();
    }
    let build = kernels().join(std::process::id().to_string());
    let lock = loop {
        fs::create_dir_all(&build)?;
        // Meanwhile another kernel may take the directory for a dead one's and sweep it.
        let lock = match File::create(build.join("lock")) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
            lock => lock?,
        };
        lock.lock()?;
        if build.join("lock").exists() {
            break lock;
        }
    };
    if key().is_ok_and(|key| is_prepared(&key)) {
        link_tree(&prepared().join("target"), &build.join("target"))?;
        // What is needed is there, so nothing has to be looked up; without a network it could not.
        kernel.env("CARGO_NET_OFFLINE", "true");
    }
    Command::new(std::env::current_exe()?)
        .arg("sweep")
        .arg(&build)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    // evcxr and the processes that it starts hold the lock: it has to survive the exec.
    keep_open(&lock)?;
    bail!(kernel.env("EVCXR_TMPDIR", &build).exec())
}

/// Takes away what `cargo xtask` adds to the environment. Of the variables that describe this
/// package some crates' build scripts take note, and would be run again. And the library path leads
/// to the workspace's own `helpers`, which is not the one that cells are compiled against.
fn forget_cargo(kernel: &mut Command) {
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|p| text.starts_with(p))
        {
            kernel.env_remove(&name);
        } else if ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"].contains(&&*text) {
            let target = root().join("target");
            let paths = std::env::split_paths(&value).filter(|path| !path.starts_with(&target));
            match std::env::join_paths(paths) {
                Ok(paths) if !paths.is_empty() => kernel.env(&name, paths),
                _ => kernel.env_remove(&name),
            };
        }
    }
}

/// Waits until a kernel has ended and deletes its build directory.
pub fn sweep_when_dead(build: &Path) -> Result<()> {
    sweep(build, File::lock)
}

fn sweep<E: Into<anyhow::Error>>(
    build: &Path,
    take: impl FnOnce(&File) -> std::result::Result<(), E>,
) -> Result<()> {
    let lock = File::open(build.join("lock"))?;
    take(&lock).map_err(Into::into)?;
    Ok(fs::remove_dir_all(build)?)
}

/// Lets a file stay open in the program that this process becomes.
fn keep_open(file: &File) -> Result<()> {
    // SAFETY: the descriptor is open, and F_SETFD takes an integer.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
    if done == -1 {
        bail!(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Files below this size, in bytes, are copied: cargo rewrites its notes on what is compiled in
/// place, and through a hard link it would rewrite those of all kernels. What rustc and the linker
/// write is larger, and replaced as a whole.
const COPIED: u64 = 1 << 14;

/// Makes the files of one tree appear in another: large ones by hard links, or by copies where the
/// file system has none. Files of `ctx`, the crate that evcxr makes of cells, are left out.
fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let crate_name = name.to_string_lossy();
        let crate_name = crate_name.strip_prefix("lib").unwrap_or(&crate_name);
        if crate_name.starts_with("ctx") || crate_name.starts_with("code_") {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            link_tree(&source, &target)?;
        } else if metadata.len() < COPIED || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
            // cargo compares the times of files to tell what is out of date.
            File::options()
                .append(true)
                .open(&target)?
                .set_modified(metadata.modified()?)?;
        }
    }
    Ok(())
}
