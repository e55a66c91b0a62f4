//! Brings a log back from its directory: sealed segments by their index, the last one record by record.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use super::scan::{self, Tail};
use super::segment::{self, Segment};
use super::{Cut, Damage, LogError, Recovery, file};

/// The segments of a log, the last one open for appending.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) sealed: VecDeque<Segment>,
    pub(super) active: Segment,
    pub(super) file: File,
}

/// Loads the segments of `dir`, removes a torn tail, and makes the next offset at least `floor`. What remains is on
/// the disk. A floor above zero says that power may have been lost: then any bad tail is one that never got there.
pub(super) fn open(dir: &Path, floor: u64) -> Result<(Segments, Recovery), LogError> {
    file::create_directory(dir)?;
    let mut recovery = Recovery::default();
    let mut bases = segment::list(dir)?;
    let Some(last) = bases.pop() else {
        let (active, file) = Segment::create(dir, floor)?;
        recovery.skipped_offsets = floor;
        return Ok((Segments { sealed: VecDeque::new(), active, file }, recovery));
    };
    let mut sealed = VecDeque::with_capacity(bases.len());
    let following = bases.iter().copied().skip(1).chain([last]);
    for (base, limit) in bases.iter().zip(following) {
        sealed.push_back(load_sealed(dir, *base, limit, &mut recovery)?);
    }
    let (active, file) = load_last(dir, last, floor, &mut recovery)?;
    recovery.is_end_missing = active.recall_index().is_some();
    // A killed process may have left bytes that only the operating system knows of.
    file::sync_data(&file).map_err(LogError::io("sync segment", &active.path))?;
    let segments = Segments { sealed, active, file };
    Ok((lift(segments, dir, floor, &mut recovery)?, recovery))
}

fn load_sealed(dir: &Path, base: u64, limit: u64, recovery: &mut Recovery) -> Result<Segment, LogError> {
    let mut segment = Segment::empty(dir, base);
    let file = segment.open_for_read()?;
    let file_bytes = length(&file, &segment)?;
    let summary = segment.recall_index().filter(|summary| summary.next_offset <= limit);
    if let Some(known) = summary.as_ref().filter(|summary| summary.bytes == file_bytes) {
        segment.next_offset = known.next_offset;
        segment.last_timestamp = known.last_timestamp;
        segment.index = known.index.clone();
        segment.bytes = file_bytes;
        if segment.is_marked() {
            look_again(dir, &segment, &file, recovery)?;
        }
        return Ok(segment);
    }
    let tail = scan::scan(&mut segment, &file, file_bytes)?;
    if segment.next_offset > limit {
        return Err(segment.damaged(0, format!("it reaches into the next segment, which begins at {limit}")));
    }
    let due = match &summary {
        Some(summary) => summary.next_offset,
        None if tail == Tail::Clean => segment.next_offset,
        None => limit,
    };
    if segment.next_offset != due || tail != Tail::Clean {
        recovery.damage.push(Damage { path: segment.path.clone(), position: segment.bytes });
        segment.next_offset = due;
    } else {
        segment.seal();
    }
    segment.bytes = file_bytes;
    Ok(segment)
}

/// Reads a whole segment that was found damaged. What lies behind the damage is served by the index.
fn look_again(dir: &Path, segment: &Segment, file: &File, recovery: &mut Recovery) -> Result<(), LogError> {
    let mut found = Segment::empty(dir, segment.base_offset);
    let tail = scan::scan(&mut found, file, segment.bytes)?;
    if tail == Tail::Clean && found.next_offset == segment.next_offset {
        return segment.remove_mark();
    }
    recovery.damage.push(Damage { path: found.path, position: found.bytes });
    Ok(())
}

fn load_last(
    dir: &Path,
    base: u64,
    floor: u64,
    recovery: &mut Recovery,
) -> Result<(Segment, File), LogError> {
    let mut segment = Segment::empty(dir, base);
    let file = segment.open_for_writing()?;
    let file_bytes = length(&file, &segment)?;
    let power_lost = floor > 0;
    match scan::scan(&mut segment, &file, file_bytes)? {
        Tail::Clean => {}
        Tail::Zeros => file::shorten(&file, segment.bytes)
            .map_err(LogError::io("remove the zeros at the end of segment", &segment.path))?,
        Tail::Damaged(_) if !power_lost => {
            recovery.damage.push(Damage { path: segment.path.clone(), position: segment.bytes });
            segment.next_offset = scan::offset_beyond_damage(&segment, file_bytes);
            segment.bytes = file_bytes;
        }
        Tail::Torn | Tail::Damaged(_) => {
            let cut = Cut {
                path: segment.path.clone(),
                position: segment.bytes,
                bytes: file_bytes - segment.bytes,
            };
            file::shorten(&file, cut.position)
                .map_err(LogError::io("cut the torn tail of segment", &segment.path))?;
            recovery.cut = Some(cut);
        }
    }
    Ok((segment, file))
}

/// Starts a new segment when offsets must be skipped, so that its name keeps them skipped, or when the last one is
/// damaged, so that nothing is appended behind the damage.
fn lift(
    mut segments: Segments,
    dir: &Path,
    floor: u64,
    recovery: &mut Recovery,
) -> Result<Segments, LogError> {
    let next = segments.active.next_offset.max(floor);
    recovery.skipped_offsets = next - segments.active.next_offset;
    let damaged = recovery.damage.iter().any(|damage| damage.path == segments.active.path);
    if recovery.skipped_offsets == 0 && !damaged {
        return Ok(segments);
    }
    let (active, file) = Segment::create(dir, next)?;
    let mut last = std::mem::replace(&mut segments.active, active);
    segments.file = file;
    if last.bytes == 0 {
        last.remove()?;
        file::sync_directory(dir)?;
    } else {
        if !damaged {
            last.seal();
        }
        segments.sealed.push_back(last);
    }
    Ok(segments)
}

fn length(file: &File, segment: &Segment) -> Result<u64, LogError> {
    Ok(file.metadata().map_err(LogError::io("read the length of segment", &segment.path))?.len())
}
