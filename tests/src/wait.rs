//! Waiting for what must come: a condition is looked at again and again until a generous deadline.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. It is no measurement: a healthy run never comes near it. An
/// outside server keeps each partition of a killed member for half a minute, and kills may follow each other.
pub const PATIENCE: Duration = Duration::from_secs(300);

const PAUSE: Duration = Duration::from_millis(20);

/// What is left of [`PATIENCE`].
#[derive(Debug)]
pub struct Patience<'a> {
    what: &'a str,
    end: Instant,
}

impl<'a> Patience<'a> {
    /// Begins to wait for something.
    pub fn for_this(what: &'a str) -> Self {
        Self { what, end: Instant::now() + PATIENCE }
    }

    /// Waits a moment before the next look. Ends the test when the patience is over.
    pub async fn pause(&self) {
        if Instant::now() >= self.end {
            panic!("within {PATIENCE:?} this did not come true: {}", self.what);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks until there is something to see, and gives it back.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Patience::for_this(what);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        patience.pause().await;
    }
}
