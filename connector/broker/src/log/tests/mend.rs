//! A log whose disk failed and works again: what was synced is there, what was not is written once more, and offsets
//! go on.

use std::fs;

use super::super::file::fault::{self, FAILING, Failing, STEPS, Step};
use super::super::mend::Mended;
use super::super::{AppendError, LogError, ReadFrom};
use super::*;

/// A log with two messages on the disk and three that are not, after a sync that failed.
fn failed_log(settings: LogSettings) -> (TempDir, PartitionLog) {
    let (dir, mut log) = new_log(settings);
    append_singles(&mut log, 2);
    log.sync().wait().unwrap();
    append_singles(&mut log, 3);
    fault::SYNC_FAILS.set(true);
    log.sync().wait().unwrap_err();
    fault::SYNC_FAILS.set(false);
    let refused = log.append(PARTITION, &batch(&["x"]), 1, 0).unwrap_err();
    assert!(matches!(refused, AppendError::Refusing { .. }), "{refused}");
    (dir, log)
}

fn reopened(dir: &Path) -> PartitionLog {
    let (log, recovery) = open(dir, WHOLE, 0);
    assert_eq!((recovery.damage, recovery.cut, recovery.skipped_offsets), (vec![], None, 0));
    log
}

#[test]
fn what_was_not_synced_is_written_again_and_the_segment_is_closed() {
    let (dir, mut log) = failed_log(WHOLE);
    let (before, stale) = (read_all(&log), log.sync());
    STEPS.set(Some(Vec::new()));
    assert_eq!(log.mend().unwrap(), Mended { lost_messages: 0 });
    let steps = STEPS.take().unwrap();
    let record = log.bounds().bytes / 5;
    let rewritten = steps.iter().find_map(|step| match step {
        Step::Write { position, bytes, .. } => Some((*position, bytes.len() as u64)),
        _ => None,
    });
    assert_eq!(rewritten, Some((2 * record, 3 * record)), "no more and no less than what was not synced");
    assert!(steps.iter().any(|step| matches!(step, Step::Sync(_))));

    assert_eq!((read_all(&log), log.bounds().segments, log.refusal()), (before, 2, None));
    log.sync().wait().unwrap();
    stale.wait().unwrap_err();
    append_singles(&mut log, 1);
    drop(log);
    assert_eq!(offsets(&reopened(dir.path()), ReadFrom::Offset(0), ALL), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_does_not_read_back_is_lost_and_its_offsets_stay_used() {
    let (dir, mut log) = failed_log(WHOLE);
    let path = segment_files(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let record = bytes.len() / 5;
    // The kernel had to drop the page and read the old one.
    bytes[4 * record..].fill(0);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(log.mend().unwrap(), Mended { lost_messages: 1 });
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(0), ALL), [0, 1, 2, 3, 5]);
    assert_eq!(log.bounds().messages, 5);
    drop(log);
    assert_eq!(offsets(&reopened(dir.path()), ReadFrom::Offset(0), ALL), [0, 1, 2, 3, 5]);
}

#[test]
fn nothing_of_it_reading_back_leaves_an_empty_log_that_counts_on() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 3);
    fault::SYNC_FAILS.set(true);
    log.sync().wait().unwrap_err();
    fault::SYNC_FAILS.set(false);
    let path = segment_files(dir.path())[0].clone();
    fs::write(&path, vec![0; fs::read(&path).unwrap().len()]).unwrap();
    assert_eq!(log.mend().unwrap(), Mended { lost_messages: 3 });
    append_singles(&mut log, 1);
    assert_eq!((log.bounds().segments, offsets(&log, ReadFrom::Offset(0), ALL)), (1, vec![3]));
}

#[test]
fn what_was_synced_and_is_damaged_stays_and_is_refused() {
    let (dir, mut log) = failed_log(WHOLE);
    let path = segment_files(dir.path())[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let record = bytes.len() / 5;
    bytes[record + 100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(log.mend().unwrap(), Mended { lost_messages: 4 });
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was cut off");
    append_singles(&mut log, 1);
    assert_eq!(offsets(&log, ReadFrom::Offset(5), ALL), [5]);
    let error = log.read(ReadFrom::Offset(1), ALL, ALL).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    drop(log);
    let (log, recovery) = open(dir.path(), WHOLE, 0);
    assert_eq!((recovery.damage.len(), log.bounds().next_offset), (1, 6));
}

#[test]
fn a_disk_that_goes_on_failing_costs_nothing_but_time() {
    for preallocate_bytes in [0, PREALLOCATED.preallocate_bytes] {
        fail_while_mending(LogSettings { preallocate_bytes, ..WHOLE });
    }
}

fn fail_while_mending(settings: LogSettings) {
    let mut tried = 0;
    loop {
        let (dir, mut log) = failed_log(settings);
        let before = read_all(&log);
        FAILING.set(Failing::Once(tried));
        let mended = log.mend();
        FAILING.set(Failing::None);
        let failed = mended.is_err();
        if tried % 2 == 0 {
            log.mend().unwrap();
        } else {
            drop(log);
            log = reopened(dir.path());
        }
        append_singles(&mut log, 1);
        let mut expected = before;
        expected.push((5, "m5".to_owned()));
        assert_eq!(read_all(&log), expected, "operation {tried}");
        if !failed {
            break;
        }
        tried += 1;
    }
    assert!(tried > 3, "{tried}");
}

#[test]
fn a_batch_that_could_not_be_removed_is_removed_later() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 2);
    fault::DISK_LEFT.set(100);
    fault::SHORTEN_FAILS.set(true);
    log.append(PARTITION, &batch(&["x"]), 1, 0).unwrap_err();
    fault::DISK_LEFT.set(usize::MAX);
    log.mend().unwrap_err();
    fault::SHORTEN_FAILS.set(false);
    assert_eq!(log.mend().unwrap(), Mended { lost_messages: 0 });
    append_singles(&mut log, 1);
    assert_eq!((read_all(&log).len(), log.bounds().segments), (3, 1));
    drop(log);
    assert_eq!(read_all(&reopened(dir.path())).len(), 3);
}
