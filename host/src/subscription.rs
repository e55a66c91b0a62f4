//! A running subscription: the thin shell that drives its dispatcher with pollers, guests and a publisher.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guesthouse_broker::clock::steady_micros;
use guesthouse_connector::{GroupAddress, IggyConnector, TopicAddress, TopicSpec};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::board::{Board, Phase};
use crate::codec::Codec;
use crate::commit_record::CommitRecord;
use crate::counters::{Counters, CountersBoard, SHOWN_MAX, ShowTimes, Shown};
use crate::dispatch::effects::PublishJob;
use crate::dispatch::partitions::{Due, PartitionKey, Polling, TopicIndex};
use crate::dispatch::{Dispatcher, Now};
use crate::event::{SourceTopic, Tenant};
use crate::failpoint::failpoint;
use crate::parked::{Keeper, ParkedBoard};
use crate::poller::{Input, Membership, Poller, Waiting};
use crate::publisher::{Delivery, Publisher};
use crate::sandbox::{AdmittedComponent, CallReport, GuestCall, Pool, Sandbox, TenancyCache};
use crate::spans::AttemptSpans;
use crate::state::forget::Forgetter;
use crate::trouble::{About, Troubles};

/// Inputs that wait for the dispatcher. Pollers wait when it is full.
const INPUTS_MAX: usize = 64;

/// Jobs that wait for the publisher; more wait in the dispatcher, bounded by the events in flight.
const JOBS_MAX: usize = 4_096;

/// Longest time between two looks at what is due.
const TICK: Duration = Duration::from_millis(20);

/// How long a leaving poller may take for its last commits.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// One subscription, ready to run.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) topics: Vec<Arc<SourceTopic>>,
    pub(crate) codec: Arc<Codec>,
    pub(crate) dispatcher: Dispatcher,
    /// The component of each handler, in the order of the dispatcher's handlers.
    pub(crate) components: Vec<Arc<AdmittedComponent>>,
    pub(crate) sandbox: Sandbox,
    pub(crate) connector: Arc<dyn IggyConnector>,
    /// Bytes that were read and may wait for the dispatcher.
    pub(crate) waiting_bytes_max: usize,
    /// The topics of the stream as configured.
    pub(crate) topology: Arc<[TopicSpec]>,
    pub(crate) view: Arc<View>,
    /// What the names of parked topics end in, when lanes of the handlers may be parked.
    pub(crate) parked_suffix: Option<String>,
    /// Forgets the done-marks of handlers that use state, when there are such handlers.
    pub(crate) forgetter: Option<Arc<Forgetter>>,
    /// Who hears what does not work.
    pub(crate) troubles: Troubles,
    /// Where it is put on record what is committed, if anywhere.
    pub(crate) journal_dir: Option<PathBuf>,
}

/// What others may see of a running subscription.
#[derive(Debug)]
pub(crate) struct View {
    /// The name of the subscription.
    pub(crate) subscription: String,
    /// Its group in each of its topics.
    pub(crate) groups: Vec<GroupAddress>,
    pub(crate) memberships: Vec<Arc<Membership>>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) counters: CountersBoard,
}

impl View {
    /// A view of a subscription of this name that is in these groups.
    pub(crate) fn new(subscription: String, groups: Vec<GroupAddress>) -> Self {
        Self {
            subscription,
            memberships: groups.iter().map(|_| Arc::default()).collect(),
            groups,
            delivery: Arc::default(),
            counters: CountersBoard::default(),
        }
    }

    /// Whether it reads all its topics.
    pub(crate) fn is_member(&self) -> bool {
        self.memberships.iter().all(|membership| membership.is_held())
    }

    /// Why it does not read a topic, when that is known.
    pub(crate) fn why_no_member(&self) -> Option<String> {
        let unheld = self.memberships.iter().filter(|membership| !membership.is_held());
        unheld.filter_map(|membership| membership.reason()).next()
    }

    /// Whether it reads all its topics and can publish what it must.
    pub(crate) fn is_ready(&self) -> bool {
        self.delivery.is_working() && self.is_member()
    }
}

/// A task of a subscription ended in a way it must not.
#[derive(Debug, thiserror::Error)]
#[error("a task of subscription `{subscription}` ended by itself; this is a fault of the host")]
pub struct SubscriptionError {
    subscription: String,
    source: Option<tokio::task::JoinError>,
}

/// How much longer a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Without end.
    On,
    /// Until all that was read is settled, at the latest until this time.
    DrainUntil(Instant),
}

/// The running form: the dispatcher and its ends of all channels.
struct Running {
    dispatcher: Dispatcher,
    components: Vec<Arc<AdmittedComponent>>,
    sandbox: Sandbox,
    tenancies: TenancyCache,
    boards: Vec<Arc<Board>>,
    waiting: Arc<Waiting>,
    /// One for each topic, or none where nothing is parked.
    parked_boards: Vec<Arc<ParkedBoard>>,
    jobs: mpsc::Sender<PublishJob>,
    reports: mpsc::Sender<CallReport>,
    spans: AttemptSpans,
    view: Arc<View>,
}

impl Subscription {
    /// Runs until told to drain, and then until all is settled or time is up.
    ///
    /// # Errors
    /// When one of its tasks panics. What was not committed is read again by the next run.
    pub(crate) async fn run(self, mut run: watch::Receiver<Run>) -> Result<Counters, SubscriptionError> {
        let (inputs_tx, mut inputs) = mpsc::channel(INPUTS_MAX);
        let report_slots = Pool::ALL.into_iter().map(|pool| self.sandbox.call_slots(pool)).sum::<usize>();
        let (reports_tx, mut reports) = mpsc::channel(report_slots.max(1));
        let (jobs_tx, jobs) = mpsc::channel(JOBS_MAX);
        let boards: Vec<Arc<Board>> = self.topics.iter().map(|_| Arc::default()).collect();
        let waiting = Arc::new(Waiting::new(self.waiting_bytes_max));
        let mut pollers = self.spawn_pollers(&boards, &inputs_tx, &waiting);
        let mut publishers = JoinSet::new();
        let parked_boards = self.spawn_keepers(&inputs_tx, &mut publishers);
        publishers.spawn(self.publisher().run(jobs, inputs_tx));
        if let Some(forgetter) = &self.forgetter {
            // It never ends by itself either.
            publishers.spawn(Arc::clone(forgetter).run());
        }

        let mut running = Running {
            dispatcher: self.dispatcher,
            components: self.components,
            tenancies: self.sandbox.tenancy_cache(),
            sandbox: self.sandbox,
            boards,
            waiting,
            parked_boards,
            jobs: jobs_tx,
            reports: reports_tx,
            spans: AttemptSpans::new(self.group),
            view: self.view,
        };
        let ended = running.drive(&mut inputs, &mut reports, &mut run, (&mut pollers, &mut publishers)).await;
        running.leave(&mut inputs, &mut pollers).await;
        let view = Arc::clone(&running.view);
        let counters = view.counters.change(|shown| {
            running.show_counters(shown, usize::MAX);
            shown.clone()
        });
        match ended {
            Ended::Drained => {
                if counters.unsettled > 0 {
                    let (subscription, unsettled) = (&self.name, counters.unsettled);
                    tracing::warn!(
                        subscription,
                        unsettled,
                        "stopped before all was settled; what is not will be read again"
                    );
                }
                Ok(counters)
            }
            Ended::TaskDied(source) => Err(SubscriptionError { subscription: self.name, source }),
        }
    }

    fn publisher(&self) -> Publisher {
        Publisher {
            connector: Arc::clone(&self.connector),
            stream: self.topics.first().map(|topic| topic.stream.clone()).unwrap_or_default(),
            topology: Arc::clone(&self.topology),
            delivery: Arc::clone(&self.view.delivery),
        }
    }

    fn spawn_keepers(&self, inputs: &mpsc::Sender<Input>, tasks: &mut JoinSet<()>) -> Vec<Arc<ParkedBoard>> {
        let Some(suffix) = &self.parked_suffix else { return Vec::new() };
        let mut boards = Vec::with_capacity(self.topics.len());
        for (at, source) in self.topics.iter().enumerate() {
            let board: Arc<ParkedBoard> = Arc::default();
            let keeper = Keeper {
                topic: TopicIndex(at),
                source: Arc::clone(source),
                parked: TopicAddress::new(source.stream.as_str(), format!("{}{suffix}", source.topic)),
                group: self.group.clone(),
                codec: Arc::clone(&self.codec),
                connector: Arc::clone(&self.connector),
                board: Arc::clone(&board),
                inputs: inputs.clone(),
                watch: self.troubles.watch(About {
                    cause: "parked_unreadable",
                    subject: format!("the parked events of topic {}", source.topic),
                    consequence: "its partitions are read once it is known what of them is parked; it is tried again until it succeeds",
                }),
                troubles: self.troubles.clone(),
            };
            tasks.spawn(keeper.run());
            boards.push(board);
        }
        boards
    }

    fn spawn_pollers(
        &self,
        boards: &[Arc<Board>],
        inputs: &mpsc::Sender<Input>,
        waiting: &Arc<Waiting>,
    ) -> JoinSet<()> {
        let mut pollers = JoinSet::new();
        let memberships = &self.view.memberships;
        for (at, ((source, board), membership)) in self.topics.iter().zip(boards).zip(memberships).enumerate()
        {
            let poller = Poller {
                topic: TopicIndex(at),
                source: Arc::clone(source),
                group: self.group.clone(),
                codec: Arc::clone(&self.codec),
                connector: Arc::clone(&self.connector),
                board: Arc::clone(board),
                inputs: inputs.clone(),
                waiting: Arc::clone(waiting),
                membership: Arc::clone(membership),
                forgetter: self.forgetter.clone(),
                commits: self.troubles.watch(About {
                    cause: "commits_refused",
                    subject: format!("the commits of group {} in topic {}", self.group, source.topic),
                    consequence: "events go on, and what is not committed is handled again after a restart; it is tried again until it succeeds",
                }),
                troubles: self.troubles.clone(),
                record: self.journal_dir.as_deref().map(|dir| {
                    CommitRecord::new(dir, &GroupAddress::new(source.address(), self.group.as_str()))
                }),
            };
            pollers.spawn(poller.run());
        }
        pollers
    }
}

/// Why the driving ended.
#[derive(Debug)]
enum Ended {
    Drained,
    TaskDied(Option<tokio::task::JoinError>),
}

impl Running {
    async fn drive(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        reports: &mut mpsc::Receiver<CallReport>,
        run: &mut watch::Receiver<Run>,
        (pollers, publishers): (&mut JoinSet<()>, &mut JoinSet<()>),
    ) -> Ended {
        let mut show_times = ShowTimes::new();
        let jobs = self.jobs.clone();
        loop {
            let end = *run.borrow_and_update();
            if self.is_over(end) {
                return Ended::Drained;
            }
            tokio::select! {
                biased;
                Some(report) = reports.recv() => self.take_report(report),
                permit = jobs.reserve(), if self.dispatcher.has_job() => {
                    let Ok(permit) = permit else { return Ended::TaskDied(None) };
                    if let Some(job) = self.dispatcher.next_job() {
                        permit.send(job);
                    }
                }
                Some(input) = inputs.recv() => self.take_input(input),
                Some(ended) = pollers.join_next() => return Ended::TaskDied(ended.err()),
                Some(ended) = publishers.join_next() => return Ended::TaskDied(ended.err()),
                () = tokio::time::sleep(self.until_due()) => {}
                _ = run.changed() => {}
            }
            while let Ok(report) = reports.try_recv() {
                self.take_report(report);
            }
            self.act();
            let view = Arc::clone(&self.view);
            view.counters.change_when_due(&mut show_times, |shown| self.show_counters(shown, SHOWN_MAX));
        }
    }

    /// Whether nothing is left to do, once draining; on the way there it stops the polling.
    fn is_over(&mut self, run: Run) -> bool {
        let Run::DrainUntil(end) = run else { return false };
        self.dispatcher.drain();
        for board in &self.boards {
            board.enter(Phase::Draining);
        }
        self.dispatcher.is_at_rest() || Instant::now() >= end
    }

    fn take_report(&mut self, report: CallReport) {
        failpoint!("guest.after_call");
        self.spans.end(&report);
        self.dispatcher.call_ended(report, now());
    }

    fn take_input(&mut self, input: Input) {
        match input {
            Input::Assigned(partition, assignment) => {
                self.dispatcher.assigned(partition, assignment, now());
                let polling = if self.dispatcher.is_open(partition) { Polling::Go } else { Polling::Pause };
                if let Some(board) = self.board_of(partition) {
                    board.set_polling(partition.partition, polling);
                }
                if let Some(board) = self.parked_board_of(partition)
                    && let Some(owner) = self.dispatcher.owner_of(partition)
                {
                    board.hold(partition.partition, assignment, owner);
                }
            }
            Input::TakenAway(partition) => self.dispatcher.hand_over(partition, now()),
            Input::Overtaken(partition, assignment) => self.dispatcher.overtaken(partition, assignment),
            Input::Revoked(partition) => self.dispatcher.revoked(partition),
            Input::ReadBack(read) => self.dispatcher.read_back(read, now()),
            Input::Fetched(fetched) => self.dispatcher.fetched(fetched, now()),
            Input::Read(partition, messages, room) => {
                self.dispatcher.read(partition, messages, now());
                drop(room);
            }
            Input::Expired(messages) => self.dispatcher.messages_expired(messages),
            Input::Refused(effect, reason) => self.dispatcher.refused(effect, reason, now()),
            Input::Repeated(messages) => self.dispatcher.messages_repeated(messages),
            Input::WentBack => self.dispatcher.log_went_back(),
            Input::Published(effects) => {
                let now = now();
                for effect in effects {
                    self.dispatcher.published(effect, now);
                }
            }
        }
    }

    /// Does what the dispatcher wants done now.
    fn act(&mut self) {
        let now = now();
        self.dispatcher.wake(now);
        self.start_calls(now);
        for commit in self.dispatcher.take_commits(Due::Now, now) {
            if let Some(board) = self.board_of(commit.partition) {
                board.commit(commit.partition.partition, commit.assignment, commit.offset);
            }
        }
        for partition in self.dispatcher.take_let_go() {
            if let Some(board) = self.parked_board_of(partition) {
                board.let_go(partition.partition);
            }
        }
        self.tend_parked();
        for (partition, polling) in self.dispatcher.take_polling_changes() {
            if let Some(board) = self.board_of(partition) {
                board.set_polling(partition.partition, polling);
            }
        }
    }

    /// Has read what is released, and what was just parked of lanes that are.
    fn tend_parked(&mut self) {
        for fetch in self.dispatcher.take_fetches() {
            if let Some(board) = self.parked_board_of(fetch.partition) {
                board.fetch(fetch);
            }
        }
        for partition in self.dispatcher.take_contested() {
            tracing::warn!(
                partition = %partition.partition,
                "another host has claimed what is parked of a partition that this one holds; joining the group anew"
            );
            if let Some(board) = self.board_of(partition) {
                board.rejoin();
            }
        }
        if self.dispatcher.take_look() {
            self.parked_boards.iter().for_each(|board| board.look_now());
        }
    }

    fn start_calls(&mut self, now: Now) {
        for pool in Pool::ALL {
            self.start_calls_in(pool, now);
        }
    }

    fn start_calls_in(&mut self, pool: Pool, now: Now) {
        let sandbox = self.sandbox.clone();
        while self.dispatcher.calls_under_way(pool) < sandbox.call_slots(pool) {
            let tenancies = &mut self.tenancies;
            let has_room = |tenant: &Tenant| sandbox.has_room_for(pool, &tenancies.of(tenant));
            let Some(call) = self.dispatcher.next_call(pool, has_room, now) else { return };
            failpoint!("dispatch.before_call");
            let id = call.id;
            let Some(component) = self.components.get(call.handler.0) else { return };
            self.spans.begin(&call, &component.spec().handler, now);
            let guest_call = GuestCall {
                id,
                component: Arc::clone(component),
                tenancy: self.tenancies.of(&call.tenant),
                pool: call.pool,
                events: call.events,
                reply: self.reports.clone(),
            };
            if self.sandbox.submit(guest_call).is_err() {
                // Other subscriptions hold all slots; the next tick asks again.
                self.spans.forget(id);
                self.dispatcher.call_refused(id, now);
                return;
            }
        }
    }

    fn until_due(&self) -> Duration {
        let next = self.dispatcher.next_wake();
        next.map_or(TICK, |at| {
            failpoint!("retry.backoff_wait");
            at.saturating_duration_since(Instant::now()).min(TICK)
        })
    }

    fn board_of(&self, partition: PartitionKey) -> Option<&Arc<Board>> {
        self.boards.get(partition.topic.0)
    }

    fn parked_board_of(&self, partition: PartitionKey) -> Option<&Arc<ParkedBoard>> {
        self.parked_boards.get(partition.topic.0)
    }

    /// Hands out the last commits and waits until the pollers have stored them and left the group.
    async fn leave(&mut self, inputs: &mut mpsc::Receiver<Input>, pollers: &mut JoinSet<()>) {
        for commit in self.dispatcher.take_commits(Due::All, now()) {
            if let Some(board) = self.board_of(commit.partition) {
                board.commit(commit.partition.partition, commit.assignment, commit.offset);
            }
        }
        for board in &self.boards {
            board.enter(Phase::Leaving);
        }
        // Nobody listens any more: a poller that waits to be heard stops waiting.
        inputs.close();
        self.waiting.close();
        let all_left = async { while pollers.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_MAX, all_left).await.is_err() {
            tracing::warn!("some pollers did not leave in time; the broker will notice");
        }
    }

    fn show_counters(&mut self, shown: &mut Counters, most: usize) -> Shown {
        let is_whole = self.dispatcher.show_counters(shown, most);
        self.view.delivery.add_to(shown);
        self.view.memberships.iter().for_each(|membership| membership.add_to(shown));
        is_whole
    }
}

fn now() -> Now {
    // Ages and due times are judged by it, so a leap of the wall clock must not move it.
    Now { instant: Instant::now(), unix_micros: steady_micros() }
}
