//! Goal: each mistake an operator can make ends the program with a text that names the thing and says what to do.
//! Method: make the mistake, run the program, read its exit code and what it wrote.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};

use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{House, PARTITIONS, handler, order_totals, with};
use guesthouse_tests::{Ended, builds};
use serde_json::{Value, json};

/// The smallest core module: it is WebAssembly, but no component.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The smallest component: it exports nothing.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Exit code when the program was asked in a way that cannot work.
const ASKED_WRONGLY: i32 = 2;

/// Exit code when something failed.
const FAILED: i32 = 1;

async fn run(house: &House, config: &Value) -> Ended {
    house.start("mistake", config).ended().await
}

/// Checks the exit code, and that each of these texts was written.
fn expect(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.log);
    for text in texts {
        assert!(ended.log.contains(text), "expected `{text}` in:\n{}", ended.log);
    }
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[tokio::test]
async fn unknown_key() {
    let house = House::new();
    let mut config = house.config(&[order_totals()]);
    config["handlers"][0]["componet"] = json!("x.wasm");
    expect(
        &run(&house, &config).await,
        ASKED_WRONGLY,
        &["handlers[0].componet: unknown key, did you mean `component`?"],
    );
}

#[tokio::test]
async fn missing_component() {
    let house = House::new();
    let mut config = house.config(&[order_totals()]);
    config["handlers"][0]["component"] = json!("/nowhere/totals.wasm");
    expect(
        &run(&house, &config).await,
        ASKED_WRONGLY,
        &["handler `order-totals`", "cannot read its component /nowhere/totals.wasm", "No such file"],
    );
}

#[tokio::test]
async fn module_instead_of_component() {
    let house = House::new();
    let file = house.keep("module.wasm", MODULE);
    let mut config = house.config(&[order_totals()]);
    config["handlers"][0]["component"] = json!(file);
    expect(
        &run(&house, &config).await,
        ASKED_WRONGLY,
        &[
            "handler `order-totals`",
            "module.wasm is refused",
            "core module, expected a component",
            "wasm32-wasip2",
        ],
    );
}

#[tokio::test]
async fn component_of_another_world() {
    let house = House::new();
    let file = house.keep("other-world.wasm", COMPONENT);
    let mut config = house.config(&[order_totals()]);
    config["handlers"][0]["component"] = json!(file);
    let worlds = ["guesthouse:handler/handler", "guesthouse:handler/batch"];
    let ended = run(&house, &config).await;
    expect(
        &ended,
        ASKED_WRONGLY,
        &[
            "handler `order-totals`",
            "other-world.wasm is refused",
            worlds[0],
            worlds[1],
            "export one of them",
        ],
    );
}

#[tokio::test]
async fn grant_missing() {
    let house = House::new();
    let mut config = house.config(&[guesthouse_tests::house::handler("audit", "audit-log")]);
    config["handlers"][0]["grants"] = json!([]);
    expect(
        &run(&house, &config).await,
        ASKED_WRONGLY,
        &["handler `audit`", "guesthouse:handler/log", "add `log` to the handler's grants"],
    );
}

#[tokio::test]
async fn wrong_password() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    config["events"]["iggy"]["remote"]["password"] = json!("not-the-password");
    let ended = run(&house, &config).await;
    expect(&ended, FAILED, &["authentication error", "check user name and password"]);
    assert!(!ended.log.contains("not-the-password"), "the password is shown:\n{}", ended.log);
}

#[tokio::test]
async fn busy_port() {
    let Some(house) = House::embedded("busy port") else { return };
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let mut config = house.config(&[order_totals()]);
    config["events"]["iggy"]["embedded"]["tcp_port"] = json!(port);
    expect(
        &run(&house, &config).await,
        FAILED,
        &[&format!("cannot listen on 127.0.0.1:{port}"), "already in use", "choose another address"],
    );
}

#[tokio::test]
async fn busy_data_directory() {
    let Some(house) = House::embedded("busy data directory") else { return };
    let config = house.config(&[order_totals()]);
    let mut holder = house.start("holder", &config);
    holder.until_reading(PARTITIONS).await;
    let data_dir = house.data_dir();
    expect(
        &run(&house, &config).await,
        FAILED,
        &[data_dir.to_str().unwrap(), "in use by another broker", "choose another directory"],
    );
    assert_eq!(holder.stop().await.code, Some(0), "the one that holds it is not disturbed");
}

#[tokio::test]
async fn other_number_of_partitions() {
    let house = House::beside_a_broker().await;
    let mut config = house.config(&[order_totals()]);
    let mut holder = house.start("holder", &config);
    holder.until_reading(PARTITIONS).await;
    config["events"]["iggy"]["topology"]["domain_partitions"] = json!(3);
    expect(
        &run(&house, &config).await,
        FAILED,
        &["domain: it has 8 partitions, expected 3", "set the configured number to 8"],
    );
    drop(holder);
}

/// Runs a command on input of its own until it ends.
fn tool(arguments: &[&str], input: &[u8], environment: &[(&str, OsString)]) -> Ended {
    use std::io::Write as _;
    let mut command = Command::new(builds::host());
    command.args(arguments).env_remove("GUESTHOUSE_LOG").env_remove("RUST_LOG");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended without reading.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let log = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    Ended { code: output.status.code(), report: None, log }
}

/// `check` and `run` refuse a configuration with the same words.
fn refused(config: &str, environment: &[(&str, OsString)], texts: &[&str]) {
    let house = House::new();
    let file = house.keep("config.yaml", config.as_bytes());
    for command in ["check", "run"] {
        let ended = tool(&[command, "--config", file.to_str().unwrap()], b"", environment);
        expect(&ended, ASKED_WRONGLY, texts);
    }
    assert!(!house.data_dir().exists(), "a broker was started for nothing");
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn events_as_editors_save_them() {
    let Some(house) = House::embedded("events as editors save them") else { return };
    let file = house.write("config", &house.config(&[]));
    let config = file.to_str().unwrap();
    let events: Vec<_> = (0..3).map(|n| order(&tenant(n), "order").to_string()).collect();
    let publish = |input: &[u8]| tool(&["publish", "--config", config], input, &[]);

    let ended = publish(&utf16(&events.join("\n")));
    expect(&ended, FAILED, &["standard input is UTF-16; save it as UTF-8; nothing was sent"]);
    let marked: String = events.iter().map(|event| format!("\u{feff}{event}\r\n")).collect();
    expect(&publish(marked.as_bytes()), 0, &["published 3 events\n  domain: 3 events\n"]);
    // The same again is told from what is new, and so is one new event among the known.
    let known = "published 3 events, of which the broker had 3 already and did not store again";
    expect(&publish(marked.as_bytes()), 0, &[known]);
    let array = format!("\u{feff}[{}]", events.join(","));
    expect(&publish(array.as_bytes()), 0, &[known]);

    expect(&publish(b""), 0, &["published 0 events"]);
    let missing = tool(&["publish", "--config", config, "--file", "/nowhere/events"], b"", &[]);
    expect(&missing, FAILED, &["cannot read /nowhere/events", "No such file"]);
    let directory = tool(&["publish", "--config", config, "--file", "/"], b"", &[]);
    expect(&directory, FAILED, &["cannot read /", "s a directory"]);
    for topic in ["dlq", "dlq-states", "domain-parked"] {
        let ended = tool(&["publish", "--config", config, "--topic", topic], events[0].as_bytes(), &[]);
        expect(
            &ended,
            ASKED_WRONGLY,
            &[&format!("--topic `{topic}`: this topic is kept for"), "name another topic"],
        );
    }
}

#[test]
fn key_that_is_written_twice() {
    refused(
        "events:\n  iggy:\n    mode: embedded\n    mode: remote\n",
        &[],
        &["line 4: events.iggy.mode: is written a second time, first on line 3; keep one of them"],
    );
}

#[test]
fn redis_through_tls() {
    refused(
        "sandbox: {state: {store: redis, redis_url: 'rediss://:hunter2@localhost'}}",
        &[],
        &["sandbox.state.redis_url", "TLS, which the scheme asks for, is not supported; expected redis://"],
    );
}

#[test]
fn topics_of_the_host_itself() {
    let house = House::new();
    let parking = with(handler("totals", "order-totals"), &[("/on_failure", json!("park"))]);
    let long = "n".repeat(250);
    let mut config = house.config(&[parking]);
    config["subscriptions"][0]["topics"] = json!([long]);
    refused(&config.to_string(), &[], &["has 257 bytes, expected at most 255; shorten one of them"]);
    for (topic, used) in [
        ("dlq", "dead letters"),
        ("dlq-states", "the states of dead letters"),
        ("domain-parked", "parked events"),
    ] {
        let emitting = with(order_totals(), &[("/emit_topics", json!([topic]))]);
        let config = house.config(&[emitting]).to_string();
        refused(&config, &[], &[&format!("handlers[0].emit_topics: `{topic}` is kept for {used}")]);
    }
}

#[test]
fn variables_that_are_no_text_not_set_or_not_closed() {
    let password = |text: &str| format!("events: {{iggy: {{mode: remote, remote: {{password: '{text}'}}}}}}");
    let bad = OsString::from_vec(vec![b'x', 0xff]);
    refused(
        &password("${PW}"),
        &[("PW", bad)],
        &["remote.password: the environment variable `PW` is set, but its value is not UTF-8"],
    );
    refused(&password("${NO_SUCH}"), &[], &["the environment variable `NO_SUCH` is not set"]);
    refused(&password("a${b"), &[], &["`${` without `}`; write `$${` if no variable is meant"]);
}

#[test]
fn what_check_prints_reads_back() {
    let house = House::new();
    let mut config = house.config(&[]);
    config["events"] = json!({ "iggy": { "topology": { "stream_name": "a$${B}c" } } });
    let file = house.write("config", &config);
    let printed = tool(&["check", "--config", file.to_str().unwrap()], b"", &[]);
    expect(&printed, 0, &["a$${B}c"]);
    let again = tool(&["check", "--config", "-"], printed.log.as_bytes(), &[]);
    assert_eq!((again.code, again.log), (Some(0), printed.log));

    let secret = r#"{"events": {"iggy": {"mode": "remote", "remote": {"password": "hunter2"}}}}"#;
    let printed = tool(&["check", "--config", "-"], secret.as_bytes(), &[]);
    expect(&printed, 0, &["password: "]);
    assert!(!printed.log.contains("hunter2"), "{}", printed.log);
    let again = tool(&["check", "--config", "-"], printed.log.as_bytes(), &[]);
    let mask = "remote.password: `********` is what `guesthouse check` prints in place of a secret; write the secret, or";
    expect(&again, ASKED_WRONGLY, &[mask, "`password_file`"]);
}

#[test]
fn standard_input_for_two_things() {
    let ended = tool(&["publish", "--config", "-"], b"", &[]);
    expect(
        &ended,
        ASKED_WRONGLY,
        &[
            "the configuration and the events cannot both come from standard input; name a file for one of them",
        ],
    );
    let ended = tool(&["check", "--config", "-"], &utf16("events: {}"), &[]);
    expect(&ended, ASKED_WRONGLY, &["the configuration on standard input is UTF-16; save it as UTF-8"]);
}

/// Each command with what it was told wrongly, and what its text must say.
#[test]
fn arguments_that_cannot_be_meant() {
    let house = House::new();
    let (file, empty) = (house.keep("text", b"just words"), house.keep("empty.yaml", b""));
    let [file, config] = [&file, &empty].map(|file| file.to_str().unwrap());
    let replay = |more: &[&'static str]| {
        let start = ["replay", "start", "again", "--config", config, "--topic", "domain", "--to-topic"];
        [&start[..], more].concat()
    };
    for (arguments, expected) in [
        (vec!["check", "--config", file], "line 1: expected a section with keys"),
        (vec!["check", "--config", "/"], "cannot read the configuration /"),
        (vec!["check", "--config", "/dev/zero"], "has more than 256 MiB; expected YAML"),
        (vec!["publish", "--config", config, "--topic", ""], "expected the name of a topic, 1 to 255 bytes"),
        (
            vec!["dlq", "show", "--config", config, "foo"],
            "expected the id of a dead letter as `dlq list` prints it",
        ),
        (vec!["dlq", "replay", "--config", config], "<ID|--all>"),
        (vec!["dlq", "replay", "--config", config, "--all", "foo"], "expected the id of a dead letter"),
        (vec!["parked", "release", "--config", config], "<LANE|--all>"),
        (replay(&["dlq"]), "--to-topic `dlq`: this topic is kept for dead letters; name another topic"),
        (replay(&["copy", "--rate", "0"]), "expected a whole number from 1 to 4294967295"),
        (replay(&["copy", "--from", "offset:9", "--to", "offset:3"]), "the range is empty: expected `--to`"),
        (vec!["doctor", file], "text is no directory; expected the data directory of a broker"),
        (vec!["doctor", "/nowhere"], "/nowhere does not exist; expected the data directory of a broker"),
        (vec!["doctor", "/"], "/ is no data directory of a broker"),
        (vec!["broker", "--data-dir", file], "text is a file, expected a directory"),
        (vec!["inspect", file], "expected a WebAssembly component in binary form"),
    ] {
        expect(&tool(&arguments, b"", &[]), ASKED_WRONGLY, &[expected]);
    }
}
