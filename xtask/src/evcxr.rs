//! evcxr, the kernel's program: its published sources with the patches of `xtask/evcxr`, compiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{run, step};
use crate::store::{self, Part};
use crate::toolchain::{self, cargo};
use crate::{files, root};

pub const VERSION: &str = "0.22.0";
const WORKSPACE: &str = "xtask/evcxr/workspace.toml";

/// The patches, in the order in which they are applied.
fn patches() -> Result<Vec<PathBuf>> {
    files("xtask/evcxr", "patch")
}

/// Depends on evcxr's version, the patches, the build's options, and the compiler.
pub fn part() -> Result<Part> {
    let patches: std::io::Result<String> = patches()?.iter().map(fs::read_to_string).collect();
    let workspace = fs::read_to_string(root().join(WORKSPACE))?;
    Part::new("evcxr", &[VERSION, &patches?, &workspace, &toolchain::identity()?])
}

pub fn installed() -> Result<Option<PathBuf>> {
    let part = part()?;
    Ok(part.is_complete().then(|| part.folder.join("evcxr_jupyter")))
}

/// Compiles the program if it is not there. The caller holds the set-up's lock.
pub fn install() -> Result<PathBuf> {
    let part = part()?;
    let program = part.folder.join("evcxr_jupyter");
    if !part.is_complete() {
        step("step 1 of 2: compiling the Rust kernel (about 4 minutes on two cores)", || {
            part.start()?;
            let workspace = part.folder.join("source");
            patched_source(&workspace)?;
            let mut build = cargo();
            toolchain::clear_build_variables(&mut build, &toolchain::sysroot()?);
            let options = ["--release", "--package", "evcxr_jupyter", "--target-dir", "target"];
            run(build.arg("build").args(options).current_dir(&workspace))?;
            fs::rename(workspace.join("target/release/evcxr_jupyter"), &program)?;
            fs::remove_dir_all(workspace)?;
            part.finish()
        })?;
    }
    Ok(program)
}

/// The program as it is published, to compare with.
pub fn stock() -> Result<PathBuf> {
    let _lock = store::lock()?;
    let part = Part::new("stock", &[VERSION, &toolchain::identity()?])?;
    if !part.is_complete() {
        step("compiling evcxr without patches (about 9 minutes on two cores)", || {
            part.start()?;
            let mut install = cargo();
            toolchain::clear_build_variables(&mut install, &toolchain::sysroot()?);
            install.args(["install", "evcxr_jupyter", "--locked", "--version", VERSION, "--root"]);
            run(install.arg(&part.folder))?;
            part.finish()
        })?;
    }
    Ok(part.folder.join("bin/evcxr_jupyter"))
}

/// Makes a workspace of the published sources, patched.
fn patched_source(workspace: &Path) -> Result<()> {
    fs::create_dir_all(workspace)?;
    for name in ["evcxr", "evcxr_jupyter"] {
        let source = published_source(name)?;
        run(Command::new("cp").arg("-R").arg(source).arg(workspace.join(name)))?;
    }
    for patch in patches()? {
        apply(workspace, &fs::read_to_string(&patch)?).with_context(|| {
            let name = patch.file_name().unwrap_or_default().display();
            format!("{name} does not fit evcxr {VERSION}: change the patch")
        })?;
    }
    fs::copy(root().join(WORKSPACE), workspace.join("Cargo.toml"))?;
    fs::rename(workspace.join("evcxr_jupyter/Cargo.lock"), workspace.join("Cargo.lock"))?;
    Ok(())
}

/// Where cargo unpacks the sources of a package.
fn published_source(name: &str) -> Result<PathBuf> {
    let package = format!("{name}@{VERSION}");
    run(cargo().args(["info", "--quiet", &package]).stdout(Stdio::null()))?;
    let sources = toolchain::cargo_home()?.join("registry/src");
    let registries = fs::read_dir(&sources)
        .with_context(|| format!("cargo keeps no sources in {}", sources.display()))?;
    let mut folders = registries.flatten().map(|registry| registry.path());
    folders
        .find_map(|folder| Some(folder.join(format!("{name}-{VERSION}"))).filter(|f| f.is_dir()))
        .with_context(|| format!("cargo has no sources of {name} in {}", sources.display()))
}

/// Applies a unified diff, which may change several files and create some.
fn apply(workspace: &Path, patch: &str) -> Result<()> {
    let options = diffy::patch_set::ParseOptions::unidiff();
    for file in diffy::patch_set::PatchSet::parse(patch, options) {
        let file = file?;
        let operation = file.operation().strip_prefix(1);
        use diffy::patch_set::FileOperation::{Create, Modify};
        let (original, path) = match &operation {
            Create(path) => (String::new(), path),
            Modify { modified, .. } => (fs::read_to_string(workspace.join(&**modified))?, modified),
            other => bail!("expected files to be changed or created, got {other:?}"),
        };
        let patch = file.patch().as_text().context("expected a text")?;
        let patched = diffy::apply(&original, patch).with_context(|| path.to_string())?;
        fs::write(workspace.join(&**path), patched)?;
    }
    Ok(())
}
