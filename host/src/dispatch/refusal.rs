//! Emits that the broker refuses for what they are: their event becomes a dead letter.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::Handled;
use super::effects::EffectId;
use super::queues::Delivery;
use super::{Dispatcher, Now};
use crate::dead_letter::Failure;
use crate::outcome::Outcome;
use crate::route::HandlerIndex;

/// Who asked for the emits of an effect.
#[derive(Debug)]
pub(super) struct Emitter {
    handler: HandlerIndex,
    delivery: Delivery,
    /// How it was counted.
    handled: Handled,
    emits: usize,
}

impl Dispatcher {
    /// Remembers who asked for emits until they are confirmed or refused.
    pub(super) fn note_emitter(
        &mut self,
        effect: EffectId,
        handler: HandlerIndex,
        delivery: &Delivery,
        (handled, emits): (Handled, usize),
    ) {
        self.emitters.insert(effect, Emitter { handler, delivery: delivery.clone(), handled, emits });
    }

    /// The broker refuses a message of an effect for good. The event is given up; its lane has gone on, so nothing of
    /// it is stopped, whatever the policy.
    pub(crate) fn refused(&mut self, effect: EffectId, reason: String, now: Now) {
        self.open_effects.remove(&effect);
        let Some(Emitter { handler, delivery, handled, emits }) = self.emitters.remove(&effect) else {
            return;
        };
        let Some(plan) = self.plans.get(handler.0).filter(|_| self.is_current(delivery.ticket)) else {
            return;
        };
        let config = Arc::clone(&plan.config);
        let outcome = Outcome::EmitRefused { reason };
        let (id, tenant) = (&delivery.event.id, &delivery.event.tenant);
        tracing::error!(handler = %config.name, %tenant, %id, %outcome, "an event is given up: its emit is refused");
        let failure = Failure {
            outcome: &outcome,
            attempts: delivery.attempts.saturating_add(1),
            first_failed_micros: delivery.first_failure.map_or(now.unix_micros, |(_, micros)| micros),
            failed_micros: now.unix_micros,
            duration: Duration::ZERO,
            memory_peak_bytes: 0,
            behind: self.parked_behind(handler, &delivery),
        };
        self.counters.handled_after_all_not(tenant, handled, emits);
        self.counters.dead(tenant, &config.name, outcome.kind());
        let letter = self.effects.dead_letter(&delivery.event, &config, &failure);
        self.start_effect(letter, Some(delivery.ticket));
    }
}
