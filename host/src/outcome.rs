//! The outcome of one attempt: a closed list that says what happened and whose fault it was.

use std::fmt;
use std::time::Duration;

use bytestring::ByteString;

/// An event that a guest asks the host to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emit {
    /// Type, dotted and lower case.
    pub(crate) event_type: ByteString,
    /// Version of the payload's schema.
    pub(crate) schema_version: u16,
    /// Topic to publish to; the one for the event's type when absent.
    pub(crate) topic: Option<String>,
    /// Key that chooses the partition; the tenant when absent.
    pub(crate) key: Option<String>,
    /// User headers to add, name and value.
    pub(crate) headers: Vec<(String, String)>,
    /// The payload.
    pub(crate) payload: bytes::Bytes,
}

/// Why a guest stopped without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TrapCode {
    /// The guest executed `unreachable`: a panic, an abort or a failed assertion.
    Unreachable,
    /// It used more stack than allowed.
    StackOverflow,
    /// It read or wrote outside of its memory.
    OutOfBounds,
    /// Division by zero, overflow or a conversion that does not fit.
    Arithmetic,
    /// It called through a bad table entry.
    IndirectCall,
    /// It ended itself with `exit`.
    GuestExit,
    /// It says that it cannot get ready to handle events.
    NotReady,
    /// What it returned could not be read: wrong pointers, lengths or text.
    BadAnswer,
    /// Anything else the engine reports.
    Other,
}

impl TrapCode {
    /// The name used in logs, headers and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::StackOverflow => "stack-overflow",
            Self::OutOfBounds => "out-of-bounds",
            Self::Arithmetic => "arithmetic",
            Self::IndirectCall => "indirect-call",
            Self::GuestExit => "guest-exit",
            Self::NotReady => "not-ready",
            Self::BadAnswer => "bad-answer",
            Self::Other => "other",
        }
    }
}

/// A limit that an attempt ran into, other than time and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LimitKind {
    /// Number of emits of one event.
    Emits,
    /// Bytes of the emits of one event.
    EmitBytes,
    /// Bytes the host may allocate for what a guest returns.
    AnswerBytes,
    /// Handles to host resources.
    Handles,
    /// Calls of the state store for one event.
    StateCalls,
    /// Bytes that one event writes to the state store.
    StateBytes,
    /// Bytes that the state store keeps for a tenant and handler.
    StateStored,
    /// Outgoing HTTP requests of one event.
    HttpCalls,
    /// Bytes of one HTTP body.
    HttpBytes,
}

impl LimitKind {
    /// The name used in logs, headers and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Emits => "emits",
            Self::EmitBytes => "emit-bytes",
            Self::AnswerBytes => "answer-bytes",
            Self::Handles => "handles",
            Self::StateCalls => "state-calls",
            Self::StateBytes => "state-bytes",
            Self::StateStored => "state-stored",
            Self::HttpCalls => "http-calls",
            Self::HttpBytes => "http-bytes",
        }
    }
}

/// What one attempt ended in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The guest handled the event and asks for these emits.
    Done(Vec<Emit>),
    /// The guest asks for another attempt.
    Retry {
        /// Earliest time for it, from now.
        after: Option<Duration>,
        /// Why, in the guest's words.
        reason: String,
    },
    /// The guest says that the event will never succeed.
    Reject {
        /// Why, in the guest's words.
        reason: String,
    },
    /// The guest stopped without an answer.
    Trapped {
        /// What kind of stop.
        code: TrapCode,
        /// The engine's message and what the guest last wrote to its error output.
        reason: String,
    },
    /// The guest did not answer in time.
    TimedOut {
        /// Time from the beginning of its deadline until it was stopped.
        used: Duration,
        /// The deadline it had.
        allowed: Duration,
    },
    /// The guest asked for more memory than it may have.
    OutOfMemory {
        /// Bytes it asked for in all.
        requested_bytes: u64,
        /// Bytes it may have.
        allowed_bytes: u64,
    },
    /// The guest ran into another limit.
    LimitExceeded {
        /// Which one.
        limit: LimitKind,
        /// How much it used. Of [`LimitKind::AnswerBytes`] at least so much: an answer is not read to its end.
        used: u64,
        /// How much it may use.
        allowed: u64,
    },
    /// No codec could read the message. No guest was called.
    Undecodable {
        /// Stable code of the mistake.
        code: &'static str,
        /// What was wrong, and where.
        reason: String,
    },
    /// The host could not run the attempt. Never the event's fault.
    HostFault {
        /// What went wrong.
        reason: String,
    },
    /// The host died each time that a guest had the event. No guest is called again.
    HostCrash {
        /// How often.
        deaths: u32,
    },
    /// The guest handled the event, and the broker refuses one of its emits for good.
    EmitRefused {
        /// Which topic, and why.
        reason: String,
    },
}

impl Outcome {
    /// Whether the event was handled.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Whether the guest failed at the attempt, rather than answered or was never run.
    pub(crate) const fn is_fault_of_guest(&self) -> bool {
        matches!(
            self,
            Self::Trapped { .. }
                | Self::TimedOut { .. }
                | Self::OutOfMemory { .. }
                | Self::LimitExceeded { .. }
        )
    }

    /// The kind, without the details.
    pub(crate) const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Done(_) => OutcomeKind::Done,
            Self::Retry { .. } => OutcomeKind::Retry,
            Self::Reject { .. } => OutcomeKind::Reject,
            Self::Trapped { .. } => OutcomeKind::Trapped,
            Self::TimedOut { .. } => OutcomeKind::TimedOut,
            Self::OutOfMemory { .. } => OutcomeKind::OutOfMemory,
            Self::LimitExceeded { .. } => OutcomeKind::LimitExceeded,
            Self::Undecodable { .. } => OutcomeKind::Undecodable,
            Self::HostFault { .. } => OutcomeKind::HostFault,
            Self::HostCrash { .. } => OutcomeKind::HostCrash,
            Self::EmitRefused { .. } => OutcomeKind::EmitRefused,
        }
    }

    /// A finer code inside the kind, or an empty string.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Trapped { code, .. } => code.as_str(),
            Self::LimitExceeded { limit, .. } => limit.as_str(),
            Self::Undecodable { code, .. } => code,
            _ => "",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(emits) => write!(f, "done with {} emits", emits.len()),
            Self::Retry { reason, .. }
            | Self::Reject { reason }
            | Self::Undecodable { reason, .. }
            | Self::HostFault { reason }
            | Self::EmitRefused { reason } => f.write_str(reason),
            Self::Trapped { code, reason } => write!(f, "{}: {reason}", code.as_str()),
            Self::TimedOut { used, allowed } => {
                let used = Duration::from_millis(u64::try_from(used.as_millis()).unwrap_or(u64::MAX));
                let (used, allowed) =
                    (humantime::format_duration(used), humantime::format_duration(*allowed));
                write!(f, "no answer within {allowed}: stopped after {used}")
            }
            Self::OutOfMemory { requested_bytes, allowed_bytes } => {
                write!(f, "asked for {requested_bytes} bytes of memory, may have {allowed_bytes}")
            }
            Self::LimitExceeded { limit, used, allowed } => {
                let least = if *limit == LimitKind::AnswerBytes { "at least " } else { "" };
                write!(f, "{} over the limit: used {least}{used}, may use {allowed}", limit.as_str())
            }
            Self::HostCrash { deaths } => {
                write!(f, "the host died {deaths} times while a guest had the event")
            }
        }
    }
}

/// Makes [`OutcomeKind`] from one table, so that neither its list nor its names can lack a kind.
macro_rules! outcome_kinds {
    ($($kind:ident => $name:literal,)+) => {
        /// The kind of an [`Outcome`], without its details.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum OutcomeKind {
            $(#[doc = concat!("[`Outcome::", stringify!($kind), "`].")] $kind,)+
        }

        impl OutcomeKind {
            /// All kinds there are.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name used in logs, headers and metrics.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

outcome_kinds! {
    Done => "done",
    Retry => "retry",
    Reject => "reject",
    Trapped => "trapped",
    TimedOut => "timed-out",
    OutOfMemory => "out-of-memory",
    LimitExceeded => "limit-exceeded",
    Undecodable => "undecodable",
    HostFault => "host-fault",
    HostCrash => "host-crash",
    EmitRefused => "emit-refused",
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
