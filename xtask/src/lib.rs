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
