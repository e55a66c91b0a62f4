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
    let environment = environment();
    let wanted = |name| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
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

/// Variables that are no text cannot be meant for us, and are left out.
fn environment() -> Environment {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
