//! Python environments: JupyterLab's, and those of the tests and benchmarks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{first_line, run, step};
use crate::root;
use crate::store::Part;

/// What the benchmarks compare with, and what runs notebooks on Python's kernel.
const TORCH: [&str; 5] =
    ["torch==2.15.0", "numpy==2.4.6", "matplotlib==3.11.2", "ipykernel==7.4.0", "nbclient==0.11.0"];

/// What the tests need: NumPy for its files, Playwright to control a browser, nbgrader.
const TESTING: [&str; 4] =
    ["pytest==9.2.0", "numpy==2.4.6", "playwright==1.65.2", "nbgrader==0.9.6"];

/// JupyterLab's settings: it does not ask at its first start whether it may fetch news, and waits for
/// the names that Tab completes until the kernel's rust-analyzer has started.
const SETTINGS: &str = r#"{
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false},
    "@jupyterlab/completer-extension:manager": {"providerTimeout": 30000}
}"#;

/// A Python environment and the packages that it should have, in pip's notation.
pub struct Environment {
    part: Part,
    packages: Vec<String>,
}

impl Environment {
    /// JupyterLab and the other packages of `environment.yml`.
    pub fn jupyter() -> Result<Self> {
        Self::new("jupyter", pinned(&fs::read_to_string(root().join("environment.yml"))?))
    }

    pub fn torch() -> Result<Self> {
        Self::new("torch", TORCH.map(str::to_owned).to_vec())
    }

    pub fn testing() -> Result<Self> {
        Self::new("testing", TESTING.map(str::to_owned).to_vec())
    }

    fn new(name: &str, packages: Vec<String>) -> Result<Self> {
        let part = Part::new(name, &[&packages.join("\n"), SETTINGS])?;
        Ok(Self { part, packages })
    }

    pub fn python(&self) -> PathBuf {
        self.part.folder.join("bin/python")
    }

    /// Whether it is complete and the Python that it was made from still exists.
    pub fn is_complete(&self) -> bool {
        self.part.is_complete() && first_line(self.python(), &["-c", "print()"]).is_some()
    }

    /// Installs what is missing and returns the interpreter. The caller holds the set-up's lock.
    pub fn install(&self) -> Result<PathBuf> {
        if !self.is_complete() {
            let names = self.packages.join(", ").replace("==", " ");
            step(&format!("installing {names}"), || self.make())?;
        }
        Ok(self.python())
    }

    fn make(&self) -> Result<()> {
        self.part.start()?;
        let base = base_python().context(NO_PYTHON)?;
        let folder = &self.part.folder;
        run(clean(Command::new(base).args(["-m", "venv"]).arg(folder))).context(
            "Python cannot make environments: install its venv module (Debian and Ubuntu: apt \
             install python3-venv)",
        )?;
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(clean(pip.args(&self.packages)))?;
        let settings = folder.join("share/jupyter/lab/settings");
        fs::create_dir_all(&settings)?;
        fs::write(settings.join("overrides.json"), SETTINGS)?;
        self.part.finish()
    }
}

pub const NO_PYTHON: &str = "there is no Python 3.11 or later: install one (Debian and Ubuntu: \
     apt install python3 python3-venv) and run this again";

/// JupyterLab's Python: that of the active conda environment if it has JupyterLab, or a private one.
pub fn installed() -> Result<Option<PathBuf>> {
    if let Some(python) = active_conda() {
        return Ok(Some(python));
    }
    let jupyter = Environment::jupyter()?;
    Ok(jupyter.is_complete().then(|| jupyter.python()))
}

/// The interpreter of the active conda environment, or of the one that repo2docker makes for an
/// image, if that has JupyterLab.
pub fn active_conda() -> Option<PathBuf> {
    let prefixes = ["CONDA_PREFIX", "NB_PYTHON_PREFIX"].into_iter().filter_map(std::env::var_os);
    let mut bins = prefixes.map(|prefix| PathBuf::from(prefix).join("bin"));
    bins.find(|bin| bin.join("jupyter-lab").exists()).map(|bin| bin.join("python"))
}

/// A Python on the path from which environments can be made.
pub fn base_python() -> Option<&'static str> {
    const IS_NEW: &str = "import sys; print(sys.version_info >= (3, 11))";
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
    names.into_iter().find(|name| first_line(name, &["-c", IS_NEW]).as_deref() == Some("True"))
}

/// Removes the variables that make Python or pip use other folders than the environment's own.
pub fn clean(command: &mut Command) -> &mut Command {
    for name in ["PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX"] {
        command.env_remove(name);
    }
    // Set, not removed: a pip.conf can have `user = true`.
    command.env("PIP_USER", "0").env("PYTHONNOUSERSITE", "1")
}

/// The packages of `environment.yml` that have an exact version, in pip's notation, without those that
/// only conda has.
fn pinned(environment: &str) -> Vec<String> {
    environment
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().strip_prefix("- ")?.split_once('='))
        .filter(|(name, _)| !["python", "rust"].contains(&name.trim_end_matches(['<', '>', '='])))
        .map(|(name, version)| format!("{name}=={version}"))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn pip_gets_the_packages_and_versions_of_the_conda_environment() {
        let environment = "name: x\nchannels:\n  - conda-forge\ndependencies:\n  \
            - python>=3.11 # a comment\n  - rust=1.95\n  - jupyterlab=4.6.6 # why\n  - pip\n";
        assert_eq!(super::pinned(environment), ["jupyterlab==4.6.6"]);
    }
}
