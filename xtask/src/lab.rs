//! JupyterLab: opening it, and finding the one that is open.

use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::command::run;
use crate::setup::setup;
use crate::{python, root};

/// Opens the notebooks in JupyterLab. If they are open already, prints the address.
pub fn open(options: &[OsString]) -> Result<()> {
    let (python, prepared) = setup()?;
    if let Some(url) = running(&python) {
        println!("JupyterLab is running already: open {url}");
        return Ok(());
    }
    let notebooks = root().join("notebooks");
    let mut jupyter = Command::new(python.with_file_name("jupyter-lab"));
    jupyter.arg(format!("--ServerApp.root_dir={}", notebooks.display()));
    jupyter.arg("--ServerApp.ip=127.0.0.1").args(options);
    if rustix::process::getuid().is_root() {
        jupyter.arg("--allow-root"); // JupyterLab refuses otherwise; it listens on localhost only
    }
    println!("opening JupyterLab; to end it, press Ctrl-C here");
    run(prepared.for_jupyter(&mut jupyter))
}

/// The address of the JupyterLab that has the notebooks open, if there is one.
pub fn running(python: &Path) -> Option<String> {
    let mut list = Command::new(python.with_file_name("jupyter-server"));
    let output = python::clean(list.args(["list", "--jsonlist"])).output().ok()?;
    let servers: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
    let notebooks = root().join("notebooks").canonicalize().ok()?;
    let is_notebooks = |dir: &str| fs::canonicalize(dir).is_ok_and(|dir| dir == notebooks);
    let is_ours = |server: &&Value| server["root_dir"].as_str().is_some_and(is_notebooks);
    // The list only checks process ids. In a container another program soon has the same id.
    let answers = |server: &&Value| {
        let port = server["port"].as_u64().and_then(|port| port.try_into().ok());
        port.is_some_and(|port: u16| TcpStream::connect(("localhost", port)).is_ok())
    };
    let server = servers.iter().filter(is_ours).find(answers)?;
    let (url, token) = (server["url"].as_str()?, server["token"].as_str()?);
    Some(format!("{url}lab?token={token}"))
}
