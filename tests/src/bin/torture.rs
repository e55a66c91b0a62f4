//! Tortures the host: `torture [--runs N | --hours H | --kills K] [--seed S] [--peace SECONDS]`. Prints a line of
//! JSON for each run and one for all of them, and fails unless everything held.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use guesthouse_tests::torture::invariants::Runs;
use guesthouse_tests::torture::report::{Report, Verdict};
use guesthouse_tests::torture::{run, stage};
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
}

#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    kills: u64,
    faults: u64,
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
    let Task { enough, seed, peace } = Task::read(std::env::args().skip(1))?;
    let directory = tempfile::tempdir()?;
    let program = stage::prepare(directory.path());
    let (began, mut sum) = (Instant::now(), Sum::default());
    for seed in seed.. {
        let report = run::run(seed, &program, peace).await;
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
        let mut task = Self { enough: Enough::Runs(1), seed, peace: Duration::ZERO };
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
                _ => {
                    bail!("expected --runs N, --hours H, --kills K, --seed S or --peace SECONDS, not {word}")
                }
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
            "sent": self.sent, "handled": self.handled, "repeated": self.repeated, "with_dedup": self.with_dedup,
            "without_dedup": self.without_dedup, "split": self.split, "dead": self.dead,
            "duplicates": self.duplicates, "commits": self.commits, "seconds": took.as_secs(),
        })
    }
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
