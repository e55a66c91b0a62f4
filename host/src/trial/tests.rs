//! Trials from outside, as those who write handlers use them.

use super::*;
use crate::sandbox::fixtures::{EXPORT_BATCH, EXPORT_HANDLER, actor};

fn trial() -> Trial {
    Trial::start(&SandboxSettings { workers: 1, ..SandboxSettings::default() }).unwrap()
}

fn handler() -> TrialHandler {
    TrialHandler::new(HandlerName::new("fixture").unwrap())
}

fn event(id: &str, tenant: &str) -> TrialEvent {
    TrialEvent { id: id.to_owned(), ..TrialEvent::default() }.of_tenant(tenant)
}

fn told(report: &TrialReport) -> Vec<(&str, &str)> {
    report.outcomes.iter().map(|outcome| (outcome.kind, &*outcome.reason)).collect()
}

#[tokio::test]
async fn every_event_has_an_outcome_and_tenants_never_share_a_call() {
    let trial = trial();
    let component = trial.admit(handler(), actor(&[EXPORT_HANDLER])).await.unwrap();
    assert_eq!(component.world(), World::Event);
    let events = [event("done", "a"), event("number", "a"), event("done", "a"), event("number", "b")];
    let report = component.call(&events).await;
    let not_run = "an earlier event of its lane or call failed";
    assert_eq!(told(&report), [("done", ""), ("reject", "A2"), ("not-run", not_run), ("reject", "A1")]);
    assert!(report.duration > Duration::ZERO && report.memory_peak_bytes == 2 << 16);
    assert_eq!(trial.idle_guests(), 2);
    drop(component);
    assert_eq!(trial.idle_guests(), 0);
}

#[tokio::test]
async fn a_call_that_fails_as_a_whole_fails_all_its_events() {
    let component = trial().admit(handler(), actor(&[EXPORT_BATCH])).await.unwrap();
    let report = component.call(&[event("trap", "a"), event("done", "a")]).await;
    let codes: Vec<_> = report.outcomes.iter().map(|outcome| (outcome.kind, outcome.code)).collect();
    assert_eq!(codes, [("trapped", "unreachable"); 2]);
    assert!(component.call(&[]).await.outcomes.is_empty());
}

#[tokio::test]
async fn emits_and_the_time_of_a_retry_come_through() {
    let component = trial().admit(handler(), actor(&[EXPORT_BATCH])).await.unwrap();
    let report = component.call(&[event("emit", "a")]).await;
    assert!(report.outcomes[0].is_done());
    assert_eq!(report.outcomes[0].emits[0].event_type, "order.shipped");
    let report = component.call(&[event("retry", "a")]).await;
    assert_eq!(report.outcomes[0].retry_after, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_takes_nothing_from_the_next() {
    let trial = trial();
    let component = trial.admit(handler(), actor(&[EXPORT_BATCH])).await.unwrap();
    for _ in 0..4 {
        let events = [event("loop", "a")];
        let mut call = std::pin::pin!(component.call(&events));
        let begun = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await;
        assert!(begun.is_pending());
    }
    assert!(component.call(&[event("done", "a")]).await.outcomes[0].is_done());
}
