//! Which dead letters the log names: every one while they are few, some of each minute while they are many.

use std::time::{Duration, Instant};

/// Lines within [`WINDOW`].
const LINES_MAX: u32 = 10;

/// The time that the lines are counted in.
const WINDOW: Duration = Duration::from_secs(60);

/// The dead letters of one handler, as far as the log is concerned. Their number is in the counters.
#[derive(Debug, Default)]
pub(super) struct Notices {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Notices {
    /// Takes note of a dead letter. Answers how many were left out since the last line when the log names this one, and
    /// nothing when it is left out, too.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_has_some_lines_and_the_next_one_counts_what_was_left_out() {
        let mut notices = Notices::default();
        let start = Instant::now();
        for _ in 0..LINES_MAX {
            assert_eq!(notices.note(start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(notices.note(start + WINDOW / 2), None);
        }
        assert_eq!(notices.note(start + WINDOW), Some(7));
        assert_eq!(notices.note(start + WINDOW), Some(0));
    }
}
