//! Everything that continuous integration runs.

use anyhow::Result;

use crate::check::{DOCS, FORMAT, GUEST_LINTS, LINTS};
use crate::steps::{self, Step};
use crate::workspace::{MissingTools, Workspace};
use crate::{clients, demo, fuzz, languages, program, torture};

/// Orders of the demo: enough to see it work with a host that was built to be debugged.
const DEMO_EVENTS: u32 = 500;

/// How long each target is fuzzed: the corpus and some more.
const FUZZ_SECONDS: u32 = 20;
/// Tells the tests that nothing may be skipped for want of a tool.
const ALL_TESTS: &str = "GUESTHOUSE_TESTS_ALL";

const GUESTS: Step = Step { title: "guests", run: Workspace::build_guests };
const LANGUAGES: Step = Step { title: "guests in other languages", run: languages::build };
const CLIENTS: Step = Step { title: "foreign clients", run: clients::install };
const TESTS: Step = Step { title: "tests", run: tests };
const FEATURE_TESTS: Step = Step { title: "tests of what is off by default", run: feature_tests };
const GUEST_TESTS: Step = Step { title: "tests of the guest SDK", run: guest_tests };
const DEPENDENCIES: Step = Step { title: "dependencies", run: dependencies };
const TORTURE: Step = Step { title: "torture", run: torture };
const FUZZ: Step = Step { title: "fuzzing", run: fuzz };
const DEMO: Step = Step { title: "demo", run: demo };

/// What may be chosen.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Fail where a tool is missing, instead of leaving out what needs it
    #[arg(long)]
    all: bool,
}

/// Runs it.
pub(crate) fn run(workspace: Workspace, arguments: &Arguments) -> Result<()> {
    let missing_tools = if arguments.all { MissingTools::Fail } else { MissingTools::LeaveOut };
    let steps = [
        FORMAT,
        LINTS,
        GUEST_LINTS,
        GUESTS,
        LANGUAGES,
        CLIENTS,
        TESTS,
        FEATURE_TESTS,
        GUEST_TESTS,
        DOCS,
        DEPENDENCIES,
        TORTURE,
        FUZZ,
        DEMO,
    ];
    steps::run(&workspace.with(missing_tools), &steps)
}

/// Builds the guests alone.
pub(crate) fn build_guests(workspace: &Workspace) -> Result<()> {
    steps::run(workspace, &[GUESTS, LANGUAGES])
}

fn tests(workspace: &Workspace) -> Result<()> {
    let mut tests = workspace.cargo(&["test", "--locked", "--workspace"]);
    if workspace.missing_tools() == MissingTools::Fail {
        tests.env(ALL_TESTS, "1");
    }
    program::run(&mut tests)
}

/// The stories that need features of the host.
fn feature_tests(workspace: &Workspace) -> Result<()> {
    // With the whole workspace, so that nothing else is built anew.
    let all = ["test", "--locked", "--workspace", "--features", "guesthouse-tests/opentelemetry"];
    program::run(workspace.cargo(&all).args(["--test", "main", "stories::opentelemetry"]))
}

fn guest_tests(workspace: &Workspace) -> Result<()> {
    let all = ["test", "--locked", "--package", "guesthouse-guest", "--all-features"];
    program::run(&mut workspace.guests_cargo(&all))
}

/// Licences need a tool; the arrows between crates and the sources of all packages were checked by the tests before.
fn dependencies(workspace: &Workspace) -> Result<()> {
    if !program::exists("cargo-deny") {
        return workspace
            .leave_out("cargo-deny is not installed; `cargo install --locked cargo-deny` brings it");
    }
    let check = ["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    program::run(&mut workspace.cargo(&check))
}

fn torture(workspace: &Workspace) -> Result<()> {
    torture::run(workspace, &torture::Arguments::short())
}

fn fuzz(workspace: &Workspace) -> Result<()> {
    fuzz::run(workspace, &fuzz::Arguments::all(FUZZ_SECONDS))
}

fn demo(workspace: &Workspace) -> Result<()> {
    demo::run(workspace, &demo::Arguments::small(DEMO_EVENTS))
}
