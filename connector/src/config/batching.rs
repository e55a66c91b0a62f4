//! How messages are put together into requests.

use std::time::Duration;

use crate::error::ConnectorError;

/// How messages are put together into requests: those of one partition, whoever publishes them and however many at a
/// time.
///
/// What comes while a request is under way always goes into the next one together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// How long a message waits for company while its request is not full; default zero, which sends at once.
    /// Publishing takes that much longer for a caller who waits for each message.
    pub linger: Duration,
    /// How many messages make a request full; default 5,000.
    pub messages_max: usize,
    /// How many bytes make a request full; default 8 MiB. A larger message travels alone.
    pub bytes_max: usize,
}

impl Batching {
    /// The longest [`linger`](Self::linger): callers wait that long.
    pub const LINGER_MAX: Duration = Duration::from_secs(5);
    /// The most that [`messages_max`](Self::messages_max) may be: so many messages of a partition the embedded broker
    /// remembers, and a repeated request must be recognised as a whole.
    pub const MESSAGES_MAX: usize = 8_192;
    /// The least that [`bytes_max`](Self::bytes_max) may be.
    pub const BYTES_MIN: usize = 1 << 10;
    /// The most that [`bytes_max`](Self::bytes_max) may be, half of what Iggy takes as one request.
    pub const BYTES_MAX: usize = 32 << 20;

    /// Whether everything is within its bounds.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Config`] naming what is not.
    pub(crate) fn check(&self) -> Result<(), ConnectorError> {
        let Self { linger, messages_max, bytes_max } = *self;
        let refuse = |key, value: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
            Err(ConnectorError::Config(format!("batching.{key} is {value:?}, expected {expected:?}")))
        };
        if linger > Self::LINGER_MAX {
            return refuse("linger", &linger, &(Duration::ZERO..=Self::LINGER_MAX));
        }
        if !(1..=Self::MESSAGES_MAX).contains(&messages_max) {
            return refuse("messages_max", &messages_max, &(1..=Self::MESSAGES_MAX));
        }
        if !(Self::BYTES_MIN..=Self::BYTES_MAX).contains(&bytes_max) {
            return refuse("bytes_max", &bytes_max, &(Self::BYTES_MIN..=Self::BYTES_MAX));
        }
        Ok(())
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self { linger: Duration::ZERO, messages_max: 5_000, bytes_max: 8 << 20 }
    }
}
