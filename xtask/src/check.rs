//! The quick checks: format, lints and docs.

use anyhow::Result;

use crate::program;
use crate::steps::{self, Step};
use crate::workspace::{GUEST_TARGET, Workspace, ensure_guest_target};

pub(crate) const FORMAT: Step = Step { title: "format", run: format };
pub(crate) const LINTS: Step = Step { title: "lints", run: lints };
pub(crate) const GUEST_LINTS: Step = Step { title: "lints of the guests", run: guest_lints };
pub(crate) const DOCS: Step = Step { title: "docs", run: docs };

/// Runs them.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    steps::run(workspace, &[FORMAT, LINTS, GUEST_LINTS, DOCS])
}

fn format(workspace: &Workspace) -> Result<()> {
    program::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    program::run(&mut workspace.guests_cargo(&["fmt", "--all", "--check"]))
}

fn lints(workspace: &Workspace) -> Result<()> {
    let deny = ["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    program::run(&mut workspace.cargo(&deny))?;
    let with_features = [
        "clippy",
        "--locked",
        "--workspace",
        "--features",
        "guesthouse-tests/opentelemetry",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    program::run(&mut workspace.cargo(&with_features))
}

fn guest_lints(workspace: &Workspace) -> Result<()> {
    ensure_guest_target()?;
    let deny = [
        "clippy",
        "--locked",
        "--workspace",
        "--release",
        "--target",
        GUEST_TARGET,
        "--",
        "--deny",
        "warnings",
    ];
    program::run(&mut workspace.guests_cargo(&deny))
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut command =
        workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    program::run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}
