//! Goal: it is known who reads, how far they are and how much is before them; and a group goes where it is put.
//! Method: read a part, look, put the group elsewhere, and read from there.

use std::sync::Arc;

use guesthouse_connector::{
    ConnectorError, ConsumerGroupManager, CursorStep, GroupAddress, GroupPosition, GroupSummary, Offset,
    PartitionId, ResetTo, TopicAddress,
};

use crate::kit::{House, batch, both_kinds, eventually, open_cursor, read_ids, step_until};

both_kinds!(
    members_and_lag_are_exact,
    a_group_goes_where_it_is_put,
    a_time_is_found_in_each_partition,
    a_group_with_members_is_left_alone,
    what_is_missing_is_said,
);

fn manager(house: &House) -> ConsumerGroupManager {
    ConsumerGroupManager::new(Arc::clone(&house.connector))
}

async fn members_and_lag_are_exact(house: &House) {
    let topic = house.topic("counted", 2).await;
    house.connector.publish_batch(&topic, batch(1..=10, 0)).await.unwrap();
    house.connector.publish_batch(&topic, batch(1..=5, 1)).await.unwrap();
    let (groups, group) = (manager(house), GroupAddress::new(topic.clone(), "readers"));
    assert_eq!(groups.list(&topic).await.unwrap(), []);
    assert_eq!(groups.members(&group).await.unwrap(), None);
    let mut cursor = open_cursor(&*house.connector, &group).await;
    read_ids(&mut cursor, 15).await;
    cursor.store_offset(PartitionId(0), Offset(6)).await.unwrap();
    let position = groups.position(&group).await.unwrap();
    assert_eq!(summary(&position), [(Some(6), 3), (None, 5)]);
    assert_eq!((position.lag_total, position.lag_max, position.complete), (8, 5, true));
    assert_eq!(position.members.len(), 1);
    let member = Some(position.members[0].id);
    assert!(position.partitions.iter().all(|partition| partition.member == member), "{position:?}");
    let expected = GroupSummary { group: "readers".to_owned(), members_count: 1 };
    assert_eq!(groups.list(&topic).await.unwrap(), [expected]);
    cursor.leave().await.unwrap();
    let position = groups.position(&group).await.unwrap();
    assert_eq!((position.lag_total, position.members.len(), position.complete), (8, 0, true));
}

async fn a_group_goes_where_it_is_put(house: &House) {
    let topic = house.topic("moved", 1).await;
    house.connector.publish_batch(&topic, batch(1..=10, 0)).await.unwrap();
    let (groups, group) = (manager(house), GroupAddress::new(topic, "readers"));
    for (to, first) in [
        (ResetTo::Offset(Offset(7)), Some(8)),
        (ResetTo::Beginning, Some(1)),
        (ResetTo::Offset(Offset(1)), Some(2)),
        (ResetTo::Offset(Offset(0)), Some(1)),
        (ResetTo::End, None),
    ] {
        let plan = groups.plan_reset(&group, to, None).await.unwrap();
        assert_eq!(groups.reset(&group, to, Some(PartitionId(0))).await.unwrap(), plan);
        let position = groups.position(&group).await.unwrap();
        assert_eq!(position.lag_total, first.map_or(0, |first| 11 - first), "{to:?}");
        if let Some(first) = first {
            let mut cursor = open_cursor(&*house.connector, &group).await;
            assert_eq!(read_ids(&mut cursor, 1).await[0], u128::from(first), "{to:?}");
            cursor.leave().await.unwrap();
        }
    }
}

async fn a_time_is_found_in_each_partition(house: &House) {
    let topic = house.topic("timed", 2).await;
    house.connector.publish_batch(&topic, batch(1..=3, 0)).await.unwrap();
    let stored = async |partition| {
        let messages = house.connector.read_from(&topic, PartitionId(partition), Offset(0), 100).await;
        messages.unwrap().into_iter().map(|message| message.timestamp_micros).collect::<Vec<_>>()
    };
    let early = stored(0).await[2];
    // Another batch has another time as soon as the broker's clock has moved on.
    let mut next = 4;
    while stored(0).await.last() == Some(&early) {
        house.connector.publish_batch(&topic, batch([next], 0)).await.unwrap();
        next += 1;
    }
    let (groups, group) = (manager(house), GroupAddress::new(topic.clone(), "readers"));
    let late = *stored(0).await.last().unwrap();
    let count = |stored: Vec<u64>, from| stored.iter().filter(|time| **time < from).count() as u64;
    for time in [early, late, late + 1] {
        let expected = count(stored(0).await, time);
        let plan = groups.reset(&group, ResetTo::Time(time), None).await.unwrap();
        let to: Vec<_> = plan.iter().map(|position| position.to.0).collect();
        assert_eq!(to, [expected, 0], "{time}");
    }
}

async fn a_group_with_members_is_left_alone(house: &House) {
    let topic = house.topic("busy", 1).await;
    house.connector.publish_batch(&topic, batch(1..=3, 0)).await.unwrap();
    let (groups, group) = (manager(house), GroupAddress::new(topic, "readers"));
    let mut cursor = open_cursor(&*house.connector, &group).await;
    step_until(&mut cursor, |step| matches!(step, CursorStep::Assigned(_))).await;
    let error = groups.reset(&group, ResetTo::End, None).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
    assert!(error.to_string().contains("has 1 members") && error.to_string().contains("stop"), "{error}");
    drop(cursor);
    eventually("the broker notices that the member is gone", async || {
        groups.members(&group).await.unwrap().unwrap_or_default().is_empty()
    })
    .await;
    groups.reset(&group, ResetTo::End, None).await.unwrap();
}

async fn what_is_missing_is_said(house: &House) {
    let topic = house.topic("present", 1).await;
    let groups = manager(house);
    let missing = GroupAddress::new(TopicAddress::new(&house.stream, "missing"), "readers");
    for error in [
        groups.position(&missing).await.unwrap_err(),
        groups.reset(&missing, ResetTo::Beginning, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
    }
    let group = GroupAddress::new(topic, "readers");
    let error = groups.reset(&group, ResetTo::Offset(Offset(1)), None).await.unwrap_err();
    assert!(error.to_string().contains("behind the end"), "{error}");
    let error = groups.plan_reset(&group, ResetTo::End, Some(PartitionId(7))).await.unwrap_err();
    assert!(error.to_string().contains("no partition 7"), "{error}");
}

fn summary(position: &GroupPosition) -> Vec<(Option<u64>, u64)> {
    let summary = |partition: &guesthouse_connector::PartitionPosition| {
        (partition.stored.map(|offset| offset.0), partition.lag)
    };
    position.partitions.iter().map(summary).collect()
}
