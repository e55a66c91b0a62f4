//! Guesthouse runs tenant-specific event handlers, written as WebAssembly components, on events from Apache Iggy.
//!
//! A [`Host`] reads topics through consumer groups, hands every event to the sandboxed guests that want it, and
//! commits what is settled: handled, or given up on and confirmed in the dead letter queue. It never commits an
//! event that is neither.
//!
//! It is not a broker (see `guesthouse-connector` for the embedded one), not a workflow engine, and it promises
//! at least once, not exactly once: a handler may see an event again after a crash.
//!
//! ```no_run
//! use guesthouse::{Config, Host};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Components are compiled in a process of their own, which is this program again.
//!     guesthouse::compiler::serve_if_asked();
//!     tokio::runtime::Runtime::new()?.block_on(run())
//! }
//!
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::load("guesthouse.yaml".as_ref(), std::env::vars_os())?;
//!     let host = Host::builder().config(config).build().await?;
//!     let report = host.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
//!     println!("{} events settled", report.counters.settled);
//!     Ok(())
//! }
//! ```
//!
//! The modules in the order in which an event meets them: a `poller` reads it and a `codec` decodes it, `route`
//! finds its handlers, a `lane` keeps its order, the `sandbox` runs the guest, `verdict` judges the `outcome`,
//! the `publisher` brings emits and `dead_letter`s to the broker, and the `ledger` says what may be committed.

mod board;
pub mod cli;
mod codec;
mod commit_record;
pub mod compiler;
mod config;
mod counters;
mod crash_journal;
mod dead_letter;
mod dedup;
mod dispatch;
mod dlq;
mod encoding;
mod endpoint;
mod event;
mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
mod handler;
pub mod health;
mod histogram;
mod host;
mod identity;
mod known_stores;
mod lane;
mod ledger;
mod memory;
mod mender;
mod metrics;
pub mod open_files;
mod outcome;
mod parked;
mod poller;
mod publisher;
mod replay;
mod retry;
mod route;
mod sandbox;
mod spans;
mod state;
mod subscription;
pub mod telemetry;
mod transport;
pub mod trial;
mod trouble;
mod verdict;

pub use codec::{Codec, Format, Format as SerializationFormat, RawCodec, RawEventType, RawTenant};
pub use config::{
    Config, ConfigError, DeadLetterConfig, Mistake, Mistakes, Place, RetentionConfig, SubscriptionConfig,
};
pub use counters::{Counters, HandlerCounters, HandlerState, TenantCounters, TopicCounters};
pub use crash_journal::CrashJournalError;
pub use dedup::DedupWindow;
pub use dispatch::{Bound, BreakerPolicy, DispatchSettings, OnFailing};
pub use dlq::{DlqEntry, DlqError, DlqManager};
pub use encoding::EncodingError;
pub use endpoint::EndpointError;
pub use event::Tenant;
pub use guesthouse_connector::{
    ConnectorMode as IggyMode, ConsumerGroupManager, EmbeddedConnectorConfig as BundledConfig,
    EmbeddedConnectorConfig as EmbeddedConfig, HealthCheckResult, HealthStatus, MODULE_BUILD_TOPIC,
    RemoteConnectorConfig as ExternalConfig, RemoteConnectorConfig as RemoteConfig, TopologyManager,
    calculate_partition, health_check,
};
pub use handler::{FailurePolicy, HandlerConfig, HandlerName, InvalidHandlerName};
pub use health::HealthSettings;
pub use histogram::Histogram;
pub use host::{BuildError, Host, HostBuilder, HostHandle, RunError, RunReport, RunningHost};
pub use lane::{InvalidOrder, OrderBy};
pub use metrics::MetricsCollector;
pub use replay::{
    ActiveReplay, ReplayBound, ReplayConfig, ReplayError, ReplayInfo, ReplayManager, ReplayProgress,
    ReplayStatus, ReplayTarget,
};
pub use retry::{OnFault, RetryPolicy};
pub use route::{InvalidPattern, Pattern, TenantScope};
pub use sandbox::{
    AdmissionError, ArtifactRefusal, CacheSettings, Grants, GuestConfig, GuestLimits, HttpGrant, HttpHost,
    InvalidHttpHost, Isolation, Part, SandboxError, SandboxSettings, StructureError, World,
};
pub use state::{StateError, StateSettings};
pub use subscription::SubscriptionError;
pub use transport::{
    Access, Consumed, ConsumedContractDecodeFailure, ConsumedContractEvent, ConsumedEvent,
    ContractDecodeFailureKind, ContractEventEnvelope, Delivery, Envelope, EnvelopeGroup, EventEnvelope,
    EventSerializer, EventTransport, IggyConfig, IggyTransport, JsonSerializer, MessagePackSerializer,
    PersistentConsumerGroup, PersistentContractConsumerGroup, PersistentContractDelivery, PostcardSerializer,
    ReliabilityLevel, TopologyConfig, TransportError, partition_key,
};
