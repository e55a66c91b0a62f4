//! What the fuzz targets share: one sandbox, and a thread that waits for it.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a fuzz target fails")]

use std::sync::LazyLock;

use guesthouse::trial::{Trial, TrialComponent, TrialHandler};
use guesthouse::{HandlerName, SandboxSettings};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime can be started"));

static TRIAL: LazyLock<Trial> =
    LazyLock::new(|| Trial::start(&SandboxSettings::default()).expect("the sandbox can be started"));

/// Waits for what the sandbox does.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// The sandbox of this process.
pub fn trial() -> &'static Trial {
    &TRIAL
}

/// A handler with the usual limits and nothing granted.
pub fn handler() -> TrialHandler {
    TrialHandler::new(HandlerName::new("fuzzed").expect("the name is of lower-case letters"))
}

/// The component that answers what its first event's payload says, in one of the worlds.
pub fn parrot(export: &str) -> TrialComponent {
    let text = include_str!("parrot.wat").replace(";;@export", export);
    let bytes = wat::parse_str(text).expect("the parrot is well formed");
    wait(trial().admit(handler(), bytes)).expect("the parrot is admitted")
}
