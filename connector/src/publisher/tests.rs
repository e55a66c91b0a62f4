//! Callers that share a group of jobs, at a real broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use guesthouse_broker::{Broker, BrokerConfig};

use super::*;
use crate::address::{Offset, TopicAddress};
use crate::client::{Polled, Range, Reader};
use crate::config::ConnectorConfig;
use crate::headers::Headers;
use crate::link::Link;
use crate::message::{PAYLOAD_BYTES_MAX, Partitioning};
use crate::topology::TopicSpec;

const PARTITION: PartitionId = PartitionId(0);

fn message(id: u128, payload_bytes: usize) -> OutgoingMessage {
    OutgoingMessage {
        id,
        partition: Partitioning::Partition(PARTITION),
        payload: Bytes::from(vec![1; payload_bytes]),
        headers: Headers::new(),
    }
}

fn job(to: &Arc<Target>, messages: Vec<OutgoingMessage>) -> (Job, Submitted) {
    let (messages, (done, outcome)) = (Arc::new(messages), oneshot::channel());
    let job =
        Job { to: Arc::clone(to), partition: PARTITION, messages: Arc::clone(&messages), confirmed: 0, done };
    (job, Submitted { messages, outcome })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_only_to_the_caller_whose_message_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = BrokerConfig { data_dir: dir.path().to_owned(), address, ..BrokerConfig::default() };
    let broker = Broker::start(config).await.unwrap();
    let root = broker.root_credentials();
    let endpoint =
        || Endpoint::local(broker.address().to_string(), root.username.clone(), root.password.clone());
    let link = Link::open(endpoint(), &ConnectorConfig::default()).await.unwrap();
    link.ensure_topics("s", &[TopicSpec::new("t", 1, 1)]).await.unwrap();

    let to = Arc::new(Target::new(&TopicAddress::new("s", "t")).unwrap());
    let line = Arc::new(Line::new(Arc::new(endpoint())));
    let mut sender = Sender::new(Arc::clone(&line), Batching::default());
    let too_large = PAYLOAD_BYTES_MAX + 1;
    let (jobs, callers): (Vec<_>, Vec<_>) = [
        vec![message(1, 1)],
        vec![message(2, 1), message(3, too_large), message(4, 1)],
        vec![message(5, 1), message(6, 1)],
    ]
    .map(|messages| job(&to, messages))
    .into_iter()
    .unzip();
    sender.send_together(jobs).await;

    let mut unpublished = Vec::new();
    for caller in callers {
        let left = caller.confirmed().await.err();
        unpublished.push(left.map(|left| {
            assert!(matches!(left.error, ConnectorError::Publish(_)), "{:?}", left.error);
            left.messages.iter().map(|message| message.id).collect::<Vec<_>>()
        }));
    }
    assert_eq!(unpublished, [None, Some(vec![3, 4]), None]);
    let range = Range { from: Offset(0), messages_max: 10 };
    let reader = line.client().await.unwrap();
    let polled = reader.poll(&to, PARTITION, &Reader::alone(), range).await.unwrap();
    let Polled::Messages { messages, .. } = polled else { panic!("{polled:?}") };
    assert_eq!(messages.iter().map(|message| message.id).collect::<Vec<_>>(), [1, 2, 5, 6]);
    line.close().await;
    link.close().await;
    broker.shutdown(Duration::from_secs(60)).await.unwrap();
}
