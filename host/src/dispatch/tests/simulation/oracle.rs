//! The oracle: what is true of every event, kept apart from the dispatcher, and what must hold of all of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use crate::identity::{DeadLetterId, EmitId, EventIdentity};

/// An event by its partition and offset.
pub(super) type Place = (usize, u64);

/// An event on its way to a handler; an undecodable message is on its way to none.
pub(super) type Errand = (Place, Option<usize>);

/// What a message that a host publishes is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Emit(Errand, u32),
    Letter(Errand),
}

/// What is true of all events.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Whose message an id is. Every id that may ever be published stands here.
    subjects: HashMap<u128, Subject>,
    /// Handlers that each event waits for, or one for its dead letter.
    open: HashMap<Place, usize>,
    ended: HashSet<Errand>,
    /// Emits that are not on their topic, of events that a guest handled.
    missing: HashMap<Errand, HashSet<u32>>,
    /// The first offset of each partition that is not settled in truth.
    frontier: BTreeMap<usize, u64>,
    pub(super) tally: Tallies,
}

/// How often something happened, over a life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    pub(super) steps: u64,
    pub(super) handled: u64,
    pub(super) repeated: u64,
    /// Repeats that losses of partitions and hosts explain.
    pub(super) repeats_max: u64,
    pub(super) dead: u64,
    pub(super) condemned: u64,
    pub(super) commits: u64,
    pub(super) refused_commits: u64,
    pub(super) crashes: u64,
    pub(super) revocations: u64,
    pub(super) pauses: u64,
    pub(super) blocked: u64,
}

impl Oracle {
    /// A producer wrote an event.
    pub(super) fn produced(&mut self, place: Place, record: &Record, handlers: &[HandlerName]) {
        let Record { decoded, natures } = record;
        let message = match decoded {
            Ok(event) => &event.message,
            Err(undecodable) => &undecodable.0,
        };
        let identity = EventIdentity::of(message);
        if decoded.is_err() {
            let id = DeadLetterId::of_undecodable(identity).as_u128();
            self.name(id, Subject::Letter((place, None)));
            self.open.insert(place, 1);
            return;
        }
        for (handler, nature) in natures {
            let errand = (place, Some(*handler));
            let name = &handlers[*handler];
            self.name(DeadLetterId::of_handler(identity, name).as_u128(), Subject::Letter(errand));
            for index in 0..nature.emits() {
                self.name(EmitId::of(identity, name, index).as_u128(), Subject::Emit(errand, index));
            }
        }
        if !natures.is_empty() {
            self.open.insert(place, natures.len());
        }
    }

    fn name(&mut self, id: u128, subject: Subject) {
        let other = self.subjects.insert(id, subject);
        assert_eq!(other, None, "I-3: one id for two things");
    }

    /// What a message is about. What is about nothing was invented.
    pub(super) fn subject(&self, message_id: u128) -> Subject {
        *self.subjects.get(&message_id).expect("I-2: nobody asked for this message")
    }

    /// A guest handled an event, and the host took its word for it.
    pub(super) fn handled(&mut self, errand: Errand, emits: u32) {
        self.tally.handled += 1;
        let is_new = match emits {
            0 => self.end(errand),
            _ if self.ended.contains(&errand) || self.missing.contains_key(&errand) => false,
            _ => self.missing.insert(errand, (0..emits).collect()).is_none(),
        };
        self.tally.repeated += u64::from(!is_new);
    }

    /// The broker took a message.
    pub(super) fn stored(&mut self, message_id: u128) {
        match self.subject(message_id) {
            Subject::Letter(errand) => drop(self.end(errand)),
            Subject::Emit(errand, index) => {
                let Some(missing) = self.missing.get_mut(&errand) else {
                    assert!(
                        self.ended.contains(&errand),
                        "I-11: an emit of {errand:?}, which nobody handled"
                    );
                    return;
                };
                missing.remove(&index);
                if missing.is_empty() {
                    self.end(errand);
                }
            }
        }
    }

    /// Tells whether that was the first time.
    fn end(&mut self, errand: Errand) -> bool {
        let is_new = self.ended.insert(errand);
        if is_new && let Some(open) = self.open.get_mut(&errand.0) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&errand.0);
            }
        }
        is_new
    }

    /// I-6: whether everything in a partition up to an offset is settled in truth.
    pub(super) fn is_settled_up_to(&mut self, (partition, offset): Place) -> bool {
        let frontier = self.frontier.entry(partition).or_default();
        while *frontier <= offset && !self.open.contains_key(&(partition, *frontier)) {
            *frontier += 1;
        }
        *frontier > offset
    }

    /// I-1, I-8: what must hold once everything has come to rest.
    pub(super) fn at_the_end(&self) {
        assert!(self.open.is_empty(), "I-1: lost {:?}", self.open.keys().collect::<Vec<_>>());
        let Tallies { repeated, repeats_max, .. } = self.tally;
        assert!(repeated <= repeats_max, "I-8: {repeated} repeats where {repeats_max} are explained");
    }
}

impl Tallies {
    /// What must happen now and then.
    pub(super) fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("handling", self.handled),
            ("handling again", self.repeated),
            ("a dead letter", self.dead),
            ("a condemned event", self.condemned),
            ("a commit", self.commits),
            ("a refused commit", self.refused_commits),
            ("a crash", self.crashes),
            ("a loss of a partition", self.revocations),
            ("a pause of a handler", self.pauses),
            ("a stopped lane", self.blocked),
            ("a step", self.steps),
        ]
    }
}

impl std::ops::AddAssign for Tallies {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.handled += other.handled;
        self.repeated += other.repeated;
        self.repeats_max += other.repeats_max;
        self.dead += other.dead;
        self.condemned += other.condemned;
        self.commits += other.commits;
        self.refused_commits += other.refused_commits;
        self.crashes += other.crashes;
        self.revocations += other.revocations;
        self.pauses += other.pauses;
        self.blocked += other.blocked;
    }
}
