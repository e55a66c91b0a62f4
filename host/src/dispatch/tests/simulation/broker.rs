//! The broker of a life: what producers wrote, what hosts published, which offsets are stored, and who owns what.

use std::collections::BTreeMap;

use guesthouse_connector::OutgoingMessage;

use super::oracle::{Oracle, Place};
use super::shelf::{SUFFIX, Shelf, partition_of};
use super::*;
use crate::parked::Applied;

/// One event in its partition, with what guests will do with it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) decoded: Decoded,
    /// By each handler that wants it.
    pub(super) natures: BTreeMap<usize, Nature>,
}

/// Who reads a partition. The number tells two times of the same owner apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) seat: usize,
    pub(super) number: u64,
}

/// How partitions are dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deal {
    /// Who must go goes at once.
    Sudden,
    /// Who must go may end what it has, until this step.
    Patient { until: u64 },
    /// Everybody begins again.
    Anew,
}

/// What the broker keeps of one partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) log: Vec<Record>,
    /// The offset after the one that is stored.
    pub(super) stored: u64,
    pub(super) owner: Option<Ownership>,
    /// Who reads it next, once the owner has stored all that it read, at the latest at this step.
    pub(super) successor: Option<(Ownership, u64)>,
    /// What is parked of it.
    pub(super) shelf: Shelf,
}

/// A broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) partitions: Vec<Partition>,
    ownerships: u64,
    /// Whether it answers at all.
    pub(super) is_up: bool,
    /// A topic that takes nothing now.
    pub(super) refused: Option<String>,
}

impl Broker {
    pub(super) fn new(partitions: usize) -> Self {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        Self { partitions, ownerships: 0, is_up: true, refused: None }
    }

    /// What a producer wrote.
    pub(super) fn record(&self, (partition, offset): Place) -> &Record {
        &self.partitions[partition].log[usize::try_from(offset).unwrap()]
    }

    /// Deals the partitions to the members that are there, beginning with one of them. An owner who stays keeps its
    /// time unless the deal is new altogether; one who must go may first end what it has, if it has patience.
    pub(super) fn deal(&mut self, seats: &[usize], first: usize, deal: Deal) {
        for (at, partition) in self.partitions.iter_mut().enumerate() {
            let seat = (!seats.is_empty()).then(|| seats[(at + first) % seats.len()]);
            let before = partition.owner.map(|owner| owner.seat);
            partition.successor = None;
            if deal != Deal::Anew && seat.is_some() && seat == before {
                continue;
            }
            self.ownerships += 1;
            let next = seat.map(|seat| Ownership { seat, number: self.ownerships });
            match (deal, next) {
                (Deal::Patient { until }, Some(next)) if before.is_some_and(|seat| seats.contains(&seat)) => {
                    partition.successor = Some((next, until));
                }
                _ => partition.owner = next,
            }
        }
    }

    /// Lets successors take over at this step, where `has_ended(partition, owner)`.
    pub(super) fn hand_over(&mut self, step: u64, has_ended: impl Fn(usize, &Partition) -> bool) {
        for at in 0..self.partitions.len() {
            let is_over =
                |(_, until): &(Ownership, u64)| *until <= step || has_ended(at, &self.partitions[at]);
            if let Some((next, _)) = self.partitions[at].successor.filter(is_over) {
                self.partitions[at].owner = Some(next);
                self.partitions[at].successor = None;
            }
        }
    }

    /// Whether a request to publish to a topic is carried out.
    pub(super) fn takes(&self, topic: &str) -> bool {
        self.is_up && self.refused.as_deref() != Some(topic)
    }

    /// Takes a message that a host published.
    pub(super) fn take(&mut self, setting: &Setting, oracle: &mut Oracle, letter: (&str, &OutgoingMessage)) {
        let (topic, message) = letter;
        if topic.ends_with(SUFFIX) {
            self.shelve(partition_of(setting, topic, message), message, oracle);
        } else {
            oracle.stored(message.id);
        }
    }

    /// Takes a message for a parked partition.
    pub(super) fn shelve(&mut self, at: usize, message: &OutgoingMessage, oracle: &mut Oracle) -> Applied {
        let shelf = &mut self.partitions[at].shelf;
        let place = (at, shelf.records.len() as u64);
        let change = shelf.append(message);
        oracle.shelved(place, &change);
        change.applied
    }

    /// Stores an offset for its owner, and for nobody else.
    pub(super) fn store(&mut self, partition: usize, by: Ownership, offset: u64) -> bool {
        let partition = &mut self.partitions[partition];
        let is_owner = self.is_up && partition.owner == Some(by);
        if is_owner {
            assert!(
                partition.stored <= offset + 1,
                "I-7: a commit fell from {} to {offset}",
                partition.stored
            );
            partition.stored = offset + 1;
        }
        is_owner
    }
}

/// A message on its way to a topic.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) effect: EffectId,
    pub(super) message: OutgoingMessage,
}
