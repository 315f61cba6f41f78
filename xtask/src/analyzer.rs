//! What the kernel's rust-analyzer gets to see.
//!
//! evcxr asks a rust-analyzer of its own for the types of variables. That one reads the sources of
//! the standard library and of every crate behind the notebook, and works through all of them
//! before the first variable has a type: with all crates this is what makes a kernel slow to start
//! and heavy. But only types that a cell can meet matter, and those are in a handful of crates. So
//! rust-analyzer is shown these alone; cargo and rustc see everything.
//!
//! Both ways in are documented ones: rust-analyzer takes cargo from `CARGO_HOME/bin` and the sources
//! of the standard library from `RUST_SRC_PATH`. A rust-analyzer that looked elsewhere would see the
//! whole, and be slower.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::run;
use crate::toolchain::{cargo, numbers, std_source};

/// The crates behind a notebook whose own dependencies are hidden, and those that are shown all
/// the same. candle's hold how it computes (gemm, rayon, half) and reads files, those of `helpers`
/// how it downloads and draws: no cell has a value of their types.
const SHOWN: [(&str, &[&str]); 3] = [
    ("helpers", &["candle-core", "candle-nn"]), // re-exported
    ("candle-core", &[]),
    ("candle-nn", &["candle-core"]),
];

/// The parts of the standard library that have types to be met, and what each depends on. Left out
/// is, above all, `stdarch`: half of all its source text, for single machine instructions. The hash
/// maps of `std` have one of `hashbrown` inside: without it their size, and so much else, is unknown.
const STD: [(&str, &[&str]); 4] = [
    ("core", &[]),
    ("alloc", &["core"]),
    ("hashbrown", &["core", "alloc"]),
    ("std", &["core", "alloc", "hashbrown"]),
];

/// Writes a home of cargo's in `folder/cargo`, whose cargo is the command `cargo` of the kernel's copy
/// of this program beside `folder`, and a standard library in `folder/std`, from the vendored crates
/// and the toolchain's sources.
pub fn write(folder: &Path, vendored: &Path) -> Result<()> {
    let bin = folder.join("cargo/bin");
    fs::create_dir_all(&bin)?;
    let program = bin.join("cargo");
    fs::write(&program, "#!/bin/sh\nexec \"${0%/*}/../../../xtask\" cargo \"$@\"\n")?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;

    let (std, library) = (folder.join("std"), std_source()?);
    for (name, dependencies) in STD {
        fs::create_dir_all(std.join(name))?;
        let from = if name == "hashbrown" { newest(vendored, name)? } else { library.join(name) };
        symlink(from.join("src"), std.join(name).join("src"))?;
        let paths: String =
            dependencies.iter().map(|d| format!("{d} = {{ path = \"../{d}\" }}\n")).collect();
        let manifest =
            format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n{paths}");
        fs::write(std.join(name).join("Cargo.toml"), manifest)?;
    }
    let members = STD.map(|(name, _)| name);
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
    fs::write(std.join("Cargo.toml"), workspace)?;
    let mut lock = cargo();
    run(lock.args(["generate-lockfile", "--offline", "--quiet"]).current_dir(std))
}

/// The folder of the newest vendored version of a crate.
fn newest(vendored: &Path, name: &str) -> Result<PathBuf> {
    let folders = fs::read_dir(vendored)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names = folders.collect::<Result<Vec<_>>>()?.into_iter().flatten();
    let versions = names.filter(|folder| folder.starts_with(&format!("{name}-")));
    let newest = versions.max_by_key(|folder| numbers(folder));
    Ok(vendored.join(newest.with_context(|| format!("{name} is not vendored"))?))
}

/// Does what cargo does, and hides crates where it is asked which there are.
pub fn run_cargo(args: &[OsString]) -> Result<ExitStatus> {
    let mut cargo = Command::new("cargo");
    cargo.args(args);
    let asked = |word: &str| args.iter().any(|arg| arg == word);
    if !asked("metadata") || asked("--no-deps") {
        return Ok(cargo.status()?);
    }
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        let mut metadata = serde_json::from_slice(&output.stdout)?;
        hide_crates(&mut metadata).context("cargo metadata has another form than expected")?;
        println!("{metadata}");
    }
    Ok(output.status)
}

/// Cuts the edges of the dependency graph that [`SHOWN`] does not show, and removes the crates that
/// are then out of reach. Crates that a notebook names itself stay, with all behind them.
fn hide_crates(metadata: &mut Value) -> Option<()> {
    let packages = metadata["packages"].as_array()?;
    let is_hidden = |from: &str, to: &str| {
        let name = |id: &str| packages.iter().find(|p| p["id"] == id)?["name"].as_str();
        let (Some(from), Some(to)) = (name(from), name(to)) else {
            return false;
        };
        SHOWN.iter().any(|(of, shown)| *of == from && !shown.contains(&to))
    };
    let mut nodes = metadata["resolve"]["nodes"].as_array()?.clone();
    for node in &mut nodes {
        let id = node["id"].as_str()?.to_owned();
        let stays = |to: &Value| !is_hidden(&id, to.as_str().unwrap_or_default());
        node["deps"].as_array_mut()?.retain(|d| stays(&d["pkg"]));
        node["dependencies"].as_array_mut()?.retain(stays);
    }

    let mut to_visit = metadata["workspace_members"].as_array()?.clone();
    let mut reached: Vec<Value> = Vec::new();
    while let Some(id) = to_visit.pop() {
        if !reached.contains(&id) {
            let node = nodes.iter().find(|node| node["id"] == id)?;
            to_visit.extend(node["dependencies"].as_array()?.iter().cloned());
            reached.push(id);
        }
    }
    nodes.retain(|node| reached.contains(&node["id"]));
    metadata["resolve"]["nodes"] = nodes.into();
    let packages = metadata["packages"].as_array_mut()?;
    packages.retain(|package| reached.contains(&package["id"]));
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A package or a node per name; `deps` are edges, from and to.
    fn graph(names: &[&str], edges: &[(&str, &str)]) -> Value {
        let packages = names.iter().map(|name| json!({"id": name, "name": name}));
        let nodes = names.iter().map(|name| {
            let to: Vec<&str> = edges.iter().filter(|e| e.0 == *name).map(|e| e.1).collect();
            let deps: Vec<Value> = to.iter().map(|to| json!({"name": to, "pkg": to})).collect();
            json!({"id": name, "deps": deps, "dependencies": to})
        });
        json!({
            "packages": packages.collect::<Vec<_>>(),
            "workspace_members": ["ctx"],
            "resolve": {"nodes": nodes.collect::<Vec<_>>()},
            "version": 1,
        })
    }

    #[test]
    fn helpers_and_candle_are_shown_and_what_is_behind_them_is_not() {
        let mut metadata = graph(
            &["ctx", "helpers", "candle-core", "candle-nn", "gemm", "plotters"],
            &[
                ("ctx", "helpers"),
                ("helpers", "candle-core"),
                ("helpers", "candle-nn"),
                ("helpers", "plotters"),
                ("candle-nn", "candle-core"),
                ("candle-core", "gemm"),
            ],
        );
        hide_crates(&mut metadata).unwrap();
        let expected = graph(
            &["ctx", "helpers", "candle-core", "candle-nn"],
            &[
                ("ctx", "helpers"),
                ("helpers", "candle-core"),
                ("helpers", "candle-nn"),
                ("candle-nn", "candle-core"),
            ],
        );
        assert_eq!(metadata, expected);
    }

    #[test]
    fn a_crate_that_a_notebook_names_is_shown_with_all_behind_it() {
        let edges = [("ctx", "helpers"), ("ctx", "rand"), ("rand", "gemm")];
        let mut metadata = graph(&["ctx", "helpers", "rand", "gemm"], &edges);
        let before = metadata.clone();
        hide_crates(&mut metadata).unwrap();
        assert_eq!(metadata, before);
    }
}
