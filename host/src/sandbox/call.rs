//! A call of a guest and the report of what came of it: what the dispatcher and the sandbox say to each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::SharedEvent;
use crate::identity::EventIdentity;
use crate::outcome::{Emit, Outcome};
use crate::sandbox::{AdmittedComponent, Pool, Tenancy};

/// Chosen by the caller to recognise the report of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub u64);

/// Events of one tenant for one component.
#[derive(Debug)]
pub(crate) struct GuestCall {
    /// Returned in the report.
    pub(crate) id: CallId,
    /// Which component to run.
    pub(crate) component: Arc<AdmittedComponent>,
    /// Whose events they are. A guest of one tenant is never used for another.
    pub(crate) tenancy: Arc<Tenancy>,
    /// Which threads run it. Guests that may wait belong to the waiting pool, whatever the caller thinks of them.
    pub(crate) pool: Pool,
    /// The events, in the order in which they must run.
    pub(crate) events: Vec<CallEvent>,
    /// Where the report goes. Exactly one report is sent for each call; it is lost when the channel is full or
    /// closed, so give it room for [`Sandbox::call_slots`](crate::sandbox::Sandbox::call_slots) reports.
    pub(crate) reply: mpsc::Sender<CallReport>,
}

/// One event of a call.
#[derive(Debug, Clone)]
pub(crate) struct CallEvent {
    /// The event.
    pub(crate) event: SharedEvent,
    /// Which try this is, counted from 1.
    pub(crate) attempt: u32,
    /// Events of a call with the same number belong to one ordered lane.
    pub(crate) lane: u32,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct CallReport {
    /// Of the call.
    pub(crate) id: CallId,
    /// What came of it.
    pub(crate) result: CallResult,
    /// From the moment a thread took the call up to its end.
    pub(crate) duration: Duration,
    /// Most linear memory that a guest of this call had.
    pub(crate) memory_peak_bytes: u64,
}

/// What came of the events of a call.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// The answers by position in the call, ascending. An event that is missing was handled without emits.
    Answered(Vec<(usize, Answer)>),
    /// The call as a whole failed and nothing of it counts.
    Failed(Outcome),
}

/// What came of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It ran.
    Ended(Outcome),
    /// It was handled before, and did not run.
    DoneBefore(DoneBefore),
    /// It did not run, or must run again, because an earlier event failed.
    NotRun,
}

/// An event that was handled before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoneBefore {
    /// Of the copy of it that was handled, which may be another one.
    pub(crate) identity: EventIdentity,
    /// What was asked to publish then, unless that is confirmed.
    pub(crate) emits: Vec<Emit>,
}
