//! Guests that make more of HTTP than they may, in the real sandbox.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::event::Tenant;
use crate::outcome::{LimitKind, Outcome, TrapCode};
use crate::sandbox::fixtures::{EXPORT_BATCH, actor, call_event, event, spec};
use crate::sandbox::{
    Answer, Busy, CallId, CallReport, CallResult, Grants, GuestCall, GuestSpec, Pool, Sandbox,
    SandboxSettings,
};

const IMPORT: &str = r#"
    (import "wasi:http/types@0.2.3" (instance $http
        (export "fields" (type $fields (sub resource)))
        (export "outgoing-request" (type $request (sub resource)))
        (export "outgoing-response" (type $response (sub resource)))
        (export "[constructor]fields" (func (result (own $fields))))
        (export "[constructor]outgoing-request" (func (param "headers" (own $fields)) (result (own $request))))
        (export "[constructor]outgoing-response" (func (param "headers" (own $fields)) (result (own $response))))))"#;
const LOWER: &str = r#"
    (core func $fields-lowered (canon lower (func $http "[constructor]fields")))
    (core func $request-lowered (canon lower (func $http "[constructor]outgoing-request")))
    (core func $response-lowered (canon lower (func $http "[constructor]outgoing-response")))"#;
const CORE_IMPORT: &str = r#"
    (import "http" "fields" (func $fields (result i32)))
    (import "http" "request" (func $request (param i32) (result i32)))
    (import "http" "response" (func $response (param i32) (result i32)))"#;
const CORE_WITH: &str = r#"
    (with "http" (instance
        (export "fields" (func $fields-lowered))
        (export "request" (func $request-lowered))
        (export "response" (func $response-lowered))))"#;

/// What an event comes to that a guest handles by doing this.
async fn outcome(act: &str) -> Outcome {
    let sandbox = Sandbox::start(&SandboxSettings { workers: 1, ..SandboxSettings::default() }).unwrap();
    let bytes = actor(&[
        EXPORT_BATCH,
        ("import", IMPORT),
        ("lower", LOWER),
        ("core-import", CORE_IMPORT),
        ("core-with", CORE_WITH),
        ("act", act),
    ]);
    let grants = Grants { http: Some(Arc::default()), ..Grants::default() };
    let component = sandbox.admit(GuestSpec { grants, ..spec() }, bytes).await.unwrap();
    let (reply, mut reports) = mpsc::channel(1);
    let events = vec![call_event(event("done", "shop-a"), 0)];
    let tenant = Tenant::from_name("shop-a".to_owned().into());
    let pool = component.pool();
    let tenancy = sandbox.tenancy(&tenant);
    sandbox.submit(GuestCall { id: CallId(1), component, tenancy, pool, events, reply }).unwrap();
    match reports.recv().await.unwrap().result {
        CallResult::Failed(outcome) => outcome,
        CallResult::Answered(answers) => match answers.into_iter().next() {
            Some((_, Answer::Ended(outcome))) => outcome,
            answer => panic!("{answer:?}"),
        },
    }
}

#[tokio::test]
async fn a_flood_of_requests_ends_at_its_limit() {
    let flood = "(loop $more (drop (call $request (call $fields))) (br $more))";
    let expected = Outcome::LimitExceeded { limit: LimitKind::HttpCalls, used: 9, allowed: 8 };
    assert_eq!(outcome(flood).await, expected);
}

#[tokio::test]
async fn a_flood_of_fields_ends_at_its_bound() {
    let flood = "(loop $more (drop (call $fields)) (br $more))";
    let Outcome::Trapped { code: TrapCode::Other, reason } = outcome(flood).await else { panic!() };
    assert!(reason.contains("held more than 256 requests"), "{reason}");
}

#[tokio::test]
async fn what_servers_have_can_be_imported_and_not_be_used() {
    let serve = "(drop (call $response (call $fields)))";
    let Outcome::Trapped { code: TrapCode::Other, reason } = outcome(serve).await else { panic!() };
    assert!(reason.contains("wasi:http/types#[constructor]outgoing-response"), "{reason}");
}

#[tokio::test]
async fn a_tenant_gets_half_of_the_threads_for_waiting() {
    let settings = SandboxSettings { workers: 1, waiting_workers: 4, ..SandboxSettings::default() };
    let sandbox = Sandbox::start(&settings).unwrap();
    let grants = Grants { http: Some(Arc::default()), ..Grants::default() };
    let import = r#"(import "wasi:http/outgoing-handler@0.2.4" (instance))"#;
    let bytes = actor(&[EXPORT_BATCH, ("import", import)]);
    let component = sandbox.admit(GuestSpec { grants, ..spec() }, bytes).await.unwrap();
    let (reply, mut reports) = mpsc::channel::<CallReport>(8);
    let call = |name: &str| GuestCall {
        id: CallId(1),
        component: Arc::clone(&component),
        tenancy: sandbox.tenancy(&tenant(name)),
        pool: Pool::Waiting,
        events: vec![call_event(event("loop", name), 0)],
        reply: reply.clone(),
    };
    let has_room = |pool, name: &str| sandbox.has_room_for(pool, &sandbox.tenancy(&tenant(name)));
    for name in ["a", "a", "b", "b", "c", "c", "d", "d"] {
        assert!(has_room(Pool::Waiting, name));
        assert_eq!(sandbox.submit(call(name)), Ok(()), "{name}");
        if name == "a" {
            continue;
        }
        assert!(!has_room(Pool::Waiting, "a"));
        assert_eq!(sandbox.submit(call("a")), Err(Busy));
    }
    assert_eq!(sandbox.submit(call("e")), Err(Busy), "all slots are taken");
    assert!(has_room(Pool::Computing, "a"));
    for _ in 0..8 {
        reports.recv().await.unwrap();
    }
    assert!(has_room(Pool::Waiting, "a"));
}

fn tenant(name: &str) -> Tenant {
    Tenant::from_name(name.to_owned().into())
}
