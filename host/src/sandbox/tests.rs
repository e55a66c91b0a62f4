//! The sandbox from outside: what a call of a guest comes to, whatever the guest does.

mod dedup;
mod grants;
mod lifecycle;
mod module;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::fixtures::{EXPORT_BATCH, EXPORT_HANDLER, actor, call_event, event, spec};
use super::*;
use crate::event::Tenant;
use crate::outcome::{LimitKind, Outcome, OutcomeKind, TrapCode};

struct Kit {
    sandbox: Sandbox,
    reply: mpsc::Sender<CallReport>,
    reports: mpsc::Receiver<CallReport>,
}

/// Kernel mappings of a guest with one memory.
const MAPPINGS: usize = 3;

impl Kit {
    fn new() -> Self {
        Self::with_room(GuestRoom::of_process())
    }

    fn with_room(room: GuestRoom) -> Self {
        let settings = SandboxSettings { workers: 1, ..SandboxSettings::default() };
        let sandbox = Sandbox::start_with_room(&settings, room).unwrap();
        let (reply, reports) = mpsc::channel(sandbox.call_slots(Pool::Computing));
        Self { sandbox, reply, reports }
    }

    async fn admit(&self, bytes: Bytes) -> Arc<AdmittedComponent> {
        self.sandbox.admit(spec(), bytes).await.unwrap()
    }

    fn call(&self, component: &Arc<AdmittedComponent>, tenant: &str, events: &[(&str, u32)]) -> GuestCall {
        let events = events.iter().map(|(id, lane)| call_event(event(id, tenant), *lane)).collect();
        let tenant = Tenant::from_name(tenant.to_owned().into());
        GuestCall {
            id: CallId(7),
            component: Arc::clone(component),
            pool: component.pool(),
            tenancy: self.sandbox.tenancy(&tenant),
            events,
            reply: self.reply.clone(),
        }
    }

    async fn run(
        &mut self,
        component: &Arc<AdmittedComponent>,
        tenant: &str,
        events: &[(&str, u32)],
    ) -> CallReport {
        self.sandbox.submit(self.call(component, tenant, events)).unwrap();
        self.reports.recv().await.unwrap()
    }

    /// What one event came to, in either world.
    async fn outcome(&mut self, component: &Arc<AdmittedComponent>, tenant: &str, id: &str) -> Outcome {
        match self.run(component, tenant, &[(id, 0)]).await.result {
            CallResult::Failed(outcome) => outcome,
            CallResult::Answered(answers) => match answers.into_iter().next() {
                None => Outcome::Done(Vec::new()),
                Some((0, Answer::Ended(Outcome::Done(emits)))) => Outcome::Done(emits),
                Some((0, Answer::Ended(outcome))) => outcome,
                other => panic!("{other:?}"),
            },
        }
    }
}

fn reject(reason: &str) -> Outcome {
    Outcome::Reject { reason: reason.to_owned() }
}

#[tokio::test]
async fn answers_of_both_worlds_come_through() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.admit(actor(&[export])).await;
        assert_eq!(kit.outcome(&component, "shop-a", "done").await, Outcome::Done(Vec::new()));
        let retry =
            Outcome::Retry { after: Some(Duration::from_millis(1500)), reason: "A1 because".to_owned() };
        assert_eq!(kit.outcome(&component, "shop-b", "retry").await, retry);
        assert_eq!(kit.outcome(&component, "shop-c", "number").await, reject("A1"));
        let Outcome::Done(emits) = kit.outcome(&component, "shop-a", "emit").await else { panic!("no emit") };
        assert_eq!((emits.len(), &*emits[0].event_type, emits[0].schema_version), (1, "order.shipped", 3));
        assert_eq!(emits[0].payload, "{\"ok\":true}");
    }
}

#[tokio::test]
async fn a_guest_that_stops_is_named_and_replaced() {
    let trapped = |code: TrapCode| (OutcomeKind::Trapped, code.as_str());
    let cases = [
        ("trap", trapped(TrapCode::Unreachable)),
        ("loop", (OutcomeKind::TimedOut, "")),
        ("memory", (OutcomeKind::OutOfMemory, "")),
        ("zero", trapped(TrapCode::Arithmetic)),
        ("stack", trapped(TrapCode::StackOverflow)),
        ("out of bounds", trapped(TrapCode::OutOfBounds)),
        ("indirect", trapped(TrapCode::IndirectCall)),
        ("bad answer", trapped(TrapCode::BadAnswer)),
        ("unreadable text", trapped(TrapCode::BadAnswer)),
        ("flood", (OutcomeKind::LimitExceeded, LimitKind::AnswerBytes.as_str())),
    ];
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.admit(actor(&[export])).await;
        for (id, expected) in cases {
            assert_eq!(kit.outcome(&component, "shop-a", "number").await, reject("A1"), "before {id}");
            let outcome = kit.outcome(&component, "shop-a", id).await;
            assert_eq!((outcome.kind(), outcome.code()), expected, "{id}: {outcome}");
        }
    }
}

#[tokio::test]
async fn memory_that_was_refused_is_told_with_its_size_and_may_be_coped_with() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    let outcome = kit.outcome(&component, "shop-a", "memory").await;
    let Outcome::OutOfMemory { requested_bytes, allowed_bytes } = outcome else { panic!("{outcome}") };
    assert_eq!(allowed_bytes, 64 << 20);
    assert!(requested_bytes > allowed_bytes && requested_bytes <= allowed_bytes + (1 << 20));
    assert_eq!(kit.outcome(&component, "shop-a", "get along").await, Outcome::Done(Vec::new()));
    let outcome = kit.outcome(&component, "shop-a", "trap").await;
    assert_eq!(outcome.code(), "unreachable", "an earlier refusal is not the reason: {outcome}");
}

#[tokio::test]
async fn the_report_tells_memory_and_time() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    let report = kit.run(&component, "shop-a", &[("done", 0)]).await;
    assert_eq!((report.id, report.memory_peak_bytes), (CallId(7), 2 << 16));
    let report = kit.run(&component, "shop-a", &[("get along", 0)]).await;
    assert!(report.memory_peak_bytes > 60 << 20 && report.memory_peak_bytes <= 64 << 20);
    let report = kit.run(&component, "shop-a", &[("loop", 0)]).await;
    assert!(report.duration >= Duration::from_millis(250));
}

#[tokio::test]
async fn the_reason_of_a_trap_names_the_functions() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    let outcome = kit.outcome(&component, "shop-a", "trap").await;
    let Outcome::Trapped { reason, .. } = outcome else { panic!("{outcome}") };
    assert_eq!(reason, "wasm trap: wasm `unreachable` instruction executed; in act");
}

#[tokio::test]
async fn loops_outside_of_the_handler_are_stopped_too() {
    let mut kit = Kit::new();
    let endless = "(loop $for_ever (br $for_ever))";
    let component = kit.admit(actor(&[EXPORT_BATCH, ("realloc", endless)])).await;
    assert_eq!(kit.outcome(&component, "shop-a", "done").await.kind(), OutcomeKind::TimedOut);

    let after = format!(r#"(func (export "after") (param i32) {endless})"#);
    let lift = r#"(post-return (core func $actor "after"))"#;
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.admit(actor(&[export, ("core", &after), ("lift", lift)])).await;
        // The answer was there already. It does not count: an event has one outcome, and this is it.
        assert_eq!(kit.outcome(&component, "shop-a", "emit").await.kind(), OutcomeKind::TimedOut);
    }

    let start = format!("(func $start {endless}) (start $start)");
    let refused = kit.sandbox.admit(spec(), actor(&[EXPORT_BATCH, ("core", &start)])).await.unwrap_err();
    let refused = refused.to_string();
    let expected =
        "the component does not start under its limits: timed-out: no answer within 250ms: stopped after ";
    assert!(refused.starts_with(expected), "{refused}");
}

#[tokio::test]
async fn limits_above_the_ceilings_are_refused() {
    let kit = Kit::new();
    let limits = GuestLimits { emits_max: 10_001, ..spec().limits };
    let refused =
        kit.sandbox.admit(GuestSpec { limits, ..spec() }, actor(&[EXPORT_BATCH])).await.unwrap_err();
    let expected = "the handler's limit `emits_max` is 10001, the ceiling for all handlers is 10000; \
                    lower the limit or raise the ceiling";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn an_answer_has_its_own_limit_when_that_is_lower() {
    let mut kit = Kit::new();
    let limits = GuestLimits { answer_bytes_max: 1 << 10, ..spec().limits };
    let component = kit.sandbox.admit(GuestSpec { limits, ..spec() }, actor(&[EXPORT_BATCH])).await.unwrap();
    let exceeded = Outcome::LimitExceeded { limit: LimitKind::AnswerBytes, used: 1025, allowed: 1024 };
    assert_eq!(kit.outcome(&component, "shop-a", "flood").await, exceeded);
    assert_eq!(kit.outcome(&component, "shop-a", "number").await, reject("A1"));
}

#[tokio::test]
async fn a_guest_is_reused_by_its_tenant_only() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.admit(actor(&[export])).await;
        let other = kit.admit(actor(&[export])).await;
        for (component, tenant, expected) in [
            (&component, "shop-a", "A1"),
            (&component, "shop-a", "A2"),
            (&component, "shop-b", "A1"),
            (&component, Tenant::PLATFORM_ID, "A1"),
            (&other, "shop-a", "A1"),
            (&component, "shop-a", "A3"),
        ] {
            assert_eq!(kit.outcome(component, tenant, "number").await, reject(expected), "{tenant}");
        }
        assert_eq!(kit.sandbox.idle_guests(), 4);
        drop((component, other));
        assert_eq!(kit.sandbox.idle_guests(), 0, "guests of a component that is gone");
    }
}

#[tokio::test]
async fn a_tenant_with_too_many_idle_guests_makes_room_with_its_own() {
    let mut kit = Kit::with_room(GuestRoom { tenant_mappings_max: 4 * MAPPINGS, ..GuestRoom::of_process() });
    let mut components = Vec::new();
    for _ in 0..5 {
        components.push(kit.admit(actor(&[EXPORT_BATCH])).await);
    }
    let (first, second) = (&components[0], &components[1]);
    assert_eq!(kit.outcome(first, "shop-b", "number").await, reject("A1"));
    for component in &components {
        assert_eq!(kit.outcome(component, "shop-a", "number").await, reject("A1"));
    }
    assert_eq!(kit.sandbox.idle_guests(), 5, "four of one tenant and one of another");
    assert_eq!(kit.outcome(first, "shop-b", "number").await, reject("A2"), "another tenant's guest");
    assert_eq!(kit.outcome(second, "shop-a", "number").await, reject("A2"));
    assert_eq!(kit.outcome(first, "shop-a", "number").await, reject("A1"), "the oldest of its tenant");
}

/// Tenants that take turns do not lose all guests when they are a few more than there is room for.
#[tokio::test]
async fn when_all_tenants_have_too_many_idle_guests_old_ones_go_one_by_one() {
    let mut kit = Kit::with_room(GuestRoom { mappings_max: 32 * MAPPINGS, ..GuestRoom::of_process() });
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    let mut reused = 0;
    for turn in 0..20 {
        for tenant in 0..36 {
            let outcome = kit.outcome(&component, &format!("shop-{tenant}"), "number").await;
            reused += usize::from(turn > 0 && outcome != reject("A1"));
            assert!(kit.sandbox.idle_guests() <= 32);
        }
    }
    assert_eq!(kit.sandbox.idle_guests(), 32);
    // The oldest of all would always be the one whose turn is next: none would ever be found again.
    assert!(reused > 19 * 36 * 2 / 3, "{reused} of {} found their guest", 19 * 36);
    let newcomer = async |kit: &mut Kit| kit.outcome(&component, "shop-new", "number").await == reject("A1");
    let mut starts = 0;
    while newcomer(&mut kit).await {
        starts += 1;
        assert!(starts < 500, "a tenant that comes later and has much to do gets a place");
    }
}

#[tokio::test]
async fn idle_guests_go_when_too_much_memory_is_resident() {
    let room = GuestRoom { resident_bytes_max: 0, look_every_bytes: 1, ..GuestRoom::of_process() };
    let mut kit = Kit::with_room(room);
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    for tenant in 0..40 {
        assert_eq!(kit.outcome(&component, &format!("shop-{tenant}"), "number").await, reject("A1"));
    }
    assert_eq!(kit.sandbox.idle_guests(), 0);
}

#[tokio::test]
async fn a_guest_lives_for_ten_thousand_events() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    let batch: Vec<_> = (0..256).map(|lane| ("done", lane)).collect();
    for _ in 0..39 {
        kit.run(&component, "shop-a", &batch).await;
    }
    assert_eq!(kit.sandbox.idle_guests(), 1);
    kit.run(&component, "shop-a", &batch[..15]).await;
    assert_eq!(kit.sandbox.idle_guests(), 1, "after 9,999 events");
    kit.run(&component, "shop-a", &batch[..1]).await;
    assert_eq!(kit.sandbox.idle_guests(), 0, "after 10,000 events");
}

#[tokio::test]
async fn in_fresh_isolation_every_event_gets_a_guest_of_its_own() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let spec = GuestSpec { isolation: Isolation::Fresh, ..spec() };
        let component = kit.sandbox.admit(spec, actor(&[export])).await.unwrap();
        let report = kit.run(&component, "shop-a", &[("number", 0), ("done", 1), ("number", 2)]).await;
        let CallResult::Answered(answers) = report.result else { panic!("{report:?}") };
        assert_eq!(answers, [(0, Answer::Ended(reject("A1"))), (2, Answer::Ended(reject("A1")))]);
        assert_eq!(kit.sandbox.idle_guests(), 0);
    }
}

#[tokio::test]
async fn one_by_one_a_failure_ends_its_lane_and_a_stop_ends_the_call() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_HANDLER])).await;
    let events =
        [("done", 1), ("number", 1), ("done", 1), ("emit", 2), ("emit", 2), ("trap", 3), ("done", 4)];
    let report = kit.run(&component, "shop-a", &events).await;
    let CallResult::Answered(answers) = report.result else { panic!("{report:?}") };
    let positions: Vec<_> = answers.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    assert_eq!(answers[0].1, Answer::Ended(reject("A2")));
    assert_eq!(answers[1].1, Answer::NotRun);
    for emitted in &answers[2..4] {
        assert!(matches!(&emitted.1, Answer::Ended(Outcome::Done(emits)) if emits.len() == 1));
    }
    assert!(matches!(&answers[4].1, Answer::Ended(outcome) if outcome.code() == "unreachable"));
    assert_eq!(answers[5].1, Answer::NotRun);
}

#[tokio::test]
async fn a_batch_that_the_guest_could_not_hold_is_out_of_memory() {
    let mut kit = Kit::new();
    let spec = GuestSpec { limits: GuestLimits { memory_bytes_max: 1 << 18, ..spec().limits }, ..spec() };
    let component = kit.sandbox.admit(spec, actor(&[EXPORT_BATCH])).await.unwrap();
    let mut large = event("done", "shop-a");
    large.payload = vec![0; 1 << 19].into();
    let mut call = kit.call(&component, "shop-a", &[]);
    call.events.push(call_event(large, 0));
    kit.sandbox.submit(call).unwrap();
    let report = kit.reports.recv().await.unwrap();
    let CallResult::Failed(outcome) = report.result else { panic!("{report:?}") };
    assert_eq!(outcome.kind(), OutcomeKind::OutOfMemory);
}

#[tokio::test]
async fn exit_is_a_stop_and_not_an_answer() {
    let mut kit = Kit::new();
    for (status, expected) in [(0, "exit status 0"), (1, "exit status 1")] {
        let act = format!("(call $exit (i32.const {status}))");
        let component = kit
            .admit(actor(&[
                EXPORT_BATCH,
                (
                    "import",
                    r#"(import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))"#,
                ),
                ("lower", r#"(core func $exit-lowered (canon lower (func $exit "exit")))"#),
                ("core-import", r#"(import "exit" "exit" (func $exit (param i32)))"#),
                ("core-with", r#"(with "exit" (instance (export "exit" (func $exit-lowered))))"#),
                ("act", &act),
            ]))
            .await;
        let outcome = kit.outcome(&component, "shop-a", "done").await;
        let Outcome::Trapped { code: TrapCode::GuestExit, reason } = outcome else { panic!("{outcome}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn slots_are_bounded_and_a_shutdown_answers_every_call() {
    let mut kit = Kit::new();
    let component = kit.admit(actor(&[EXPORT_BATCH])).await;
    assert_eq!(kit.sandbox.call_slots(Pool::Computing), 2);
    for _ in 0..2 {
        kit.sandbox.submit(kit.call(&component, "shop-a", &[("loop", 0)])).unwrap();
    }
    assert_eq!(kit.sandbox.submit(kit.call(&component, "shop-a", &[("done", 0)])), Err(Busy));
    kit.sandbox.shutdown();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let report = kit.reports.try_recv().expect("a report for every call that was taken");
        let CallResult::Failed(outcome) = report.result else { panic!("{report:?}") };
        kinds.push(outcome.kind());
    }
    // The second call was given back before it ran, unless the first was over by then.
    assert!(kinds.contains(&OutcomeKind::HostFault) || kinds == [OutcomeKind::TimedOut; 2], "{kinds:?}");
    assert_eq!(kit.sandbox.submit(kit.call(&component, "shop-a", &[("done", 0)])), Err(Busy));
    kit.sandbox.shutdown();
}

#[tokio::test]
async fn a_call_without_events_is_answered() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.admit(actor(&[export])).await;
        let report = kit.run(&component, "shop-a", &[]).await;
        assert!(matches!(report.result, CallResult::Answered(answers) if answers.is_empty()));
    }
}

#[tokio::test]
async fn what_a_guest_asks_of_the_network_is_denied_and_it_goes_on() {
    let import = r#"
        (import "wasi:sockets/network@0.2.6" (instance $network
            (export "network" (type (sub resource)))
            (type $code (enum "unknown" "access-denied"))
            (export "error-code" (type (eq $code)))))
        (alias export $network "network" (type $network-type))
        (alias export $network "error-code" (type $code))
        (import "wasi:sockets/instance-network@0.2.6" (instance $default
            (alias outer 1 $network-type (type $outer))
            (export "network" (type $network (eq $outer)))
            (export "instance-network" (func (result (own $network))))))
        (import "wasi:sockets/ip-name-lookup@0.2.6" (instance $lookup
            (export "resolve-address-stream" (type $stream (sub resource)))
            (alias outer 1 $network-type (type $outer))
            (export "network" (type $network (eq $outer)))
            (alias outer 1 $code (type $outer-code))
            (export "error-code" (type $code (eq $outer-code)))
            (export "resolve-addresses" (func
                (param "network" (borrow $network)) (param "name" string)
                (result (result (own $stream) (error $code)))))))"#;
    let lower = r#"
        (core func $default-lowered (canon lower (func $default "instance-network")))
        (core func $resolve-lowered (canon lower (func $lookup "resolve-addresses") (memory $mem)))"#;
    let core_import = r#"
        (import "net" "default" (func $default (result i32)))
        (import "net" "resolve" (func $resolve (param i32 i32 i32 i32)))"#;
    let core_with = r#"
        (with "net" (instance
            (export "default" (func $default-lowered)) (export "resolve" (func $resolve-lowered))))"#;
    // Traps unless the answer is the error with the second code.
    let act = "
        (call $resolve (call $default) (i32.const 1040) (i32.const 13) (i32.const 3072))
        (if (i32.ne (i32.load8_u (i32.const 3072)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 3076)) (i32.const 1)) (then unreachable))";
    let mut kit = Kit::new();
    let component = kit
        .admit(actor(&[
            EXPORT_BATCH,
            ("import", import),
            ("lower", lower),
            ("core-import", core_import),
            ("core-with", core_with),
            ("act", act),
        ]))
        .await;
    assert_eq!(kit.outcome(&component, "shop-a", "done").await, Outcome::Done(Vec::new()));
}
