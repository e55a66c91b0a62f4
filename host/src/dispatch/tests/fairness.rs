//! Tenants beside each other: how long one waits for the others.

use super::*;

/// A stage with two handlers for everything and these weights.
fn stage(weights: &[(&str, u32)]) -> Stage {
    let weigh = |(name, weight): &(&str, u32)| (Tenant::Named((*name).into()), *weight);
    let tenant_weights = weights.iter().map(weigh).collect();
    let settings = DispatchSettings { tenant_weights, ..DispatchSettings::default() };
    let everything = || (handler(OrderBy::None, 4), Pool::Waiting);
    Stage::bounded(vec![everything(), everything()], settings)
}

/// Makes calls, one after another, and tells for whom they were.
fn calls(stage: &mut Stage, count: usize) -> Vec<String> {
    let one = |_| {
        let call = stage.next_call(Pool::Waiting).expect("there is more to do");
        stage.end(&call, CallResult::Answered(Vec::new()));
        call.tenant.as_str().to_owned()
    };
    (0..count).map(one).collect()
}

#[test]
fn a_flood_delays_the_others_by_its_turns_alone() {
    let others = ["b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut stage = stage(&[]);
    stage.read(&["flood"; 1_000]);
    calls(&mut stage, 10);
    for round in 0..3 {
        stage.read(&others);
        // Each event is for both handlers. The calls of new handlers are of one event.
        let mut turns = calls(&mut stage, 4 * others.len());
        let flooded = turns.iter().filter(|tenant| *tenant == "flood").count();
        turns.sort_unstable();
        turns.dedup();
        assert_eq!((turns.len(), flooded <= 2 * others.len()), (10, true), "round {round}");
    }
    assert_eq!(stage.dispatcher.counters().tenants["j"].handled, 6);
}

#[test]
fn weights_share_the_calls_out() {
    let mut stage = stage(&[("a", 3)]);
    stage.read(&["a"; 500]);
    stage.read(&["b"; 500]);
    calls(&mut stage, 20);
    let before = stage.dispatcher.counters();
    let calls = calls(&mut stage, 80);
    assert_eq!(calls.iter().filter(|tenant| *tenant == "a").count(), 60);
    let after = stage.dispatcher.counters();
    let handled = ["a", "b"].map(|name| after.tenants[name].handled - before.tenants[name].handled);
    assert_eq!(handled[0], 3 * handled[1], "{handled:?}");
}
