//! Trials: components run on events in the real sandbox, without a broker.
//!
//! For the tests of those who write handlers, and for our own measurements. A call here is one call of a guest:
//! nothing is retried, no emit is published, and no dead letter is written.

mod event;
mod report;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{Offset, PartitionId};
use tokio::sync::{Semaphore, mpsc};

use crate::event::{Source, SourceTopic};
use crate::handler::HandlerName;
use crate::route::TenantScope;
use crate::sandbox::{
    AdmissionError, AdmittedComponent, CallId, CallReport, Grants, GuestCall, GuestLimits, GuestSpec,
    Isolation, PerPool, Pool, Sandbox, SandboxError, SandboxSettings, World,
};
use crate::state::{StateError, StateSettings};

pub use event::TrialEvent;
pub use report::{TrialEmit, TrialOutcome, TrialReport};

/// Between two attempts to hand a call over, when slots are still taken by calls that nobody waits for any more.
const SLOT_PAUSE: Duration = Duration::from_millis(1);

/// A sandbox to try components in. Clones share it.
///
/// Its threads end when the last clone and the last component of it are dropped. That blocks for some ticks of the
/// sandbox's clock if guests still run.
///
/// ```no_run
/// use guesthouse::trial::{Trial, TrialEvent, TrialHandler};
/// use guesthouse::{HandlerName, SandboxSettings};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let trial = Trial::start(&SandboxSettings::default())?;
/// let handler = TrialHandler::new(HandlerName::new("order-totals")?);
/// let component = trial.admit(handler, std::fs::read("order_totals.wasm")?).await?;
/// let order = TrialEvent::new("order.placed", r#"{"customer_id":"c-1","total":7}"#);
/// let report = component.call(&[order.of_tenant("shop-a")]).await;
/// assert!(report.outcomes.iter().all(|outcome| outcome.is_done()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Trial {
    inner: Arc<Inner>,
}

struct Inner {
    sandbox: Sandbox,
    slots: PerPool<Semaphore>,
    topic: Arc<SourceTopic>,
    next_offset: AtomicU64,
}

/// What a component is admitted for.
#[derive(Debug, Clone)]
pub struct TrialHandler {
    /// The handler that it is to be.
    pub name: HandlerName,
    /// How much its guests may use.
    pub limits: GuestLimits,
    /// What its guests may call.
    pub grants: Grants,
    /// How long its guests live.
    pub isolation: Isolation,
}

/// A component that was admitted. Clones share it; its idle guests end with the last one.
#[derive(Clone)]
pub struct TrialComponent {
    trial: Trial,
    component: Arc<AdmittedComponent>,
}

impl Trial {
    /// Starts a sandbox with threads of its own.
    ///
    /// # Errors
    /// When the engine cannot run on this machine or the operating system gives no thread.
    pub fn start(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        let sandbox = Sandbox::start(settings)?;
        let slots_of = |pool| Semaphore::new(sandbox.call_slots(pool));
        let slots = PerPool { computing: slots_of(Pool::Computing), waiting: slots_of(Pool::Waiting) };
        let topic = SourceTopic { stream: "trial".to_owned(), topic: "trial".to_owned() };
        let inner = Inner { sandbox, slots, topic: Arc::new(topic), next_offset: AtomicU64::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the state of handlers, for components with the grant `state`. Waits until a file is checked or a server
    /// has answered; cancelling lets that go on, without effect on what was open before. The first store that was
    /// opened stays.
    ///
    /// # Errors
    /// When the file cannot be used or the server does not let the trial in.
    pub async fn open_state(&self, settings: &StateSettings) -> Result<(), StateError> {
        let (sandbox, settings) = (self.inner.sandbox.clone(), settings.clone());
        let opened = tokio::task::spawn_blocking(move || sandbox.open_state(&settings)).await;
        opened.unwrap_or(Err(StateError::Stopped)).map(drop)
    }

    /// Compiles a component and checks it, as a host does with the component of a handler.
    ///
    /// Waits for its turn to compile. Cancelling lets a compilation that has begun run to its end, unused.
    ///
    /// # Errors
    /// When the component may not become a guest; the text says what was found, what was expected and what to do.
    pub async fn admit(
        &self,
        handler: TrialHandler,
        bytes: impl Into<Bytes>,
    ) -> Result<TrialComponent, AdmissionError> {
        let TrialHandler { name, limits, grants, isolation } = handler;
        let tenants = TenantScope::All;
        let spec = GuestSpec { handler: name, tenants, limits, grants, isolation, emits: None, dedup: None };
        let component = self.inner.sandbox.admit(spec, bytes.into()).await?;
        Ok(TrialComponent { trial: self.clone(), component })
    }

    /// How many guests wait for the next event of their component and tenant.
    pub fn idle_guests(&self) -> usize {
        self.inner.sandbox.idle_guests()
    }

    /// Where the next event stands, unless it says so itself.
    fn source(&self, offset: Option<u64>) -> Source {
        let offset = offset.unwrap_or_else(|| self.inner.next_offset.fetch_add(1, Ordering::Relaxed));
        Source {
            topic: Arc::clone(&self.inner.topic),
            partition: PartitionId(0),
            offset: Offset(offset),
            message_id: offset.into(),
            timestamp_micros: event::TIMESTAMP_MICROS,
            origin_timestamp_micros: event::TIMESTAMP_MICROS,
        }
    }
}

impl TrialHandler {
    /// A handler with the usual limits, nothing granted, and guests that are reused.
    pub fn new(name: HandlerName) -> Self {
        Self {
            name,
            limits: GuestLimits::default(),
            grants: Grants::default(),
            isolation: Isolation::default(),
        }
    }
}

impl TrialComponent {
    /// Hash of the component's bytes, as `blake3:` and lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        self.component.digest()
    }

    /// The world that it exports.
    pub fn world(&self) -> World {
        self.component.world()
    }

    /// Size of the component's bytes.
    pub fn size_bytes(&self) -> u64 {
        self.component.size_bytes()
    }

    /// Runs events in order and reports what each came to. Neighbours of the same tenant share one call; a call
    /// never carries events of two tenants.
    ///
    /// Waits for a free thread, and then for the guest, which its deadline bounds. Cancelling loses the report:
    /// a call that has begun runs to its end.
    pub async fn call(&self, events: &[TrialEvent]) -> TrialReport {
        let mut report = TrialReport::default();
        for events in events.chunk_by(|left, right| left.tenant == right.tenant) {
            report.add(events.len(), self.call_for_one_tenant(events).await);
        }
        report
    }

    /// `None` when the sandbox answers no more.
    async fn call_for_one_tenant(&self, events: &[TrialEvent]) -> Option<CallReport> {
        let inner = &self.trial.inner;
        let tenancy = inner.sandbox.tenancy(&events.first()?.tenant);
        let events: Vec<_> =
            events.iter().map(|event| event.call_event(self.trial.source(event.offset))).collect();
        let _slot = inner.slots.of(self.component.pool()).acquire().await.ok()?;
        let (reply, mut reports) = mpsc::channel(1);
        let call = || GuestCall {
            id: CallId(0),
            component: Arc::clone(&self.component),
            tenancy: Arc::clone(&tenancy),
            pool: self.component.pool(),
            events: events.clone(),
            reply: reply.clone(),
        };
        while inner.sandbox.submit(call()).is_err() {
            tokio::time::sleep(SLOT_PAUSE).await;
        }
        drop(reply);
        reports.recv().await
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("sandbox", &self.inner.sandbox).finish_non_exhaustive()
    }
}

impl fmt::Debug for TrialComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrialComponent").field("component", &self.component).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
