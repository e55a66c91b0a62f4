//! Limits: how much the guests of a handler may use, and the ceilings that an operator sets for all handlers.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

/// How much a handler's guests may use.
///
/// How deep they may call is not set here: a guest has a stack of 512 KiB, and traps when it needs more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLimits {
    /// Time for one event, or for the whole of one batch call: for a guest's start, what it is given, the call
    /// itself and the cleaning up after it.
    pub deadline: Duration,
    /// Memory of one guest, summed over its memories and tables.
    pub memory_bytes_max: u64,
    /// Bytes that the host takes of what a guest returns from one call. What the emits of its events may have is
    /// the bound when that is less.
    pub answer_bytes_max: u64,
    /// Emits of one event.
    pub emits_max: u32,
    /// Bytes of the emits of one event.
    pub emit_bytes_max: u64,
    /// Log lines of one call.
    pub log_lines_max: u32,
    /// Bytes of the log lines of one call.
    pub log_bytes_max: u64,
    /// Calls of the state store for one event.
    pub state_calls_max: u32,
    /// Bytes that one event writes to the state store, keys and values.
    pub state_bytes_max: u64,
    /// Bytes that the state store keeps for one tenant and the handler, keys and values.
    pub state_stored_bytes_max: u64,
    /// Outgoing HTTP requests for one event.
    pub http_calls_max: u32,
    /// Bytes of one HTTP body, each way.
    pub http_bytes_max: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(250),
            memory_bytes_max: 64 << 20,
            answer_bytes_max: 4 << 20,
            emits_max: 64,
            emit_bytes_max: 1 << 20,
            log_lines_max: 64,
            log_bytes_max: 64 << 10,
            state_calls_max: 1_000,
            state_bytes_max: 1 << 20,
            state_stored_bytes_max: 16 << 20,
            http_calls_max: 8,
            http_bytes_max: 1 << 20,
        }
    }
}

/// A limit that is above its ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excess {
    /// The limit's name in the configuration.
    pub(crate) limit: &'static str,
    /// What is asked for.
    pub(crate) wanted: String,
    /// The ceiling.
    pub(crate) ceiling: String,
}

/// One limit's amount.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Amount {
    Time(Duration),
    Bytes(u64),
    Count(u32),
}

impl GuestLimits {
    /// The ceilings when an operator sets none: far above what a handler should need, and far below what a
    /// machine has.
    pub const CEILINGS: Self = Self {
        deadline: Duration::from_secs(10 * 60),
        memory_bytes_max: 1 << 30,
        answer_bytes_max: 64 << 20,
        emits_max: 10_000,
        emit_bytes_max: 64 << 20,
        log_lines_max: 10_000,
        log_bytes_max: 16 << 20,
        state_calls_max: 100_000,
        state_bytes_max: 64 << 20,
        state_stored_bytes_max: 16 << 30,
        http_calls_max: 1_000,
        http_bytes_max: 64 << 20,
    };

    /// The limits of a handler that sets none: the usual ones, or the ceilings where those are lower.
    pub(crate) fn usual_below(ceilings: &Self) -> Self {
        let usual = Self::default();
        Self {
            deadline: usual.deadline.min(ceilings.deadline),
            memory_bytes_max: usual.memory_bytes_max.min(ceilings.memory_bytes_max),
            answer_bytes_max: usual.answer_bytes_max.min(ceilings.answer_bytes_max),
            emits_max: usual.emits_max.min(ceilings.emits_max),
            emit_bytes_max: usual.emit_bytes_max.min(ceilings.emit_bytes_max),
            log_lines_max: usual.log_lines_max.min(ceilings.log_lines_max),
            log_bytes_max: usual.log_bytes_max.min(ceilings.log_bytes_max),
            state_calls_max: usual.state_calls_max.min(ceilings.state_calls_max),
            state_bytes_max: usual.state_bytes_max.min(ceilings.state_bytes_max),
            state_stored_bytes_max: usual.state_stored_bytes_max.min(ceilings.state_stored_bytes_max),
            http_calls_max: usual.http_calls_max.min(ceilings.http_calls_max),
            http_bytes_max: usual.http_bytes_max.min(ceilings.http_bytes_max),
        }
    }

    /// Those of the limits that are above their ceilings.
    pub(crate) fn above(&self, ceilings: &Self) -> Vec<Excess> {
        let pairs = self.amounts().into_iter().zip(ceilings.amounts());
        let above = pairs.filter(|((_, wanted), (_, ceiling))| wanted > ceiling);
        above
            .map(|((limit, wanted), (_, ceiling))| Excess {
                limit,
                wanted: wanted.to_string(),
                ceiling: ceiling.to_string(),
            })
            .collect()
    }

    /// Every limit, by its name in the configuration.
    fn amounts(&self) -> [(&'static str, Amount); 12] {
        [
            ("deadline", Amount::Time(self.deadline)),
            ("memory_max", Amount::Bytes(self.memory_bytes_max)),
            ("answer_bytes_max", Amount::Bytes(self.answer_bytes_max)),
            ("emits_max", Amount::Count(self.emits_max)),
            ("emit_bytes_max", Amount::Bytes(self.emit_bytes_max)),
            ("log_lines_max", Amount::Count(self.log_lines_max)),
            ("log_bytes_max", Amount::Bytes(self.log_bytes_max)),
            ("state_calls_max", Amount::Count(self.state_calls_max)),
            ("state_bytes_max", Amount::Bytes(self.state_bytes_max)),
            ("state_stored_max", Amount::Bytes(self.state_stored_bytes_max)),
            ("http_calls_max", Amount::Count(self.http_calls_max)),
            ("http_bytes_max", Amount::Bytes(self.http_bytes_max)),
        ]
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{}", humantime::format_duration(*time)),
            Self::Bytes(bytes) => write!(f, "{}", ByteSize(*bytes)),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_its_ceiling_is_named_with_both_numbers() {
        let wanted = GuestLimits { emits_max: 65, memory_bytes_max: 65 << 20, ..GuestLimits::default() };
        let excess = |limit, wanted: &str, ceiling: &str| Excess {
            limit,
            wanted: wanted.to_owned(),
            ceiling: ceiling.to_owned(),
        };
        let expected = [excess("memory_max", "65.0 MiB", "64.0 MiB"), excess("emits_max", "65", "64")];
        assert_eq!(wanted.above(&GuestLimits::default()), expected);
        assert_eq!(GuestLimits::default().above(&GuestLimits::default()), []);
    }

    #[test]
    fn the_usual_limits_give_way_to_lower_ceilings_and_are_below_the_usual_ones() {
        assert_eq!(GuestLimits::usual_below(&GuestLimits::CEILINGS), GuestLimits::default());
        let low = GuestLimits { emits_max: 1, deadline: Duration::from_millis(10), ..GuestLimits::CEILINGS };
        assert_eq!(GuestLimits::usual_below(&low).above(&low), []);
    }
}
