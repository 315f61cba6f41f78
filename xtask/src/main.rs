//! The command line: `cargo xtask lab`, `run`, `test` and the other commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use xtask::command::run;
use xtask::python::Environment;
use xtask::setup::setup;
use xtask::toolchain::{self, cargo};
use xtask::{analyzer, doctor, evcxr, kernel, lab, notebook, prepared, root, store};

/// The notebook that `run` runs if none is given.
const TUTORIAL: &str = "notebooks/W1D5_Tutorial1.ipynb";

/// The commands of decoding-in-rust.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Set up what is missing and open the notebooks in JupyterLab
    Lab {
        /// Options for JupyterLab, for example --no-browser
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// Set up what is missing, without opening JupyterLab
    Setup {
        /// Let the user's other Jupyter programs, such as VS Code, find the kernel, too
        #[arg(long)]
        user: bool,
    },
    /// Set up what is missing and run all cells of a notebook without a browser; the executed
    /// notebook and an HTML page go to target/run/
    Run { notebook: Option<PathBuf> },
    /// Set up what is missing and run all tests
    Test,
    /// Print what is installed, what is prepared, and what is wrong
    Doctor,
    /// Write a variant of the notebooks to a folder
    Export { variant: notebook::Variant, folder: PathBuf },
    /// Let notebooks use another crate with :dep, for example rand@0.9
    Add {
        name: String,
        /// Features of the crate, with commas between them
        #[arg(long, value_delimiter = ',')]
        features: Vec<String>,
    },
    /// Measure speed, or compare all numbers with PyTorch's
    Bench { what: Bench },
    /// Start a kernel; Jupyter calls this
    Kernel { connection_file: OsString },
    /// Run cargo and hide crates; the kernel's rust-analyzer calls this
    #[command(disable_help_flag = true)]
    Cargo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// Measure how fast kernels start and run, and how much memory they take, beside evcxr without
    /// patches and PyTorch in a Python notebook (installs 5.5 GB)
    Kernel,
    /// Run ten tutorials at once, restart a kernel 200 times, kill 20 set-ups, and check that nothing
    /// is left behind
    Load,
    /// Run the notebooks in PyTorch, too, and compare all numbers (installs 5.5 GB)
    Parity,
    /// Measure the tutorial's parts beside PyTorch, NumPy and matplotlib (installs 5.5 GB)
    Speed,
}

fn main() -> ExitCode {
    execute(Xtask::parse()).unwrap_or_else(|err| {
        eprintln!("error: {err:#}");
        ExitCode::FAILURE
    })
}

fn execute(xtask: Xtask) -> Result<ExitCode> {
    match xtask {
        Xtask::Lab { options } => lab::open(&options)?,
        Xtask::Setup { user } => {
            let (python, prepared) = setup()?;
            if user {
                prepared.register(&python)?;
            }
            let path = prepared.jupyter_path();
            println!("Jupyter finds the kernel with JUPYTER_PATH={}", path.display());
        }
        Xtask::Run { notebook } => run_notebook(&notebook.unwrap_or(root().join(TUTORIAL)))?,
        Xtask::Test => test()?,
        Xtask::Doctor => doctor::print()?,
        Xtask::Export { variant, folder } => notebook::export(variant, &folder)?,
        Xtask::Add { name, features } => {
            setup()?;
            prepared::add(&name, &features)?;
        }
        Xtask::Bench { what } => bench(what)?,
        Xtask::Kernel { connection_file } => {
            let ended = kernel::launch(&connection_file);
            if let Err(err) = &ended {
                eprintln!("error: {err:#}"); // the next line may end this process
            }
            kernel::end_group();
            return Ok(ended.map_or(ExitCode::FAILURE, exit_code));
        }
        Xtask::Cargo { args } => return Ok(exit_code(analyzer::run_cargo(&args)?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run_notebook(notebook: &Path) -> Result<()> {
    if !notebook.is_file() {
        bail!("run: there is no notebook {}: give the path of an .ipynb file", notebook.display());
    }
    let name = notebook.file_name().context("a notebook has a name")?;
    let executed = root().join("target/run").join(name);
    let (python, prepared) = setup()?;
    run(prepared.script(&python, "run_notebook.py").arg(notebook).arg(executed))
}

fn bench(what: Bench) -> Result<()> {
    let (python, prepared) = setup()?;
    let torch = || install(&Environment::torch()?);
    match what {
        Bench::Kernel => {
            let (stock, torch) = (evcxr::stock()?, torch()?);
            let mut script = prepared.script(&python, "bench_kernel.py");
            // Stock evcxr would load the libhelpers that `cargo test` has compiled.
            toolchain::set_paths(&mut script, &toolchain::sysroot()?);
            run(script.arg(stock).arg(torch))
        }
        Bench::Load => run(&mut prepared.script(&python, "load.py")),
        Bench::Parity => run(prepared.script(&torch()?, "bench_torch.py").arg("parity")),
        Bench::Speed => run(prepared.script(&torch()?, "bench_torch.py").arg("speed")),
    }
}

/// Installs an environment while no other set-up is running.
fn install(environment: &Environment) -> Result<PathBuf> {
    let _lock = store::lock()?;
    environment.install()
}

fn test() -> Result<()> {
    run_cargo(&["fmt", "--all", "--check"])?;
    // First, because the next commands replace the file of this program.
    let (python, prepared) = setup()?;
    let testing = install(&Environment::testing()?)?;
    run_cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run_cargo(&["test", "--workspace"])?;
    // With --package the crates would get other features, and be compiled again.
    let numpy = ["test", "--workspace", "--test", "numpy", "--", "--ignored"];
    run(cargo().args(numpy).env("NUMPY_PYTHON", &testing))?;

    let mut pytest = Command::new(&testing);
    pytest.args(["-m", "pytest", "--verbose", "--durations=0", "-p", "no:cacheprovider"]);
    pytest
        .arg(root().join("xtask/python/tests"))
        .env("EVCXR_PROGRAM", evcxr::installed()?.context("evcxr is installed")?)
        .env("JUPYTER_LAB", python.with_file_name("jupyter-lab"));
    run(prepared.for_jupyter(&mut pytest))
}

fn run_cargo(args: &[&str]) -> Result<()> {
    println!("cargo {}", args.join(" "));
    run(cargo().args(args))
}
