//! Why an event was not handled.

use std::fmt;
use std::time::Duration;

use crate::contract::guesthouse::handler::types;

/// Why an event was not handled, and whether another attempt may help. Reasons are for people; the host cuts
/// them at 1,024 bytes.
///
/// The constructors take anything that can be displayed, so `.map_err(Failure::retry)?` works on any error.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure(pub(crate) types::Failure);

impl Failure {
    /// May succeed later: the host tries again by the retry policy of the handler.
    #[must_use]
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self(types::Failure::Retry(types::Retry { reason: reason.to_string(), after: None }))
    }

    /// Like [`Failure::retry`], not before this much time has passed, in whole milliseconds. The policy of the
    /// handler bounds it.
    #[must_use]
    pub fn retry_after(wait: Duration, reason: impl fmt::Display) -> Self {
        let after = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(types::Failure::Retry(types::Retry { reason: reason.to_string(), after: Some(after) }))
    }

    /// Will never succeed: the host puts the event into the dead letter queue now.
    #[must_use]
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self(types::Failure::Reject(reason.to_string()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            types::Failure::Retry(retry) => write!(formatter, "asks for another attempt: {}", retry.reason),
            types::Failure::Reject(reason) => write!(formatter, "rejects the event: {reason}"),
        }
    }
}
