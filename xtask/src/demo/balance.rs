//! Whether all counts agree: nothing was lost, nothing was counted twice.

use anyhow::{Result, bail};

use super::events::Events;
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

fn lines(events: &Events, report: &Report, on_topic: u64) -> Vec<Line> {
    let total = report.total();
    let line = |what, expected, found| Line { what, expected, found };
    let mut lines = vec![
        line("events published and emitted = events read", events.to_settle(), report.received),
        line("events read = events settled", report.received, report.settled),
        line("orders = totals emitted", events.orders, total.emitted),
        line("deliveries = handled + dead letters", total.deliveries, total.handled + total.dead()),
        line("dead letters counted = dead letters on the topic", report.dead(), on_topic),
    ];
    for (poison, count) in events.poisons() {
        if let Some(outcome) = poison.outcome {
            let found = total.dead_letters.get(outcome).copied().unwrap_or_default();
            lines.push(line(what_ends(poison.behave), count, found));
        }
    }
    lines
}

fn what_ends(behave: &str) -> &'static str {
    match behave {
        "reject" => "poison that is refused = dead letters: reject",
        "trap" => "poison that panics = dead letters: trapped",
        "loop" => "poison that loops = dead letters: timed-out",
        _ => "poison that eats memory = dead letters: out-of-memory",
    }
}
