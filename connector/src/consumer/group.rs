//! The member itself: a task that owns a group cursor, keeps the membership alive, and answers its consumer.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, warn};

use super::hands::Hands;
use super::{ConsumerCursor, SubscriberMessage};
use crate::address::GroupAddress;
use crate::error::ConnectorError;
use crate::group::{CursorStep, GroupCursor, StoreOutcome};

/// How long a consumer waits for a message before it is told that there is none.
const RECEIVE_PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two looks when there is nothing to read, or nobody who takes it.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// The consumer's end; dropping it ends the task and with it the membership.
#[derive(Debug)]
pub(crate) struct GroupConsumer {
    requests: mpsc::Sender<Request>,
    _member: JoinSet<()>,
}

#[derive(Debug)]
enum Request {
    Receive(oneshot::Sender<Received>),
    Acknowledge { ack_token: String, reply: oneshot::Sender<Result<(), ConnectorError>> },
}

type Received = Result<SubscriberMessage, ConnectorError>;

/// The task's end.
#[derive(Debug)]
struct Member {
    cursor: GroupCursor,
    group: GroupAddress,
    hands: Hands,
    /// Who waits for a message.
    receiver: Option<oneshot::Sender<Received>>,
    /// What went wrong last while nobody waited.
    trouble: Option<ConnectorError>,
    step_at: Instant,
}

impl GroupConsumer {
    pub(crate) fn start(cursor: GroupCursor, group: &GroupAddress) -> Self {
        let (requests, inbox) = mpsc::channel(1);
        let member = Member {
            cursor,
            group: group.clone(),
            hands: Hands::default(),
            receiver: None,
            trouble: None,
            step_at: Instant::now(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(member.run(inbox));
        Self { requests, _member: tasks }
    }

    async fn ask(&self, request: Request) -> Result<(), ConnectorError> {
        self.requests.send(request).await.map_err(|_| ConnectorError::NotConnected)
    }
}

#[async_trait]
impl ConsumerCursor for GroupConsumer {
    async fn receive(&mut self) -> Result<Option<SubscriberMessage>, ConnectorError> {
        let (reply, received) = oneshot::channel();
        self.ask(Request::Receive(reply)).await?;
        match timeout(RECEIVE_PATIENCE, received).await {
            Ok(Ok(received)) => received.map(Some),
            Ok(Err(_)) => Err(ConnectorError::NotConnected),
            Err(_) => Ok(None),
        }
    }

    async fn acknowledge(&mut self, ack_token: &str) -> Result<(), ConnectorError> {
        let (reply, acknowledged) = oneshot::channel();
        self.ask(Request::Acknowledge { ack_token: ack_token.to_owned(), reply }).await?;
        acknowledged.await.unwrap_or(Err(ConnectorError::NotConnected))
    }
}

impl Member {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        loop {
            self.serve();
            let takes_more = !self.hands.are_full();
            let step = async {
                sleep_until(self.step_at).await;
                self.cursor.step(|_| takes_more).await
            };
            tokio::select! {
                biased;
                request = inbox.recv() => match request {
                    Some(request) => self.take(request).await,
                    None => break,
                },
                step = step => self.note(step),
            }
        }
    }

    /// Gives whoever waits what there is.
    fn serve(&mut self) {
        let Some(receiver) = self.receiver.take().filter(|receiver| !receiver.is_closed()) else {
            return;
        };
        let received = match self.trouble.take() {
            Some(error) => Some(Err(error)),
            None => self.hands.hand_out(&self.group).map(Ok),
        };
        match received {
            // If the receiver is gone by now, the message stays outstanding and comes again.
            Some(received) => drop(receiver.send(received)),
            None => self.receiver = Some(receiver),
        }
    }

    async fn take(&mut self, request: Request) {
        match request {
            Request::Receive(receiver) => self.receiver = Some(receiver),
            Request::Acknowledge { ack_token, reply } => {
                let acknowledged = self.acknowledge(&ack_token).await;
                // Whoever does not wait for the answer does not want it.
                drop(reply.send(acknowledged));
            }
        }
    }

    async fn acknowledge(&mut self, ack_token: &str) -> Result<(), ConnectorError> {
        let Some(place) = self.hands.acknowledged(&self.group, ack_token) else {
            return Err(ConnectorError::Receive(format!(
                "{ack_token:?} does not acknowledge the outstanding message of group {}: it was acknowledged \
                 before, or its partition went to another member",
                self.group
            )));
        };
        let outcome = self.cursor.store_offset(place.partition, place.offset).await?;
        self.hands.let_go();
        match outcome {
            StoreOutcome::Stored => Ok(()),
            StoreOutcome::NotOwner => Err(ConnectorError::Receive(format!(
                "partition {} of group {} went to another member, which gets the message again",
                place.partition, self.group
            ))),
        }
    }

    fn note(&mut self, step: Result<CursorStep, ConnectorError>) {
        match step {
            Ok(CursorStep::Messages { partition, messages }) => self.hands.take(partition, messages),
            Ok(CursorStep::Revoked(partitions)) => self.hands.revoke(&partitions),
            Ok(CursorStep::Empty) => self.step_at = Instant::now() + IDLE_PAUSE,
            Ok(CursorStep::Expired { partition, from, until }) => {
                error!(group = %self.group, %partition, %from, %until, "messages are gone before they were handled: they expired or were purged");
            }
            Ok(CursorStep::Repeated { partition, from, until }) => {
                warn!(group = %self.group, %partition, %from, %until, "the stored offset went back: messages are handled again");
            }
            Ok(CursorStep::WentBack { partition, expected, last }) => {
                error!(group = %self.group, %partition, %expected, %last, "the broker forgot messages, or the topic was purged; reading all that it holds now");
            }
            Ok(step) => debug!(group = %self.group, ?step, "group cursor"),
            Err(error) => {
                debug!(group = %self.group, %error, "group cursor");
                self.trouble = Some(error);
                self.step_at = Instant::now() + IDLE_PAUSE;
            }
        }
    }
}
