//! The last act: an event dies, what stands behind it waits, and a command lets it go on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::events::{LANE, lane};
use super::stage::Stage;
use crate::console::print;
use crate::program;

/// How long the host may take for each step of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts another host, parks a lane and releases it.
pub(crate) fn show(stage: &Stage) -> Result<()> {
    let mut host = stage.start()?;
    host.publish(&lane())?;
    host.wait_until_settled(LANE.len() as u64, PATIENCE, |_| {})?;
    print("\nA lane behind a dead event, with `on_failure: park`:");
    print(program::read(&mut stage.command(&["parked", "list"]))?.trim_end());
    let lanes: Vec<Value> = listed(stage)?;
    let [lane] = &lanes[..] else { anyhow::bail!("one lane is parked, not {}", lanes.len()) };
    ensure!(lane["events"] == LANE.len(), "all events of the lane are parked: {lane}");
    let name = lane["lane"].as_str().context("a lane has a name")?;
    let mut release = stage.command(&["parked", "release"]);
    print(program::read(release.arg(name).arg("--skip-first"))?.trim_end());
    host.wait_until("the lane is released", PATIENCE, |report| {
        let total = report.total();
        report.parked_events() == 0 && total.deliveries == total.handled + total.dead()
    })?;
    let report = host.stop()?;
    ensure!(
        report.total().dead() == 1 && listed(stage)?.is_empty(),
        "one event is dead and nothing is parked"
    );
    print(format_args!(
        "  ok     the {} events behind it ran, and nothing is parked any more",
        LANE.len() - 1
    ));
    Ok(())
}

fn listed(stage: &Stage) -> Result<Vec<Value>> {
    let listed = program::read(stage.command(&["parked", "list"]).arg("--json"))?;
    serde_json::from_str(&listed).context("the list of parked lanes is not JSON")
}
