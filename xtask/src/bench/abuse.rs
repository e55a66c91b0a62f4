//! What a crowd of bad peers costs a client of the embedded broker that behaves.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Arguments, median};
use crate::console::note;
use crate::program;
use crate::workspace::{Program, Workspace};

/// Where the table is left.
const TABLE: &str = "bench-abuse.md";
const RUNS: usize = 5;

/// One run, as the program prints it.
#[derive(Deserialize)]
struct Run {
    quiet_p50_micros: u32,
    quiet_p99_micros: u32,
    elsewhere_p50_micros: u32,
    elsewhere_p99_micros: u32,
    abused_p50_micros: u32,
    abused_p99_micros: u32,
    quiet_memory_bytes: u32,
    abused_memory_bytes: u32,
}

/// Builds the program, runs it some times and prints the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the crowd");
    let program = workspace.build(arguments.profile, "guesthouse-broker", Program::Example("abuse"))?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let mut command = Command::new(&program);
        command.arg(arguments.sends.to_string());
        let line = program::line(&command);
        let printed = program::read(&mut command)?;
        let run: Run = serde_json::from_str(&printed)
            .with_context(|| format!("`{line}` printed something else than expected"))?;
        runs.push(run);
    }
    super::leave(workspace, TABLE, &table(&runs, arguments))
}

fn table(runs: &[Run], arguments: &Arguments) -> String {
    let mut table = format!(
        "{} sends of one message of 256 B, one after the other, {:?} build: without anybody else, while 500 slow peers, 1,000\n\
         silent ones, 16 guessers of passwords and 64 browsers beset another broker, which nobody uses, and while they beset this\n\
         one. Everything shares the machine; the crowd and the other broker run when nobody else wants the processor.\n\n\
         | run | quiet p50 / p99, ms | crowd elsewhere, ms | crowd here, ms | p99, times | memory, MiB more |\n\
         |---:|---:|---:|---:|---:|---:|\n",
        arguments.sends, arguments.profile,
    );
    for (number, run) in (1..).zip(runs) {
        table.push_str(&run.line(number));
    }
    let times = median(runs.iter().map(Run::times).collect());
    table.push_str(&format!("\nMedian of p99: {times:.2} times; at most 2 are wanted, and 64 MiB.\n"));
    table
}

impl Run {
    /// How much longer the slowest sends take.
    fn times(&self) -> f64 {
        f64::from(self.abused_p99_micros) / f64::from(self.quiet_p99_micros.max(1))
    }

    fn line(&self, number: u32) -> String {
        let more = f64::from(self.abused_memory_bytes) - f64::from(self.quiet_memory_bytes);
        format!(
            "| {number} | {:.3} / {:.3} | {:.3} / {:.3} | {:.3} / {:.3} | {:.2} | {:.1} |\n",
            f64::from(self.quiet_p50_micros) / 1e3,
            f64::from(self.quiet_p99_micros) / 1e3,
            f64::from(self.elsewhere_p50_micros) / 1e3,
            f64::from(self.elsewhere_p99_micros) / 1e3,
            f64::from(self.abused_p50_micros) / 1e3,
            f64::from(self.abused_p99_micros) / 1e3,
            self.times(),
            more / f64::from(1 << 20),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_by_its_ratio() {
        let run = Run {
            quiet_p50_micros: 100,
            quiet_p99_micros: 200,
            elsewhere_p50_micros: 120,
            elsewhere_p99_micros: 250,
            abused_p50_micros: 150,
            abused_p99_micros: 300,
            quiet_memory_bytes: 1 << 20,
            abused_memory_bytes: 3 << 20,
        };
        assert_eq!(run.line(1), "| 1 | 0.100 / 0.200 | 0.120 / 0.250 | 0.150 / 0.300 | 1.50 | 2.0 |\n");
    }
}
