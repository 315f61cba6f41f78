//! `cargo xtask doctor`: what is installed, what is prepared, and what is wrong.

use anyhow::{Result, bail};

use crate::command::first_line;
use crate::prepared::Prepared;
use crate::setup::problems;
use crate::store::{self, free_gb};
use crate::{evcxr, kernel, lab, python, toolchain};

const NOT_YET: &str = "not yet: `cargo xtask lab` sets it up";

/// Prints a line for each thing that the commands need, then what is wrong and what to do.
pub fn print() -> Result<()> {
    let missing = || "missing".to_owned();
    let line = |what: &str, state: String| println!("{what:<28}{state}");
    let version = |program| first_line(program, &["--version"]).unwrap_or_else(missing);

    line("Rust", version("rustc"));
    line("C compiler", version("cc"));
    let source = toolchain::std_source().map(|folder| folder.display().to_string());
    line("standard library's sources", source.unwrap_or_else(|_| NOT_YET.into()));
    let problems = problems();
    if let Ok(home) = store::home() {
        line("folder", home.display().to_string());
        let free = free_gb(&home).map_or_else(missing, |free| format!("{free:.1} GB"));
        line("disk, free", free);
    }
    if toolchain::problem().is_none() {
        print_installation(line)?;
    }

    for problem in &problems {
        println!("wrong: {problem}");
    }
    if problems.is_empty() {
        println!("nothing is wrong");
        return Ok(());
    }
    bail!("doctor: fix what is wrong above, then run `cargo xtask lab`")
}

fn print_installation(line: impl Fn(&str, String)) -> Result<()> {
    let python = python::installed()?;
    let lab_version = python.as_ref().map(|python| {
        let version = first_line(python.with_file_name("jupyter-lab"), &["--version"]);
        format!("{} in {}", version.unwrap_or_else(|| "missing".into()), python.display())
    });
    line("JupyterLab", lab_version.unwrap_or(NOT_YET.into()));
    let running = python.and_then(|python| lab::running(&python)).is_some();
    line("JupyterLab, running", if running { "yes" } else { "no" }.into());
    let evcxr = evcxr::installed()?
        .map(|program| format!("evcxr {} in {}", evcxr::VERSION, program.display()));
    line("kernel", evcxr.unwrap_or(NOT_YET.into()));
    let prepared = Prepared::new()?;
    line("kernel, prepared", state(&prepared)?);
    let needed = [prepared.folder().to_path_buf(), toolchain::sysroot()?];
    let usable = match needed.iter().find(|folder| !store::is_public(folder)) {
        _ if !prepared.is_complete() => NOT_YET.into(),
        Some(folder) => format!("no, because they cannot read {}", folder.display()),
        None => "yes".into(),
    };
    line("kernel, for other users", usable);
    let (alive, dead) = kernel::count();
    let killed = format!("files of {dead} killed kernels, which the next start deletes");
    line("kernels, running", format!("{alive}, and {killed}"));
    Ok(())
}

fn state(prepared: &Prepared) -> Result<String> {
    if !prepared.is_complete() {
        return Ok("not yet, or out of date: `cargo xtask lab` prepares it".into());
    }
    let (compiled, is_edited) = prepared.compiled()?;
    let hours = compiled.elapsed().unwrap_or_default().as_secs_f64() / 3600.0;
    let state = if is_edited { "but helpers has changed since" } else { "up to date" };
    Ok(format!("{hours:.1} hours ago, {state}"))
}
