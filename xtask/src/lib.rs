//! The project's commands. `main.rs` is the command line; tests use the modules directly.
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

use std::path::Path;

/// The folder that holds the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in a workspace")
}
