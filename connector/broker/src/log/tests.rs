//! The log against everything that can happen to its files: kills, power loss, bit rot, a full disk.

mod append;
mod damage;
mod faults;
mod images;
mod mend;
mod model;
mod read;
mod recovery;
mod retention;
mod sync;

use std::fs;
use std::path::{Path, PathBuf};

use iggy_binary_protocol::batch::{
    BATCH_HEADER_SIZE, BATCH_MESSAGE_HEADER_SIZE, BatchHeader, calculate_batch_checksum, decode_batch_slice,
};
use iggy_common::calculate_checksum;
use tempfile::TempDir;

use super::{Appended, LogSettings, PartitionLog, ReadFrom, Recovery, Slice};

const PARTITION: u32 = 3;
const ALL: u32 = u32::MAX;
const WHOLE: LogSettings = LogSettings { segment_bytes_max: 1 << 30, preallocate_bytes: 0 };

/// Seals a segment after every second batch of [`batch`] with one short payload.
const TINY: LogSettings = LogSettings { segment_bytes_max: 700, preallocate_bytes: 0 };

/// Seals a segment after every fourth, and preallocates as many.
const PREALLOCATED: LogSettings = LogSettings { segment_bytes_max: 1_400, preallocate_bytes: 4_000 };

fn frame(id: u128, delta: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; BATCH_MESSAGE_HEADER_SIZE];
    bytes[8..24].copy_from_slice(&id.to_le_bytes());
    bytes[24..28].copy_from_slice(&delta.to_le_bytes());
    bytes[36..40].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = calculate_checksum(&bytes[8..]);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn batch_of_frames(frames: &[Vec<u8>]) -> Vec<u8> {
    let blob = frames.concat();
    let length = (BATCH_HEADER_SIZE + blob.len()) as u64;
    let mut header = BatchHeader::new(0, 1, length, u32::try_from(frames.len()).unwrap());
    header.batch_checksum = calculate_batch_checksum(&header, &blob);
    let mut bytes = vec![0; BATCH_HEADER_SIZE];
    header.encode_into(&mut bytes);
    bytes.extend(blob);
    bytes
}

fn batch(payloads: &[&str]) -> Vec<u8> {
    let frames: Vec<_> =
        payloads.iter().zip(0..).map(|(payload, delta)| frame(1, delta, payload.as_bytes())).collect();
    batch_of_frames(&frames)
}

fn open(dir: &Path, settings: LogSettings, floor: u64) -> (PartitionLog, Recovery) {
    PartitionLog::open(dir, settings, floor).unwrap()
}

fn new_log(settings: LogSettings) -> (TempDir, PartitionLog) {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = open(dir.path(), settings, 0);
    assert_eq!(recovery, Recovery::default());
    (dir, log)
}

/// Appends one batch at time `now`.
fn append_at(log: &mut PartitionLog, payloads: &[&str], now: u64) -> Appended {
    let count = u32::try_from(payloads.len()).unwrap();
    log.append(PARTITION, &batch(payloads), count, now).unwrap()
}

/// Appends batches of one message, named after their offsets.
fn append_singles(log: &mut PartitionLog, count: u64) {
    for _ in 0..count {
        let offset = log.bounds().next_offset;
        append_at(log, &[&format!("m{offset}")], offset);
    }
}

/// Offsets and payloads of a slice, every record verified.
fn messages(slice: &Slice) -> Vec<(u64, String)> {
    let mut rest: &[u8] = &slice.records;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let batch = decode_batch_slice(rest).unwrap();
        assert_eq!(batch.header.partition_id, u64::from(PARTITION));
        for message in batch.iter() {
            let offset = batch.header.base_offset + u64::from(message.header.offset_delta);
            found.push((offset, String::from_utf8(message.payload.to_vec()).unwrap()));
        }
        rest = &rest[batch.header.total_size()..];
    }
    assert_eq!(found.len(), slice.messages as usize);
    assert_eq!(found.last().map(|(offset, _)| *offset), slice.last_offset);
    found
}

fn read_all(log: &PartitionLog) -> Vec<(u64, String)> {
    messages(&log.read(ReadFrom::Offset(0), ALL, ALL).unwrap())
}

fn offsets(log: &PartitionLog, from: ReadFrom, messages_max: u32) -> Vec<u64> {
    messages(&log.read(from, messages_max, ALL).unwrap()).into_iter().map(|(offset, _)| offset).collect()
}

/// The segment files of a log, oldest first.
fn segment_files(dir: &Path) -> Vec<PathBuf> {
    files(dir, "log")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    found
}
