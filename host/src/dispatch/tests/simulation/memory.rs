//! What handlers remember of the events that they have handled, as the store beside all hosts would keep it.

use std::collections::{BTreeMap, VecDeque};

use super::oracle::Errand;
use super::*;

/// A handler, one of its tenants, and what all copies of an event share.
type Window = (usize, String);

/// The done-marks and dedup windows of a life.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Emits of what was handled.
    marks: BTreeMap<Errand, u32>,
    windows: BTreeMap<Window, VecDeque<(ByteString, Errand)>>,
}

/// What is known about an event before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// This copy of it was handled, and these emits may not be confirmed.
    Done(Errand, u32),
}

impl Memory {
    /// What a handler knows about an event.
    pub(super) fn know(&self, config: &HandlerConfig, errand: Errand, event: &Event) -> Known {
        if !config.keeps_marks() {
            return Known::New;
        }
        if let Some(emits) = self.marks.get(&errand) {
            return Known::Done(errand, *emits);
        }
        let window = errand.1.and_then(|handler| self.windows.get(&window(handler, event)));
        let seen = window.filter(|_| config.dedup.is_some());
        let seen = seen.and_then(|seen| seen.iter().find(|(id, _)| *id == event.id).map(|(_, of)| *of));
        match seen {
            // Without its own mark an event has come back on purpose.
            Some(of) if of != errand => Known::Done(of, self.marks.get(&of).copied().unwrap_or_default()),
            _ => Known::New,
        }
    }

    /// A guest handled an event, with so many emits.
    pub(super) fn done(&mut self, config: &HandlerConfig, errand: Errand, (event, emits): (&Event, u32)) {
        if !config.keeps_marks() {
            return;
        }
        self.marks.insert(errand, emits);
        if let (Some(dedup), Some(handler)) = (&config.dedup, errand.1) {
            let seen = self.windows.entry(window(handler, event)).or_default();
            seen.retain(|(id, _)| *id != event.id);
            seen.push_back((event.id.clone(), errand));
            if seen.len() > dedup.events_max as usize {
                seen.pop_front();
            }
        }
    }

    /// Forgets the marks of a partition's events below an offset, for those are committed.
    pub(super) fn forget(&mut self, partition: usize, below: u64, is_kept: impl Fn(Errand) -> bool) {
        self.marks.retain(|errand, _| {
            let ((of, offset), _) = *errand;
            of != partition || offset >= below || is_kept(*errand)
        });
    }
}

fn window(handler: usize, event: &Event) -> Window {
    (handler, event.tenant.as_str().to_owned())
}
