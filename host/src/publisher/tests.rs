//! The publisher beside an embedded broker, and the queue of one topic alone.

use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{
    ConnectorConfig, ConnectorMode, Durability, Headers, PartitionId, Partitioning, connector,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn message(id: u128) -> OutgoingMessage {
    OutgoingMessage {
        id,
        partition: Partitioning::Partition(PartitionId(0)),
        payload: Bytes::from_static(b"{}"),
        headers: Headers::new(),
    }
}

fn job(effect: u64, topics: &[&str]) -> PublishJob {
    let ids = u128::from(effect) * 100..;
    let messages = ids.zip(topics).map(|(id, topic)| ((*topic).to_owned(), message(id))).collect();
    PublishJob { effect: EffectId(effect), messages }
}

fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        replication_factor: 1,
        durability: Durability::Replicated,
        age_max: None,
        size_bytes_max: None,
    }
}

async fn published(inputs: &mut mpsc::Receiver<Input>, count: usize) -> Vec<u64> {
    let mut effects = Vec::new();
    while effects.len() < count {
        let input = tokio::time::timeout(PATIENCE, inputs.recv()).await.expect("something is confirmed");
        let Some(Input::Published(more)) = input else { panic!("the publisher tells what is confirmed") };
        effects.extend(more.into_iter().map(|effect| effect.0));
    }
    effects.sort_unstable();
    effects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_holds_up_only_what_needs_it() {
    let mut config = ConnectorConfig { mode: ConnectorMode::Embedded, ..ConnectorConfig::default() };
    config.embedded.persistent = false;
    config.embedded.tcp_port = 0;
    let broker = connector(config.mode);
    broker.connect(&config).await.unwrap();
    broker.ensure_topics("s", &[topic("good")]).await.unwrap();
    let delivery = Arc::<Delivery>::default();
    let publisher = Publisher {
        connector: Arc::clone(&broker),
        stream: "s".to_owned(),
        topology: Arc::new([topic("ours")]),
        delivery: Arc::clone(&delivery),
    };
    let (jobs, jobs_rx) = mpsc::channel(16);
    let (inputs_tx, mut inputs) = mpsc::channel(16);
    let running = tokio::spawn(publisher.run(jobs_rx, inputs_tx));

    jobs.send(job(1, &["missing", "good"])).await.unwrap();
    for effect in 2..=9 {
        jobs.send(job(effect, &["good"])).await.unwrap();
    }
    jobs.send(job(10, &["ours"])).await.unwrap();
    let settled = published(&mut inputs, 9).await;
    assert_eq!(settled, [2, 3, 4, 5, 6, 7, 8, 9, 10], "a topic of ours is created, a foreign one is not");
    assert!(!delivery.is_working());
    let mut counters = crate::counters::Counters::default();
    delivery.add_to(&mut counters);
    assert_eq!(counters.unwritable_topics.keys().collect::<Vec<_>>(), ["missing"]);

    broker.ensure_topics("s", &[topic("missing")]).await.unwrap();
    assert_eq!(published(&mut inputs, 1).await, [1]);
    assert!(delivery.is_working());
    drop(jobs);
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    broker.shutdown().await.unwrap();
}

fn queue(messages: u64) -> TopicQueue {
    let mut queue = TopicQueue::default();
    for n in 0..messages {
        queue.push(Letter { effect: EffectId(n), message: message(u128::from(n)) });
    }
    queue
}

fn effects(letters: &[Letter]) -> Vec<u64> {
    letters.iter().map(|letter| letter.effect.0).collect()
}

#[test]
fn a_failing_topic_rests_longer_each_time_and_keeps_the_order() {
    let (mut queue, start) = (queue(3), Instant::now());
    let request = queue.next_request(start).unwrap();
    assert!(queue.next_request(start).is_none(), "one request at a time");
    queue.push(Letter { effect: EffectId(3), message: message(3) });
    queue.failed(request, Trouble::Topic, start);
    assert_eq!(queue.stuck(), 4);
    assert!(queue.next_request(start).is_none());
    let first_wake = queue.next_wake().unwrap();
    let again = queue.next_request(first_wake).unwrap();
    assert_eq!(effects(&again), [0, 1, 2, 3]);
    queue.failed(again, Trouble::Topic, first_wake);
    assert!(queue.next_wake().unwrap() - first_wake > first_wake - start);
}

#[test]
fn a_message_that_is_refused_by_itself_is_found_and_set_aside() {
    let (mut queue, mut now) = (queue(100), Instant::now());
    let mut confirmed = Vec::new();
    while confirmed.len() < 99 {
        let request = queue.next_request(now).unwrap();
        if request.iter().any(|letter| letter.effect.0 == 42) {
            queue.failed(request, Trouble::Message, now);
        } else {
            confirmed.extend(effects(&request));
            queue.succeeded();
        }
    }
    assert!(confirmed.is_sorted(), "the others keep their order");
    assert_eq!(queue.stuck(), 1);
    assert!(queue.next_request(now).is_none());
    now = queue.next_wake().unwrap();
    assert_eq!(effects(&queue.next_request(now).unwrap()), [42]);
    queue.succeeded();
    assert_eq!(queue.stuck(), 0);
}

#[test]
fn what_is_confirmed_is_told_apart_from_what_is_left() {
    let order = (0..4).map(|n| (EffectId(n), u128::from(n))).collect();
    let (confirmed, left) = sort_out(order, vec![message(1), message(3)]);
    assert_eq!(confirmed, [EffectId(0), EffectId(2)]);
    assert_eq!(effects(&left), [1, 3]);
}
