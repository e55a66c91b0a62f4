//! Which offsets were skipped on purpose: after a loss of power every log goes on at its reserved floor. What else lies
//! between two segments of a log is lost.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::database::{FLOORS, SKIPS};
use super::{LogEnds, OffsetKey, PartitionKey, Store, StoreError};

/// What the store knows of the ends of the logs.
#[derive(Debug, Default)]
pub(crate) struct KnownEnds {
    skips: BTreeMap<PartitionKey, Vec<u64>>,
    /// Offsets behind the highest ones that consumers and groups have stored.
    stored: BTreeMap<PartitionKey, u64>,
}

impl KnownEnds {
    /// Floors at which its log went on after a loss of power.
    pub(crate) fn skips(&self, partition: PartitionKey) -> &[u64] {
        self.skips.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// The offset behind the highest one that a consumer or a group has stored. Who stores an offset has read it, so the
    /// log reached at least this far.
    pub(crate) fn stored_end(&self, partition: PartitionKey) -> u64 {
        self.stored.get(&partition).copied().unwrap_or(0)
    }
}

impl Store {
    /// Reads what is known of the ends of all logs. When they are uncertain, the floors are stored as skips before any
    /// log goes on there, all at once.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub(crate) fn known_ends(&self) -> Result<KnownEnds, StoreError> {
        if self.log_ends() == LogEnds::Uncertain {
            self.note_skips()?;
        }
        let mut known = self.database.read("read the ends of the logs", |txn| {
            let mut known = KnownEnds::default();
            for row in txn.open_table(SKIPS)?.iter()? {
                let (stream_id, topic_id, partition_id, floor) = row?.0.value();
                let partition = PartitionKey { stream_id, topic_id, partition_id };
                known.skips.entry(partition).or_default().push(floor);
            }
            Ok(known)
        })?;
        for (key, offset) in self.offsets().all() {
            let OffsetKey { stream_id, topic_id, partition_id, .. } = *key;
            let end = known.stored.entry(PartitionKey { stream_id, topic_id, partition_id }).or_default();
            *end = offset.saturating_add(1).max(*end);
        }
        Ok(known)
    }

    fn note_skips(&self) -> Result<(), StoreError> {
        self.database.write("store where the logs go on", |txn| {
            let mut skips = txn.open_table(SKIPS)?;
            for row in txn.open_table(FLOORS)?.iter()? {
                let (key, floor) = row?;
                let (stream, topic, partition) = key.value();
                skips.insert((stream, topic, partition, floor.value()), ())?;
            }
            Ok(())
        })
    }
}
