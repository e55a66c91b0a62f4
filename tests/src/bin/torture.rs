//! Tortures the host: `torture [--runs N | --hours H | --kills K] [--seed S] [--peace SECONDS] [--hardships A,B]`. Prints
//! a line of JSON for each run and one for all of them, and fails unless everything held. What this machine does not
//! permit is left out, aloud.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use guesthouse_tests::torture::hardship::{self, Hardship};
use guesthouse_tests::torture::invariants::Runs;
use guesthouse_tests::torture::report::{Report, Verdict};
use guesthouse_tests::torture::run::{self, Manner};
use guesthouse_tests::torture::stage;
use guesthouse_tests::torture::vigil::Readings;
use serde_json::json;

/// When it is enough.
#[derive(Debug, Clone, Copy)]
enum Enough {
    Runs(u64),
    Time(Duration),
    Kills(u64),
}

/// What is asked for.
#[derive(Debug)]
struct Task {
    enough: Enough,
    seed: u64,
    /// Before each hardship.
    peace: Duration,
    hardships: Vec<Hardship>,
}

#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    kills: u64,
    faults: u64,
    hardships: BTreeMap<&'static str, u32>,
    left_out: Vec<&'static str>,
    health: Readings,
    sent: usize,
    handled: usize,
    repeated: usize,
    with_dedup: Runs,
    without_dedup: Runs,
    split: usize,
    dead: usize,
    duplicates: usize,
    commits: usize,
    failed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Task { enough, seed, peace, hardships } = Task::read(std::env::args().skip(1))?;
    let directory = tempfile::tempdir()?;
    let (hardships, left_out) = hardship::permitted(&hardships, directory.path());
    for left_out in &left_out {
        writeln!(std::io::stderr(), "{left_out}")?;
    }
    let left_out = left_out.iter().map(|left_out| left_out.hardship.name()).collect();
    let manner = Manner { program: stage::prepare(directory.path()), hardships, peace };
    let (began, mut sum) = (Instant::now(), Sum { left_out, ..Sum::default() });
    for seed in seed.. {
        let report = run::run(seed, &manner).await;
        say(&serde_json::to_value(&report)?)?;
        sum.add(&report);
        let is_enough = match enough {
            Enough::Runs(runs) => sum.runs >= runs,
            Enough::Kills(kills) => sum.kills >= kills,
            Enough::Time(time) => began.elapsed() >= time,
        };
        if is_enough || sum.failed > 0 {
            break;
        }
    }
    say(&sum.line(began.elapsed()))?;
    ensure!(sum.failed == 0, "a run did not hold; its line says where everything lies");
    Ok(())
}

impl Task {
    fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let seed = rand::random::<u32>().into();
        let hardships = Hardship::ALL.to_vec();
        let mut task = Self { enough: Enough::Runs(1), seed, peace: Duration::ZERO, hardships };
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a number"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{word} needs a number"));
            match word.as_str() {
                "--runs" => task.enough = Enough::Runs(number()?),
                "--kills" => task.enough = Enough::Kills(number()?),
                "--hours" => {
                    task.enough = Enough::Time(Duration::from_secs_f64(value.parse::<f64>()? * 3600.0));
                }
                "--seed" => task.seed = number()?,
                "--peace" => task.peace = Duration::from_secs(number()?),
                "--hardships" => {
                    task.hardships = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                _ => bail!(
                    "expected --runs N, --hours H, --kills K, --seed S, --peace SECONDS or --hardships A,B, not {word}"
                ),
            }
        }
        Ok(task)
    }
}

impl Sum {
    fn add(&mut self, report: &Report) {
        let totals = &report.totals;
        self.runs += 1;
        self.kills += u64::from(report.kills);
        self.faults += report.faults.len() as u64;
        for (kind, times) in &report.hardships {
            *self.hardships.entry(kind).or_default() += times;
        }
        self.health.add(&report.health);
        self.sent += totals.sent;
        self.handled += totals.handled;
        self.repeated += totals.repeated;
        for (ours, theirs) in
            [(&mut self.with_dedup, totals.with_dedup), (&mut self.without_dedup, totals.without_dedup)]
        {
            ours.handled += theirs.handled;
            ours.repeated += theirs.repeated;
        }
        self.split += totals.split;
        self.dead += totals.dead;
        self.duplicates += totals.duplicates;
        self.commits += totals.commits;
        self.failed += u64::from(report.verdict != Verdict::Held);
    }

    fn line(&self, took: Duration) -> serde_json::Value {
        json!({
            "runs": self.runs, "failed": self.failed, "kills": self.kills, "faults": self.faults,
            "hardships": self.hardships, "left_out": self.left_out, "health": self.health,
            "sent": self.sent, "handled": self.handled, "repeated": self.repeated, "with_dedup": self.with_dedup,
            "without_dedup": self.without_dedup, "split": self.split, "dead": self.dead,
            "duplicates": self.duplicates, "commits": self.commits, "seconds": took.as_secs(),
        })
    }
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
