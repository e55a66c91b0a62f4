//! The deliveries of one lane that wait, with how much they are.

use std::collections::VecDeque;

use super::Delivery;
use crate::dispatch::bounds::{Bound, Gauge};
use crate::dispatch::partitions::{Place, Polling};

/// What waits in one lane, in order. Tells which places must wait because it is full, and when they need not.
#[derive(Debug, Default)]
pub(super) struct Pending {
    deliveries: VecDeque<Delivery>,
    gauge: Gauge,
}

impl Pending {
    pub(super) fn push_back(
        &mut self,
        delivery: Delivery,
        bound: Bound,
        fillings: &mut Vec<(Place, Polling)>,
    ) {
        self.add(&delivery, bound, fillings);
        self.deliveries.push_back(delivery);
    }

    pub(super) fn push_front(
        &mut self,
        delivery: Delivery,
        bound: Bound,
        fillings: &mut Vec<(Place, Polling)>,
    ) {
        self.add(&delivery, bound, fillings);
        self.deliveries.push_front(delivery);
    }

    /// Takes the first delivery if it is as wanted.
    pub(super) fn pop_front_if(
        &mut self,
        is_wanted: impl FnOnce(&Delivery) -> bool,
        bound: Bound,
        fillings: &mut Vec<(Place, Polling)>,
    ) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front_if(|delivery| is_wanted(delivery))?;
        self.remove(delivery.bytes(), bound, fillings);
        Some(delivery)
    }

    /// Drops the deliveries that are not as wanted.
    pub(super) fn retain(
        &mut self,
        is_wanted: impl Fn(&Delivery) -> bool,
        bound: Bound,
        fillings: &mut Vec<(Place, Polling)>,
    ) {
        for delivery in self.deliveries.iter().filter(|delivery| !is_wanted(delivery)) {
            let freed = self.gauge.remove(delivery.bytes(), bound);
            fillings.extend(freed.into_iter().map(|place| (place, Polling::Go)));
        }
        self.deliveries.retain(is_wanted);
    }

    pub(super) fn front(&self) -> Option<&Delivery> {
        self.deliveries.front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    fn add(&mut self, delivery: &Delivery, bound: Bound, fillings: &mut Vec<(Place, Polling)>) {
        let stopped = self.gauge.add(delivery.bytes(), delivery.ticket.place(), bound);
        fillings.extend(stopped.map(|place| (place, Polling::Pause)));
    }

    fn remove(&mut self, bytes: usize, bound: Bound, fillings: &mut Vec<(Place, Polling)>) {
        let freed = self.gauge.remove(bytes, bound);
        fillings.extend(freed.into_iter().map(|place| (place, Polling::Go)));
    }
}
