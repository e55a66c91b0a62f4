//! Group commit: one sync serves all that wait, and nobody needs the log meanwhile.

use std::sync::{Barrier, Mutex};
use std::thread;

use super::super::file::fault;
use super::super::{AppendError, SyncTicket};
use super::*;

#[test]
fn one_sync_serves_every_ticket_taken_before_it() {
    let (_dir, mut log) = new_log(WHOLE);
    let tickets: Vec<_> = (0..5)
        .map(|_| {
            append_singles(&mut log, 1);
            log.sync()
        })
        .collect();
    tickets[0].wait().unwrap();
    tickets.iter().for_each(|ticket| ticket.wait().unwrap());
    assert_eq!(log.sync.syncs(), 1);
    append_singles(&mut log, 1);
    log.sync().wait().unwrap();
    assert_eq!(log.sync.syncs(), 2);
}

#[test]
fn a_ticket_outlives_its_segment() {
    let (_dir, mut log) = new_log(TINY);
    append_singles(&mut log, 2);
    let ticket = log.sync();
    append_singles(&mut log, 1);
    let syncs = log.sync.syncs();
    ticket.wait().unwrap();
    assert_eq!(log.sync.syncs(), syncs, "sealing had synced it");
}

#[test]
fn what_an_earlier_run_wrote_is_on_the_disk_once_the_log_is_open() {
    let (dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 1);
    drop(log);
    fault::SYNC_FAILS.set(true);
    PartitionLog::open(dir.path(), WHOLE, 0).unwrap_err();
    fault::SYNC_FAILS.set(false);
    let (log, _) = open(dir.path(), WHOLE, 0);
    log.sync().wait().unwrap();
    assert_eq!(log.sync.syncs(), 0);
}

#[test]
fn writers_on_many_threads_share_syncs_and_lose_nothing() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let (dir, log) = new_log(LogSettings { segment_bytes_max: 20_000, preallocate_bytes: 4_000 });
    let (log, start) = (Mutex::new(log), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                start.wait();
                (0..EACH).for_each(|_| append_one(&log).wait().unwrap());
            });
        }
    });
    let log = log.into_inner().unwrap();
    assert!(log.sync.syncs() <= WRITERS * EACH + u64::from(log.bounds().segments));
    drop(log);
    let (log, _) = open(dir.path(), WHOLE, 0);
    assert_eq!(read_all(&log).len() as u64, WRITERS * EACH);
}

/// The lock is free again before anybody waits for the disk.
fn append_one(log: &Mutex<PartitionLog>) -> SyncTicket {
    let mut log = log.lock().unwrap();
    append_singles(&mut log, 1);
    log.sync()
}

#[test]
fn a_failed_sync_closes_the_log_for_appends() {
    let (_dir, mut log) = new_log(WHOLE);
    append_singles(&mut log, 1);
    fault::SYNC_FAILS.set(true);
    log.sync().wait().unwrap_err();
    fault::SYNC_FAILS.set(false);
    log.sync().wait().unwrap_err();
    let refused = log.append(PARTITION, &batch(&["x"]), 1, 0).unwrap_err();
    assert!(matches!(refused, AppendError::Refusing { .. }));
    assert_eq!(read_all(&log).len(), 1);
}
