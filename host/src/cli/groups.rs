//! `guesthouse groups`: shows consumer groups, how far they are, and puts them elsewhere.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use guesthouse_connector::{
    ConsumerGroupManager, GroupAddress, GroupPosition, GroupSummary, NewPosition, Offset, PartitionId,
    ResetTo, TopicAddress,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{ConfigArgs, Console, Environment, ListArgs, connection};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum GroupsCommand {
    /// List the groups of the configured topics.
    List(ListArgs),
    /// Show how far a group is in each partition, and who reads it.
    Show(ShowArgs),
    /// Let a group go on somewhere else. Its hosts must be stopped. One that does not exist is created.
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The group.
    group: String,
    /// The topic that it reads.
    #[arg(long, value_name = "TOPIC", default_value = "domain")]
    topic: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    group: GroupArgs,
}

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    group: GroupArgs,
    #[command(flatten)]
    to: Target,
    /// Only this partition, counted from 0.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Do it. Without this, it is only shown what would be done.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Go on with this offset.
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// Go on with what was stored at or after this time, such as 2026-08-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// Go on with the first event.
    #[arg(long)]
    beginning: bool,
    /// Go on after the last event.
    #[arg(long)]
    end: bool,
}

/// The groups of one topic.
#[derive(Serialize)]
struct Listing {
    topic: String,
    groups: Vec<GroupSummary>,
}

/// What a reset did or would do.
#[derive(Serialize)]
struct Reset {
    done: bool,
    partitions: Vec<NewPosition>,
}

pub(super) async fn execute(
    command: GroupsCommand,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let args = match &command {
        GroupsCommand::List(args) => &args.config,
        GroupsCommand::Show(args) => &args.group.config,
        GroupsCommand::Reset(args) => &args.group.config,
    };
    let config = args.load(environment)?;
    let connector = connection::open(&config).await?;
    let groups = ConsumerGroupManager::new(Arc::clone(&connector));
    let done = match command {
        GroupsCommand::List(args) => list(&groups, &config, args.json, console).await,
        GroupsCommand::Show(args) => show(&groups, &config, &args.group, console).await,
        GroupsCommand::Reset(args) => reset(&groups, &config, &args, console).await,
    };
    connection::close(connector.as_ref(), done).await
}

async fn list(
    groups: &ConsumerGroupManager,
    config: &Config,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut listings = Vec::with_capacity(config.topology.len());
    for topic in &config.topology {
        let address = TopicAddress::new(&config.connector.stream_name, &topic.name);
        listings.push(Listing { topic: topic.name.clone(), groups: groups.list(&address).await? });
    }
    if json {
        return print_json(&listings, console);
    }
    let mut table = new_table(["topic", "group", "members"]);
    for Listing { topic, groups } in listings {
        for group in groups {
            table.add_row([topic.clone(), group.group, group.members_count.to_string()]);
        }
    }
    Ok(writeln!(console.out, "{table}")?)
}

async fn show(
    groups: &ConsumerGroupManager,
    config: &Config,
    args: &GroupArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let group = args.address(config);
    if groups.members(&group).await?.is_none() {
        bail!("group {group} does not exist");
    }
    let position = groups.position(&group).await?;
    if args.json { print_json(&position, console) } else { print_position(&position, console) }
}

async fn reset(
    groups: &ConsumerGroupManager,
    config: &Config,
    args: &ResetArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let group = args.group.address(config);
    let (to, only) = (args.to.resolve()?, args.partition.map(PartitionId));
    let partitions = match args.yes {
        true => groups.reset(&group, to, only).await?,
        false => groups.plan_reset(&group, to, only).await?,
    };
    let reset = Reset { done: args.yes, partitions };
    if args.group.json {
        return print_json(&reset, console);
    }
    let mut table = new_table(["partition", "next before", "next now"]);
    for NewPosition { partition, from, to } in &reset.partitions {
        table.add_row([partition.to_string(), from.to_string(), to.to_string()]);
    }
    writeln!(console.out, "{table}")?;
    if !args.yes {
        writeln!(console.out, "nothing was changed; --yes does it")?;
    }
    Ok(())
}

impl GroupArgs {
    fn address(&self, config: &Config) -> GroupAddress {
        let topic = TopicAddress::new(&config.connector.stream_name, &self.topic);
        GroupAddress::new(topic, &self.group)
    }
}

impl Target {
    fn resolve(&self) -> anyhow::Result<ResetTo> {
        Ok(match (self.offset, self.time) {
            (Some(offset), _) => ResetTo::Offset(Offset(offset)),
            (_, Some(time)) => {
                ResetTo::Time(u64::try_from(time.as_microsecond()).context("the time is before 1970")?)
            }
            _ if self.end => ResetTo::End,
            _ => ResetTo::Beginning,
        })
    }
}

fn print_position(position: &GroupPosition, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut table = new_table(["partition", "stored", "last", "lag", "member"]);
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for partition in &position.partitions {
        table.add_row([
            partition.partition.to_string(),
            shown(partition.stored.map(|offset| offset.0)),
            shown(partition.last.map(|offset| offset.0)),
            partition.lag.to_string(),
            shown(partition.member.map(u64::from)),
        ]);
    }
    writeln!(console.out, "{table}")?;
    let GroupPosition { lag_total, lag_max, members, complete, .. } = position;
    writeln!(
        console.out,
        "members: {}, lag in all: {lag_total}, at most in one partition: {lag_max}",
        members.len()
    )?;
    if !complete {
        writeln!(
            console.out,
            "not complete: the group or the topic changed meanwhile, or the group is ahead of it"
        )?;
    }
    Ok(())
}

fn new_table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn print_json(value: &impl Serialize, console: &mut Console<'_>) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *console.out, value)?;
    Ok(writeln!(console.out)?)
}
