//! What becomes of an attempt: the event is settled, runs again later, or is given up.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::breaker::Tally;
use super::effects::Asked;
use super::partitions::Stand;
use super::plan::Plan;
use super::queues::{Batch, Company, Delivery, Rest};
use super::shelving::PARKED;
use super::{Dispatcher, InFlight, Now};
use crate::counters::Counters;
use crate::dead_letter::Failure;
use crate::event::Event;
use crate::handler::FailurePolicy;
use crate::identity::EventIdentity;
use crate::outcome::{Emit, Outcome, OutcomeKind};
use crate::route::HandlerIndex;
use crate::sandbox::{Answer, DoneBefore};
use crate::verdict::{History, Verdict, judge};

/// What an ended call tells about each of its deliveries.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallFacts {
    pub(super) duration: Duration,
    pub(super) memory_peak_bytes: u64,
}

/// What came of an event that is done.
#[derive(Debug, Clone, Copy)]
struct Done<'a> {
    emits: &'a [Emit],
    handled: Handled,
}

impl<'a> Done<'a> {
    fn now(emits: &'a [Emit]) -> Self {
        Self { emits, handled: Handled::Now }
    }
}

/// When an event was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// In the attempt that was reported.
    Now,
    /// In an earlier one, as this copy of it.
    Before(EventIdentity),
}

impl Handled {
    /// Of the copy of an event that was handled.
    fn identity_of(self, event: &Event) -> EventIdentity {
        match self {
            Self::Now => EventIdentity::of(&event.message),
            Self::Before(identity) => identity,
        }
    }
}

/// Where attempts of one call are counted.
struct Attempts<'a> {
    counters: &'a mut Counters,
    plan: Option<&'a mut Plan>,
    share_micros: u64,
}

impl Attempts<'_> {
    fn count(&mut self, outcome: OutcomeKind, times: usize) {
        if times == 0 {
            return;
        }
        self.counters.attempted(outcome, self.share_micros, times as u64);
        if let Some(plan) = &mut self.plan {
            *plan.attempts.entry(outcome).or_default() += times as u64;
        }
    }
}

impl Dispatcher {
    pub(super) fn answered(
        &mut self,
        call: InFlight,
        answers: Vec<(usize, Answer)>,
        facts: CallFacts,
        now: Now,
    ) {
        self.count_attempts(&call, &answers, facts);
        let mut answers = answers.into_iter().peekable();
        let (mut back, mut tally, mut handled) = (Vec::new(), Tally::default(), 0);
        for (at, (lane, delivery)) in call.items.into_iter().enumerate() {
            let answer = answers.next_if(|(index, _)| *index == at).map(|(_, answer)| answer);
            if !self.is_current(delivery.ticket) {
                back.push((lane, None, Rest::Over));
                continue;
            }
            tally.add(answer.as_ref());
            let kept = match answer {
                None => {
                    handled += 1;
                    self.settle_part(delivery.ticket, now);
                    (None, Rest::Over)
                }
                Some(Answer::Ended(Outcome::Done(emits))) => {
                    self.done(call.key.handler, delivery, &Done::now(&emits), (facts, now))
                }
                Some(Answer::DoneBefore(DoneBefore { identity, emits })) => {
                    let done = Done { emits: &emits, handled: Handled::Before(identity) };
                    self.done(call.key.handler, delivery, &done, (facts, now))
                }
                Some(Answer::Ended(outcome)) => {
                    self.failed(call.key.handler, delivery, &outcome, (facts, now))
                }
                Some(Answer::NotRun) => (Some(delivery), Rest::Over),
            };
            // A lane that goes on is named once.
            let goes_on = kept.0.is_none() && kept.1 == Rest::Over;
            if !goes_on || back.last().is_none_or(|(before, ..)| *before != lane) {
                back.push((lane, kept.0, kept.1));
            }
        }
        self.counters.handled_quietly(&call.key.tenant, handled);
        self.give_back_kept(call.key.handler, back, now);
        self.learn(&call.key, call.purpose, tally, now);
    }

    /// Counts the attempts of a call; each took an equal share of its time.
    fn count_attempts(&mut self, call: &InFlight, answers: &[(usize, Answer)], facts: CallFacts) {
        let events = call.items.len();
        let share = facts.duration / u32::try_from(events).unwrap_or(u32::MAX).max(1);
        let share = u64::try_from(share.as_micros()).unwrap_or(u64::MAX);
        let plan = self.plans.get_mut(call.key.handler.0);
        let mut attempts = Attempts { counters: &mut self.counters.sums, plan, share_micros: share };
        attempts.count(OutcomeKind::Done, events.saturating_sub(answers.len()));
        for (_, answer) in answers {
            if let Answer::Ended(outcome) = answer {
                attempts.count(outcome.kind(), 1);
            }
        }
    }

    /// A call of several events failed as a whole. Nothing of it counts: if it was a guest's fault each event
    /// runs again alone, so that only the guilty one is charged.
    pub(super) fn call_failed(&mut self, call: InFlight, outcome: &Outcome, now: Now) {
        let policy =
            self.plans.get(call.key.handler.0).map(|plan| plan.config.retry.clone()).unwrap_or_default();
        let history = History { attempts: 1, age: Duration::ZERO };
        let rest = match judge(outcome, history, &policy, 1.0) {
            Verdict::GiveBackFor(wait) => Rest::Until(now.instant + wait),
            Verdict::RetryAfter(_) | Verdict::DeadLetter => Rest::Over,
        };
        self.counters.sums.batches_split += u64::from(rest == Rest::Over);
        let company = if rest == Rest::Over { Company::Alone } else { Company::Shared };
        let again = |(lane, delivery)| (lane, Delivery { company, ..delivery }, rest);
        let items = call.items.into_iter().map(again).collect();
        self.give_back(call.key.handler, items, now);
        self.learn(&call.key, call.purpose, Tally::default(), now);
    }

    fn done(
        &mut self,
        handler: HandlerIndex,
        delivery: Delivery,
        done: &Done<'_>,
        (facts, now): (CallFacts, Now),
    ) -> (Option<Delivery>, Rest) {
        let Some(plan) = self.plans.get(handler.0) else { return (None, Rest::Over) };
        let Done { emits, handled } = *done;
        if emits.is_empty() {
            self.counters.handled(&delivery.event.tenant, handled, 0);
            self.settle_part(delivery.ticket, now);
            return (None, Rest::Over);
        }
        let asked = Asked { emits, identity: handled.identity_of(&delivery.event) };
        match self.effects.emits(&plan.config, &delivery.event, asked, now) {
            Ok(job) => {
                self.counters.handled(&delivery.event.tenant, handled, emits.len());
                self.note_emitter(job.effect, handler, &delivery, (handled, emits.len()));
                self.start_effect(job, Some(delivery.ticket));
                (None, Rest::Over)
            }
            Err(error) => {
                // The error quotes the guest's own words.
                let reason = plan.config.grants.redactor().redact(&error.to_string()).into_owned();
                let outcome = Outcome::Reject { reason };
                self.failed(handler, delivery, &outcome, (facts, now))
            }
        }
    }

    /// Judges a failed attempt. What comes back is to run again, after the time it names.
    fn failed(
        &mut self,
        handler: HandlerIndex,
        mut delivery: Delivery,
        outcome: &Outcome,
        (facts, now): (CallFacts, Now),
    ) -> (Option<Delivery>, Rest) {
        let Some(plan) = self.plans.get(handler.0) else { return (None, Rest::Over) };
        let (config, parks) = (Arc::clone(&plan.config), plan.parks());
        // A fault of the host makes an event no older, and neither does a pause that it waited for.
        let since_first = match outcome {
            Outcome::HostFault { .. } => delivery.first_failure,
            _ => Some(*delivery.first_failure.get_or_insert((now.instant, now.unix_micros))),
        };
        let first = since_first.unwrap_or((now.instant, now.unix_micros));
        let since = plan.pauses.resumed(&delivery.event.tenant).max(Some(first.0)).unwrap_or(first.0);
        let age = now.instant.saturating_duration_since(since);
        let history = History { attempts: delivery.attempts + 1, age };
        match judge(outcome, history, &config.retry, self.random.random()) {
            Verdict::GiveBackFor(wait) => {
                tracing::error!(handler = %config.name, %outcome, "the host could not run a guest");
                (Some(delivery), Rest::Until(now.instant + wait))
            }
            Verdict::RetryAfter(wait) => {
                delivery.attempts += 1;
                self.counters.retried(&delivery.event.tenant);
                if parks && wait > config.retry.in_memory_max {
                    self.park_waiting(handler, &delivery, wait, now);
                    return PARKED;
                }
                (Some(delivery), Rest::Until(now.instant + wait))
            }
            Verdict::DeadLetter => {
                let failure = Failure {
                    outcome,
                    attempts: delivery.attempts + 1,
                    first_failed_micros: first.1,
                    failed_micros: now.unix_micros,
                    duration: facts.duration,
                    memory_peak_bytes: facts.memory_peak_bytes,
                    behind: self.parked_behind(handler, &delivery),
                };
                self.give_up(handler, delivery, &failure, now)
            }
        }
    }

    /// Gives an event up. What comes back stops its lane.
    fn give_up(
        &mut self,
        handler: HandlerIndex,
        delivery: Delivery,
        failure: &Failure<'_>,
        now: Now,
    ) -> (Option<Delivery>, Rest) {
        let Some(plan) = self.plans.get_mut(handler.0) else { return (None, Rest::Over) };
        let config = Arc::clone(&plan.config);
        let job = self.effects.dead_letter(&delivery.event, &config, failure);
        if let Some(left_out) = plan.notices.note(now.instant) {
            let (event, outcome) = (&delivery.event, failure.outcome);
            let (handler, tenant, event, letter) = (&config.name, &event.tenant, &event.id, job.letter_id());
            tracing::warn!(%handler, %tenant, %event, letter, %outcome, left_out, "an event is given up");
        }
        self.counters.dead(&delivery.event.tenant, &config.name, failure.outcome.kind());
        match config.on_failure {
            FailurePolicy::Park => {
                self.park_dead(handler, &delivery, job, now);
                PARKED
            }
            FailurePolicy::Skip => {
                self.start_effect(job, Some(delivery.ticket));
                (None, Rest::Over)
            }
            // What was parked is settled where it came from, so nothing of that can be held up.
            FailurePolicy::Block if matches!(delivery.ticket.stand(), Stand::Parked(_)) => {
                self.park_dead(handler, &delivery, job, now);
                PARKED
            }
            FailurePolicy::Block => {
                self.block(handler, &delivery, job, now);
                (Some(delivery), Rest::Blocked)
            }
        }
    }

    /// Gives up an event without running it, for it has killed hosts enough. It comes alone, as every suspect.
    pub(super) fn condemn(&mut self, batch: Batch, now: Now) {
        let Some(plan) = self.plans.get(batch.key.handler.0) else { return };
        let config = Arc::clone(&plan.config);
        let mut back = Vec::with_capacity(batch.items.len());
        for (lane, delivery) in batch.items {
            let outcome = Outcome::HostCrash { deaths: delivery.deaths };
            let id = &delivery.event.id;
            tracing::error!(handler = %config.name, %id, %outcome, "an event is given up without running it");
            let failure = Failure {
                outcome: &outcome,
                attempts: delivery.deaths,
                first_failed_micros: now.unix_micros,
                failed_micros: now.unix_micros,
                duration: Duration::ZERO,
                memory_peak_bytes: 0,
                behind: self.parked_behind(batch.key.handler, &delivery),
            };
            let (delivery, rest) = self.give_up(batch.key.handler, delivery, &failure, now);
            back.push((lane, delivery, rest));
        }
        self.give_back_kept(batch.key.handler, back, now);
    }
}
