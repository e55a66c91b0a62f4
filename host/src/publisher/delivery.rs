//! What others may see of a publisher: which topics cannot be written, and how often that was tried.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use guesthouse_connector::ConnectorError;

use crate::counters::{Counters, TopicCounters};

/// Whether what must be published gets through.
#[derive(Debug, Default)]
pub(crate) struct Delivery(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    topics: BTreeMap<String, TopicCounters>,
    /// The topics that cannot be written now.
    stuck: BTreeMap<String, Stuck>,
}

#[derive(Debug, Default)]
struct Stuck {
    messages: u64,
    reason: String,
}

impl Delivery {
    /// Whether every topic took what was last sent to it.
    pub(crate) fn is_working(&self) -> bool {
        self.seen().stuck.is_empty()
    }

    /// Adds what was seen to the counters of the subscription.
    pub(crate) fn add_to(&self, counters: &mut Counters) {
        let seen = self.seen();
        for (topic, theirs) in &seen.topics {
            counters.published_to(topic, theirs);
        }
        for (topic, stuck) in &seen.stuck {
            *counters.unwritable_topics.entry(topic.clone()).or_default() += stuck.messages;
        }
    }

    /// A request failed, and this many messages wait now. Said aloud once for each reason.
    pub(super) fn failed(&self, topic: &str, error: &ConnectorError, messages: usize) {
        let mut seen = self.seen();
        let failures = &mut seen.topics.entry(topic.to_owned()).or_default().failures;
        *failures.entry(error.stable_code().to_owned()).or_default() += 1;
        let stuck = seen.stuck.entry(topic.to_owned()).or_default();
        let reason = error.to_string();
        let is_new = stuck.reason != reason;
        *stuck = Stuck { messages: messages as u64, reason };
        drop(seen);
        if is_new {
            tracing::error!(
                topic,
                %error,
                "cannot publish; what waits for it is not committed, and it is tried again until it succeeds"
            );
        }
    }

    /// The broker has confirmed this many messages of a topic.
    pub(super) fn confirmed(&self, topic: &str, messages: usize) {
        if messages > 0 {
            self.seen().topics.entry(topic.to_owned()).or_default().published += messages as u64;
        }
    }

    /// A request succeeded, and this many messages are still refused.
    pub(super) fn succeeded(&self, topic: &str, refused: usize) {
        let mut seen = self.seen();
        if refused > 0 {
            seen.stuck.entry(topic.to_owned()).or_default().messages = refused as u64;
        } else if seen.stuck.remove(topic).is_some() {
            drop(seen);
            tracing::info!(topic, "publishing works again");
        }
    }

    /// Nothing waits for a topic any more, because it was given up.
    pub(super) fn given_up(&self, topic: &str) {
        if self.seen().stuck.remove(topic).is_some() {
            tracing::info!(topic, "nothing waits for the topic any more");
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change under the lock leaves it whole, so a panic cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
