//! Where things are, and how they are built.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::{console, program};

/// The target that guests are built for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// How the variables start by which cargo describes a package to the program it runs.
const ABOUT_US: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// How much the compiler does for the speed of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Quick to build
    Dev,
    /// Quick to run
    Release,
}

/// What becomes of a part of a task whose tools are not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingTools {
    /// It is left out, and that is said.
    LeaveOut,
    /// The task fails.
    Fail,
}

/// The two workspaces of the repository: the host's and the guests'.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    guests_target: PathBuf,
    missing_tools: MissingTools,
}

/// What `cargo metadata` says, as far as it is of use here.
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

impl Workspace {
    /// Finds the repository that cargo runs this program in, and asks cargo where it builds.
    pub(crate) fn find() -> Result<Self> {
        // What cargo says now: several checkouts may share a target directory, and with it what one of them has built.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("start it as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().context("xtask lies inside of the repository")?.to_owned();
        let target = target_of(&root)?;
        let guests_target = target_of(&root.join("guests"))?;
        Ok(Self { root, target, guests_target, missing_tools: MissingTools::LeaveOut })
    }

    /// Decides about what has no tools on this machine.
    pub(crate) fn with(self, missing_tools: MissingTools) -> Self {
        Self { missing_tools, ..self }
    }

    /// What was decided about that.
    pub(crate) fn missing_tools(&self) -> MissingTools {
        self.missing_tools
    }

    /// Leaves something out for want of a tool, and says so; fails when nothing may be left out.
    pub(crate) fn leave_out(&self, why: &str) -> Result<()> {
        ensure!(self.missing_tools == MissingTools::LeaveOut, "{why}");
        console::note(format_args!("SKIPPED: {why}"));
        Ok(())
    }

    /// A file of the repository.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file among those that are built.
    pub(crate) fn built(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    /// Cargo in the host's workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        cargo(&self.root, arguments)
    }

    /// Cargo in the guests' workspace.
    pub(crate) fn guests_cargo(&self, arguments: &[&str]) -> Command {
        cargo(&self.root.join("guests"), arguments)
    }

    /// Builds the guests; always optimised, since that is what people deploy.
    pub(crate) fn build_guests(&self) -> Result<()> {
        ensure_guest_target()?;
        program::run(&mut self.guests_cargo(&["build", "--workspace", "--release", "--target", GUEST_TARGET]))
    }

    /// Builds a program of a package and tells where it is.
    pub(crate) fn build(&self, profile: Profile, package: &str, program: Program<'_>) -> Result<PathBuf> {
        self.build_with(profile, package, program, &[])
    }

    /// The same, with variables for cargo.
    pub(crate) fn build_with(
        &self,
        profile: Profile,
        package: &str,
        program: Program<'_>,
        variables: &[(&str, &OsStr)],
    ) -> Result<PathBuf> {
        let (kind, name, folder) = match program {
            Program::Binary(name) => ("--bin", name, ""),
            Program::Example(name) => ("--example", name, "examples/"),
        };
        let mut command = self.cargo(&["build", "--package", package, kind, name]);
        command.envs(variables.iter().copied());
        let profile = match profile {
            Profile::Dev => "debug",
            Profile::Release => {
                command.arg("--release");
                "release"
            }
        };
        program::run(&mut command)?;
        Ok(self.target.join(format!("{profile}/{folder}{name}{}", env::consts::EXE_SUFFIX)))
    }

    /// The folder of the components of guests that were built.
    pub(crate) fn components(&self) -> PathBuf {
        self.guests_target.join(GUEST_TARGET).join("release")
    }

    /// The component of a guest that was built.
    pub(crate) fn component(&self, guest: &str) -> PathBuf {
        self.components().join(format!("{}.wasm", guest.replace('-', "_")))
    }
}

/// A program of a package.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program<'a> {
    /// One of its binaries.
    Binary(&'a str),
    /// One of its examples.
    Example(&'a str),
}

/// Installs the target of the guests when it is missing.
pub(crate) fn ensure_guest_target() -> Result<()> {
    let libraries = ["--print", "target-libdir", "--target", GUEST_TARGET];
    let libraries = program::read(Command::new("rustc").args(libraries))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    ensure!(
        program::exists("rustup"),
        "the target {GUEST_TARGET} is missing and there is no rustup to install it"
    );
    console::note(format_args!("installing the target {GUEST_TARGET}"));
    program::run(Command::new("rustup").args(["target", "add", GUEST_TARGET]))
}

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    // Cargo names itself to what it runs, so that one build does not mix two of them.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(folder);
    // Cargo also describes this very package to what it runs. Some build scripts look at that, and would be run
    // again, with everything above them, for each change between a cargo started by hand and one started here.
    for (name, _) in env::vars_os() {
        let describes_us =
            name.to_str().is_some_and(|name| ABOUT_US.iter().any(|about| name.starts_with(about)));
        if describes_us {
            command.env_remove(name);
        }
    }
    command
}

fn target_of(folder: &Path) -> Result<PathBuf> {
    let metadata = program::read(&mut cargo(folder, &["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata is not as expected")?;
    Ok(metadata.target_directory)
}
