//! The project's commands: `cargo xtask lab`, `run`, `test`, and what helps with these.

mod doctor;
mod kernel;
mod setup;
mod view;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND
  lab [OPTION ...]   set up what is missing and open the notebooks in JupyterLab
                     (options are passed on to it, for example --no-browser)
  setup              set up what is missing, and no more
  run [NOTEBOOK]     set up what is missing and run all cells of a notebook without a browser;
                     the executed notebook and an HTML page go to target/run/
  test               set up what is missing and pass all tests
  doctor             print what is installed, what is prepared, and what is wrong
  export VARIANT DIR write the notebooks as a variant: student (without solutions), instructor
                     (solutions in place, for nbgrader), script (one Rust file to read), or
                     slides (run, for a talk in a browser; needs no network when shown)
  add CRATE[@VERSION]  let notebooks use a further crate with :dep
  bench kernel       measure how fast kernels start and run, and what memory they take
  bench parity       run the tutorial in PyTorch, too, and compare all numbers (installs 5.5 GB)
  bench speed        measure the tutorial's parts beside PyTorch, NumPy and matplotlib";

/// What `run` runs when it is told nothing.
const TUTORIAL: &str = "notebooks/W1D5_Tutorial1.ipynb";

fn main() -> ExitCode {
    if view::is_called_cargo() {
        return exit_code(view::cargo());
    }
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let done = match (command.to_str(), &rest[..]) {
        (Some("lab"), options) => lab(options),
        (Some("run"), []) => run(&root().join(TUTORIAL)),
        (Some("run"), [notebook]) => run(Path::new(notebook)),
        (Some("test"), []) => test(),
        (Some("doctor"), []) => doctor::print(),
        (Some("setup"), []) => setup::all().map(drop),
        (Some("export"), arguments) => export(arguments),
        (Some("add"), [name]) => add(name),
        (Some("bench"), [what]) => bench(what),
        (Some("kernel"), [control_file]) => kernel::launch(control_file),
        (Some("sweep"), [build]) => kernel::sweep_when_dead(Path::new(build)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    exit_code(done)
}

fn exit_code(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder that holds the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is in a workspace")
        .to_path_buf()
}

fn lab(options: &[OsString]) -> Result<()> {
    let python = setup::all()?;
    if let Some(url) = setup::running_lab(&python) {
        println!("JupyterLab is running already: open {url}");
        return Ok(());
    }
    let mut jupyter = Command::new(python.with_file_name("jupyter-lab"));
    jupyter
        .arg(format!(
            "--ServerApp.root_dir={}",
            root().join("notebooks").display()
        ))
        .arg("--ServerApp.ip=127.0.0.1")
        .args(options);
    if setup::is_root() {
        jupyter.arg("--allow-root"); // JupyterLab refuses otherwise; it listens on localhost only
    }
    println!("opening JupyterLab; Ctrl-C here ends it");
    succeed(jupyter.env("JUPYTER_PREFER_ENV_PATH", "1"))
}

fn export(arguments: &[OsString]) -> Result<()> {
    if let [variant, folder] = arguments
        && variant == "slides"
    {
        let mut slides = Command::new(setup::all()?);
        slides.arg(root().join("xtask/slides.py"));
        slides.arg(setup::slides_python()?).arg(folder);
        return succeed(slides.env("JUPYTER_PREFER_ENV_PATH", "1"));
    }
    let mut lesson = Command::new(setup::all()?);
    lesson
        .arg(root().join("xtask/lesson.py"))
        .arg("export")
        .args(arguments);
    succeed(&mut lesson)
}

fn add(name: &std::ffi::OsStr) -> Result<()> {
    let python = setup::all()?;
    let name = name.to_str().context("add: the name of a crate is text")?;
    let _lock = setup::one_at_a_time()?;
    kernel::add(&python, name)
}

fn bench(what: &std::ffi::OsStr) -> Result<()> {
    let (script, other) = match what.to_str() {
        Some("kernel") => ("bench_kernel.py", None),
        Some("parity" | "speed") => ("bench_torch.py", Some(what)),
        _ => bail!(
            "bench: expected kernel, parity or speed, got {}",
            what.display()
        ),
    };
    let python = setup::all()?;
    let peer = match other {
        None => setup::installed_evcxr().context("bench: evcxr is not there")?,
        Some(_) => setup::torch_python()?,
    };
    let mut bench = Command::new(python);
    bench
        .arg(root().join("xtask").join(script))
        .args(other)
        .arg(peer);
    succeed(bench.env("JUPYTER_PREFER_ENV_PATH", "1"))
}

fn run(notebook: &Path) -> Result<()> {
    if !notebook.is_file() {
        bail!(
            "run: there is no notebook {}: give the path of an .ipynb file",
            notebook.display()
        );
    }
    let python = setup::all()?;
    let name = notebook.file_name().context("a notebook has a name")?;
    let executed = root().join("target/run").join(name);
    let mut runner = Command::new(python);
    runner
        .arg(root().join("xtask/run_notebook.py"))
        .arg(notebook)
        .arg(executed);
    succeed(runner.env("JUPYTER_PREFER_ENV_PATH", "1"))
}

fn test() -> Result<()> {
    let cargo = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root()).args(args);
        println!("cargo {}", args.join(" "));
        command
    };
    succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    succeed(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    let python = setup::all()?;
    succeed(
        cargo(&["test", "--workspace"])
            .env("LAB_PYTHON", python)
            .env("TESTING_PYTHON", setup::testing_python()?),
    )
}

/// Runs a command to its end; anything but success is an error.
fn succeed(command: &mut Command) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    let name = program
        .file_name()
        .unwrap_or_default()
        .display()
        .to_string();
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("{name} failed ({status}): what it said is above");
    }
    Ok(())
}
