//! The journal through the lives of several processes, each of which ends as if it had been killed.

use bytes::Bytes;
use guesthouse_connector::{Offset, PartitionId, RawHeaders};
use std::sync::Arc;
use tempfile::TempDir;

use super::record::SUSPECTS_MAX;
use super::*;
use crate::event::{Event, SharedEvent, Source, SourceTopic, Tenant};

/// Threads of each process.
const SLOTS: usize = 3;

fn handler() -> HandlerName {
    HandlerName::new("h").unwrap()
}

fn event(offset: u64) -> CallEvent {
    let source = Source {
        topic: Arc::new(SourceTopic { stream: "s".to_owned(), topic: "t".to_owned() }),
        partition: PartitionId(0),
        offset: Offset(offset),
        message_id: offset.into(),
        timestamp_micros: 0,
        origin_timestamp_micros: 0,
    };
    let event = Event {
        message: Message { source, headers: RawHeaders::default(), payload: Bytes::new() },
        id: "e".into(),
        event_type: "t".into(),
        schema_version: 0,
        tenant: Tenant::Platform,
        key: None,
        correlation_id: None,
        causation_id: None,
        actor: None,
        for_handler: None,
        traceparent: None,
        timestamp_micros: 0,
        content_type: "".into(),
        payload: Bytes::new(),
    };
    CallEvent { event: SharedEvent::from(event), attempt: 1, lane: 0 }
}

/// A process: opens the journal, runs calls to their end, and dies in others. Tells the deaths that the events from
/// zero on have seen.
fn live(dir: &TempDir, ended: &[&[u64]], died_in: &[&[u64]]) -> Vec<u32> {
    let (journal, suspects) =
        CrashJournal::open(dir.path(), SLOTS, DEATHS_MAX, &Surroundings::default()).unwrap();
    let events = |offsets: &[u64]| offsets.iter().map(|offset| event(*offset)).collect::<Vec<_>>();
    let mut scratch = Vec::new();
    for call in ended {
        drop(journal.enter(0, &handler(), &events(call), &mut scratch));
    }
    journal.leave(0);
    for (slot, call) in died_in.iter().enumerate() {
        std::mem::forget(journal.enter(slot, &handler(), &events(call), &mut scratch));
    }
    let deaths = |offset| suspects.deaths(&handler(), &event(offset).event.message);
    (0..8).map(deaths).collect()
}

#[test]
fn a_killer_is_told_from_those_that_died_with_it() {
    let dir = TempDir::new().unwrap();
    assert_eq!(live(&dir, &[&[0, 1]], &[&[2, 3, 4], &[5]]), [0; 8]);
    assert_eq!(live(&dir, &[&[2]], &[&[3], &[6, 7]]), [0, 0, 1, 1, 1, 1, 0, 0]);
    // Where a suspect ran, the others in guests are not blamed; the one that ended is cleared.
    assert_eq!(live(&dir, &[], &[&[3]]), [0, 0, 0, 2, 1, 1, 0, 0]);
    assert_eq!(live(&dir, &[&[4], &[5]], &[]), [0, 0, 0, DEATHS_MAX, 1, 1, 0, 0]);
    assert_eq!(live(&dir, &[], &[]), [0, 0, 0, DEATHS_MAX, 0, 0, 0, 0], "the condemned stay condemned");
}

/// A process that dies in a call of these events, where the kernel had killed so many processes for want of memory when it
/// began. Tells the events that are pardoned, and the deaths that two events have seen.
fn live_short_of_memory(dir: &TempDir, kills: u64, died_in: &[u64]) -> (u64, [u32; 2]) {
    let path = dir.path().join("crash-0.journal");
    let file = lock(&path).unwrap().expect("nobody else has it");
    let (past, kills) = (read(&file).unwrap(), KillCounts::of_machine(kills));
    let opened = Opened { file, path, past, slots: SLOTS, deaths_max: DEATHS_MAX, kills };
    let (journal, suspects) = opened.start(&Surroundings::default()).unwrap();
    let events: Vec<_> = died_in.iter().map(|offset| event(*offset)).collect();
    std::mem::forget(journal.enter(0, &handler(), &events, &mut Vec::new()));
    (suspects.pardoned, [0, 1].map(|offset| suspects.deaths(&handler(), &event(offset).event.message)))
}

#[test]
fn being_killed_for_memory_is_not_blamed_on_events() {
    let dir = TempDir::new().unwrap();
    assert_eq!(live_short_of_memory(&dir, 5, &[0, 1]), (0, [0, 0]));
    assert_eq!(live_short_of_memory(&dir, 6, &[0, 1]), (2, [0, 0]), "the kernel has killed since");
    assert_eq!(live_short_of_memory(&dir, 6, &[0]), (0, [1, 1]), "this time it has not");
    assert_eq!(live_short_of_memory(&dir, 7, &[0]), (1, [1, 1]), "suspects stay what they are");
    assert_eq!(live_short_of_memory(&dir, 7, &[]), (0, [2, 1]));
}

#[test]
fn another_handler_is_not_suspected() {
    let dir = TempDir::new().unwrap();
    live(&dir, &[], &[&[0]]);
    let (_journal, suspects) =
        CrashJournal::open(dir.path(), SLOTS, DEATHS_MAX, &Surroundings::default()).unwrap();
    let other = HandlerName::new("other").unwrap();
    assert_eq!(suspects.deaths(&other, &event(0).event.message), 0);
}

#[test]
fn each_process_has_a_journal_of_its_own_and_finds_the_first_free_one() {
    let dir = TempDir::new().unwrap();
    let (first, _) = CrashJournal::open(dir.path(), SLOTS, DEATHS_MAX, &Surroundings::default()).unwrap();
    live(&dir, &[], &[&[1]]);
    assert_eq!(live(&dir, &[], &[])[1], 1);
    drop(first);
    assert_eq!(live(&dir, &[], &[])[1], 0, "the first one knows nothing");
}

#[test]
fn what_is_torn_or_strange_is_no_past() {
    let dir = TempDir::new().unwrap();
    live(&dir, &[], &[&[1, 2]]);
    let file = dir.path().join("crash-0.journal");
    let mut bytes = fs::read(&file).unwrap();
    let mark = usize::try_from(record::slot_at(0)).unwrap() + 16;
    bytes[mark] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(live(&dir, &[], &[&[1]]), [0; 8], "the guest had not been called yet");
    bytes.truncate(100);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(live(&dir, &[], &[]), [0; 8]);
    fs::write(&file, "something else altogether").unwrap();
    assert_eq!(live(&dir, &[], &[]), [0; 8]);
}

#[test]
fn a_death_is_counted_once() {
    let dir = TempDir::new().unwrap();
    live(&dir, &[], &[&[1]]);
    let file = dir.path().join("crash-0.journal");
    let before = fs::read(&file).unwrap();
    assert_eq!(live(&dir, &[], &[])[1], 1);
    // As if it had died between counting and beginning its own epoch.
    let mut between = fs::read(&file).unwrap();
    between[..64].copy_from_slice(&before[..64]);
    let slots = usize::try_from(record::slot_at(0)).unwrap();
    between[slots..].copy_from_slice(&before[slots..]);
    fs::write(&file, &between).unwrap();
    assert_eq!(live(&dir, &[], &[])[1], 1);
}

#[test]
fn the_longest_suspected_give_way_to_the_latest() {
    let dir = TempDir::new().unwrap();
    live(&dir, &[], &[&[0]]);
    let per_process: Vec<Vec<u64>> =
        (0..SLOTS as u64).map(|slot| (100 + slot * 1_000..100 + slot * 1_000 + 1_000).collect()).collect();
    for life in 0..SUSPECTS_MAX as u64 / (SLOTS as u64 * 1_000) + 1 {
        let calls: Vec<Vec<u64>> =
            per_process.iter().map(|call| call.iter().map(|at| at + life * 10_000).collect()).collect();
        live(&dir, &[], &calls.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    assert_eq!(live(&dir, &[], &[])[0], 0);
}

#[test]
fn a_journal_that_is_removed_is_put_back_with_what_it_knew_and_an_emptied_one_is_told() {
    let dir = TempDir::new().unwrap();
    live(&dir, &[], &[&[1]]);
    let known = Some(crate::known_stores::KnownStores::new(dir.path()));
    let surroundings = Surroundings { known, ..Surroundings::default() };
    let causes = || surroundings.troubles.now().into_iter().map(|(cause, _)| cause).collect::<Vec<_>>();
    let open = || CrashJournal::open(dir.path(), SLOTS, DEATHS_MAX, &surroundings).unwrap();
    let (journal, suspects) = open();
    assert_eq!(suspects.deaths.len(), 1);
    let file = dir.path().join("crash-0.journal");
    fs::remove_file(&file).unwrap();
    journal.check();
    assert_eq!(causes(), ["journal_unwritable"]);
    journal.mend();
    assert_eq!((causes(), journal.is_failing()), (Vec::new(), false));
    drop(journal);
    let (journal, suspects) = open();
    assert_eq!(suspects.deaths.len(), 1, "what it knew was put back");
    drop(journal);

    fs::write(&file, b"").unwrap();
    drop(open());
    assert_eq!(causes(), ["journal_lost"]);
}

#[test]
fn a_journal_that_cannot_be_written_is_told_until_it_can() {
    let dir = TempDir::new().unwrap();
    let surroundings = Surroundings::default();
    let (journal, _) = CrashJournal::open(dir.path(), SLOTS, DEATHS_MAX, &surroundings).unwrap();
    let readable = File::open(&journal.path).unwrap();
    let writable = std::mem::replace(&mut *journal.file.write().unwrap(), readable);
    journal.leave(0);
    journal.leave(1);
    journal.mend();
    let told = surroundings.troubles.now();
    assert!(matches!(&told[..], [("journal_unwritable", _)]), "{told:?}");
    assert_eq!(surroundings.troubles.counts()["journal_unwritable"], 3);
    *journal.file.write().unwrap() = writable;
    journal.mend();
    assert_eq!(surroundings.troubles.now(), []);
}
