//! What a start makes of the files that a kill or a power loss left behind.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::super::{Cut, ReadFrom};
use super::*;

fn cut_file(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn add_to_file(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_record_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    for (floor, step) in [(0, 1), (2, 11)] {
        let whole = batch(&["the last one", "of them"]);
        for kept in (0..whole.len() as u64).step_by(step) {
            let (dir, mut log) = new_log(WHOLE);
            append_singles(&mut log, 2);
            let good = log.bounds().bytes;
            log.append(PARTITION, &whole, 2, 9).unwrap();
            drop(log);
            let path = segment_files(dir.path())[0].clone();
            cut_file(&path, good + kept);

            let (mut log, recovery) = open(dir.path(), WHOLE, floor);
            let cut = (kept > 0).then_some(Cut { path, position: good, bytes: kept });
            assert_eq!((recovery.cut, recovery.damage, recovery.skipped_offsets), (cut, vec![], 0));
            assert_eq!(append_at(&mut log, &["next"], 9).base_offset, 2);
            let before = read_all(&log);
            drop(log);

            let (log, recovery) = open(dir.path(), WHOLE, 0);
            assert_eq!(recovery, Recovery::default());
            assert_eq!(read_all(&log), before);
            assert_eq!(before.len(), 3);
        }
    }
}

#[test]
fn zeros_behind_the_end_are_no_damage() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 2);
    let good = log.bounds().bytes;
    drop(log);
    let path = segment_files(dir.path())[0].clone();
    add_to_file(&path, &vec![0; 3_000_000]);
    let (mut log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!((recovery, fs::metadata(path).unwrap().len()), (Recovery::default(), good));
    append_singles(&mut log, 1);
    assert_eq!(read_all(&log).len(), 3);
}

#[test]
fn records_are_written_over_zeros_and_a_sealed_segment_has_none() {
    let (dir, mut log) = new_log(PREALLOCATED);
    let mut lengths: Vec<Vec<u64>> = Vec::new();
    for _ in 0..5 {
        append_singles(&mut log, 1);
        lengths
            .push(segment_files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).collect());
    }
    let full = PREALLOCATED.segment_bytes_max;
    let sealed = 4 * log.bounds().bytes / 5;
    assert_eq!(lengths, [vec![full], vec![full], vec![full], vec![full], vec![sealed, full]]);
}

#[test]
fn a_record_torn_at_any_byte_over_zeros_is_cut() {
    for floor in [0, 2] {
        let whole = batch(&["the last one", "of them\0\0"]);
        for kept in 0..whole.len() {
            let (dir, mut log) = new_log(PREALLOCATED);
            append_singles(&mut log, 2);
            let good = usize::try_from(log.bounds().bytes).unwrap();
            log.append(PARTITION, &whole, 2, 9).unwrap();
            drop(log);
            let path = segment_files(dir.path())[0].clone();
            let mut bytes = fs::read(&path).unwrap();
            let is_whole = bytes[good + kept..].iter().all(|byte| *byte == 0);
            bytes[good + kept..].fill(0);
            fs::write(&path, bytes).unwrap();

            let (mut log, recovery) = open(dir.path(), PREALLOCATED, floor);
            assert_eq!((recovery.damage, recovery.skipped_offsets), (vec![], 0), "{kept} bytes");
            let messages = if is_whole { 4 } else { 2 };
            assert_eq!(append_at(&mut log, &["next"], 9).base_offset, messages, "{kept} bytes");
            assert_eq!(read_all(&log).len() as u64, messages + 1);
        }
    }
}

#[test]
fn after_a_power_loss_a_bad_tail_is_cut_and_the_log_goes_on_at_the_floor() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 2);
    let good = log.bounds().bytes;
    append_singles(&mut log, 3);
    drop(log);
    let path = segment_files(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let tail = bytes.len() - usize::try_from(3 * good / 2).unwrap();
    bytes[tail + 270] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let (log, recovery) = open(dir.path(), WHOLE, 65_536);
    assert_eq!(recovery.cut.unwrap().position, good);
    assert_eq!((recovery.damage, recovery.skipped_offsets), (vec![], 65_534));
    assert_eq!(log.bounds().next_offset, 65_536);
    assert_eq!((log.bounds().messages, log.bounds().segments), (2, 2));
    drop(log);

    let (mut log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!(recovery, Recovery::default(), "the floor holds without being given again");
    append_singles(&mut log, 2);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [0, 1, 65_536, 65_537]);
}

#[test]
fn a_floor_lifts_an_empty_log_without_leaving_empty_segments() {
    let (dir, log) = new_log(WHOLE);
    drop(log);
    for (floor, next) in [(10, 10), (20, 20), (20, 20), (5, 20), (0, 20)] {
        let (log, _) = open(dir.path(), WHOLE, floor);
        assert_eq!((log.bounds().next_offset, log.bounds().segments), (next, 1));
    }
}

#[test]
fn many_segments_come_back_with_and_without_their_index_files() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 101);
    let (bounds, content) = (log.bounds(), read_all(&log));
    assert_eq!((bounds.segments, content.len()), (51, 101));
    drop(log);

    let damages: [fn(&Path); 4] = [
        |_| (),
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"not an index").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[20] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damages {
        let indexes = files(dir.path(), "index");
        assert_eq!(indexes.len(), 50);
        indexes.iter().for_each(|path| damage(path));
        let (log, recovery) = open(dir.path(), TINY, 0);
        assert_eq!(recovery, Recovery::default());
        assert_eq!((log.bounds(), read_all(&log)), (bounds, content.clone()));
    }
    let (mut log, _) = open(dir.path(), TINY, 0);
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Last(2), 2), [100, 101]);
}

#[test]
fn an_index_of_another_segment_is_not_believed() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 6);
    let content = read_all(&log);
    drop(log);
    let indexes = files(dir.path(), "index");
    fs::copy(&indexes[0], &indexes[1]).unwrap();
    let (log, recovery) = open(dir.path(), TINY, 0);
    assert_eq!((recovery, read_all(&log)), (Recovery::default(), content));
}

#[test]
fn creating_a_log_removes_what_was_there() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 5);
    drop(log);
    let log = PartitionLog::create(dir.path(), TINY).unwrap();
    assert_eq!((log.bounds().next_offset, read_all(&log).len()), (0, 0));
    log.delete().unwrap();
    assert!(!dir.path().exists());
}

#[test]
fn a_missing_directory_is_created_with_its_parents() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("streams/0/1/2");
    let (mut log, _) = open(&deep, WHOLE, 0);
    append_singles(&mut log, 1);
    assert_eq!(segment_files(&deep).len(), 1);
}
