//! Open files: how many a configuration makes a host keep open, held against what the system allows.
//!
//! The program raises its limit at its start. A library does not touch a limit of the whole process unasked: a program
//! that embeds a host calls [`raise`] where that suits it.

pub use guesthouse_broker::open_files::{FileLimit, explain, limit, raise};

use guesthouse_connector::ConnectorMode;

use crate::config::Config;

/// Files for everything whose number no configuration changes: standard files, the event loops of three runtimes, the
/// databases, the connections of the host itself, and a reserve for what is opened for a moment.
const FILES_BASE: u64 = 96;
/// Files of one partition of the embedded broker: its segment that is written.
const FILES_PER_PARTITION: u64 = 1;
/// Files of one connection of a subscription to the embedded broker, both ends of which are in this process.
const FILES_PER_READER: u64 = 2;
/// Connections of a subscription for each of its topics: one that reads it, and one for what is parked of it.
const READERS_PER_TOPIC: u64 = 2;
/// Files of one component: the engine keeps the image of its memory in one, for guests to share.
const FILES_PER_COMPONENT: u64 = 1;

/// How many files a host is going to keep open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FilesWanted {
    pub(crate) partitions: u64,
    pub(crate) components: u64,
    pub(crate) readers: u64,
}

impl FilesWanted {
    /// What a configuration wants.
    pub(crate) fn of(config: &Config) -> Self {
        let is_embedded = config.connector.mode == ConnectorMode::Embedded;
        let of_topic = |name: &str| config.topology.iter().find(|topic| topic.name == name);
        let partitions = |name: &str| of_topic(name).map_or(0, |topic| u64::from(topic.partitions));
        let configured: u64 = config.topology.iter().map(|topic| u64::from(topic.partitions)).sum();
        let parked: u64 = config.topics_with_parking().into_iter().map(partitions).sum();
        let components: std::collections::BTreeSet<_> =
            config.handlers.iter().map(|handler| &handler.component).collect();
        let readers: usize = config.subscriptions.iter().map(|subscription| subscription.topics.len()).sum();
        Self {
            partitions: if is_embedded { configured + parked } else { 0 },
            components: components.len() as u64,
            readers: readers as u64,
        }
    }

    /// In all.
    pub(crate) const fn total(&self) -> u64 {
        FILES_BASE
            + self.partitions * FILES_PER_PARTITION
            + self.components * FILES_PER_COMPONENT
            + self.readers * READERS_PER_TOPIC * FILES_PER_READER
    }

    /// What to tell an operator when it is more than the system allows.
    pub(crate) fn excess(&self, limit: FileLimit) -> Option<String> {
        let allowed = limit.soft.filter(|allowed| *allowed < self.total())?;
        let Self { partitions, components, .. } = self;
        let raise = match limit.hard {
            Some(hard) if hard < self.total() => {
                format!("raise the hard limit of open files, which is {hard}")
            }
            _ => "raise the limit of open files".to_owned(),
        };
        Some(format!(
            "about {} files will be open, for {partitions} partitions, {components} components and what goes with them, \
             and {allowed} are allowed; {raise} (`ulimit -n`, or `LimitNOFILE=` in a unit of systemd), or configure \
             fewer partitions",
            self.total()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_held_against_what_is_allowed() {
        let wanted = FilesWanted { partitions: 1_200, components: 3, readers: 2 };
        assert_eq!(wanted.total(), 96 + 1_200 + 3 + 8);
        let limit = |soft, hard| FileLimit { soft, hard };
        assert_eq!(wanted.excess(limit(None, None)), None);
        assert_eq!(wanted.excess(limit(Some(1_307), Some(1_307))), None);
        let text = wanted.excess(limit(Some(1_024), Some(1_024))).unwrap();
        let begin = "about 1307 files will be open, for 1200 partitions, 3 components and what goes with them, and 1024 are \
                     allowed; raise the hard limit of open files, which is 1024 (";
        assert!(text.starts_with(begin), "{text}");
        let text = wanted.excess(limit(Some(1_024), Some(4_096))).unwrap();
        assert!(text.contains("allowed; raise the limit of open files ("), "{text}");
    }
}
