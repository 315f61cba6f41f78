//! What kernels start from: the vendored crates, and a build directory that holds `helpers` and the
//! notebooks' cells, compiled.
//!
//! evcxr compiles each cell in a build directory. In an empty one the first cell of a notebook
//! compiles candle, for minutes. Here that is done once. The crates come from a vendored folder
//! that has the versions of `Cargo.lock` and no others, so that neither a newer version nor a
//! missing network makes a difference.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::command::{run, step};
use crate::store::{self, Part};
use crate::toolchain::{self, cargo};
use crate::{MANIFEST_DIR, analyzer, evcxr, files, kernel, python, root};

/// The profile with which cells are compiled. It overrides evcxr's own profile, whose debug
/// assertions and overflow checks slow down every loop of candle. In cells these checks stay on. evcxr
/// calls the crate of a cell `ctx`; at level 1 most cells compile in 0.85 of the time of level 2. At
/// level 2, candle compiles in 0.88 of the time of level 3. candle-nn takes no time when notebooks run.
const PROFILE: &str = "\
[profile.dev]
debug = false
opt-level = 3
debug-assertions = false
overflow-checks = false

[profile.dev.package]
ctx = { opt-level = 1, debug-assertions = true, overflow-checks = true }
candle-core = { opt-level = 2 }
candle-nn = { opt-level = 1 }
";

/// Crates that take no time when notebooks run, or that never run there. They are not optimized.
const NOT_OPTIMIZED: &str = "aho-corasick fancy-regex gemm-c32 gemm-c64 gemm-f16 http num-bigint \
    object pest py_literal raw-cpuid regex-automata regex-syntax ring rustls rustls-webpki \
    safetensors tokenizers typed-path ureq ureq-proto zerocopy";

/// The set-up of this clone's kernels.
pub struct Prepared {
    part: Part,
    crates: Part,
}

impl Prepared {
    pub fn new() -> Result<Self> {
        let (crates, evcxr) = (crates()?, evcxr::part()?);
        let parts = [&crates, &evcxr].map(|part| part.folder.display().to_string()).concat();
        let rust = toolchain::identity()?;
        let part = Part::new("kernel", &[&parts, &rust, &evcxr_config(), &sources()?])?;
        Ok(Self { part, crates })
    }

    pub fn folder(&self) -> &Path {
        &self.part.folder
    }

    pub fn is_complete(&self) -> bool {
        self.part.is_complete() && self.crates.is_complete()
    }

    /// When `helpers` was compiled, and whether it has been edited since.
    pub fn compiled(&self) -> Result<(SystemTime, bool)> {
        let compiled = self.part.finished()?;
        let sources = ["helpers/src", "helpers/Cargo.toml", "Cargo.toml"];
        let edited = sources.into_iter().map(|path| newest(&root().join(path)));
        Ok((compiled, edited.collect::<Result<Vec<_>>>()?.into_iter().any(|time| time > compiled)))
    }

    /// Compiles `helpers` as the first cell of a notebook would, unless that is done. The caller
    /// holds the set-up's lock.
    pub fn make(&self, python: &Path, evcxr: &Path) -> Result<()> {
        if !self.is_complete() {
            let what =
                "step 2 of 2: compiling what the notebooks need (about 4 minutes on two cores)";
            step(what, || {
                if !self.crates.is_complete() {
                    self.crates.start()?;
                    vendor(&self.crates, &added()?)?;
                    self.crates.finish()?;
                }
                if self.part.is_complete() {
                    return Ok(()); // only crates were missing
                }
                self.part.start()?;
                self.write_settings(evcxr)?;
                self.compile(python)
            })
        } else if self.compiled()?.1 {
            step("compiling helpers, which has changed", || self.compile(python))
        } else {
            Ok(())
        }
    }

    /// Writes the files that evcxr, cargo, rust-analyzer and Jupyter read, but not the build directory.
    fn write_settings(&self, evcxr: &Path) -> Result<()> {
        let folder = self.folder();
        fs::write(folder.join("evcxr.toml"), evcxr_config())?;
        fs::write(folder.join("cargo.toml"), self.cargo_config()?)?;
        let launcher = folder.join("xtask"); // a copy: cargo replaces and deletes its own
        fs::copy(std::env::current_exe()?, &launcher)?;
        analyzer::write(&folder.join("analyzer"), &self.vendored())?;
        let spec = json!({
            "argv": [launcher, "kernel", "{connection_file}"],
            "display_name": "Rust",
            "language": "rust",
            "interrupt_mode": "message",
            "env": {
                "EVCXR_PROGRAM": evcxr,
                "RUST_SYSROOT": toolchain::sysroot()?,
                MANIFEST_DIR: root().join("xtask"),
            },
        });
        let kernels = self.jupyter_path().join("kernels/rust");
        fs::create_dir_all(&kernels)?;
        Ok(fs::write(kernels.join("kernel.json"), serde_json::to_string_pretty(&spec)?)?)
    }

    fn vendored(&self) -> PathBuf {
        self.crates.folder.join("vendor")
    }

    /// Goes before what cargo reads in the folders above, so it also names some defaults: with another
    /// linker, for example, cargo would compile all crates again.
    fn cargo_config(&self) -> Result<String> {
        // Incremental compilation makes cells faster. It needs a file system with locks.
        let lock = File::create(self.folder().join("lock"))?;
        let not_optimized = NOT_OPTIMIZED.split(' ').map(|name| format!("{name}.opt-level = 0\n"));
        let profile = PROFILE.to_owned() + &not_optimized.collect::<String>();
        Ok(format!(
            "[build]\nincremental = {}\n\n{profile}\n\
             [target.{}]\nlinker = \"cc\"\n\n\
             [source.crates-io]\nreplace-with = \"vendored\"\n\n\
             [source.vendored]\ndirectory = {}\n",
            lock.lock().is_ok(),
            toolchain::host()?,
            toml(&self.vendored())
        ))
    }

    /// The folder in which Jupyter finds the kernel, to be named by `JUPYTER_PATH`.
    pub fn jupyter_path(&self) -> PathBuf {
        self.folder().join("jupyter")
    }

    /// Lets kernels compile the notebooks' cells in a new build directory, which then replaces the old
    /// one. It begins with the crates that were compiled for an earlier one, or for another clone.
    fn compile(&self, python: &Path) -> Result<()> {
        let start = SystemTime::now();
        let [new, prepared, old] = ["new", "prepared", "old"].map(|name| self.folder().join(name));
        store::remove(&new)?;
        let build = kernel::build_directory(&new, self.folder(), Self::seed()?.as_deref())?;
        store::remove(&build.join("target/known"))?; // the cells that were compiled there
        let mut runner = self.script(python, "run_notebook.py");
        run(runner.arg("--prepare").env(kernel::PREPARE, &new))?;
        kernel::protect(&new)?;

        let lock = File::create(self.folder().join("lock"))?;
        lock.lock().ok(); // no kernel is starting; without locks, go on
        store::remove(&old)?;
        if prepared.exists() {
            fs::rename(&prepared, &old)?;
        }
        fs::rename(&new, &prepared)?;
        store::remove(&old)?;
        self.part.finish_as_of(start) // what was edited meanwhile is newer
    }

    /// The directory that was prepared last, by any clone. cargo finds out what in it is out of date.
    fn seed() -> Result<Option<PathBuf>> {
        let folders = fs::read_dir(store::home()?)?.flatten();
        let prepared = folders.map(|folder| folder.path().join("prepared"));
        let made = |folder: &PathBuf| fs::metadata(folder).and_then(|it| it.modified()).ok();
        Ok(prepared.filter(|folder| made(folder).is_some()).max_by_key(made))
    }

    /// Lets all Jupyter programs of this user find the kernel.
    pub fn register(&self, python: &Path) -> Result<()> {
        let mut install = Command::new(python);
        python::clean(&mut install).args(["-m", "jupyter", "kernelspec", "install", "--user"]);
        run(install.arg(self.jupyter_path().join("kernels/rust")))
    }

    /// The command that runs a program of `xtask/python`.
    pub fn script(&self, python: &Path, name: &str) -> Command {
        let mut script = Command::new(python);
        self.for_jupyter(&mut script).arg(root().join("xtask/python").join(name));
        script
    }

    /// Lets a program of Jupyter's find this kernel before any other of the same name.
    pub fn for_jupyter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        python::clean(command).env("JUPYTER_PATH", self.jupyter_path())
    }
}

/// A hash of this program's sources, which also have the profile: each kernel starts with a copy of the
/// program.
fn sources() -> Result<String> {
    let texts: std::io::Result<Vec<_>> = files("xtask/src", "rs")?.iter().map(fs::read).collect();
    Ok(store::hash(texts?))
}

/// What evcxr loads before it answers, so that it is loaded while the learner reads.
fn evcxr_config() -> String {
    let helpers = helpers();
    format!("[evcxr]\nlinker = \"system\"\n\n[dependencies]\nhelpers = {{ {helpers} }}\n")
}

/// A path as a string in TOML. A JSON string is one. (`{:?}` would escape the accent of a name such as
/// José, if the accent is a character of its own, in a way that TOML does not know.)
fn toml(path: &Path) -> String {
    json!(path.to_string_lossy()).to_string()
}

/// Where `helpers` is, as cargo reads it.
pub fn helpers() -> String {
    format!("path = {}", toml(&root().join("helpers")))
}

/// Further crates that notebooks may name, as lines of a `[dependencies]` table.
fn added() -> Result<String> {
    let list = store::home()?.join("crates.toml");
    if list.exists() { Ok(fs::read_to_string(list)?) } else { Ok(String::new()) }
}

/// The vendored crates.
fn crates() -> Result<Part> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("there is no Cargo.lock")?;
    Part::new("crates", &[&lock])
}

/// Lets notebooks use another crate, given as `NAME` or `NAME@VERSION`. The kernel, which uses no
/// network, then finds it among the vendored crates.
pub fn add(name: &str, features: &[String]) -> Result<()> {
    let (name, version) = name.split_once('@').unwrap_or((name, "*"));
    let dependency = format!("{name} = {{ version = {version:?}, features = {features:?} }}");
    let before = added()?;
    let others = before.lines().filter(|other| !other.starts_with(&format!("{name} =")));
    let after: String = others.chain([&*dependency]).map(|line| format!("{line}\n")).collect();
    vendor(&crates()?, &after)?; // fails if there is no such crate
    fs::write(store::home()?.join("crates.toml"), after)?;
    println!("restart the kernel, and write in the notebook's first cell:  :dep {dependency}");
    Ok(())
}

/// Copies the sources of the crates behind `helpers`, in the versions of the workspace's
/// `Cargo.lock`, and of further crates to a folder. Files that are there already stay as they are.
fn vendor(part: &Part, further: &str) -> Result<()> {
    let trial = tempfile::tempdir_in(store::home()?)?;
    fs::create_dir(trial.path().join("src"))?;
    fs::write(trial.path().join("src/lib.rs"), "")?;
    let helpers = helpers();
    let manifest = format!(
        "[package]\nname = \"ctx\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         helpers = {{ {helpers} }}\n{further}"
    );
    fs::write(trial.path().join("Cargo.toml"), manifest)?;
    let lock = trial.path().join("Cargo.lock");
    fs::copy(root().join("Cargo.lock"), &lock)?;
    let run_cargo =
        |args: &[&str]| run(cargo().args(args).current_dir(&trial).stdout(Stdio::null()));
    run_cargo(&["metadata", "--quiet", "--format-version=1"])?; // completes Cargo.lock
    if fs::read_to_string(lock)?.matches("name = \"candle-core\"").count() > 1 {
        bail!(
            "a further crate needs another candle-core than helpers, and their tensors have \
             different types: name a version of it that uses the candle-core of Cargo.lock"
        );
    }
    let folder = part.folder.join("vendor").display().to_string();
    let options = ["--quiet", "--respect-source-config", "--versioned-dirs", "--no-delete"];
    run_cargo(&[&["vendor"], &options[..], &[&folder]].concat())
}

/// When a file, or one below a folder, was last written.
fn newest(path: &Path) -> Result<SystemTime> {
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.modified()?);
    }
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(path)? {
        newest = newest.max(self::newest(&entry?.path())?);
    }
    Ok(newest)
}
