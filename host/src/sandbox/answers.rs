//! What a guest answers, checked: nothing that breaks the contract or a limit gets past here.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::outcome::{Emit, LimitKind, Outcome, TrapCode};
use crate::sandbox::contract::{BatchAnswers, EmitRecord, EventEmit, EventFailure, Failure};
use crate::sandbox::redact::Redactor;
use crate::sandbox::{Answer, CallEvent, GuestLimits, GuestSpec};

/// Longest type, topic and key of an emit, and longest name and value of its headers, in bytes.
const EMIT_FIELD_BYTES_MAX: usize = 255;
/// Headers of one emit.
const EMIT_HEADERS_MAX: usize = 64;
/// Names that are the host's own.
const RESERVED_PREFIX: &str = "gh-";
/// How much of a name is shown in a reason.
const SHOWN_BYTES_MAX: usize = 64;

/// What an answer costs the host at most besides the bytes that the guest gave, per emit and per event.
const RECORD_BYTES: u64 = 256;
/// What the host allocates in any case for what guests send: log lines and reasons.
const ANSWER_BYTES_MIN: u64 = 1 << 20;
/// What the host allocates at most for the answer of a batch of more than one event.
const BATCH_ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Bytes that the host allocates at most for the answer to a number of events. It is generous enough for one
/// event's emits to be counted and refused by their own limits.
pub(super) fn answer_bytes_max(limits: &GuestLimits, events: usize) -> usize {
    let emits = limits.emit_bytes_max.saturating_add(u64::from(limits.emits_max) * RECORD_BYTES);
    let one = emits.saturating_mul(2).saturating_add(RECORD_BYTES);
    let all = one
        .saturating_mul(events as u64)
        .min(one.max(BATCH_ANSWER_BYTES_MAX))
        .saturating_add(ANSWER_BYTES_MIN);
    usize::try_from(all.min(limits.answer_bytes_max)).unwrap_or(usize::MAX)
}

/// The answer to one event.
pub(super) fn of_event(answer: Result<Vec<EmitRecord>, Failure>, spec: &GuestSpec) -> Answer {
    match answer {
        Ok(emits) => Answer::Ended(checked(emits.into_iter().map(emit).collect(), spec)),
        Err(failure) => Answer::Ended(failed(failure, spec.grants.redactor())),
    }
}

/// The answers to a batch by position, ascending; those that are plainly done are left out.
///
/// # Errors
/// [`Outcome::Trapped`] with [`TrapCode::BadAnswer`] when the answers break the contract; nothing of them counts.
pub(super) fn of_batch(
    answers: BatchAnswers,
    events: &[CallEvent],
    spec: &GuestSpec,
) -> Result<Vec<(usize, Answer)>, Outcome> {
    if answers.emits.is_empty() && answers.failures.is_empty() && answers.skipped.is_empty() {
        return Ok(Vec::new());
    }
    let mut slots = Slots::new(events);
    slots.place_failures(answers.failures, spec.grants.redactor()).map_err(bad_answer)?;
    slots.check_skipped(&answers.skipped).map_err(bad_answer)?;
    slots.place_emits(answers.emits).map_err(bad_answer)?;
    slots.check_emits(spec);
    Ok(slots.into_answers())
}

/// The answers of a batch, one slot per event. `None` is plainly done.
struct Slots<'a> {
    events: &'a [CallEvent],
    answers: Vec<Option<Answer>>,
}

impl<'a> Slots<'a> {
    fn new(events: &'a [CallEvent]) -> Self {
        Self { events, answers: vec![None; events.len()] }
    }

    fn slot(&mut self, event: u32, what: &str) -> Result<&mut Option<Answer>, String> {
        let count = self.events.len();
        let slot = usize::try_from(event).ok().and_then(|event| self.answers.get_mut(event));
        slot.ok_or_else(|| format!("{what} event {event} of a batch of {count}, counted from zero"))
    }

    fn place_failures(&mut self, failures: Vec<EventFailure>, redactor: &Redactor) -> Result<(), String> {
        for failure in failures {
            let slot = self.slot(failure.event, "it failed")?;
            if slot.is_some() {
                return Err(format!("it failed event {} twice", failure.event));
            }
            *slot = Some(Answer::Ended(failed(failure.failure, redactor)));
        }
        Ok(())
    }

    /// The skipped events are exactly the later ones of lanes with a failure. An event that ran in spite of one
    /// is as wrong as one that was left out without.
    fn check_skipped(&mut self, skipped: &[u32]) -> Result<(), String> {
        for &event in skipped {
            let slot = self.slot(event, "it skipped")?;
            if slot.is_some() {
                return Err(format!("it answered event {event} and skipped it"));
            }
            *slot = Some(Answer::NotRun);
        }
        let mut failed_lanes = Vec::new();
        for (position, (event, answer)) in self.events.iter().zip(&self.answers).enumerate() {
            let lane_failed = failed_lanes.contains(&event.lane);
            match answer {
                Some(Answer::NotRun) if !lane_failed => {
                    return Err(format!(
                        "it skipped event {position}, but none before it in its lane failed"
                    ));
                }
                Some(Answer::NotRun) => {}
                _ if lane_failed => {
                    return Err(format!("it ran event {position} after one before it in its lane failed"));
                }
                Some(Answer::Ended(_)) => failed_lanes.push(event.lane),
                _ => {}
            }
        }
        Ok(())
    }

    fn place_emits(&mut self, emits: Vec<EventEmit>) -> Result<(), String> {
        for event_emit in emits {
            let event = event_emit.event;
            match self
                .slot(event, "it emitted for")?
                .get_or_insert_with(|| Answer::Ended(Outcome::Done(Vec::new())))
            {
                Answer::Ended(Outcome::Done(emits)) => emits.push(emit(event_emit.emit)),
                _ => return Err(format!("it emitted for event {event}, which was not handled")),
            }
        }
        Ok(())
    }

    /// Checks the emits of each event. Where they are refused, the later events of that lane ran too early.
    fn check_emits(&mut self, spec: &GuestSpec) {
        let mut failed_lanes = Vec::new();
        for (event, answer) in self.events.iter().zip(&mut self.answers) {
            if failed_lanes.contains(&event.lane) {
                *answer = Some(Answer::NotRun);
            } else if let Some(Answer::Ended(Outcome::Done(emits))) = answer {
                let outcome = checked(std::mem::take(emits), spec);
                if !outcome.is_done() {
                    failed_lanes.push(event.lane);
                }
                *answer = Some(Answer::Ended(outcome));
            }
        }
    }

    fn into_answers(self) -> Vec<(usize, Answer)> {
        let numbered = self.answers.into_iter().enumerate();
        numbered.filter_map(|(position, answer)| Some((position, answer?))).collect()
    }
}

fn bad_answer(what: impl fmt::Display) -> Outcome {
    Outcome::Trapped { code: TrapCode::BadAnswer, reason: format!("the answer breaks the contract: {what}") }
}

fn failed(failure: Failure, redactor: &Redactor) -> Outcome {
    match failure {
        Failure::Retry(retry) => Outcome::Retry {
            after: retry.after.map(Duration::from_millis),
            reason: redactor.reason(&retry.reason),
        },
        Failure::Reject(reason) => Outcome::Reject { reason: redactor.reason(&reason) },
    }
}

fn emit(record: EmitRecord) -> Emit {
    Emit {
        event_type: record.event_type.into(),
        schema_version: record.schema_version,
        topic: record.topic,
        key: record.key,
        headers: record.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        payload: Bytes::from(record.payload),
    }
}

/// The outcome of an event with these emits: they are done, unless they break a limit or could never be published.
pub(super) fn checked(emits: Vec<Emit>, spec: &GuestSpec) -> Outcome {
    let redactor = spec.grants.redactor();
    let refused = over_limit(&emits, &spec.limits).or_else(|| {
        let refusal =
            emits.iter().enumerate().find_map(|(index, emit)| Some((index, refusal(emit, redactor)?)));
        refusal.map(|(index, reason)| Outcome::Reject { reason: format!("emit {index}: {reason}") })
    });
    refused.unwrap_or(Outcome::Done(emits))
}

fn over_limit(emits: &[Emit], limits: &GuestLimits) -> Option<Outcome> {
    let count = emits.len() as u64;
    if count > u64::from(limits.emits_max) {
        let allowed = limits.emits_max.into();
        return Some(Outcome::LimitExceeded { limit: LimitKind::Emits, used: count, allowed });
    }
    let used = emits.iter().map(emit_bytes).sum();
    let allowed = limits.emit_bytes_max;
    (used > allowed).then_some(Outcome::LimitExceeded { limit: LimitKind::EmitBytes, used, allowed })
}

fn emit_bytes(emit: &Emit) -> u64 {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let headers: usize = emit.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let rest = emit.event_type.len() + optional(&emit.topic) + optional(&emit.key);
    (emit.payload.len() + headers + rest) as u64
}

/// Why an emit could never be published, whatever the operator allows.
fn refusal(emit: &Emit, redactor: &Redactor) -> Option<String> {
    let optional = |what, text: &Option<String>| field_refusal(what, text.as_deref()?);
    field_refusal("its type", &emit.event_type)
        .or_else(|| optional("its topic", &emit.topic))
        .or_else(|| optional("its key", &emit.key))
        .or_else(|| headers_refusal(&emit.headers, redactor))
}

fn headers_refusal(headers: &[(String, String)], redactor: &Redactor) -> Option<String> {
    if headers.len() > EMIT_HEADERS_MAX {
        return Some(format!("it has {} headers, expected at most {EMIT_HEADERS_MAX}", headers.len()));
    }
    headers.iter().enumerate().find_map(|(position, (name, value))| {
        let quoted = redactor.shown(name, SHOWN_BYTES_MAX);
        if name.get(..RESERVED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
        {
            return Some(format!("header `{quoted}` is refused: names that start with `gh-` are the host's"));
        }
        if headers.iter().take(position).any(|(earlier, _)| earlier == name) {
            return Some(format!("header `{quoted}` is there twice"));
        }
        field_refusal("a header's name", name)
            .or_else(|| field_refusal(&format!("the value of header `{quoted}`"), value))
    })
}

fn field_refusal(what: &str, text: &str) -> Option<String> {
    let bytes = text.len();
    let fits = (1..=EMIT_FIELD_BYTES_MAX).contains(&bytes);
    (!fits).then(|| format!("{what} is {bytes} bytes long, expected 1 to {EMIT_FIELD_BYTES_MAX}"))
}

#[cfg(test)]
mod tests;
