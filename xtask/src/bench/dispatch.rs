//! The host against a bare loop over the same broker.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Arguments, median};
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// How often each side is measured. They take turns, so that what happens to the machine happens to both.
const ROUNDS: usize = 3;

/// Sizes of payloads, in bytes.
const PAYLOADS: [u32; 2] = [256, 1024];

const PARTITIONS: u32 = 8;

/// The share of the bare loop's throughput that the host is meant to reach.
const TARGET: f64 = 0.8;

/// Where the table is left.
const TABLE: &str = "bench.md";

/// The programs that are compared.
struct Rivals {
    bare_loop: PathBuf,
    host: PathBuf,
    component: PathBuf,
}

/// What the bare loop prints.
#[derive(Deserialize)]
struct BareLoop {
    events: u64,
    seconds: f64,
}

/// What the host prints.
#[derive(Deserialize)]
struct Host {
    events_per_second: f64,
    /// While the events are being published.
    live_events_per_second: f64,
    /// From append to settled at half of that, in microseconds.
    latency_p50_micros: f64,
    latency_p99_micros: f64,
}

/// Medians over the rounds.
struct Comparison {
    payload_bytes: u32,
    bare_loop: f64,
    host: f64,
    live: f64,
    latency_p50_micros: f64,
    latency_p99_micros: f64,
}

/// Builds both sides, measures them in turn and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the guests, the host and the bare loop");
    workspace.build_guests()?;
    let profile = arguments.profile;
    let rivals = Rivals {
        bare_loop: workspace.build(profile, "guesthouse-connector", Program::Example("poll_loop"))?,
        host: workspace.build(profile, "guesthouse", Program::Example("no_op"))?,
        component: workspace.component("no-op"),
    };
    let compare = |payload_bytes| rivals.compare(arguments.events, payload_bytes);
    let comparisons = PAYLOADS.into_iter().map(compare).collect::<Result<Vec<_>>>()?;
    super::leave(workspace, TABLE, &text(arguments, &comparisons))
}

impl Rivals {
    fn compare(&self, events: u32, payload_bytes: u32) -> Result<Comparison> {
        let (mut loops, mut hosts) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let bare_loop: BareLoop =
                self.measure(&mut Command::new(&self.bare_loop), events, payload_bytes)?;
            let host: Host =
                self.measure(Command::new(&self.host).arg(&self.component), events, payload_bytes)?;
            let per_second = bare_loop.events as f64 / bare_loop.seconds;
            note(format_args!(
                "{payload_bytes} B, round {round} of {ROUNDS}: bare loop {per_second:.0}/s, host {:.0}/s",
                host.events_per_second
            ));
            loops.push(per_second);
            hosts.push(host);
        }
        let of_hosts = |value: fn(&Host) -> f64| median(hosts.iter().map(value).collect());
        Ok(Comparison {
            payload_bytes,
            bare_loop: median(loops),
            host: of_hosts(|host| host.events_per_second),
            live: of_hosts(|host| host.live_events_per_second),
            latency_p50_micros: of_hosts(|host| host.latency_p50_micros),
            latency_p99_micros: of_hosts(|host| host.latency_p99_micros),
        })
    }

    fn measure<T: for<'a> Deserialize<'a>>(
        &self,
        command: &mut Command,
        events: u32,
        payload_bytes: u32,
    ) -> Result<T> {
        command.args([events, payload_bytes, PARTITIONS].map(|number| number.to_string()));
        let line = program::line(command);
        let printed = program::read(command)?;
        serde_json::from_str(&printed)
            .with_context(|| format!("`{line}` printed something else than expected"))
    }
}

/// The table in Markdown, with what it says and on which machine.
fn text(arguments: &Arguments, comparisons: &[Comparison]) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "Medians of {ROUNDS} rounds of {} events in {PARTITIONS} partitions, {:?} build, {cores} cores. Broker, reader and guests\n\
         share the machine. The bare loop polls with Iggy's client and touches each payload; the host reads, routes, calls a\n\
         guest that does nothing, settles and commits. Live is the same while\n\
         the events are being published by another task of that process; latency is from append to settled at half of that.\n\n\
         | payload | bare loop, events/s | host, events/s | host / bare loop (target {TARGET}) | live, events/s | p50 | p99 |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
        arguments.events, arguments.profile,
    );
    for comparison in comparisons {
        text.push_str(&comparison.row());
    }
    text
}

impl Comparison {
    fn row(&self) -> String {
        let Self { payload_bytes, bare_loop, host, live, latency_p50_micros, latency_p99_micros } = self;
        format!(
            "| {payload_bytes} B | {bare_loop:.0} | {host:.0} | {:.2} | {live:.0} | {:.1} ms | {:.1} ms |\n",
            host / bare_loop,
            latency_p50_micros / 1_000.0,
            latency_p99_micros / 1_000.0,
        )
    }
}
