//! `guesthouse parked release` and `drop`: commands about lanes that are named, or about all that filters leave.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::{ArgGroup, Args};
use guesthouse_connector::{IggyConnector, OutgoingMessage, TopicAddress};

use super::Console;
use super::reader::{FoundLane, read_lanes};
use crate::cli::dlq::column;
use crate::config::Config;
use crate::event::Tenant;
use crate::identity::LaneName;
use crate::parked::{Action, Command, Control, Dropped, Head, Standing};

/// Commands of one request.
const BATCH: usize = 500;

/// Which lanes are meant.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["lanes", "all"]).required(true)))]
pub(super) struct LaneSelection {
    /// Lanes, as `parked list` prints them.
    #[arg(value_name = "LANE", conflicts_with_all = ["handler", "tenant"])]
    lanes: Vec<LaneName>,
    /// All that the filters leave. `release` leaves out those that go on by themselves, and `drop` those that are blocked.
    #[arg(long)]
    all: bool,
    /// Only this handler's.
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// Only this tenant's; `platform` for the platform's own.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only say how many it would be.
    #[arg(long)]
    dry_run: bool,
}

impl LaneSelection {
    fn wants(&self, found: &FoundLane) -> bool {
        let tenant = self.tenant.as_deref().map(|tenant| match tenant {
            "platform" => Tenant::PLATFORM_ID,
            tenant => tenant,
        });
        self.handler.as_deref().is_none_or(|handler| handler == found.lane.handler)
            && tenant.is_none_or(|tenant| tenant == found.lane.tenant)
    }
}

/// Whether a command for all lanes means one that stands so. Who names a lane means it in any case.
fn means(action: Action, standing: Standing) -> bool {
    match action {
        // What waits or is released goes on by itself.
        Action::Release(_) => matches!(standing, Standing::Held | Standing::Blocked),
        // What stands behind a blocked event is not parked.
        Action::Drop(_) => standing != Standing::Blocked,
    }
}

/// Writes a command for each lane that is meant, and tells what it will do.
pub(super) async fn command_lanes(
    selection: &LaneSelection,
    action: Action,
    (config, connector): (&Config, &dyn IggyConnector),
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    if !selection.all {
        let found = find_all(&selection.lanes, config, connector).await?;
        refuse_drop_of_blocked(&found, action)?;
        if !selection.dry_run {
            write(&found, action, connector).await?;
        }
        found.iter().try_for_each(|found| describe(found, action, console))?;
        return say_when(found.len(), selection.dry_run, console);
    }
    let mut found = read_lanes(connector, config, &BTreeSet::new()).await?;
    found.retain(|found| selection.wants(found));
    let before = found.len();
    found.retain(|found| means(action, found.lane.standing));
    let written = if selection.dry_run { 0 } else { write(&found, action, connector).await? };
    let events: usize = found.iter().map(|found| found.lane.len()).sum();
    if let (Action::Drop(_), false) = (action, selection.dry_run) {
        // Nobody can look at it afterwards.
        found.iter().try_for_each(|found| describe(found, action, console))?;
    }
    writeln!(console.out, "{} lanes with {events} events, {written} commands written", found.len())?;
    let left_out = before - found.len();
    if left_out > 0 {
        let why = match action {
            Action::Release(_) => "they go on by themselves",
            Action::Drop(_) => "they are blocked, and what they hold up is not parked",
        };
        writeln!(console.err, "left out {left_out} lanes: {why}")?;
    }
    say_when(found.len(), selection.dry_run, console)
}

fn say_when(lanes: usize, dry_run: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    if dry_run {
        writeln!(console.out, "nothing was written: this was a dry run")?;
    } else if lanes > 0 {
        writeln!(console.out, "the hosts that read their partitions obey shortly")?;
    }
    Ok(())
}

/// The lanes of these names, each once.
///
/// # Errors
/// When one is neither parked nor blocked.
pub(super) async fn find_all(
    lanes: &[LaneName],
    config: &Config,
    connector: &dyn IggyConnector,
) -> anyhow::Result<Vec<FoundLane>> {
    let mut missing: BTreeSet<LaneName> = lanes.iter().copied().collect();
    let found = read_lanes(connector, config, &missing).await?;
    for lane in &found {
        missing.remove(&lane.name);
    }
    match missing.first() {
        Some(lane) => {
            bail!("no lane {lane} is parked or blocked; `guesthouse parked list` shows those that are")
        }
        None => Ok(found),
    }
}

fn refuse_drop_of_blocked(found: &[FoundLane], action: Action) -> anyhow::Result<()> {
    let blocked = found.iter().find(|found| found.lane.standing == Standing::Blocked);
    if let (Some(FoundLane { name, .. }), Action::Drop(_)) = (blocked, action) {
        bail!(
            "lane {name} is blocked, and what it holds up is not parked: expected `release`, with --skip-first to leave its \
             first event dead"
        );
    }
    Ok(())
}

/// Writes one command for each lane into the topics where they are parked. Tells how many.
async fn write(found: &[FoundLane], action: Action, connector: &dyn IggyConnector) -> anyhow::Result<usize> {
    let mut topics: BTreeMap<String, (&TopicAddress, Vec<OutgoingMessage>)> = BTreeMap::new();
    for found in found {
        let Some(head) = found.lane.head() else { continue };
        let control = Control::Command(Command { head, action });
        let message = control.message(&found.group, found.name, found.partition, rand::random());
        let (_, messages) =
            topics.entry(found.parked.to_string()).or_insert_with(|| (&found.parked, Vec::new()));
        messages.push(message);
    }
    let mut written = 0;
    for (topic, mut messages) in topics.into_values() {
        while !messages.is_empty() {
            let rest = messages.split_off(messages.len().min(BATCH));
            let batch = std::mem::replace(&mut messages, rest);
            let count = batch.len();
            if let Err(error) = connector.publish_batch(topic, batch).await {
                written += count - error.unpublished.len();
                let so_far = format!("cannot write to {topic}; {written} commands were written before");
                return Err(anyhow::Error::new(error.source).context(so_far));
            }
            written += count;
        }
    }
    Ok(written)
}

/// Tells what a command does with a lane, and which events it drops.
fn describe(found: &FoundLane, action: Action, console: &mut Console<'_>) -> anyhow::Result<()> {
    let FoundLane { name, lane, .. } = found;
    let events = lane.len();
    let is_blocked = lane.standing == Standing::Blocked;
    let what = match action {
        Action::Release(Head::Retry) if is_blocked => "its dead event is tried again".to_owned(),
        Action::Release(Head::Skip) if is_blocked => "what stands behind its dead event runs".to_owned(),
        Action::Release(Head::Retry) => format!("{events} events of it run in order, the dead one first"),
        Action::Release(Head::Skip) => format!("{} events of it run in order", events.saturating_sub(1)),
        Action::Drop(Dropped::First) => {
            format!("its first event is dropped, {} are left", events.saturating_sub(1))
        }
        Action::Drop(Dropped::All) => format!("{events} events of it are dropped"),
    };
    let (handler, tenant) = (column(Some(&lane.handler)), column(Some(&lane.tenant)));
    writeln!(console.out, "lane {name} of handler {handler} and tenant {tenant}: {what}")?;
    if action == Action::Drop(Dropped::All) {
        for event in found.events.values() {
            let (event_type, id) = (column(Some(&event.event_type)), column(Some(&event.event_id)));
            writeln!(console.out, "dropped {event_type} {id}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lanes_are_those_that_need_the_command() {
        let standings =
            [Standing::Held, Standing::Waiting { until_micros: 1 }, Standing::Released, Standing::Blocked];
        let meant = |action| standings.map(|standing| means(action, standing));
        assert_eq!(meant(Action::Release(Head::Retry)), [true, false, false, true]);
        assert_eq!(meant(Action::Release(Head::Skip)), [true, false, false, true]);
        assert_eq!(meant(Action::Drop(Dropped::All)), [true, true, true, false]);
        assert_eq!(meant(Action::Drop(Dropped::First)), [true, true, true, false]);
    }
}
