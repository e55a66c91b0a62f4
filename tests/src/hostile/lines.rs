//! What guests say: their lines in the log, counted by handler.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::hostile::verdict::SECRET;

/// The target under which the host writes lines of guests.
const TARGET: &str = "guest";

static LINES: OnceLock<Mutex<HashMap<String, Lines>>> = OnceLock::new();

/// The lines of one handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many.
    pub count: usize,
    /// Bytes of the longest.
    pub longest_bytes: usize,
    /// A line with a control character or a secret, which none may have.
    pub forged: Option<String>,
}

struct Counting;

#[derive(Default)]
struct Line {
    handler: String,
    text: String,
}

/// Counts the lines of all guests of this process from now on. Doing it twice does nothing.
pub fn count() {
    LINES.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Counting);
        tracing::subscriber::set_global_default(subscriber)
            .expect("no other subscriber is set in this process");
        Mutex::default()
    });
}

/// Takes the lines of a handler so far.
pub fn take(handler: &str) -> Lines {
    lock().remove(handler).unwrap_or_default()
}

fn lock() -> MutexGuard<'static, HashMap<String, Lines>> {
    let lines = LINES.get().expect("lines are counted");
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Subscriber> Layer<S> for Counting {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = lock();
        let lines = lines.entry(line.handler).or_default();
        lines.count += 1;
        lines.longest_bytes = lines.longest_bytes.max(line.text.len());
        if line.text.contains(char::is_control) || line.text.contains(SECRET) {
            lines.forged = Some(line.text);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "handler" {
            value.clone_into(&mut self.handler);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
}
