//! Goal: the members of a group share the partitions, take over from each other, and resume where offsets were stored.
//! Method: one and two members step through a topic while others come and go.

use std::collections::BTreeSet;

use guesthouse_connector::{
    Assignment, ConnectorError, CursorStep, GroupAddress, GroupCursor, Offset, PartitionId, StoreOutcome,
    TopicAddress,
};

use crate::kit::{House, batch, both_kinds, eventually, ids, open_cursor, read_ids, step_until};

both_kinds!(
    one_member_reads_everything_in_order,
    unwanted_partitions_wait,
    stored_offsets_are_where_the_next_member_begins,
    two_members_share_the_partitions,
    a_dropped_member_is_replaced,
    offsets_of_others_are_not_stored,
    an_offset_from_before_a_successor_is_not_stored_after_it,
    a_missing_topic_is_an_error,
    a_topic_made_anew_is_read_from_its_beginning,
    a_step_that_is_dropped_loses_nothing,
);

async fn one_member_reads_everything_in_order(house: &House) {
    let topic = house.topic("alone", 3).await;
    for partition in 0..3 {
        let first = u128::from(partition) * 100;
        house.connector.publish_batch(&topic, batch(first + 1..=first + 50, partition)).await.unwrap();
    }
    let mut cursor = open_cursor(&*house.connector, &GroupAddress::new(topic, "group")).await;
    assert_eq!(assigned(&mut cursor).await, from_zero([0, 1, 2]));
    assert_eq!(cursor.assignment().collect::<Vec<_>>(), [0, 1, 2].map(PartitionId));
    let mut read = read_ids(&mut cursor, 150).await;
    for partition in 0..3 {
        let own: Vec<_> = read.iter().filter(|id| *id / 100 == partition).copied().collect();
        assert_eq!(own, (partition * 100 + 1..=partition * 100 + 50).collect::<Vec<_>>());
    }
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), 150);
    assert_eq!(cursor.step(|_| true).await.unwrap(), CursorStep::Empty);
    cursor.leave().await.unwrap();
}

async fn unwanted_partitions_wait(house: &House) {
    let topic = house.topic("unwanted", 2).await;
    house.connector.publish_batch(&topic, batch([1], 0)).await.unwrap();
    house.connector.publish_batch(&topic, batch([2], 1)).await.unwrap();
    let mut cursor = open_cursor(&*house.connector, &GroupAddress::new(topic, "group")).await;
    assigned(&mut cursor).await;
    let step = cursor.step(|partition| partition == PartitionId(1)).await.unwrap();
    assert!(matches!(step, CursorStep::Messages { partition: PartitionId(1), .. }), "{step:?}");
    let step = cursor.step(|partition| partition == PartitionId(1)).await.unwrap();
    assert_eq!(step, CursorStep::Empty);
    assert_eq!(read_ids(&mut cursor, 1).await, [1]);
    cursor.leave().await.unwrap();
}

async fn stored_offsets_are_where_the_next_member_begins(house: &House) {
    let topic = house.topic("resumed", 2).await;
    house.connector.publish_batch(&topic, batch(1..=10, 0)).await.unwrap();
    let group = GroupAddress::new(topic, "group");
    let mut first = open_cursor(&*house.connector, &group).await;
    read_ids(&mut first, 10).await;
    let stored = first.store_offset(PartitionId(0), Offset(6)).await.unwrap();
    assert_eq!(stored, StoreOutcome::Stored);
    let offsets = house.connector.group_offsets(&group).await.unwrap();
    assert_eq!(offsets, [(PartitionId(0), Some(Offset(6))), (PartitionId(1), None)]);
    first.leave().await.unwrap();

    let mut second = open_cursor(&*house.connector, &group).await;
    let mut expected = from_zero([0, 1]);
    expected[0].next = Offset(7);
    assert_eq!(assigned(&mut second).await, expected);
    assert_eq!(read_ids(&mut second, 3).await, [8, 9, 10]);
    second.leave().await.unwrap();
}

async fn two_members_share_the_partitions(house: &House) {
    let group = GroupAddress::new(house.topic("shared", 4).await, "group");
    let mut first = open_cursor(&*house.connector, &group).await;
    assert_eq!(assigned(&mut first).await.len(), 4);
    let mut second = open_cursor(&*house.connector, &group).await;
    share(&mut first, &mut second, 2).await;

    first.leave().await.unwrap();
    eventually("the second member owns everything", async || {
        second.step(|_| true).await.unwrap();
        second.assignment().count() == 4
    })
    .await;
    second.leave().await.unwrap();
}

async fn a_dropped_member_is_replaced(house: &House) {
    let topic = house.topic("dropped", 2).await;
    let group = GroupAddress::new(topic.clone(), "group");
    let mut first = open_cursor(&*house.connector, &group).await;
    assigned(&mut first).await;
    let mut second = open_cursor(&*house.connector, &group).await;
    share(&mut first, &mut second, 1).await;
    publish_to_both(house, &topic).await;
    let read_before = read_ids(&mut second, 1).await;
    drop(first);
    // What nobody stored an offset for is read again by the one who takes over.
    let mut read = BTreeSet::from_iter(read_before);
    eventually("the second member has read everything", async || {
        if let CursorStep::Messages { messages, .. } = second.step(|_| true).await.unwrap() {
            read.extend(messages.iter().map(|message| message.id));
        }
        read.len() == 2
    })
    .await;
    second.leave().await.unwrap();
}

async fn offsets_of_others_are_not_stored(house: &House) {
    let topic = house.topic("fenced", 2).await;
    let group = GroupAddress::new(topic.clone(), "group");
    publish_to_both(house, &topic).await;
    let mut first = open_cursor(&*house.connector, &group).await;
    read_ids(&mut first, 2).await;
    for partition in [0, 1].map(PartitionId) {
        let stored = first.store_offset(partition, Offset(0)).await.unwrap();
        assert_eq!(stored, StoreOutcome::Stored);
    }
    let mut second = open_cursor(&*house.connector, &group).await;
    share(&mut first, &mut second, 1).await;
    let lost = second.assignment().next().unwrap();
    let stored = first.store_offset(lost, Offset(0)).await.unwrap();
    assert_eq!(stored, StoreOutcome::NotOwner);
    first.leave().await.unwrap();
    second.leave().await.unwrap();
}

async fn an_offset_from_before_a_successor_is_not_stored_after_it(house: &House) {
    let topic = house.topic("overtaken", 2).await;
    let group = GroupAddress::new(topic.clone(), "group");
    for partition in [0, 1] {
        house.connector.publish_batch(&topic, batch(1..=3, partition)).await.unwrap();
    }
    let mut first = open_cursor(&*house.connector, &group).await;
    read_ids(&mut first, 6).await;
    for partition in [0, 1].map(PartitionId) {
        first.store_offset(partition, Offset(2)).await.unwrap();
    }
    let mut second = open_cursor(&*house.connector, &group).await;
    share(&mut first, &mut second, 1).await;
    let lost = second.assignment().next().unwrap();
    house.connector.publish_batch(&topic, batch([4], lost.0)).await.unwrap();
    let stored = second.store_offset(lost, Offset(3)).await.unwrap();
    assert_eq!(stored, StoreOutcome::Stored);
    second.leave().await.unwrap();
    // The partition is the first member's again, who does not know yet.
    let stored = first.store_offset(lost, Offset(2)).await.unwrap();
    assert_eq!(stored, StoreOutcome::NotOwner);
    assert_eq!(assigned(&mut first).await, [Assignment { partition: lost, next: Offset(4) }]);
    first.leave().await.unwrap();
}

async fn a_topic_made_anew_is_read_from_its_beginning(house: &House) {
    let topic = house.topic("anew", 1).await;
    house.connector.publish_batch(&topic, batch(1..=5, 0)).await.unwrap();
    let mut cursor = open_cursor(&*house.connector, &GroupAddress::new(topic.clone(), "group")).await;
    assert_eq!(read_ids(&mut cursor, 5).await, [1, 2, 3, 4, 5]);
    cursor.store_offset(PartitionId(0), Offset(4)).await.unwrap();

    house.connector.delete_topic(&topic).await.unwrap();
    house.topic("anew", 1).await;
    house.connector.publish_batch(&topic, batch(6..=8, 0)).await.unwrap();
    // Until it has noticed, the cursor may meet errors; it goes on by itself.
    let mut read = Vec::new();
    eventually("everything in the new topic is read", async || {
        if let Ok(CursorStep::Messages { messages, .. }) = cursor.step(|_| true).await {
            read.extend(ids(&messages));
        }
        read.len() >= 3
    })
    .await;
    assert_eq!(read, [6, 7, 8]);
    cursor.leave().await.unwrap();
}

async fn a_missing_topic_is_an_error(house: &House) {
    let group = GroupAddress::new(TopicAddress::new(&house.stream, "missing"), "group");
    let error = house.connector.open_group_cursor(&group).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
}

async fn a_step_that_is_dropped_loses_nothing(house: &House) {
    let topic = house.topic("cancelled", 1).await;
    house.connector.publish_batch(&topic, batch(1..=200, 0)).await.unwrap();
    let mut cursor = open_cursor(&*house.connector, &GroupAddress::new(topic, "group")).await;
    let mut read = Vec::new();
    for polls in (0..12).cycle() {
        let mut step = Box::pin(cursor.step(|_| true));
        let mut finished = None;
        for _ in 0..=polls {
            let poll = futures_poll_once(&mut step).await;
            finished = finished.or(poll);
            if finished.is_some() {
                break;
            }
        }
        drop(step);
        if let Some(CursorStep::Messages { messages, .. }) = finished.transpose().unwrap() {
            read.extend(messages.iter().map(|message| message.id));
        }
        if read.len() >= 200 {
            break;
        }
        if polls == 11 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(read, (1..=200).collect::<Vec<u128>>());
    cursor.leave().await.unwrap();
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = tokio::time::sleep(std::time::Duration::from_micros(200)) => None,
    }
}

async fn publish_to_both(house: &House, topic: &TopicAddress) {
    house.connector.publish_batch(topic, batch([1], 0)).await.unwrap();
    house.connector.publish_batch(topic, batch([2], 1)).await.unwrap();
}

/// Steps until something is assigned.
async fn assigned(cursor: &mut GroupCursor) -> Vec<Assignment> {
    match step_until(cursor, |step| matches!(step, CursorStep::Assigned(_))).await {
        CursorStep::Assigned(assignments) => assignments,
        step => unreachable!("{step:?}"),
    }
}

fn from_zero(partitions: impl IntoIterator<Item = u32>) -> Vec<Assignment> {
    let begin = |id| Assignment { partition: PartitionId(id), next: Offset(0) };
    partitions.into_iter().map(begin).collect()
}

/// Steps both members until each owns this many partitions and none is owned twice.
async fn share(first: &mut GroupCursor, second: &mut GroupCursor, each: usize) {
    eventually("both members own their share", async || {
        // Messages that come by are of no interest: only the assignment is.
        first.step(|_| false).await.unwrap();
        second.step(|_| false).await.unwrap();
        let one: BTreeSet<_> = first.assignment().collect();
        let other: BTreeSet<_> = second.assignment().collect();
        one.len() == each && other.len() == each && one.is_disjoint(&other)
    })
    .await;
}
