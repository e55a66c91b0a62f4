//! The store across restarts. A copy of the directory taken while the store is open is what a killed process leaves.

mod faults;
mod images;

use std::fs;

use tempfile::TempDir;

use super::*;

impl Store {
    fn put_offset(&self, key: OffsetKey, offset: u64) -> Result<(), StoreError> {
        self.put_offsets(&[(key, offset)], OffsetDurability::Written)
    }

    fn put_offsets(
        &self,
        offsets: &[(OffsetKey, u64)],
        durability: OffsetDurability,
    ) -> Result<(), StoreError> {
        offsets.iter().try_for_each(|(key, offset)| {
            self.put_offset_if(*key, *offset, durability, |_| Ok::<(), StoreError>(()))
        })
    }
}

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path()).unwrap()
}

fn new_store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    (dir, store)
}

/// What a new process would find if this one were killed now.
fn killed(dir: &TempDir) -> (TempDir, Store) {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let store = open(&copy);
    (copy, store)
}

fn stream(id: u32) -> StreamMeta {
    let options = vec![OptionEntry { key: "k".to_owned(), kind: 2, value: vec![0, 255] }];
    StreamMeta { id, name: format!("stream-{id}"), created_at_micros: 7, next_topic_id: 2, options }
}

fn topic(stream_id: u32, id: u32, partitions_count: u32) -> TopicMeta {
    let name = format!("topic-{id}");
    TopicMeta {
        stream_id,
        id,
        name,
        created_at_micros: 8,
        partitions_count,
        next_group_id: 1,
        options: Vec::new(),
    }
}

fn group(stream_id: u32, topic_id: u32, id: u32) -> GroupMeta {
    GroupMeta { stream_id, topic_id, id, name: format!("group-{id}") }
}

fn partition(stream_id: u32, topic_id: u32, partition_id: u32) -> PartitionKey {
    PartitionKey { stream_id, topic_id, partition_id }
}

fn key(stream_id: u32, topic_id: u32, partition_id: u32, consumer: ConsumerKey) -> OffsetKey {
    OffsetKey { stream_id, topic_id, partition_id, consumer }
}

/// Two streams with two topics of two partitions each, every topic with two groups, offsets and floors everywhere.
fn furnished() -> (TempDir, Store) {
    let (dir, store) = new_store();
    for stream_id in 0..2 {
        store.put_stream(&stream(stream_id)).unwrap();
        for topic_id in 0..2 {
            store.put_topic(&topic(stream_id, topic_id, 2)).unwrap();
            for id in 0..2 {
                store.put_group(&group(stream_id, topic_id, id)).unwrap();
            }
        }
    }
    for (offset, key) in (0..).zip(all_keys()) {
        store.put_offset(key, offset).unwrap();
        store.reserve_floor(partition(key.stream_id, key.topic_id, key.partition_id), 0, 1).unwrap();
    }
    (dir, store)
}

fn all_keys() -> Vec<OffsetKey> {
    let mut keys = Vec::new();
    for place in 0..8 {
        for id in 0..2 {
            for consumer in [ConsumerKey::Consumer(id), ConsumerKey::Group(id)] {
                keys.push(key(place & 1, place >> 1 & 1, place >> 2 & 1, consumer));
            }
        }
    }
    keys
}

/// Checks in this run, in the run after a kill, and in the one after that which offsets are left.
fn check_offsets(dir: &TempDir, store: &Store, is_left: impl Fn(&OffsetKey) -> bool) {
    let check = |store: &Store| {
        for (offset, key) in (0..).zip(all_keys()) {
            assert_eq!(store.offset(key), is_left(&key).then_some(offset), "{key:?}");
        }
    };
    check(store);
    let (second, after_kill) = killed(dir);
    check(&after_kill);
    drop(after_kill);
    check(&open(&second));
}

#[test]
fn the_catalog_comes_back_as_it_was() {
    let (dir, store) = furnished();
    let image = store.load().unwrap();
    assert_eq!(image.streams, [stream(0), stream(1)]);
    assert_eq!(image.topics.len(), 4);
    assert_eq!(image.groups.len(), 8);
    assert_eq!(image.next_stream_id, 2);
    assert_eq!(killed(&dir).1.load().unwrap(), image);
    check_offsets(&dir, &store, |_| true);
}

#[test]
fn deleting_a_stream_takes_everything_in_it() {
    let (dir, store) = furnished();
    store.delete_stream(1).unwrap();
    let image = killed(&dir).1.load().unwrap();
    assert_eq!(image.streams, [stream(0)]);
    assert!(image.topics.iter().all(|topic| topic.stream_id == 0) && image.topics.len() == 2);
    assert!(image.groups.iter().all(|group| group.stream_id == 0) && image.groups.len() == 4);
    assert_eq!(image.next_stream_id, 2, "ids are not used again");
    check_offsets(&dir, &store, |key| key.stream_id == 0);
    assert_eq!(store.floor(partition(1, 0, 0)).unwrap(), 0);
    assert!(store.floor(partition(0, 0, 0)).unwrap() > 0);
}

#[test]
fn deleting_a_topic_takes_its_groups_offsets_and_floors() {
    let (dir, store) = furnished();
    store.delete_topic(0, 1).unwrap();
    let image = killed(&dir).1.load().unwrap();
    assert_eq!((image.topics.len(), image.groups.len()), (3, 6));
    check_offsets(&dir, &store, |key| (key.stream_id, key.topic_id) != (0, 1));
    assert_eq!(store.floor(partition(0, 1, 1)).unwrap(), 0);
    assert!(store.floor(partition(1, 1, 1)).unwrap() > 0);
}

#[test]
fn fewer_partitions_take_their_offsets_and_floors_along() {
    let (dir, store) = furnished();
    store.put_topic(&topic(0, 0, 1)).unwrap();
    let is_gone = |key: &OffsetKey| (key.stream_id, key.topic_id, key.partition_id) == (0, 0, 1);
    check_offsets(&dir, &store, |key| !is_gone(key));
    assert_eq!(store.floor(partition(0, 0, 1)).unwrap(), 0);
    assert!(store.floor(partition(0, 0, 0)).unwrap() > 0);
}

#[test]
fn deleting_a_group_takes_its_offsets_but_not_those_of_the_consumer_with_its_number() {
    let (dir, store) = furnished();
    store.delete_group(0, 1, 1).unwrap();
    assert_eq!(killed(&dir).1.load().unwrap().groups.len(), 7);
    let group = ConsumerKey::Group(1);
    check_offsets(&dir, &store, |key| (key.stream_id, key.topic_id, key.consumer) != (0, 1, group));
}

#[test]
fn purging_a_topic_takes_its_offsets_and_leaves_its_floors() {
    let (dir, store) = furnished();
    store.delete_topic_offsets(1, 1).unwrap();
    check_offsets(&dir, &store, |key| (key.stream_id, key.topic_id) != (1, 1));
    assert!(store.floor(partition(1, 1, 0)).unwrap() > 0);
}

#[test]
fn deleted_offsets_stay_deleted() {
    let (dir, store) = furnished();
    let gone = key(0, 0, 0, ConsumerKey::Consumer(0));
    assert!(store.delete_offset(gone).unwrap());
    assert!(!store.delete_offset(gone).unwrap());
    check_offsets(&dir, &store, |key| *key != gone);
}

#[test]
fn the_last_value_of_an_offset_wins_through_many_rounds_of_the_journal() {
    let (dir, store) = new_store();
    let keys: Vec<_> = (0..10).map(|id| key(0, 0, 0, ConsumerKey::Group(id))).collect();
    for round in 0..5_000_u64 {
        let changes: Vec<_> = keys.iter().map(|key| (*key, round)).collect();
        store.put_offsets(&changes, OffsetDurability::Written).unwrap();
    }
    let journal = fs::metadata(dir.path().join("offsets.journal")).unwrap().len();
    assert!(journal < 1024 * 1024, "{journal} bytes");
    let (_copy, after_kill) = killed(&dir);
    assert!(keys.iter().all(|key| after_kill.offset(*key) == Some(4_999)));
}

#[test]
fn a_journal_cut_anywhere_gives_the_offsets_before_the_cut() {
    let (dir, store) = new_store();
    let key = key(4, 5, 6, ConsumerKey::Consumer(7));
    for offset in 0..4 {
        store.put_offsets(&[(key, offset)], OffsetDurability::Synced).unwrap();
    }
    let bytes = fs::read(dir.path().join("offsets.journal")).unwrap();
    let slot = bytes.len() / 4;
    for length in (0..bytes.len()).step_by(5).chain((1..=4).map(|slots| slots * slot)) {
        fs::write(dir.path().join("offsets.journal"), &bytes[..length]).unwrap();
        let expected = (length / slot).checked_sub(1).map(|last| last as u64);
        let (copy, after_kill) = killed(&dir);
        assert_eq!(after_kill.offset(key), expected);
        after_kill.put_offset(key, 9).unwrap();
        assert_eq!(killed(&copy).1.offset(key), Some(9));
    }
}

#[test]
fn floors_are_reserved_in_blocks_and_never_shrink() {
    let (dir, store) = new_store();
    let partition = partition(0, 0, 0);
    assert_eq!(store.floor(partition).unwrap(), 0);
    assert_eq!(store.reserve_floor(partition, 100, 10).unwrap(), 110 + FLOOR_BLOCK);
    assert_eq!(store.reserve_floor(partition, 50, 10).unwrap(), 110 + FLOOR_BLOCK);
    assert_eq!(store.reserve_floor(partition, u64::MAX, 1).unwrap(), u64::MAX);
    assert_eq!(killed(&dir).1.floor(partition).unwrap(), u64::MAX);
}

#[test]
fn log_ends_are_uncertain_only_after_another_boot_without_a_clean_stop() {
    let (dir, store) = new_store();
    assert_eq!(store.log_ends(), LogEnds::Exact);
    store.mark_running().unwrap();
    assert_eq!(killed(&dir).1.log_ends(), LogEnds::Exact, "the process died on this boot");
    let mark = BootMark { boot_id: Some("another".to_owned()), ending: Ending::Open };
    store.database.put_value(BOOT_KEY, &mark).unwrap();
    assert_eq!(killed(&dir).1.log_ends(), LogEnds::Uncertain);
    store.mark_clean().unwrap();
    assert_eq!(killed(&dir).1.log_ends(), LogEnds::Exact);
}

#[test]
fn users_and_tokens_are_kept_and_go_together() {
    let (dir, store) = new_store();
    assert!(store.root_user().unwrap().is_none());
    let root = UserMeta::root("iggy".to_owned(), "$argon2id$".to_owned());
    let ann = UserMeta { id: 1, name: "ann".to_owned(), permissions: Some(vec![1]), ..root.clone() };
    let token = |user_id, name: &str| TokenMeta {
        user_id,
        name: name.to_owned(),
        hash: format!("{user_id}{name}"),
        expires_at_micros: Some(9),
    };
    store.put_user(&root).unwrap();
    store.put_user(&ann).unwrap();
    for (user_id, name) in [(0, "a"), (1, "a"), (1, "b")] {
        store.put_token(&token(user_id, name)).unwrap();
    }
    store.delete_token(1, "b").unwrap();
    let image = killed(&dir).1.load_users().unwrap();
    assert_eq!(image.next_user_id, 2);
    assert!(image.users == [root.clone(), ann] && image.tokens == [token(0, "a"), token(1, "a")]);
    store.delete_user(1).unwrap();
    let image = killed(&dir).1.load_users().unwrap();
    assert_eq!(image.next_user_id, 2, "numbers are not given twice");
    assert!(image.users == [root] && image.tokens == [token(0, "a")]);
}

#[test]
fn a_directory_of_format_1_keeps_its_root_user_and_catalog() {
    let (dir, store) = new_store();
    store.put_stream(&stream(3)).unwrap();
    // The pair that format 1 kept as a setting.
    let root = store.database.encode(&("iggy", "$argon2id$")).unwrap();
    let age = |txn: &WriteTransaction| {
        txn.delete_table(database::USERS)?;
        txn.delete_table(database::TOKENS)?;
        txn.open_table(database::META)?.insert("root", root.as_slice())?;
        txn.open_table(COUNTERS)?.insert("format", 1)?;
        Ok(())
    };
    store.database.write("test", age).unwrap();
    drop(store);
    for _ in 0..2 {
        let store = open(&dir);
        let root = store.root_user().unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.password_hash.as_str()), ("iggy", "$argon2id$"));
        assert_eq!(store.load().unwrap().streams, [stream(3)]);
        assert_eq!(store.load_users().unwrap().next_user_id, 1);
    }
}

#[test]
fn an_unknown_format_is_refused_with_what_to_do() {
    let (dir, store) = new_store();
    let write = |txn: &WriteTransaction| Ok(txn.open_table(COUNTERS)?.insert("format", 9)?.is_some());
    assert!(store.database.write("test", write).unwrap());
    drop(store);
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("has format 9") && error.contains("run the version that wrote it"), "{error}");
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let (dir, store) = new_store();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("cannot open the catalog"), "{error}");
    drop(store);
    open(&dir);
}
