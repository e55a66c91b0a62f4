//! The demo: a host with an embedded broker, thousands of orders of many tenants, one in a hundred of them poison,
//! and where each of them ended; and a lane that waits behind a dead one until it is released.

mod balance;
mod events;
mod parked;
mod report;
mod stage;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::console::{Progress, note, print, seconds};
use crate::program;
use crate::workspace::{Profile, Program, Workspace};

use events::Events;
use stage::Stage;

/// How long the demo waits for the next event to be settled.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the demo leaves its folder when nobody says otherwise; the next demo replaces it.
const FOLDER: &str = "demo";

/// Most dead letters that are listed; a demo makes one of a hundred orders.
const DEAD_LETTERS_MAX: &str = "100000";

/// How the demo is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Orders to publish; one in a hundred is poison
    #[arg(long, default_value_t = 10_000)]
    events: u32,
    /// Tenants whose orders they are
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,
    /// Folder for data, configuration and log, which must be new or empty [default: target/demo, replaced each time]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// How to build the host
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

impl Arguments {
    /// A demo for every day, with a host that is quick to build.
    pub(crate) fn small(events: u32) -> Self {
        Self { events, tenants: 20, keep: None, profile: Profile::Dev }
    }
}

/// Builds the parts and runs the demo.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    note("building the guests and the host");
    workspace.build_guests()?;
    let program = workspace.build(arguments.profile, "guesthouse", Program::Binary("guesthouse"))?;
    let folder = folder(workspace, arguments)?;
    let events = Events::new(workspace, arguments.events, arguments.tenants)?;
    show(&Stage::new(workspace, folder, program)?, &events)
}

fn show(stage: &Stage, events: &Events) -> Result<()> {
    let mut host = stage.start()?;
    note(format_args!("the host runs on {}", stage.config().display()));
    let started = Instant::now();
    host.publish(&events.lines)?;
    let settled = Progress::new("settled", events.to_settle());
    host.wait_until_settled(events.to_settle(), PATIENCE, |count| settled.set(count, events.to_settle()))?;
    let took = started.elapsed();
    settled.finish();
    let report = host.stop()?;

    print(format_args!("\n{}", table::tenants(&report)));
    print_speed(events, took);
    let dead_letters = dead_letters(stage)?;
    print("\nEvery count agrees, or the demo fails:");
    balance::check(events, &report, dead_letters.len() as u64)?;
    show_one(stage, &dead_letters)?;
    parked::show(stage)?;
    print_what_next(stage);
    Ok(())
}

/// The folder of the demo, empty.
fn folder(workspace: &Workspace, arguments: &Arguments) -> Result<PathBuf> {
    if let Some(folder) = &arguments.keep {
        let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        ensure!(is_empty, "{} is not empty", folder.display());
        return Ok(folder.clone());
    }
    let folder = workspace.built(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(folder)
}

fn print_speed(events: &Events, took: Duration) {
    let per_second = events.to_settle() as f64 / took.as_secs_f64();
    print(format_args!(
        "{} events settled in {}: {per_second:.0} per second, from the start of `guesthouse publish` to the last one settled,\n\
         with that program, the broker and the host on this machine and the retries of the poison included",
        events.to_settle(),
        seconds(took),
    ));
}

/// All dead letters on their topic, read by the program after the host has ended.
fn dead_letters(stage: &Stage) -> Result<Vec<Value>> {
    let listed =
        program::read(stage.command(&["dlq", "list"]).args(["--json", "--limit", DEAD_LETTERS_MAX]))?;
    serde_json::from_str(&listed).context("the list of dead letters is not JSON")
}

fn show_one(stage: &Stage, dead_letters: &[Value]) -> Result<()> {
    let trapped = dead_letters.iter().find(|letter| letter["outcome"] == "trapped");
    let Some(id) = trapped.or(dead_letters.first()).and_then(|letter| letter["id"].as_str()) else {
        return Ok(());
    };
    print("\nOne dead letter in full:");
    print(program::read(&mut stage.command(&["dlq", "show", id]))?.trim_end());
    Ok(())
}

fn print_what_next(stage: &Stage) {
    let (program, config) = (stage.program().display(), stage.config());
    let config = config.display();
    print("Look further:");
    print(format_args!("  {program} dlq list --config {config}"));
    print(format_args!("  {program} dlq show ID --config {config}"));
    print(format_args!("  less {}", stage.log().display()));
}
