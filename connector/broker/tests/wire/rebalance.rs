//! Goal: partitions of a group have one owner each, and move when members come and go, once what was read is
//! committed.
//! Method: members that join, leave, hang up and fall silent.

use std::time::Duration;

use guesthouse_broker::{Broker, Limits};
use iggy_binary_protocol::requests::consumer_groups::{
    CreateConsumerGroupRequest, JoinConsumerGroupRequest, SyncConsumerGroupRequest,
};
use iggy_binary_protocol::requests::consumer_offsets::StoreConsumerOffsetRequest;
use iggy_binary_protocol::requests::messages::PollMessagesRequest;
use iggy_binary_protocol::requests::partitions::CreatePartitionsRequest;
use iggy_binary_protocol::responses::consumer_groups::SyncConsumerGroupResponse;
use iggy_binary_protocol::{
    AckLevel, EvictionReason, Operation, WireConsumer, WireDecode, WireEncode, WireName, WirePollingStrategy,
};

use crate::kit::{HANG, House, Raw, messages_of, named, poll, shut};

async fn group(broker: &Broker, partitions_count: u32) -> Raw {
    let mut raw = Raw::enter(broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", partitions_count).await;
    let request = CreateConsumerGroupRequest {
        stream_id: named("s"),
        topic_id: named("t"),
        name: WireName::new("g").unwrap(),
    };
    raw.ask(Operation::CreateConsumerGroup, &request.to_bytes()).await.ok();
    raw
}

async fn join(raw: &mut Raw) {
    let request =
        JoinConsumerGroupRequest { stream_id: named("s"), topic_id: named("t"), group_id: named("g") };
    raw.ask(Operation::JoinConsumerGroup, &request.to_bytes()).await.ok();
}

async fn sync(raw: &mut Raw) -> Option<SyncConsumerGroupResponse> {
    let request =
        SyncConsumerGroupRequest { stream_id: named("s"), topic_id: named("t"), group_id: named("g") };
    let body = raw.read(606, &request.to_bytes()).await.ok();
    (!body.is_empty()).then(|| SyncConsumerGroupResponse::decode_from(&body).unwrap())
}

/// Asks until the member owns so many partitions.
async fn owns(raw: &mut Raw, count: usize) -> SyncConsumerGroupResponse {
    let asked = async {
        loop {
            let assignment = sync(raw).await.unwrap();
            if assignment.partitions.len() == count {
                return assignment;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, asked).await.expect("the partitions come in time")
}

#[tokio::test]
async fn a_member_that_hangs_up_gives_its_partitions_back() {
    let house = House::new();
    let broker = house.open().await;
    let mut first = group(&broker, 4).await;
    let mut second = Raw::enter(&broker).await;
    join(&mut first).await;
    join(&mut second).await;
    assert_eq!(sync(&mut first).await.unwrap().partitions, [0, 1]);
    let assignment = sync(&mut second).await.unwrap();
    assert_eq!((assignment.generation, assignment.partitions), (2, vec![2, 3]));
    drop(second);
    assert_eq!(owns(&mut first, 4).await.generation, 3);
    first.ask(Operation::Logout, &[]).await.ok();
    let mut third = Raw::enter(&broker).await;
    assert_eq!(sync(&mut third).await, None);
    join(&mut third).await;
    assert_eq!(sync(&mut third).await.unwrap().partitions.len(), 4, "logging out left the group");
    shut(broker).await;
}

#[tokio::test]
async fn a_member_cannot_read_or_commit_what_it_does_not_own() {
    let house = House::new();
    let broker = house.open().await;
    let mut first = group(&broker, 2).await;
    let mut second = Raw::enter(&broker).await;
    join(&mut first).await;
    join(&mut second).await;
    first.send(("s", "t", 0), &[(1, "zero")]).await.ok();
    first.send(("s", "t", 1), &[(2, "one")]).await.ok();
    let read = |partition_id| {
        let request = poll(("s", "t", partition_id), WirePollingStrategy::next(), 10);
        PollMessagesRequest { consumer: WireConsumer::consumer_group(named("g")), ..request }.to_bytes()
    };
    let (head, messages) = messages_of(&first.read(100, &read(0)).await.ok());
    assert_eq!((head.partition_id, messages.len()), (0, 1));
    let (head, messages) = messages_of(&first.read(100, &read(1)).await.ok());
    assert_eq!((head.partition_id, messages.len()), (u32::MAX, 0), "it is told to ask again");
    let store = |partition_id| {
        StoreConsumerOffsetRequest {
            consumer: WireConsumer::consumer_group(named("g")),
            stream_id: named("s"),
            topic_id: named("t"),
            partition_id: Some(partition_id),
            offset: 0,
            ack: AckLevel::Quorum,
        }
        .to_bytes()
    };
    assert_eq!(first.ask(Operation::StoreConsumerOffset, &store(1)).await.status(), 5009);
    first.ask(Operation::StoreConsumerOffset, &store(0)).await.ok();
    let mut outsider = Raw::enter(&broker).await;
    assert_eq!(outsider.ask(Operation::StoreConsumerOffset, &store(0)).await.status(), 5006);
    shut(broker).await;
}

#[tokio::test]
async fn new_partitions_are_shared_out() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = group(&broker, 1).await;
    join(&mut raw).await;
    let request =
        CreatePartitionsRequest { stream_id: named("s"), topic_id: named("t"), partitions_count: 2 };
    raw.ask(Operation::CreatePartitions, &request.to_bytes()).await.ok();
    assert_eq!(sync(&mut raw).await.unwrap().partitions, [0, 1, 2]);
    shut(broker).await;
}

#[tokio::test]
async fn a_silent_member_is_sent_away() {
    let house = House::new();
    let limits = Limits { member_silence_max: Duration::from_millis(50), ..Limits::default() };
    let broker = house.open_with(limits).await;
    let mut idle = group(&broker, 1).await;
    let mut silent = Raw::enter(&broker).await;
    join(&mut silent).await;
    let farewell = silent.answer().await.expect("it is told");
    assert_eq!(farewell.reason(), EvictionReason::StaleClient as u8);
    assert!(silent.answer().await.is_none());
    idle.read(12, &[]).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn nobody_is_a_member_after_a_restart() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = group(&broker, 1).await;
    join(&mut raw).await;
    shut(broker).await;
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(sync(&mut raw).await, None);
    shut(broker).await;
}

#[tokio::test]
async fn a_partition_moves_once_its_owner_has_committed_what_it_read() {
    let house = House::new();
    let broker = house.open().await;
    let mut first = group(&broker, 2).await;
    join(&mut first).await;
    for partition in 0..2 {
        first.send(("s", "t", partition), &[(1, "a"), (2, "b")]).await.ok();
        let (_, messages) = messages_of(&first.read(100, &group_poll(partition)).await.ok());
        assert_eq!(messages.len(), 2);
    }
    let mut second = Raw::enter(&broker).await;
    join(&mut second).await;
    assert_eq!(sync(&mut first).await.unwrap().partitions, [0], "it is told to read no more of the other");
    assert_eq!(sync(&mut second).await.unwrap().partitions, [0; 0]);
    let (head, _) = messages_of(&first.read(100, &group_poll(1)).await.ok());
    assert_eq!(head.partition_id, u32::MAX);
    assert_eq!(second.ask(Operation::StoreConsumerOffset, &commit(1, 1)).await.status(), 5009);
    first.ask(Operation::StoreConsumerOffset, &commit(1, 0)).await.ok();
    assert_eq!(sync(&mut second).await.unwrap().partitions, [0; 0]);
    first.ask(Operation::StoreConsumerOffset, &commit(1, 1)).await.ok();
    assert_eq!(sync(&mut second).await.unwrap().partitions, [1]);
    assert_eq!(first.ask(Operation::StoreConsumerOffset, &commit(1, 0)).await.status(), 5009);
    let (head, messages) = messages_of(&second.read(100, &group_poll(1)).await.ok());
    assert_eq!((head.partition_id, messages.len()), (1, 0), "it goes on where the first one ended");
    shut(broker).await;
}

#[tokio::test]
async fn an_owner_that_does_not_commit_in_time_is_not_waited_for() {
    let house = House::new();
    let limits = Limits { hand_over_time_max: Duration::from_millis(50), ..Limits::default() };
    let broker = house.open_with(limits).await;
    let mut first = group(&broker, 2).await;
    join(&mut first).await;
    first.send(("s", "t", 1), &[(1, "a")]).await.ok();
    first.read(100, &group_poll(1)).await.ok();
    let mut second = Raw::enter(&broker).await;
    join(&mut second).await;
    assert_eq!(owns(&mut second, 1).await.partitions, [1]);
    assert_eq!(first.ask(Operation::StoreConsumerOffset, &commit(1, 0)).await.status(), 5009);
    let (_, messages) = messages_of(&second.read(100, &group_poll(1)).await.ok());
    assert_eq!(messages.len(), 1, "what was not committed comes again");
    shut(broker).await;
}

fn group_poll(partition_id: u32) -> bytes::Bytes {
    let request = poll(("s", "t", partition_id), WirePollingStrategy::next(), 10);
    PollMessagesRequest { consumer: WireConsumer::consumer_group(named("g")), ..request }.to_bytes()
}

fn commit(partition_id: u32, offset: u64) -> bytes::Bytes {
    let request = StoreConsumerOffsetRequest {
        consumer: WireConsumer::consumer_group(named("g")),
        stream_id: named("s"),
        topic_id: named("t"),
        partition_id: Some(partition_id),
        offset,
        ack: AckLevel::Quorum,
    };
    request.to_bytes()
}
