//! Takes a batch apart, runs the handler for its events in order and gathers the sparse answers.
//! A batch in which nothing fails and nothing is emitted is answered without an allocation.

use crate::contract::exports::guesthouse::handler::batch::{Answers, EventEmit, EventFailure};
use crate::event::WORDS_KNOWN;
use crate::{Event, Failure, IntoEmits};

/// Runs `handle` for the events of a batch, except those behind a failure in the same lane.
///
/// # Panics
///
/// When the index breaks the contract: the host never sends one that does.
pub fn handle_batch<E: IntoEmits>(
    arena: &[u8],
    index: &[u64],
    handle: impl Fn(&Event<'_>) -> Result<E, Failure>,
) -> Answers {
    let mut answers = Answers { emits: Vec::new(), failures: Vec::new(), skipped: Vec::new() };
    let mut failed_lanes = FailedLanes::default();
    for (number, event) in (0..).zip(events(arena, index)) {
        let lane = event.lane();
        if failed_lanes.contains(lane) {
            answers.skipped.push(number);
            continue;
        }
        match handle(&event) {
            Ok(emits) => {
                let emits = emits.into_emits().into_iter();
                answers.emits.extend(emits.map(|emit| EventEmit { event: number, emit: emit.0 }));
            }
            Err(failure) => {
                failed_lanes.insert(lane);
                answers.failures.push(EventFailure { event: number, failure: failure.0 });
            }
        }
    }
    answers
}

/// The events of an index. Words past the known ones are left to newer crates.
fn events<'a>(arena: &'a [u8], index: &'a [u64]) -> impl Iterator<Item = Event<'a>> {
    let (&stride, words) = index.split_first().expect("the host sends the stride first");
    let stride = usize::try_from(stride).expect("the host sends a stride that fits in memory");
    assert!(
        stride >= WORDS_KNOWN,
        "expected at least {WORDS_KNOWN} words per event, the host sends {stride}"
    );
    let events = words.chunks_exact(stride);
    assert!(events.remainder().is_empty(), "expected whole events, the index ends within one");
    events.filter_map(<[u64]>::first_chunk).map(|words| Event::new(arena, words))
}

/// Lanes in which an event of this batch failed, in ascending order.
#[derive(Default)]
struct FailedLanes(Vec<u32>);

impl FailedLanes {
    fn contains(&self, lane: u32) -> bool {
        self.0.binary_search(&lane).is_ok()
    }

    fn insert(&mut self, lane: u32) {
        if let Err(place) = self.0.binary_search(&lane) {
            self.0.insert(place, lane);
        }
    }
}

#[cfg(test)]
mod tests;
