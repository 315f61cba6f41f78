//! Setting up what is missing: a Python environment with JupyterLab, evcxr, the standard library's
//! sources, and the kernel.
//!
//! All of it is under `target/lab/`, so that deleting that folder undoes it, but for two things:
//! the sources are a component of the Rust toolchain, and where an active conda environment is
//! used, the kernel is registered there. Each step leaves a mark when it is done; a step that was
//! interrupted has none and is done again.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{kernel, root, succeed};

/// The version of the kernel.
pub const EVCXR: &str = "0.22.0";

/// What the benchmarks compare with.
const TORCH: [&str; 3] = ["torch==2.15.0", "numpy==2.4.6", "matplotlib==3.11.2"];

/// What some of the tests need beyond JupyterLab: to drive a browser, and to make the learners'
/// notebooks from the instructors' as a course would, and to read what conda is to install.
const TESTING: [&str; 3] = [
    "playwright==1.65.2",
    "nbgrader==0.9.6",
    "py-rattler==0.28.0",
];

/// What slides need to be shown without a network, without the packages that these want in turn.
const SLIDES: [&str; 3] = [
    "sphinx-revealjs==3.2.1",
    "jupyter-server-mathjax==0.2.6",
    "--no-deps",
];

/// Where all that is set up goes.
pub fn lab() -> PathBuf {
    root().join("target/lab")
}

/// Does whatever is missing and returns the Python interpreter.
pub fn all() -> Result<PathBuf> {
    if let Some(python) = of_somebody_else()? {
        return Ok(python);
    }
    if let Some(problem) = problems().into_iter().next() {
        bail!(problem);
    }
    let _lock = one_at_a_time()?;
    let python = python()?;
    let evcxr = evcxr()?;
    add_std_source()?;
    register(&python, &evcxr)?;
    ask_no_questions(&python)?;
    kernel::prepare(&python)?;
    Ok(python)
}

/// The Python of an installation that is complete and cannot be written by this user.
fn of_somebody_else() -> Result<Option<PathBuf>> {
    let complete = kernel::is_prepared() && !is_writable(&lab()) && installed_evcxr().is_some();
    if complete {
        installed_python()
    } else {
        Ok(None)
    }
}

/// Waits until no other set-up is running. The programs that this one starts hold the lock with it:
/// should it be killed, the next set-up waits for what they are still writing.
pub fn one_at_a_time() -> Result<fs::File> {
    fs::create_dir_all(lab())?;
    let file = lab().join("lock");
    let lock = fs::File::create(&file)
        .with_context(|| format!("cannot write {}: make it writable", file.display()))?;
    if lock.try_lock().is_err() {
        println!("waiting for another set-up to finish ...");
        lock.lock()?;
    }
    kernel::keep_open(&lock)?;
    Ok(lock)
}

/// Waits until no set-up is running, and keeps others from beginning for as long as the lock lives.
/// `None` where nothing has been set up.
pub fn wait_until_set_up() -> Option<fs::File> {
    let lock = fs::File::open(lab().join("lock")).ok()?;
    if lock.try_lock_shared().is_err() {
        eprintln!("kernel: waiting for a set-up to finish");
        lock.lock_shared().ok()?;
    }
    Some(lock)
}

/// What stands in the way of setting up or running, each with what to do about it.
pub fn problems() -> Vec<String> {
    let mut problems = Vec::new();
    let needed = env!("CARGO_PKG_RUST_VERSION");
    match ask("rustc", &["--version"]) {
        None => problems.push("there is no rustc: install Rust from https://rustup.rs".into()),
        Some(version) if numbers(&version) < numbers(needed) => problems.push(format!(
            "Rust is too old: expected {needed} or later, got {version}: run `rustup update`"
        )),
        Some(_) => {}
    }
    if ask("cc", &["--version"]).is_none() {
        problems.push(
            "there is no C compiler `cc`, which Rust links with: install one \
             (Debian and Ubuntu: apt install gcc; macOS: xcode-select --install)"
                .into(),
        );
    }
    if active_conda().is_none() && base_python().is_none() {
        problems.push(
            "there is no Python 3.11 or later: install one (Debian and Ubuntu: apt install \
             python3 python3-venv) and run this again"
                .into(),
        );
    }
    // Cargo keeps its crates in the one, JupyterLab its settings in the other.
    for folder in [cargo_home(), std::env::home_dir()].into_iter().flatten() {
        if !is_writable(&folder) {
            problems.push(format!(
                "{} cannot be written: make it writable, or set HOME to a folder that is",
                folder.display()
            ));
        }
    }
    if !is_writable(&lab()) && !matches!(of_somebody_else(), Ok(Some(_))) {
        problems.push(format!(
            "{} cannot be written: make it writable",
            lab().display()
        ));
    }
    let needed_gb = if kernel::is_prepared() { 0.2 } else { 2.0 };
    if let Some(free) = free_gb(&lab()).filter(|&free| free < needed_gb) {
        problems.push(format!(
            "the disk is full: expected {needed_gb} GB free for {}, got {free:.1} GB: free some \
             and run this again",
            lab().display()
        ));
    }
    problems
}

/// The numbers in a text, such as 1, 89, 0 of a version.
fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<u32> = parts.filter_map(|part| part.parse().ok()).collect();
    numbers.into_iter().take(3).collect()
}

/// The folder itself or, where there is none yet, the one that it will be made in.
fn existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.exists())
}

/// Whether this user may write to an existing file.
pub fn may_write(file: &Path) -> bool {
    let Ok(path) = CString::new(file.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the call reads a string that ends in a zero.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Tried out: permissions alone do not tell, least of all to root.
pub fn is_writable(folder: &Path) -> bool {
    let Some(folder) = existing(folder) else {
        return false;
    };
    let trial = folder.join(format!(".xtask-{}", std::process::id()));
    fs::create_dir(&trial).is_ok() && fs::remove_dir(&trial).is_ok()
}

/// Free space on the disk of a folder, in 10^9 bytes.
pub fn free_gb(folder: &Path) -> Option<f64> {
    let path = CString::new(existing(folder)?.as_os_str().as_bytes()).ok()?;
    // SAFETY: an all-zero statvfs is a valid one, and the call fills it or says that it did not.
    let space = unsafe {
        let mut space: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut space) == 0).then_some(space)
    }?;
    Some(space.f_bavail as f64 * space.f_frsize as f64 / 1e9)
}

/// Says what is being done, does it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("{what} ...");
    let start = Instant::now();
    let result = work().with_context(|| match free_gb(&lab()) {
        Some(free) if free < 0.1 => {
            "the disk is full: free 2 GB or more and run this again".to_owned()
        }
        _ => format!("could not finish: {what}"),
    })?;
    println!("{what}: done in {:.0} s", start.elapsed().as_secs_f64());
    Ok(result)
}

/// The first line that a program prints, if it can be run.
pub fn ask(program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()?
        .trim()
        .to_owned();
    output.status.success().then_some(text)
}

pub fn is_root() -> bool {
    ask("id", &["-u"]).as_deref() == Some("0")
}

/// The interpreter of the active conda environment, if that has JupyterLab.
fn active_conda() -> Option<PathBuf> {
    let bin = PathBuf::from(std::env::var_os("CONDA_PREFIX")?).join("bin");
    bin.join("jupyter-lab").exists().then(|| bin.join("python"))
}

/// A Python that environments can be made from.
fn base_python() -> Option<&'static str> {
    const IS_NEW: &str = "import sys; print(sys.version_info >= (3, 11))";
    let names = [
        "python3",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
        "python",
    ];
    names
        .into_iter()
        .find(|name| ask(name, &["-c", IS_NEW]).as_deref() == Some("True"))
}

/// The private environment, whether it is complete or not, and the packages that it should have.
fn private_python() -> Result<(PathBuf, Vec<String>)> {
    let packages = packages(&fs::read_to_string(root().join("environment.yml"))?);
    Ok((lab().join("python"), packages))
}

/// A Python that has JupyterLab, if there is one: that of the active conda environment, or the
/// private one.
pub fn installed_python() -> Result<Option<PathBuf>> {
    if let Some(python) = active_conda() {
        return Ok(Some(python));
    }
    let (environment, packages) = private_python()?;
    let installed = fs::read_to_string(environment.join("installed"));
    let complete = installed.is_ok_and(|installed| installed == packages.join("\n"));
    Ok(complete.then(|| environment.join("bin/python")))
}

fn python() -> Result<PathBuf> {
    if let Some(python) = installed_python()? {
        return Ok(python);
    }
    let (environment, packages) = private_python()?;
    step("step 1 of 4: installing JupyterLab", || {
        make_environment(&environment, &packages)
    })
}

/// A Python with PyTorch and what else the benchmarks compare with.
pub fn torch_python() -> Result<PathBuf> {
    further_python("torch", &TORCH)
}

/// A Python with what tests need beyond JupyterLab.
pub fn testing_python() -> Result<PathBuf> {
    further_python("testing", &TESTING)
}

/// A Python among whose packages are reveal.js and MathJax.
pub fn slides_python() -> Result<PathBuf> {
    further_python("slides", &SLIDES)
}

fn further_python(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let environment = lab().join(name);
    let packages: Vec<String> = packages.iter().copied().map(str::to_owned).collect();
    let installed = fs::read_to_string(environment.join("installed"));
    if installed.is_ok_and(|installed| installed == packages.join("\n")) {
        return Ok(environment.join("bin/python"));
    }
    let _lock = one_at_a_time()?;
    let names: Vec<&str> = packages
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with('-'))
        .collect();
    step(&format!("installing {}", names.join(", ")), || {
        make_environment(&environment, &packages)
    })
}

/// Makes a Python environment with these packages, and the mark that it is complete.
fn make_environment(environment: &Path, packages: &[String]) -> Result<PathBuf> {
    let base = base_python().context("there is no Python 3.11 or later")?;
    succeed(
        Command::new(base)
            .args(["-m", "venv", "--clear"])
            .arg(environment),
    )
    .context(
        "Python cannot make environments: install its venv module \
         (Debian and Ubuntu: apt install python3-venv)",
    )?;
    let python = environment.join("bin/python");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check"]);
    succeed(pip.args(packages))?;
    fs::write(environment.join("installed"), packages.join("\n"))?;
    Ok(python)
}

/// The packages of `environment.yml` that pip installs, in pip's notation: those with a version
/// that are not conda's alone.
fn packages(environment: &str) -> Vec<String> {
    environment
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter_map(|line| line.strip_prefix("- ")?.split_once('='))
        .filter(|(name, _)| !["python", "rust"].contains(&name.trim_end_matches(['<', '>', '='])))
        .map(|(name, version)| format!("{name}=={}", version.trim_start_matches('=')))
        .collect()
}

/// Where the user's cargo keeps its things.
pub fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// The kernel's program, if it is there.
pub fn installed_evcxr() -> Option<PathBuf> {
    // Written by cargo when an installation is complete.
    let installed = fs::read_to_string(private_evcxr().join(".crates.toml")).ok()?;
    let program = private_evcxr().join("bin/evcxr_jupyter");
    let is_mended = installed.contains(&format!("\"evcxr_jupyter {EVCXR} (path+"));
    (is_mended && program.exists()).then_some(program)
}

fn private_evcxr() -> PathBuf {
    lab().join("evcxr")
}

fn evcxr() -> Result<PathBuf> {
    let source = lab().join("evcxr-source");
    if let Some(program) = installed_evcxr() {
        fs::remove_dir_all(source).ok(); // left by one who was interrupted
        return Ok(program);
    }
    step(
        "step 2 of 4: installing the Rust kernel (about 5 minutes on two cores)",
        || {
            mended_evcxr(&source)?;
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["install", "--locked", "--force", "--root"])
                .arg(private_evcxr())
                .arg("--path")
                .arg(&source)
                .env("CARGO_TARGET_DIR", source.join("target"));
            succeed(&mut cargo)?;
            fs::remove_dir_all(&source)?;
            installed_evcxr().context("cargo has installed evcxr, and yet it is not there")
        },
    )
}

/// evcxr's way to answer on the channel that JupyterLab controls it by: if nobody is there any more
/// to take the answer, the kernel ends. After a restart JupyterLab asks twice a second whether the
/// kernel is there and leaves at the first answer, which may be before the last.
const ANSWERS_OR_ENDS: &str = ".send(&mut connection)
                        .await?";
const ANSWERS: &str = ".send(&mut connection)
                        .await
                        .unwrap_or_else(|error| eprintln!(\"nobody takes the answer: {error}\"))";

/// Gets evcxr's source and lets its kernel go on where nobody takes an answer.
fn mended_evcxr(source: &Path) -> Result<()> {
    // cargo unpacks the source of what a package depends on, and says where.
    fs::create_dir_all(source.join("src"))?;
    let manifest = source.join("Cargo.toml");
    let dependent = "[package]\nname = \"dependent\"\nedition = \"2024\"\n[workspace]\n\
                     [dependencies]\nevcxr_jupyter = \"=";
    fs::write(&manifest, format!("{dependent}{EVCXR}\"\n"))?;
    fs::write(source.join("src/lib.rs"), "")?;
    fs::remove_file(source.join("Cargo.lock")).ok(); // of an interrupted installation
    let host = ask("rustc", &["--print", "host-tuple"]).context("rustc does not say its host")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--format-version=1", "--filter-platform", &host])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(Stdio::inherit());
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.output()?.stdout)
        .context("cargo does not get evcxr's source: what it said is above")?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let unpacked = packages
        .find(|package| package["name"] == "evcxr_jupyter")
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .context("cargo does not say where evcxr's source is")?;

    let mut copy = Command::new("cp");
    succeed(copy.arg("-R").arg(unpacked.join(".")).arg(source))?;
    let server = source.join("src/core.rs");
    let text = fs::read_to_string(&server)?;
    let places = text.matches(ANSWERS_OR_ENDS).count();
    if places != 3 {
        bail!(
            "evcxr {EVCXR} is not what it was: expected 3 answers on its control channel, got {places}"
        );
    }
    fs::write(server, text.replace(ANSWERS_OR_ENDS, ANSWERS))?;
    let text = fs::read_to_string(&manifest)?;
    Ok(fs::write(manifest, text + "\n[workspace]\n")?) // a package of its own
}

/// The sources of the standard library, from which the kernel knows the types of variables.
pub fn std_source() -> Result<PathBuf> {
    let sysroot = ask("rustc", &["--print", "sysroot"]).context("rustc does not say its folder")?;
    [
        std::env::var_os("RUST_SRC_PATH").map(PathBuf::from),
        Some(Path::new(&sysroot).join("lib/rustlib/src/rust/library")),
    ]
    .into_iter()
    .flatten()
    .find(|library| library.join("core/src/lib.rs").exists())
    .context(
        "the sources of Rust's standard library are missing: run `rustup component add rust-src` \
         (a Rust from elsewhere: install its package rust-src)",
    )
}

fn add_std_source() -> Result<()> {
    if std_source().is_ok() {
        return Ok(());
    }
    step(
        "step 3 of 4: adding the sources of Rust's standard library",
        || {
            let mut rustup = Command::new("rustup");
            succeed(rustup.args(["component", "add", "rust-src"])).ok();
            std_source().map(drop)
        },
    )
}

/// Registers the kernel, under the name that evcxr gives it, for this Python environment only.
fn register(python: &Path, evcxr: &Path) -> Result<()> {
    let folder = prefix(python)?.join("share/jupyter/kernels/rust");
    let launcher = std::env::current_exe()?;
    let spec = json!({
        "argv": [launcher, "kernel", "{connection_file}"],
        "display_name": "Rust",
        "language": "rust",
        "interrupt_mode": "message",
        "env": {"EVCXR_PROGRAM": evcxr},
    });
    let spec = serde_json::to_string_pretty(&spec)?;
    let file = folder.join("kernel.json");
    if fs::read_to_string(&file).is_ok_and(|there| there == spec) {
        return Ok(());
    }
    let write = || fs::create_dir_all(&folder).and_then(|()| fs::write(&file, &spec));
    if let Err(why) = write() {
        bail!(
            "cannot write {} ({why}): make it writable and run this again",
            file.display()
        );
    }
    Ok(())
}

/// Keeps JupyterLab from asking, at its first start, whether it may fetch news. Settings that an
/// environment has of its own are left alone.
fn ask_no_questions(python: &Path) -> Result<()> {
    let settings = prefix(python)?.join("share/jupyter/lab/settings");
    let file = settings.join("overrides.json");
    if file.exists() {
        return Ok(());
    }
    let quiet = json!({"@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false", "checkForUpdates": false
    }});
    fs::create_dir_all(&settings)?;
    Ok(fs::write(file, quiet.to_string())?)
}

/// Where the JupyterLab that has the notebooks open can be reached, if one is running.
pub fn running_lab(python: &Path) -> Option<String> {
    let mut list = Command::new(python.with_file_name("jupyter-server"));
    let output = list.args(["list", "--jsonlist"]).output().ok()?;
    let servers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
    let notebooks = root().join("notebooks");
    let server = servers
        .iter()
        .find(|server| server["root_dir"].as_str().map(Path::new) == Some(&notebooks))?;
    let (url, token) = (server["url"].as_str()?, server["token"].as_str()?);
    Some(format!("{url}lab?token={token}"))
}

/// The environment that a Python belongs to.
fn prefix(python: &Path) -> Result<&Path> {
    python
        .parent()
        .and_then(Path::parent)
        .context("Python is expected in PREFIX/bin")
}

#[cfg(test)]
mod tests {
    #[test]
    fn pip_gets_the_packages_and_versions_of_the_conda_environment() {
        let environment = "name: x\nchannels:\n  - conda-forge\ndependencies:\n  \
            - python>=3.11 # a comment\n  - rust=1.95\n  - jupyterlab=4.6.6 # why\n  - pip\n";
        assert_eq!(super::packages(environment), ["jupyterlab==4.6.6"]);
    }
}
