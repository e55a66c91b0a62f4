//! What guests find behind the interfaces that are granted, and what they find without.

use super::*;

/// An actor that calls an interface before it answers. `$memory` and `$mem` are there, `$realloc-of-host` is made.
fn caller(import: &str, lower: &str, core_import: &str, core_with: &str, act: &str) -> Bytes {
    let lower = format!(r#"(alias core export $memory "realloc" (core func $realloc-of-host)) {lower}"#);
    actor(&[
        EXPORT_BATCH,
        ("import", import),
        ("lower", &lower),
        ("core-import", core_import),
        ("core-with", core_with),
        ("act", act),
    ])
}

async fn outcome(kit: &mut Kit, grants: Grants, component: Bytes) -> Outcome {
    let component = kit.sandbox.admit(GuestSpec { grants, ..spec() }, component).await.unwrap();
    kit.outcome(&component, "shop-a", "done").await
}

async fn refusal(kit: &Kit, component: Bytes) -> String {
    kit.sandbox.admit(spec(), component).await.unwrap_err().to_string()
}

const CONFIG_IMPORT: &str = r#"
    (import "wasi:config/store@0.2.0-rc.1" (instance $config
        (type $defined (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $defined)))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))"#;
const CONFIG_LOWER: &str =
    r#"(core func $get-lowered (canon lower (func $config "get") (memory $mem) (realloc $realloc-of-host)))"#;
const CONFIG_CORE_IMPORT: &str = r#"(import "config" "get" (func $get (param i32 i32 i32)))"#;
const CONFIG_CORE_WITH: &str = r#"(with "config" (instance (export "get" (func $get-lowered))))"#;

/// Traps unless the value under the key `order.shipped` is `hello`.
fn reader_of_config() -> Bytes {
    caller(
        CONFIG_IMPORT,
        CONFIG_LOWER,
        CONFIG_CORE_IMPORT,
        CONFIG_CORE_WITH,
        "(call $get (i32.const 1040) (i32.const 13) (i32.const 3072))
         (if (i32.load8_u (i32.const 3072)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 3076)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 3084)) (i32.const 5)) (then unreachable))
         (if (i32.ne (i32.load (i32.load (i32.const 3080))) (i32.const 0x6c6c6568)) (then unreachable))",
    )
}

#[tokio::test]
async fn guests_read_what_is_configured_for_their_handler() {
    let mut kit = Kit::new();
    let config = |values: &[(&str, &str)], secrets: &[(&str, &str)]| {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let secrets = secrets.iter().map(|(key, value)| ((*key).to_owned(), (*value).into()));
        let config = GuestConfig::new(values.collect(), secrets.collect());
        Grants { config: Some(Arc::new(config)), ..Grants::default() }
    };
    let done = Outcome::Done(Vec::new());
    let value = config(&[("order.shipped", "hello")], &[]);
    assert_eq!(outcome(&mut kit, value, reader_of_config()).await, done);
    let secret = config(&[("order.shipped", "shadowed")], &[("order.shipped", "hello")]);
    assert_eq!(outcome(&mut kit, secret, reader_of_config()).await, done);
    let other = config(&[("order", "hello")], &[]);
    assert_eq!(outcome(&mut kit, other, reader_of_config()).await.code(), "unreachable");
    let refused = refusal(&kit, reader_of_config()).await;
    assert!(refused.contains("add `config` to the handler's grants"), "{refused}");
}

/// Asks for random bytes, and traps when their number is not what was asked for.
fn drawer(count: u64) -> Bytes {
    caller(
        r#"(import "wasi:random/random@0.2.3" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#,
        r#"(core func $draw-lowered
            (canon lower (func $random "get-random-bytes") (memory $mem) (realloc $realloc-of-host)))"#,
        r#"(import "random" "draw" (func $draw (param i64 i32)))"#,
        r#"(with "random" (instance (export "draw" (func $draw-lowered))))"#,
        &format!(
            "(call $draw (i64.const {count}) (i32.const 3072))
             (if (i32.ne (i32.load (i32.const 3076)) (i32.const {count})) (then unreachable))"
        ),
    )
}

#[tokio::test]
async fn randomness_is_granted_and_bounded() {
    let mut kit = Kit::new();
    let granted = || Grants { random: true, ..Grants::default() };
    assert_eq!(outcome(&mut kit, granted(), drawer(32)).await, Outcome::Done(Vec::new()));
    let refused = outcome(&mut kit, granted(), drawer(65_537)).await;
    let Outcome::Trapped { code: TrapCode::Other, reason } = refused else { panic!("{refused}") };
    assert_eq!(reason, "the guest asked for 65537 random bytes at once, may have 65536; in act");
    let refused = refusal(&kit, drawer(1)).await;
    assert!(refused.contains("add `random` to the handler's grants"), "{refused}");
}

/// Traps unless it is the second of the event, and the steady clock stands at zero.
fn watcher() -> Bytes {
    caller(
        r#"(import "wasi:clocks/wall-clock@0.2.3" (instance $wall
            (type $defined (record (field "seconds" u64) (field "nanoseconds" u32)))
            (export "datetime" (type $datetime (eq $defined)))
            (export "now" (func (result $datetime)))))
           (import "wasi:clocks/monotonic-clock@0.2.3" (instance $steady (export "now" (func (result u64)))))"#,
        r#"(core func $wall-lowered (canon lower (func $wall "now") (memory $mem)))
           (core func $steady-lowered (canon lower (func $steady "now")))"#,
        r#"(import "clocks" "wall" (func $wall (param i32)))
           (import "clocks" "steady" (func $steady (result i64)))"#,
        r#"(with "clocks" (instance
            (export "wall" (func $wall-lowered)) (export "steady" (func $steady-lowered))))"#,
        "(call $wall (i32.const 3072))
         (if (i64.ne (i64.load (i32.const 3072)) (i64.const 1700000000)) (then unreachable))
         (if (i64.ne (call $steady) (i64.const 0)) (then unreachable))",
    )
}

#[tokio::test]
async fn without_the_clocks_it_is_the_time_of_the_event() {
    let mut kit = Kit::new();
    assert_eq!(outcome(&mut kit, Grants::default(), watcher()).await, Outcome::Done(Vec::new()));
    let granted = Grants { clocks: true, ..Grants::default() };
    assert_eq!(outcome(&mut kit, granted, watcher()).await.code(), "unreachable");
}

#[tokio::test]
async fn a_secret_that_a_guest_gives_as_its_reason_is_not_told() {
    let mut kit = Kit::new();
    let reader = caller(
        CONFIG_IMPORT,
        CONFIG_LOWER,
        CONFIG_CORE_IMPORT,
        CONFIG_CORE_WITH,
        // Makes the ten bytes of the value the reason of a retry.
        "(call $get (i32.const 1040) (i32.const 13) (i32.const 3072))
         (memory.copy (i32.const 1024) (i32.load (i32.const 3080)) (i32.const 10))
         (return (i32.const 0x72))",
    );
    let config = |values: &[&str], secrets: &[&str]| {
        let key = || "order.shipped".to_owned();
        let values = values.iter().map(|value| (key(), (*value).to_owned())).collect();
        let secrets = secrets.iter().map(|secret| (key(), (*secret).into())).collect();
        Grants { config: Some(Arc::new(GuestConfig::new(values, secrets))), ..Grants::default() }
    };
    for (grants, expected) in [
        (config(&["hunter2-hu"], &[]), "hunter2-hu"),
        (config(&[], &["hunter2-hu"]), "[secret order.shipped]"),
    ] {
        let outcome = outcome(&mut kit, grants, reader.clone()).await;
        let Outcome::Retry { reason, .. } = outcome else { panic!("{outcome}") };
        assert_eq!(reason, expected);
    }
}
