//! `cargo xtask doctor`: what is installed, what is prepared, and what is wrong.

use anyhow::{Result, bail};

use crate::setup::{EVCXR, ask, free_gb, lab, problems};
use crate::{kernel, setup};

/// Prints a line for everything that the commands rely on, then what is wrong, with what to do.
pub fn print() -> Result<()> {
    let missing = || "missing".to_owned();
    let later = || "not yet: `cargo xtask lab` sets it up".to_owned();
    let python = setup::installed_python()?;
    let line = |what: &str, state: String| println!("{what:<28}{state}");

    line("Rust", ask("rustc", &["--version"]).unwrap_or_else(missing));
    line(
        "C compiler",
        ask("cc", &["--version"]).unwrap_or_else(missing),
    );
    let source = setup::std_source();
    line(
        "standard library's sources",
        source.map_or_else(|_| later(), |folder| folder.display().to_string()),
    );
    let lab_version = python.as_ref().map(|python| {
        let version = ask(python.with_file_name("jupyter-lab"), &["--version"]);
        format!(
            "{} in {}",
            version.unwrap_or_else(missing),
            python.display()
        )
    });
    line("JupyterLab", lab_version.unwrap_or_else(later));
    let running = python.and_then(|python| setup::running_lab(&python));
    line(
        "JupyterLab, running",
        running.unwrap_or_else(|| "no".into()),
    );
    let evcxr = setup::installed_evcxr();
    line(
        "kernel",
        evcxr.map_or_else(later, |program| {
            format!("evcxr {EVCXR} in {}", program.display())
        }),
    );
    line("kernel, prepared", kernel::state().unwrap_or_else(later));
    let (alive, dead) = kernel::count();
    line(
        "kernels, running",
        format!("{alive}, and files of {dead} that died: the next start deletes these"),
    );
    let free = free_gb(&lab()).map_or_else(missing, |free| format!("{free:.1} GB"));
    line("disk, free", free);

    let problems = problems();
    for problem in &problems {
        println!("wrong: {problem}");
    }
    match problems.len() {
        0 => println!("nothing is wrong"),
        n => bail!("doctor: {n} of the above must be mended before `cargo xtask lab` can work"),
    }
    Ok(())
}
