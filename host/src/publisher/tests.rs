//! The publisher beside an embedded broker, and the queue of one topic alone.

use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{
    ConnectorConfig, ConnectorMode, Headers, PAYLOAD_BYTES_MAX, PartitionId, Partitioning, connector,
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
    PublishJob { effect: EffectId(effect), messages, on_refusal: OnRefusal::Tell }
}

fn letter(effect: u64) -> Letter {
    let message = message(u128::from(effect));
    Letter { effect: EffectId(effect), message, on_refusal: OnRefusal::Insist, refusals: 0 }
}

fn topic(name: &str) -> TopicSpec {
    TopicSpec::new(name, 1, 1)
}

/// A broker with the stream `s` and the topic `good` in it.
async fn broker() -> Arc<dyn IggyConnector> {
    let mut config = ConnectorConfig { mode: ConnectorMode::Embedded, ..ConnectorConfig::default() };
    config.embedded.persistent = false;
    config.embedded.tcp_port = 0;
    let broker = connector(config.mode);
    broker.connect(&config).await.unwrap();
    broker.ensure_topics("s", &[topic("good")]).await.unwrap();
    broker
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
    let broker = broker().await;
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
        queue.push(letter(n));
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
    queue.push(letter(3));
    assert!(queue.failed(request, Trouble::Topic, start).is_none());
    assert_eq!(queue.stuck(), 4);
    assert!(queue.next_request(start).is_none());
    let first_wake = queue.next_wake().unwrap();
    let again = queue.next_request(first_wake).unwrap();
    assert_eq!(effects(&again), [0, 1, 2, 3]);
    assert!(queue.failed(again, Trouble::Topic, first_wake).is_none());
    assert!(queue.next_wake().unwrap() - first_wake > first_wake - start);
}

#[test]
fn a_message_that_is_refused_by_itself_is_found_and_set_aside() {
    let (mut queue, mut now) = (queue(100), Instant::now());
    let mut confirmed = Vec::new();
    while confirmed.len() < 99 {
        let request = queue.next_request(now).unwrap();
        if request.iter().any(|letter| letter.effect.0 == 42) {
            assert!(queue.failed(request, Trouble::Message, now).is_none());
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
fn a_message_that_is_refused_for_good_is_given_back_where_that_is_to_be_told() {
    for (on_refusal, refused_after) in [(OnRefusal::Tell, Some(3)), (OnRefusal::Insist, None)] {
        let (mut queue, mut now) = (TopicQueue::default(), Instant::now());
        queue.push(Letter { on_refusal, ..letter(1) });
        let refused = (1..=10).find(|_| {
            let request = queue.next_request(now).unwrap();
            let refused = queue.failed(request, Trouble::Message, now);
            now = queue.next_wake().unwrap_or(now);
            refused.is_some()
        });
        assert_eq!((refused, queue.stuck()), (refused_after, usize::from(refused_after.is_none())));
    }
}

#[test]
fn nothing_is_left_of_an_effect_that_was_given_up_while_its_request_was_under_way() {
    let (mut queue, now) = (queue(2), Instant::now());
    let request = queue.next_request(now).unwrap();
    queue.keep(|effect| effect.0 != 0);
    assert!(queue.failed(request, Trouble::Message, now).is_none());
    queue.keep(|effect| effect.0 != 0);
    let alone = queue.next_request(now).unwrap();
    assert_eq!((effects(&alone), alone[0].refusals), (vec![1], 0), "it was not refused by itself");
    assert!(!queue.is_empty(), "it is under way");
    queue.succeeded();
    assert!(queue.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_is_refused_is_told_and_holds_up_nothing() {
    let broker = broker().await;
    let delivery = Arc::<Delivery>::default();
    let publisher = Publisher {
        connector: Arc::clone(&broker),
        stream: "s".to_owned(),
        topology: Arc::new([]),
        delivery: Arc::clone(&delivery),
    };
    let (jobs, jobs_rx) = mpsc::channel(16);
    let (inputs_tx, mut inputs) = mpsc::channel(16);
    let running = tokio::spawn(publisher.run(jobs_rx, inputs_tx));

    let mut refused = job(1, &["good", "missing"]);
    refused.messages[0].1.payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
    jobs.send(refused).await.unwrap();
    jobs.send(job(2, &["good"])).await.unwrap();
    assert_eq!(published(&mut inputs, 1).await, [2]);
    let told = tokio::time::timeout(PATIENCE, inputs.recv()).await.unwrap();
    let Some(Input::Refused(EffectId(1), reason)) = told else { panic!("expected a refusal, got {told:?}") };
    assert!(reason.starts_with("topic `good`: publish error: "), "{reason}");
    assert!(delivery.is_working(), "nothing waits for the missing topic any more");
    drop(jobs);
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    broker.shutdown().await.unwrap();
}

#[test]
fn what_is_confirmed_is_told_apart_from_what_is_left() {
    let (order, _) = split((0..4).map(letter).collect());
    let (confirmed, left) = sort_out(order, vec![message(1), message(3)]);
    assert_eq!(confirmed, [EffectId(0), EffectId(2)]);
    assert_eq!(effects(&left), [1, 3]);
}
