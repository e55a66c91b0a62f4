//! What events see of the state, what it counts to, and what comes of it.

use super::*;
use crate::sandbox::fixtures::limits;
use crate::state::{self, Applied, StateSettings, Surroundings};

const WAIT: Duration = Duration::from_secs(10);

struct Kit {
    store: Arc<dyn StateStore>,
    limits: GuestLimits,
    _directory: tempfile::TempDir,
}

impl Kit {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = state::open(&StateSettings::Embedded { path }, Surroundings::default()).unwrap();
        let limits = GuestLimits {
            deadline: WAIT,
            state_calls_max: 5_000,
            state_bytes_max: 100_000,
            state_stored_bytes_max: 50_000,
            ..limits()
        };
        Self { store, limits, _directory: directory }
    }

    fn session(&self) -> Session {
        let namespace = Namespace::new("shop", "totals");
        let usage = self.store.open(&namespace, &[], WAIT).unwrap().usage;
        let mut session = Session::new(Arc::clone(&self.store), namespace, &self.limits, usage);
        session.begin_event();
        session
    }

    fn apply(&self, mut session: Session) {
        session.keep_event();
        let transaction = session.into_transaction(Vec::new(), None).unwrap();
        assert_eq!(self.store.apply(transaction).unwrap(), Applied::Whole);
    }
}

impl Session {
    fn put(&mut self, key: &str, value: &str) {
        self.set(key.to_owned(), value.as_bytes().to_vec()).unwrap().unwrap();
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.get(key.to_owned()).unwrap().unwrap()?;
        Some(String::from_utf8(value).unwrap())
    }

    /// All keys, page by page.
    fn all_keys(&mut self) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.list_keys(cursor.as_deref()).unwrap();
            assert!(page.keys.len() <= PAGE_KEYS_MAX);
            keys.extend(page.keys);
            if page.cursor.is_none() {
                return keys;
            }
            assert!(cursor < page.cursor, "a cursor that does not move never ends");
            cursor = page.cursor;
        }
    }
}

fn limit<T: fmt::Debug>(asked: Asked<T>) -> (LimitKind, u64, u64) {
    match asked {
        Err(GuestStop::Limit { limit, used, allowed }) => (limit, used, allowed),
        other => panic!("expected a limit, found {other:?}"),
    }
}

#[test]
fn an_event_sees_its_own_writes_then_those_before_it_then_the_store() {
    let kit = Kit::new();
    let mut session = kit.session();
    session.put("a", "store");
    session.put("b", "store");
    session.put("c", "store");
    kit.apply(session);
    let mut session = kit.session();
    session.put("b", "call");
    session.delete("c".to_owned()).unwrap().unwrap();
    session.keep_event();
    session.begin_event();
    session.put("a", "event");
    let seen = ["a", "b", "c"].map(|key| session.text(key));
    assert_eq!(seen, [Some("event".to_owned()), Some("call".to_owned()), None]);
    let exists = ["a", "b", "c"].map(|key| session.exists(key).unwrap().unwrap());
    assert_eq!(exists, [true, true, false]);
    assert_eq!(session.all_keys(), ["a", "b"]);
    // The event fails: nothing of it stays.
    session.begin_event();
    assert_eq!(session.text("a").as_deref(), Some("store"));
    assert_eq!(session.text("b").as_deref(), Some("call"));
    assert_eq!(kit.session().all_keys(), ["a", "b", "c"], "nothing is applied before the end of the call");
    kit.apply(session);
    assert_eq!(kit.session().all_keys(), ["a", "b"]);
}

#[test]
fn pages_of_keys_have_what_was_written_in_its_place() {
    let kit = Kit::new();
    let mut session = kit.session();
    let names: Vec<String> = (0..1_500).map(|number| format!("{number:04}")).collect();
    names.iter().for_each(|name| session.put(name, ""));
    assert_eq!(session.all_keys(), names, "before they are applied");
    kit.apply(session);
    let mut session = kit.session();
    assert_eq!(session.all_keys(), names, "after they are applied");
    let mut expected = names.clone();
    for key in ["!", "0000x", "0999", "0999x", "1499x", "~"] {
        session.put(key, "");
        expected.push(key.to_owned());
    }
    for key in ["0000", "0500", "1000", "1499"] {
        session.delete(key.to_owned()).unwrap().unwrap();
        expected.retain(|name| name != key);
    }
    expected.sort();
    expected.dedup();
    assert_eq!(session.all_keys(), expected);
    assert_eq!(session.list_keys(Some("~~")).unwrap(), KeyResponse { keys: Vec::new(), cursor: None });
}

#[test]
fn what_is_stored_is_counted_exactly() {
    let kit = Kit::new();
    let stored = |session: &Session| session.staged_bytes;
    let mut session = kit.session();
    session.put("key", "12345");
    session.put("other", "");
    assert_eq!(stored(&session), 8 + 5);
    session.put("key", "1");
    session.delete("nothing".to_owned()).unwrap().unwrap();
    assert_eq!(stored(&session), 4 + 5);
    kit.apply(session);
    let mut session = kit.session();
    assert_eq!(stored(&session), 9);
    session.put("key", "123");
    session.delete("other".to_owned()).unwrap().unwrap();
    session.delete("other".to_owned()).unwrap().unwrap();
    assert_eq!(stored(&session), 6);
    kit.apply(session);
    assert_eq!(stored(&kit.session()), 6);
}

#[test]
fn more_than_may_be_stored_is_refused_to_the_byte() {
    let mut kit = Kit::new();
    kit.limits.state_stored_bytes_max = 10;
    let mut session = kit.session();
    session.put("k", "123456789");
    assert_eq!(limit(session.set("l".to_owned(), Vec::new())), (LimitKind::StateStored, 11, 10));
    assert_eq!(limit(session.set("k".to_owned(), vec![0; 10])), (LimitKind::StateStored, 11, 10));
    session.put("k", "");
    session.put("l", "12345678");
    session.begin_event();
    session.put("k", "123456789");
    kit.apply(session);
    // A limit that was lowered forbids to grow, and nothing else.
    kit.limits.state_stored_bytes_max = 5;
    let mut session = kit.session();
    assert_eq!(limit(session.set("l".to_owned(), Vec::new())), (LimitKind::StateStored, 11, 5));
    session.put("k", "12345678");
    session.put("k", "87654321");
    session.delete("k".to_owned()).unwrap().unwrap();
    session.put("l", "1234");
}

#[test]
fn calls_and_bytes_of_an_event_are_bounded_and_begin_anew_with_the_next() {
    let mut kit = Kit::new();
    (kit.limits.state_calls_max, kit.limits.state_bytes_max) = (3, 8);
    let mut session = kit.session();
    session.put("k", "123");
    session.put("k", "123");
    assert_eq!(limit(session.set("k".to_owned(), Vec::new())), (LimitKind::StateBytes, 9, 8));
    assert_eq!(limit(session.get("k".to_owned())), (LimitKind::StateCalls, 4, 3));
    session.begin_event();
    assert_eq!(session.text("k"), None);
    assert_eq!(session.all_keys(), [""; 0]);
    session.count_call().unwrap();
    assert_eq!(limit(session.delete("k".to_owned())), (LimitKind::StateCalls, 4, 3));
    session.begin_event();
    assert_eq!(limit(session.set("key".to_owned(), vec![0; 6])), (LimitKind::StateBytes, 9, 8));
}

#[test]
fn a_key_of_a_wrong_length_is_told_to_the_guest() {
    let mut session = Kit::new().session();
    for (key, bytes) in [(String::new(), 0), ("k".repeat(256), 256)] {
        let error = Some(StoreError::Other(format!("the key has {bytes} bytes, expected 1 to 255")));
        assert_eq!(session.get(key.clone()).unwrap().err(), error);
        assert_eq!(session.set(key.clone(), Vec::new()).unwrap().err(), error);
        assert_eq!(session.delete(key.clone()).unwrap().err(), error);
        assert_eq!(session.exists(&key).unwrap().err(), error);
    }
    session.put(&"k".repeat(255), "v");
}

#[test]
fn a_late_store_is_a_fault_of_the_host_and_a_late_guest_is_its_own() {
    let server = crate::state::redis_server::RedisServer::start();
    let url = server.url(0);
    let store = state::open(
        &StateSettings::Redis { url: url.clone().into(), url_file: None },
        Surroundings::default(),
    )
    .unwrap();
    let mut other = redis::Client::open(url).unwrap().get_connection().unwrap();
    redis::cmd("CLIENT").arg("PAUSE").arg(60_000).arg("ALL").query::<()>(&mut other).unwrap();
    let limits = GuestLimits { deadline: Duration::from_millis(60), ..limits() };
    let session = || {
        let namespace = Namespace::new("shop", "totals");
        let mut session = Session::new(Arc::clone(&store), namespace, &limits, Usage::default());
        session.begin_event();
        session
    };
    let stop = session().get("k".to_owned()).unwrap_err();
    let reason = stop.to_string();
    assert!(matches!(stop, GuestStop::HostFault(_)) && reason.contains("no answer within"), "{reason}");
    let mut late = session();
    late.event.end = Instant::now();
    assert!(matches!(late.get("k".to_owned()), Err(GuestStop::Late)));
}
