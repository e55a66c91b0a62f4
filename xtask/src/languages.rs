//! Guests in other languages than Rust with the SDK, each built with the tools of its own ecosystem.
//!
//! The sources are copied below the target directory and built there: nothing is left in the repository, and what has
//! not changed is not built again. The stories of the tests take the components from there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{console, program};

/// Where they are built, below the target directory.
const FOLDER: &str = "languages";

/// What building in place leaves in a guest's folder.
const LEFT_BEHIND: [&str; 5] = [".venv", "__pycache__", "bindings.rs", "node_modules", "target"];

/// A command, in words.
type Words = &'static [&'static str];

/// A guest and how a component is made of it.
struct Guest {
    /// Its folder in `guests/`.
    name: &'static str,
    /// Succeeds where its tools are.
    tool: Words,
    /// What is missing when it fails.
    missing: &'static str,
    /// Makes the component, command by command in the guest's folder.
    steps: &'static [Words],
    /// The component, from that folder.
    component: &'static str,
}

const GUESTS: [Guest; 3] = [
    Guest {
        name: "discount-js",
        tool: &["npm", "--version"],
        missing: "npm, with Node.js 18 or later",
        steps: &[&["npm", "ci", "--no-audit", "--no-fund"], &["npm", "run", "build"]],
        component: "discount.wasm",
    },
    Guest {
        name: "fraud-py",
        tool: &["python3", "-c", "import ensurepip, venv"],
        missing: "Python 3.9 or later with pip and venv",
        steps: &[
            &["python3", "-m", "venv", ".venv"],
            &[".venv/bin/pip", "install", "--require-hashes", "--requirement", "requirements.txt"],
            &[
                ".venv/bin/componentize-py",
                "--wit-path",
                "../../wit",
                "--world",
                "event-handler",
                "componentize",
                "fraud",
                "--output",
                "fraud.wasm",
            ],
        ],
        component: "fraud.wasm",
    },
    Guest {
        name: "greeter-component",
        tool: &["cargo", "component", "--version"],
        missing: "cargo-component; `cargo install --locked cargo-component` brings it",
        steps: &[&["cargo", "component", "build", "--release", "--locked", "--target-dir", "target"]],
        component: "target/wasm32-wasip1/release/greeter_component.wasm",
    },
];

/// Builds those whose tools are here.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.built(FOLDER);
    let contract_is_new = copy(&workspace.file("wit"), &folder.join("wit"))?;
    for guest in &GUESTS {
        let component = folder.join(guest.name).with_extension("wasm");
        let copied = folder.join("guests").join(guest.name);
        let is_new = copy(&workspace.file("guests").join(guest.name), &copied)?;
        if contract_is_new || is_new {
            remove(&component)?;
        }
    }
    GUESTS.iter().try_for_each(|guest| guest.build(workspace, &folder))
}

impl Guest {
    fn build(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        let component = folder.join(self.name).with_extension("wasm");
        if component.is_file() {
            return Ok(());
        }
        let copied = folder.join("guests").join(self.name);
        if !succeeds(&mut command(self.tool, &copied)) {
            return workspace.leave_out(&format!("the guest `{}` needs {}", self.name, self.missing));
        }
        console::note(format_args!("building guests/{}", self.name));
        for step in self.steps {
            program::run(&mut command(step, &copied))?;
        }
        fs::copy(copied.join(self.component), &component)
            .with_context(|| format!("the tools of `{}` left no {}", self.name, self.component))?;
        Ok(())
    }
}

fn command(words: Words, folder: &Path) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    // One that lies in the folder is named from there.
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Copies the files of a folder that differ, with the folders in it, and says whether there were any.
fn copy(from: &Path, to: &Path) -> Result<bool> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut is_new = false;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let left_behind = LEFT_BEHIND.iter().any(|left| name == *left);
        if left_behind || path.extension().is_some_and(|extension| extension == "wasm") {
            continue;
        }
        is_new |=
            if path.is_dir() { copy(&path, &to.join(name))? } else { copy_file(&path, &to.join(name))? };
    }
    Ok(is_new)
}

fn copy_file(from: &Path, to: &Path) -> Result<bool> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|copied| copied == content) {
        return Ok(false);
    }
    fs::write(to, content).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_copied_and_nothing_that_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("src/node_modules")).unwrap();
        for file in ["a.js", "src/b.py", "src/node_modules/c.js", "a.wasm"] {
            fs::write(from.join(file), file).unwrap();
        }
        assert!(copy(&from, &to).unwrap());
        assert_eq!(fs::read(to.join("src/b.py")).unwrap(), b"src/b.py");
        assert!(!to.join("a.wasm").exists() && !to.join("src/node_modules").exists());
        assert!(!copy(&from, &to).unwrap());
        fs::write(from.join("src/b.py"), "changed").unwrap();
        assert!(copy(&from, &to).unwrap());
        assert_eq!(fs::read(to.join("src/b.py")).unwrap(), b"changed");
    }
}
