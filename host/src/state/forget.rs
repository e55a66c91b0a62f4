//! Forgets done-marks that no redelivery can ask for any more, because offsets beyond their events are committed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guesthouse_connector::{Offset, PartitionId};

use super::key::MarkPlace;
use super::{StateError, StateStore, now_micros};
use crate::dedup::DedupWindow;
use crate::event::SourceTopic;
use crate::handler::HandlerName;

/// Marks outlive the commit of their events by once to twice this long: a broker's machine that loses power may
/// lose offsets that it has confirmed, up to some 30 seconds old, and deliver the events again.
const ROUND: Duration = Duration::from_secs(60);

/// The last confirmed offset of each partition, by topic.
type Confirmed = BTreeMap<(String, PartitionId), Offset>;

/// Forgets the marks of a subscription's handlers.
#[derive(Debug)]
pub(crate) struct Forgetter {
    store: Arc<dyn StateStore>,
    /// Those of the handlers that keep marks.
    handlers: Vec<(HandlerName, Option<DedupWindow>)>,
    rounds: Mutex<Rounds>,
    stream: String,
}

#[derive(Debug, Default)]
struct Rounds {
    /// Confirmed in this round.
    this: Confirmed,
    /// Confirmed in the round before.
    last: Confirmed,
}

impl Forgetter {
    /// A forgetter for these handlers of a subscription to topics of a stream.
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        handlers: Vec<(HandlerName, Option<DedupWindow>)>,
        stream: String,
    ) -> Self {
        Self { store, handlers, rounds: Mutex::default(), stream }
    }

    /// Takes note that the broker has confirmed an offset. Never waits for the store.
    pub(crate) fn confirmed(&self, topic: &SourceTopic, partition: PartitionId, offset: Offset) {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.this.insert((topic.topic.clone(), partition), offset);
    }

    /// Forgets marks, round by round, without end. Cancelling loses nothing: what stays is forgotten after the next
    /// commit of its partition, by this host or the next one.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(ROUND).await;
            let forgetter = Arc::clone(&self);
            let round = tokio::task::spawn_blocking(move || forgetter.end_round()).await;
            match round {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "done-marks stay longer than they must"),
                Err(error) => tracing::error!(%error, "forgetting done-marks stopped; they stay"),
            }
        }
    }

    fn end_round(&self) -> Result<(), StateError> {
        let due = self.rounds.lock().unwrap_or_else(PoisonError::into_inner).turn();
        for ((topic, partition), offset) in due {
            for (handler, _) in &self.handlers {
                let place = MarkPlace::new(handler.as_str(), &self.stream, &topic, partition.0);
                self.store.forget_marks(&place, offset.0.saturating_add(1))?;
            }
        }
        self.forget_seen()
    }

    /// Forgets what is older than the window of its handler. While a tenant has events that happens with each of them.
    fn forget_seen(&self) -> Result<(), StateError> {
        let now = now_micros();
        for (handler, window) in &self.handlers {
            let oldest = window.as_ref().map_or(0, |window| window.oldest(now));
            if oldest > 0 {
                self.store.forget_seen(handler, oldest)?;
            }
        }
        Ok(())
    }
}

impl Rounds {
    fn turn(&mut self) -> Confirmed {
        std::mem::replace(&mut self.last, std::mem::take(&mut self.this))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::key::{MarkId, Namespace};
    use crate::state::{StateSettings, Surroundings, Transaction, open};

    #[test]
    fn marks_are_forgotten_up_to_the_committed_offset_a_round_after_the_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = open(&StateSettings::Embedded { path }, Surroundings::default()).unwrap();
        let place = MarkPlace::new("totals", "rustok", "domain", 3);
        let ids: Vec<MarkId> =
            (5..8).map(|offset| MarkId { place: place.clone(), offset, event: 1 }).collect();
        let namespace = Namespace::new("shop", "totals");
        let marks = ids.iter().map(|id| (id.clone(), Vec::new())).collect();
        let writes = [("k".to_owned(), None)].into();
        let transaction = Transaction { writes, ..Transaction::of_marks(namespace.clone(), marks, None) };
        store.apply(transaction).unwrap();
        let kept = || {
            let opened = store.open(&namespace, &ids, Duration::from_secs(1)).unwrap();
            opened.marks.into_iter().map(|mark| mark.is_some()).collect::<Vec<_>>()
        };
        let handlers = vec![(HandlerName::new("totals").unwrap(), None)];
        let forgetter = Forgetter::new(Arc::clone(&store), handlers, "rustok".to_owned());
        let topic = SourceTopic { stream: "rustok".to_owned(), topic: "domain".to_owned() };
        forgetter.confirmed(&topic, PartitionId(3), Offset(5));
        forgetter.end_round().unwrap();
        assert_eq!(kept(), [true, true, true]);
        forgetter.confirmed(&topic, PartitionId(3), Offset(6));
        forgetter.end_round().unwrap();
        assert_eq!(kept(), [false, true, true]);
        forgetter.end_round().unwrap();
        assert_eq!(kept(), [false, false, true]);
        forgetter.end_round().unwrap();
        assert_eq!(kept(), [false, false, true]);
    }
}
