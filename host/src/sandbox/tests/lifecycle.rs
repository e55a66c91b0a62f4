//! Guests that get ready before their first event, and those that cannot.

use std::collections::BTreeMap;

use super::*;

/// An actor that gets ready by `body`, which has the configuration's pairs and returns where its result is: at 3000
/// stands success, at 3016 the failure `A0 because`.
fn ready_by(export: (&str, &str), body: &str) -> Bytes {
    let lifecycle = format!(
        r#"{}
        (func $init (param "config" (list (tuple string string))) (result (result (error string)))
          (canon lift (core func $actor "init") (memory $mem) (realloc $realloc)))
        (instance $lifecycle (export "init" (func $init)))
        (export "guesthouse:handler/lifecycle@0.1.0" (instance $lifecycle))"#,
        export.1
    );
    let core = format!(
        r#"(data (i32.const 3016) "\01\00\00\00\00\04\00\00\0a\00\00\00")
        (func (export "init") (param $pairs i32) (param $count i32) (result i32) {body})"#
    );
    actor(&[("export", &lifecycle), ("core", &core)])
}

fn configured() -> GuestSpec {
    let values = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
    let config = Some(Arc::new(GuestConfig::new(values, BTreeMap::new())));
    GuestSpec { grants: Grants { config, ..Grants::default() }, ..spec() }
}

/// Ready when anything is configured; every guest counts its calls of init in the reason of `number`.
const WHEN_CONFIGURED: &str = "
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (select (i32.const 3000) (i32.const 3016) (local.get $count))";

#[tokio::test]
async fn a_guest_gets_ready_once_before_its_first_event() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let component = kit.sandbox.admit(configured(), ready_by(export, WHEN_CONFIGURED)).await.unwrap();
        for (tenant, expected) in [("shop-a", "A2"), ("shop-a", "A3"), ("shop-b", "A2")] {
            assert_eq!(kit.outcome(&component, tenant, "number").await, reject(expected), "{tenant}");
        }
    }
}

#[tokio::test]
async fn a_handler_whose_guests_cannot_get_ready_is_refused_in_their_words() {
    let kit = Kit::new();
    let start = "the component does not start under its limits: ";
    for (body, expected) in [
        (WHEN_CONFIGURED, "trapped: not-ready: the guest cannot get ready: A0 because"),
        ("(loop $for_ever (br $for_ever)) (i32.const 0)", "timed-out: no answer within 250ms"),
        ("unreachable", "trapped: unreachable: wasm trap: wasm `unreachable` instruction executed"),
        ("(i32.const -16)", "trapped: bad-answer: pointer out of bounds"),
    ] {
        let refused = kit.sandbox.admit(spec(), ready_by(EXPORT_BATCH, body)).await.unwrap_err().to_string();
        assert!(refused.starts_with(&format!("{start}{expected}")), "{refused}");
    }
}

#[tokio::test]
async fn a_guest_that_cannot_get_ready_later_fails_its_event_and_no_other() {
    let mut kit = Kit::new();
    for export in [EXPORT_HANDLER, EXPORT_BATCH] {
        let bytes = ready_by(export, WHEN_CONFIGURED);
        let mut component = kit.sandbox.admit(configured(), bytes).await.unwrap();
        Arc::get_mut(&mut component).unwrap().spec = Arc::new(spec());
        let outcome = kit.outcome(&component, "shop-a", "done").await;
        let Outcome::Trapped { code: TrapCode::NotReady, reason } = outcome else { panic!("{outcome}") };
        assert_eq!(reason, "the guest cannot get ready: A0 because");
        assert_eq!(kit.sandbox.idle_guests(), 0);
    }
}

#[tokio::test]
async fn another_init_than_the_contracts_is_refused() {
    let kit = Kit::new();
    let later = |version: &str| {
        let export = format!(
            r#"{} (instance $lifecycle) (export "guesthouse:handler/lifecycle@{version}" (instance $lifecycle))"#,
            EXPORT_BATCH.1
        );
        actor(&[("export", &export)])
    };
    for (version, expected) in [
        ("0.1.0", "`guesthouse:handler/lifecycle@0.1.0` of the component has another type"),
        ("0.1.9", "guesthouse:handler/lifecycle@0.1.9"),
        ("0.2.0", "guesthouse:handler/lifecycle@0.2.0"),
    ] {
        let refused = kit.sandbox.admit(spec(), later(version)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
