//! The project's commands. `main.rs` is the command line. Tests use the modules directly.
#![allow(missing_docs)] // no other crate uses them

pub mod analyzer;
pub mod command;
pub mod doctor;
pub mod evcxr;
pub mod kernel;
pub mod lab;
pub mod notebook;
pub mod prepared;
pub mod python;
pub mod setup;
pub mod store;
pub mod toolchain;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;

/// The variable that names this package's folder. cargo sets it when it compiles and when it runs this
/// program, and the kernel's settings set it for the launcher.
pub const MANIFEST_DIR: &str = "CARGO_MANIFEST_DIR";

/// The folder that holds the workspace.
pub fn root() -> &'static Path {
    // Read when this runs: cargo does not compile this again after the clone was moved.
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        let present = std::env::var_os(MANIFEST_DIR).map(PathBuf::from);
        let is_xtask = |folder: &PathBuf| folder.ends_with("xtask");
        present.filter(is_xtask).unwrap_or(env!("CARGO_MANIFEST_DIR").into())
    });
    PACKAGE.parent().expect("xtask is in a workspace")
}

/// The files with this extension in a folder of the workspace, sorted.
fn files(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let files = root().join(folder).read_dir()?.map(|file| Ok(file?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|other| other == extension));
    files.sort();
    Ok(files)
}
