//! Publishing through the connector against Iggy's own client.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Arguments, median};
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-publish.md";

const PAYLOAD_BYTES: u32 = 1_024;
const BATCH: u32 = 100;

/// Both sides take turns, so that what happens to the machine happens to both.
const ROUNDS: u32 = 11;

/// The share of the client's throughput that the connector is meant to reach.
const TARGET: f64 = 0.9;

/// What the program prints.
#[derive(Deserialize)]
struct Printed {
    one_partition: Rounds,
    all_partitions: Rounds,
}

/// Messages per second of each round.
#[derive(Deserialize)]
struct Rounds {
    sdk_per_second: Vec<f64>,
    connector_per_second: Vec<f64>,
}

/// Builds the program, runs it and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the publishing loop");
    let program =
        workspace.build(arguments.profile, "guesthouse-connector", Program::Example("publish_loop"))?;
    let mut command = Command::new(program);
    command.args([arguments.events, PAYLOAD_BYTES, BATCH, ROUNDS].map(|number| number.to_string()));
    let line = program::line(&command);
    let printed = program::read(&mut command)?;
    let printed: Printed = serde_json::from_str(&printed)
        .with_context(|| format!("`{line}` printed something else than expected"))?;
    super::leave(workspace, TABLE, &printed.table(arguments))
}

impl Printed {
    fn table(&self, arguments: &Arguments) -> String {
        format!(
            "Medians of {ROUNDS} rounds of {} messages of {PAYLOAD_BYTES} B in all, in batches of {BATCH} that are confirmed one\n\
             after the other; {:?} build. Broker and publishers share the machine. The client sends a request for each\n\
             partition of a batch; `publish_batch` is given the whole batch.\n\n\
             | a batch goes to | Iggy's client, messages/s | `publish_batch`, messages/s | ratio (target {TARGET}) |\n\
             |---|---:|---:|---:|\n{}{}",
            arguments.events,
            arguments.profile,
            self.one_partition.row("one partition"),
            self.all_partitions.row("8 partitions"),
        )
    }
}

impl Rounds {
    fn row(&self, name: &str) -> String {
        let ratios = self.connector_per_second.iter().zip(&self.sdk_per_second).map(|(ours, sdk)| ours / sdk);
        format!(
            "| {name} | {:.0} | {:.0} | {:.2} |\n",
            median(self.sdk_per_second.clone()),
            median(self.connector_per_second.clone()),
            median(ratios.collect()),
        )
    }
}
