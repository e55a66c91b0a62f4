//! The tasks of this repository. `cargo xtask` alone lists them.

mod check;
mod console;
mod program;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::workspace::Workspace;

/// The tasks of Guesthouse's repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that continuous integration runs
    Test,
    /// Run the quick part of it: format, lints and docs
    Check,
}

fn main() -> ExitCode {
    match Arguments::parse().task.as_ref().map(run) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            console::error(&error);
            ExitCode::FAILURE
        }
        None => {
            console::print(Arguments::command().render_help());
            ExitCode::SUCCESS
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Test => test::run(&workspace),
        Task::Check => check::run(&workspace),
    }
}
