//! How many messages a poll asks for: as many as the backlog is worth, within bounds in number and bytes. Decisions
//! without I/O.

use crate::message::ReceivedMessage;

/// What the first poll asks for, when nothing is known about the size of messages.
const MESSAGES_FIRST: u32 = 64;

/// Most that one poll brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollBounds {
    /// Most messages.
    pub(crate) messages_max: u32,
    /// Most bytes, as far as the messages before tell: a poll can only ask for a number of messages.
    pub(crate) bytes_max: u64,
}

/// How many messages the polls of one partition ask for. It doubles while polls come back full and halves when they
/// bring little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollSize {
    messages: u32,
    /// What a message takes, by the last polls; zero while nothing is known.
    message_bytes: u64,
}

impl Default for PollSize {
    fn default() -> Self {
        Self { messages: MESSAGES_FIRST, message_bytes: 0 }
    }
}

impl PollSize {
    /// What the next poll asks for, one message at least.
    pub(crate) fn next(&self, bounds: PollBounds) -> u32 {
        let fitting = bounds.bytes_max.checked_div(self.message_bytes);
        let fitting = fitting.map_or(u32::MAX, |fitting| u32::try_from(fitting).unwrap_or(u32::MAX));
        self.messages.min(bounds.messages_max).min(fitting).max(1)
    }

    /// Takes note of what a poll brought that asked for so many.
    pub(crate) fn learn(&mut self, asked: u32, messages: &[ReceivedMessage]) {
        let bytes = messages.iter().map(|message| message.payload.len() + message.headers.0.len());
        self.learn_sizes(asked, messages.len(), bytes.sum());
    }

    fn learn_sizes(&mut self, asked: u32, messages: usize, bytes: usize) {
        let came = u64::try_from(messages).unwrap_or(u64::MAX);
        let asked_for = u64::from(asked);
        if came >= asked_for {
            self.messages = asked.saturating_mul(2);
        } else if came < asked_for / 4 {
            self.messages = (self.messages / 2).max(MESSAGES_FIRST);
        }
        // Growing messages count at once, shrinking ones little by little.
        if let Some(average) = u64::try_from(bytes).unwrap_or(u64::MAX).checked_div(came) {
            let known = self.message_bytes;
            self.message_bytes = average.max(known - known / 4 + average / 4).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: PollBounds = PollBounds { messages_max: 10_000, bytes_max: 8 << 20 };

    /// What is asked for, poll after poll, of a partition that has so many messages of a size each time.
    fn asked(size: &mut PollSize, polls: usize, backlog: usize, message_bytes: usize) -> Vec<u32> {
        let poll = |_| {
            let asked = size.next(BOUNDS);
            let came = backlog.min(asked as usize);
            size.learn_sizes(asked, came, came * message_bytes);
            asked
        };
        (0..polls).map(poll).collect()
    }

    #[test]
    fn a_backlog_is_read_in_ever_larger_polls_up_to_the_bound() {
        let mut size = PollSize::default();
        let polls = asked(&mut size, 9, usize::MAX, 256);
        assert_eq!(polls, [64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 10_000]);
        assert_eq!(asked(&mut size, 2, usize::MAX, 256), [10_000, 10_000]);
    }

    #[test]
    fn large_messages_are_read_in_small_polls_and_one_at_least() {
        let mut size = PollSize::default();
        assert_eq!(asked(&mut size, 3, usize::MAX, 1 << 20), [64, 8, 8]);
        assert_eq!(asked(&mut size, 2, usize::MAX, 64 << 20), [8, 1]);
        let mut growing = PollSize::default();
        asked(&mut growing, 10, usize::MAX, 256);
        assert_eq!(asked(&mut growing, 2, usize::MAX, 1 << 20), [10_000, 8], "the estimate follows at once");
        assert!(asked(&mut growing, 40, usize::MAX, 256).last() > Some(&8_000), "and comes back");
    }

    #[test]
    fn polls_that_bring_little_become_smaller_again() {
        let mut size = PollSize::default();
        asked(&mut size, 10, usize::MAX, 256);
        assert_eq!(asked(&mut size, 3, 3_000, 256), [10_000, 10_000, 10_000]);
        let polls = asked(&mut size, 12, 0, 256);
        assert_eq!(polls.last(), Some(&64));
        assert_eq!(PollSize::default().next(PollBounds { messages_max: 5, bytes_max: 1 }), 5);
    }
}
