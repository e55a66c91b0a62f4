//! What came of the events of a trial.

use std::time::Duration;

use bytes::Bytes;

use crate::outcome::{Emit, Outcome, OutcomeKind};
use crate::sandbox::{Answer, CallReport, CallResult};

/// Kind of an event that did not run, because one before it in its lane failed or its call stopped.
const NOT_RUN: &str = "not-run";

/// What came of some events.
#[derive(Debug, Clone, Default)]
pub struct TrialReport {
    /// One outcome per event, in the order of the events. A call that failed as a whole gives all its events the
    /// same one; a host would run those again, one by one.
    pub outcomes: Vec<TrialOutcome>,
    /// Time that threads of the sandbox were busy with the events.
    pub duration: Duration,
    /// Most linear memory that one of the guests had.
    pub memory_peak_bytes: u64,
}

/// What came of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialOutcome {
    /// The outcome as logs, dead letters and metrics name it (`done`, `reject`, `timed-out`, ...), or `not-run`.
    pub kind: &'static str,
    /// A finer code inside the kind, such as `stack-overflow`, or an empty string.
    pub code: &'static str,
    /// For people: why, with what was used and allowed. Empty when the event is done.
    pub reason: String,
    /// When the guest wants its next attempt, from now. Only with the kind `retry`.
    pub retry_after: Option<Duration>,
    /// The events that the guest asks for. Only with the kind `done`.
    pub emits: Vec<TrialEmit>,
}

/// An event that a guest asks the host to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialEmit {
    /// Type, dotted and lower case.
    pub event_type: String,
    /// Version of the payload's schema.
    pub schema_version: u16,
    /// Topic to publish to; the one for the event's type when absent.
    pub topic: Option<String>,
    /// Key that chooses the partition; the tenant when absent.
    pub key: Option<String>,
    /// User headers to add, name and value.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

impl TrialReport {
    /// Adds what came of a call with so many events.
    pub(super) fn add(&mut self, events: usize, report: Option<CallReport>) {
        let Some(CallReport { result, duration, memory_peak_bytes, .. }) = report else {
            let reason = "the sandbox stopped before it answered".to_owned();
            self.outcomes.extend(of_call(events, CallResult::Failed(Outcome::HostFault { reason })));
            return;
        };
        self.outcomes.extend(of_call(events, result));
        self.duration += duration;
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory_peak_bytes);
    }
}

impl TrialOutcome {
    /// Whether the event was handled.
    pub fn is_done(&self) -> bool {
        self.kind == OutcomeKind::Done.as_str()
    }

    fn not_run() -> Self {
        let reason = "an earlier event of its lane or call failed".to_owned();
        Self { kind: NOT_RUN, code: "", reason, retry_after: None, emits: Vec::new() }
    }
}

impl From<Outcome> for TrialOutcome {
    fn from(outcome: Outcome) -> Self {
        let reason = if outcome.is_done() { String::new() } else { outcome.to_string() };
        let (kind, code) = (outcome.kind().as_str(), outcome.code());
        let (retry_after, emits) = match outcome {
            Outcome::Done(emits) => (None, emits),
            Outcome::Retry { after, .. } => (after, Vec::new()),
            _ => (None, Vec::new()),
        };
        Self { kind, code, reason, retry_after, emits: emits.into_iter().map(TrialEmit::from).collect() }
    }
}

impl From<Emit> for TrialEmit {
    fn from(Emit { event_type, schema_version, topic, key, headers, payload }: Emit) -> Self {
        Self { event_type: event_type.to_string(), schema_version, topic, key, headers, payload }
    }
}

fn of_call(events: usize, result: CallResult) -> Vec<TrialOutcome> {
    match result {
        CallResult::Failed(outcome) => vec![TrialOutcome::from(outcome); events],
        CallResult::Answered(answers) => {
            let mut answers = answers.into_iter().peekable();
            let answer = |position| match answers.next_if(|(answered, _)| *answered == position) {
                None => Outcome::Done(Vec::new()).into(),
                Some((_, Answer::Ended(outcome))) => outcome.into(),
                Some((_, Answer::DoneBefore(before))) => Outcome::Done(before.emits).into(),
                Some((_, Answer::NotRun)) => TrialOutcome::not_run(),
            };
            (0..events).map(answer).collect()
        }
    }
}
