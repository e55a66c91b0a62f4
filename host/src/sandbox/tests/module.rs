//! Components of `rustok:module`, and those that only look like it.

use super::*;

/// A component that exports `run` of a type, and does nothing in it.
fn runner(ty: &str, result: &str) -> Bytes {
    let text = format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "run") (param i32 i32) (result i32) {result}))
            (core instance $i (instantiate $m))
            (func (export "run") {ty}
                (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    );
    crate::sandbox::fixtures::component(&text)
}

const RUN: &str = r#"(param "input" string) (result (result string (error string)))"#;

#[tokio::test]
async fn a_module_needs_nothing_but_run() {
    let mut kit = Kit::new();
    let component = kit.admit(runner(RUN, "(i32.const 0)")).await;
    assert_eq!(component.world(), World::Module);
    assert_eq!(kit.outcome(&component, "shop-a", "done").await, Outcome::Done(Vec::new()));
    let component = kit.admit(runner(RUN, "unreachable")).await;
    assert_eq!(kit.outcome(&component, "shop-a", "done").await.code(), "unreachable");
}

#[tokio::test]
async fn another_run_is_refused() {
    let kit = Kit::new();
    let other = runner(r#"(param "input" string) (result string)"#, "(i32.const 0)");
    let refused = kit.sandbox.admit(spec(), other).await.unwrap_err().to_string();
    assert!(refused.contains("expected the one of `rustok:module@1.0.0`"), "{refused}");
}
