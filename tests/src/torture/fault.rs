//! What a proxy does to the way between a host and its broker, and when.

use std::time::Duration;

use super::wire::Request;

/// Requests that a fault waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Any request.
    Any,
    /// Messages for this topic.
    Publish(String),
    /// Progress of a group.
    Store,
    /// Messages to read.
    Poll,
    /// Membership of a group.
    Join,
}

/// What happens to a request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The request is cut off in the middle, and the connection with it.
    CutRequest,
    /// The connection ends after the request has passed and before it is answered.
    CutAnswered,
    /// The answer is cut off in the middle, and the connection with it.
    CutAnswer,
    /// The answer is lost and the connection stays. The client notices by its own clock.
    DropAnswer,
    /// The broker carries the request out, but the answer never comes: somebody is told, and kills the client.
    HoldAnswer,
    /// One byte of the answer is another one. The place is a share of the frame, from `0.0` to `1.0`.
    CorruptAnswer(f64),
    /// The broker refuses the request and as many further ones of the kind, with this code.
    Refuse {
        /// Iggy's error code.
        code: u32,
        /// How many requests.
        times: u32,
    },
    /// From here on every frame of the proxy takes so much longer, for so long.
    Delay {
        /// Of each frame.
        by: Duration,
        /// When it is over.
        lasts: Duration,
    },
    /// The answer comes one byte at a time.
    Trickle,
    /// Nothing passes in either direction on any connection, for so long or until it is healed; then all of them are
    /// cut.
    BlackHole(Duration),
}

/// A fault and the request that sets it off.
#[derive(Debug, Clone, PartialEq)]
pub struct Trap {
    /// Which requests count.
    pub target: Target,
    /// Which of them sets it off, counted from one.
    pub nth: u32,
    /// What happens then.
    pub fault: Fault,
}

impl Target {
    /// Whether a request counts.
    pub fn takes(&self, request: &Request) -> bool {
        match (self, request) {
            (Self::Any, _)
            | (Self::Store, Request::Store { .. })
            | (Self::Poll, Request::Poll)
            | (Self::Join, Request::Join) => true,
            (Self::Publish(wanted), Request::Publish { topic }) => wanted == topic,
            _ => false,
        }
    }
}

impl Fault {
    /// The name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CutRequest => "cut-request",
            Self::CutAnswered => "cut-before-answer",
            Self::CutAnswer => "cut-answer",
            Self::DropAnswer => "drop-answer",
            Self::HoldAnswer => "hold-answer",
            Self::CorruptAnswer(_) => "corrupt-answer",
            Self::Refuse { .. } => "refuse",
            Self::Delay { .. } => "delay",
            Self::Trickle => "trickle",
            Self::BlackHole(_) => "black-hole",
        }
    }
}
