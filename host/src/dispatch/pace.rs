//! The pace of a handler: how many events one guest call may take, learnt from how long they took.

use std::time::Duration;

/// Share of a new observation in the average.
const NEW_SHARE: f64 = 0.2;

/// Keeps guest calls short: fast handlers get large batches, slow ones small.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    batch_max: usize,
    time_target: Duration,
    seconds_per_event: Option<f64>,
}

impl Pace {
    /// A pace that aims at calls of `time_target` and never exceeds `batch_max` events.
    pub(crate) fn new(batch_max: u32, time_target: Duration) -> Self {
        let batch_max = usize::try_from(batch_max).unwrap_or(usize::MAX).max(1);
        Self { batch_max, time_target, seconds_per_event: None }
    }

    /// A pace that begins with calls of one event, for handlers whose events may take long.
    pub(crate) fn cautious(batch_max: u32, time_target: Duration) -> Self {
        Self { seconds_per_event: Some(time_target.as_secs_f64()), ..Self::new(batch_max, time_target) }
    }

    /// Takes note of a call that was answered.
    pub(crate) fn learn(&mut self, duration: Duration, events: usize) {
        let count = u32::try_from(events.max(1)).unwrap_or(u32::MAX);
        let observed = duration.as_secs_f64() / f64::from(count);
        let average = self.seconds_per_event.map_or(observed, |old| old + NEW_SHARE * (observed - old));
        self.seconds_per_event = Some(average);
    }

    /// Most events the next call may take.
    pub(crate) fn batch_size(&self) -> usize {
        let Some(seconds) = self.seconds_per_event.filter(|seconds| *seconds > 0.0) else {
            return self.batch_max;
        };
        let fitting = (self.time_target.as_secs_f64() / seconds).clamp(1.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 1..=u32::MAX just above"
        )]
        let fitting = fitting as u32;
        usize::try_from(fitting).unwrap_or(usize::MAX).min(self.batch_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_handlers_get_small_batches() {
        let mut pace = Pace::new(64, Duration::from_millis(20));
        assert_eq!(pace.batch_size(), 64);
        pace.learn(Duration::from_millis(50), 10);
        assert_eq!(pace.batch_size(), 4);
        pace.learn(Duration::from_secs(10), 1);
        assert_eq!(pace.batch_size(), 1);
    }

    #[test]
    fn a_cautious_pace_begins_with_one_event_and_learns_to_take_more() {
        let mut pace = Pace::cautious(64, Duration::from_millis(20));
        assert_eq!(pace.batch_size(), 1);
        for _ in 0..50 {
            pace.learn(Duration::from_micros(10), 1);
        }
        assert_eq!(pace.batch_size(), 64);
    }

    #[test]
    fn a_batch_is_never_empty_nor_over_its_bound() {
        let mut pace = Pace::new(0, Duration::ZERO);
        assert_eq!(pace.batch_size(), 1);
        pace.learn(Duration::from_nanos(1), 1_000);
        assert_eq!(pace.batch_size(), 1);
    }
}
