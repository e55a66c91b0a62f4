//! The host: opens the connection, admits the components, and runs every subscription until it is told to stop.

mod handle;
mod opening;
mod running;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse_connector::{
    ConnectorError, Durability, GroupAddress, IggyConnector, TopicAddress, TopicSpec, TopologyManager,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::codec::EmitRules;
use crate::config::{Config, SubscriptionConfig};
use crate::counters::Counters;
use crate::crash_journal::{CrashJournalError, Suspects};
use crate::dispatch::Dispatcher;
use crate::dispatch::bounds::HostLoad;
use crate::dispatch::effects::Effects;
use crate::endpoint::{Endpoint, EndpointError};
use crate::event::SourceTopic;
use crate::handler::{HandlerConfig, HandlerName};
use crate::health::pulse::{self, Pulse};
use crate::health::{Observation, Observer};
use crate::memory::MemoryLimit;
use crate::mender;
use crate::open_files::{self, FilesWanted};
use crate::sandbox::{AdmissionError, AdmittedComponent, GuestSpec, Sandbox, SandboxError};
use crate::state::forget::Forgetter;
use crate::state::{StateError, StateStore};
use crate::subscription::{Run, Subscription, SubscriptionError, View};
use crate::trouble::Troubles;

pub use self::handle::HostHandle;
pub use self::running::RunningHost;

/// A host that is built and not yet running.
#[derive(Debug)]
pub struct Host {
    connector: Arc<dyn IggyConnector>,
    /// Whether this host opened the connection and so must close it.
    ownership: Ownership,
    sandbox: Sandbox,
    subscriptions: Vec<Subscription>,
    around: Around,
    drain: Duration,
    control: watch::Sender<Run>,
    handle: HostHandle,
    ended: watch::Sender<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Owned,
    Shared,
}

/// What runs beside the subscriptions.
#[derive(Debug)]
struct Around {
    observer: Observer,
    pulses: Vec<Pulse>,
    endpoint: Option<Endpoint>,
}

/// Whether a host has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ended {
    #[default]
    No,
    Yes,
}

/// A host could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The broker could not be opened, or its topics are not as configured.
    #[error("cannot open the broker")]
    Connect(#[source] ConnectorError),
    /// The topics could not be made, and the configuration wants more open files than the system allows.
    #[error("{excess}")]
    OpenFiles {
        /// What is wanted, what is allowed, and what to do.
        excess: String,
        /// What the broker said.
        source: ConnectorError,
    },
    /// The sandbox could not be started.
    #[error("cannot start the sandbox")]
    Sandbox(#[source] SandboxError),
    /// The state of handlers could not be opened.
    #[error("cannot keep the state of handlers")]
    State(#[source] StateError),
    /// It cannot be kept on record which events kill the host.
    #[error("cannot keep a crash journal")]
    CrashJournal(#[source] CrashJournalError),
    /// Metrics and health cannot be shown where it is wanted.
    #[error("cannot show metrics and health")]
    Endpoint(#[source] EndpointError),
    /// A component file could not be read.
    #[error("handler `{handler}`: cannot read its component {}", path.display())]
    Component {
        /// Whose component.
        handler: HandlerName,
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A component was refused.
    #[error("handler `{handler}`: its component {} is refused", path.display())]
    Admission {
        /// Whose component.
        handler: HandlerName,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: AdmissionError,
    },
}

/// A running host ended in a way it must not.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A subscription ended by itself.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// The task of a subscription, or one beside them, panicked.
    #[error("a task ended by itself; this is a fault of the host")]
    Panicked(#[source] tokio::task::JoinError),
}

/// What a host did, told when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// What it counted.
    pub counters: Counters,
}

/// Builds a [`Host`].
#[derive(Debug, Default)]
pub struct HostBuilder {
    config: Config,
    compiler: Option<PathBuf>,
    connector: Option<Arc<dyn IggyConnector>>,
}

impl HostBuilder {
    /// The program that compiles components; it must call [`compiler::serve_if_asked`](crate::compiler::serve_if_asked),
    /// and be of the same version as this library. Without it this program is asked, if it calls that function.
    #[must_use]
    pub fn compiler(mut self, program: impl Into<PathBuf>) -> Self {
        self.compiler = Some(program.into());
        self
    }

    /// What the host does; the defaults otherwise.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// A connection that is open already and stays open when the host ends. Without it the host opens its own
    /// by the configuration and closes it in the end.
    #[must_use]
    pub fn connector(mut self, connector: Arc<dyn IggyConnector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Starts the sandbox, admits every component, opens the connection and sees to the topics. Reads nothing yet.
    ///
    /// Waits for a server elsewhere that does not answer yet, as long as
    /// [`Timeouts::first_answer`](guesthouse_connector::Timeouts::first_answer) says.
    ///
    /// # Errors
    /// When any of it fails; nothing keeps running then.
    pub async fn build(self) -> Result<Host, BuildError> {
        let mut config = self.config;
        config.sandbox.compile.program = self.compiler.or(config.sandbox.compile.program);
        tracing::info!(memory = %MemoryLimit::of_process(), "bounds without a value follow from the memory there is");
        let sandbox = Sandbox::start(&config.sandbox).map_err(BuildError::Sandbox)?;
        let too_many_files = FilesWanted::of(&config).excess(open_files::limit());
        if let Some(excess) = &too_many_files {
            tracing::warn!("{excess}");
        }
        let endpoint = match config.metrics_listen {
            Some(address) => Some(Endpoint::bind(address).await.map_err(BuildError::Endpoint)?),
            None => None,
        };
        let opening = open(self.connector, &sandbox, &mut config, too_many_files);
        let Opened { admitted, state, suspects, connector, ownership } = match &endpoint {
            Some(endpoint) => endpoint.serve_during(opening).await?,
            None => opening.await?,
        };
        let around_them = (&sandbox, &connector, state.as_ref());
        let subscriptions = assemble_all(&config, around_them, &admitted, &suspects);
        let (control, _) = watch::channel(Run::On);
        let (ended, has_ended) = watch::channel(Ended::No);
        let views: Vec<_> = subscriptions.iter().map(|subscription| Arc::clone(&subscription.view)).collect();
        let (seen, observation) = watch::channel(Observation::default());
        let stream = config.connector.stream_name.as_str();
        let observer = Observer {
            settings: config.health.clone(),
            stream: stream.to_owned(),
            topics: config.topology.clone(),
            troubles: sandbox.troubles().clone(),
            topology: TopologyManager::new(Arc::clone(&connector), stream, config.topology.clone()),
            connector: Arc::clone(&connector),
            views: views.clone(),
            seen,
        };
        let handle = HostHandle {
            instance_id: format!("guesthouse-{}", Uuid::new_v4().simple()).into(),
            views,
            dead_letter_topic: config.dead_letters.topic.as_str().into(),
            connector: Arc::downgrade(&connector),
            observation,
            troubles: sandbox.troubles().clone(),
            health: Arc::new(config.health.clone()),
            workers: sandbox.workers().clone(),
            endpoint: endpoint.as_ref().map(Endpoint::address),
            control: control.clone(),
            has_ended,
        };
        let drain = config.dispatch.drain;
        let pulses = pulses(&config, &handle.views, sandbox.troubles());
        let around = Around { observer, pulses, endpoint };
        Ok(Host { connector, ownership, sandbox, subscriptions, around, drain, control, handle, ended })
    }
}

impl Host {
    /// Begins a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// A handle to look at the host and to stop it, valid before, while and after it runs.
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    /// Runs until `shutdown` completes or a handle says stop; then drains: reads nothing more, finishes what was
    /// read within the configured time, commits what is settled, leaves the groups and closes what it opened.
    ///
    /// Dropping the future ends the host at once. Nothing is lost by that: what was not committed is read again.
    ///
    /// # Errors
    /// When a task of the host ends by itself, which is a fault of the host.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<RunReport, RunError> {
        let mut tasks = JoinSet::new();
        for subscription in self.subscriptions {
            tasks.spawn(subscription.run(self.control.subscribe()));
        }
        let mut around = JoinSet::new();
        around.spawn(self.around.observer.run());
        around.spawn(pulse::run(self.around.pulses));
        around.spawn(mender::run(self.sandbox.to_mend()));
        if let Some(endpoint) = self.around.endpoint {
            around.spawn(endpoint.run(self.handle.clone()));
        }
        let ended = supervise((&mut tasks, &mut around), shutdown, &self.control, self.drain).await;
        tasks.shutdown().await;
        around.shutdown().await;
        let (troubles, sandbox) = (self.sandbox.troubles().clone(), self.sandbox);
        // Guests in the middle of a call are stopped; the threads are joined off the async ones.
        if tokio::task::spawn_blocking(move || sandbox.shutdown()).await.is_err() {
            tracing::error!("the sandbox did not stop in order");
        }
        close(self.connector.as_ref(), self.ownership).await;
        self.ended.send_replace(Ended::Yes);
        let counters = ended?;
        Ok(RunReport { counters: Counters { troubles: troubles.counts_by_name(), ..counters } })
    }
}

/// One for each subscription. A handler may take its deadline for one event, and events may wait in memory to be tried
/// again; both come on top of what is configured.
fn pulses(config: &Config, views: &[Arc<View>], troubles: &Troubles) -> Vec<Pulse> {
    let pulse = |view: &Arc<View>| {
        let ours = config.handlers.iter().filter(|handler| handler.subscription == view.subscription);
        let longest = ours.map(|handler| handler.limits.deadline + handler.retry.in_memory_max).max();
        let patience = config.health.progress_within.saturating_add(longest.unwrap_or_default());
        Pulse::new(Arc::clone(view), patience, troubles)
    };
    views.iter().map(pulse).collect()
}

/// Waits for the subscriptions to end, and asks them to when `shutdown` completes.
async fn supervise(
    (tasks, around): (&mut JoinSet<Result<Counters, SubscriptionError>>, &mut JoinSet<()>),
    shutdown: impl Future<Output = ()>,
    control: &watch::Sender<Run>,
    drain: Duration,
) -> Result<Counters, RunError> {
    let mut counters = Counters::default();
    let mut run = control.subscribe();
    tokio::pin!(shutdown);
    loop {
        let stopping = *run.borrow_and_update() != Run::On;
        if stopping && tasks.is_empty() {
            return Ok(counters);
        }
        tokio::select! {
            () = &mut shutdown, if !stopping => {
                tracing::info!(?drain, "stopping: finishing what was read");
                control.send_replace(Run::DrainUntil(Instant::now() + drain));
            }
            Some(ended) = tasks.join_next() => counters.add(&ended.map_err(RunError::Panicked)??),
            Some(Err(died)) = around.join_next() => return Err(RunError::Panicked(died)),
            _ = run.changed() => {}
        }
    }
}

async fn close(connector: &dyn IggyConnector, ownership: Ownership) {
    if ownership == Ownership::Shared {
        return;
    }
    if let Err(error) = connector.shutdown().await {
        tracing::warn!(%error, "the connection did not close in order; what was confirmed is safe");
    }
}

/// What a host needs to be assembled.
struct Opened {
    admitted: Vec<(Arc<HandlerConfig>, Arc<AdmittedComponent>)>,
    state: Option<Arc<dyn StateStore>>,
    suspects: Arc<Suspects>,
    connector: Arc<dyn IggyConnector>,
    ownership: Ownership,
}

/// Opens everything, the broker last. `too_many_files` is as for [`opening::open`].
async fn open(
    shared: Option<Arc<dyn IggyConnector>>,
    sandbox: &Sandbox,
    config: &mut Config,
    too_many_files: Option<String>,
) -> Result<Opened, BuildError> {
    // Components first: a refused one should not leave topics behind.
    let admitted = admit_all(sandbox, config).await?;
    let state = open_state(sandbox, config).await?;
    let suspects = open_journal(sandbox, config).await?;
    let (connector, ownership) = opening::open(shared, config, too_many_files).await?;
    Ok(Opened { admitted, state, suspects, connector, ownership })
}

async fn admit_all(
    sandbox: &Sandbox,
    config: &Config,
) -> Result<Vec<(Arc<HandlerConfig>, Arc<AdmittedComponent>)>, BuildError> {
    let mut admitted = Vec::with_capacity(config.handlers.len());
    for handler in &config.handlers {
        let component = admit(sandbox, handler, &config.subscriptions).await?;
        let (digest, code) = (component.digest(), component.source().as_str());
        tracing::info!(handler = %handler.name, digest, code, "component admitted");
        admitted.push((Arc::new(handler.clone()), component));
    }
    Ok(admitted)
}

/// Sees to the topics of the configuration, and to one for the parked events of each topic that needs it.
async fn ensure_topics(connector: &dyn IggyConnector, config: &mut Config) -> Result<(), ConnectorError> {
    let stream = &config.connector.stream_name;
    connector.ensure_topics(stream, &config.topology).await?;
    let mut parked = Vec::new();
    for topic in config.topics_with_parking() {
        let state = connector.topic_state(&TopicAddress::new(stream.as_str(), topic)).await?;
        parked.push(TopicSpec {
            name: config.parked_topic(topic),
            partitions: u32::try_from(state.partitions.len()).unwrap_or(u32::MAX),
            replication_factor: config.connector.replication_factor,
            durability: Durability::Persisted,
            age_max: None,
            size_bytes_max: None,
        });
    }
    connector.ensure_topics(stream, &parked).await?;
    config.topology.extend(parked);
    Ok(())
}

/// Opens the state of handlers if any of them needs it.
async fn open_state(sandbox: &Sandbox, config: &Config) -> Result<Option<Arc<dyn StateStore>>, BuildError> {
    if !config.handlers.iter().any(HandlerConfig::keeps_marks) {
        return Ok(None);
    }
    let (sandbox, settings) = (sandbox.clone(), config.sandbox.state.clone());
    let opened = tokio::task::spawn_blocking(move || sandbox.open_state(&settings)).await;
    opened.unwrap_or(Err(StateError::Stopped)).map(Some).map_err(BuildError::State)
}

/// Opens the crash journal where one is to be kept, and tells what it says about the past.
async fn open_journal(sandbox: &Sandbox, config: &Config) -> Result<Arc<Suspects>, BuildError> {
    let Some(dir) = config.sandbox.journal_dir.clone() else { return Ok(Arc::default()) };
    let (sandbox, deaths_max) = (sandbox.clone(), config.sandbox.host_deaths_max);
    let opened = tokio::task::spawn_blocking(move || sandbox.open_journal(&dir, deaths_max)).await;
    opened.unwrap_or(Err(CrashJournalError::Stopped)).map(Arc::new).map_err(BuildError::CrashJournal)
}

/// Reads, checks and compiles the component of one handler.
pub(crate) async fn admit(
    sandbox: &Sandbox,
    config: &HandlerConfig,
    subscriptions: &[SubscriptionConfig],
) -> Result<Arc<AdmittedComponent>, BuildError> {
    let (handler, path) = (config.name.clone(), config.component.clone());
    let bytes = match tokio::fs::read(&path).await {
        Ok(bytes) => Bytes::from(bytes),
        Err(source) => return Err(BuildError::Component { handler, path, source }),
    };
    let codec = subscriptions.iter().find(|subscription| subscription.name == config.subscription);
    let codec = codec.map(|subscription| subscription.codec.clone());
    let spec = GuestSpec {
        handler: handler.clone(),
        tenants: config.tenants.clone(),
        limits: config.limits.clone(),
        grants: config.grants.clone(),
        isolation: config.isolation,
        emits: codec.map(|codec| {
            Arc::new(EmitRules { codec, handler: handler.clone(), topics: config.emit_topics.clone() })
        }),
        dedup: config.dedup.clone(),
    };
    sandbox.admit(spec, bytes).await.map_err(|source| BuildError::Admission { handler, path, source })
}

/// All subscriptions, which share the bounds of the host.
fn assemble_all(
    config: &Config,
    around: (&Sandbox, &Arc<dyn IggyConnector>, Option<&Arc<dyn StateStore>>),
    admitted: &[(Arc<HandlerConfig>, Arc<AdmittedComponent>)],
    suspects: &Arc<Suspects>,
) -> Vec<Subscription> {
    let load = Arc::new(HostLoad::new(config.dispatch.host));
    let mut subscriptions = Vec::with_capacity(config.subscriptions.len());
    for subscription in &config.subscriptions {
        let mut subscription = assemble(subscription, config, around, admitted);
        let dispatcher = subscription.dispatcher.with_suspects(Arc::clone(suspects));
        subscription.dispatcher = dispatcher.with_host_load(Arc::clone(&load));
        subscriptions.push(subscription);
    }
    // Nobody knows of which subscription they were: it is counted once.
    if let Some(first) = subscriptions.first_mut() {
        first.dispatcher.killed_for_memory(suspects.pardoned);
    }
    subscriptions
}

fn assemble(
    subscription: &SubscriptionConfig,
    config: &Config,
    (sandbox, connector, state): (&Sandbox, &Arc<dyn IggyConnector>, Option<&Arc<dyn StateStore>>),
    admitted: &[(Arc<HandlerConfig>, Arc<AdmittedComponent>)],
) -> Subscription {
    let stream = &config.connector.stream_name;
    let topic = |topic: &String| Arc::new(SourceTopic { stream: stream.clone(), topic: topic.clone() });
    let topics: Vec<Arc<SourceTopic>> = subscription.topics.iter().map(topic).collect();
    let groups = topics.iter().map(|topic| GroupAddress::new(topic.address(), &subscription.group));
    let codec = Arc::new(subscription.codec.clone());
    let ours = admitted.iter().filter(|(handler, _)| handler.subscription == subscription.name);
    let (handlers, components): (Vec<_>, Vec<_>) = ours.cloned().unzip();
    let effects = Effects::new(
        Arc::clone(&codec),
        subscription.group.clone(),
        config.dead_letters.topic.clone(),
        handlers.iter().zip(&components).map(|(h, c)| (h.name.clone(), c.digest().to_owned())).collect(),
    );
    let suffix = &config.dead_letters.parked_suffix;
    let parked_suffix = handlers.iter().any(|handler| handler.may_stop()).then(|| suffix.clone());
    let marking = handlers.iter().filter(|handler| handler.keeps_marks());
    let marking: Vec<_> = marking.map(|handler| (handler.name.clone(), handler.dedup.clone())).collect();
    let forgetter = state
        .filter(|_| !marking.is_empty())
        .map(|store| Arc::new(Forgetter::new(Arc::clone(store), marking, stream.clone())));
    let planned = handlers.into_iter().zip(components.iter().map(|component| component.pool())).collect();
    let mut dispatcher = Dispatcher::new(planned, effects, config.dispatch.clone(), rand::random());
    if let Some(suffix) = &parked_suffix {
        dispatcher = dispatcher.with_parking(topics.clone(), suffix.clone());
    }
    Subscription {
        name: subscription.name.clone(),
        group: subscription.group.clone(),
        view: Arc::new(View::new(subscription.name.clone(), groups.collect())),
        topics,
        codec,
        dispatcher,
        components,
        sandbox: sandbox.clone(),
        connector: Arc::clone(connector),
        waiting_bytes_max: 2 * config.dispatch.poll_bytes_max(),
        topology: config.topology.clone().into(),
        parked_suffix,
        forgetter,
        troubles: sandbox.troubles().clone(),
        journal_dir: config.sandbox.journal_dir.clone(),
    }
}
