//! What is accepted, how it is stored, and what a failed write leaves behind.

use std::fs;

use iggy_common::MAX_PAYLOAD_SIZE;

use super::super::file::fault;
use super::super::{AppendError, ReadFrom};
use super::*;

#[test]
fn a_stored_record_is_the_received_one_with_its_stamp() {
    let (dir, mut log) = new_log(WHOLE);
    append_at(&mut log, &["a"], 50);
    let received = batch(&["b", "c"]);
    let appended = log.append(PARTITION, &received, 2, 60).unwrap();
    assert_eq!(appended, Appended { base_offset: 1, messages: 2 });

    let stored = fs::read(&segment_files(dir.path())[0]).unwrap();
    let stored = &stored[stored.len() - received.len()..];
    assert_eq!(stored[BATCH_HEADER_SIZE..], received[BATCH_HEADER_SIZE..]);
    let header = decode_batch_slice(stored).unwrap().header;
    assert_eq!((header.partition_id, header.base_offset, header.base_timestamp), (3, 1, 60));
    assert_eq!(header.origin_timestamp, 1);
}

#[test]
fn timestamps_do_not_go_backwards_with_the_clock() {
    let (dir, mut log) = new_log(WHOLE);
    append_at(&mut log, &["a"], 100);
    drop(log);
    let (mut log, _) = open(dir.path(), WHOLE, 0);
    append_at(&mut log, &["b"], 40);
    assert_eq!(offsets(&log, ReadFrom::Timestamp(100), ALL), [0, 1]);
}

#[test]
fn malformed_batches_are_refused_and_leave_nothing() {
    let (dir, mut log) = new_log(WHOLE);
    let good = batch(&["a", "b"]);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut relabelled = good.clone();
    relabelled[40] ^= 1;
    let surplus = [good.clone(), vec![0]].concat();
    let unnumbered = batch_of_frames(&[frame(1, 0, b"a"), frame(2, 0, b"b")]);
    let empty = batch_of_frames(&[]);

    let mut refuse = |bytes: &[u8], count| log.append(PARTITION, bytes, count, 0).unwrap_err();
    assert!(matches!(refuse(&flipped, 2), AppendError::InvalidMessage(_)));
    for (bytes, count) in [(&relabelled, 2), (&surplus, 2), (&unnumbered, 2), (&good, 3), (&empty, 0)] {
        assert!(matches!(refuse(bytes, count), AppendError::InvalidBatch(_)));
    }
    for length in 0..good.len() {
        assert!(matches!(refuse(&good[..length], 2), AppendError::InvalidBatch(_)));
    }
    assert_eq!(fs::metadata(&segment_files(dir.path())[0]).unwrap().len(), 0);
}

#[test]
fn messages_beyond_the_limits_of_iggy_are_refused() {
    let (_dir, mut log) = new_log(WHOLE);
    let payload = vec![1; MAX_PAYLOAD_SIZE as usize + 1];
    let largest = batch_of_frames(&[frame(1, 0, &payload[1..])]);
    log.append(PARTITION, &largest, 1, 0).unwrap();
    let beyond = batch_of_frames(&[frame(1, 0, b"a"), frame(2, 1, &payload)]);
    let error = log.append(PARTITION, &beyond, 2, 0).unwrap_err();
    let bytes = MAX_PAYLOAD_SIZE + 1;
    assert!(matches!(error, AppendError::LargePayload(found) if found == bytes), "{error}");
}

#[test]
fn a_full_disk_is_reported_and_leaves_the_log_as_it_was() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 2);
    let (before, bytes) = (log.bounds(), batch(&["does not fit"]));
    for room in 0..bytes.len() {
        fault::DISK_LEFT.set(room);
        let error = log.append(PARTITION, &bytes, 1, 9).unwrap_err();
        assert!(matches!(error, AppendError::Write(_)), "{error}");
        assert_eq!(log.bounds(), before);
        assert_eq!(fs::metadata(&segment_files(dir.path())[0]).unwrap().len(), before.bytes);
    }
    fault::DISK_LEFT.set(usize::MAX);
    append_singles(&mut log, 1);
    drop(log);
    let (log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!(recovery, Recovery::default());
    assert_eq!(read_all(&log).len(), 3);
}

#[test]
fn a_disk_that_has_no_room_for_zeros_takes_what_has_room() {
    let (dir, mut log) = new_log(PREALLOCATED);
    let bytes = batch(&["n0"]);
    for zeros in 0..3 {
        fault::DISK_LEFT.set(bytes.len() + zeros);
        append_singles(&mut log, 1);
        fault::DISK_LEFT.set(0);
        assert!(
            matches!(log.append(PARTITION, &bytes, 1, 9), Err(AppendError::Write(_))),
            "with {zeros} zeros"
        );
    }
    fault::DISK_LEFT.set(usize::MAX);
    append_singles(&mut log, 2);
    assert_eq!(segment_files(dir.path()).len(), 2);
    drop(log);
    let (log, recovery) = open(dir.path(), PREALLOCATED, 0);
    assert_eq!(recovery, Recovery::default());
    assert_eq!(read_all(&log).len(), 5);
}

#[test]
fn a_write_that_cannot_be_undone_stops_appends_but_not_reads() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 2);
    fault::DISK_LEFT.set(100);
    fault::SHORTEN_FAILS.set(true);
    let failed = log.append(PARTITION, &batch(&["x"]), 1, 0).unwrap_err();
    fault::DISK_LEFT.set(usize::MAX);
    fault::SHORTEN_FAILS.set(false);
    assert!(matches!(failed, AppendError::Refusing { .. }));
    let refused = log.append(PARTITION, &batch(&["x"]), 1, 0).unwrap_err();
    assert!(refused.to_string().contains("refuses appends"), "{refused}");
    assert_eq!(read_all(&log).len(), 2);
    drop(log);

    let (mut log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!(recovery.cut.unwrap().bytes, 100);
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [0, 1, 2]);
}

#[test]
fn a_segment_that_cannot_be_created_leaves_the_log_as_it_was() {
    let (dir, mut log) = new_log(TINY);
    append_singles(&mut log, 2);
    let (before, obstacle) = (log.bounds(), dir.path().join(format!("{:020}.log", 2)));
    fs::create_dir(&obstacle).unwrap();
    let error = log.append(PARTITION, &batch(&["x"]), 1, 9).unwrap_err();
    assert!(matches!(error, AppendError::Write(_)), "{error}");
    assert_eq!(log.bounds(), before);
    fs::remove_dir(&obstacle).unwrap();
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [0, 1, 2]);
}

#[test]
fn offsets_end_where_the_numbers_do() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), WHOLE, u64::MAX - 1);
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [u64::MAX - 1]);
    let error = log.append(PARTITION, &batch(&["x"]), 1, 9).unwrap_err();
    assert!(matches!(error, AppendError::Refusing { .. }), "{error}");
}
