//! Rust: the one version that all parts use, and its environment variables.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{first_line, run};
use crate::root;

const NO_RUST: &str = "there is no rustc: install Rust from https://rustup.rs";

/// The version in `rust-toolchain.toml`, which rustup follows.
pub fn version() -> &'static str {
    let toolchain = include_str!("../../rust-toolchain.toml");
    let rest = toolchain.split_once("channel = \"").map(|(_, rest)| rest);
    let version = rest.and_then(|rest| rest.split('"').next());
    version.expect("rust-toolchain.toml names a channel")
}

/// What is wrong with the installed Rust, and what to do about it.
pub fn problem() -> Option<String> {
    let Some(got) = first_line("rustc", &["--version"]) else {
        return Some(NO_RUST.into());
    };
    let version = version();
    (numbers(&got) < numbers(version)).then(|| {
        format!(
            "Rust is too old: expected {version}, got {got}: run `rustup toolchain install \
             {version}`, or install a newer Rust"
        )
    })
}

/// Prints a note if Rust is newer than the version that is tested.
pub fn warn_if_untested() {
    let got = first_line("rustc", &["--version"]).unwrap_or_default();
    if numbers(&got) > numbers(version()) {
        println!("note: tested with Rust {}, not with {got}", version());
    }
}

/// The numbers in a text, such as 1, 95, 0 of a version.
pub fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).take(3).collect()
}

/// The cargo that runs this program, or else the one on the path.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// What the compiled crates depend on: version, commit and host of rustc.
pub fn identity() -> Result<String> {
    let rustc = Command::new("rustc").arg("-vV").current_dir(root()).output().context(NO_RUST)?;
    Ok(String::from_utf8_lossy(&rustc.stdout).into_owned())
}

/// The platform that rustc compiles for, such as x86_64-unknown-linux-gnu.
pub fn host() -> Result<String> {
    first_line("rustc", &["--print", "host-tuple"]).context("rustc does not print its host")
}

pub fn sysroot() -> Result<PathBuf> {
    let sysroot = first_line("rustc", &["--print", "sysroot"]);
    Ok(sysroot.context("rustc does not print its sysroot")?.into())
}

/// The sources of the standard library, from which the kernel knows the types of variables.
pub fn std_source() -> Result<PathBuf> {
    let library = sysroot()?.join("lib/rustlib/src/rust/library");
    if !library.join("core/src/lib.rs").exists() {
        bail!(
            "the sources of Rust's standard library are missing: run `rustup component add \
             rust-src`, or install your system's package rust-src"
        );
    }
    Ok(library)
}

/// Adds the sources of the standard library, if rustup has not done so itself.
pub fn add_std_source() -> Result<()> {
    if std_source().is_err() && first_line("rustup", &["--version"]).is_some() {
        let mut rustup = Command::new("rustup");
        run(rustup.args(["component", "add", "rust-src"]).current_dir(root()))?;
    }
    std_source().map(drop)
}

/// Removes the variables that change what cargo and rustc build. So a kernel never compiles its
/// prepared crates again, in any environment. rustup's programs use the toolchain in `sysroot`.
pub fn clear_build_variables(command: &mut Command, sysroot: &Path) {
    const C_COMPILERS: [&str; 7] = ["CC", "CXX", "AR", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_cargos = text.starts_with("CARGO") || text.starts_with("__CARGO");
        let is_rustcs = text.starts_with("RUST") && !text.starts_with("RUSTUP");
        if is_cargos || is_rustcs || C_COMPILERS.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.env("RUSTUP_TOOLCHAIN", sysroot);
    // A wrapper that changes nothing, even if a configuration file of cargo's names another. (With an
    // empty name, cargo would not remember what rustc says of itself, and ask at each start.)
    command.env("RUSTC_WRAPPER", "env").env("RUSTC_WORKSPACE_WRAPPER", "env");
}

/// Lets a program find the toolchain in `sysroot` and its libraries, even if it is not on the path.
/// Leaves out folders of libraries that have a `libhelpers`, such as cargo's: it is not the one that
/// cells are compiled against.
pub fn set_paths(command: &mut Command, sysroot: &Path) {
    let libraries =
        if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    // The standard library that cells link to is in a folder for each target.
    let targets = sysroot.join("lib/rustlib").read_dir().into_iter().flatten().flatten();
    let targets = targets.map(|target| target.path().join("lib")).filter(|folder| folder.is_dir());
    let of_sysroot = [sysroot.join("lib")].into_iter().chain(targets).collect();
    let helpers = format!("{DLL_PREFIX}helpers{DLL_SUFFIX}");
    for (variable, of_sysroot) in [(libraries, of_sysroot), ("PATH", vec![sysroot.join("bin")])] {
        let users = std::env::var_os(variable).unwrap_or_default();
        let users = std::env::split_paths(&users)
            .filter(|folder| folder.is_absolute() && !folder.join(&helpers).exists());
        if let Ok(all) = std::env::join_paths(of_sysroot.into_iter().chain(users)) {
            command.env(variable, all); // unless a folder has a colon in its name
        }
    }
}

pub fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    home.context("HOME is not set: set it to a folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_number_by_number() {
        assert!(numbers("rustc 1.95.0 (59807616e 2026-04-14)") == numbers("1.95.0"));
        assert!(numbers("rustc 1.89.0 (x)") < numbers("1.95.0"));
        assert!(numbers("rustc 1.100.0-nightly (x)") > numbers("1.95.0"));
    }
}
