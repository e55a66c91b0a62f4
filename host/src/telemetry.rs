//! Logs: lines on standard error, for people on a terminal and as JSON for everything else.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// What is logged when the environment does not say: our own progress, and others' warnings.
const DEFAULT_FILTER: &str = "warn,guesthouse=info,guesthouse_connector=info,guesthouse_broker=info";

/// Installs the log for this process. `filter` has the syntax of `RUST_LOG`; one that cannot be read gives way to
/// the default.
pub fn start(filter: Option<&str>) {
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = if io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
    // Another subscriber is there already when somebody embeds this: theirs stays.
    drop(installed);
}
