//! A histogram of durations in microseconds, exact to an eighth of each value.

use serde::{Deserialize, Serialize};

/// Buckets per power of two; the error of a quantile is at most one part in this many.
const STEPS: u64 = 8;

/// Counts durations in buckets that grow with the value. It takes 4 KiB at most, whatever it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    #[serde(default)]
    sum_micros: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, micros: u64) {
        self.record_many(micros, 1);
    }

    /// Counts the same duration so many times.
    pub fn record_many(&mut self, micros: u64, times: u64) {
        let bucket = bucket_of(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += times;
        }
        self.total += times;
        self.sum_micros = self.sum_micros.saturating_add(micros.saturating_mul(times));
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// All durations together, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// How many are known not to exceed this; those in the bucket that reaches beyond it are not counted.
    pub fn count_within(&self, micros: u64) -> u64 {
        let first_beyond = bucket_of(micros.saturating_add(1));
        self.counts.iter().take(first_beyond).sum()
    }

    /// The duration in microseconds that a share `q` of all did not exceed, rounded up to its bucket; none when
    /// nothing was counted. `q` is taken into `0.0..=1.0`.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within the total; the error is far below one bucket"
        )]
        let rank = (q.clamp(0.0, 1.0) * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return Some(upper_bound(bucket));
            }
        }
        None
    }

    /// Adds what another histogram counted.
    pub fn add(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours += theirs;
        }
        self.total += other.total;
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return usize::try_from(micros).unwrap_or_default();
    }
    let power = u64::from(micros.ilog2());
    let step = (micros >> (power - 3)) - STEPS;
    usize::try_from((power - 2) * STEPS + step).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    let width = 1u64 << (power - 3);
    (STEPS + step).saturating_mul(width).saturating_add(width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_bounds() {
        for micros in (0..4096).chain([1 << 20, (1 << 40) + 12_345, u64::MAX]) {
            let bucket = bucket_of(micros);
            assert!(upper_bound(bucket) >= micros, "{micros}");
            assert!(bucket == 0 || upper_bound(bucket - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_exact_to_an_eighth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|micros| histogram.record(micros));
        let median = histogram.quantile(0.5).unwrap();
        assert!((500..=563).contains(&median), "{median}");
        assert!((990..=1024).contains(&histogram.quantile(0.99).unwrap()));
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn what_is_within_a_bound_is_never_more_than_it_was() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(micros));
        histogram.record_many(5_000, 3);
        assert_eq!((histogram.count(), histogram.sum_micros()), (1003, 500_500 + 15_000));
        for bound in 0..=1000 {
            let within = histogram.count_within(bound);
            assert!(within <= bound && within * 8 >= bound.saturating_sub(8) * 7, "{bound}: {within}");
        }
        assert_eq!(histogram.count_within(u64::MAX), 1003);
    }
}
