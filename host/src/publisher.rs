//! The publisher: brings the effects of one subscription to the broker, in order, and does not give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guesthouse_connector::{IggyConnector, OutgoingMessage, TopicAddress};
use tokio::sync::mpsc;

use crate::dispatch::effects::{EffectId, PublishJob};
use crate::poller::Input;

/// Most jobs that share a request.
const JOBS_MAX: usize = 1_000;

/// Most payload bytes that share a request; a single larger message travels alone.
const BYTES_MAX: usize = 4 << 20;

/// Shortest and longest wait before the broker is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Whether what must be published gets through.
#[derive(Debug)]
pub(crate) struct Delivery(AtomicBool);

impl Default for Delivery {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Delivery {
    /// Whether the last attempt to publish succeeded.
    pub(crate) fn is_working(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Publishes jobs until their sender is gone and all are confirmed.
///
/// Cancelling it loses nothing that was reported: events whose effects are not confirmed are not settled.
pub(crate) async fn run(
    connector: Arc<dyn IggyConnector>,
    stream: String,
    mut jobs: mpsc::Receiver<PublishJob>,
    inputs: mpsc::Sender<Input>,
    delivery: Arc<Delivery>,
) {
    let mut next = None;
    loop {
        let Some(first) = (match next.take() {
            Some(job) => Some(job),
            None => jobs.recv().await,
        }) else {
            return;
        };
        let (round, left) = gather(first, &mut jobs);
        next = left;
        for (topic, messages) in round.requests {
            let address = TopicAddress { stream: stream.clone(), topic };
            publish(connector.as_ref(), &address, messages, &delivery).await;
        }
        if inputs.send(Input::Published(round.effects)).await.is_err() {
            return;
        }
    }
}

/// What is published together.
#[derive(Debug, Default)]
struct Round {
    effects: Vec<EffectId>,
    /// Messages by topic, in the order of the jobs.
    requests: Vec<(String, Vec<OutgoingMessage>)>,
}

impl Round {
    fn add(&mut self, job: PublishJob) {
        self.effects.push(job.effect);
        for (topic, message) in job.messages {
            match self.requests.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, messages)) => messages.push(message),
                None => self.requests.push((topic, vec![message])),
            }
        }
    }
}

/// Takes what waits in the channel up to the bounds of a round; the job that no longer fits is handed back.
fn gather(first: PublishJob, jobs: &mut mpsc::Receiver<PublishJob>) -> (Round, Option<PublishJob>) {
    let mut round = Round::default();
    let mut bytes = first.bytes();
    round.add(first);
    while round.effects.len() < JOBS_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.bytes();
        if bytes > BYTES_MAX {
            return (round, Some(job));
        }
        round.add(job);
    }
    (round, None)
}

/// Publishes until everything is confirmed. Repeats keep the ids of the messages, so they can be recognised.
async fn publish(
    connector: &dyn IggyConnector,
    to: &TopicAddress,
    mut messages: Vec<OutgoingMessage>,
    delivery: &Delivery,
) {
    let mut wait = BACKOFF.0;
    while let Err(error) = connector.publish_batch(to, messages).await {
        delivery.0.store(false, Ordering::Release);
        let left = error.unpublished.len();
        tracing::warn!(topic = %to, left, error = %error.source, ?wait, "cannot publish; trying again");
        messages = error.unpublished;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
    delivery.0.store(true, Ordering::Release);
}
