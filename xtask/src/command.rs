//! Running other programs and reporting what is being done.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::root;

/// Runs a command to its end. A failure is an error.
pub fn run(command: &mut Command) -> Result<()> {
    signal_after_death(command, Signal::TERM);
    let program = Path::new(command.get_program()).to_path_buf();
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        let name = program.file_name().unwrap_or_default();
        bail!("{} failed ({status}): see above", name.display());
    }
    Ok(())
}

/// Lets the system send a program a signal when this process is killed. Otherwise the program would
/// disturb the next call of this one.
pub fn signal_after_death(command: &mut Command, signal: Signal) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let request = move || Ok(rustix::process::set_parent_process_death_signal(Some(signal))?);
        // SAFETY: between fork and exec only a system call is made.
        unsafe { command.pre_exec(request) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, signal);
}

/// The first line that a program prints, or `None` if it cannot be run or fails.
pub fn first_line(program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program.as_ref());
    // These variables name the folders of another Python, with which Python does not start.
    command.env_remove("PYTHONHOME").env_remove("PYTHONPATH");
    let output = command.args(args).current_dir(root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim().to_owned();
    output.status.success().then_some(line)
}

/// Announces a step of the set-up, does it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("{what} ...");
    let start = Instant::now();
    let result = work().with_context(|| format!("could not finish: {what}"))?;
    println!("{what}: done in {:.0} s", start.elapsed().as_secs_f64());
    Ok(result)
}
