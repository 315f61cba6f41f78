//! What the kernel's rust-analyzer gets to see.
//!
//! evcxr asks a rust-analyzer of its own for the types of variables. That one reads the sources of
//! the standard library and of every crate behind the notebook, and works through all of them
//! before the first variable has a type: with all 130 crates this is what makes a kernel slow to
//! start and heavy. But only types that a cell can meet matter, and those are in a handful of
//! crates. So it is shown these alone; cargo and rustc see everything.
//!
//! Both ways in are its documented ones: it takes cargo from `CARGO_HOME/bin` and the sources of
//! the standard library from `RUST_SRC_PATH`. A rust-analyzer that looked elsewhere would see the
//! whole, and be slower.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{setup, succeed};

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

/// The folder that rust-analyzer takes for cargo's home.
pub fn cargo_home(view: &Path) -> PathBuf {
    view.join("cargo")
}

/// The folder that rust-analyzer takes for the standard library's.
pub fn std_source(view: &Path) -> PathBuf {
    view.join("std")
}

/// Makes both folders in `view`, which must not exist, from the sources of the standard library and
/// the vendored ones of other crates.
pub fn make(view: &Path, library: &Path, vendor: &Path) -> Result<()> {
    let std = std_source(view);
    for (name, dependencies) in STD {
        fs::create_dir_all(std.join(name))?;
        let from = if name == "hashbrown" { vendor } else { library };
        symlink(from.join(name).join("src"), std.join(name).join("src"))?;
        let paths = dependencies
            .iter()
            .map(|d| format!("{d} = {{ path = \"../{d}\" }}\n"));
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n{}",
            paths.collect::<String>()
        );
        fs::write(std.join(name).join("Cargo.toml"), manifest)?;
    }
    let members = STD.map(|(name, _)| name);
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
    fs::write(std.join("Cargo.toml"), workspace)?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["generate-lockfile", "--offline", "--quiet"]);
    succeed(cargo.current_dir(std))?;

    make_cargo_home(view, true)
}

/// Makes the folder that rust-analyzer takes for cargo's home; `as_users` has it go on from the
/// user's.
pub fn make_cargo_home(view: &Path, as_users: bool) -> Result<()> {
    let bin = cargo_home(view).join("bin");
    fs::create_dir_all(&bin)?;
    let program = bin.join("cargo");
    if !program.exists() {
        fs::remove_file(&program).ok();
        let made = symlink(std::env::current_exe()?, &program);
        if !program.exists() {
            made?; // otherwise another kernel was first
        }
    }
    // The user's settings go on to hold, and what has been downloaded is not downloaded again.
    if let Some(home) = setup::cargo_home().filter(|_| as_users) {
        for name in ["config.toml", "config", "registry"] {
            if home.join(name).exists() {
                symlink(home.join(name), cargo_home(view).join(name))?;
            }
        }
    }
    Ok(())
}

/// Whether this program was started as `cargo`, from the folder that [`make`] makes.
pub fn is_called_cargo() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name() == Some("cargo".as_ref()))
}

/// Does what cargo does, and hides crates where it is asked which there are.
pub fn cargo() -> Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(&args);
    let asked = |word: &str| args.iter().any(|arg| arg == word);
    if !asked("metadata") || asked("--no-deps") {
        bail!(std::os::unix::process::CommandExt::exec(&mut cargo));
    }
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        std::process::exit(output.status.code().unwrap_or(1));
    }
    let mut metadata = serde_json::from_slice(&output.stdout)?;
    hide_crates(&mut metadata).context("cargo metadata has another form than expected")?;
    println!("{metadata}");
    Ok(())
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
        SHOWN
            .iter()
            .any(|(of, shown)| *of == from && !shown.contains(&to))
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
            &[
                "ctx",
                "helpers",
                "candle-core",
                "candle-nn",
                "gemm",
                "plotters",
            ],
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
