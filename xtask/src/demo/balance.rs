//! Whether all counts agree: nothing was lost, nothing was counted twice.

use anyhow::{Result, bail};

use super::events::{Events, Fate};
use super::report::Report;
use crate::console::print;

/// Two numbers that must be the same.
struct Line {
    what: &'static str,
    expected: u64,
    found: u64,
}

/// Prints the counts that must agree, and fails when they do not. `on_topic` dead letters were found on their topic.
pub(crate) fn check(events: &Events, report: &Report, on_topic: u64) -> Result<()> {
    let lines = lines(events, report, on_topic);
    for Line { what, expected, found } in &lines {
        let verdict = if expected == found { "ok" } else { "WRONG" };
        print(format_args!("  {verdict:<6} {what:<58} {expected:>8} = {found}"));
    }
    if lines.iter().any(|line| line.expected != line.found) {
        bail!("the counts do not agree");
    }
    Ok(())
}

fn lines(events: &Events, report: &Report, on_topic: u64) -> [Line; 7] {
    let total = report.total();
    let line = |what, expected, found| Line { what, expected, found };
    let poison =
        |fate| events.poisons().filter(|(poison, _)| poison.fate == fate).map(|(_, count)| count).sum();
    let refused = total.dead_with(&["reject"]);
    // Together, because on a busy machine a guest that eats memory may run out of time first.
    let stopped = total.dead_with(&["trapped", "timed-out", "out-of-memory"]);
    [
        line("events published and emitted = events read", events.to_settle(), report.received),
        line("events read = events settled", report.received, report.settled),
        line("orders = totals emitted", events.orders, total.emitted),
        line("deliveries = handled + dead letters", total.deliveries, total.handled + total.dead()),
        line("poison that its guest refuses = dead letters: reject", poison(Fate::Refused), refused),
        line("poison that panics, loops or eats memory = the others", poison(Fate::Stopped), stopped),
        line("dead letters counted = dead letters on the topic", report.dead(), on_topic),
    ]
}
