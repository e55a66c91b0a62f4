//! Fuzzes what guests answer: the input is the guest's memory, its answer included. Whatever stands there, each event
//! ends in an outcome that is not the host's fault, and emits that get through keep to their limits.
#![no_main]

use std::sync::LazyLock;

use guesthouse::GuestLimits;
use guesthouse::trial::{TrialComponent, TrialEvent, TrialOutcome};
use guesthouse_fuzz::{parrot, wait};
use libfuzzer_sys::fuzz_target;

/// Lanes of the events of a batch: two in one, two in lanes of their own.
const LANES: [u32; 4] = [0, 1, 0, 2];

static EVENT: LazyLock<TrialComponent> =
    LazyLock::new(|| parrot(r#"(export "guesthouse:handler/handler@0.1.0" (instance $handler))"#));
static BATCH: LazyLock<TrialComponent> =
    LazyLock::new(|| parrot(r#"(export "guesthouse:handler/batch@0.1.0" (instance $batch))"#));

fuzz_target!(|input: &[u8]| {
    let Some((world, memory)) = input.split_first() else { return };
    let event = TrialEvent::new("fuzz.event", memory.to_vec());
    let (component, events) = match world % 2 {
        0 => (&*EVENT, vec![event]),
        _ => (&*BATCH, LANES.map(|lane| TrialEvent { lane, ..event.clone() }).to_vec()),
    };
    let report = wait(component.call(&events));
    assert_eq!(report.outcomes.len(), events.len(), "one outcome per event");
    report.outcomes.iter().for_each(check);
});

fn check(outcome: &TrialOutcome) {
    assert_ne!(outcome.kind, "host-fault", "no answer is the host's fault: {outcome:?}");
    assert!(outcome.is_done() || outcome.emits.is_empty(), "only events that are done emit: {outcome:?}");
    let limits = GuestLimits::default();
    let emits = &outcome.emits;
    assert!(emits.len() <= limits.emits_max as usize, "{} emits", emits.len());
    let bytes: usize = emits.iter().map(|emit| emit.payload.len()).sum();
    assert!(bytes as u64 <= limits.emit_bytes_max, "{bytes} bytes of emits");
    for emit in emits {
        assert!((1..=255).contains(&emit.event_type.len()), "an emit of type `{}`", emit.event_type);
        assert!(
            emit.headers.iter().all(|(name, _)| !name.starts_with("gh-")),
            "a header of the host's: {emit:?}"
        );
    }
}
