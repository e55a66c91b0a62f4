//! Which offsets of a partition a replay covers. A time is looked for by halves, since brokers append in the order of
//! time; each look reads one message.

use guesthouse_connector::{
    ConnectorError, IggyConnector, Offset, PartitionId, PartitionState, TopicAddress,
};

use super::ReplayBound;

/// What is left to look through for a time: the message sought is at or after `low`, and at or before `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Search {
    low: u64,
    high: u64,
}

impl Search {
    /// The offset to look at next; none when the message is found.
    fn probe(self) -> Option<u64> {
        (self.low < self.high).then(|| self.low + (self.high - self.low) / 2)
    }

    /// The first message at or after the probe stands at `found` and is early, or not; none when there is no such
    /// message any more.
    fn learn(self, probe: u64, found: Option<(u64, IsEarly)>) -> Self {
        match found {
            Some((at, IsEarly::Yes)) => Self { low: at.saturating_add(1).min(self.high), ..self },
            Some((_, IsEarly::No)) | None => Self { high: probe, ..self },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsEarly {
    Yes,
    No,
}

impl IsEarly {
    const fn of(early: bool) -> Self {
        if early { Self::Yes } else { Self::No }
    }
}

/// The first offset of a range, and the first one behind it.
pub(super) async fn resolve(
    connector: &dyn IggyConnector,
    topic: &TopicAddress,
    state: &PartitionState,
    (from, to): (ReplayBound, ReplayBound),
) -> Result<(u64, u64), ConnectorError> {
    let end = state.last_offset.map_or(0, |last| last.0.saturating_add(1));
    let mut ends = [0, end];
    for (place, bound) in ends.iter_mut().zip([from, to]) {
        *place = match bound {
            ReplayBound::Open => *place,
            ReplayBound::Offset(offset) => offset.min(end),
            ReplayBound::TimeMicros(micros) => {
                first_since(micros, connector, (topic, state.partition), end).await?
            }
        };
    }
    let [from, to] = ends;
    Ok((from, to.max(from)))
}

/// The first offset before `end` from which on no message was appended before a time.
async fn first_since(
    micros: u64,
    connector: &dyn IggyConnector,
    (topic, partition): (&TopicAddress, PartitionId),
    end: u64,
) -> Result<u64, ConnectorError> {
    let mut search = Search { low: 0, high: end };
    while let Some(probe) = search.probe() {
        let read = connector.read_from(topic, partition, Offset(probe), 1).await?;
        let found =
            read.first().map(|message| (message.offset.0, IsEarly::of(message.timestamp_micros < micros)));
        search = search.learn(probe, found);
    }
    Ok(search.low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for a time among messages at these offsets, each with its time.
    fn find(messages: &[(u64, u64)], end: u64, time: u64) -> u64 {
        let mut search = Search { low: 0, high: end };
        let mut looks = 0;
        while let Some(probe) = search.probe() {
            looks += 1;
            assert!(looks <= 64, "it comes to an end");
            let first = messages.iter().find(|(offset, _)| *offset >= probe);
            let found = first.map(|(offset, at)| (*offset, IsEarly::of(*at < time)));
            search = search.learn(probe, found);
        }
        search.low
    }

    #[test]
    fn a_time_is_found_among_gaps_and_equals() {
        let messages = [(5, 10), (6, 10), (9, 20), (10, 30), (40, 30)];
        // The lowest offset from which on nothing is early: what lies between messages is as good as the next one.
        for (time, expected) in [(0, 0), (10, 0), (11, 7), (20, 7), (21, 10), (30, 10), (31, 41)] {
            let found = find(&messages, 41, time);
            let first =
                |from: u64| messages.iter().find(|(offset, _)| *offset >= from).map(|(offset, _)| *offset);
            assert_eq!(first(found), first(expected), "time {time}: found {found}");
        }
        assert_eq!(find(&[], 0, 5), 0);
    }
}
