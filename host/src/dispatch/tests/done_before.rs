//! Events that were handled before: settled without another run, with the emits of the copy that was handled.

use super::*;
use crate::identity::{EmitId, EventIdentity};
use crate::sandbox::DoneBefore;

fn before(identity: EventIdentity, emits: Vec<Emit>) -> CallResult {
    CallResult::Answered(vec![(0, Answer::DoneBefore(DoneBefore { identity, emits }))])
}

#[test]
fn what_was_handled_before_is_settled_once_the_emits_of_that_copy_are_confirmed() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a"]);
    let copy = stage.event("a");
    let identity = EventIdentity::of(&copy.message);

    let without_emits = stage.call();
    stage.end(&without_emits, before(identity, Vec::new()));
    assert_eq!(stage.dispatcher.counters().settled, 1);

    let with_emits = stage.call();
    stage.end(&with_emits, before(identity, vec![emit()]));
    let job = stage.dispatcher.next_job().unwrap();
    let name = HandlerName::new("everything").unwrap();
    assert_eq!(job.messages[0].1.id, EmitId::of(identity, &name, 0).as_u128());
    assert_eq!(stage.dispatcher.counters().settled, 1);
    stage.dispatcher.published(job.effect, stage.now);
    let counters = stage.dispatcher.counters();
    let tenant = &counters.tenants["a"];
    assert_eq!((counters.settled, tenant.deduplicated, tenant.handled, tenant.emitted), (2, 2, 0, 1));
}

#[test]
fn emits_of_what_was_handled_before_can_be_refused() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a"]);
    let call = stage.call();
    let identity = EventIdentity::of(&call.events[0].event.message);
    stage.end(&call, before(identity, vec![emit()]));
    let job = stage.dispatcher.next_job().unwrap();
    stage.dispatcher.refused(job.effect, "too large".to_owned(), stage.now);
    let tenant = &stage.dispatcher.counters().tenants["a"];
    assert_eq!((tenant.deduplicated, tenant.handled, tenant.dead_letters["emit-refused"]), (0, 0, 1));
}
