//! What a tenant feels of neighbours whose guests never end.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Arguments;
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-neighbours.md";

/// Orders of each measurement.
const SAMPLES: u32 = 2_000;

/// How much slower a tenant may become at its 99th percentile.
const TARGET: f64 = 2.0;

/// What the program prints, in microseconds.
#[derive(Deserialize)]
struct Felt {
    neighbours: u32,
    alone: Quantiles,
    beside: Quantiles,
}

#[derive(Deserialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
    max: f64,
}

/// Builds the guests and the program, runs it and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the guests and the host");
    workspace.build_guests()?;
    let program = workspace.build(arguments.profile, "guesthouse", Program::Example("neighbours"))?;
    let mut command = Command::new(program);
    command.arg(workspace.components()).arg(SAMPLES.to_string());
    let line = program::line(&command);
    let printed = program::read(&mut command)?;
    let felt: Felt = serde_json::from_str(&printed)
        .with_context(|| format!("`{line}` printed something else than expected"))?;
    super::leave(workspace, TABLE, &felt.table(arguments))
}

impl Felt {
    fn table(&self, arguments: &Arguments) -> String {
        let Self { neighbours, alone, beside } = self;
        let ms = |micros: f64| micros / 1e3;
        let row = |name: &str, q: &Quantiles| {
            format!("| {name} | {:.2} ms | {:.2} ms | {:.2} ms |\n", ms(q.p50), ms(q.p99), ms(q.max))
        };
        format!(
            "{SAMPLES} orders of one tenant, one at a time, from publish to the total that its guest emits; {:?} build. The\n\
             {neighbours} neighbours send 20 events a second in all whose guests never end and are stopped after 250 ms.\n\n\
             | | p50 | p99 | worst |\n|---|---:|---:|---:|\n{}{}\n\
             Beside them / alone: p50 {:.2}, p99 {:.2} (target {TARGET}).\n",
            arguments.profile,
            row("alone", alone),
            row("beside them", beside),
            beside.p50 / alone.p50,
            beside.p99 / alone.p99,
        )
    }
}
