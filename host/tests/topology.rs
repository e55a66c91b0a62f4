//! Goal: an operator sees topics and groups as they are, brings them where they should be, and is warned before.
//! Method: run the built program on a broker of its own in a temporary directory, and read what it prints.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const CONFIG: &str = "events: {iggy: {embedded: {tcp_port: 0}, retention: {system_max_age_days: DAYS}}}\n";

const ENVELOPE: &str = r#"{"id":"01a01e73-d391-f057-ce73-018173b720d4","event_type":"order.placed","schema_version":1,"correlation_id":"01a01e73-d391-f057-ce73-018173b720d4","causation_id":null,"tenant_id":"11111111-1111-4111-8111-111111111111","trace_id":null,"timestamp":"2026-08-20T10:00:00+00:00","actor_id":null,"event":{"type":"OrderPlaced","data":{}},"retry_count":0}"#;

struct Ended {
    code: i32,
    out: String,
    err: String,
}

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new(days: u32) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        house.configure(days);
        house
    }

    fn configure(&self, days: u32) {
        let text = CONFIG.replace("DAYS", &days.to_string());
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("guesthouse.yaml")
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guesthouse"));
        command.args(arguments).arg("--config").arg(self.config()).current_dir(Path::new("/")).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        Ended {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(arguments);
        serde_json::from_str(&ended.out).unwrap()
    }
}

#[test]
fn topics_are_shown_compared_and_applied() {
    let house = House::new(7);
    let missing = house.run(&["topology", "diff"]);
    assert_eq!(missing.code, 1, "{}", missing.err);
    assert!(missing.out.contains("domain: does not exist"), "{}", missing.out);
    assert!(missing.err.contains("5 of 5 topics are not as configured"), "{}", missing.err);

    let applied = house.run(&["topology", "apply"]);
    assert_eq!(applied.code, 0, "{}", applied.err);
    for text in ["domain", "30 days", "10000000000 bytes", "365 days", "any size"] {
        assert!(applied.out.contains(text), "{text} not in\n{}", applied.out);
    }
    assert_eq!(house.run(&["topology", "diff"]).code, 0);

    house.configure(3);
    let differs = house.run(&["topology", "diff"]);
    assert_eq!(differs.code, 1);
    assert!(differs.out.contains("system: age_max is 7 days, expected 3 days"), "{}", differs.out);
    assert_eq!(house.run(&["topology", "apply"]).code, 0);
    let shown = house.json(&["topology", "show", "--json"]);
    let system = shown.as_array().unwrap().iter().find(|topic| topic["topic"] == "system").unwrap();
    assert_eq!(system["state"]["age_max"]["micros"], 3_u64 * 24 * 3_600 * 1_000_000);
    assert_eq!(system["differences"], Value::Array(Vec::new()));
}

#[test]
fn groups_are_shown_and_put_elsewhere_only_when_confirmed() {
    let house = House::new(7);
    assert_eq!(house.run(&["topology", "apply"]).code, 0);
    let published = house.run_with(&["publish"], &format!("[{ENVELOPE},{ENVELOPE}]"));
    assert_eq!(published.code, 0, "{}", published.err);
    let missing = house.run(&["groups", "show", "nobody"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("group rustok/domain#nobody does not exist"), "{}", missing.err);
    let listed = house.json(&["groups", "list", "--json"]);
    assert_eq!(listed[0]["groups"], Value::Array(Vec::new()));
    for wrong in [&["groups", "reset", "g"][..], &["groups", "reset", "g", "--end", "--beginning"]] {
        assert_eq!(house.run(wrong).code, 2);
    }

    let ended = house.run(&["groups", "reset", "g", "--end", "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(house.json(&["groups", "show", "g", "--json"])["lag_total"], 0);
    let planned = house.run(&["groups", "reset", "g", "--beginning"]);
    assert!(planned.out.contains("nothing was changed; --yes does it"), "{}", planned.out);
    assert_eq!(house.json(&["groups", "show", "g", "--json"])["lag_total"], 0);
    let reset = house.json(&["groups", "reset", "g", "--time", "2020-01-01T00:00:00Z", "--yes", "--json"]);
    assert_eq!(reset["done"], true);
    let shown = house.json(&["groups", "show", "g", "--json"]);
    assert_eq!((shown["lag_total"].as_u64(), shown["complete"].as_bool()), (Some(2), Some(true)));
    let shown = house.run(&["groups", "show", "g"]);
    assert!(shown.out.contains("members: 0, lag in all: 2"), "{}", shown.out);
    let listed = house.json(&["groups", "list", "--json"]);
    assert_eq!(listed[0]["groups"][0]["group"], "g");
    let behind = house.run(&["groups", "reset", "g", "--offset", "99", "--yes"]);
    assert_eq!(behind.code, 1);
    assert!(behind.err.contains("lies behind the end"), "{}", behind.err);
}
