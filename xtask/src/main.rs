//! The tasks of this repository. `cargo xtask` alone lists them.

mod bench;
mod check;
mod clients;
mod console;
mod demo;
mod fuzz;
mod languages;
mod program;
mod steps;
mod test;
mod torture;
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
    /// Show the host at work: thousands of orders, some of them poison, and where each of them ended
    Demo(demo::Arguments),
    /// Run everything that continuous integration runs
    Test(test::Arguments),
    /// Build the guests, and those in other languages whose tools are installed
    Guests,
    /// Run the quick part of it: format, lints and docs
    Check,
    /// Measure the host against a bare loop over the same broker, or the sandbox against a native function
    Bench(bench::Arguments),
    /// Bring the sandbox and the broker bytes that nobody would write, for a bounded time
    Fuzz(fuzz::Arguments),
    /// Kill hosts and cut them off under load, and count what became of every event
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    if fuzz::is_compiler() {
        return fuzz::compile();
    }
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
        Task::Demo(arguments) => demo::run(&workspace, arguments),
        Task::Test(arguments) => test::run(workspace, arguments),
        Task::Guests => test::build_guests(&workspace),
        Task::Check => check::run(&workspace),
        Task::Bench(arguments) => bench::run(&workspace, arguments),
        Task::Fuzz(arguments) => fuzz::run(&workspace, arguments),
        Task::Torture(arguments) => torture::run(&workspace, arguments),
    }
}
