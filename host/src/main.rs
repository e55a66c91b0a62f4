//! The program `guesthouse`: reads arguments and environment, does what they ask, and says how it went.

use std::env;
use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use guesthouse::cli::{self, Cli, Console, Environment};
use guesthouse::{open_files, telemetry};

/// Says what is logged, in the syntax of `RUST_LOG`, which counts when this is not set.
const LOG_VARIABLES: [&str; 2] = ["GUESTHOUSE_LOG", "RUST_LOG"];

fn main() -> ExitCode {
    guesthouse::compiler::serve_if_asked();
    let cli = Cli::parse();
    let environment: Environment = env::vars_os().collect();
    let wanted = |name: &str| {
        let found = environment.iter().find(|(found, _)| found == name);
        // What is no text in it makes no filter either, and is left out like the rest that is none.
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    let filter = LOG_VARIABLES.into_iter().find_map(wanted);
    telemetry::start(filter.as_deref(), cli.log_filter());
    open_files::raise();
    let code = match execute(cli, environment) {
        Ok(()) => cli::EXIT_OK,
        Err(error) => {
            telemetry::tell(&cli::report(&error));
            cli::exit_code(&error)
        }
    };
    telemetry::finish();
    code.into()
}

fn execute(cli: Cli, environment: Environment) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the asynchronous runtime")?;
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let done = runtime.block_on(cli.execute(environment, Console { out: &mut out, err: &mut err }));
    // What still runs after a second signal must not hold up the exit.
    runtime.shutdown_background();
    done
}
