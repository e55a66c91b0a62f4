//! The embedded broker on its wire, against a file and against a server elsewhere.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Arguments;
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-broker.md";

/// One case, as the program prints it.
#[derive(Deserialize)]
struct Row {
    payload_bytes: u32,
    batch: u32,
    producers: u32,
    partitions: u32,
    persisted: bool,
    raw_mb_per_second: f64,
    ours: Side,
    outside: Option<Side>,
}

/// One side of it.
#[derive(Deserialize)]
struct Side {
    send_per_second: f64,
    poll_per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
}

/// Builds the program, runs it and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the loop over the broker");
    let program =
        workspace.build(arguments.profile, "guesthouse-connector", Program::Example("broker_loop"))?;
    let mut command = Command::new(program);
    command.arg(arguments.mib.to_string());
    let line = program::line(&command);
    let printed = program::read(&mut command)?;
    let rows: Vec<Row> = serde_json::from_str(&printed)
        .with_context(|| format!("`{line}` printed something else than expected"))?;
    super::leave(workspace, TABLE, &table(&rows, arguments))
}

fn table(rows: &[Row], arguments: &Arguments) -> String {
    let mut table = format!(
        "About {} MiB in each case, medians of three rounds in turn, {:?} build. Iggy's client sends batches that are confirmed\n\
         one after the other, each producer to a partition of its own, or all to one; then one consumer polls all of it, at\n\
         least 100 messages at once. Everything shares the machine. The file is written by one thread, in writes as large as a\n\
         batch, with a sync after each where the topic is `persisted`.\n\n\
         | topic | payload | batch | producers / partitions | side | send, messages/s | send, MB/s | p50 / p99 of a batch, ms | poll, messages/s | file, MB/s |\n\
         |---|---:|---:|---:|---|---:|---:|---:|---:|---:|\n",
        arguments.mib, arguments.profile,
    );
    for row in rows {
        table.push_str(&row.line("embedded", &row.ours));
        if let Some(outside) = &row.outside {
            table.push_str(&row.line("outside", outside));
        }
    }
    table
}

impl Row {
    fn line(&self, name: &str, side: &Side) -> String {
        format!(
            "| {} | {} | {} | {} / {} | {name} | {:.0} | {:.1} | {:.2} / {:.2} | {:.0} | {:.0} |\n",
            if self.persisted { "persisted" } else { "replicated" },
            self.payload_bytes,
            self.batch,
            self.producers,
            self.partitions,
            side.send_per_second,
            side.send_per_second * f64::from(self.payload_bytes) / 1e6,
            millis(side.p50_micros),
            millis(side.p99_micros),
            side.poll_per_second,
            self.raw_mb_per_second,
        )
    }
}

fn millis(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_which_side_it_is_about() {
        let side = Side { send_per_second: 4e6, poll_per_second: 5e6, p50_micros: 250, p99_micros: 1_500 };
        let row = Row {
            payload_bytes: 256,
            batch: 100,
            producers: 8,
            partitions: 1,
            persisted: true,
            raw_mb_per_second: 2_000.0,
            ours: side,
            outside: None,
        };
        let line = row.line("embedded", &row.ours);
        let expected = "| persisted | 256 | 100 | 8 / 1 | embedded | 4000000 | 1024.0 | 0.25 / 1.50 | 5000000 | 2000 |\n";
        assert_eq!(line, expected);
    }
}
