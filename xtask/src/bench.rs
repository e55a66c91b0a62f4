//! The bench: what the host and its sandbox cost on this machine, each against its rival in the same run.

mod abuse;
mod broker;
mod dispatch;
mod neighbours;
mod publish;
mod sandbox;
mod scale;

use std::fs;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::console::{note, print};
use crate::workspace::{Profile, Workspace};

/// How the bench is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What is measured
    #[arg(value_enum, default_value_t = Subject::Host)]
    subject: Subject,
    /// Events of each measurement of the host, and messages that each side publishes
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
    /// Guests that never end, for measuring when the sandbox stops them
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    runaways: u32,
    /// MiB that are sent to the broker in each of its cases
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    mib: u32,
    /// Messages that are sent without a crowd of bad peers, and among them
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sends: u32,
    /// How to build what is measured; only a release build says anything about speed
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The host end to end, against a bare loop over the same topic
    Host,
    /// The sandbox alone, against a native function
    Sandbox,
    /// A tenant beside others whose guests never end, against the same tenant alone
    Neighbours,
    /// Publishing in batches, against Iggy's own client
    Publish,
    /// The embedded broker, against a file, and against a server if `GUESTHOUSE_TEST_IGGY` names one
    Broker,
    /// The host with many handlers, tenants, lanes or partitions, against the same with one
    Scale,
    /// A client of the embedded broker among a crowd of bad peers, against the same client alone
    Abuse,
}

/// Measures and prints the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    match arguments.subject {
        Subject::Host => dispatch::run(workspace, arguments),
        Subject::Sandbox => sandbox::run(workspace, arguments),
        Subject::Neighbours => neighbours::run(workspace, arguments),
        Subject::Publish => publish::run(workspace, arguments),
        Subject::Broker => broker::run(workspace, arguments),
        Subject::Scale => scale::run(workspace, arguments),
        Subject::Abuse => abuse::run(workspace, arguments),
    }
}

/// Prints a table and leaves it in a file.
fn leave(workspace: &Workspace, name: &str, table: &str) -> Result<()> {
    let file = workspace.built(name);
    fs::write(&file, table).with_context(|| format!("cannot write {}", file.display()))?;
    print(table);
    note(format_args!("written to {}", file.display()));
    Ok(())
}

/// The middle one; zero of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![3.0, 100.0, 1.0]), 3.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
