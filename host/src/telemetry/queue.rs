//! The queue between those who log and the thread that writes: bounded in bytes, and lines that find no room are dropped
//! and counted. The crate `tracing-appender` has such a queue too, but it bounds lines and not bytes, does not count what
//! it cannot write, and prints when it fails, which panics where nobody reads what is printed.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait. A line that does not fit any more is lost.
const BYTES_MAX: usize = 8 << 20;
/// Bytes that are written at once; a single line may be longer.
const CHUNK_BYTES: usize = 64 << 10;
/// A write that takes longer than this means that nobody takes the log.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);
/// For how long lines that were lost count as lost lately.
const LATELY: Duration = Duration::from_secs(60);
/// Longest time between two lines of ours that tell of lost ones.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pause before a file that is not ready is written again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Lines on their way to the log.
#[derive(Debug, Default)]
pub(super) struct LogQueue {
    state: Mutex<State>,
    /// Told when there is something to write.
    filled: Condvar,
    /// Told when everything is written.
    emptied: Condvar,
}

/// What became of the lines of this process's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// Lines that were lost since the start.
    pub(crate) lost: u64,
    /// Whether some were lost within the last minute.
    pub(crate) lost_lately: bool,
    /// Whether the last write failed, or is under way for longer than a write takes.
    pub(crate) is_failing: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The length of each line that waits.
    lengths: Vec<usize>,
    /// Since when the thread writes, while it does.
    writing: Option<Instant>,
    failed: bool,
    lost: u64,
    lost_at: Option<Instant>,
    told: u64,
    told_at: Option<Instant>,
}

impl State {
    fn lose(&mut self, lines: u64, now: Instant) {
        if lines > 0 {
            self.lost = self.lost.saturating_add(lines);
            self.lost_at = Some(now);
        }
    }

    fn push(&mut self, line: &[u8], now: Instant) {
        if self.waiting.len().saturating_add(line.len()) > BYTES_MAX {
            return self.lose(1, now);
        }
        self.waiting.extend_from_slice(line);
        self.lengths.push(line.len());
    }

    fn seen(&self, now: Instant) -> LogState {
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let blocked = since(self.writing).is_some_and(|since| since > BLOCKED_AFTER);
        LogState {
            lost: self.lost,
            lost_lately: since(self.lost_at).is_some_and(|since| since <= LATELY),
            is_failing: self.failed || blocked,
        }
    }

    /// How many lost lines are to be told now: those that were not told, when lines can be written again.
    fn take_untold(&mut self, now: Instant) -> Option<u64> {
        let untold = self.lost.saturating_sub(self.told);
        let is_early = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY);
        if untold == 0 || self.failed || is_early {
            return None;
        }
        (self.told, self.told_at) = (self.lost, Some(now));
        Some(untold)
    }
}

impl LogQueue {
    /// Adds a line, or drops and counts it when there is no room. Waits for nothing but others that do the same.
    pub(super) fn push(&self, line: &[u8]) {
        self.lock().push(line, Instant::now());
        self.filled.notify_one();
    }

    /// How the log fares.
    pub(super) fn state(&self) -> LogState {
        self.lock().seen(Instant::now())
    }

    /// Waits until everything is written, at most for so long. What cannot be written by then is left.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| !state.lengths.is_empty() || state.writing.is_some();
        drop(self.emptied.wait_timeout_while(self.lock(), patience, is_busy));
    }

    /// Writes what is pushed, for ever. `tell` says that lines were lost, and may push.
    pub(super) fn write_to(&self, mut file: impl Write, tell: impl Fn(u64)) {
        loop {
            let (bytes, lengths) = self.take();
            let lost = write_lines(&mut file, &bytes, &lengths);
            let now = Instant::now();
            let mut state = self.lock();
            state.writing = None;
            // The last write counts: a log that has come back is whole.
            state.failed = lost > 0;
            state.lose(lost, now);
            let untold = state.take_untold(now);
            if state.lengths.is_empty() {
                self.emptied.notify_all();
            }
            drop(state);
            untold.into_iter().for_each(&tell);
        }
    }

    /// Waits for lines and takes them all.
    fn take(&self) -> (Vec<u8>, Vec<usize>) {
        let is_empty = |state: &mut State| state.lengths.is_empty();
        let waited = self.filled.wait_while(self.lock(), is_empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = Some(Instant::now());
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.lengths))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines, several at once, and goes on behind those that cannot be written. Gives back how many were lost.
fn write_lines(file: &mut impl Write, mut bytes: &[u8], mut lengths: &[usize]) -> u64 {
    let mut lost = 0;
    while !lengths.is_empty() {
        let (mut chunk, mut lines) = (0, 0);
        for length in lengths {
            if lines > 0 && chunk + length > CHUNK_BYTES {
                break;
            }
            chunk += length;
            lines += 1;
        }
        let (now, later) = bytes.split_at_checked(chunk).unwrap_or((bytes, &[]));
        let (these, rest) = lengths.split_at_checked(lines).unwrap_or((lengths, &[]));
        let written = write_some(file, now);
        let mut end = 0;
        let whole = these.iter().take_while(|length| {
            end += **length;
            end <= written
        });
        lost += (these.len() - whole.count()) as u64;
        (bytes, lengths) = (later, rest);
    }
    lost
}

/// Writes until the end or an error, and gives back how many bytes it was.
fn write_some(file: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody made it non-blocking; this thread is the one that may wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY_PAUSE),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then no more.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_are_not_whole_are_lost_and_counted() {
        let (bytes, lengths) = (b"one\ntwo\nthree\n", [4, 4, 6]);
        for (room, lost) in [(14, 0), (13, 1), (8, 1), (7, 2), (3, 3), (0, 3)] {
            assert_eq!(write_lines(&mut Full(room), bytes, &lengths), lost, "{room}");
        }
        let long = [CHUNK_BYTES * 2, 1, 1];
        assert_eq!(write_lines(&mut Full(usize::MAX), &vec![b'x'; CHUNK_BYTES * 2 + 2], &long), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut state, now) = (State::default(), Instant::now());
        let line = vec![b'x'; 1 << 20];
        (0..20).for_each(|_| state.push(&line, now));
        assert_eq!((state.waiting.len(), state.lengths.len(), state.lost), (BYTES_MAX, 8, 12));
    }

    #[test]
    fn losses_count_for_a_while_and_are_told_once_lines_can_be_written() {
        let (mut state, begin) = (State::default(), Instant::now());
        assert_eq!(state.seen(begin), LogState::default());
        state.lose(3, begin);
        state.failed = true;
        assert_eq!(state.seen(begin), LogState { lost: 3, lost_lately: true, is_failing: true });
        assert_eq!(state.take_untold(begin), None, "nobody would read it");
        state.failed = false;
        assert_eq!(state.take_untold(begin), Some(3));
        assert_eq!(state.take_untold(begin), None);
        state.lose(2, begin);
        assert_eq!(state.take_untold(begin), None, "it was told just now");
        assert_eq!(state.take_untold(begin + TELL_EVERY), Some(2));
        let later = begin + LATELY + Duration::from_secs(1);
        assert_eq!(state.seen(later), LogState { lost: 5, lost_lately: false, is_failing: false });
    }

    #[test]
    fn a_write_that_never_ends_is_a_log_that_fails() {
        let begin = Instant::now();
        let state = State { writing: Some(begin), ..State::default() };
        assert!(!state.seen(begin + BLOCKED_AFTER).is_failing);
        assert!(state.seen(begin + BLOCKED_AFTER * 2).is_failing);
    }
}
