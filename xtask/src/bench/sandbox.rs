//! The sandbox alone: calls, starts, idle guests, and how late a guest is stopped that never ends.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Arguments;
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-sandbox.md";

/// Upper ends of the histogram's bars, in milliseconds behind the deadline.
const BARS: [u64; 7] = [2, 5, 10, 15, 20, 30, 50];

const MIB: f64 = (1 << 20) as f64;

/// What the program prints, in nanoseconds unless the name says something else.
#[derive(Deserialize)]
struct Costs {
    native: f64,
    batches: Vec<Batch>,
    event: f64,
    event_fresh: f64,
    batch_fresh: f64,
    host_call: f64,
    start: Start,
    idle: Idle,
    /// Sorted.
    overruns_micros: Vec<u64>,
}

#[derive(Deserialize)]
struct Batch {
    payload_bytes: u32,
    batch: u32,
    nanos: f64,
}

#[derive(Deserialize)]
struct Start {
    component_bytes: u64,
    compiled_micros: f64,
    cached_micros: f64,
}

#[derive(Deserialize)]
struct Idle {
    handlers: u32,
    resident_bytes: f64,
    start_seconds: f64,
}

/// Builds the guests and the program, runs it and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the guests and what measures them");
    workspace.build_guests()?;
    let program = workspace.build(arguments.profile, "guesthouse", Program::Example("sandbox_costs"))?;
    note(format_args!("measuring, with {} guests that never end", arguments.runaways));
    let mut command = Command::new(program);
    command.arg(workspace.components()).arg(arguments.runaways.to_string());
    let line = program::line(&command);
    let printed = program::read(&mut command)?;
    let costs: Costs = serde_json::from_str(&printed)
        .with_context(|| format!("`{line}` printed something else than expected"))?;
    super::leave(workspace, TABLE, &costs.table(arguments)?)
}

impl Costs {
    fn table(&self, arguments: &Arguments) -> Result<String> {
        let mut text = format!(
            "The sandbox alone, {:?} build, medians, measured on the threads of the guests. Payloads of 256 B unless said.\n\n\
             | what | measured | target | measured / target |\n|---|---:|---:|---:|\n",
            arguments.profile
        );
        writeln!(text, "| native function, an event | {:.1} ns | | |", self.native)?;
        for Batch { payload_bytes, batch, nanos } in &self.batches {
            // The target is what a guest may take longer than the native function.
            let target = (*batch == 64 && *payload_bytes == 256).then_some(self.native + 150.0);
            let what = format!("an event of {payload_bytes} B in a batch of {batch}");
            text.push_str(&row(&what, *nanos, "ns", target));
        }
        text.push_str(&row("an event in a call with a record", self.event / 1e3, "µs", Some(2.5)));
        text.push_str(&row("the same in a fresh guest", self.event_fresh / 1e3, "µs", Some(25.0)));
        text.push_str(&row("a batch of 1 in a fresh guest", self.batch_fresh / 1e3, "µs", Some(25.0)));
        text.push_str(&row("a call of the host with a line of 64 B", self.host_call, "ns", None));
        let Start { component_bytes, compiled_micros, cached_micros } = &self.start;
        let what =
            format!("from {} KiB of component to its first event done, compiled", component_bytes >> 10);
        text.push_str(&row(&what, compiled_micros / 1e3, "ms", None));
        text.push_str(&row("the same from the cache", cached_micros / 1e3, "ms", Some(5.0)));
        let Idle { handlers, resident_bytes, start_seconds } = &self.idle;
        let what = format!("{handlers} handlers of as many tenants, idle after one event each");
        text.push_str(&row(&what, resident_bytes / MIB, "MiB", Some(256.0)));
        text.push_str(&row("their start from the cache", *start_seconds, "s", Some(5.0)));
        let worst = self.overruns_micros.last().copied().unwrap_or_default() as f64 / 1e3;
        text.push_str(&row(
            "a guest that never ends is stopped, worst case behind its deadline",
            worst,
            "ms",
            Some(30.0),
        ));
        self.histogram(&mut text)?;
        Ok(text)
    }

    fn histogram(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "\n{} guests that never end, by how far behind their deadline they stopped:\n",
            self.overruns_micros.len()
        )?;
        let mut from = 0;
        for to in BARS.into_iter().chain([u64::MAX]) {
            let inside = |micros: &&u64| (from..to).contains(&(**micros / 1_000));
            let count = self.overruns_micros.iter().filter(inside).count();
            let name = if to == u64::MAX { format!("from {from} ms") } else { format!("{from} to {to} ms") };
            writeln!(text, "- {name}: {count}")?;
            from = to;
        }
        Ok(())
    }
}

fn row(what: &str, measured: f64, unit: &str, target: Option<f64>) -> String {
    match target {
        Some(target) => {
            format!("| {what} | {measured:.2} {unit} | {target:.0} {unit} | {:.2} |\n", measured / target)
        }
        None => format!("| {what} | {measured:.2} {unit} | | |\n"),
    }
}
