//! Every state of the disk that a loss of power can leave: what was not synced is there, missing, torn, or there
//! without what was written before it; and the names of files as they were at the last sync of their directory, or
//! later. The log must come back from each with all that it promised, and give no offset twice.
//!
//! `GUESTHOUSE_CRASH_IMAGES` says how many states are tried, 5,000 otherwise.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::file::disk::{Disk, images_wanted};
use super::super::file::fault::{self, Mark, STEPS, Step};
use super::*;

const IMAGES: usize = 5_000;
/// Offsets that the store of this test reserves at once.
const BLOCK: u64 = 7;

/// A life of a log, step by step: appends of different sizes, syncs, new segments, deletions, a purge, restarts.
fn record_a_life(settings: LogSettings) -> Vec<Step> {
    let dir = tempfile::tempdir().unwrap();
    STEPS.set(Some(Vec::new()));
    let mut mark = Mark::default();
    let (mut log, _) = open(dir.path(), settings, 0);
    for round in 0..24u64 {
        append_marked(&mut log, &mut mark, if round % 5 == 4 { 3 } else { 1 });
        if round % 3 == 2 {
            log.sync().wait().unwrap();
            mark.persisted_end = mark.next_offset;
            fault::mark(mark);
        }
        match round {
            9 => drop_marked(&mut mark, &mut log, |log| assert_eq!(log.delete_segments(2).unwrap(), 2)),
            15 => {
                drop(log);
                log = open(dir.path(), settings, 0).0;
                mark.persisted_end = mark.next_offset;
                fault::mark(mark);
            }
            19 => drop_marked(&mut mark, &mut log, |log| log.purge().unwrap()),
            _ => {}
        }
    }
    STEPS.take().unwrap()
}

fn append_marked(log: &mut PartitionLog, mark: &mut Mark, messages: u64) {
    let next = log.bounds().next_offset;
    if next + messages > mark.floor {
        mark.floor = next + messages + BLOCK;
    }
    // From the first byte on the offsets may be on the disk.
    mark.next_offset = next + messages;
    fault::mark(*mark);
    let payloads: Vec<String> = (next..next + messages).map(|offset| format!("m{offset}")).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    append_at(log, &payloads, next);
}

fn drop_marked(mark: &mut Mark, log: &mut PartitionLog, act: impl FnOnce(&mut PartitionLog)) {
    mark.dropped_end = mark.next_offset;
    fault::mark(*mark);
    act(log);
}

#[test]
fn every_legal_state_after_a_loss_of_power_keeps_what_was_promised() {
    for settings in [TINY, PREALLOCATED] {
        expect_recoveries(settings, images_wanted(IMAGES) / 2);
    }
}

fn expect_recoveries(settings: LogSettings, wanted: usize) {
    let steps = record_a_life(settings);
    let of_each = wanted.div_ceil(steps.len());
    let mut disk = Disk::default();
    let mut tried = 0;
    for (at, step) in steps.iter().enumerate() {
        disk.take(step);
        for seed in 0..of_each {
            let place = u64::try_from(at * of_each + seed).unwrap();
            expect_recovery(settings, &disk, place);
            tried += 1;
        }
    }
    assert!(tried >= wanted, "{tried} images of {} steps", steps.len());
}

fn expect_recovery(settings: LogSettings, disk: &Disk, seed: u64) {
    // Nothing here waits for the real disk.
    STEPS.set(Some(Vec::new()));
    let image = tempfile::tempdir().unwrap();
    disk.write_image(image.path(), &mut StdRng::seed_from_u64(seed));
    let promised = disk.promised;
    let (mut log, recovery) = open(image.path(), settings, promised.floor);
    assert_eq!(recovery.damage, [], "image {seed}");
    let found = read_all(&log);
    for (offset, payload) in &found {
        assert_eq!(*payload, format!("m{offset}"), "image {seed}");
    }
    for offset in promised.dropped_end..promised.persisted_end {
        assert!(found.iter().any(|(found, _)| *found == offset), "image {seed} lost {offset}: {found:?}");
    }
    let next = log.bounds().next_offset;
    assert!(next >= promised.next_offset, "image {seed} gives {next} again, {promised:?}");
    append_singles(&mut log, 1);
    drop(log);
    let (log, recovery) = open(image.path(), settings, 0);
    assert_eq!(recovery, Recovery::default(), "image {seed}");
    let again = read_all(&log);
    assert_eq!((&again[..found.len()], again.len()), (&found[..], found.len() + 1), "image {seed}");
    STEPS.set(None);
}
