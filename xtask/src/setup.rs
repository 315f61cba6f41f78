//! Setting up what is missing: JupyterLab, the kernel's program, and what kernels start from.

use std::path::PathBuf;
use std::thread;

use anyhow::{Result, bail};

use crate::command::first_line;
use crate::prepared::Prepared;
use crate::python::{self, Environment};
use crate::store::{self, cannot_write, free_gb, is_writable};
use crate::{evcxr, toolchain};

/// Sets up what is missing. Returns JupyterLab's Python and what kernels start from.
pub fn setup() -> Result<(PathBuf, Prepared)> {
    if let Some(installation) = installed()? {
        return Ok(installation);
    }
    if let Some(problem) = problems().into_iter().next() {
        bail!(problem);
    }
    toolchain::warn_if_untested();
    let _lock = store::lock()?;
    toolchain::add_std_source()?;
    let evcxr = thread::spawn(evcxr::install); // pip mostly waits for the network
    let python = match python::active_conda() {
        Some(python) => python,
        None => Environment::jupyter()?.install()?,
    };
    let evcxr = evcxr.join().expect("install() does not panic")?;
    let prepared = Prepared::new()?;
    prepared.make(&python, &evcxr)?;
    Ok((python, prepared))
}

/// The installation, if nothing is missing. Writes nothing, so it may be another user's installation.
fn installed() -> Result<Option<(PathBuf, Prepared)>> {
    if toolchain::problem().is_some() {
        return Ok(None);
    }
    let (python, prepared) = (python::installed()?, Prepared::new()?);
    let is_current = prepared.is_complete() && !prepared.compiled()?.1;
    let complete = python.filter(|_| is_current && evcxr::installed().is_ok_and(|p| p.is_some()));
    Ok(complete.map(|python| (python, prepared)))
}

/// The problems that prevent a set-up, each with what to do about it.
pub fn problems() -> Vec<String> {
    let mut problems: Vec<String> = toolchain::problem().into_iter().collect();
    if first_line("cc", &["--version"]).is_none() {
        problems.push(
            "there is no C compiler `cc`, which Rust links with: install one \
             (Debian and Ubuntu: apt install gcc; macOS: xcode-select --install)"
                .into(),
        );
    }
    if let Some(home) = store::home().ok().filter(|home| store::is_writable_by_others(home)) {
        problems.push(format!(
            "other users can write to {}, and so run code in your kernels: run `chmod -R go-w {0}`",
            home.display()
        ));
    }
    if installed().is_ok_and(|installation| installation.is_some()) {
        return problems; // the folders may be another user's, and need not be writable
    }
    if python::active_conda().is_none() && python::base_python().is_none() {
        problems.push(python::NO_PYTHON.into());
    }
    let home_note = "or set DECODING_HOME to a folder that is; if another user set it up, ask them \
                     to run `chmod -R go+rX` on it";
    let cargo_note = "because cargo keeps crates there";
    for (folder, note) in [(store::home(), home_note), (toolchain::cargo_home(), cargo_note)] {
        match folder {
            Ok(folder) if is_writable(&folder) => {}
            Ok(folder) => problems.push(format!("{}, {note}", cannot_write(&folder))),
            Err(err) => problems.push(err.to_string()),
        }
    }
    if let Ok(home) = store::home()
        && let Some(free) = free_gb(&home).filter(|&free| free < 2.0)
    {
        problems.push(format!(
            "the disk is full: expected 2 GB free for {}, got {free:.1} GB: make room and run this \
             again",
            home.display()
        ));
    }
    problems
}
