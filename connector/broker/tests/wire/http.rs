//! Goal: what the broker holds and how it fares can be seen over HTTP, by those on this machine, without harm.
//! Method: a broker with things in it, an HTTP client, and raw sockets for what a client would not do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use iggy_binary_protocol::requests::consumer_groups::CreateConsumerGroupRequest;
use iggy_binary_protocol::{Operation, WireEncode, WireName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kit::{HANG, House, Raw, named, shut};

async fn open(house: &House) -> (Broker, SocketAddr) {
    let config = BrokerConfig { http: Some("127.0.0.1:0".parse().unwrap()), ..house.config() };
    let broker = Broker::start(config).await.unwrap();
    let address = broker.http_address().unwrap();
    (broker, address)
}

pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> (Response<()>, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = Request::builder().method(method).uri(path).header("host", host);
    let exchange = async {
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
    };
    tokio::select! {
        answered = exchange => answered,
        ended = connection => panic!("the connection ended first: {ended:?}"),
        () = tokio::time::sleep(HANG) => panic!("no answer to {method} {path}"),
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let (answer, body) = ask(address, "GET", path, "localhost").await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}: {body}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    body
}

/// A stream with a topic of two partitions, three messages, and a group that read none of them.
async fn furnish(broker: &Broker) {
    let mut raw = Raw::enter(broker).await;
    raw.create_stream("<s>").await;
    raw.create_topic("<s>", "t\"1", 2).await;
    raw.send(("<s>", "t\"1", 1), &[(1, "a"), (2, "b"), (3, "c")]).await.ok();
    let request = CreateConsumerGroupRequest {
        stream_id: named("<s>"),
        topic_id: named("t\"1"),
        name: WireName::new("g").unwrap(),
    };
    raw.ask(Operation::CreateConsumerGroup, &request.to_bytes()).await.ok();
}

#[tokio::test]
async fn everything_is_shown_in_the_form_asked_for() {
    let house = House::new();
    let (broker, address) = open(&house).await;
    furnish(&broker).await;

    let health = get(address, "/health").await;
    assert!(health.contains("\"healthy\""), "{health}");
    let topics: serde_json::Value = serde_json::from_str(&get(address, "/topics").await).unwrap();
    assert_eq!((topics[0]["stream"].as_str(), topics[0]["messages"].as_u64()), (Some("<s>"), Some(3)));
    assert_eq!(topics[0]["partitions"][1]["next_offset"], 3);
    assert_eq!(topics[0]["partitions"][0]["state"], "serving");
    let groups: serde_json::Value = serde_json::from_str(&get(address, "/groups").await).unwrap();
    assert_eq!((groups[0]["name"].as_str(), groups[0]["lag"].as_u64()), (Some("g"), Some(3)));
    assert_eq!(groups[0]["behind"][0]["partition"], 1);
    let streams: serde_json::Value = serde_json::from_str(&get(address, "/streams").await).unwrap();
    assert_eq!(streams[0]["topics"], 1);

    let metrics = get(address, "/metrics").await;
    for line in [
        r#"guesthouse_broker_topic_messages{stream="<s>",topic="t\"1"} 3"#,
        r#"guesthouse_broker_group_lag{stream="<s>",topic="t\"1",group="g"} 3"#,
        "guesthouse_broker_partitions_troubled 0",
        "guesthouse_broker_faults_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    let page = get(address, "/").await;
    assert!(page.contains("&lt;s&gt;") && !page.contains("<s>"), "{page}");
    shut(broker).await;
}

#[tokio::test]
async fn much_that_nobody_waits_for_is_brought_to_the_disk() {
    const MEGABYTES: u64 = 12;
    let house = House::new();
    let (broker, address) = open(&house).await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    let payload = "x".repeat(1_000_000);
    for id in 1..=MEGABYTES {
        raw.send(("s", "t", 0), &[(u128::from(id), &payload)]).await.ok();
    }
    let unsynced = async || -> u64 {
        let metrics = get(address, "/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("guesthouse_broker_topic_unsynced_bytes{"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let all_but_a_rest = async {
        while unsynced().await > 8 * 1024 * 1024 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG, all_but_a_rest).await.expect("it is synced in time");
    shut(broker).await;
}

#[tokio::test]
async fn nothing_can_be_changed_and_strangers_names_lead_nowhere() {
    let house = House::new();
    let (broker, address) = open(&house).await;
    for (method, path, host, status) in [
        ("HEAD", "/health", "127.0.0.1:3000", 200),
        ("GET", "/health", "[::1]:3000", 200),
        ("GET", "/health", "evil.example", 421),
        ("GET", "/health", "127.0.0.1.evil.example", 421),
        ("POST", "/streams", "localhost", 405),
        ("DELETE", "/", "localhost", 405),
        ("GET", "/streams/../health", "localhost", 404),
        ("GET", "//health", "localhost", 404),
    ] {
        let (answer, body) = ask(address, method, path, host).await;
        assert_eq!(answer.status(), status, "{method} {path} at {host}: {body}");
    }
    shut(broker).await;
}

#[tokio::test]
async fn slow_many_and_endless_requests_end() {
    let house = House::new();
    let (broker, address) = open(&house).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    // The seventeenth and later ones are closed at once, the others when no request came.
    for stream in &mut idle {
        let ended = timeout(HANG, stream.read(&mut [0; 64])).await.expect("the connection ends in time");
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    let mut endless = TcpStream::connect(address).await.unwrap();
    endless.write_all(b"GET /").await.unwrap();
    let mut sent = 0;
    while endless.write_all(&[b'a'; 4_096]).await.is_ok() {
        sent += 4_096;
        assert!(sent < 64 * 1024 * 1024, "an endless line is cut off");
    }
    get(address, "/health").await;
    shut(broker).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens after the end");
}

#[tokio::test]
async fn http_is_off_unless_asked_for_and_never_beyond_this_machine() {
    let house = House::new();
    let broker = house.open().await;
    assert_eq!(broker.http_address(), None);
    let address = broker.address();
    shut(broker).await;
    let config = BrokerConfig { http: Some("0.0.0.0:0".parse().unwrap()), ..house.config() };
    let refused = Broker::start(config).await.unwrap_err().to_string();
    assert!(refused.contains("choose 127.0.0.1"), "{refused}");
    let other = House::new();
    let (holder, held) = open(&other).await;
    let config = BrokerConfig { address, http: Some(held), ..house.config() };
    let refused = Broker::start(config).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("cannot listen on {held}")), "{refused}");
    shut(holder).await;
}
