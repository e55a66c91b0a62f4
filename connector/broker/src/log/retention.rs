//! Removing messages: always whole segments, oldest first, and never the count of offsets.

use super::{LogError, PartitionLog, file};

impl PartitionLog {
    /// Drops every message. Offsets go on counting.
    ///
    /// # Errors
    /// When a file operation fails; some of the oldest segments may be gone then.
    pub(crate) fn purge(&mut self) -> Result<(), LogError> {
        if self.active.bytes > 0 {
            self.roll()?;
        }
        self.delete_while(|_, _| true).map(|_deleted| ())
    }

    /// Drops the `count` oldest sealed segments, or all sealed ones when there are fewer; answers how many.
    ///
    /// # Errors
    /// When a file operation fails; some of the segments may be gone then.
    pub(crate) fn delete_segments(&mut self, count: u32) -> Result<u32, LogError> {
        self.delete_while(|_, deleted| deleted < count)
    }

    /// Drops the segments whose last batch was appended before `time_micros`; answers how many.
    ///
    /// # Errors
    /// When a file operation fails; some of the segments may be gone then.
    pub(crate) fn delete_older_than(&mut self, time_micros: u64) -> Result<u32, LogError> {
        if self.active.bytes > 0 && self.active.last_timestamp < time_micros {
            self.roll()?;
        }
        self.delete_while(|log, _| {
            log.sealed.front().is_some_and(|oldest| oldest.last_timestamp < time_micros)
        })
    }

    /// Drops the oldest sealed segments until the log fits in `bytes_max`; answers how many.
    ///
    /// # Errors
    /// When a file operation fails; some of the segments may be gone then.
    pub(crate) fn delete_beyond(&mut self, bytes_max: u64) -> Result<u32, LogError> {
        self.delete_while(|log, _| log.sealed_bytes + log.active.bytes > bytes_max)
    }

    /// Removes sealed segments, oldest first, while `more(self, deleted so far)` holds.
    fn delete_while(&mut self, more: impl Fn(&Self, u32) -> bool) -> Result<u32, LogError> {
        let mut deleted = 0;
        while more(self, deleted) {
            let Some(oldest) = self.sealed.front() else { break };
            oldest.remove()?;
            self.sealed_bytes -= oldest.bytes;
            self.sealed_messages -= oldest.messages();
            self.sealed.pop_front();
            deleted += 1;
        }
        if deleted > 0 {
            file::sync_directory(&self.dir)?;
        }
        Ok(deleted)
    }
}
