//! The kernel that notebooks get: evcxr in a build directory of its own, which already holds the
//! compiled `helpers`.
//!
//! Kernels cannot share one build directory: they would overwrite each other's cells. So each kernel
//! has a directory with a random name, which begins with links to the prepared files. This program
//! stays evcxr's parent, and ends evcxr when Jupyter is gone. It holds a lock as long as it lives, so
//! that others know that the directory is in use. Afterwards the directory is deleted.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getpgrp, getpid, getppid, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::command::signal_after_death;
use crate::prepared::Prepared;
use crate::{store, toolchain};

/// The variable that names the directory that is being prepared.
pub const PREPARE: &str = "DECODING_PREPARE";

/// Runs evcxr until it ends. Called by Jupyter, from the folder that [`Prepared`] has written.
pub fn launch(connection_file: &OsStr) -> Result<ExitStatus> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("the kernel is in a folder")?;
    let variable = |name| std::env::var_os(name).with_context(|| format!("{name} is not set"));
    let mut evcxr = Command::new(variable("EVCXR_PROGRAM")?);
    let sysroot = PathBuf::from(variable("RUST_SYSROOT")?);
    evcxr.arg("--control_file").arg(connection_file);
    toolchain::clear_build_variables(&mut evcxr, &sysroot);
    toolchain::set_paths(&mut evcxr, &sysroot);
    evcxr
        .env("CARGO_HOME", folder.join("analyzer/cargo"))
        .env("RUST_SRC_PATH", folder.join("analyzer/std"))
        .env("EVCXR_CONFIG_DIR", folder)
        // evcxr would replace the kernel.json that it finds by one that starts evcxr itself.
        .env("JUPYTER_PATH", folder.join("analyzer"))
        .env("EVCXR_MISSING_CRATE_HINT", "run `cargo xtask add {name}`, then restart the kernel")
        .env("RUST_LIB_BACKTRACE", "0")
        // All crates are vendored. So cargo needs no network, and does not wait for one.
        .env("CARGO_NET_OFFLINE", "true")
        // Each step of training makes and drops tensors of a megabyte or more. By default glibc gives
        // their memory back to the system and gets it again page by page, which takes half of the
        // time. 32 MB is the highest threshold that glibc takes.
        .env("MALLOC_MMAP_THRESHOLD_", "33554432")
        .env("MALLOC_TRIM_THRESHOLD_", "1073741824")
        // After each operation candle's threads wait in a loop for the next one, on the cores that
        // the other steps of training need. With this limit they sleep at once.
        .env("CANDLE_BARRIER_POOL_SPIN_LIMIT", "1");
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        // By default candle starts a thread for each core of the machine, even in a container that
        // may use only two, and counts the cores again in each matmul.
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        evcxr.env("RAYON_NUM_THREADS", n_threads.to_string());
    }
    if let Some(new) = std::env::var_os(PREPARE) {
        return prepare(evcxr.env("EVCXR_COMPILE_ONLY", "1"), folder, Path::new(&new));
    }

    sweep();
    let kernels = store::home()?.join("kernels");
    fs::create_dir_all(&kernels).with_context(|| store::cannot_write(&kernels))?;
    let own = tempfile::Builder::new().prefix("kernel-").tempdir_in(&kernels)?;
    let mut deleter = delete_after_this_process(own.path())?;
    let lock = File::create(own.path().join("lock"))?;
    lock.try_lock().ok();
    let build = {
        let lock = File::open(folder.join("lock"))?;
        wait_until_replaced(&lock);
        build_directory(own.path(), folder, Some(&folder.join("prepared"))).with_context(|| {
            let (from, to) = (folder.display(), kernels.display());
            format!("cannot copy {from} to {to}: make room there, or run `cargo xtask lab` again")
        })?
    };
    if let Some(notice) = notice(folder) {
        evcxr.env("KERNEL_NOTICE", notice);
    }
    let ended = supervise(evcxr.env("EVCXR_TMPDIR", build));
    deleter.wait()?;
    ended
}

/// Compiles code for a directory `new`. The first kernel compiles the crates there. Later kernels, which
/// may run at the same time, have copies of it, and put there the libraries of their cells.
fn prepare(evcxr: &mut Command, folder: &Path, new: &Path) -> Result<ExitStatus> {
    let known = new.join("build/target/known");
    if !known.exists() {
        return supervise(evcxr.env("EVCXR_TMPDIR", new.join("build")));
    }
    let own = tempfile::tempdir_in(new)?;
    let build = build_directory(own.path(), folder, Some(new))?;
    let ended = supervise(evcxr.env("EVCXR_TMPDIR", &build));
    for file in fs::read_dir(build.join("target/known"))? {
        let file = file?;
        fs::rename(file.path(), known.join(file.file_name()))?;
    }
    ended
}

/// Starts a process that deletes a kernel's directory as soon as this process has ended, even if it was
/// killed: Jupyter kills kernels that take more than 5 s to end.
fn delete_after_this_process(own: &Path) -> Result<Child> {
    let mut deleter = Command::new("sh");
    deleter.args(["-c", "read end; rm -rf \"$0\""]).arg(own).stdin(Stdio::piped());
    deleter.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    Ok(deleter.spawn()?)
}

/// Waits while the prepared files are being replaced, which takes seconds. If the lock is held for
/// longer, some other program holds it: any user who can read the file can lock it.
fn wait_until_replaced(lock: &File) {
    let start = Instant::now();
    while let Err(TryLockError::WouldBlock) = lock.try_lock_shared()
        && start.elapsed() < Duration::from_secs(10)
    {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the learner has to know about this kernel. The first cell prints it.
fn notice(folder: &Path) -> Option<&'static str> {
    let is_ours = |path: &Path| path.canonicalize().is_ok_and(|path| path == folder);
    if !is_ours(&store::home().ok()?.join(folder.file_name()?)) {
        return None; // another user's installation, which the learner cannot change
    }
    let Some(prepared) = Prepared::new().ok().filter(|prepared| is_ours(prepared.folder())) else {
        return Some(
            "this kernel is out of date: close JupyterLab and run `cargo xtask lab` again",
        );
    };
    let (_, is_edited) = prepared.compiled().ok()?;
    is_edited.then_some(
        "helpers has changed, so this kernel compiled it: run `cargo xtask lab` to compile it for all \
         kernels",
    )
}

/// Waits until a program ends, and ends it when this process is asked to end or has lost its parent.
fn supervise(command: &mut Command) -> Result<ExitStatus> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked_to_end))?;
    }
    let parent = getppid();
    signal_after_death(command, Signal::KILL);
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let is_orphan = getppid() != parent;
        if is_orphan || asked_to_end.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            bail!("{}", if is_orphan { "Jupyter has ended" } else { "ended by a signal" });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends this process and the programs that cells have started, if Jupyter has given the kernel a
/// process group of its own.
pub fn end_group() {
    if getpgrp() == getpid() {
        kill_process_group(getpgrp(), Signal::KILL).ok();
    }
}

/// Deletes the directories of kernels that were killed together with this program.
fn sweep() {
    for folder in kernels().into_iter().filter(|kernel| !is_in_use(kernel)) {
        fs::remove_dir_all(folder).ok();
    }
}

/// How many kernels run, and how many have left a directory.
pub fn count() -> (usize, usize) {
    let (alive, dead): (Vec<_>, Vec<_>) = kernels().into_iter().partition(|k| is_in_use(k));
    (alive.len(), dead.len())
}

fn kernels() -> Vec<PathBuf> {
    let kernels = store::home().and_then(|home| Ok(fs::read_dir(home.join("kernels"))?));
    kernels.into_iter().flatten().flatten().map(|kernel| kernel.path()).collect()
}

fn is_in_use(folder: &Path) -> bool {
    // A directory that is just being made may not be locked yet.
    let age = || SystemTime::now().duration_since(fs::metadata(folder).ok()?.modified().ok()?).ok();
    if age().is_none_or(|age| age < Duration::from_secs(60)) {
        return true;
    }
    // Opened for writing: on a network drive, a file that is opened for reading cannot be locked.
    match File::options().write(true).open(folder.join("lock")) {
        Ok(lock) => lock.try_lock().is_err(),
        Err(err) => err.kind() != ErrorKind::NotFound,
    }
}

/// Makes a build directory in `own` that uses the vendored crates of the settings in `folder`, and
/// has what was compiled in `from`.
pub fn build_directory(own: &Path, folder: &Path, from: Option<&Path>) -> Result<PathBuf> {
    let build = own.join("build");
    fs::create_dir_all(&build)?;
    fs::create_dir(own.join(".cargo"))?;
    fs::copy(folder.join("cargo.toml"), own.join(".cargo/config.toml"))?;
    if let Some(from) = from {
        link_tree(&from.join("build/target"), &build.join("target"))?;
    }
    Ok(build)
}

/// Whether cargo and rustc replace a file as a whole, so that a link to it cannot be written through.
fn is_replaced_as_a_whole(file: &Path) -> bool {
    let extension = file.extension().and_then(OsStr::to_str);
    matches!(extension, Some("rlib" | "rmeta" | "so" | "dylib"))
}

/// Makes the files of one tree appear in another: links to compiled crates, copies of other files. It
/// leaves out the files of `ctx`, the crate that evcxr makes of cells, and the files that rustc keeps
/// to compile `helpers` in parts.
fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let crate_name = name.to_string_lossy();
        let crate_name = crate_name.strip_prefix("lib").unwrap_or(&crate_name);
        if ["ctx-", "ctx.", "code_", "incremental"].iter().any(|p| crate_name.starts_with(p)) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            link_tree(&source, &target)?;
        } else if is_replaced_as_a_whole(&source) {
            // If the file is on another disk or belongs to another user, a symbolic link.
            fs::hard_link(&source, &target).or_else(|_| symlink(&source, &target))?;
        } else {
            fs::copy(&source, &target)?;
            let metadata = entry.metadata()?;
            let mode = metadata.permissions().mode() | 0o200;
            fs::set_permissions(&target, Permissions::from_mode(mode))?;
            // cargo compares the times of files to tell what is out of date.
            File::options().append(true).open(&target)?.set_modified(metadata.modified()?)?;
        }
    }
    Ok(())
}

/// Makes all files below a folder read-only, except those that kernels link to: rustc does not
/// replace a file that is read-only.
pub fn protect(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            protect(&path)?;
        } else if entry.file_type()?.is_file() && !is_replaced_as_a_whole(&path) {
            let mode = entry.metadata()?.permissions().mode() & !0o222;
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
