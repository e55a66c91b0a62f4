//! How long to wait before trying again: exponentially longer, with jitter, never zero.

use std::time::Duration;

/// A growing series of waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// The next wait: between half of and the whole of a bound that doubles each time.
    ///
    /// `jitter` is a random number from 0 to 1 and decides where in between.
    pub(crate) fn next(&mut self, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.tries.min(16));
        self.tries = self.tries.saturating_add(1);
        let bound = doubled.min(self.longest);
        bound.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Starts over after a success.
    pub(crate) const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 50);
    }

    #[test]
    fn any_number_of_tries_and_any_jitter_is_fine() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(5));
        for _ in 0..1_000 {
            let wait = backoff.next(f64::INFINITY);
            assert!(wait > Duration::ZERO && wait <= Duration::from_secs(5));
        }
    }
}
