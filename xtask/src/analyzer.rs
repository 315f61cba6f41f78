//! Which crates the kernel's rust-analyzer sees.
//!
//! evcxr has a rust-analyzer inside, which finds the types of variables. It reads the sources of the
//! standard library and of every crate that it sees, before the first variable has a type. If it saw
//! all crates behind a notebook, kernels would start slowly and need much memory. But the types that
//! cells use are in a handful of crates. So we show rust-analyzer these crates alone; cargo and rustc
//! see all crates.
//!
//! Both ways to do this are documented: rust-analyzer runs the cargo in `CARGO_HOME/bin`, and reads
//! the standard library in `RUST_SRC_PATH`. If a version of it looked elsewhere, it would see all
//! crates and only be slower.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::run;
use crate::toolchain::{cargo, numbers, std_source};

/// Crates whose dependencies are hidden, each with the dependencies that are still shown. The hidden
/// crates compute (gemm, rayon, half), read files, download and draw: no cell has a value of their
/// types.
const SHOWN: [(&str, &[&str]); 3] = [
    ("helpers", &["candle-core", "candle-nn"]), // re-exported
    ("candle-core", &[]),
    ("candle-nn", &["candle-core"]),
];

/// The parts of the standard library whose types cells use, and what each depends on. Above all,
/// `stdarch` is left out: it is half of the source text, for single machine instructions. `hashbrown`
/// is needed because the hash maps of `std` have one of its maps inside: without it rust-analyzer does
/// not know their size, and so no type that contains one.
const STD: [(&str, &[&str]); 4] = [
    ("core", &[]),
    ("alloc", &["core"]),
    ("hashbrown", &["core", "alloc"]),
    ("std", &["core", "alloc", "hashbrown"]),
];

/// Writes a home of cargo to `folder/cargo`. The cargo in it runs the command `cargo` of the kernel's
/// copy of this program, which is beside `folder`. Also writes a standard library to `folder/std`, made
/// from the toolchain's sources and the vendored crates.
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
    run(cargo().args(["generate-lockfile", "--offline", "--quiet"]).current_dir(std))
}

/// The folder of the newest vendored version of a crate.
fn newest(vendored: &Path, name: &str) -> Result<PathBuf> {
    let folders = fs::read_dir(vendored)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names = folders.collect::<Result<Vec<_>>>()?.into_iter().flatten();
    let versions = names.filter(|folder| folder.starts_with(&format!("{name}-")));
    let newest = versions.max_by_key(|folder| numbers(folder));
    Ok(vendored.join(newest.with_context(|| format!("{name} is not vendored"))?))
}

/// Does what cargo does. If it is asked for all crates (`cargo metadata`), hides some of them.
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
    let name = |id: &Value| packages.iter().find(|p| p["id"] == *id)?["name"].as_str();
    let mut nodes = metadata["resolve"]["nodes"].as_array()?.clone();
    for node in &mut nodes {
        let from = name(&node["id"]);
        if let Some((_, shown)) = SHOWN.iter().find(|(of, _)| Some(*of) == from) {
            let stays = |to: &Value| name(to).is_none_or(|to| shown.contains(&to));
            node["deps"].as_array_mut()?.retain(|d| stays(&d["pkg"]));
            node["dependencies"].as_array_mut()?.retain(stays);
        }
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
    metadata["packages"].as_array_mut()?.retain(|package| reached.contains(&package["id"]));
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
        let names = ["ctx", "helpers", "candle-core", "candle-nn", "gemm", "plotters"];
        let edges = [
            ("ctx", "helpers"),
            ("helpers", "candle-core"),
            ("helpers", "candle-nn"),
            ("candle-nn", "candle-core"),
            ("helpers", "plotters"),
            ("candle-core", "gemm"),
        ];
        let mut metadata = graph(&names, &edges);
        hide_crates(&mut metadata).unwrap();
        assert_eq!(metadata, graph(&names[..4], &edges[..4]));
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
