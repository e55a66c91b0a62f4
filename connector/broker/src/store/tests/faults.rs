//! One operation of the catalog or the journal fails, once or for ever, at every place where one can. What was promised is
//! there, what was refused is not, and the store works again with its disk.

use super::*;
use crate::log::file::fault::{FAILING, Failing, STEPS};

/// What a store said while operations failed.
#[derive(Debug, Default)]
struct Said {
    streams: Vec<StreamMeta>,
    offset: Option<u64>,
    floor: u64,
    refused: usize,
}

impl Said {
    fn note<T>(&mut self, done: Result<T, StoreError>, keep: impl FnOnce(&mut Self, T)) {
        match done {
            Ok(value) => keep(self, value),
            Err(_) => self.refused += 1,
        }
    }
}

const KEY: OffsetKey =
    OffsetKey { stream_id: 0, topic_id: 0, partition_id: 0, consumer: ConsumerKey::Group(0) };

fn live(store: &Store) -> Said {
    let mut said = Said::default();
    for round in 0..6u32 {
        said.note(store.put_stream(&stream(round)), |said, ()| said.streams.push(stream(round)));
        let offset = u64::from(round);
        let put = store.put_offsets(&[(KEY, offset)], OffsetDurability::Synced);
        said.note(put, |said, ()| said.offset = Some(offset));
        // Takes the journal along.
        said.note(store.delete_topic(0, round + 1), |_, ()| {});
        said.note(store.reserve_floor(partition(0, 0, 0), offset * 100_000, 1), |said, floor| {
            said.floor = floor
        });
    }
    said
}

/// Answers whether something failed.
fn expect_kept(failing: Failing) -> bool {
    let (dir, store) = new_store();
    FAILING.set(failing);
    let mut said = live(&store);
    FAILING.set(Failing::None);
    // The disk works again, and so does the store, unless a change that failed is there all the same.
    let loaded = store.load();
    if let Ok(catalog) = &loaded {
        assert_eq!(catalog.streams, said.streams, "{failing:?}");
        store.put_group(&group(0, 0, 0)).unwrap();
    }
    match store.put_offsets(&[(KEY, 100)], OffsetDurability::Synced) {
        Ok(()) => said.offset = Some(100),
        Err(error) => {
            let text = crate::wire::in_one_line(&error);
            assert!(loaded.is_err() && text.contains("start the broker again"), "{failing:?}: {text}");
        }
    }
    drop(store);
    let store = open(&dir);
    let found = store.load().unwrap().streams;
    assert!(said.streams.iter().all(|stream| found.contains(stream)), "{failing:?}: {found:?}, {said:?}");
    if loaded.is_ok() {
        assert_eq!(found, said.streams, "{failing:?}: what was refused is not there");
    }
    assert!(store.offset(KEY) >= said.offset, "{failing:?}: {:?}, {said:?}", store.offset(KEY));
    assert!(store.floor(partition(0, 0, 0)).unwrap() >= said.floor, "{failing:?}");
    said.refused > 0
}

#[test]
fn a_failing_operation_anywhere_is_refused_and_then_forgotten() {
    // Nothing here waits for the real disk.
    STEPS.set(Some(Vec::new()));
    let mut place = 0;
    while [Failing::Once(place), Failing::From(place)].map(expect_kept).contains(&true) {
        place += 1;
    }
    assert!(place > 30, "{place}");
    STEPS.set(None);
}

#[test]
fn a_sync_that_succeeds_after_one_that_failed_proves_nothing() {
    let (dir, store) = new_store();
    let file = store.offsets().change(&store.database, &[(KEY, Some(1))]).unwrap();
    let before = store.offsets().failed_syncs();
    store.offsets().note_failed_sync();
    store.settle(&file, before).unwrap_err();
    // The next change takes everything to the database first, which is durable by itself.
    store.put_offsets(&[(KEY, 2)], OffsetDurability::Synced).unwrap();
    fs::write(dir.path().join("offsets.journal"), b"").unwrap();
    assert_eq!(killed(&dir).1.offset(KEY), Some(1));
}
