//! The kernel that notebooks get: evcxr in a build directory of its own, which already holds the
//! compiled `helpers`.
//!
//! evcxr compiles each cell in a build directory. Left alone it makes an empty one, and the first
//! cell of a notebook compiles candle, for minutes. Here that is done once, in
//! `kernels/prepared/`, and every kernel starts in a tree of links to it,
//! `kernels/<process id>/`. Kernels cannot share one directory: they would overwrite each other's
//! cells. The crates come from `kernels/vendor/`, which holds those of `Cargo.lock` and no others,
//! so that neither newer ones nor a missing network make a difference.
//!
//! A kernel holds a lock on its directory for as long as it lives, however it ends. A process that
//! waits for that lock deletes the directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::setup::{self, EVCXR, ask, lab, std_source, step};
use crate::{root, succeed, view};

/// Set while the directory that others start from is being prepared.
const PREPARING: &str = "LAB_PREPARING";

/// What cells are compiled with, whatever evcxr writes: its own profile has debug assertions and
/// overflow checks on in all crates, which candle pays for in every loop. In cells they stay on.
/// `ctx` is what evcxr calls a cell; at level 1 most compile in 0.85 of the time of level 2.
const CARGO_CONFIG: &str = "\
[profile.dev.package.ctx]
opt-level = 1

[profile.dev.package.\"*\"]
opt-level = 3
debug-assertions = false
overflow-checks = false

[source.crates-io]
replace-with = \"vendor\"

[source.vendor]
directory = \"vendor\"
";

fn kernels() -> PathBuf {
    lab().join("kernels")
}

/// As deep as the directories of kernels: compiled files refer to the standard library by a path
/// that is relative to their own place.
fn prepared() -> PathBuf {
    kernels().join("prepared")
}

/// See the module [`view`].
fn seen() -> PathBuf {
    kernels().join("view")
}

/// Further crates that notebooks may name, as lines of a `[dependencies]` table.
fn added() -> PathBuf {
    lab().join("crates.toml")
}

/// What evcxr does before it answers, so that it is done while the learner reads: it loads
/// `helpers` and works out the type of a variable. `drop` leaves none behind.
fn prelude() -> String {
    format!(
        "[evcxr]\nprelude = '''\n:dep helpers = {{ path = {:?} }}\n\
         let warm_up = helpers::Linear::new(&mut helpers::TorchRng::manual_seed(1), 1, 1)?;\n\
         drop(warm_up);\n'''\n",
        root().join("helpers")
    )
}

/// What the compiled files depend on.
fn key() -> Result<String> {
    let read = |path: &str| fs::read_to_string(root().join(path));
    Ok([
        ask("rustc", &["--version"]).context("there is no rustc: install Rust from rustup.rs")?,
        format!("evcxr {EVCXR}"),
        CARGO_CONFIG.to_owned(),
        prelude(),
        read("Cargo.lock")?,
        read("Cargo.toml")?,
        read("helpers/Cargo.toml")?,
    ]
    .join("\n"))
}

/// Whether kernels can start from what is there.
pub fn is_prepared() -> bool {
    let key_there = fs::read_to_string(prepared().join("key"));
    key().is_ok_and(|key| key_there.is_ok_and(|there| there == key))
        && kernels().join("vendor").is_dir() // not in the middle of being replaced
}

/// Compiles `helpers` as the first cell of a notebook would, if what that depends on has changed.
pub fn prepare(python: &Path) -> Result<()> {
    if is_prepared() {
        let compiled = fs::metadata(prepared().join("key"))?.modified()?;
        if newest(&root().join("helpers/src"))? > compiled {
            step("compiling helpers, which has changed", || compile(python))?;
        }
        return Ok(());
    }
    step(
        "step 4 of 4: compiling what the first cell needs (about 3 minutes on two cores)",
        || {
            fs::create_dir_all(prepared())?;
            // The key goes first: an interruption must not leave it behind.
            fs::remove_file(prepared().join("key")).ok();
            for old in [prepared(), seen()] {
                remove(&old)?;
            }
            fs::create_dir_all(prepared())?;
            vendor(&fs::read_to_string(added()).unwrap_or_default())?;
            view::make(&seen(), &std_source()?, &kernels().join("vendor"))?;
            fs::create_dir_all(kernels().join(".cargo"))?;
            fs::write(kernels().join(".cargo/config.toml"), CARGO_CONFIG)?;
            fs::write(kernels().join("evcxr.toml"), prelude())?;
            compile(python)
        },
    )
}

/// Lets notebooks name a further crate, given as `NAME` or `NAME@VERSION`: the kernel, which uses no
/// network, finds it among the crates that are there.
pub fn add(python: &Path, name: &str) -> Result<()> {
    let (name, version) = name.split_once('@').unwrap_or((name, "*"));
    let before = fs::read_to_string(added()).unwrap_or_default();
    let others = before
        .lines()
        .filter(|line| !line.starts_with(&format!("{name} =")));
    let line = format!("{name} = {version:?}");
    let after: Vec<&str> = others.chain([&*line]).collect();
    let after = after.join("\n") + "\n";
    vendor(&after)?;
    fs::write(added(), after)?;
    // Should it want newer versions of the crates behind helpers, these are compiled now.
    step("looking whether helpers is affected", || compile(python))?;
    println!("after the kernel's next restart a notebook's first cell may say  :dep {line}");
    Ok(())
}

/// For people: what is prepared, `None` for nothing.
pub fn state() -> Option<String> {
    let compiled = fs::metadata(prepared().join("key")).ok()?.modified().ok()?;
    let hours = compiled.elapsed().unwrap_or_default().as_secs_f64() / 3600.0;
    let state = match newest(&root().join("helpers/src")) {
        _ if !is_prepared() => "out of date: `cargo xtask lab` renews it",
        Ok(edited) if edited > compiled => "but for helpers, which has changed since",
        _ => "up to date",
    };
    Some(format!("{hours:.1} hours ago, {state}"))
}

/// How many kernels hold their directories, and how many directories are left of dead ones.
pub fn count() -> (usize, usize) {
    let builds = fs::read_dir(kernels()).into_iter().flatten().flatten();
    let locks = builds.filter_map(|build| open_lock(&build.path()).ok());
    let (alive, dead): (Vec<File>, Vec<File>) = locks.partition(|lock| lock.try_lock().is_err());
    (alive.len(), dead.len())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(why) if folder.exists() => bail!("cannot delete {} ({why})", folder.display()),
        _ => Ok(()),
    }
}

/// When a file below a folder was last written.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        newest = newest.max(match entry.file_type()?.is_dir() {
            true => self::newest(&entry.path())?,
            false => entry.metadata()?.modified()?,
        });
    }
    Ok(newest)
}

/// Copies the sources of the crates behind `helpers`, in the versions of the workspace's
/// `Cargo.lock`, to where kernels take crates from, and those of further crates.
fn vendor(further: &str) -> Result<()> {
    let scratch = lab().join("vendoring");
    remove(&scratch)?;
    fs::create_dir_all(scratch.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"ctx\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         helpers = {{ path = {:?} }}\n{further}",
        root().join("helpers")
    );
    fs::write(scratch.join("Cargo.toml"), manifest)?;
    fs::write(scratch.join("src/lib.rs"), "")?;
    fs::copy(root().join("Cargo.lock"), scratch.join("Cargo.lock"))?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["vendor", "--quiet"]).current_dir(&scratch);
    succeed(cargo.stdout(Stdio::null()))?;
    let vendor = kernels().join("vendor");
    remove(&vendor)?;
    fs::rename(scratch.join("vendor"), vendor)?;
    remove(&scratch)
}

/// Runs a kernel in the directory that others start from, up to its first variable.
fn compile(python: &Path) -> Result<()> {
    let start = SystemTime::now();
    let mut runner = Command::new(python);
    runner
        .arg(root().join("xtask/run_notebook.py"))
        .arg("--prepare")
        .arg(root().join("notebooks"))
        .env(PREPARING, "1")
        .env("JUPYTER_PREFER_ENV_PATH", "1");
    succeed(&mut runner)?;
    fs::write(prepared().join("key"), key()?)?;
    // What is edited from the start on is newer.
    let key = File::options().append(true).open(prepared().join("key"))?;
    Ok(key.set_modified(start)?)
}

/// Becomes an evcxr that builds in a directory of its own.
pub fn launch(control_file: &OsStr) -> Result<()> {
    let evcxr = std::env::var_os("EVCXR_PROGRAM")
        .context("the kernel does not know where evcxr is: run `cargo xtask lab` again")?;
    let mut kernel = Command::new(evcxr);
    kernel.arg("--control_file").arg(control_file);
    forget_cargo(&mut kernel);
    let preparing = std::env::var_os(PREPARING).is_some();
    // A set-up may be replacing what is linked below. It waits itself for a kernel that prepares.
    let _setup = match preparing {
        true => None,
        false => setup::wait_until_set_up(),
    };
    if !preparing && !is_prepared() {
        eprintln!(
            "kernel: the preparation is out of date, so this kernel compiles all anew, for \
             minutes: run `cargo xtask lab` again"
        );
        bail!(kernel.exec());
    }
    let own = own_kernels()?;
    let cargo_home = view::cargo_home(own.as_deref().unwrap_or(&seen()));
    kernel
        .env("CARGO_HOME", cargo_home)
        .env("RUST_SRC_PATH", view::std_source(&seen()))
        // What is needed is there, so nothing has to be looked up; without a network it could not.
        .env("CARGO_NET_OFFLINE", "true");
    if preparing {
        kernel.env("EVCXR_CONFIG_DIR", prepared()); // where there is no configuration
        bail!(kernel.env("EVCXR_TMPDIR", prepared()).exec());
    }

    if own.is_some() {
        // What is compiled looks for Rust's own library along the way from the prepared directory.
        let sysroot =
            ask("rustc", &["--print", "sysroot"]).context("rustc does not say its folder")?;
        look_for_libraries(&mut kernel, Some(Path::new(&sysroot).join("lib")));
    }
    let builds = own.unwrap_or_else(kernels);
    for build in fs::read_dir(&builds)? {
        // Of a kernel whose sweeper was killed with it.
        let build = build?;
        if build.file_name().to_string_lossy().parse::<u32>().is_ok() {
            sweep(&build.path(), File::try_lock).ok();
        }
    }
    let build = builds.join(std::process::id().to_string());
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
    empty(&build)?; // what a sweeper that was killed has left of an earlier process of this number
    link_tree(&prepared().join("target"), &build.join("target")).with_context(|| {
        format!(
            "cannot link {} to {}: run `cargo xtask lab` again",
            build.display(),
            prepared().display()
        )
    })?;
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
    kernel.env("EVCXR_CONFIG_DIR", kernels());
    bail!(kernel.env("EVCXR_TMPDIR", &build).exec())
}

/// Where kernels of this user have their directories if those of the installation cannot be written:
/// it belongs to somebody else then, and many may use it.
fn own_kernels() -> Result<Option<PathBuf>> {
    if setup::is_writable(&kernels()) {
        return Ok(None);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let own = cache.context("HOME is not set")?.join("decoding-in-rust");
    fs::create_dir_all(own.join(".cargo"))
        .with_context(|| format!("cannot make {}: make it writable", own.display()))?;
    let vendor = format!("directory = {:?}", kernels().join("vendor"));
    let config = CARGO_CONFIG.replace("directory = \"vendor\"", &vendor);
    let file = own.join(".cargo/config.toml");
    if fs::read_to_string(&file).is_ok_and(|there| there == config) {
        return Ok(Some(own)); // other kernels may be reading it
    }
    view::make_cargo_home(&own, false)?;
    let part = own.join(format!("config-{}", std::process::id()));
    fs::write(&part, config)?;
    fs::rename(&part, &file)?;
    Ok(Some(own))
}

/// Takes away what `cargo xtask` adds to the environment. Of the variables that describe this
/// package some crates' build scripts take note, and would be run again. And the library path leads
/// to the workspace's own `helpers`, which is not the one that cells are compiled against.
fn forget_cargo(kernel: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|p| text.starts_with(p))
        {
            kernel.env_remove(&name);
        }
    }
    look_for_libraries(kernel, None);
}

/// Lets a kernel look for libraries where the user's environment says, but not in the workspace, and
/// before that in a folder `first`.
fn look_for_libraries(kernel: &mut Command, first: Option<PathBuf>) {
    let variable = match cfg!(target_os = "macos") {
        true => "DYLD_FALLBACK_LIBRARY_PATH",
        false => "LD_LIBRARY_PATH",
    };
    let users = std::env::var_os(variable).unwrap_or_default();
    let target = root().join("target");
    let users = std::env::split_paths(&users)
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.starts_with(&target));
    match std::env::join_paths(first.into_iter().chain(users)) {
        Ok(folders) if !folders.is_empty() => kernel.env(variable, folders),
        _ => kernel.env_remove(variable),
    };
}

/// Waits until a kernel has ended and deletes its build directory.
pub fn sweep_when_dead(build: &Path) -> Result<()> {
    sweep(build, File::lock)
}

fn sweep<E: Into<anyhow::Error>>(
    build: &Path,
    take: impl FnOnce(&File) -> std::result::Result<(), E>,
) -> Result<()> {
    let lock = match open_lock(build) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            return Ok(fs::remove_dir(build)?); // a sweeper was killed at its last step
        }
        lock => lock?,
    };
    take(&lock).map_err(Into::into)?;
    empty(build)?;
    Ok(fs::remove_dir_all(build)?)
}

/// For writing: over a network a file that is only read cannot be locked.
fn open_lock(build: &Path) -> std::io::Result<File> {
    File::options().write(true).open(build.join("lock"))
}

/// Deletes all of a kernel's directory but its lock, which tells others that there is something left.
fn empty(build: &Path) -> Result<()> {
    for entry in fs::read_dir(build)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != "lock" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Lets a file stay open in the program that this process becomes.
pub fn keep_open(file: &File) -> Result<()> {
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

/// Makes the files of one tree appear in another: large ones by hard links, or, where there can be
/// none, by copies; by symbolic links if they are somebody else's. Left out are the files of `ctx`,
/// the crate that evcxr makes of cells, and what rustc keeps to compile `helpers` in parts: that it
/// does write in place.
fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let crate_name = name.to_string_lossy();
        let crate_name = crate_name.strip_prefix("lib").unwrap_or(&crate_name);
        let is_of_a_kernel = ["ctx", "code_", "incremental"].map(|p| crate_name.starts_with(p));
        if is_of_a_kernel.contains(&true) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            link_tree(&source, &target)?;
        } else if metadata.len() >= COPIED && fs::hard_link(&source, &target).is_ok() {
            continue;
        } else if metadata.len() >= COPIED && !setup::may_write(&source) {
            // Of somebody else, so nobody here can write through the link.
            symlink(&source, &target)?;
        } else {
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
