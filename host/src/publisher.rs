//! The publisher: brings the effects of one subscription to the broker and does not give up.
//!
//! Every topic has a queue of its own, so a topic that cannot be written holds up nothing that goes elsewhere. Inside
//! a queue messages keep their order.

mod delivery;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::{
    ConnectorError, IggyConnector, OutgoingMessage, PublishBatchError, TopicAddress, TopicSpec,
};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use self::queue::{Letter, TopicQueue, Trouble};
use crate::dispatch::effects::{EffectId, OnRefusal, PublishJob};
use crate::failpoint::failpoint;
use crate::poller::Input;
use crate::spans::ProducerSpans;

pub(crate) use self::delivery::Delivery;

/// Brings what it is given to the topics of one stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) connector: Arc<dyn IggyConnector>,
    pub(crate) stream: String,
    /// The topics that are created again when they are gone.
    pub(crate) topology: Arc<[TopicSpec]>,
    pub(crate) delivery: Arc<Delivery>,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Outbox {
    queues: BTreeMap<String, TopicQueue>,
    /// Messages that each effect still waits for.
    open: HashMap<EffectId, usize>,
    attempts: JoinSet<Attempt>,
}

/// A request that has ended.
#[derive(Debug)]
struct Attempt {
    topic: String,
    confirmed: Vec<EffectId>,
    failure: Option<Failure>,
}

/// What a request left undone, and why.
#[derive(Debug)]
struct Failure {
    left: Vec<Letter>,
    error: ConnectorError,
}

impl Publisher {
    /// Publishes jobs until their sender is gone and all are confirmed, and tells `inputs` which are. What waits is
    /// bounded by the events that the dispatcher has in flight.
    ///
    /// Ends early when nobody listens, or when a task of its own panics. Cancelling it loses nothing that was
    /// reported: events whose effects are not confirmed are not settled.
    pub(crate) async fn run(self, mut jobs: mpsc::Receiver<PublishJob>, inputs: mpsc::Sender<Input>) {
        let mut outbox = Outbox { open: HashMap::new(), ..Outbox::default() };
        let mut has_more = true;
        while has_more || !outbox.is_empty() {
            self.send_what_is_due(&mut outbox);
            let wake = outbox.next_wake();
            let ended = tokio::select! {
                job = jobs.recv(), if has_more => {
                    has_more = job.is_some();
                    job.into_iter().for_each(|job| outbox.add(job));
                    while let Ok(job) = jobs.try_recv() {
                        outbox.add(job);
                    }
                    continue;
                }
                Some(ended) = outbox.attempts.join_next() => ended,
                () = sleep_until(wake), if wake.is_some() => continue,
            };
            let Some(told) = self.take(&mut outbox, ended) else { return };
            for input in told {
                if inputs.send(input).await.is_err() {
                    return;
                }
            }
        }
    }

    fn send_what_is_due(&self, outbox: &mut Outbox) {
        let now = Instant::now();
        for (topic, queue) in &mut outbox.queues {
            let Some(letters) = queue.next_request(now) else { continue };
            let address = TopicAddress { stream: self.stream.clone(), topic: topic.clone() };
            let spec = self.topology.iter().find(|spec| spec.name == *topic).cloned();
            outbox.attempts.spawn(attempt(Arc::clone(&self.connector), address, letters, spec));
        }
    }

    /// Takes note of a request that ended, and tells which effects are confirmed as a whole, and which are refused; none
    /// when the task died.
    fn take(&self, outbox: &mut Outbox, ended: Result<Attempt, JoinError>) -> Option<Vec<Input>> {
        let Attempt { topic, confirmed, failure } = match ended {
            Ok(attempt) => attempt,
            Err(error) => {
                tracing::error!(%error, "a task of the publisher died");
                return None;
            }
        };
        self.delivery.confirmed(&topic, confirmed.len());
        let mut told = Vec::new();
        match (failure, outbox.queues.get_mut(&topic)) {
            (None, Some(queue)) => {
                queue.succeeded();
                self.delivery.succeeded(&topic, queue.stuck());
            }
            (Some(Failure { left, error }), Some(queue)) => {
                let refused = queue.failed(left, Trouble::of(&error), Instant::now());
                // What belongs to an effect that was given up meanwhile is published no more.
                let is_open = |effect| outbox.open.contains_key(&effect);
                let refused = refused.filter(|letter| is_open(letter.effect));
                queue.keep(is_open);
                self.delivery.failed(&topic, &error, queue.stuck());
                if let Some(Letter { effect, .. }) = refused {
                    outbox.refuse(effect);
                    told.push(Input::Refused(effect, format!("topic `{topic}`: {error}")));
                }
                self.forget_what_is_free(outbox);
            }
            (_, None) => {}
        }
        let settled: Vec<_> = confirmed.into_iter().filter(|effect| outbox.confirm(*effect)).collect();
        if !settled.is_empty() {
            told.push(Input::Published(settled));
        }
        Some(told)
    }

    /// Notes which topics nothing waits for any more, since an effect was given up.
    fn forget_what_is_free(&self, outbox: &Outbox) {
        for (topic, _) in outbox.queues.iter().filter(|(_, queue)| queue.is_empty()) {
            self.delivery.given_up(topic);
        }
    }
}

impl Outbox {
    fn add(&mut self, job: PublishJob) {
        self.open.insert(job.effect, job.messages.len());
        for (topic, message) in job.messages {
            let letter = Letter { effect: job.effect, message, on_refusal: job.on_refusal, refusals: 0 };
            self.queues.entry(topic).or_default().push(letter);
        }
    }

    /// Notes that one message of an effect is confirmed, and tells whether that was the last.
    fn confirm(&mut self, effect: EffectId) -> bool {
        let Some(left) = self.open.get_mut(&effect) else { return false };
        *left = left.saturating_sub(1);
        let is_whole = *left == 0;
        if is_whole {
            self.open.remove(&effect);
        }
        is_whole
    }

    /// Gives an effect up.
    fn refuse(&mut self, effect: EffectId) {
        self.open.remove(&effect);
        for queue in self.queues.values_mut() {
            queue.keep(|waiting| waiting != effect);
        }
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn next_wake(&self) -> Option<Instant> {
        self.queues.values().filter_map(TopicQueue::next_wake).min()
    }
}

/// Sends one request. When its topic is gone and is one of ours, it is created again for the next one.
async fn attempt(
    connector: Arc<dyn IggyConnector>,
    to: TopicAddress,
    letters: Vec<Letter>,
    spec: Option<TopicSpec>,
) -> Attempt {
    let (order, messages) = split(letters);
    failpoint!("{}.before_send", to.topic);
    let spans = ProducerSpans::begin(&to.topic, &messages);
    let sent = connector.publish_batch(&to, messages).await;
    spans.end(&sent);
    let Err(PublishBatchError { unpublished, source: error }) = sent else {
        failpoint!("{}.after_ack", to.topic);
        let confirmed = order.into_iter().map(|stub| stub.effect).collect();
        return Attempt { topic: to.topic, confirmed, failure: None };
    };
    if let (ConnectorError::Topology(_), Some(spec)) = (&error, spec)
        && let Err(error) = connector.ensure_topics(&to.stream, &[spec]).await
    {
        tracing::debug!(topic = %to, %error, "cannot create the topic again");
    }
    let (confirmed, left) = sort_out(order, unpublished);
    Attempt { topic: to.topic, confirmed, failure: Some(Failure { left, error }) }
}

/// What a letter is without its message.
#[derive(Debug)]
struct Stub {
    effect: EffectId,
    id: u128,
    on_refusal: OnRefusal,
    refusals: u32,
}

/// The messages of letters, and to whom each belongs.
fn split(letters: Vec<Letter>) -> (Vec<Stub>, Vec<OutgoingMessage>) {
    let split = |Letter { effect, message, on_refusal, refusals }| {
        (Stub { effect, id: message.id, on_refusal, refusals }, message)
    };
    letters.into_iter().map(split).unzip()
}

/// Which effects had a message confirmed, and which letters are left, both in order. Messages of one id are equal, so
/// it makes no difference which of them is taken for the confirmed one.
fn sort_out(order: Vec<Stub>, unpublished: Vec<OutgoingMessage>) -> (Vec<EffectId>, Vec<Letter>) {
    let (mut confirmed, mut left) = (Vec::new(), Vec::with_capacity(unpublished.len()));
    let mut unpublished = unpublished.into_iter().peekable();
    for Stub { effect, id, on_refusal, refusals } in order {
        match unpublished.next_if(|message| message.id == id) {
            Some(message) => left.push(Letter { effect, message, on_refusal, refusals }),
            None => confirmed.push(effect),
        }
    }
    (confirmed, left)
}

async fn sleep_until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake).await;
    }
}

#[cfg(test)]
mod tests;
