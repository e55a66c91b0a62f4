//! Configurations as editors and shells leave them, and mistakes as a newcomer makes and reads them.

use std::os::unix::ffi::OsStringExt;

use super::*;

/// What no text for an operator may speak of: the libraries that read for us, and the types of this program.
const FOREIGN_WORDS: [&str; 14] = [
    "serde",
    "Policy",
    "Options",
    "Option<",
    "struct ",
    "enum ",
    "::",
    "visitor",
    "deserialize",
    "unit variant",
    "mapping",
    "budget",
    "u64",
    "unwrap",
];

fn refusal(text: &str) -> String {
    parse(text, &[]).unwrap_err().to_string()
}

#[test]
fn byte_order_marks_are_no_part_of_a_configuration() {
    for text in [
        "\u{feff}dispatch: {drain: 7s}\n",
        "\u{feff}---\n\u{feff}dispatch: {drain: 7s}\n",
        "---\r\n\u{feff}dispatch: {drain: 7s}\r\n",
        "# put together\n---\n\n\u{feff}dispatch: {drain: 7s}",
    ] {
        assert_eq!(parse(text, &[]).unwrap().dispatch.drain, Duration::from_secs(7), "{text:?}");
    }
    let found = mistake("---\n\u{feff}dispatch: {drain: soon}");
    assert!(found.starts_with("line 2: dispatch.drain: `soon`"), "{found}");
}

#[test]
fn a_file_of_another_encoding_is_named_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.yaml");
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Config::load(&file, []).unwrap_err().to_string()
    };
    let shown = file.display();
    let utf16: Vec<u8> = "\u{feff}events: {}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(load(&utf16), format!("the configuration {shown} is UTF-16; save it as UTF-8"));
    let expected = "is not UTF-8: line 2 has the byte 0xe9 at column 3; save it as UTF-8";
    assert_eq!(load(b"events:\n  \xe9: 1\n"), format!("the configuration {shown} {expected}"));
}

#[test]
fn a_secret_from_an_editor_is_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let text = "events: {iggy: {mode: remote, remote: {password_file: pw}}}";
    std::fs::write(dir.path().join("pw"), "\u{feff}sesame\r\n").unwrap();
    let config = Config::parse(text, dir.path(), []).unwrap();
    assert_eq!(config.connector.remote_password.unwrap().expose_secret(), "sesame");
    let utf16: Vec<u8> = "\u{feff}sesame".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(dir.path().join("pw"), utf16).unwrap();
    let found = Config::parse(text, dir.path(), []).unwrap_err().to_string();
    assert!(found.contains("pw is UTF-16; save it as UTF-8"), "{found}");
    std::fs::write(dir.path().join("pw"), b"sesame\xff").unwrap();
    let found = Config::parse(text, dir.path(), []).unwrap_err().to_string();
    assert!(found.contains("is not UTF-8; save it as UTF-8") && !found.contains("0xff"), "{found}");
}

#[test]
fn keys_that_are_written_twice_are_named_with_both_lines() {
    let text =
        "events:\n  iggy:\n    mode: embedded\n    mode: remote\ndispatch:\n  drain: 1s\n  drain: 2s\n";
    assert_eq!(
        mistakes(text, &[]),
        [
            "line 4: events.iggy.mode: is written a second time, first on line 3; keep one of them",
            "line 7: dispatch.drain: is written a second time, first on line 6; keep one of them",
        ]
    );
    let found = refusal("handlers:\n- name: h\n  config:\n    7: a\n    7: b\n");
    assert!(found.contains('7') && found.contains("line 5") && found.contains("keep one of them"), "{found}");
}

#[test]
fn a_variable_that_is_no_text_is_said_to_be_set() {
    let bad = || std::ffi::OsString::from_vec(vec![b'x', 0xff]);
    let read = |text: &str, name: &str| {
        Config::parse(text, Path::new(""), [(name.into(), bad())]).unwrap_err().to_string()
    };
    let found = read("events: {iggy: {mode: remote, remote: {password: '${PW}'}}}", "PW");
    assert!(
        found.contains("remote.password: the environment variable `PW` is set, but its value is not UTF-8"),
        "{found}"
    );
    let found = read("", "GUESTHOUSE__DISPATCH__DRAIN");
    assert!(
        found.contains("variable GUESTHOUSE__DISPATCH__DRAIN: dispatch.drain: is set, but it is not UTF-8"),
        "{found}"
    );
    let found = read(
        "handlers: [{name: h, component: h.wasm, events: ['*'], grants: [config], secrets: {t: {env: PW}}}]",
        "PW",
    );
    assert!(found.contains("is set, but its value is not UTF-8"), "{found}");
    assert!(Config::parse("", Path::new(""), [("UNRELATED".into(), bad())]).is_ok());
}

#[test]
fn names_that_are_keys_take_variables_too() {
    let text = "dispatch: {tenant_weights: {'${TENANT}': 3, '$${x}': 2}}";
    let weights = parse(text, &[("TENANT", "acme")]).unwrap().dispatch.tenant_weights;
    let weights: Vec<_> = weights.iter().map(|(tenant, weight)| (tenant.as_str(), *weight)).collect();
    assert_eq!(weights, [("${x}", 2), ("acme", 3)]);
}

/// Each mistake with what its text must say. All of them are read by somebody who knows no Rust.
#[test]
fn typical_mistakes_are_told_to_people() {
    for (text, expected) in [
        ("events: [", "line "),
        ("events: {iggy: {mode: embedded}", "line "),
        ("events:\n\tiggy: {}", "line 2"),
        ("events:\n  iggy: {}\n mode: x", "line 3"),
        ("a: b: c", "line 1"),
        ("just words", "expected a section with keys"),
        ("- events", "expected a section with keys"),
        ("7", "expected a section with keys"),
        ("events: {}\n---\nevents: {}\n", "a second document begins, expected one: remove the line `---`"),
        ("events: *nobody", "there is none of that name"),
        ("? [a, b]\n: c", "line 1"),
        ("events: !include other.yaml", "line 1"),
        ("events: embedded", "events: expected a section with keys"),
        ("events: {iggy: {mode: [embedded]}}", "events.iggy.mode: expected a single value"),
        ("handlers: {name: h}", "handlers: expected a list of sections"),
        ("handlers: [h]", "handlers[0]: expected a section with keys"),
        ("handlers: [{}]", "handlers[0].name: is missing and has no default"),
        ("subscriptions: [{name: s, topics: domain}]", "expected a list of values"),
        ("dispatch: {drain: 10}", "expected a time above zero with its unit"),
        ("dispatch: {drain: -5s}", "expected a time above zero with its unit"),
        ("dispatch: {drain: 2026-11-30}", "expected a time above zero with its unit"),
        ("dispatch: {drain: 9999999years}", "expected a time of at most 36500days"),
        ("dispatch: {drain: 99999999999999999999s}", "expected a time above zero with its unit"),
        ("dispatch: {poll_events_max: -1}", "`-1`: expected a whole number from 1 to"),
        ("dispatch: {poll_events_max: 1e3}", "`1e3`: expected a whole number from 1 to"),
        ("dispatch: {poll_events_max: 1_000}", "`1_000`: expected a whole number from 1 to"),
        ("dispatch: {lane_bytes_max: lots}", "`lots`: expected a size such as 64MiB"),
        ("events: {iggy: {embedded: {tcp_port: 70000}}}", "expected a whole number from 0 to 65535"),
        ("events: {iggy: {embedded: {persistent: yes}}}", "`yes`: expected true or false"),
        ("metrics: {listen: ':9100'}", "expected an address and a port"),
        ("metrics: {listen: localhost:9100}", "expected an address and a port"),
        ("events: {iggy: {mode: remote, remote: {password: x, addresses: ['iggy']}}}", "expected host:port"),
        (
            "events: {iggy: {mode: remote, remote: {password: x, addresses: ['a b:80']}}}",
            "expected host:port",
        ),
        (
            "events: {iggy: {mode: remote, remote: {password: x, tls_domain: 'a b'}}}",
            "expected the name of a host",
        ),
        ("events: {iggy: {topology: {stream_name: ''}}}", "expected a name of 1 to 255 bytes"),
        ("events: {iggy: {embedded: {data_dir: '${HOME'}}}", "write `$${` if no variable is meant"),
    ] {
        let found = refusal(text);
        println!("{text:?}\n    {found}");
        assert!(found.contains(expected), "{text:?}: expected `{expected}` in: {found}");
        let foreign: Vec<_> = FOREIGN_WORDS.iter().filter(|word| found.contains(**word)).collect();
        assert!(foreign.is_empty(), "{text:?}: {foreign:?} in: {found}");
    }
}

/// What a start would refuse is refused here, by the same code.
#[test]
fn what_cannot_run_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "no certificate").unwrap();
    let refused = |text: &str| Config::parse(text, dir.path(), []).unwrap_err().to_string();
    let redis = |url: &str| refused(&format!("sandbox: {{state: {{store: redis, redis_url: '{url}'}}}}"));
    let remote = |more: &str| refused(&format!("events: {{iggy: {{mode: remote, remote: {{{more}}}}}}}"));
    let long = "n".repeat(250);
    let parking = format!(
        "subscriptions: [{{name: s, topics: [{long}]}}]
handlers: [{{name: h, component: h.wasm, subscription: s, events: ['*'], on_failure: park}}]"
    );
    let embedded = |more: &str| refused(&format!("events: {{iggy: {{embedded: {{{more}}}}}}}"));
    for (found, expected) in [
        (redis("rediss://h"), "TLS, which the scheme asks for, is not supported; expected redis://"),
        (redis("http://h"), "expected redis://[user:password@]host:port/database"),
        (redis("redis://h/x"), "expected redis://[user:password@]host:port/database"),
        (refused(&parking), "has 257 bytes, expected at most 255; shorten one of them"),
        (
            refused(&format!(
                "dead_letters: {{topic: domain-parked}}\n{}",
                HANDLER.replace("'*']", "'*'], on_failure: park")
            )),
            "`domain-parked` is where events of topic `domain` are parked",
        ),
        (
            remote(&format!("password: {}", "x".repeat(256))),
            "remote.password is 256 bytes long, expected 1 to 255",
        ),
        (remote("password: x, tls_enabled: true, tls_ca_file: nowhere"), "is not a file that can be read"),
        (remote("password: x, tls_enabled: true, tls_ca_file: file"), "holds no certificate in PEM"),
        (embedded("password: ab"), "has 2 bytes, expected 3 to 100"),
        (embedded("data_dir: file/iggy"), "file` is a file, expected a directory"),
        (embedded("tcp_port: 7, http_port: 7"), "both want port 7"),
        (
            refused("metrics: {listen: '0.0.0.0:8090'}"),
            "`metrics.listen` and `events.iggy.embedded.tcp_port` both want port 8090",
        ),
        (refused("replays: {dir: file}"), "replays.dir: `"),
        (refused("sandbox: {journal_dir: file}"), "file` is a file, expected a directory"),
        (refused("sandbox: {state: {path: .}}"), "is a directory, expected a file"),
    ] {
        assert!(found.contains(expected), "expected `{expected}` in: {found}");
    }
    assert!(!redis("rediss://:hunter2@h").contains("hunter2"));
}
