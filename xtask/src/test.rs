//! Everything that continuous integration runs.

use anyhow::Result;

use crate::check::{DOCS, FORMAT, GUEST_LINTS, LINTS};
use crate::steps::{self, Step};
use crate::workspace::Workspace;
use crate::{console, demo, fuzz, program};

/// Orders of the demo: enough to see it work with a host that was built to be debugged.
const DEMO_EVENTS: u32 = 500;

/// How long each target is fuzzed: the corpus and some more.
const FUZZ_SECONDS: u32 = 20;

const GUESTS: Step = Step { title: "guests", run: Workspace::build_guests };
const TESTS: Step = Step { title: "tests", run: tests };
const GUEST_TESTS: Step = Step { title: "tests of the guest SDK", run: guest_tests };
const DEPENDENCIES: Step = Step { title: "dependencies", run: dependencies };
const FUZZ: Step = Step { title: "fuzzing", run: fuzz };
const DEMO: Step = Step { title: "demo", run: demo };

/// Runs it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let steps = [FORMAT, LINTS, GUEST_LINTS, GUESTS, TESTS, GUEST_TESTS, DOCS, DEPENDENCIES, FUZZ, DEMO];
    steps::run(workspace, &steps)
}

fn tests(workspace: &Workspace) -> Result<()> {
    program::run(&mut workspace.cargo(&["test", "--locked", "--workspace"]))
}

fn guest_tests(workspace: &Workspace) -> Result<()> {
    let all = ["test", "--locked", "--package", "guesthouse-guest", "--all-features"];
    program::run(&mut workspace.guests_cargo(&all))
}

/// Licences need a tool; the arrows between crates and the sources of all packages were checked by the tests before.
fn dependencies(workspace: &Workspace) -> Result<()> {
    if !program::exists("cargo-deny") {
        console::note("skipped: cargo-deny is not installed; `cargo install --locked cargo-deny` brings it");
        return Ok(());
    }
    let check = ["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    program::run(&mut workspace.cargo(&check))
}

fn fuzz(workspace: &Workspace) -> Result<()> {
    fuzz::run(workspace, &fuzz::Arguments::all(FUZZ_SECONDS))
}

fn demo(workspace: &Workspace) -> Result<()> {
    demo::run(workspace, &demo::Arguments::small(DEMO_EVENTS))
}
