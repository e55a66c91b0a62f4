//! Goal: each mistake an operator can make ends the program with a text that names the thing and says what to do.
//! Method: make the mistake, run the program, read its exit code and what it wrote.

use guesthouse_tests::Ended;
use guesthouse_tests::house::{House, PARTITIONS, order_totals};
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
