//! What guests do with each event, at every attempt, as the seed wrote it down.

use super::*;
use crate::outcome::LimitKind;

const MILLISECOND: Duration = Duration::from_millis(1);

/// What becomes of an event in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// It is handled, with so many emits.
    Good(u32),
    /// The guest traps at so many first attempts, and then handles it.
    Traps(u32),
    /// The guest asks for another attempt so often, and then handles it.
    Retries(u32),
    /// The guest does not answer in time.
    TimesOut,
    /// The guest uses more than it may.
    Exceeds,
    /// The guest rejects it.
    Rejects,
    /// The host dies of it.
    Kills,
}

impl Nature {
    pub(super) fn draw(random: &mut SmallRng) -> Self {
        match random.random_range(0..100) {
            0..4 => Self::Traps(u32::MAX),
            4..10 => Self::Traps(random.random_range(1..4)),
            10..16 => Self::Retries(random.random_range(1..4)),
            16..18 => Self::Retries(u32::MAX),
            18..20 => Self::TimesOut,
            20..22 => Self::Exceeds,
            22..26 => Self::Rejects,
            26..27 => Self::Kills,
            _ => Self::Good(random.random_range(0..3)),
        }
    }

    /// Emits of the event once it is handled.
    pub(super) fn emits(self) -> u32 {
        if let Self::Good(emits) = self { emits } else { 1 }
    }

    /// Whether the guest comes to an answer about it at this attempt, and does not take the whole call with it.
    pub(super) fn answers(self, attempt: u32) -> bool {
        match self {
            Self::Traps(times) => attempt > times,
            Self::TimesOut | Self::Exceeds | Self::Kills => false,
            Self::Good(_) | Self::Retries(_) | Self::Rejects => true,
        }
    }

    /// What this attempt ends in.
    pub(super) fn outcome(self, attempt: u32) -> Outcome {
        match self {
            Self::Traps(times) if attempt <= times => trapped(),
            Self::Retries(times) if attempt <= times => Outcome::Retry {
                after: (attempt == 2).then_some(Duration::from_secs(2)),
                reason: "not yet".to_owned(),
            },
            Self::TimesOut => Outcome::TimedOut { allowed: MILLISECOND, used: MILLISECOND },
            Self::Exceeds => Outcome::LimitExceeded { limit: LimitKind::Emits, used: 2, allowed: 1 },
            Self::Rejects => Outcome::Reject { reason: "never".to_owned() },
            Self::Good(_) | Self::Traps(_) | Self::Retries(_) | Self::Kills => {
                Outcome::Done((0..self.emits()).map(|_| emit()).collect())
            }
        }
    }
}
