//! Setting up what is missing: a Python environment with JupyterLab, evcxr, and the kernel.
//!
//! All of it is under `target/lab/`, so that deleting that folder undoes it; only where an active
//! conda environment is used, the kernel is registered there. Each step leaves a
//! mark when it is done; a step that was interrupted has none and is done again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{kernel, root, succeed};

/// The version of the kernel.
pub const EVCXR: &str = "0.22.0";

/// Where all that is set up goes.
pub fn lab() -> PathBuf {
    root().join("target/lab")
}

/// Does whatever is missing and returns the Python interpreter.
pub fn all() -> Result<PathBuf> {
    fs::create_dir_all(lab())?;
    let lock = fs::File::create(lab().join("lock"))?;
    lock.lock()?; // until the end of this function: one set-up at a time
    let python = python()?;
    register(&python, &evcxr()?)?;
    ask_no_questions(&python)?;
    kernel::prepare(&python)?;
    Ok(python)
}

/// Says what is being done, does it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("{what} ...");
    let start = Instant::now();
    let result = work().with_context(|| format!("could not finish: {what}"))?;
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

/// A Python that has JupyterLab: that of the active conda environment, or a private one.
fn python() -> Result<PathBuf> {
    if let Some(conda) = std::env::var_os("CONDA_PREFIX") {
        let bin = Path::new(&conda).join("bin");
        if bin.join("jupyter-lab").exists() {
            return Ok(bin.join("python"));
        }
    }
    let packages = packages(&fs::read_to_string(root().join("environment.yml"))?);
    let environment = lab().join("python");
    let (python, mark) = (
        environment.join("bin/python"),
        environment.join("installed"),
    );
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == packages.join("\n")) {
        return Ok(python);
    }
    let base = [
        "python3",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
        "python",
    ]
    .into_iter()
    .find(|name| {
        ask(
            name,
            &["-c", "import sys; print(sys.version_info >= (3, 11))"],
        )
        .as_deref()
            == Some("True")
    })
    .context("there is no Python 3.11 or later: install one and run this again")?;
    step("step 1 of 3: installing JupyterLab", || {
        succeed(
            Command::new(base)
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )
        .context(
            "Python cannot make environments: install its venv module \
             (Debian and Ubuntu: apt install python3-venv)",
        )?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check"]);
        succeed(pip.args(&packages))?;
        fs::write(&mark, packages.join("\n"))?;
        Ok(python)
    })
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

/// The kernel's program: the one that `cargo install` put into the user's folder if it is of the
/// right version, or a private one.
fn evcxr() -> Result<PathBuf> {
    let private = lab().join("evcxr");
    let users = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    for folder in [Some(private.clone()), users].into_iter().flatten() {
        // Written by cargo when an installation is complete.
        let installed = fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
        let program = folder.join("bin/evcxr_jupyter");
        if installed.contains(&format!("\"evcxr_jupyter {EVCXR} ")) && program.exists() {
            return Ok(program);
        }
    }
    step(
        "step 2 of 3: installing the Rust kernel (about 5 minutes on two cores)",
        || {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["install", "--locked", "--force", "--root"])
                .arg(&private);
            succeed(cargo.arg(format!("evcxr_jupyter@{EVCXR}")))?;
            Ok(private.join("bin/evcxr_jupyter"))
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
