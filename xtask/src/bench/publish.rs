//! Publishing through the connector against Iggy's own client, from many tasks against a file that is synced after each
//! message, and envelopes through the transport against the connector.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

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

/// How many times the rate of a file that is synced after each message 64 tasks are meant to reach.
const TOGETHER_TARGET: f64 = 50.0;

/// What `publish_loop` prints.
#[derive(Deserialize)]
struct Published {
    one_partition: Messages,
    all_partitions: Messages,
    together: Together,
}

/// What `publish_envelopes` prints.
#[derive(Deserialize)]
struct PublishedEnvelopes {
    one_partition: Envelopes,
    all_partitions: Envelopes,
}

/// Messages per second of each round, by Iggy's client and by the connector.
#[derive(Deserialize)]
struct Messages {
    sdk_per_second: Vec<f64>,
    connector_per_second: Vec<f64>,
}

/// Messages per second of each round that are on the disk, one after the other in a file and from 64 tasks by the connector.
#[derive(Deserialize)]
struct Together {
    file_per_second: Vec<f64>,
    connector_per_second: Vec<f64>,
}

/// Messages per second of each round, by the connector and by the transport.
#[derive(Deserialize)]
struct Envelopes {
    connector_per_second: Vec<f64>,
    transport_per_second: Vec<f64>,
}

/// Builds the programs, runs them and prints the tables.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let messages = measure(workspace, arguments, ("guesthouse-connector", "publish_loop"))?;
    let envelopes = measure(workspace, arguments, ("guesthouse", "publish_envelopes"))?;
    super::leave(workspace, TABLE, &table(arguments, &messages, &envelopes))
}

fn measure<P: DeserializeOwned>(
    workspace: &Workspace,
    arguments: &Arguments,
    (package, example): (&str, &str),
) -> Result<P> {
    note(format_args!("building and running {example}"));
    let program = workspace.build(arguments.profile, package, Program::Example(example))?;
    let mut command = Command::new(program);
    command.args([arguments.events, PAYLOAD_BYTES, BATCH, ROUNDS].map(|number| number.to_string()));
    let line = program::line(&command);
    let printed = program::read(&mut command)?;
    serde_json::from_str(&printed).with_context(|| format!("`{line}` printed something else than expected"))
}

fn table(arguments: &Arguments, messages: &Published, envelopes: &PublishedEnvelopes) -> String {
    let by_messages =
        |name, rounds: &Messages| row(name, &rounds.sdk_per_second, &rounds.connector_per_second);
    let by_envelopes =
        |name, rounds: &Envelopes| row(name, &rounds.connector_per_second, &rounds.transport_per_second);
    format!(
        "Medians of {ROUNDS} rounds of {} messages of {PAYLOAD_BYTES} B in all, in batches of {BATCH} that are confirmed one\n\
         after the other; {:?} build. Broker and publishers share the machine. The client sends a request for each\n\
         partition of a batch; `publish_batch` is given the whole batch.\n\n\
         | a batch goes to | Iggy's client, messages/s | `publish_batch`, messages/s | ratio (target {TARGET}) |\n\
         |---|---:|---:|---:|\n{}{}\n\
         The same messages one by one to a `persisted` topic, from 64 tasks that each wait for their message and share syncs;\n\
         beside a file that one thread writes and syncs for each message.\n\n\
         | to | synced file, messages/s | `publish_batch`, messages/s | ratio (target {TOGETHER_TARGET}) |\n\
         |---|---:|---:|---:|\n{}\n\
         `IggyTransport::publish_batch` writes envelopes as JSON of that size, with their headers; beside it the connector\n\
         publishes messages that are ready and have none.\n\n\
         | a batch goes to | ready messages/s | envelopes/s | ratio |\n\
         |---|---:|---:|---:|\n{}{}",
        arguments.events,
        arguments.profile,
        by_messages("one partition", &messages.one_partition),
        by_messages("8 partitions", &messages.all_partitions),
        row("one partition", &messages.together.file_per_second, &messages.together.connector_per_second),
        by_envelopes("one partition", &envelopes.one_partition),
        by_envelopes("8 partitions", &envelopes.all_partitions),
    )
}

fn row(name: &str, rival: &[f64], ours: &[f64]) -> String {
    let ratios = ours.iter().zip(rival).map(|(ours, rival)| ours / rival);
    let medians = [rival.to_vec(), ours.to_vec(), ratios.collect()].map(median);
    let [rival, ours, ratio] = medians;
    format!("| {name} | {rival:.0} | {ours:.0} | {ratio:.2} |\n")
}
