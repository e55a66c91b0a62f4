//! The queue of one topic: what waits, what the next request takes, and how long to rest after a failure.

use std::collections::VecDeque;
use std::time::Duration;

use guesthouse_connector::{ConnectorError, OutgoingMessage};
use tokio::time::Instant;

use crate::dispatch::effects::{EffectId, OnRefusal};

/// Most messages that share a request.
const MESSAGES_MAX: usize = 1_000;

/// Most payload bytes that share a request; a single larger message travels alone.
const BYTES_MAX: usize = 4 << 20;

/// Shortest and longest wait before a topic is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How often a message is refused by itself until that is told, where it is to be told; and the wait between.
const REFUSALS_MAX: u32 = 3;
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// A message, and the effect that waits for it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) effect: EffectId,
    pub(super) message: OutgoingMessage,
    pub(super) on_refusal: OnRefusal,
    /// How often it was refused by itself.
    pub(super) refusals: u32,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The topic's or the broker's: all messages wait.
    Topic,
    /// A message's own: the others go on without it.
    Message,
}

/// Messages on their way to one topic. One request at a time is under way, which keeps their order.
#[derive(Debug)]
pub(super) struct TopicQueue {
    waiting: VecDeque<Letter>,
    /// Messages that the broker refused by themselves, with the time of their next try; others overtake them.
    aside: VecDeque<(Instant, Letter)>,
    state: State,
    wait: Duration,
    /// Most messages of the next request: halved by refusals, to find the message that is meant.
    messages_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    UnderWay,
    Resting(Instant),
}

impl Default for TopicQueue {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            aside: VecDeque::new(),
            state: State::Idle,
            wait: BACKOFF.0,
            messages_max: MESSAGES_MAX,
        }
    }
}

impl Trouble {
    pub(super) fn of(error: &ConnectorError) -> Self {
        match error {
            ConnectorError::Publish(_) => Self::Message,
            _ => Self::Topic,
        }
    }
}

impl TopicQueue {
    pub(super) fn push(&mut self, letter: Letter) {
        self.waiting.push_back(letter);
    }

    /// Takes the messages of the next request, if one may be sent now. How it ends must be told by
    /// [`Self::succeeded`] or [`Self::failed`].
    pub(super) fn next_request(&mut self, now: Instant) -> Option<Vec<Letter>> {
        match self.state {
            State::UnderWay => return None,
            State::Resting(until) if until > now => return None,
            State::Resting(_) | State::Idle => {}
        }
        let due = self.aside.iter().position(|(retry_at, _)| *retry_at <= now);
        let request = match due.and_then(|at| self.aside.remove(at)) {
            Some((_, letter)) => vec![letter],
            None => self.take_waiting(),
        };
        self.state = if request.is_empty() { State::Idle } else { State::UnderWay };
        (!request.is_empty()).then_some(request)
    }

    /// The request is confirmed.
    pub(super) fn succeeded(&mut self) {
        self.state = State::Idle;
        self.wait = BACKOFF.0;
        self.messages_max = (self.messages_max * 2).min(MESSAGES_MAX);
    }

    /// The request failed, and these of its messages are left. Gives back the message that is refused for good.
    pub(super) fn failed(&mut self, mut left: Vec<Letter>, trouble: Trouble, now: Instant) -> Option<Letter> {
        match trouble {
            Trouble::Topic => self.state = State::Resting(now + self.wait),
            // At once, in smaller requests: what stands beside the message that is meant should not wait for it.
            Trouble::Message => self.state = State::Idle,
        }
        self.wait = (self.wait * 2).min(BACKOFF.1);
        let mut refused = None;
        if trouble == Trouble::Message {
            self.messages_max = (left.len() / 2).max(1);
            if left.len() == 1 {
                refused = left.pop().and_then(|letter| self.set_aside(letter, now));
            }
        }
        for letter in left.into_iter().rev() {
            self.waiting.push_front(letter);
        }
        refused
    }

    /// Lets others overtake a message that was refused by itself, or gives it back when that was often enough.
    fn set_aside(&mut self, letter: Letter, now: Instant) -> Option<Letter> {
        let letter = Letter { refusals: letter.refusals.saturating_add(1), ..letter };
        let wait = match letter.on_refusal {
            OnRefusal::Tell if letter.refusals >= REFUSALS_MAX => return Some(letter),
            OnRefusal::Tell => REFUSAL_WAIT,
            OnRefusal::Insist => BACKOFF.1,
        };
        self.aside.push_back((now + wait, letter));
        None
    }

    /// Drops what waits of all other effects.
    pub(super) fn keep(&mut self, wanted: impl Fn(EffectId) -> bool) {
        self.waiting.retain(|letter| wanted(letter.effect));
        self.aside.retain(|(_, letter)| wanted(letter.effect));
    }

    /// When [`Self::next_request`] is worth asking again, if time decides.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self.state {
            State::UnderWay => None,
            State::Resting(until) => Some(until),
            State::Idle => self.aside.iter().map(|(retry_at, _)| *retry_at).min(),
        }
    }

    /// Messages that cannot be published now: all that wait while the topic rests, and those that were refused.
    pub(super) fn stuck(&self) -> usize {
        let resting = if matches!(self.state, State::Resting(_)) { self.waiting.len() } else { 0 };
        resting + self.aside.len()
    }

    /// Whether nothing waits, and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.aside.is_empty() && self.state != State::UnderWay
    }

    fn take_waiting(&mut self) -> Vec<Letter> {
        let mut request = Vec::new();
        let mut bytes = 0_usize;
        while request.len() < self.messages_max {
            let fits = |letter: &mut Letter| {
                bytes = bytes.saturating_add(letter.message.payload.len());
                request.is_empty() || bytes <= BYTES_MAX
            };
            let Some(letter) = self.waiting.pop_front_if(fits) else { break };
            request.push(letter);
        }
        request
    }
}
