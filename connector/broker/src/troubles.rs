//! What a running broker cannot do at the moment, for the program that embeds it.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::catalog::{Stream, Topic};
use crate::engine::Engine;
use crate::partition::{Condition, Partition};

/// Troubles that are listed; the last of them counts the rest.
const LISTED_MAX: usize = 4;

/// A view of the troubles of a broker. It does not keep the broker or its data directory.
#[derive(Clone)]
pub struct Troubles(Weak<Engine>);

impl Troubles {
    pub(crate) fn of(engine: Weak<Engine>) -> Self {
        Self(engine)
    }

    /// One line for each trouble: the data directory is gone, or a partition does not serve, or not all that was written.
    /// Five lines at most. Empty when all is well, and once the broker has stopped. Blocks on a look at two inodes for each
    /// partition.
    pub fn now(&self) -> Vec<String> {
        let Some(engine) = self.0.upgrade() else { return Vec::new() };
        let mut lines: Vec<String> =
            engine.data_dir.require_there().err().map(|gone| gone.to_string()).into_iter().collect();
        for stream in engine.catalog.streams() {
            let of_topic = |topic: &Arc<Topic>| {
                let partitions = (0..).zip(&topic.partitions);
                let told = partitions.filter_map(|(id, partition)| told(&stream, topic, id, partition));
                told.collect::<Vec<_>>()
            };
            lines.extend(stream.topics.iter().flat_map(of_topic));
        }
        let more = lines.len().saturating_sub(LISTED_MAX);
        if more > 1 {
            lines.truncate(LISTED_MAX);
            lines.push(format!("{more} more"));
        }
        lines
    }
}

fn told(stream: &Stream, topic: &Topic, id: u32, partition: &Partition) -> Option<String> {
    let (state, reason) = match partition.condition() {
        Condition::Serving => return None,
        Condition::Refusing(reason) => ("takes no messages", reason),
        Condition::Damaged(reason) => ("is damaged", reason),
        Condition::Offline(reason) => ("is offline", reason),
    };
    Some(format!("partition {id} of {}/{} {state}: {reason}", stream.meta.name, topic.meta.name))
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles").finish_non_exhaustive()
    }
}
