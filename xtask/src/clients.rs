//! Foreign clients of the broker: what the stories of the tests run against it, installed below the target directory.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{console, program};

/// Where the Python client lies, below the target directory.
const PYTHON: &str = "clients/python";
/// The release that speaks the protocol of the broker.
const PYTHON_CLIENT: &str = "apache-iggy==0.9.0";

/// Installs them where their tools are.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.built(PYTHON);
    if succeeds(Command::new(folder.join("bin/python")).args(["-c", "import apache_iggy"])) {
        return Ok(());
    }
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        return workspace.leave_out("Iggy's Python client needs Python 3.10 or later with pip and venv");
    }
    console::note(format_args!("installing {PYTHON_CLIENT}"));
    program::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    program::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", PYTHON_CLIENT]))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
