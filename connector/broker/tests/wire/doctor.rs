//! Goal: a data directory is explained as it is, damage and all, and no byte of it is changed.
//! Method: directories of real brokers, damaged on purpose, examined, and given to the next broker.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use guesthouse_broker::{Diagnosis, Limits, Severity, StartError, examine};
use iggy_binary_protocol::requests::consumer_offsets::StoreConsumerOffsetRequest;
use iggy_binary_protocol::{AckLevel, Operation, WireConsumer, WireEncode, WireIdentifier};

use crate::kit::{House, Raw, named, shut};

const T: (&str, &str, u32) = ("s", "t", 0);

/// A topic of two partitions with four messages in the first, an offset stored for the third of them, at rest.
async fn furnished() -> (House, PathBuf) {
    let house = House::new();
    let config = guesthouse_broker::BrokerConfig {
        // A segment for each batch.
        segment_bytes_max: 300,
        limits: Limits::default(),
        ..house.config()
    };
    let broker = guesthouse_broker::Broker::start(config).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    for id in 1..=4 {
        raw.send(T, &[(id, "message")]).await.ok();
    }
    let request = StoreConsumerOffsetRequest {
        consumer: WireConsumer::consumer(WireIdentifier::numeric(9)),
        stream_id: named("s"),
        topic_id: named("t"),
        partition_id: Some(0),
        offset: 2,
        ack: AckLevel::Quorum,
    };
    raw.ask(Operation::StoreConsumerOffset, &request.to_bytes()).await.ok();
    shut(broker).await;
    let dir = house.config().data_dir;
    (house, dir)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            drop(found.insert(path.clone(), fs::read(path).unwrap()))
        }
    }
    found
}

fn examined(dir: &Path) -> Diagnosis {
    let before = files(dir);
    let diagnosis = examine(dir).unwrap();
    assert!(files(dir) == before, "nothing was changed");
    diagnosis
}

fn log_file(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("streams/0/0/0/{base:020}.log"))
}

/// The one finding there should be.
fn expect_one(diagnosis: &Diagnosis, severity: Severity, text: &str) {
    assert_eq!(diagnosis.findings.len(), 1, "{:?}", diagnosis.findings);
    let finding = &diagnosis.findings[0];
    assert_eq!(finding.severity, severity, "{finding:?}");
    assert!(finding.text.contains(text), "{finding:?}");
}

#[tokio::test]
async fn a_directory_at_rest_has_nothing_wrong_with_it() {
    let (_house, dir) = furnished().await;
    let found = examined(&dir);
    assert_eq!(found.findings, []);
    assert_eq!((found.streams, found.topics, found.partitions, found.users), (1, 1, 2, 1));
    assert_eq!((found.messages, found.offsets, found.format), (4, 1, Some(2)));
    assert!(!found.power_lost);
}

#[tokio::test]
async fn a_torn_end_is_named_and_then_cut_by_the_next_start() {
    let (house, dir) = furnished().await;
    let last = log_file(&dir, 3);
    let record = fs::read(&last).unwrap();
    OpenOptions::new().append(true).open(&last).unwrap().write_all(&record[..100]).unwrap();
    let found = examined(&dir);
    expect_one(&found, Severity::Repair, "ends in 100 bytes of a record");
    shut(house.open().await).await;
    assert_eq!(examined(&dir).findings, []);
}

#[tokio::test]
async fn damage_is_named_with_its_place_and_the_others_count() {
    let (house, dir) = furnished().await;
    let path = log_file(&dir, 1);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let found = examined(&dir);
    expect_one(&found, Severity::Damage, "is damaged at byte 0");
    assert_eq!((found.findings[0].path.clone(), found.messages), (path, 3));
    // The broker refuses what the doctor named.
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(raw.contents(T).await.len(), 1);
    shut(broker).await;
}

#[tokio::test]
async fn what_is_missing_is_told_apart_from_what_was_never_there() {
    let (_house, dir) = furnished().await;
    fs::remove_file(log_file(&dir, 1)).unwrap();
    expect_one(&examined(&dir), Severity::Note, "no segment holds the offsets 1 to 1");
    fs::remove_file(log_file(&dir, 3)).unwrap();
    fs::remove_file(log_file(&dir, 2)).unwrap();
    expect_one(
        &examined(&dir),
        Severity::Damage,
        "consumer 9 has stored offset 2, and the log ends before 1",
    );
    fs::remove_dir_all(dir.join("streams/0/0/0")).unwrap();
    expect_one(&examined(&dir), Severity::Offline, "has no segment files, and had some");
    fs::remove_dir_all(dir.join("streams/0/0/1")).unwrap();
    assert_eq!(examined(&dir).findings.last().unwrap().severity, Severity::Repair, "that one was empty");
}

#[tokio::test]
async fn indexes_left_overs_and_contradictions_are_named() {
    let (_house, dir) = furnished().await;
    let index = log_file(&dir, 0).with_extension("index");
    fs::write(&index, "no index").unwrap();
    expect_one(&examined(&dir), Severity::Repair, "has no index that can be used");
    fs::create_dir_all(dir.join("streams/7/1/0")).unwrap();
    assert_eq!(examined(&dir).findings.last().unwrap().severity, Severity::Note);
    fs::rename(log_file(&dir, 1), log_file(&dir, 0)).unwrap();
    assert_eq!(examined(&dir).worst(), Some(Severity::Damage), "a segment under another name");
}

#[tokio::test]
async fn a_torn_offset_and_a_spoilt_catalog_are_named() {
    let (_house, dir) = furnished().await;
    let journal = dir.join("offsets.journal");
    fs::write(&journal, [7; 30]).unwrap();
    expect_one(&examined(&dir), Severity::Repair, "30 bytes that are no offset");
    let database = dir.join("meta.redb");
    let length = fs::metadata(&database).unwrap().len();
    fs::write(&database, vec![0xAB; usize::try_from(length).unwrap()]).unwrap();
    let found = examined(&dir);
    assert_eq!((found.worst(), found.format), (Some(Severity::Fatal), None));
    assert!(found.findings[0].text.contains("would not start"), "{found:?}");
}

/// Neither the doctor nor a start may end in a panic, which redb answers some of these with.
#[tokio::test]
async fn a_bit_flipped_anywhere_in_the_catalog_is_survived() {
    let (house, dir) = furnished().await;
    let database = dir.join("meta.redb");
    let intact = fs::read(&database).unwrap();
    let mut refused = 0;
    for at in (0..4_096).step_by(97).chain((4_096..intact.len()).step_by(40_009)) {
        let mut spoilt = intact.clone();
        spoilt[at] ^= 0x40;
        fs::write(&database, &spoilt).unwrap();
        examine(&dir).unwrap();
        match guesthouse_broker::Broker::start(house.config()).await {
            Ok(broker) => shut(broker).await,
            Err(error) => {
                assert!(matches!(error, StartError::Data(_)), "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "some of it matters");
}

#[tokio::test]
async fn a_killed_broker_leaves_what_the_next_one_puts_right_and_a_running_one_is_left_alone() {
    let (house, dir) = furnished().await;
    let broker = house.open().await;
    let busy = examine(&dir).unwrap_err().to_string();
    assert!(busy.contains("a broker uses") && busy.contains("stop it first"), "{busy}");
    // A copy taken now is what a kill would leave.
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in files(&dir) {
        let to = copy.path().join(path.strip_prefix(&dir).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    shut(broker).await;
    let found = examined(copy.path());
    assert!(found.worst() <= Some(Severity::Repair), "{found:?}");
    let nothing = examine(house.dir.path()).unwrap_err().to_string();
    assert!(nothing.contains("is no data directory of a broker"), "{nothing}");
}
