//! A call of a guest and the report of what came of it: what the dispatcher and the sandbox say to each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::{Event, Tenant};
use crate::outcome::{Emit, Outcome};
use crate::sandbox::AdmittedComponent;

/// Chosen by the caller to recognise the report of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Events of one tenant for one component.
#[derive(Debug)]
pub struct GuestCall {
    /// Returned in the report.
    pub id: CallId,
    /// Which component to run.
    pub component: Arc<AdmittedComponent>,
    /// Whose events they are. A guest of one tenant is never used for another.
    pub tenant: Tenant,
    /// The events, in the order in which they must run.
    pub events: Vec<CallEvent>,
    /// Where the report goes. Exactly one report is sent for each call; it is lost when the channel is full or
    /// closed, so give it room for [`Sandbox::call_slots`](crate::sandbox::Sandbox::call_slots) reports.
    pub reply: mpsc::Sender<CallReport>,
}

/// One event of a call.
#[derive(Debug, Clone)]
pub struct CallEvent {
    /// The event.
    pub event: Arc<Event>,
    /// Which try this is, counted from 1.
    pub attempt: u32,
    /// Events of a call with the same number belong to one ordered lane.
    pub lane: u32,
}

/// What came of a call.
#[derive(Debug)]
pub struct CallReport {
    /// Of the call.
    pub id: CallId,
    /// What came of it.
    pub result: CallResult,
    /// From the moment a thread took the call up to its end.
    pub duration: Duration,
    /// Most linear memory that a guest of this call had.
    pub memory_peak_bytes: u64,
}

/// What came of the events of a call.
#[derive(Debug)]
pub enum CallResult {
    /// The answers by position in the call, ascending. An event that is missing was handled without emits.
    Answered(Vec<(usize, Answer)>),
    /// The call as a whole failed and nothing of it counts.
    Failed(Outcome),
}

/// What came of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was handled and asks for these emits.
    Done(Vec<Emit>),
    /// It failed.
    Failed(Outcome),
    /// It did not run, or must run again, because an earlier event failed.
    NotRun,
}
