//! Records of parked lanes that must not be published yet: one that stops a lane at a dead event, until its dead letter
//! is confirmed, and those of the lane that come behind it.
//!
//! So whoever takes a partition over finds no dead event parked whose dead letter might be lost.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::effects::{EffectId, PublishJob};
use super::partitions::PartitionKey;
use crate::identity::LaneName;

/// The lane of a parked partition.
pub(super) type GatedLane = (PartitionKey, LaneName);

/// Jobs that wait, lane by lane, in the order in which they are to be published.
#[derive(Debug, Default)]
pub(super) struct Gates {
    lanes: HashMap<GatedLane, VecDeque<Gated>>,
    letters: HashMap<EffectId, GatedLane>,
}

#[derive(Debug)]
struct Gated {
    /// The dead letter that is not confirmed yet.
    letter: Option<EffectId>,
    job: PublishJob,
}

impl Gates {
    /// Takes a job of a lane that has to wait, for a dead letter or for those before it. Gives back one that has not.
    pub(super) fn pass(
        &mut self,
        lane: GatedLane,
        job: PublishJob,
        letter: Option<EffectId>,
    ) -> Option<PublishJob> {
        if letter.is_none() && !self.lanes.contains_key(&lane) {
            return Some(job);
        }
        self.letters.extend(letter.map(|letter| (letter, lane)));
        self.lanes.entry(lane).or_default().push_back(Gated { letter, job });
        None
    }

    /// A dead letter is confirmed: the jobs that need not wait any more, if it was one that any waited for.
    pub(super) fn confirmed(&mut self, letter: EffectId) -> Vec<PublishJob> {
        let Some(lane) = self.letters.remove(&letter) else { return Vec::new() };
        let Some(waiting) = self.lanes.get_mut(&lane) else { return Vec::new() };
        for gated in waiting.iter_mut().filter(|gated| gated.letter == Some(letter)) {
            gated.letter = None;
        }
        let next = || waiting.pop_front_if(|gated| gated.letter.is_none());
        let free = std::iter::from_fn(next).map(|gated| gated.job).collect();
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        }
        free
    }

    /// A partition is no longer held: nothing of it is published that waits. Tells what will never be.
    pub(super) fn revoke(&mut self, partition: PartitionKey) -> Vec<EffectId> {
        self.letters.retain(|_, (of, _)| *of != partition);
        let gone = self.lanes.extract_if(|(of, _), _| *of == partition);
        gone.flat_map(|(_, waiting)| waiting).map(|gated| gated.job.effect).collect()
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::PartitionId;

    use super::super::effects::OnRefusal;
    use super::super::partitions::TopicIndex;
    use super::*;

    fn lane(partition: u32) -> GatedLane {
        let key = PartitionKey { topic: TopicIndex(0), partition: PartitionId(partition) };
        (key, "00000000000000aa".parse().unwrap())
    }

    fn job(effect: u64) -> PublishJob {
        PublishJob { effect: EffectId(effect), messages: Vec::new(), on_refusal: OnRefusal::Insist }
    }

    fn effects(jobs: Vec<PublishJob>) -> Vec<u64> {
        jobs.into_iter().map(|job| job.effect.0).collect()
    }

    #[test]
    fn jobs_of_a_lane_wait_for_the_letters_before_them() {
        let mut gates = Gates::default();
        assert!(gates.pass(lane(0), job(1), None).is_some(), "nothing is before it");
        for (effect, letter) in [(2, Some(10)), (3, None), (4, Some(11)), (5, None)] {
            assert!(gates.pass(lane(0), job(effect), letter.map(EffectId)).is_none());
        }
        assert!(gates.pass(lane(1), job(6), None).is_some(), "another lane does not wait");
        assert!(effects(gates.confirmed(EffectId(11))).is_empty());
        assert_eq!(effects(gates.confirmed(EffectId(10))), [2, 3, 4, 5]);
        assert!(gates.pass(lane(0), job(7), None).is_some());
    }

    #[test]
    fn what_waits_for_a_lost_partition_is_never_published() {
        let mut gates = Gates::default();
        for partition in [0, 1] {
            assert!(gates.pass(lane(partition), job(1), Some(EffectId(10 + u64::from(partition)))).is_none());
        }
        assert_eq!(gates.revoke(lane(0).0), [EffectId(1)]);
        assert!(effects(gates.confirmed(EffectId(10))).is_empty());
        assert_eq!(effects(gates.confirmed(EffectId(11))), [1]);
    }
}
