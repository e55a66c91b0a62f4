//! Logs: lines on standard error, for people on a terminal and as JSON for everything else.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Installs the log for this process. `filter` has the syntax of `RUST_LOG`; what cannot be read of it is left out.
/// A log that is installed already stays.
pub fn start(filter: &str) {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(io::stderr);
    let installed = if io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
    // Somebody who embeds this may have a log of their own: theirs counts.
    drop(installed);
}
