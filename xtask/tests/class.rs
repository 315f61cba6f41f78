//! What machines for many learners are made from. Neither conda nor containers can be run here, so
//! their files are looked at.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{assert_passed, root};
use serde_json::Value;

fn environment() -> String {
    fs::read_to_string(root().join("environment.yml")).unwrap()
}

#[test]
fn what_conda_is_to_install_are_match_specs() {
    let program = "\
import sys, yaml\nfrom rattler import MatchSpec\n\
for line in yaml.safe_load(sys.argv[1])['dependencies']:\n    \
    spec = MatchSpec(line, strict=True)\n    \
    print(spec.name.normalized, spec.version)\n";
    let python = std::env::var_os("TESTING_PYTHON").expect("run by cargo xtask test");
    let parse = |environment: &str| {
        let mut python = Command::new(&python);
        python.args(["-c", program, environment]).output().unwrap()
    };
    let output = parse(&environment());
    assert_passed(&output);
    let specs = String::from_utf8(output.stdout).unwrap();
    assert!(
        specs.contains("jupyterlab ==4.6.6\n") || specs.contains("jupyterlab 4.6.6"),
        "{specs}"
    );
    assert!(specs.contains("rust >=1.89\n"), "{specs}");
    assert!(
        !parse("dependencies: [jupyterlab==4=5=6=7]")
            .status
            .success()
    );
}

/// As `1.89` or `1.89.0`.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect()
}

#[test]
fn the_rust_that_is_asked_for_is_enough_for_all_crates() {
    let host = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output()
        .unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            host.trim(),
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert_passed(&output);
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let wanted = packages.iter().filter_map(|package| {
        let version = package["rust_version"].as_str()?;
        Some((numbers(version), package["name"].as_str()?))
    });
    let (newest, by) = wanted.max().unwrap();
    let environment = environment();
    let (_, asked) = environment.split_once("rust>=").unwrap();
    let asked = numbers(asked.split_whitespace().next().unwrap());
    assert!(
        asked >= newest[..2].to_vec(),
        "{by} wants Rust {newest:?}, asked for is {asked:?}"
    );
    assert!(newest.len() >= 2);
}

#[test]
fn the_image_is_prepared_when_it_is_built() {
    let post_build = root().join("postBuild");
    let mode = fs::metadata(&post_build).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "postBuild is to be run");
    assert!(
        fs::read_to_string(post_build)
            .unwrap()
            .contains("cargo xtask setup")
    );
    let devcontainer = fs::read_to_string(root().join(".devcontainer/devcontainer.json")).unwrap();
    let devcontainer: Value = serde_json::from_str(&devcontainer).unwrap();
    assert_eq!(devcontainer["onCreateCommand"], "./postBuild");
}
