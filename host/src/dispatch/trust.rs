//! Trust: which threads the guests of a handler and tenant run on, learnt from how long their calls took.
//!
//! The threads for quick guests are few, so that nobody waits behind a guest that loops until its deadline. A queue
//! gets there by quick calls, and loses its place by a slow one.

use std::time::Duration;

use crate::sandbox::Pool;

/// Longest call that still counts as quick: some times what batches aim at, because threads are shared.
const QUICK_MAX: Duration = Duration::from_millis(50);
/// Quick calls in a row that earn a newcomer's place. Each slow call doubles what is needed,
const QUICK_CALLS_MIN: u32 = 4;
/// up to this.
const QUICK_CALLS_MAX: u32 = 1024;

/// What is known about the calls of one queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust {
    /// Where the guests run at best.
    best: Pool,
    /// Quick calls until they run there.
    missing: u32,
    /// Quick calls that the next slow one costs.
    price: u32,
}

impl Trust {
    /// Of a queue whose guests nobody has seen yet.
    pub(crate) fn of_newcomer(best: Pool) -> Self {
        Self { best, missing: QUICK_CALLS_MIN, price: QUICK_CALLS_MIN }
    }

    /// Where the next call runs.
    pub(crate) fn pool(&self) -> Pool {
        if self.missing == 0 { self.best } else { Pool::Waiting }
    }

    /// Takes note of a call.
    pub(crate) fn learn(&mut self, took: Duration) {
        if took <= QUICK_MAX {
            self.missing = self.missing.saturating_sub(1);
        } else {
            self.price = (self.price * 2).min(QUICK_CALLS_MAX);
            self.missing = self.price;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(20);
    const SLOW: Duration = Duration::from_millis(250);

    /// Quick calls until the queue has its place.
    fn needed(trust: &mut Trust) -> u32 {
        let mut calls = 0;
        while trust.pool() == Pool::Waiting {
            trust.learn(QUICK);
            calls += 1;
        }
        calls
    }

    #[test]
    fn a_place_is_earned_and_costs_more_each_time_it_is_lost() {
        let mut trust = Trust::of_newcomer(Pool::Computing);
        assert_eq!(needed(&mut trust), 4);
        for price in [8, 16, 32] {
            trust.learn(SLOW);
            assert_eq!(needed(&mut trust), price);
        }
        (0..100).for_each(|_| trust.learn(SLOW));
        assert_eq!(needed(&mut trust), 1024);
    }

    #[test]
    fn guests_that_may_wait_stay_where_they_are() {
        let mut trust = Trust::of_newcomer(Pool::Waiting);
        (0..100).for_each(|_| trust.learn(QUICK));
        assert_eq!(trust.pool(), Pool::Waiting);
    }
}
