//! Guests that use state, in the real sandbox: what counts, what does not, and what happens when the store fails.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::codec::{Codec, EmitRules};
use crate::event::Tenant;
use crate::handler::HandlerName;
use crate::outcome::{Emit, Outcome};
use crate::sandbox::fixtures::{EXPORT_BATCH, EXPORT_HANDLER, actor, call_event, event, spec};
use crate::sandbox::{
    Answer, CallEvent, Grants, GuestLimits, GuestSpec, Isolation, Sandbox, SandboxSettings,
};
use crate::state::redis_server::RedisServer;
use crate::state::{self, StateSettings, StateStore, Surroundings};
use crate::trial::{Trial, TrialEvent, TrialHandler, TrialReport};

/// The interface, whole, by its types.
const IMPORT: &str = r#"
        (import "wasi:keyvalue/store@0.2.0-draft2" (instance $store
            (export "bucket" (type $bucket (sub resource)))
            (type $error-type (variant (case "no-such-store") (case "access-denied") (case "other" string)))
            (export "error" (type $error (eq $error-type)))
            (type $response-type (record (field "keys" (list string)) (field "cursor" (option string))))
            (export "key-response" (type $response (eq $response-type)))
            (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
            (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
                (result (result (option (list u8)) (error $error)))))
            (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
                (param "value" (list u8)) (result (result (error $error)))))
            (export "[method]bucket.delete" (func (param "self" (borrow $bucket)) (param "key" string)
                (result (result (error $error)))))
            (export "[method]bucket.exists" (func (param "self" (borrow $bucket)) (param "key" string)
                (result (result bool (error $error)))))
            (export "[method]bucket.list-keys" (func (param "self" (borrow $bucket)) (param "cursor" (option string))
                (result (result $response (error $error)))))))
        (alias export $store "bucket" (type $bucket))"#;

/// Its functions as a core module sees them.
const CORE_IMPORT: &str = r#"
        (import "kv" "open" (func $kv-open (param i32 i32 i32)))
        (import "kv" "drop" (func $kv-drop (param i32)))
        (import "kv" "get" (func $kv-get (param i32 i32 i32 i32)))
        (import "kv" "set" (func $kv-set (param i32 i32 i32 i32 i32 i32)))
        (import "kv" "delete" (func $kv-delete (param i32 i32 i32 i32)))
        (import "kv" "exists" (func $kv-exists (param i32 i32 i32 i32)))
        (import "kv" "list-keys" (func $kv-list-keys (param i32 i32 i32 i32 i32)))
        (global $bucket (mut i32) (i32.const 0))"#;

/// What the guest does with them.
const CORE: &str = r#"
        (data (i32.const 1100) "default n m else")
        (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
        ;; The first byte of an answer is zero when it is none of an error.
        (func $ok (call $must (i32.eqz (i32.load8_u (i32.const 3072)))))
        (func $has (param $key i32) (result i32)
            (call $kv-exists (global.get $bucket) (local.get $key) (i32.const 1) (i32.const 3072))
            (call $ok)
            (i32.load8_u (i32.const 3076)))
        (func $count
            (call $kv-open (i32.const 1112) (i32.const 4) (i32.const 3072))
            (call $must (i32.eq (i32.load8_u (i32.const 3072)) (i32.const 1)))
            (call $must (i32.eqz (i32.load8_u (i32.const 3076))))
            (call $kv-open (i32.const 1100) (i32.const 7) (i32.const 3072))
            (call $ok)
            (global.set $bucket (i32.load (i32.const 3076)))
            (call $kv-set (global.get $bucket) (i32.const 1110) (i32.const 1) (i32.const 1100) (i32.const 0) (i32.const 3072))
            (call $ok)
            (call $must (call $has (i32.const 1110)))
            (call $kv-delete (global.get $bucket) (i32.const 1110) (i32.const 1) (i32.const 3072))
            (call $ok)
            (call $must (i32.eqz (call $has (i32.const 1110))))
            (global.set $calls (i32.const 1))
            (if (call $has (i32.const 1108)) (then
                (call $kv-get (global.get $bucket) (i32.const 1108) (i32.const 1) (i32.const 3072))
                (call $ok)
                (call $must (i32.load8_u (i32.const 3076)))
                (global.set $calls (i32.add (i32.load (i32.const 3084)) (i32.const 1)))))
            (call $kv-set (global.get $bucket) (i32.const 1108) (i32.const 1) (i32.const 1100) (global.get $calls)
                (i32.const 3072))
            (call $ok)
            (call $kv-list-keys (global.get $bucket) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3072))
            (call $ok)
            (call $must (i32.eq (i32.load (i32.const 3080)) (i32.const 1)))
            (call $must (i32.eqz (i32.load8_u (i32.const 3084))))
            (call $kv-drop (global.get $bucket)))"#;

/// A guest that keeps a text under the key `n` and makes it longer by a letter with each event. It uses all functions of
/// the interface and traps when one of them does not answer as it must. The letter `n` of an event's id makes it
/// reject with the length.
fn counter(export: (&str, &str)) -> Bytes {
    let functions = ["get", "set", "delete", "exists", "list-keys"];
    let lowered = |name: &str, path: &str| {
        let realloc = "(memory $mem) (realloc (core func $memory \"realloc\"))";
        format!("(core func $kv-{name} (canon lower (func $store \"{path}\") {realloc}))\n")
    };
    let mut lower = lowered("open", "open") + "(core func $kv-drop (canon resource.drop $bucket))\n";
    lower.extend(functions.iter().map(|name| lowered(name, &format!("[method]bucket.{name}"))));
    let exports = ["open", "drop", "get", "set", "delete", "exists", "list-keys"];
    let exports = exports.map(|name| format!("(export \"{name}\" (func $kv-{name}))")).join(" ");
    let core_with = format!("(with \"kv\" (instance {exports}))");
    actor(&[
        export,
        ("import", IMPORT),
        ("lower", &lower),
        ("core-import", CORE_IMPORT),
        ("core-with", &core_with),
        ("core", CORE),
        ("act", "(call $count)"),
    ])
}

fn with_state() -> Grants {
    Grants { state: true, ..Grants::default() }
}

fn handler() -> TrialHandler {
    TrialHandler { grants: with_state(), ..TrialHandler::new(HandlerName::new("counter").unwrap()) }
}

fn trial() -> Trial {
    Trial::start(&SandboxSettings { workers: 1, waiting_workers: 2, ..SandboxSettings::default() }).unwrap()
}

fn file(directory: &tempfile::TempDir) -> StateSettings {
    StateSettings::Embedded { path: directory.path().join("state.redb") }
}

fn of(id: &str, tenant: &str) -> TrialEvent {
    TrialEvent { id: id.to_owned(), ..TrialEvent::default() }.of_tenant(tenant)
}

/// The reason of each event that is not done.
fn told(report: &TrialReport) -> Vec<&str> {
    report
        .outcomes
        .iter()
        .map(|outcome| if outcome.kind == "done" { "done" } else { &*outcome.reason })
        .collect()
}

#[tokio::test]
async fn what_done_events_wrote_is_there_for_later_ones_of_the_tenant_and_nobody_else() {
    for (export, isolation) in [
        (EXPORT_HANDLER, Isolation::Reuse),
        (EXPORT_BATCH, Isolation::Reuse),
        (EXPORT_BATCH, Isolation::Fresh),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let trial = trial();
        trial.open_state(&file(&directory)).await.unwrap();
        let component = trial.admit(TrialHandler { isolation, ..handler() }, counter(export)).await.unwrap();
        // In lanes of their own, so that a rejection holds nobody up.
        let ids = ["done", "number", "number", "emit", "number"];
        let events: Vec<_> = (0..).zip(ids).map(|(lane, id)| TrialEvent { lane, ..of(id, "a") }).collect();
        let first = component.call(&events).await;
        assert_eq!(told(&first), ["done", "A2", "A2", "done", "A3"]);
        let later = component.call(&[of("number", "a"), of("number", "b"), of("number", "a")]).await;
        assert_eq!(told(&later), ["A3", "A1", "A3"]);
    }
}

#[tokio::test]
async fn an_event_that_comes_again_is_answered_as_before_and_does_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let trial = trial();
    trial.open_state(&file(&directory)).await.unwrap();
    let component = trial.admit(handler(), counter(EXPORT_BATCH)).await.unwrap();
    let at = |offset, event| TrialEvent { offset: Some(offset), ..event };
    let first = component.call(&[at(7, of("emit", "a")), at(8, of("done", "a"))]).await;
    // The id is none of what the broker keeps, so this is the same event, and shows whether it runs.
    let again =
        component.call(&[at(7, of("trap", "a")), at(8, of("trap", "a")), at(9, of("number", "a"))]).await;
    assert_eq!(told(&again), ["done", "done", "A3"]);
    assert_eq!(again.outcomes[..2], first.outcomes);
    assert_eq!(again.outcomes[0].emits.len(), 1);
    let other = TrialEvent { payload: Bytes::from_static(b"[]"), ..at(7, of("number", "a")) };
    assert_eq!(told(&component.call(&[other]).await), ["A3"], "another event at the same offset");
}

#[tokio::test]
async fn a_stop_forgets_what_its_event_wrote_and_keeps_what_others_did() {
    let directory = tempfile::tempdir().unwrap();
    let trial = trial();
    trial.open_state(&file(&directory)).await.unwrap();
    let limits = GuestLimits { state_calls_max: 15, ..GuestLimits::default() };
    let component = trial.admit(TrialHandler { limits, ..handler() }, counter(EXPORT_BATCH)).await.unwrap();
    let report = component.call(&[of("done", "a"), of("bad answer", "a"), of("done", "a")]).await;
    let kinds: Vec<_> = report.outcomes.iter().map(|outcome| outcome.kind).collect();
    assert_eq!(kinds, ["done", "trapped", "not-run"]);
    assert_eq!(told(&component.call(&[of("number", "a")]).await), ["A2"]);
    let limits = GuestLimits { state_calls_max: 5, ..GuestLimits::default() };
    let component = trial.admit(TrialHandler { limits, ..handler() }, counter(EXPORT_BATCH)).await.unwrap();
    let report = component.call(&[of("done", "a")]).await;
    assert_eq!((report.outcomes[0].kind, report.outcomes[0].code), ("limit-exceeded", "state-calls"));
    assert_eq!(told(&report), ["state-calls over the limit: used 6, may use 5"]);
}

#[tokio::test]
async fn state_needs_its_grant_and_a_store() {
    let ungranted = TrialHandler { grants: Grants::default(), ..handler() };
    let refused = trial().admit(ungranted, counter(EXPORT_BATCH)).await.unwrap_err().to_string();
    assert!(
        refused.contains("wasi:keyvalue/store@0.2.0-draft2") && refused.contains("add `state`"),
        "{refused}"
    );
    let component = trial().admit(handler(), counter(EXPORT_BATCH)).await.unwrap();
    let report = component.call(&[of("done", "a"), of("done", "a")]).await;
    assert_eq!(told(&report), ["no state store is open"; 2]);
    assert_eq!(report.outcomes[0].kind, "host-fault");
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_a_fault_of_the_host_and_nothing_of_the_call_counts() {
    let server = RedisServer::start();
    let mut operator = redis::Client::open(server.url(0)).unwrap().get_connection().unwrap();
    let mut memory = |bytes: u64| {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query::<()>(&mut operator).unwrap();
    };
    let trial = trial();
    trial.open_state(&StateSettings::Redis { url: server.url(0).into(), url_file: None }).await.unwrap();
    let component = trial.admit(handler(), counter(EXPORT_HANDLER)).await.unwrap();
    let events = [of("done", "a"), TrialEvent { lane: 1, ..of("number", "a") }, of("emit", "a")];
    memory(1);
    let report = component.call(&events).await;
    let kinds: Vec<_> = report.outcomes.iter().map(|outcome| outcome.kind).collect();
    assert_eq!(kinds, ["host-fault", "not-run", "host-fault"]);
    let reason = &report.outcomes[0].reason;
    assert!(
        reason
            .starts_with("the state store is not available: cannot write the state of handlers in Redis at")
    );
    memory(0);
    assert_eq!(told(&component.call(&events).await), ["done", "A2", "done"]);
    assert_eq!(told(&component.call(&[of("number", "a")]).await), ["A3"]);
}

/// A call of a component, step by step.
struct Steps {
    call: StatefulCall,
    event: CallEvent,
}

impl Steps {
    async fn begin(store: &Arc<dyn StateStore>, emits: Option<Arc<EmitRules>>, offset: u64) -> Self {
        let sandbox = Sandbox::start(&SandboxSettings { workers: 1, ..SandboxSettings::default() }).unwrap();
        let spec = GuestSpec { grants: with_state(), emits, ..spec() };
        let component = sandbox.admit(spec, counter(EXPORT_HANDLER)).await.unwrap();
        let mut event = event("done", "a");
        event.message.source.offset.0 = offset;
        let (event, tenant) = (call_event(event, 0), Tenant::Named("a".into()));
        let events = std::slice::from_ref(&event);
        Self { call: StatefulCall::open(Some(store), &component, &tenant, events).unwrap(), event }
    }

    /// The guest writes a key and answers.
    fn write(&mut self, key: &str, answer: Option<Answer>) -> Option<Answer> {
        let mut session = self.call.lend().unwrap();
        session.set(key.to_owned(), Vec::new()).unwrap().unwrap();
        self.call.take_back(Some(session));
        self.call.take_answer(0, &self.event, answer).0
    }
}

#[tokio::test]
async fn of_two_calls_on_the_same_state_the_later_one_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = state::open(&file(&directory), Surroundings::default()).unwrap();
    let (mut first, mut second) = (Steps::begin(&store, None, 1).await, Steps::begin(&store, None, 2).await);
    assert_eq!((first.write("k", None), second.write("l", None)), (None, None));
    assert_eq!(first.call.finish(Vec::new()), []);
    assert_eq!(second.call.finish(Vec::new()), [(0, Answer::NotRun)]);
    let mut again = Steps::begin(&store, None, 2).await;
    assert_eq!(again.call.answer_without_running(0), None);
    again.write("l", None);
    assert_eq!(again.call.finish(Vec::new()), []);
    let after = Steps::begin(&store, None, 2).await;
    let (answer, _) = after.call.answer_without_running(0).unwrap();
    assert!(matches!(&answer, Answer::DoneBefore(before) if before.emits.is_empty()), "{answer:?}");
}

#[tokio::test]
async fn an_event_whose_emits_cannot_be_published_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = state::open(&file(&directory), Surroundings::default()).unwrap();
    let rules = EmitRules {
        codec: Codec::default(),
        handler: HandlerName::new("counter").unwrap(),
        topics: vec!["audit".to_owned()],
    };
    let rules = Arc::new(rules);
    let emit = |topic: &str| Emit {
        event_type: "order.shipped".into(),
        schema_version: 1,
        topic: Some(topic.to_owned()),
        key: None,
        headers: Vec::new(),
        payload: Bytes::from_static(b"{}"),
    };
    let done = |topic| Some(Answer::Ended(Outcome::Done(vec![emit(topic)])));
    let mut steps = Steps::begin(&store, Some(Arc::clone(&rules)), 1).await;
    let answer = steps.write("k", done("dlq"));
    let Some(Answer::Ended(Outcome::Reject { reason })) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("may not emit to topic `dlq`"), "{reason}");
    assert_eq!(steps.call.finish(Vec::new()), []);
    let mut steps = Steps::begin(&store, Some(rules), 1).await;
    assert_eq!(steps.call.lend().unwrap().list_keys(None).unwrap().keys, [""; 0]);
    let mut steps = Steps::begin(&store, None, 1).await;
    assert_eq!(steps.write("k", done("audit")), done("audit"));
}
