//! The host with many handlers, tenants, lanes or partitions: what an event costs must not grow with them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Arguments, median};
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-scale.md";

/// What an event may cost with the most, against what it costs with the fewest.
const FLAT: f64 = 1.3;

/// How often each point is measured.
const ROUNDS: usize = 3;

/// What there are many of, and how many.
struct Case {
    /// As the program calls it.
    name: &'static str,
    what: &'static str,
    counts: &'static [u64],
    /// The number that the others are compared with: with fewer there is less to do for another reason.
    base: u64,
    /// The most that are held against that.
    most: fn() -> u64,
}

const CASES: [Case; 5] = [
    Case {
        name: "handlers",
        what: "handlers of one tenant each, 64 of them with events",
        counts: &[1, 10, 100, 1_000, 10_000, 100_000],
        base: 100,
        most: any_number,
    },
    Case {
        name: "busy-handlers",
        what: "the same, all with events in turn",
        counts: &[1, 10, 100, 1_000, 10_000, 100_000],
        base: 100,
        most: any_number,
    },
    Case {
        name: "tenants",
        what: "tenants of one handler, in turn",
        counts: &[1, 10, 100, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 100_000],
        base: 100,
        most: guests_that_fit,
    },
    Case {
        name: "lanes",
        what: "lanes of one tenant, by key, in turn",
        counts: &[1, 10, 100, 1_000, 10_000, 100_000],
        base: 1,
        most: any_number,
    },
    Case { name: "partitions", what: "partitions", counts: &[1, 10, 100, 1_000], base: 1, most: any_number },
];

const fn any_number() -> u64 {
    u64::MAX
}

/// Tenants whose guests can all wait for their next event: a guest takes three of the mappings that the kernel allows, and
/// three quarters of them are for guests. Of more tenants some find none, and a start costs what it costs (docs/sizing.md).
fn guests_that_fit() -> u64 {
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    allowed.trim().parse::<u64>().unwrap_or(65_530) / 4 * 3 / 3
}

/// What the program prints.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Costs {
    nanos_per_event: f64,
    built_bytes: f64,
    resident_bytes: f64,
}

/// Builds the guests and the program, measures every case and prints the table. Fails when a cost is not flat.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the guests and the host");
    workspace.build_guests()?;
    let program = workspace.build(arguments.profile, "guesthouse", Program::Example("scale"))?;
    let component = workspace.component("no-op");
    let mut text = format!(
        "Processor time of the whole process, embedded broker included, per event of 256 B; {:?} build, medians of {ROUNDS}\n\
         rounds. Events come in runs of 8 of one tenant, each of which is one guest call. Bytes are what is resident for one of them:\n\
         once the host is built, and when all events are settled.\n",
        arguments.profile
    );
    let mut steep = Vec::new();
    for case in &CASES {
        let points = case.measure(&program, &component)?;
        case.write(&points, &mut text)?;
        if case.worst(&points) > FLAT {
            steep.push(case.name);
        }
    }
    super::leave(workspace, TABLE, &text)?;
    ensure!(steep.is_empty(), "the cost of an event grows by more than {FLAT} × with: {}", steep.join(", "));
    Ok(())
}

impl Case {
    fn measure(&self, program: &PathBuf, component: &PathBuf) -> Result<Vec<(u64, Costs)>> {
        let measure = |count: &u64| {
            let rounds: Vec<Costs> = (0..ROUNDS)
                .map(|_| {
                    let mut command = Command::new(program);
                    command.arg(component).args([self.name, &count.to_string()]);
                    let line = program::line(&command);
                    let printed = program::read(&mut command)?;
                    serde_json::from_str(&printed)
                        .with_context(|| format!("`{line}` printed something else than expected"))
                })
                .collect::<Result<_>>()?;
            let middle = |value: fn(&Costs) -> f64| median(rounds.iter().map(value).collect());
            let costs = Costs {
                nanos_per_event: middle(|costs| costs.nanos_per_event),
                built_bytes: middle(|costs| costs.built_bytes),
                resident_bytes: middle(|costs| costs.resident_bytes),
            };
            note(format_args!("{count} {}: {:.0} ns per event", self.name, costs.nanos_per_event));
            Ok((*count, costs))
        };
        self.counts.iter().map(measure).collect()
    }

    /// The highest cost from the base to the most, against that of the base.
    fn worst(&self, points: &[(u64, Costs)]) -> f64 {
        let base = points.iter().find(|(count, _)| *count == self.base);
        let base = base.map_or(f64::NAN, |(_, costs)| costs.nanos_per_event);
        let counted = points.iter().filter(|(count, _)| (self.base..=(self.most)()).contains(count));
        counted.map(|(_, costs)| costs.nanos_per_event / base).fold(0.0, f64::max)
    }

    fn write(&self, points: &[(u64, Costs)], text: &mut String) -> Result<()> {
        writeln!(
            text,
            "\n| {} | ns per event | built, B each | settled, B each |\n|---:|---:|---:|---:|",
            self.what
        )?;
        let few = points.first().copied();
        for (count, costs) in points {
            let each = |value: fn(&Costs) -> f64| match few {
                Some((fewest, base)) if *count > fewest => {
                    format!("{:.0}", ((value(costs) - value(&base)) / (count - fewest) as f64).max(0.0))
                }
                _ => String::new(),
            };
            writeln!(
                text,
                "| {count} | {:.0} | {} | {} |",
                costs.nanos_per_event,
                each(|costs| costs.built_bytes),
                each(|costs| costs.resident_bytes)
            )?;
        }
        let worst = self.worst(points);
        let verdict = if worst <= FLAT { "flat within" } else { "NOT flat within" };
        let end = match (self.most)() {
            u64::MAX => "on".to_owned(),
            most => format!("to {most}, whose guests fit"),
        };
        writeln!(text, "\n{verdict} {FLAT} × from {} {end}: {worst:.2} ×", self.base)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(nanos_per_event: f64) -> Costs {
        Costs { nanos_per_event, built_bytes: 0.0, resident_bytes: 0.0 }
    }

    #[test]
    fn a_cost_that_grows_is_not_flat_wherever_it_is_highest() {
        let case = Case { name: "x", what: "x", counts: &[], base: 10, most: || 1_000 };
        let points = |nanos: [f64; 4]| -> Vec<(u64, Costs)> {
            [1, 10, 100, 1_000].into_iter().zip(nanos.map(costs)).collect()
        };
        assert_eq!(case.worst(&points([100.0, 10.0, 12.0, 11.0])), 1.2);
        let mut text = String::new();
        case.write(&points([1.0, 10.0, 40.0, 10.0]), &mut text).unwrap();
        assert!(text.contains("NOT flat within 1.3 × from 10 to 1000, whose guests fit: 4.00 ×"), "{text}");
        let fewer = Case { most: || 99, ..case };
        assert_eq!(fewer.worst(&points([1.0, 10.0, 40.0, 10.0])), 1.0);
    }
}
