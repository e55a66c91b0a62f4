//! Keeps topics within the age and the size that their options ask for. Only sealed segments go, oldest first,
//! whether or not a consumer has read them: these options are the operator's word that it may be so.

use crate::catalog::{Catalog, Topic};
use crate::wire::Refusal;

/// Applies the retention of every topic, by size alone when it is not known what has expired. Blocks on file I/O. What
/// fails is logged and tried again next time.
pub(crate) fn sweep(catalog: &Catalog, expired_by: Option<u64>) {
    for topic in catalog.topics() {
        match sweep_topic(&topic, expired_by) {
            Ok(0) => {}
            Ok(segments) => {
                tracing::info!(topic = topic.meta.name, segments, "dropped segments by retention")
            }
            Err(error) => tracing::warn!(topic = topic.meta.name, %error, "retention could not be applied"),
        }
    }
}

fn sweep_topic(topic: &Topic, expired_by: Option<u64>) -> Result<u32, Refusal> {
    let age = topic.options.expiry_micros();
    let time_micros = expired_by.zip(age).map(|(now_micros, age)| now_micros.saturating_sub(age));
    let partitions_count = u64::from(topic.meta.partitions_count.max(1));
    let bytes_max = topic.options.bytes_max().map(|bytes| bytes / partitions_count);
    if time_micros.is_none() && bytes_max.is_none() {
        return Ok(0);
    }
    let mut segments = 0;
    for partition in &topic.partitions {
        match partition.retain(time_micros, bytes_max) {
            // Said when the broker started.
            Err(Refusal::Offline { .. }) => {}
            dropped => segments += dropped?,
        }
    }
    Ok(segments)
}
