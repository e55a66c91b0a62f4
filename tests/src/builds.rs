//! What the stories run: the programs and the guests, each built once per test run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
static GUESTS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// The program `guesthouse`.
pub fn host() -> &'static Path {
    program("guesthouse")
}

/// The program that runs a broker alone.
pub fn broker() -> &'static Path {
    program("broker")
}

/// The program `guesthouse` with the places where it can be killed, as a file of its own in this directory.
pub fn host_with_failpoints(directory: &Path) -> PathBuf {
    let arguments = ["build", "--package", "guesthouse", "--bin", "guesthouse", "--features", "failpoints"];
    let built = build(repository(), &arguments, executable);
    let copy = directory.join("guesthouse-with-failpoints");
    // The next build of the program takes the place of this one.
    std::fs::copy(&built["guesthouse"], &copy).expect("the program can be copied");
    copy
}

/// An example of the host.
pub fn example(name: &str) -> PathBuf {
    let built = build(repository(), &["build", "--package", "guesthouse", "--example", name], executable);
    built[name].clone()
}

/// The component of a guest, by the name of its directory.
pub fn guest(name: &str) -> &'static Path {
    let guests = GUESTS.get_or_init(|| {
        let arguments = ["build", "--release", "--target", "wasm32-wasip2"];
        build(&repository().join("guests"), &arguments, wasm_file)
    });
    guests.get(&name.replace('-', "_")).unwrap_or_else(|| panic!("there is no guest `{name}` in guests/"))
}

fn program(name: &str) -> &'static Path {
    let programs = PROGRAMS.get_or_init(|| {
        // Together with this crate, so that both are built with the same features as the test itself.
        let arguments = ["build", "--package", "guesthouse", "--package", "guesthouse-tests", "--bins"];
        build(repository(), &arguments, executable)
    });
    programs.get(name).unwrap_or_else(|| panic!("no program `{name}` was built"))
}

/// Runs cargo and collects the files that `pick` finds in its messages, by the name of their target.
fn build(
    workspace: &Path,
    arguments: &[&str],
    pick: fn(&Value) -> Option<PathBuf>,
) -> HashMap<String, PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--quiet", "--message-format", "json-render-diagnostics"]);
    // What cargo says about this package makes some build scripts run again, and with them all that depends on them.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_"))
        {
            command.env_remove(name);
        }
    }
    let output = command.current_dir(workspace).stderr(Stdio::inherit()).output();
    let output = output.expect("cargo runs, for it runs this test");
    assert!(output.status.success(), "cargo {arguments:?} in {} failed", workspace.display());
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let built = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    built
        .filter_map(|message| Some((message["target"]["name"].as_str()?.to_owned(), pick(&message)?)))
        .collect()
}

fn executable(message: &Value) -> Option<PathBuf> {
    message["executable"].as_str().map(PathBuf::from)
}

fn wasm_file(message: &Value) -> Option<PathBuf> {
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}
