//! How a topic differs from what it should be, and what can be done about it. Pure.

use std::fmt;

use serde::Serialize;

use super::{RetentionAge, RetentionSize, TopicSpec, TopicState};

/// One way in which a topic is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The property, in the words of [`TopicSpec`].
    pub property: &'static str,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// What can be done about it.
    pub remedy: Remedy,
}

/// What can be done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// It can be changed, see [`TopologyManager::apply`](super::TopologyManager::apply).
    Apply,
    /// It cannot be changed: with another number of partitions, keys would move away from their earlier events. The
    /// configured number is corrected, or the events are moved to a new topic.
    Move,
    /// The cluster needs more servers, or the configured number of copies is corrected.
    Cluster,
}

impl TopicSpec {
    /// How a topic differs from this. Copies are compared if the number of servers is known: each server keeps one.
    #[must_use]
    pub fn differences(&self, found: &TopicState, servers_count: Option<usize>) -> Vec<Difference> {
        let difference = |property, expected: &dyn fmt::Display, found: &dyn fmt::Display, remedy| {
            Difference { property, expected: expected.to_string(), found: found.to_string(), remedy }
        };
        let mut differences = Vec::new();
        let (expected, partitions) = (self.partitions, found.partitions.len());
        if u32::try_from(partitions) != Ok(expected) {
            differences.push(difference("partitions", &expected, &partitions, Remedy::Move));
        }
        if let Some(servers) = servers_count.filter(|servers| *servers < usize::from(self.replication_factor))
        {
            let expected = &self.replication_factor;
            differences.push(difference("replication_factor", expected, &servers, Remedy::Cluster));
        }
        let expected = RetentionAge::from(self.age_max);
        if expected != found.age_max {
            differences.push(difference("age_max", &expected, &found.age_max, Remedy::Apply));
        }
        let expected = RetentionSize::from(self.size_bytes_max);
        if expected != found.size_max {
            differences.push(difference("size_bytes_max", &expected, &found.size_max, Remedy::Apply));
        }
        differences
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found, .. } = self;
        match (self.property, self.remedy) {
            (_, Remedy::Move) => write!(
                f,
                "it has {found} partitions, expected {expected}; keys would move to other partitions, so set the \
                 configured number to {found} or move the events to a new topic"
            ),
            (_, Remedy::Cluster) => {
                write!(f, "{expected} copies are configured, and the cluster has {found} servers")
            }
            (property, Remedy::Apply) => {
                write!(f, "{property} is {found}, expected {expected}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::address::PartitionId;
    use crate::topology::PartitionState;

    fn state(partitions: u32) -> TopicState {
        let empty = |id| PartitionState { partition: PartitionId(id), messages_count: 0, last_offset: None };
        TopicState {
            partitions: (0..partitions).map(empty).collect(),
            age_max: RetentionAge::Forever,
            size_max: RetentionSize::Unbounded,
            size_bytes: 0,
        }
    }

    fn properties(spec: &TopicSpec, servers_count: Option<usize>) -> Vec<(&'static str, Remedy)> {
        let differences = spec.differences(&state(3), servers_count);
        differences.into_iter().map(|found| (found.property, found.remedy)).collect()
    }

    #[test]
    fn every_property_is_compared() {
        let mut spec = TopicSpec::new("topic", 3, 3);
        assert_eq!(properties(&spec, None), []);
        assert_eq!(properties(&spec, Some(3)), []);
        assert_eq!(properties(&spec, Some(1)), [("replication_factor", Remedy::Cluster)]);
        spec.partitions = 8;
        spec.age_max = Some(Duration::from_secs(1));
        spec.size_bytes_max = Some(1);
        let expected =
            [("partitions", Remedy::Move), ("age_max", Remedy::Apply), ("size_bytes_max", Remedy::Apply)];
        assert_eq!(properties(&spec, None), expected);
    }

    #[test]
    fn retention_is_told_in_the_largest_unit_that_fits() {
        let age = |secs| RetentionAge::from(Some(Duration::from_secs(secs))).to_string();
        assert_eq!((age(30 * 86_400), age(90_000)), ("30 days".to_owned(), "90000 s".to_owned()));
        assert_eq!(RetentionAge::Micros(7).to_string(), "7 µs");
        assert_eq!(RetentionAge::Micros(u64::MAX).to_string(), "18446744073709551615 µs");
    }
}
