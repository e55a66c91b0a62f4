//! What others may see of a poller: whether it is a member of its group, and what went wrong.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use guesthouse_connector::ConnectorError;

use crate::counters::Counters;

/// Whether a poller is a member of its group now, and how often it was not.
#[derive(Debug, Default)]
pub(crate) struct Membership(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    is_held: bool,
    joins: u64,
    /// Offsets that the broker has stored.
    commits: u64,
    /// Why it is no member, as it was said last.
    reason: Option<String>,
    ends: BTreeMap<&'static str, u64>,
    failures: BTreeMap<(Stage, &'static str), u64>,
}

/// Why a poller is no member any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The host stops.
    Stopped,
    /// The connection was lost, or the broker refuses to answer.
    Lost,
}

/// Whether a failure is another one than the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    New,
    Same,
}

/// What a poller could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Read,
    Commit,
}

impl Membership {
    /// Whether the poller has its assignment and the broker answers.
    pub(crate) fn is_held(&self) -> bool {
        self.seen().is_held
    }

    /// Adds what was seen to the counters of the subscription.
    pub(crate) fn add_to(&self, counters: &mut Counters) {
        let seen = self.seen();
        counters.joins += seen.joins;
        counters.commits += seen.commits;
        for (reason, count) in &seen.ends {
            *counters.membership_ends.entry((*reason).to_owned()).or_default() += count;
        }
        for ((stage, code), count) in &seen.failures {
            let stage = counters.failures.entry(stage.as_str().to_owned()).or_default();
            *stage.entry((*code).to_owned()).or_default() += count;
        }
    }

    pub(super) fn begin(&self) {
        let mut seen = self.seen();
        if !std::mem::replace(&mut seen.is_held, true) {
            seen.joins += 1;
            seen.reason = None;
        }
    }

    /// Why the poller is no member, when it is known.
    pub(crate) fn reason(&self) -> Option<String> {
        self.seen().reason.clone()
    }

    /// The broker has stored an offset.
    pub(super) fn committed(&self) {
        self.seen().commits += 1;
    }

    pub(super) fn end(&self, why: End) {
        let mut seen = self.seen();
        if std::mem::replace(&mut seen.is_held, false) {
            *seen.ends.entry(why.as_str()).or_default() += 1;
        }
    }

    /// Counts a failure, and says whether it is the one that was met last since the poller was a member.
    pub(super) fn failed(&self, stage: Stage, error: &ConnectorError) -> Failure {
        let mut seen = self.seen();
        *seen.failures.entry((stage, error.stable_code())).or_default() += 1;
        let reason = error.to_string();
        if stage == Stage::Commit || seen.reason.as_ref() == Some(&reason) {
            return Failure::Same;
        }
        seen.reason = Some(reason);
        Failure::New
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change under the lock leaves it whole, so a panic cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Commit => "commit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_counted() {
        let membership = Membership::default();
        membership.end(End::Lost);
        membership.begin();
        membership.begin();
        let gone = ConnectorError::Connection("gone".into());
        assert_eq!(membership.failed(Stage::Read, &gone), Failure::New);
        assert_eq!(membership.failed(Stage::Read, &gone), Failure::Same);
        assert_eq!(membership.reason().unwrap(), gone.to_string());
        membership.end(End::Lost);
        membership.begin();
        membership.end(End::Stopped);
        let mut counters = Counters::default();
        membership.add_to(&mut counters);
        assert_eq!((counters.joins, membership.is_held()), (2, false));
        assert_eq!(counters.membership_ends, [("lost".to_owned(), 1), ("stopped".to_owned(), 1)].into());
        assert_eq!(counters.failures["read"]["iggy.connector.connection_failed"], 2);
    }
}
