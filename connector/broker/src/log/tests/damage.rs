//! Bit rot: reported with its place, never served, and never an excuse to give an offset twice.

use std::fs;

use super::super::{LogError, ReadFrom};
use super::*;

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Reads on from `next` until the end or an error.
fn read_until_error(log: &PartitionLog, mut next: u64) -> (Vec<(u64, String)>, Option<LogError>) {
    let mut found = Vec::new();
    loop {
        match log.read(ReadFrom::Offset(next), ALL, ALL) {
            Ok(slice) if slice.messages == 0 => return (found, None),
            Ok(slice) => {
                next = slice.last_offset.unwrap() + 1;
                found.extend(messages(&slice));
            }
            Err(error) => return (found, Some(error)),
        }
    }
}

#[test]
fn any_bit_flip_in_a_sealed_segment_is_reported_and_not_served() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 5);
    let content = read_all(&log);
    drop(log);
    let path = segment_files(dir.path())[1].clone();
    let intact = fs::read(&path).unwrap();
    let second_record = intact.len() / 2;
    for at in 0..intact.len() {
        flip(&path, at);
        let (log, _) = open(dir.path(), TINY, 0);
        let bad = if at < second_record { 2 } else { 3 };
        let (served, error) = read_until_error(&log, 0);
        assert_eq!(served, content[..bad]);
        let expected_position = if at < second_record { 0 } else { second_record as u64 };
        assert!(
            matches!(&error, Some(LogError::Damaged { path: found, position, .. })
                if *found == path && *position == expected_position),
            "byte {at}: {error:?}"
        );
        assert_eq!(read_until_error(&log, 4).0, content[4..], "what follows is served");
        fs::write(&path, &intact).unwrap();
    }
}

#[test]
fn a_shortened_sealed_segment_is_reported_at_any_length() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 5);
    let content = read_all(&log);
    drop(log);
    let path = segment_files(dir.path())[1].clone();
    let intact = fs::read(&path).unwrap();
    for length in 0..intact.len() {
        fs::write(&path, &intact[..length]).unwrap();
        let (log, recovery) = open(dir.path(), TINY, 0);
        assert_eq!(recovery.damage.len(), 1);
        assert_eq!(recovery.damage[0].path, path);
        let (served, error) = read_until_error(&log, 0);
        assert_eq!(served, content[..if length < intact.len() / 2 { 2 } else { 3 }]);
        assert!(matches!(error, Some(LogError::Damaged { .. })));
        assert_eq!(read_until_error(&log, 4).0, content[4..]);
        assert_eq!(log.bounds().next_offset, 5);
    }
}

#[test]
fn damage_in_the_last_segment_is_kept_and_its_offsets_are_not_given_again() {
    let (_dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 1);
    let record = usize::try_from(log.bounds().bytes).unwrap();
    for at in (0..64).chain((64..4 * record).step_by(7)).chain(3 * record + 32..3 * record + 40) {
        let (dir, mut log) = new_log(WHOLE);
        append_singles(&mut log, 4);
        let content = read_all(&log);
        drop(log);
        let path = segment_files(dir.path())[0].clone();
        flip(&path, at);
        for start in 0..2 {
            let (log, recovery) = open(dir.path(), WHOLE, 0);
            assert_eq!(recovery.cut, None);
            assert_eq!(recovery.damage.len(), 1, "byte {at}, start {start}");
            assert_eq!(recovery.damage[0].position, (at / record * record) as u64);
            let (served, error) = read_until_error(&log, 0);
            assert_eq!(served, content[..at / record]);
            assert!(matches!(error, Some(LogError::Damaged { .. })));
            assert!(log.bounds().next_offset >= 4);
        }
        let (mut log, _) = open(dir.path(), WHOLE, 0);
        let offset = log.bounds().next_offset;
        append_singles(&mut log, 1);
        assert_eq!(offsets(&log, ReadFrom::Offset(offset), ALL), [offset]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 4 * record as u64);
        assert_eq!(log.delete_segments(1).unwrap(), 1);
        assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [offset]);
    }
}

#[test]
fn segments_that_overlap_are_refused() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 4);
    drop(log);
    let paths = segment_files(dir.path());
    fs::rename(&paths[1], dir.path().join(format!("{:020}.log", 1))).unwrap();
    let error = PartitionLog::open(dir.path(), TINY, 0).unwrap_err();
    assert!(error.to_string().contains("reaches into the next segment"), "{error}");
}

#[test]
fn a_file_that_shrinks_while_open_is_reported() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 3);
    let path = segment_files(dir.path())[0].clone();
    let bytes = fs::read(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes.len() as u64 - 1).unwrap();
    let error = log.read(ReadFrom::Offset(0), ALL, ALL).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
}
