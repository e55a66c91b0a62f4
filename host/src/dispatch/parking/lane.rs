//! What this host does with one parked lane now, beside what the log says about it.

use std::collections::{BTreeMap, BTreeSet};

use guesthouse_connector::Offset;

use crate::identity::LaneName;
use crate::parked::ParkedLane;

/// An event that is appended to its lane.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    pub(crate) lane: LaneName,
    pub(crate) event: Offset,
    /// The dead letter that the lane waits behind from now on, when its death stops it.
    pub(crate) behind: Option<String>,
}

/// A released event that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Running(u64),
    Settled,
}

/// The doings of one lane. Events go by their offset in the source partition.
#[derive(Debug, Default)]
pub(super) struct LiveLane {
    /// Events that were appended and have not been read back.
    pub(super) appending: BTreeSet<Offset>,
    /// Those that stop the lane, and have not been read back as such.
    pub(super) stops: BTreeSet<Offset>,
    /// The dead letter that the lane waits behind.
    pub(super) behind: Option<String>,
    /// The fetch that is under way.
    pub(super) fetch: Option<u64>,
    /// How far the note goes that is on its way.
    noting: Option<Offset>,
    /// How far that one goes which says what a command has settled. Nothing needs to wait for it.
    noting_emptied: Option<Offset>,
    runs: BTreeMap<Offset, Run>,
}

impl LiveLane {
    /// The first event that was appended and not read back.
    pub(super) fn first_appending(&self) -> Option<Offset> {
        self.appending.first().copied()
    }

    /// Whether anything of it is under way that later events have to wait for.
    pub(super) fn is_busy(&self) -> bool {
        !self.runs.is_empty() || !self.stops.is_empty() || self.fetch.is_some() || self.noting.is_some()
    }

    /// The lane stops at an event: neither it nor what comes after it is current any more.
    pub(super) fn stop_at(&mut self, event: Offset) {
        self.fetch = None;
        self.runs.retain(|other, run| *other < event || *run == Run::Settled);
    }

    /// Keeps the events that are still parked; the others are not current any more.
    pub(super) fn keep(&mut self, is_parked: impl Fn(Offset) -> bool) {
        self.runs.retain(|event, _| is_parked(*event));
    }

    /// The next events to read, in order, by their offsets in the parked partition.
    pub(super) fn next_events(&self, lane: &ParkedLane, most: usize) -> Vec<Offset> {
        let running = self.runs.values().filter(|run| matches!(run, Run::Running(_))).count();
        if !self.stops.is_empty() || self.fetch.is_some() || running > most / 2 {
            return Vec::new();
        }
        // An event that is still on its way to the log comes before those behind it.
        let end = self.first_appending();
        let waiting = lane.events().take_while(|(event, _)| end.is_none_or(|end| *event < end));
        waiting.filter(|(event, _)| !self.runs.contains_key(event)).map(|(_, at)| at).take(most).collect()
    }

    /// Begins a run of an event. False when one is under way or over.
    pub(super) fn start(&mut self, event: Offset, run: u64) -> bool {
        let is_new = !self.runs.contains_key(&event);
        if is_new {
            self.runs.insert(event, Run::Running(run));
        }
        is_new
    }

    pub(super) fn is_running(&self, event: Offset, run: u64) -> bool {
        self.runs.get(&event) == Some(&Run::Running(run))
    }

    pub(super) fn settle(&mut self, event: Offset, run: u64) {
        if self.is_running(event, run) {
            self.runs.insert(event, Run::Settled);
        }
    }

    /// Up to where all is settled, when that is to be noted now.
    pub(super) fn note(&mut self, lane: &ParkedLane) -> Option<Offset> {
        if self.noting.is_some() {
            return None;
        }
        let end = self.first_appending();
        let settled = lane.events().map(|(event, _)| event).take_while(|event| {
            self.runs.get(event) == Some(&Run::Settled) && end.is_none_or(|end| *event < end)
        });
        self.noting = settled.last();
        self.noting
    }

    /// Notes that all is settled up to an event, as a command wanted. None while that cannot be said.
    pub(super) fn note_emptied(&mut self, up_to: Offset) -> Option<Offset> {
        // What is still on its way to the log comes after the command, and before the note.
        let is_late = self.first_appending().is_some_and(|first| first <= up_to);
        if self.noting_emptied.is_some() || is_late {
            return None;
        }
        self.noting_emptied = Some(up_to);
        self.noting_emptied
    }

    /// A note was read back.
    pub(super) fn noted(&mut self, up_to: Offset) {
        self.noting.take_if(|noting| *noting == up_to);
        self.noting_emptied.take_if(|noting| *noting == up_to);
    }

    /// Whether something of it is on its way to the log.
    pub(super) fn is_writing(&self) -> bool {
        !self.appending.is_empty() || self.noting_emptied.is_some()
    }
}
