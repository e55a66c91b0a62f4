//! The torture: hosts are killed and cut off under load, and afterwards nothing may be lost.

use anyhow::Result;

use crate::program;
use crate::workspace::Workspace;

/// Kills of the short one: every place where a host can be killed, four times.
const KILLS: u64 = 60;

/// How long it goes on.
#[derive(Debug, clap::Args)]
#[group(multiple = false, id = "enough")]
pub(crate) struct Enough {
    /// Go on for this time
    #[arg(long)]
    hours: Option<f64>,
    /// Go on for this many runs
    #[arg(long)]
    runs: Option<u64>,
    /// Go on until hosts were killed this many times
    #[arg(long)]
    kills: Option<u64>,
}

/// What is tortured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    enough: Enough,
    /// The seed of the first run; each further one counts it up
    #[arg(long)]
    seed: Option<u64>,
    /// Leave the hosts alone for so many seconds before each hardship
    #[arg(long)]
    peace: Option<u64>,
    /// Only some hardships, with commas between them: kills, log, disk, clock, files, memory
    #[arg(long, value_name = "NAMES")]
    hardships: Option<String>,
}

impl Arguments {
    /// The short one.
    pub(crate) fn short() -> Self {
        let enough = Enough { hours: None, runs: None, kills: Some(KILLS) };
        Self { enough, seed: None, peace: None, hardships: None }
    }
}

/// Runs it; its lines are printed, one for each run.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut command =
        workspace.cargo(&["run", "--quiet", "--package", "guesthouse-tests", "--bin", "torture"]);
    command.arg("--");
    let Enough { hours, runs, kills } = arguments.enough;
    let runs = if hours.is_none() && kills.is_none() { Some(runs.unwrap_or(1)) } else { runs };
    let numbers =
        [("--runs", runs), ("--kills", kills), ("--seed", arguments.seed), ("--peace", arguments.peace)];
    for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
        command.args([name, &number.to_string()]);
    }
    if let Some(hours) = hours {
        command.args(["--hours", &hours.to_string()]);
    }
    if let Some(hardships) = &arguments.hardships {
        command.args(["--hardships", hardships]);
    }
    program::run(&mut command)
}
