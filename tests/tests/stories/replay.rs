//! Goal: a range of a topic, or a dead letter, can be published again, to one handler or to a topic, and a replay that is done, paused,
//! given up or killed says so and goes on where it can. Method: the real program, by its command line alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use guesthouse_tests::client::{DLQ, DOMAIN};
use guesthouse_tests::envelope::{message, order, picky, tenant};
use guesthouse_tests::house::{GROUP, PARTITIONS, handler, with};
use guesthouse_tests::{Client, House, builds, eventually};
use serde_json::{Value, json};

const EVENTS: u64 = 400;

fn audit(name: &str) -> Value {
    with(handler(name, "audit-log"), &[("/grants", json!(["log"])), ("/events", json!(["order.placed"]))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_goes_again_to_one_handler() {
    let house = House::new();
    let config = house.config(&[audit("first"), audit("second")]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    publish(&client, 60).await;
    host.until("the orders are settled", |counters| counters.settled == 60).await;

    let start = |name: &str, more: &[&str]| {
        let arguments = ["start", name, "--topic", DOMAIN, "--handler", "second"];
        replay(&file, &[&arguments[..], more].concat())
    };
    assert_eq!(said(&start("look", &["--dry-run"])), "finished: 60 messages read, 0 published\n");
    assert_eq!(client.count(DOMAIN).await, 60);
    assert_eq!(said(&start("again", &[])), "finished: 60 messages read, 60 published\n");
    host.until("they are settled again", |counters| counters.settled == 120).await;
    assert_eq!(
        said(&start("early", &["--to", "2026-01-01T00:00:00Z"])),
        "finished: 0 messages read, 0 published\n"
    );
    let both = said(&start("both", &["--from", "offset:0", "--partition", "0", "--partition", "1"]));
    let lines = host.stop().await.guest_lines();
    let heard = |name: &str| lines.iter().filter(|line| line.handler == name).count();
    assert_eq!(heard("first"), 60);
    assert!(heard("second") >= 120);
    assert!(both.starts_with("finished: "), "{both}");

    let refused = start("again", &[]);
    assert_eq!(refused.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("a replay `again` exists already"), "{complaint}");
    let refused = replay(&file, &["start", "x", "--topic", DOMAIN, "--handler", "third"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_or_paused_goes_on() {
    let house = House::beside_a_broker().await;
    let file = house.write("host", &house.config(&[audit("first")]));
    let client = house.client().await;
    client.make(DOMAIN).await;
    client.make("copy").await;
    publish(&client, EVENTS).await;

    let arguments = ["start", "slow", "--topic", DOMAIN, "--to-topic", "copy", "--rate", "100"];
    let mut running = begin(&file, &arguments);
    until(&file, "slow", |info| published(info) >= 20).await;
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(status(&file, "slow"), "interrupted");

    let running = begin(&file, &["resume", "slow"]);
    until(&file, "slow", |info| info["status"] == "running" && published(info) >= 60).await;
    assert_eq!(replay(&file, &["resume", "slow"]).status.code(), Some(1), "somebody runs it");
    said(&replay(&file, &["pause", "slow"]));
    let paused = running.wait_with_output().unwrap();
    assert!(said(&paused).starts_with("paused: "), "{paused:?}");
    assert_eq!(status(&file, "slow"), "paused");

    let finished = said(&replay(&file, &["resume", "slow"]));
    assert_eq!(finished, format!("finished: {EVENTS} messages read, {EVENTS} published\n"));
    assert_eq!(replay(&file, &["cancel", "slow"]).status.code(), Some(2), "it has ended");
    let copies = client.read("copy").await;
    let ids: BTreeSet<u128> = copies.iter().map(|(_, message)| message.id).collect();
    assert_eq!(ids.len() as u64, EVENTS);
    for (_, copy) in &copies {
        assert_eq!(copy.headers.get("gh-replays").map(|value| value.to_string()).as_deref(), Some("1"));
    }

    let mut running =
        begin(&file, &["start", "wrong", "--topic", DOMAIN, "--to-topic", "copy", "--rate", "5"]);
    until(&file, "wrong", |info| published(info) >= 1).await;
    said(&replay(&file, &["cancel", "wrong"]));
    assert!(running.wait().unwrap().success());
    assert_eq!(status(&file, "wrong"), "cancelled");
    assert_eq!(replay(&file, &["resume", "wrong"]).status.code(), Some(2));
    let listed: Value = serde_json::from_str(&said(&replay(&file, &["list", "--json"]))).unwrap();
    let all: Vec<_> = listed.as_array().unwrap().iter().map(|info| info["status"].clone()).collect();
    assert_eq!(all, ["finished", "cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_goes_back_to_the_handler_that_gave_it_up() {
    let house = House::new();
    let audit =
        with(handler("audit", "audit-log"), &[("/grants", json!(["log"])), ("/events", json!(["demo.*"]))]);
    let config = house.config(&[with(handler("picky", "picky"), &[("/events", json!(["demo.*"]))]), audit]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&[picky(&tenant(1), "reject"), picky(&tenant(2), "done")]).await;
    host.until("both are settled", |counters| counters.settled == 2).await;

    let dlq = |arguments: &[&str]| dlq(&file, "replay", arguments);
    let filter = ["--all", "--handler", "picky", "--outcome", "reject"];
    assert_eq!(
        said(&dlq(&[&filter[..], &["--dry-run"]].concat())),
        "1 dead letters, 0 published, 0 cannot be\n"
    );
    assert_eq!(said(&dlq(&["--all", "--handler", "audit"])), "0 dead letters, 0 published, 0 cannot be\n");
    assert_eq!(said(&dlq(&filter)), "1 dead letters, 1 published, 0 cannot be\n");
    host.until("it is settled again", |counters| counters.settled == 3).await;
    let dead = client.read(DLQ).await;
    let replays = |at: usize| dead[at].1.headers.get("gh-replays").map(|value| value.to_string());
    let mut counts: Vec<_> = (0..dead.len()).map(replays).collect();
    counts.sort();
    assert_eq!(counts, [None, Some("1".to_owned())]);
    let unknown = dlq(&["00000000-0000-0000-0000-000000000001"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let lines = host.stop().await.guest_lines();
    assert_eq!(
        lines.iter().filter(|line| line.handler == "audit").count(),
        2,
        "only one handler had it again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_was_dealt_with_is_left_alone() {
    let house = House::new();
    let config = house.config(&[with(handler("picky", "picky"), &[("/events", json!(["demo.*"]))])]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.publish(&[picky(&tenant(1), "reject"), picky(&tenant(2), "reject")]).await;
    host.until("both are dead", |counters| counters.settled == 2).await;
    let of_state = |state: &str| -> Vec<String> {
        let listed = said(&dlq(&file, "list", &["--json", "--state", state]));
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
    };

    assert_eq!(said(&dlq(&file, "replay", &["--all"])), "2 dead letters, 2 published, 0 cannot be\n");
    host.until("both died again", |counters| counters.settled == 4).await;
    let (replayed, open) = (of_state("replayed"), of_state("open"));
    assert_eq!((replayed.len(), open.len()), (2, 2), "those that died again are other letters");

    assert_eq!(said(&dlq(&file, "resolve", &[&open[0]])), "1 dead letters, 1 set to resolved\n");
    let dry = said(&dlq(&file, "resolve", &["--all", "--dry-run"]));
    assert_eq!(dry, "1 dead letters, 0 set to resolved\n");
    assert_eq!(said(&dlq(&file, "resolve", &["--all"])), "1 dead letters, 1 set to resolved\n");
    let nothing = dlq(&file, "replay", &["--all"]);
    assert_eq!(said(&nothing), "0 dead letters, 0 published, 0 cannot be\n");
    let left_out = String::from_utf8(nothing.stderr).unwrap();
    assert_eq!(left_out, "left out 4 dead letters because of their state\n");
    assert_eq!(client.read(DOMAIN).await.len(), 4, "nothing was published");

    // Who names a letter means it, whatever became of it before, and no broker takes that for a repetition.
    assert_eq!(said(&dlq(&file, "replay", &[&replayed[0]])), "1 dead letters, 1 published, 0 cannot be\n");
    host.until("it died once more", |counters| counters.settled == 5).await;
    let reopened = said(&dlq(&file, "reopen", &["--all", "--state", "resolved"]));
    assert_eq!(reopened, "2 dead letters, 2 set to open\n");
    assert_eq!((of_state("open").len(), of_state("replayed").len()), (3, 2));
    let shown = said(&dlq(&file, "show", &[&replayed[0]]));
    assert!(shown.contains("state:        replayed\n"), "{shown}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_gone_keeps_only_its_own_dead_letters_from_going_back() {
    let house = House::beside_a_broker().await;
    let picky_of_both = with(handler("picky", "picky"), &[("/events", json!(["demo.*"]))]);
    let mut config = house.config(&[picky_of_both]);
    config["subscriptions"] = json!([{ "name": "default", "group": GROUP, "topics": [DOMAIN, "system"] }]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(2 * PARTITIONS).await;
    let client = house.client().await;
    client.publish(&[picky(&tenant(1), "reject"), picky(&tenant(2), "reject")]).await;
    client.publish_messages("system", vec![message(&picky(&tenant(3), "reject"))]).await;
    host.until("all are dead", |counters| counters.settled == 3).await;
    host.stop().await;
    client.delete("system").await;

    let all = dlq(&file, "replay", &["--all"]);
    let (out, err) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.stderr));
    assert_eq!(out, "3 dead letters, 2 published, 1 cannot be\n", "{err}");
    assert_eq!(all.status.code(), Some(1));
    assert!(
        err.contains("left where they are: dead letters of") && err.contains("1 dead letters stay open"),
        "{err}"
    );
    let left = dlq(&file, "replay", &["--all", "--dry-run"]);
    assert_eq!(said(&left), "1 dead letters, 0 published, 0 cannot be\n");
}

fn dlq(config: &Path, verb: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(builds::host());
    command.args(["dlq", verb, "--config"]).arg(config).args(arguments).output().unwrap()
}

async fn publish(client: &Client, events: u64) {
    let orders: Vec<Value> =
        (0..events).map(|n| order(&tenant(u128::from(n) % 20), &format!("order-{n}"))).collect();
    client.publish(&orders).await;
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(builds::host());
    let (verb, rest) = arguments.split_first().unwrap();
    command.args(["replay", verb, "--config"]).arg(config).args(rest);
    command
}

fn replay(config: &Path, arguments: &[&str]) -> Output {
    command(config, arguments).output().unwrap()
}

fn begin(config: &Path, arguments: &[&str]) -> Child {
    command(config, arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a command that went well wrote.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn info(config: &Path, name: &str) -> Option<Value> {
    let output = replay(config, &["show", name, "--json"]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn status(config: &Path, name: &str) -> String {
    info(config, name).unwrap()["status"].as_str().unwrap().to_owned()
}

fn published(info: &Value) -> u64 {
    info["partitions"].as_array().unwrap().iter().map(|range| range["published"].as_u64().unwrap()).sum()
}

async fn until(config: &Path, name: &str, wanted: impl Fn(&Value) -> bool) {
    eventually("the replay comes that far", async || {
        info(config, name).filter(|info| wanted(info)).map(drop)
    })
    .await;
}
