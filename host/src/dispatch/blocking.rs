//! Lanes that are blocked at a dead event: what stands behind it stays unsettled where it is, until the event is tried
//! again by the next owner of its partition, or a command says what becomes of it.

use super::effects::{EffectId, PublishJob};
use super::partitions::{PartitionKey, Ticket};
use super::queues::{Delivery, Rest};
use super::{Dispatcher, Now};
use crate::identity::LaneName;
use crate::parked::{Head, Kind};
use crate::route::HandlerIndex;

/// A blocked lane, by the event that it is blocked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) handler: HandlerIndex,
    ticket: Ticket,
    /// By which its dead letter is published.
    letter: EffectId,
}

impl Dispatcher {
    /// Blocks the lane of a dead event. Where there is a parked topic, that is said there, so that a command may name
    /// the lane.
    pub(super) fn block(
        &mut self,
        handler: HandlerIndex,
        delivery: &Delivery,
        mut job: PublishJob,
        now: Now,
    ) {
        let behind = job.letter_id();
        let lane = self.add_record(&mut job, (handler, delivery), (Kind::Blocked, behind), now);
        if let Some(lane) = lane {
            let blocked = Blocked { handler, ticket: delivery.ticket, letter: job.effect };
            self.shelving.blocked.insert((delivery.ticket.place().partition, lane), blocked);
        }
        if let Some(plan) = self.plans.get(handler.0) {
            let (handler, event) = (&plan.config.name, &delivery.event);
            let lane = lane.map(tracing::field::display);
            tracing::error!(%handler, tenant = %event.tenant, id = %event.id, lane, "a lane is blocked by a dead event");
        }
        self.start_effect(job, None);
    }

    /// Lets a blocked lane go on, as a command wants: its dead event is tried again, or settled once its dead letter
    /// is confirmed.
    pub(super) fn unblock_lane(&mut self, partition: PartitionKey, lane: LaneName, head: Head, now: Now) {
        let Some(Blocked { handler, ticket, letter }) = self.shelving.blocked.remove(&(partition, lane))
        else {
            return;
        };
        let Some((at, delivery)) = self.queues.take_blocked(handler, ticket) else { return };
        if let Some(plan) = self.plans.get(handler.0) {
            tracing::info!(handler = %plan.config.name, %lane, ?head, "a blocked lane is released");
        }
        match head {
            Head::Retry => {
                let again = Delivery { attempts: 0, first_failure: None, deaths: 0, ..delivery };
                self.queues.give_back(at, again);
            }
            Head::Skip => match self.open_effects.get_mut(&letter) {
                Some(settles) => *settles = Some(ticket),
                None => self.settle_part(ticket, now),
            },
        }
        self.queues.release(at, Rest::Over);
    }
}
