//! Every state of the disk that a loss of power can leave of the catalog and the offset journal. What a call promised is
//! there at the next start; of a call under way, all of it or nothing.
//!
//! `GUESTHOUSE_CRASH_IMAGES` says how many states are tried, 600 otherwise.

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::log::file::disk::{Disk, images_wanted};
use crate::log::file::fault::{STEPS, Step};

const IMAGES: usize = 600;

/// What may be found from some step on.
#[derive(Debug, Clone, Default)]
struct Promise {
    from_step: usize,
    /// The catalog, and what it becomes by the call that is under way.
    catalogs: Vec<CatalogImage>,
    floor: u64,
    /// The lowest and the highest value of each offset.
    offsets: BTreeMap<OffsetKey, (Option<u64>, Option<u64>)>,
}

/// A store that is recorded, with what it promised.
struct Life {
    store: Store,
    promises: Vec<Promise>,
    now: Promise,
}

impl Life {
    fn begin(dir: &Path) -> Self {
        STEPS.set(Some(Vec::new()));
        let store = Store::open(dir).unwrap();
        let now = Promise { catalogs: vec![store.load().unwrap()], ..Promise::default() };
        let mut life = Self { store, promises: Vec::new(), now };
        life.note();
        life
    }

    fn note(&mut self) {
        self.now.from_step = STEPS.with_borrow(|steps| steps.as_ref().unwrap().len());
        self.promises.push(self.now.clone());
    }

    /// A change of the catalog. What it leads to is known only afterwards, so the promise of its time is put right then.
    fn change(&mut self, change: impl FnOnce(&Store), gone: impl Fn(&OffsetKey) -> bool) {
        for (key, range) in &mut self.now.offsets {
            if gone(key) {
                range.0 = None;
            }
        }
        self.note();
        change(&self.store);
        let after = self.store.load().unwrap();
        self.promises.last_mut().unwrap().catalogs.push(after.clone());
        self.now.catalogs = vec![after];
        self.now.offsets.retain(|key, _| !gone(key));
        self.note();
    }

    fn reserve(&mut self, next_offset: u64) {
        self.now.floor = self.store.reserve_floor(partition(0, 0, 0), next_offset, 1).unwrap();
        self.note();
    }

    fn commit(&mut self, key: OffsetKey, offset: u64, durability: OffsetDurability) {
        let range = self.now.offsets.entry(key).or_default();
        range.1 = Some(offset);
        self.note();
        self.store.put_offsets(&[(key, offset)], durability).unwrap();
        if durability == OffsetDurability::Synced {
            // A sync brings everything that was written before along.
            self.now.offsets.values_mut().for_each(|range| range.0 = range.1);
        }
        self.note();
    }
}

/// Streams, topics and groups come and go, offsets are stored until the journal is absorbed twice, and the store is
/// opened anew in between.
fn record_a_life(dir: &Path) -> (Vec<Promise>, Vec<Step>) {
    let mut life = Life::begin(dir);
    life.change(|store| store.put_stream(&stream(0)).unwrap(), |_| false);
    for id in 0..2 {
        life.change(|store| store.put_topic(&topic(0, id, 2)).unwrap(), |_| false);
        life.change(|store| store.put_group(&group(0, id, 0)).unwrap(), |_| false);
    }
    for round in 0..150u64 {
        let durability = if round % 5 == 4 { OffsetDurability::Synced } else { OffsetDurability::Written };
        let place = u32::try_from(round % 3).unwrap();
        life.commit(key(0, place % 2, place / 2, ConsumerKey::Group(0)), round, durability);
        match round {
            20 => life.reserve(7),
            40 => life.change(
                |store| store.delete_topic(0, 1).unwrap(),
                |key| (key.stream_id, key.topic_id) == (0, 1),
            ),
            60 => {
                drop(life.store);
                life.store = Store::open(dir).unwrap();
            }
            80 => life.reserve(70_000),
            100 => life.change(
                |store| store.delete_group(0, 0, 0).unwrap(),
                |key| (key.topic_id, key.consumer) == (0, ConsumerKey::Group(0)),
            ),
            120 => life.store.mark_running().unwrap(),
            _ => {}
        }
    }
    life.store.mark_clean().unwrap();
    life.now.offsets.values_mut().for_each(|range| range.0 = range.1);
    life.note();
    (life.promises, STEPS.take().unwrap())
}

#[test]
fn every_legal_state_after_a_loss_of_power_keeps_the_catalog_and_the_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let (promises, steps) = record_a_life(dir.path());
    let wanted = images_wanted(IMAGES);
    let first = promises[0].from_step;
    let mut disk = Disk::default();
    let mut tried = 0;
    for (at, step) in steps.iter().enumerate() {
        disk.take(step);
        let due = (at + 1).saturating_sub(first) * wanted / (steps.len() - first);
        while tried < due {
            let promise = promises.iter().rfind(|promise| promise.from_step <= at + 1).unwrap();
            expect_recovery(&disk, promise, u64::try_from(tried).unwrap());
            tried += 1;
        }
    }
    assert!(tried >= wanted, "{tried} images of {} steps", steps.len());
}

fn expect_recovery(disk: &Disk, promise: &Promise, seed: u64) {
    let image = tempfile::tempdir().unwrap();
    disk.write_image(image.path(), &mut StdRng::seed_from_u64(seed));
    // Nothing here waits for the real disk.
    STEPS.set(Some(Vec::new()));
    for start in 0..2 {
        let store = Store::open(image.path()).unwrap_or_else(|error| panic!("image {seed}: {error}"));
        let catalog = store.load().unwrap();
        assert!(promise.catalogs.contains(&catalog), "image {seed}, start {start}: {catalog:?}");
        assert!(store.floor(partition(0, 0, 0)).unwrap() >= promise.floor, "image {seed}");
        for (key, (lowest, highest)) in &promise.offsets {
            let found = store.offset(*key);
            assert!(
                found >= *lowest && found <= *highest,
                "image {seed}: {key:?} is {found:?}, not in {lowest:?}..={highest:?}"
            );
        }
    }
    STEPS.set(None);
}
