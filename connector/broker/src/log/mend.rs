//! Brings a log back that refuses appends after its disk failed. After a failed sync the kernel holds pages for written
//! that are not, so what was not synced is read back, verified, written once more and synced, and the segment is closed.

use std::sync::Arc;

use super::segment::Segment;
use super::sync::SyncProgress;
use super::{LogError, PartitionLog, Refusing, file, scan};

/// Bytes read and written again at once.
const CHUNK_BYTES: u64 = 1024 * 1024;

/// What became of a log that was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Messages that had been acknowledged as written, and could not be read back. Their offsets stay used.
    pub(crate) lost_messages: u64,
}

impl PartitionLog {
    /// Tries to make the log take messages again. Everything in it is on the disk then. Blocks on reading the last
    /// segment and on writing again what was not synced. Tickets taken before go on failing.
    ///
    /// # Errors
    /// When the disk still fails; the log is as before, and may be tried again. A log whose offsets are used up
    /// stays as it is.
    pub(crate) fn mend(&mut self) -> Result<Mended, LogError> {
        self.trim()?;
        if let Some(Refusing::Uncut(_)) = self.refusal {
            self.refusal = None;
        }
        match self.sync.failure() {
            Some(_) => self.rebuild(),
            None => Ok(Mended { lost_messages: 0 }),
        }
    }

    fn rebuild(&mut self) -> Result<Mended, LogError> {
        let synced_bytes = self.active.bytes.saturating_sub(self.sync.unsynced_bytes());
        let mut kept = Segment::empty(&self.dir, self.active.base_offset);
        scan::scan(&mut kept, &self.file, self.active.bytes)?;
        let next_offset = self.active.next_offset;
        let mended = Mended { lost_messages: next_offset - kept.next_offset };
        if next_offset == kept.base_offset {
            self.sync = SyncProgress::new(self.dir.clone(), Arc::clone(&self.file));
            return Ok(mended);
        }
        // Zeros at the end of a segment that is not the last would be taken for damage.
        file::sync_data(&self.file).map_err(LogError::io("sync segment", &kept.path))?;
        // Made first: its name keeps the offsets used, whatever becomes of the messages.
        let (active, file) = Segment::create(&self.dir, next_offset)?;
        if kept.bytes < synced_bytes {
            // That was on the disk and is damaged now: it stays, and reads that reach it are refused.
            (kept.bytes, kept.next_offset) = (self.active.bytes, next_offset);
        } else {
            self.keep(&kept, synced_bytes)?;
            kept.seal();
        }
        self.active = active;
        self.file = Arc::new(file);
        self.file_bytes = 0;
        self.sync = SyncProgress::new(self.dir.clone(), Arc::clone(&self.file));
        if kept.bytes == 0 {
            kept.remove()?;
        } else {
            self.sealed_bytes += kept.bytes;
            self.sealed_messages += kept.messages();
            self.sealed.push_back(kept);
        }
        Ok(mended)
    }

    /// Cuts off what could not be read back and brings the rest to the disk.
    fn keep(&mut self, kept: &Segment, synced_bytes: u64) -> Result<(), LogError> {
        if kept.bytes < self.active.bytes {
            file::shorten(&self.file, kept.bytes)
                .map_err(LogError::io("cut off what was not written from segment", &kept.path))?;
            self.file_bytes = kept.bytes;
            self.active.bytes = kept.bytes;
            self.active.index = kept.index.clone();
        }
        self.write_again(kept, synced_bytes)
    }

    /// Makes the kernel take what it believes to be on the disk once more, and waits until it is there.
    fn write_again(&self, kept: &Segment, mut position: u64) -> Result<(), LogError> {
        let failed = LogError::io("write once more to segment", &kept.path);
        let mut chunk = Vec::new();
        while position < kept.bytes {
            let length = (kept.bytes - position).min(CHUNK_BYTES);
            chunk.clear();
            file::read_into(&self.file, position, usize::try_from(length).unwrap_or(usize::MAX), &mut chunk)
                .map_err(&failed)?;
            file::rewrite(&self.file, position, &chunk).map_err(&failed)?;
            position += length;
        }
        file::sync_data(&self.file).map_err(LogError::io("sync segment", &kept.path))
    }
}
