//! Removing messages never moves offsets back, in this run or the next.

use super::super::ReadFrom;
use super::*;

fn check_end(dir: &Path, log: PartitionLog, kept: &[u64], next: u64) {
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), kept);
    let bounds = log.bounds();
    assert_eq!((bounds.messages, bounds.next_offset), (kept.len() as u64, next));
    assert_eq!(bounds.first_offset, kept.first().copied().unwrap_or(next));
    drop(log);
    let (log, recovery) = open(dir, TINY, 0);
    assert_eq!((log.bounds(), recovery), (bounds, Recovery::default()));
    assert_eq!(segment_files(dir).len(), bounds.segments as usize);
    assert_eq!(files(dir, "index").len() + 1, bounds.segments as usize);
}

#[test]
fn a_purge_drops_everything_and_offsets_go_on() {
    for count in [0, 1, 5] {
        let (dir, mut log) = new_log(TINY);
        append_singles(&mut log, count);
        log.purge().unwrap();
        log.purge().unwrap();
        check_end(dir.path(), log, &[], count);
        let (mut log, _) = open(dir.path(), TINY, 0);
        append_singles(&mut log, 1);
        check_end(dir.path(), log, &[count], count + 1);
    }
}

#[test]
fn the_oldest_sealed_segments_are_dropped_by_count() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 7);
    assert_eq!(log.delete_segments(2).unwrap(), 2);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), 1), [4]);
    assert_eq!(log.delete_segments(9).unwrap(), 1);
    check_end(dir.path(), log, &[6], 7);
}

#[test]
fn old_segments_are_dropped_by_the_time_of_their_last_batch() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 7);
    assert_eq!(log.delete_older_than(3).unwrap(), 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), 1), [2]);
    assert_eq!(log.delete_older_than(6).unwrap(), 2);
    assert_eq!(log.delete_older_than(7).unwrap(), 1);
    check_end(dir.path(), log, &[], 7);
}

#[test]
fn old_segments_are_dropped_until_the_log_fits() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 7);
    let bytes = log.bounds().bytes;
    assert_eq!(log.delete_beyond(bytes).unwrap(), 0);
    assert_eq!(log.delete_beyond(bytes - 1).unwrap(), 1);
    assert_eq!(log.delete_beyond(0).unwrap(), 2);
    check_end(dir.path(), log, &[6], 7);
}

#[test]
fn recent_ids_come_from_the_end_oldest_first() {
    let (_dir, mut log) = new_log(TINY);
    for id in 0..9_u128 {
        let bytes = batch_of_frames(&[frame(10 * id, 0, b"a"), frame(10 * id + 1, 1, b"b")]);
        log.append(PARTITION, &bytes, 2, 0).unwrap();
    }
    assert_eq!(log.recent_ids(3).unwrap(), [71, 80, 81]);
    assert_eq!(log.recent_ids(0).unwrap(), [0_u128; 0]);
    assert_eq!(log.recent_ids(100).unwrap().len(), 18);
}
