//! Goal: what the program says and how it exits, where no broker is needed.
//! Method: run the built program with files of a temporary directory and look at its output and exit code.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use guesthouse_broker::{Broker, BrokerConfig};

const HANDLER: &str = "handlers: [{name: totals, component: totals.wasm, events: ['order.*']}]\n";

struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn guesthouse(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guesthouse"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    Ended {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn with_config(text: &str, run: impl FnOnce(&Path, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("guesthouse.yaml");
    std::fs::write(&config, text).unwrap();
    run(dir.path(), config.to_str().unwrap());
}

#[test]
fn help_and_version_exit_with_0() {
    let help = guesthouse(&["--help"], &[]);
    assert_eq!(help.code, 0);
    for command in ["run", "doctor", "check", "inspect", "publish", "dlq", "topology", "groups", "health"] {
        assert!(help.out.contains(command), "{}", help.out);
    }
    let version = guesthouse(&["--version"], &[]);
    assert_eq!((version.code, version.out.starts_with("guesthouse ")), (0, true));
}

#[test]
fn wrong_arguments_exit_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &["run"],
        &["check"],
        &["inspect"],
        &["dlq", "show", "--config", "x", "not-an-id"],
        &["dlq", "list", "--config", "x", "--outcome", "sad"],
        &["publish", "--config", "x", "--batch", "0"],
    ] {
        let ended = guesthouse(arguments, &[]);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.err);
        assert!(ended.err.starts_with("error: "), "{}", ended.err);
    }
}

#[test]
fn a_missing_configuration_is_named_and_exits_with_2() {
    for command in [&["run"][..], &["check"], &["publish"], &["dlq", "list"]] {
        let ended = guesthouse(&[command, &["--config", "/nowhere/g.yaml"]].concat(), &[]);
        assert_eq!(ended.code, 2);
        assert!(
            ended.err.starts_with("error: cannot read the configuration /nowhere/g.yaml"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn all_mistakes_of_a_configuration_are_reported_at_once() {
    with_config("events: {iggy: {mode: embeded}}\nsandbox: {worker: 1}\n", |_, config| {
        let ended = guesthouse(&["check", "--config", config], &[("GUESTHOUSE__DISPATCH__DRAIN", "soon")]);
        assert_eq!(ended.code, 2);
        for expected in [
            "error: the configuration has 3 mistakes:",
            "line 1: events.iggy.mode: `embeded`: expected embedded (or bundled) or remote (or external)",
            "line 2: sandbox.worker: unknown key, did you mean `workers`?",
            "environment variable GUESTHOUSE__DISPATCH__DRAIN: dispatch.drain: `soon`: expected a time above zero",
        ] {
            assert!(ended.err.contains(expected), "{expected}\nnot in\n{}", ended.err);
        }
    });
}

#[test]
fn check_prints_the_resolved_configuration_without_secrets() {
    let text = "events: {iggy: {mode: remote, remote: {password: '${SECRET}'}}}\n";
    with_config(text, |_, config| {
        let ended = guesthouse(&["check", "--config", config], &[("SECRET", "hunter2")]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(
            ended.out.contains("mode: remote") && ended.out.contains("domain_partitions: 8"),
            "{}",
            ended.out
        );
        assert!(ended.out.contains("********") && !ended.out.contains("hunter2"), "{}", ended.out);
        let unset = guesthouse(&["check", "--config", config], &[]);
        assert_eq!(unset.code, 2);
        assert!(unset.err.contains("the environment variable `SECRET` is not set"), "{}", unset.err);
    });
}

#[test]
fn a_missing_component_is_named_with_its_handler() {
    with_config(HANDLER, |dir, config| {
        for command in ["check", "run"] {
            let ended = guesthouse(&[command, "--config", config], &[]);
            assert_eq!(ended.code, 2, "{}", ended.err);
            let file = dir.join("totals.wasm");
            let expected = format!("error: handler `totals`: cannot read its component {}", file.display());
            assert!(ended.err.contains(&expected), "{}", ended.err);
            assert!(!dir.join("data").exists(), "a broker was started for nothing");
        }
    });
}

#[test]
fn a_component_that_is_none_is_refused() {
    with_config(HANDLER, |dir, config| {
        std::fs::write(dir.join("totals.wasm"), "not a component").unwrap();
        let ended = guesthouse(&["check", "--config", config], &[]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("error: handler `totals`: its component"), "{}", ended.err);
        assert!(ended.err.contains("error: 1 of 1 handlers cannot run"), "{}", ended.err);
    });
}

#[test]
fn bad_lines_are_numbered_and_nothing_is_sent() {
    with_config("", |dir, config| {
        let file = dir.join("events.jsonl");
        std::fs::write(&file, "{}\n\nnot json\n").unwrap();
        let ended = guesthouse(&["publish", "--config", config, "--file", file.to_str().unwrap()], &[]);
        assert_eq!(ended.code, 1);
        assert!(ended.err.contains("line 1: missing field `id`"), "{}", ended.err);
        assert!(ended.err.contains("line 3: expected"), "{}", ended.err);
        assert!(
            ended.err.contains("error: 2 of 2 entries cannot be published, and nothing was sent"),
            "{}",
            ended.err
        );
        assert!(!dir.join("data").exists(), "a broker was started for nothing");
    });
}

#[test]
fn a_report_that_cannot_be_written_stops_a_run_before_it_starts() {
    with_config("", |dir, config| {
        let report = dir.join("missing").join("report.json");
        let ended = guesthouse(&["run", "--config", config, "--report", report.to_str().unwrap()], &[]);
        assert_eq!(ended.code, 1);
        assert!(ended.err.contains("error: cannot write the report"), "{}", ended.err);
        assert!(!dir.join("data").exists(), "a broker was started for nothing");
    });
}

/// A component that takes one event at a time and imports what is said.
fn component(imports: &str) -> Vec<u8> {
    let text = include_str!("../src/sandbox/fixtures/actor.wat")
        .replace(";;@export\n", "(export \"guesthouse:handler/handler@0.1.0\" (instance $handler))\n")
        .replace(";;@import\n", imports);
    wat::parse_str(text).unwrap()
}

fn inspect(component: &[u8], arguments: &[&str]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("component.wasm");
    std::fs::write(&file, component).unwrap();
    guesthouse(&[&["inspect", file.to_str().unwrap()], arguments].concat(), &[])
}

#[test]
fn inspect_says_what_a_component_needs() {
    let component = component(
        r#"(import "wasi:sockets/instance-network@0.2.6" (instance))
        (import "wasi:cli/environment@0.2.6" (instance))
        (import "guesthouse:handler/log@0.1.0" (instance
            (type $level (enum "trace" "debug" "info" "warn" "error"))
            (export "level" (type $exported (eq $level)))
            (export "write" (func (param "level" $exported) (param "message" string)))))"#,
    );
    let ended = inspect(&component, &[]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for expected in [
        "world     event-handler\n",
        "made of   functions: 9, with names for backtraces\n",
        "exports   guesthouse:handler/handler@0.1.0\n",
        "imports   wasi:sockets/instance-network@0.2.6  always there, and empty\n",
        "          wasi:cli/environment@0.2.6           always there\n",
        "          guesthouse:handler/log@0.1.0         needs the grant `log`\n",
        "\nadmitted with `grants: [log]`\n",
    ] {
        assert!(ended.out.contains(expected), "expected `{expected}` in:\n{}", ended.out);
    }
    let ended = inspect(&component, &["--json"]);
    let found: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&found["verdict"], &found["world"]), (&"admitted".into(), &"event-handler".into()));
    assert_eq!(found["init"], false);
    assert_eq!(found["grants"], serde_json::json!(["log"]));
    assert_eq!(found["imports"][0]["needs"], "nothing-and-empty");
    assert_eq!(found["imports"][2]["grant"], "log");
    assert_eq!(found["structure"]["functions"], 9);
    assert_eq!(found["size_bytes"], component.len());
    assert_eq!(found["start"]["memory_bytes"], 2 << 16);
}

#[test]
fn inspect_exits_with_2_when_a_component_would_be_refused_or_cannot_be_read() {
    let component = component(
        r#"(import "acme:shop/orders@1.0.0" (instance)) (import "guesthouse:handler/log@0.1.9" (instance))"#,
    );
    let ended = inspect(&component, &[]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    for expected in [
        "acme:shop/orders@1.0.0        never granted\n",
        "guesthouse:handler/log@0.1.9  needs a newer host\n",
        "\nrefused: the component imports `acme:shop/orders@1.0.0`, which no grant allows",
    ] {
        assert!(ended.out.contains(expected), "expected `{expected}` in:\n{}", ended.out);
    }
    let ended = inspect(b"\0asm\x01\0\0\0", &["--json"]);
    assert_eq!((ended.code, ended.err.as_str()), (2, "error: the component would be refused; see above\n"));
    let found: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&found["verdict"], &found["structure"]), (&"refused".into(), &serde_json::Value::Null));
    assert!(found["reason"].as_str().unwrap().starts_with("the file is a WebAssembly core module"));
    let ended = guesthouse(&["inspect", "/nowhere/component.wasm"], &[]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with("error: cannot read the component /nowhere/component.wasm"),
        "{}",
        ended.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_by_its_exit_whether_something_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let nothing = guesthouse(&["doctor", path.to_str().unwrap()], &[]);
    assert_eq!(nothing.code, 2, "{}", nothing.err);
    assert!(
        nothing.err.contains("does not exist; expected the data directory of a broker"),
        "{}",
        nothing.err
    );

    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = BrokerConfig { data_dir: path.clone(), address, ..BrokerConfig::default() };
    let broker = Broker::start(config).await.unwrap();
    let busy = guesthouse(&["doctor", path.to_str().unwrap()], &[]);
    assert_eq!(busy.code, 1, "{}", busy.err);
    assert!(busy.err.contains("stop it first, or ask it over http"), "{}", busy.err);
    broker.shutdown(Duration::from_secs(20)).await.unwrap();

    let well = guesthouse(&["doctor", path.to_str().unwrap()], &[]);
    assert_eq!((well.code, well.out.lines().last()), (0, Some("nothing is wrong")));
    std::fs::write(path.join("meta.redb"), "spoilt").unwrap();
    let ill = guesthouse(&["doctor", path.to_str().unwrap(), "--json"], &[]);
    assert_eq!(ill.code, 1, "{}", ill.err);
    let found: serde_json::Value = serde_json::from_str(&ill.out).unwrap();
    assert_eq!(found["findings"][0]["severity"], "fatal");
}

#[test]
fn inspect_refuses_a_candidate_of_wasi_in_one_voice() {
    let component = component(r#"(import "wasi:cli/environment@0.2.0-rc-2023-11-10" (instance))"#);
    let ended = inspect(&component, &[]);
    assert_eq!(ended.code, 2, "{}", ended.out);
    for expected in [
        "wasi:cli/environment@0.2.0-rc-2023-11-10  not in this version, expected 0.2.0 or a later release of 0.2\n",
        "\nrefused: the component imports `wasi:cli/environment@0.2.0-rc-2023-11-10, expected version 0.2.0 or a later",
    ] {
        assert!(ended.out.contains(expected), "expected `{expected}` in:\n{}", ended.out);
    }
    let found: serde_json::Value = serde_json::from_str(&inspect(&component, &["--json"]).out).unwrap();
    assert_eq!(found["imports"][0]["needs"], "other-version");
}

#[test]
fn what_is_published_may_have_a_byte_order_mark_and_must_be_utf_8() {
    with_config("", |dir, config| {
        let publish = |content: &[u8]| {
            let file = dir.join("events.jsonl");
            std::fs::write(&file, content).unwrap();
            guesthouse(&["publish", "--config", config, "--file", file.to_str().unwrap()], &[])
        };
        let marked = publish(b"\xef\xbb\xbf{}\n");
        assert!(marked.err.contains("line 1: missing field `id`"), "{}", marked.err);
        let utf16: Vec<u8> = "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let refused = publish(&utf16);
        assert_eq!(refused.code, 1);
        let expected = "events.jsonl is UTF-16; save it as UTF-8; nothing was sent\n";
        assert!(refused.err.ends_with(expected), "{}", refused.err);
    });
}

#[test]
fn variables_that_are_no_text_end_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let bad = std::ffi::OsStr::from_bytes(b"\xff");
    with_config("", |_, config| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guesthouse"));
        command.args(["check", "--config", config]).env_clear().env(bad, bad).env("GUESTHOUSE_LOG", bad);
        let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    });
}

/// A directory of a name that is not UTF-8 must not become another one's.
#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&place).unwrap();
    let config = place.join("g.yaml");
    std::fs::write(&config, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_guesthouse"));
    command.args(["check", "--config"]).arg(&config).env_clear().stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().unwrap();
    let err = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{err}");
    assert!(err.contains("events.iggy.embedded.data_dir: lies in `") && err.contains("not UTF-8"), "{err}");
}

/// Neither the cache nor anything else changes when a configuration is only checked.
#[test]
fn check_writes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    with_config(HANDLER, |dir, config| {
        std::fs::write(dir.join("totals.wasm"), component("")).unwrap();
        let cache = dir.join("data/cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(cache.join("somebody-elses.unfinished"), "x").unwrap();
        let ended = guesthouse(&["check", "--config", config], &[]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let names: Vec<_> =
            std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["somebody-elses.unfinished"]);
        assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_dir(dir.join("data")).unwrap().count(), 1, "nothing else was made");
    });
}
