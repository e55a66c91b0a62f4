//! Goal: a host with the bounds that it chooses itself drains a backlog that is larger than its memory. Method: a control group
//! of 512 MiB around the host, 600 MiB of events before it, whose lanes all wait at their first event, so that the host
//! holds as much as it may; and the kernel's count of what it killed.

use std::process::Command;

use guesthouse_tests::envelope::{envelope, tenant};
use guesthouse_tests::house::{handler, with};
use guesthouse_tests::torture::memory::MemoryGroup;
use guesthouse_tests::{HostProgram, House, builds};
use serde_json::{Value, json};

const EVENTS: u64 = 2_400;
const TENANTS: u64 = 50;
const EVENT_BYTES: usize = 256 << 10;
/// Events of one publish, so that this process does not hold them all.
const PUBLISHED_AT_ONCE: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_the_memory_is_drained() {
    let group = match MemoryGroup::open() {
        Ok(group) => group,
        Err(error) => return println!("SKIPPED: this process may make no control group: {error}"),
    };
    let house = House::beside_a_broker().await;
    let retry = json!({ "backoff_min": "3s", "backoff_max": "4s" });
    let settings = [("/events", json!(["demo.picky"])), ("/retry", retry)];
    let picky = with(handler("picky", "picky"), &settings);
    let config = house.config(&[picky]);
    let host = house.start("that makes the topics", &config);
    host.until_logged("partitions assigned").await;
    host.stop().await;
    let client = house.client().await;
    for from in (0..EVENTS).step_by(usize::try_from(PUBLISHED_AT_ONCE).unwrap()) {
        let events: Vec<Value> = (from..from + PUBLISHED_AT_ONCE).map(event).collect();
        client.publish(&events).await;
    }

    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("echo $$ > '{}' && exec \"$0\" \"$@\"", group.members_file().display()));
    shell.arg(builds::host());
    let mut host = HostProgram::start_as(shell, &house.write("in a small group", &config));
    host.until("the backlog is settled", |counters| counters.settled >= EVENTS).await;
    let ended = host.stop().await;
    assert_eq!((ended.code, group.deaths()), (Some(0), 0), "{}", ended.log);
    assert!(ended.log.contains("512 MiB, the limit of the control group"), "{}", ended.log);
}

fn event(number: u64) -> Value {
    let behave = if number < TENANTS { "retry-twice" } else { "done" };
    let data = json!({ "behave": behave, "filling": "x".repeat(EVENT_BYTES) });
    envelope(&tenant(u128::from(number % TENANTS)), "demo.picky", &json!({ "type": "Picky", "data": data }))
}
