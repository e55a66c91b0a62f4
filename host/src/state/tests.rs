//! One suite for both stores, on a real file and a real server.

use super::redis_server::RedisServer;
use super::*;
use crate::dedup::DedupWindow;

const WAIT: Duration = Duration::from_secs(10);

/// Runs a test over the embedded store and over Redis.
fn over_both(test: impl Fn(&dyn StateStore)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/state.redb");
    test(&*open(&StateSettings::Embedded { path }, Surroundings::default()).unwrap());
    let server = RedisServer::start();
    test(
        &*open(&StateSettings::Redis { url: server.url(3).into(), url_file: None }, Surroundings::default())
            .unwrap(),
    );
}

fn shop(tenant: &str) -> Namespace {
    Namespace::new(tenant, "totals")
}

fn place(partition: u32) -> MarkPlace {
    MarkPlace::new("totals", "rustok", "domain", partition)
}

fn mark(partition: u32, offset: u64) -> MarkId {
    MarkId { place: place(partition), offset, event: u128::MAX - 7 }
}

fn write(namespace: &Namespace, version: u64, writes: &[(&str, Option<&str>)]) -> Transaction {
    let owned = |(key, value): &(&str, Option<&str>)| {
        ((*key).to_owned(), value.map(|value| value.as_bytes().to_vec()))
    };
    let writes = writes.iter().map(owned).collect();
    let none = Transaction::of_marks(namespace.clone(), Vec::new(), None);
    Transaction { version: Some(version), bytes: 10 * version + 1, writes, ..none }
}

#[test]
fn what_is_applied_is_read_back_and_counted() {
    over_both(|store| {
        let (a, b) = (shop("a"), shop("b"));
        let nothing = Opened { usage: Usage::default(), marks: vec![None] };
        assert_eq!(store.open(&a, &[mark(1, 1)], WAIT).unwrap(), nothing);
        let first = write(&a, 0, &[("k", Some("v")), ("empty", Some("")), ("gone", None)]);
        assert_eq!(store.apply(first).unwrap(), Applied::Whole);
        assert_eq!(store.open(&a, &[], WAIT).unwrap().usage, Usage { bytes: 1, version: 1 });
        assert_eq!(store.get(&a, "k", WAIT).unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(store.get(&a, "empty", WAIT).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(store.value_bytes(&a, "k", WAIT).unwrap(), Some(1));
        assert_eq!(store.value_bytes(&a, "empty", WAIT).unwrap(), Some(0));
        assert_eq!(store.value_bytes(&a, "gone", WAIT).unwrap(), None);
        for other in [&b, &Namespace::new("a", "other")] {
            assert_eq!(store.get(other, "k", WAIT).unwrap(), None);
            assert_eq!(store.keys_after(other, None, WAIT).unwrap(), [""; 0]);
            assert_eq!(store.open(other, &[], WAIT).unwrap().usage, Usage::default());
        }
        assert_eq!(
            store.apply(write(&a, 1, &[("k", None), ("empty", Some("é\0"))])).unwrap(),
            Applied::Whole
        );
        assert_eq!(store.get(&a, "k", WAIT).unwrap(), None);
        assert_eq!(store.get(&a, "empty", WAIT).unwrap().as_deref(), Some("é\0".as_bytes()));
        assert_eq!(store.keys_after(&a, None, WAIT).unwrap(), ["empty"]);
    });
}

#[test]
fn what_is_based_on_an_older_version_changes_nothing() {
    over_both(|store| {
        let a = shop("a");
        assert_eq!(store.apply(write(&a, 0, &[("k", Some("first"))])).unwrap(), Applied::Whole);
        let marks = vec![(mark(1, 1), b"m".to_vec())];
        let late = Transaction { marks, ..write(&a, 0, &[("k", Some("late")), ("l", Some("late"))]) };
        assert_eq!(store.apply(late).unwrap(), Applied::Stale);
        assert_eq!(store.get(&a, "k", WAIT).unwrap().as_deref(), Some(&b"first"[..]));
        assert_eq!(store.keys_after(&a, None, WAIT).unwrap(), ["k"]);
        let opened = store.open(&a, &[mark(1, 1)], WAIT).unwrap();
        assert_eq!(opened, Opened { usage: Usage { bytes: 1, version: 1 }, marks: vec![None] });
    });
}

#[test]
fn keys_are_listed_in_order_page_by_page() {
    over_both(|store| {
        let names: Vec<String> = (0..2 * PAGE_KEYS_MAX + 1).map(|number| format!("{number:05}")).collect();
        let writes: Vec<_> = names.iter().map(|name| (name.as_str(), Some("v"))).collect();
        store.apply(write(&shop("a"), 0, &writes)).unwrap();
        // A neighbour on each side.
        store.apply(write(&shop("A"), 0, &[("x", Some("v"))])).unwrap();
        store.apply(write(&shop("b"), 0, &[("x", Some("v"))])).unwrap();
        let first = store.keys_after(&shop("a"), None, WAIT).unwrap();
        assert_eq!(first, names[..PAGE_KEYS_MAX]);
        let second = store.keys_after(&shop("a"), Some(first.last().unwrap()), WAIT).unwrap();
        assert_eq!(second, names[PAGE_KEYS_MAX..2 * PAGE_KEYS_MAX]);
        let third = store.keys_after(&shop("a"), Some(second.last().unwrap()), WAIT).unwrap();
        assert_eq!(third, names[2 * PAGE_KEYS_MAX..]);
        assert_eq!(store.keys_after(&shop("a"), Some("~"), WAIT).unwrap(), [""; 0]);
        assert_eq!(store.keys_after(&shop("a"), Some(""), WAIT).unwrap(), first);
    });
}

#[test]
fn marks_come_with_their_writes_and_go_below_an_offset() {
    over_both(|store| {
        let a = shop("a");
        let ids: Vec<MarkId> = vec![mark(2, 300), mark(1, 7), mark(2, 255), mark(2, 256)];
        let marks = ids.iter().map(|id| (id.clone(), id.offset.to_be_bytes().to_vec())).collect();
        let transaction = Transaction { marks, ..write(&a, 0, &[("k", Some("v"))]) };
        assert_eq!(store.apply(transaction).unwrap(), Applied::Whole);
        let found = || {
            let marks = store.open(&a, &ids, WAIT).unwrap().marks.into_iter();
            marks
                .map(|mark| mark.map(|mark| u64::from_be_bytes(mark.try_into().unwrap())))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(), [Some(300), Some(7), Some(255), Some(256)]);
        store.forget_marks(&place(2), 256).unwrap();
        assert_eq!(found(), [Some(300), Some(7), None, Some(256)]);
        store.forget_marks(&place(2), 256).unwrap();
        store.forget_marks(&place(3), u64::MAX).unwrap();
        assert_eq!(found(), [Some(300), Some(7), None, Some(256)]);
        let twin = MarkId { event: 1, ..mark(1, 7) };
        assert_eq!(store.open(&a, &[twin], WAIT).unwrap().marks, [None]);
    });
}

#[test]
fn a_great_many_marks_are_forgotten() {
    over_both(|store| {
        let marks = (0..12_500).map(|offset| (mark(1, offset), Vec::new())).collect();
        let transaction = Transaction { marks, ..write(&shop("a"), 0, &[]) };
        assert_eq!(store.apply(transaction).unwrap(), Applied::Whole);
        store.forget_marks(&place(1), 12_499).unwrap();
        let opened = store.open(&shop("a"), &[mark(1, 0), mark(1, 12_498), mark(1, 12_499)], WAIT).unwrap();
        assert_eq!(opened.marks, [None, None, Some(Vec::new())]);
    });
}

#[test]
fn of_writers_at_the_same_time_one_wins_each_version() {
    over_both(|store| {
        let (a, writers, rounds) = (shop("a"), 4_u32, 25);
        let count_one = || {
            let version = store.open(&a, &[], WAIT).unwrap().usage.version;
            let count = store.get(&a, "count", WAIT).unwrap().unwrap_or_default().len() + 1;
            let transaction = write(&a, version, &[("count", Some(&"x".repeat(count)))]);
            store.apply(transaction).unwrap() == Applied::Whole
        };
        let count_all = || (0..rounds).for_each(|_| while !count_one() {});
        std::thread::scope(|scope| {
            (0..writers).for_each(|_| drop(scope.spawn(count_all)));
        });
        assert_eq!(store.value_bytes(&a, "count", WAIT).unwrap(), Some(u64::from(writers * rounds)));
    });
}

#[test]
fn the_file_is_its_owners_and_one_process_at_a_time_has_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let settings = StateSettings::Embedded { path: path.clone() };
    let store = open(&settings, Surroundings::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = open(&settings, Surroundings::default()).unwrap_err().to_string();
    assert!(error.contains("is open in another process") && error.contains("state.redb"), "{error}");
    store.apply(write(&shop("a"), 0, &[("k", Some("v"))])).unwrap();
    drop(store);
    assert_eq!(
        open(&settings, Surroundings::default()).unwrap().get(&shop("a"), "k", WAIT).unwrap().as_deref(),
        Some(&b"v"[..])
    );
}

#[test]
fn a_file_that_is_none_of_ours_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, vec![7; 4096]).unwrap();
    let error = open(&StateSettings::Embedded { path }, Surroundings::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot open the state of handlers in /") && error.contains("state.redb"),
        "{error}"
    );
}

#[test]
fn a_server_that_is_away_is_named_without_its_password() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("redis://me:hunter2@{unused}/5").into();
    let error =
        open(&StateSettings::Redis { url, url_file: None }, Surroundings::default()).unwrap_err().to_string();
    assert!(error.contains(&format!("Redis at {unused}/5: ")) && !error.contains("hunter2"), "{error}");
    let error = open(
        &StateSettings::Redis { url: "http://hunter2@x".to_owned().into(), url_file: None },
        Surroundings::default(),
    )
    .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("expected redis://") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_server_that_does_not_answer_costs_no_more_than_the_wait() {
    let server = RedisServer::start();
    let store =
        open(&StateSettings::Redis { url: server.url(0).into(), url_file: None }, Surroundings::default())
            .unwrap();
    let client = ::redis::Client::open(server.url(0)).unwrap();
    let mut other = client.get_connection().unwrap();
    ::redis::cmd("CLIENT").arg("PAUSE").arg(60_000).arg("ALL").query::<()>(&mut other).unwrap();
    let wait = Duration::from_millis(20);
    let error = store.get(&shop("a"), "k", wait).unwrap_err();
    assert!(matches!(error, StateError::TimedOut { waited, .. } if waited == wait), "{error}");
    // A wait that short says nothing about the server; a longer one does, and it is left alone for a moment.
    let error = store.get(&shop("a"), "k", wait).unwrap_err();
    assert!(matches!(error, StateError::TimedOut { .. }), "{error}");
    let error = store.get(&shop("a"), "k", Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, StateError::TimedOut { .. }), "{error}");
    let error = store.get(&shop("a"), "k", WAIT).unwrap_err();
    assert!(matches!(error, StateError::Redis { .. }), "{error}");
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let server = RedisServer::start();
    let store =
        open(&StateSettings::Redis { url: server.url(0).into(), url_file: None }, Surroundings::default())
            .unwrap();
    let client = ::redis::Client::open(server.url(0)).unwrap();
    let mut other = client.get_connection().unwrap();
    ::redis::cmd("CLIENT").arg("KILL").arg("SKIPME").arg("yes").query::<i64>(&mut other).unwrap();
    let broken = store.get(&shop("a"), "k", WAIT);
    assert!(matches!(broken, Err(StateError::Redis { .. })), "{broken:?}");
    assert_eq!(store.get(&shop("a"), "k", WAIT).unwrap(), None);
}

#[test]
fn writers_of_different_namespaces_never_hinder_each_other() {
    over_both(|store| {
        let (writers, rounds) = (8_u64, 20);
        let count_all = |writer: u64| {
            let namespace = shop(&format!("shop-{writer}"));
            for version in 0..rounds {
                let transaction = write(&namespace, version, &[("version", Some(&version.to_string()))]);
                assert_eq!(store.apply(transaction).unwrap(), Applied::Whole);
            }
        };
        std::thread::scope(|scope| {
            (0..writers).for_each(|writer| drop(scope.spawn(move || count_all(writer))))
        });
        for writer in 0..writers {
            let namespace = shop(&format!("shop-{writer}"));
            assert_eq!(store.open(&namespace, &[], WAIT).unwrap().usage.version, rounds);
            assert_eq!(store.get(&namespace, "version", WAIT).unwrap().as_deref(), Some(&b"19"[..]));
        }
    });
}

fn seen_place(tenant: &str) -> SeenPlace {
    SeenPlace::new("totals", tenant)
}

fn event_key(number: u64) -> EventKey {
    EventKey::of_number(number)
}

/// Remembers events of these numbers at a time, each with a mark at its offset.
fn remember(store: &dyn StateStore, events: &[u64], window: &DedupWindow, now_micros: u64) {
    let marks = events.iter().map(|event| (mark(1, *event), b"m".to_vec())).collect();
    let keys = events.iter().map(|event| event_key(*event)).collect();
    let remember = Remember { place: seen_place("a"), keys, window: window.clone(), now_micros };
    let transaction = Transaction::of_marks(shop("a"), marks, Some(remember));
    assert_eq!(store.apply(transaction).unwrap(), Applied::Whole);
}

/// Which of the events 0 to 9 are remembered.
fn remembered(store: &dyn StateStore, tenant: &str) -> Vec<u64> {
    let keys: Vec<_> = (0..10).map(event_key).collect();
    let seen = store.seen(&seen_place(tenant), &keys, WAIT).unwrap();
    (0..10).zip(seen).filter_map(|(event, seen)| seen.map(|_| event)).collect()
}

#[test]
fn the_last_events_are_remembered_with_their_marks() {
    over_both(|store| {
        let window = DedupWindow { events_max: 3, age_max: None };
        assert_eq!(remembered(store, "a"), [0; 0]);
        remember(store, &[0, 1], &window, 100);
        remember(store, &[2], &window, 50);
        assert_eq!(remembered(store, "a"), [0, 1, 2]);
        assert_eq!(remembered(store, "b"), [0; 0]);
        assert_eq!(store.open(&shop("a"), &[], WAIT).unwrap().usage, Usage::default());

        let seen = store.seen(&seen_place("a"), &[event_key(2)], WAIT).unwrap();
        let identity = mark(1, 2).event;
        let expected = Seen { stamp: 102, identity, mark: Some(b"m".to_vec()) };
        assert_eq!(seen, [Some(expected.clone())], "a clock that goes back does not change the order");
        store.forget_marks(&place(1), 3).unwrap();
        let seen = store.seen(&seen_place("a"), &[event_key(2)], WAIT).unwrap();
        assert_eq!(seen, [Some(Seen { mark: None, ..expected })]);

        remember(store, &[0], &window, 200);
        remember(store, &[3], &window, 201);
        assert_eq!(remembered(store, "a"), [0, 2, 3], "what is handled again counts as the newest");
        remember(store, &[4, 5, 6, 7, 8], &window, 202);
        assert_eq!(remembered(store, "a"), [6, 7, 8]);
        remember(store, &[9], &DedupWindow { events_max: 1, age_max: None }, 203);
        assert_eq!(remembered(store, "a"), [9]);
    });
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    over_both(|store| {
        let window = DedupWindow { events_max: 100, age_max: Some(Duration::from_micros(10)) };
        remember(store, &[0, 1], &window, 100);
        remember(store, &[2], &window, 105);
        assert_eq!(remembered(store, "a"), [0, 1, 2]);
        remember(store, &[3], &window, 111);
        assert_eq!(remembered(store, "a"), [2, 3]);
    });
}

#[test]
fn what_a_tenant_that_went_quiet_leaves_behind_is_forgotten_later() {
    let directory = tempfile::tempdir().unwrap();
    let store =
        open(&StateSettings::Embedded { path: directory.path().join("state.redb") }, Surroundings::default())
            .unwrap();
    let window = DedupWindow { events_max: 100, age_max: None };
    remember(&*store, &[0, 1], &window, 100);
    remember(&*store, &[2], &window, 105);
    store.forget_seen(&HandlerName::new("total").unwrap(), u64::MAX).unwrap();
    store.forget_seen(&HandlerName::new("totals").unwrap(), 101).unwrap();
    assert_eq!(remembered(&*store, "a"), [1, 2]);
    store.forget_seen(&HandlerName::new("totals").unwrap(), u64::MAX).unwrap();
    assert_eq!(remembered(&*store, "a"), [0; 0]);
    remember(&*store, &[5], &DedupWindow { events_max: 1, age_max: None }, 105);
    assert_eq!(remembered(&*store, "a"), [5], "the count of what is left is right");
}

/// A small file system of its own, which a test can fill; none, said aloud, when this user may not mount one.
fn small_disk() -> Option<SmallDisk> {
    let directory = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(directory.path())
        .status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(SmallDisk(directory));
    }
    println!("SKIPPED: this user may not mount a file system, so none can be full");
    None
}

struct SmallDisk(tempfile::TempDir);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_told_once_and_heals_without_losing_anything() {
    let Some(disk) = small_disk() else { return };
    let path = disk.0.path().join("state.redb");
    let surroundings = Surroundings::default();
    let store = open(&StateSettings::Embedded { path }, surroundings.clone()).unwrap();
    let space = disk.0.path().join("space");
    std::fs::write(&space, vec![1; 2 << 20]).unwrap();
    let write = |version: u64| {
        let value = Some(vec![b'v'; 64 << 10]);
        let writes = [(format!("key-{version}"), value)].into();
        let transaction = Transaction::of_marks(shop("a"), Vec::new(), None);
        store.apply(Transaction { version: Some(version), writes, ..transaction })
    };
    let mut version = 0;
    let error = loop {
        match write(version) {
            Ok(applied) => assert_eq!(applied, Applied::Whole),
            Err(error) => break error.to_string(),
        }
        version += 1;
    };
    assert!(error.contains("No space left") && version > 0, "{version}: {error}");
    assert!(write(version).unwrap_err().to_string().contains("will be opened again"));
    let told = surroundings.troubles.now();
    let [("state_unwritable", reason)] = &told[..] else { panic!("{told:?}") };
    assert!(reason.contains("No space left"), "{reason}");
    store.mend();
    assert!(store.is_failing(), "there is no more space than before");

    std::fs::remove_file(space).unwrap();
    store.mend();
    assert_eq!((surroundings.troubles.now(), store.is_failing()), (Vec::new(), false));
    // The transaction that failed may be there or not, as its marks would tell.
    let found = store.open(&shop("a"), &[], WAIT).unwrap().usage.version;
    assert!(found == version || found == version + 1, "{found} after {version}");
    assert_eq!(write(found).unwrap(), Applied::Whole);
    for key in 0..=found {
        assert!(store.get(&shop("a"), &format!("key-{key}"), WAIT).unwrap().is_some(), "key {key} is gone");
    }
}

#[test]
fn a_file_that_is_removed_under_the_host_is_noticed_and_its_loss_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let known = Some(crate::known_stores::KnownStores::new(directory.path()));
    let surroundings = Surroundings { known, ..Surroundings::default() };
    let settings = StateSettings::Embedded { path: path.clone() };
    let store = open(&settings, surroundings.clone()).unwrap();
    store.check();
    assert_eq!(surroundings.troubles.now(), []);
    std::fs::remove_file(&path).unwrap();
    store.check();
    assert!(store.is_failing() && store.apply(write(&shop("a"), 0, &[("k", Some("v"))])).is_err());
    store.mend();
    let causes = |surroundings: &Surroundings| {
        surroundings.troubles.now().into_iter().map(|(cause, _)| cause).collect::<Vec<_>>()
    };
    assert_eq!((causes(&surroundings), store.is_failing()), (vec!["state_lost"], false));
    store.apply(write(&shop("a"), 0, &[("k", Some("v"))])).unwrap();
    drop(store);

    let next_life = || Surroundings { troubles: Troubles::default(), ..surroundings.clone() };
    let same = next_life();
    drop(open(&settings, same.clone()).unwrap());
    assert_eq!(causes(&same), [""; 0]);
    std::fs::remove_file(&path).unwrap();
    let (emptied, again) = (next_life(), next_life());
    drop(open(&settings, emptied.clone()).unwrap());
    assert_eq!(causes(&emptied), ["state_lost"]);
    drop(open(&settings, again.clone()).unwrap());
    assert_eq!(causes(&again), [""; 0], "it is told once");

    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    let (later, restored, after) = (next_life(), next_life(), next_life());
    drop(open(&settings, later.clone()).unwrap());
    std::fs::copy(&copy, &path).unwrap();
    drop(open(&settings, restored.clone()).unwrap());
    assert_eq!((causes(&later), causes(&restored)), (vec![], vec!["state_lost"]), "a copy was put back");
    drop(open(&settings, after.clone()).unwrap());
    assert_eq!(causes(&after), [""; 0], "it is told once");
}

#[test]
fn a_server_that_died_costs_nobody_a_wait_and_one_that_lost_everything_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start();
    let known = Some(crate::known_stores::KnownStores::new(directory.path()));
    let surroundings = Surroundings { known, ..Surroundings::default() };
    let settings = StateSettings::Redis { url: server.url(0).into(), url_file: None };
    let store = open(&settings, surroundings.clone()).unwrap();
    let port = server.port();
    drop(server);
    let mut errors = std::iter::repeat_with(|| store.get(&shop("a"), "k", WAIT).unwrap_err().to_string());
    assert!(errors.any(|error| error.contains("could not be reached a moment ago")));
    let told = surroundings.troubles.now();
    assert!(matches!(&told[..], [("state_unwritable", reason)] if reason.contains("Redis at")), "{told:?}");
    store.mend();
    assert!(store.is_failing());
    let Some(_server) = RedisServer::start_on(port) else {
        return println!("SKIPPED: somebody else took the port of the server that died");
    };
    store.mend();
    let told: Vec<_> = surroundings.troubles.now().into_iter().map(|(cause, _)| cause).collect();
    assert_eq!((told, store.is_failing()), (vec!["state_lost"], false));
    assert_eq!(store.get(&shop("a"), "k", WAIT).unwrap(), None);
}
