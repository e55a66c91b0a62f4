//! `guesthouse parked`: looks at parked lanes, and says what becomes of them. A command is a record in the parked
//! topic, which the host that reads the partition obeys within a second or so; it stays there as the proof of who
//! wanted what.

mod command;
mod reader;

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use guesthouse_connector::IggyConnector;
use serde::Serialize;

use self::command::{LaneSelection, command_lanes, find_all};
use self::reader::{FoundLane, read_lanes};
use super::dlq::{column, time};
use super::{ConfigArgs, Console, Environment, ListArgs, connection};
use crate::config::Config;
use crate::identity::LaneName;
use crate::parked::{Action, Dropped, Head, ParkedEvent, Standing};

/// Most events of a lane that are shown.
const SHOWN_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum ParkedCommand {
    /// List lanes that are parked or blocked, the oldest first.
    List(ListArgs),
    /// Show one lane with its events.
    Show(ShowArgs),
    /// Let lanes go on: the first event of each is tried again, and what stands behind it follows in order.
    Release(ReleaseArgs),
    /// Drop what is parked of lanes, for good.
    Drop(DropArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The lane, as `parked list` prints it.
    lane: LaneName,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    selection: LaneSelection,
    /// Leave the first event of each dead, and go on with the next one.
    #[arg(long)]
    skip_first: bool,
}

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    selection: LaneSelection,
    /// Drop the first event of each only; a lane that is not released yet stays parked.
    #[arg(long)]
    first_only: bool,
    /// Needed, for what is dropped is never handled.
    #[arg(long, required_unless_present = "dry_run")]
    yes: bool,
}

/// A lane as it is printed.
#[derive(Debug, Serialize)]
struct LaneSummary<'a> {
    lane: String,
    handler: &'a str,
    tenant: &'a str,
    order: &'a str,
    state: &'static str,
    /// When its head is tried again, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_until: Option<u64>,
    /// When it was parked, in microseconds since 1970.
    since: u64,
    /// The dead letter that it waits behind.
    behind: Option<&'a str>,
    events: usize,
    topic: &'a str,
    partition: u32,
    /// Its first event, by the offset in the topic.
    head: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<Vec<EventSummary<'a>>>,
}

#[derive(Debug, Serialize)]
struct EventSummary<'a> {
    offset: u64,
    kind: &'static str,
    event_id: &'a str,
    event_type: &'a str,
    parked_at: u64,
}

pub(super) async fn execute(
    command: ParkedCommand,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let (ParkedCommand::List(ListArgs { config, .. })
    | ParkedCommand::Show(ShowArgs { config, .. })
    | ParkedCommand::Release(ReleaseArgs { config, .. })
    | ParkedCommand::Drop(DropArgs { config, .. })) = &command;
    let config = config.load(environment)?;
    let connector = connection::open(&config).await?;
    let done = obey(command, &config, connector.as_ref(), console).await;
    connection::close(connector.as_ref(), done).await
}

async fn obey(
    command: ParkedCommand,
    config: &Config,
    connector: &dyn IggyConnector,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    match command {
        ParkedCommand::List(args) => list(&args, config, connector, console).await,
        ParkedCommand::Show(args) => {
            let found = find_all(&[args.lane], config, connector).await?;
            print(found.first().context("no lane was found")?, args.json, console)
        }
        ParkedCommand::Release(args) => {
            let head = if args.skip_first { Head::Skip } else { Head::Retry };
            command_lanes(&args.selection, Action::Release(head), (config, connector), console).await
        }
        ParkedCommand::Drop(args) => {
            let dropped = if args.first_only { Dropped::First } else { Dropped::All };
            command_lanes(&args.selection, Action::Drop(dropped), (config, connector), console).await
        }
    }
}

async fn list(
    args: &ListArgs,
    config: &Config,
    connector: &dyn IggyConnector,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut found = read_lanes(connector, config, &BTreeSet::new()).await?;
    found.sort_by_key(|found| found.lane.since_micros);
    if args.json {
        let lanes: Vec<LaneSummary<'_>> = found.iter().map(LaneSummary::of).collect();
        serde_json::to_writer_pretty(&mut *console.out, &lanes)?;
        writeln!(console.out)?;
    } else {
        writeln!(console.out, "{}", table(&found))?;
    }
    Ok(())
}

impl<'a> LaneSummary<'a> {
    fn of(found: &'a FoundLane) -> Self {
        let lane = &found.lane;
        let waits_until = match lane.standing {
            Standing::Waiting { until_micros } => Some(until_micros),
            Standing::Held | Standing::Released | Standing::Blocked => None,
        };
        Self {
            lane: found.name.to_string(),
            handler: &lane.handler,
            tenant: &lane.tenant,
            order: &lane.order,
            state: state(lane.standing),
            waits_until,
            since: lane.since_micros,
            behind: lane.behind.as_deref(),
            events: lane.len(),
            topic: &found.topic,
            partition: found.partition.0,
            head: lane.head().map(|head| head.0),
            parked: None,
        }
    }
}

impl<'a> EventSummary<'a> {
    fn of(event: &'a ParkedEvent) -> Self {
        Self {
            offset: event.source.0,
            kind: event.kind.as_str(),
            event_id: &event.event_id,
            event_type: &event.event_type,
            parked_at: event.parked_micros,
        }
    }
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "parked",
        Standing::Waiting { .. } => "waiting",
        Standing::Released => "released",
        Standing::Blocked => "blocked",
    }
}

fn table(found: &[FoundLane]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "lane",
        "handler",
        "tenant",
        "order",
        "state",
        "since",
        "events",
        "behind dead letter",
    ]);
    for FoundLane { name, lane, .. } in found {
        table.add_row([
            name.to_string(),
            column(Some(&lane.handler)),
            column(Some(&lane.tenant)),
            column(Some(&lane.order)),
            state(lane.standing).to_owned(),
            time(Some(lane.since_micros)),
            lane.len().to_string(),
            column(lane.behind.as_deref()),
        ]);
    }
    table
}

fn print(found: &FoundLane, json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut summary = LaneSummary::of(found);
    let events = found.events.values().take(SHOWN_MAX).map(EventSummary::of);
    if json {
        summary.parked = Some(events.collect());
        serde_json::to_writer_pretty(&mut *console.out, &summary)?;
        writeln!(console.out)?;
        return Ok(());
    }
    let lines = [
        ("lane", summary.lane.clone()),
        ("handler", column(Some(summary.handler))),
        ("tenant", column(Some(summary.tenant))),
        ("order", column(Some(summary.order))),
        ("state", summary.state.to_owned()),
        ("waits until", time(summary.waits_until)),
        ("since", time(Some(summary.since))),
        ("behind", column(summary.behind)),
        ("source", format!("{}, partition {}", summary.topic, summary.partition)),
        ("events", summary.events.to_string()),
    ];
    for (name, value) in lines {
        writeln!(console.out, "{:<14}{value}", format!("{name}:"))?;
    }
    for event in events {
        let EventSummary { offset, kind, event_id, event_type, parked_at } = event;
        let (id, event_type) = (column(Some(event_id)), column(Some(event_type)));
        writeln!(
            console.out,
            "  {kind:<8}{event_type} {id}, offset {offset}, parked {}",
            time(Some(parked_at))
        )?;
    }
    if found.events.len() > SHOWN_MAX {
        writeln!(console.out, "  and {} more", found.events.len() - SHOWN_MAX)?;
    }
    Ok(())
}
