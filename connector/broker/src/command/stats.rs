//! Numbers about the broker and its machine, for people who look at it.

use iggy_binary_protocol::responses::system::StatsResponse;
use iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION;

use super::topic::Extent;
use super::{Call, session};
use crate::clock::steady_micros;
use crate::machine::{DiskSpace, MachineUse, ProcessUse};
use crate::wire::Refusal;

/// What the log and the catalog hold.
#[derive(Debug, Default)]
struct Totals {
    extent: Extent,
    topics: usize,
    partitions: usize,
    segments: u32,
    groups: usize,
}

/// Collects them. Reads some small files of the system.
pub(super) fn stats(call: &Call<'_>) -> Result<StatsResponse, Refusal> {
    let engine = call.engine;
    let totals = totals(call)?;
    let run_micros = steady_micros().saturating_sub(engine.started_at_micros);
    // A float holds microseconds well enough for a percentage.
    let process = ProcessUse::now(std::time::Duration::from_micros(run_micros).as_secs_f32());
    let machine = MachineUse::now();
    let disk = DiskSpace::at(engine.data_dir.path());
    Ok(StatsResponse {
        process_id: std::process::id(),
        cpu_usage: process.cpu_percent,
        total_cpu_usage: machine.cpu_percent,
        memory_usage: process.memory_bytes,
        total_memory: machine.memory_bytes,
        available_memory: machine.memory_available_bytes,
        run_time: run_micros,
        start_time: engine.started_at_micros,
        read_bytes: process.read_bytes,
        written_bytes: process.written_bytes,
        messages_size_bytes: totals.extent.bytes,
        streams_count: count(engine.catalog.streams().len()),
        topics_count: count(totals.topics),
        partitions_count: count(totals.partitions),
        segments_count: totals.segments,
        messages_count: totals.extent.messages,
        clients_count: count(engine.peers.list().len()),
        consumer_groups_count: count(totals.groups),
        hostname: machine.hostname,
        os_name: machine.os_name,
        os_version: machine.os_version,
        kernel_version: machine.kernel_version,
        iggy_server_version: session::SERVER_VERSION.to_owned(),
        iggy_server_semver: Some(IGGY_PROTOCOL_VERSION),
        cache_metrics: Vec::new(),
        threads_count: process.threads,
        free_disk_space: disk.free_bytes,
        total_disk_space: disk.total_bytes,
    })
}

fn totals(call: &Call<'_>) -> Result<Totals, Refusal> {
    let mut totals = Totals::default();
    for topic in call.engine.catalog.topics() {
        totals.topics += 1;
        totals.groups += topic.groups.len();
        totals.partitions += topic.partitions.len();
        for partition in &topic.partitions {
            let bounds = partition.extent();
            totals.segments = totals.segments.saturating_add(bounds.segments);
            totals.extent.add(&Extent { bytes: bounds.bytes, messages: bounds.messages });
        }
    }
    Ok(totals)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
