//! The oracle: what is true of every event, kept apart from the dispatcher, and what must hold of all of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::shelf::Change;
use super::tallies::Tallies;
use super::watch::Lane;
use super::*;
use crate::identity::{DeadLetterId, EmitId, EventIdentity};
use crate::parked::{Applied, Command, Content, Control, Head, Kind};

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

/// What is true of one event and handler.
#[derive(Debug, Default)]
struct Fate {
    /// The copy of it that a guest handled, and a host took its word for it.
    handled: Option<Errand>,
    /// Its emits that are not on their topic, once it is handled.
    missing: HashSet<u32>,
    has_letter: bool,
    /// Some host has gone on without it, its letter on the way.
    is_given_up: bool,
    /// Why it stands in the parked log, if it does.
    parked: Option<Kind>,
    /// The record by which an operator took it out of the parked log.
    dropped_at: Option<u64>,
    /// An operator let the lane go on that was blocked at it.
    is_passed: bool,
    /// Attempts that it waited with in the parked log.
    waited: u32,
    /// Deaths of the host that it had seen when it stopped its lane.
    forgiven: u32,
}

/// The events of one lane in one partition.
#[derive(Debug, Default)]
struct Sequence {
    offsets: Vec<u64>,
    /// How many of the first ones may be passed by later ones.
    passed: usize,
}

/// What is true of all events.
#[derive(Debug)]
pub(super) struct Oracle {
    policies: Vec<FailurePolicy>,
    /// Whose message an id is. Every id that may ever be published stands here.
    subjects: HashMap<u128, Subject>,
    fates: HashMap<Errand, Fate>,
    lanes: HashMap<Errand, Lane>,
    sequences: HashMap<(Lane, usize), Sequence>,
    /// Who waits for each event that is not known to be settled.
    open: HashMap<Place, Vec<Errand>>,
    /// The first offset of each partition that is not settled in truth.
    frontier: BTreeMap<usize, u64>,
    pub(super) tally: Tallies,
}

impl Oracle {
    pub(super) fn new(setting: &Setting) -> Self {
        Self {
            policies: setting.handlers.iter().map(|(config, _)| config.on_failure).collect(),
            subjects: HashMap::new(),
            fates: HashMap::new(),
            lanes: HashMap::new(),
            sequences: HashMap::new(),
            open: HashMap::new(),
            frontier: BTreeMap::new(),
            tally: Tallies::default(),
        }
    }

    /// A producer wrote an event.
    pub(super) fn produced(&mut self, place: Place, record: &Record, setting: &Setting) {
        let Record { decoded, natures } = record;
        let event = match decoded {
            Ok(event) => event,
            Err(undecodable) => {
                let identity = EventIdentity::of(&undecodable.0);
                let id = DeadLetterId::of_undecodable(identity).as_u128();
                self.expect((place, None), id);
                return;
            }
        };
        let identity = EventIdentity::of(&event.message);
        for (handler, nature) in natures {
            let errand = (place, Some(*handler));
            let name = &setting.handlers[*handler].0.name;
            self.expect(errand, DeadLetterId::of_handler(identity, name).as_u128());
            for index in 0..nature.emits() {
                self.name(EmitId::of(identity, name, index).as_u128(), Subject::Emit(errand, index));
            }
            let lane = setting.lane(*handler, event);
            self.sequences.entry((lane.clone(), place.0)).or_default().offsets.push(place.1);
            self.lanes.insert(errand, lane);
        }
    }

    fn expect(&mut self, errand: Errand, letter: u128) {
        self.name(letter, Subject::Letter(errand));
        self.fates.insert(errand, Fate::default());
        self.open.entry(errand.0).or_default().push(errand);
    }

    fn name(&mut self, id: u128, subject: Subject) {
        let other = self.subjects.insert(id, subject);
        assert_eq!(other, None, "I-3: one id for two things");
    }

    /// What a message is about. What is about nothing was invented.
    pub(super) fn subject(&self, message_id: u128) -> Subject {
        *self.subjects.get(&message_id).expect("I-2: nobody asked for this message")
    }

    /// The lane of an event.
    pub(super) fn lane(&self, errand: Errand) -> &Lane {
        &self.lanes[&errand]
    }

    fn fate(&mut self, errand: Errand) -> &mut Fate {
        self.fates.get_mut(&errand).expect("it was produced")
    }

    /// I-5: an event goes into a guest, behind others of the same call. All before it in its lane and partition are
    /// handled, or passed over as the policy or an operator wants, whoever did so.
    pub(super) fn begins(&mut self, errand: Errand, call: &[Place]) {
        let (partition, offset) = errand.0;
        let lane = self.lanes[&errand].clone();
        let sequence = self.sequences.get_mut(&(lane, partition)).unwrap();
        let is_over = |fate: &Fate| {
            fate.handled.is_some() || fate.is_given_up || fate.is_passed || fate.dropped_at.is_some()
        };
        while let Some(first) = sequence.offsets.get(sequence.passed)
            && is_over(&self.fates[&((partition, *first), errand.1)])
        {
            sequence.passed += 1;
        }
        for before in sequence.offsets[sequence.passed..].iter().take_while(|before| **before < offset) {
            let place = (partition, *before);
            let may_pass = call.contains(&place) || is_over(&self.fates[&(place, errand.1)]);
            assert!(may_pass, "I-5: {errand:?} runs before {place:?}");
        }
    }

    /// A guest handled an event, and the host took its word for it.
    pub(super) fn handled(&mut self, errand: Errand, emits: u32) {
        self.tally.handled += 1;
        let fate = self.fate(errand);
        let is_new = fate.handled.is_none();
        if fate.handled != Some(errand) {
            fate.handled = Some(errand);
            fate.missing = (0..emits).collect();
        }
        self.tally.repeated += u64::from(!is_new);
    }

    /// An event was not run, for this copy of it was handled before; these emits of that may not be confirmed.
    pub(super) fn recognised(&mut self, errand: Errand, of: Errand, emits: u32) {
        self.tally.recognised += 1;
        self.tally.copies += u64::from(errand != of);
        let first = self.fate(of);
        if first.handled.is_none() {
            // By a host that had lost its partition.
            first.handled = Some(of);
            first.missing = (0..emits).collect();
        }
        // What is dead for another host owes nothing, though a guest had handled it.
        let is_owed = !first.missing.is_empty() && !first.has_letter;
        assert!(emits > 0 || !is_owed, "I-1: what {of:?} has emitted is owed and forgotten");
        let fate = self.fate(errand);
        fate.handled = fate.handled.or(Some(of));
    }

    /// A host goes on without an event.
    pub(super) fn given_up(&mut self, errand: Errand) {
        self.fate(errand).is_given_up = true;
    }

    /// A host has an event wait in the parked log, after so many attempts.
    pub(super) fn waits(&mut self, errand: Errand, attempts: u32) {
        self.tally.long_waits += 1;
        self.fate(errand).waited = attempts;
    }

    /// Attempts that an event has waited with in the parked log.
    pub(super) fn waited(&self, errand: Errand) -> u32 {
        self.fates[&errand].waited
    }

    /// Deaths of the host that are not held against an event once it is released.
    pub(super) fn forgiven(&self, errand: Errand) -> u32 {
        self.fates[&errand].forgiven
    }

    /// The record by which an operator took an event out of the parked log.
    pub(super) fn dropped_at(&self, errand: Errand) -> Option<u64> {
        self.fates[&errand].dropped_at
    }

    /// Whether the dead letter of an event is on its topic.
    pub(super) fn has_letter(&self, errand: Errand) -> bool {
        self.fates[&errand].has_letter
    }

    /// Whether an event stands in the parked log.
    pub(super) fn is_parked(&self, errand: Errand) -> bool {
        self.fates[&errand].parked.is_some()
    }

    /// The broker took a message.
    pub(super) fn stored(&mut self, message_id: u128) {
        match self.subject(message_id) {
            Subject::Letter(errand) => self.fate(errand).has_letter = true,
            Subject::Emit(errand, index) => {
                let fate = self.fate(errand);
                assert!(fate.handled.is_some(), "I-11: an emit of {errand:?}, which nobody handled");
                fate.missing.remove(&index);
            }
        }
    }

    /// The broker took a record of a parked partition.
    pub(super) fn shelved(&mut self, (partition, at): Place, change: &Change) {
        let errand = |handler: &str, event: u64| {
            let number = handler.trim_start_matches("handler-").parse().unwrap();
            ((partition, event), Some(number))
        };
        match &change.content {
            Content::Event(_, event) if matches!(change.applied, Applied::Parked | Applied::Stopped) => {
                self.tally.parked += 1;
                let fate = self.fate(errand(&event.handler, event.source.0));
                assert!(
                    event.kind != Kind::Dead || fate.has_letter,
                    "I-1: parked, and its letter may be lost"
                );
                fate.parked = Some(event.kind);
                if event.kind != Kind::Behind {
                    fate.forgiven = event.deaths_forgiven;
                }
            }
            Content::Control(_, Control::Command(command)) => {
                self.obeyed(change, *command);
                for (handler, event) in &change.gone {
                    let fate = self.fate(errand(handler, *event));
                    (fate.parked, fate.dropped_at) = (None, Some(at));
                }
            }
            _ => {
                for (handler, event) in &change.gone {
                    let errand = errand(handler, *event);
                    self.fate(errand).parked = None;
                    assert!(self.is_settled(errand), "I-6: {errand:?} is noted as settled too soon");
                }
            }
        }
    }

    fn obeyed(&mut self, change: &Change, Command { .. }: Command) {
        match change.applied {
            Applied::Released => self.tally.releases += 1,
            Applied::Dropped(events) => self.tally.drops += events,
            Applied::Stale => self.tally.stale_commands += 1,
            _ => {}
        }
    }

    /// An operator let a lane go on that was blocked at an event.
    pub(super) fn unblocked(&mut self, errand: Errand, head: Head) {
        self.tally.unblocked += 1;
        self.fate(errand).is_passed |= head == Head::Skip;
    }

    /// Whether nothing more is owed to an event, or it stands in the parked log.
    fn is_settled(&self, errand: Errand) -> bool {
        let fate = &self.fates[&errand];
        fate.parked.is_some() || self.is_over(errand, fate)
    }

    /// Whether nothing more is owed to an event.
    fn is_over(&self, errand: Errand, fate: &Fate) -> bool {
        let is_dead = match errand.1.map(|handler| self.policies[handler]) {
            None | Some(FailurePolicy::Skip) => fate.has_letter,
            Some(FailurePolicy::Park) => false,
            Some(FailurePolicy::Block) => fate.has_letter && fate.is_passed,
        };
        // What is dead for another host owes nothing, though a guest had handled it.
        let owes_nothing = |of: &Fate| of.missing.is_empty() || of.has_letter;
        let is_handled = fate.handled.is_some_and(|of| owes_nothing(&self.fates[&of]));
        is_handled || is_dead || fate.dropped_at.is_some()
    }

    /// I-6: whether everything in a partition up to an offset is settled in truth.
    pub(super) fn is_settled_up_to(&mut self, (partition, offset): Place) -> bool {
        let mut frontier = self.frontier.get(&partition).copied().unwrap_or_default();
        while frontier <= offset {
            let waiting = self.open.get(&(partition, frontier)).into_iter().flatten();
            if waiting.into_iter().any(|errand| !self.is_settled(*errand)) {
                break;
            }
            frontier += 1;
        }
        self.frontier.insert(partition, frontier);
        frontier > offset
    }

    /// I-1, I-8: what must hold once everything has come to rest.
    pub(super) fn at_the_end(&self) {
        let lost = self.fates.iter().filter(|(errand, fate)| !self.is_over(**errand, fate));
        let lost: Vec<_> = lost.collect();
        assert!(lost.is_empty(), "I-1: lost {lost:?}");
        let Tallies { repeated, repeats_max, .. } = self.tally;
        assert!(repeated <= repeats_max, "I-8: {repeated} repeats where {repeats_max} are explained");
    }
}
