//! The sandbox: runs guests on threads of its own, under limits, and reports what came of each call.

mod admission;
mod answers;
mod arena;
mod artifact;
mod cache;
mod call;
mod clock;
mod code;
mod component;
mod config_store;
mod contract;
mod denied;
mod engine;
mod grants;
mod guest;
mod headers;
mod http;
mod idle;
mod inspection;
mod keyvalue;
mod lifecycle;
mod limits;
mod memory;
mod module;
mod output;
mod pool;
mod queue;
mod random;
mod redact;
mod room;
mod state;
mod stop;
mod tenancy;
mod text;
mod wasi;
mod worker;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use guesthouse_broker::workers::Workers;

use crate::codec::EmitRules;
use crate::compiler::CompileSettings;
use crate::crash_journal::{CrashJournal, CrashJournalError, DEATHS_MAX, Suspects};
use crate::dedup::DedupWindow;
use crate::event::Tenant;
use crate::handler::HandlerName;
use crate::known_stores::KnownStores;
use crate::mender::Mend;
use crate::route::TenantScope;
use crate::state::{StateError, StateSettings, StateStore, Surroundings};
use crate::trouble::Troubles;

pub(crate) use admission::Structure;
pub use admission::{AdmissionError, Part, StructureError};
pub(crate) use artifact::Artifact;
pub use artifact::ArtifactRefusal;
pub use cache::CacheSettings;
pub(crate) use call::{Answer, CallEvent, CallId, CallReport, CallResult, DoneBefore, GuestCall};
pub(crate) use component::AdmittedComponent;
pub use component::World;
pub(crate) use contract::VERSION as CONTRACT_VERSION;
pub use grants::{Grants, GuestConfig, HttpGrant, HttpHost};
pub use http::InvalidHttpHost;
pub(crate) use inspection::{Import, ImportNeed, Inspection};
pub(crate) use limits::Excess;
pub use limits::GuestLimits;
pub(crate) use pool::{PerPool, Pool};
pub(crate) use tenancy::{Tenancy, TenancyCache};
pub(crate) use text::reason as shown_text;

use admission::Admission;
use code::Codes;
use engine::{Clock, Engines};
use http::Courier;
use queue::CallQueue;
use room::GuestRoom;
use tenancy::Tenancies;
use worker::Workshop;

/// Calls that may be submitted and unanswered, per thread: one runs, one waits.
const CALLS_PER_WORKER: usize = 2;

/// How long a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// A guest handles many events of its tenant, until it fails or has handled 10,000.
    #[default]
    Reuse,
    /// Every event gets a fresh guest.
    Fresh,
}

/// What a component is admitted for.
#[derive(Debug, Clone)]
pub(crate) struct GuestSpec {
    /// The handler it belongs to.
    pub(crate) handler: HandlerName,
    /// Whose events the handler gets.
    pub(crate) tenants: TenantScope,
    /// How much its guests may use.
    pub(crate) limits: GuestLimits,
    /// What its guests may call.
    pub(crate) grants: Grants,
    /// How long its guests live.
    pub(crate) isolation: Isolation,
    /// What they may emit, where somebody will publish it.
    pub(crate) emits: Option<Arc<EmitRules>>,
    /// For how long the handler remembers what it has handled, if it shall not handle it twice.
    pub(crate) dedup: Option<DedupWindow>,
}

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Threads that run guests which are known to be quick; 0 means one less than the machine has cores, and at least
    /// one.
    pub workers: usize,
    /// Threads of low priority that run guests which may wait for something outside of the host, such as an answer
    /// over HTTP, and guests that are new or were slow. One tenant gets at most half of them.
    pub waiting_workers: usize,
    /// Largest component, in bytes.
    pub component_bytes_max: u64,
    /// Where the state of handlers is kept.
    pub state: StateSettings,
    /// The most that the limits of any handler may allow.
    pub ceilings: GuestLimits,
    /// What compiling one component may take.
    pub compile: CompileSettings,
    /// Where compiled code is kept for the next start; nowhere by default.
    pub cache: Option<CacheSettings>,
    /// Directory where it is kept on record which events are in guests, for the next start to recognise those that
    /// kill the host; nowhere by default.
    pub journal_dir: Option<PathBuf>,
    /// Deaths of the host with an event in a guest, after which that event does not run again; with none it always does.
    pub host_deaths_max: Option<u32>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            workers: 0,
            waiting_workers: 16,
            component_bytes_max: 64 << 20,
            state: StateSettings::default(),
            ceilings: GuestLimits::CEILINGS,
            compile: CompileSettings::default(),
            cache: None,
            journal_dir: None,
            host_deaths_max: Some(DEATHS_MAX),
        }
    }
}

impl SandboxSettings {
    /// Where a configured host keeps its crash journal, unless another directory is named.
    pub(crate) const JOURNAL_DIR: &'static str = "./data/host";
}

/// The sandbox cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its configuration on this machine.
    #[error("the WebAssembly engine cannot run on this machine")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system gives no thread.
    #[error("cannot start a thread for guests")]
    Thread(#[source] std::io::Error),
}

/// All call slots are taken, or the sandbox is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox takes no call now: all its slots are taken or it is shut down")]
pub(crate) struct Busy;

/// The sandbox: one engine, its threads and the guests that wait for their next event. Clones share it; the
/// threads end with [`Sandbox::shutdown`] or when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    admission: Arc<Admission>,
    codes: Codes,
    workshop: Arc<Workshop>,
    courier: Arc<Courier>,
    surroundings: Surroundings,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    workers: Vec<JoinHandle<()>>,
    clock: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts the engine and its threads.
    ///
    /// # Errors
    /// When the engine cannot run on this machine or the operating system gives no thread.
    pub(crate) fn start(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        Self::start_with_room(settings, GuestRoom::of_process())
    }

    /// The same, with this room for idle guests.
    fn start_with_room(settings: &SandboxSettings, room: GuestRoom) -> Result<Self, SandboxError> {
        let engines = Engines::new().map_err(engine_error)?;
        let courier = Arc::new(Courier::start().map_err(SandboxError::Thread)?);
        let admission = Admission::new(&engines, settings, Arc::clone(&courier)).map_err(engine_error)?;
        let known = settings.journal_dir.as_deref().map(KnownStores::new);
        let surroundings = Surroundings { troubles: Troubles::default(), known };
        let codes = Codes::new(&engines, settings, &surroundings.troubles);
        let workers = worker_count(settings.workers);
        let workers_known = Workers::default();
        let (clock, clock_thread) = Clock::start(engines, &workers_known).map_err(SandboxError::Thread)?;
        let threads = PerPool { computing: workers, waiting: settings.waiting_workers.max(1) };
        let tenancies = Arc::new(Tenancies::new(room));
        let (state, journal) = (OnceLock::new(), OnceLock::new());
        let queues = queues(threads);
        let workshop = Workshop { queues, clock, tenancies, workers: workers_known, state, journal };
        let workshop = Arc::new(workshop);
        let inner = Inner {
            admission: Arc::new(admission),
            codes,
            workshop,
            courier,
            surroundings,
            threads: Mutex::new(Threads { workers: Vec::new(), clock: Some(clock_thread) }),
        };
        // From here on a failure drops `inner`, which ends the threads that were started.
        for pool in Pool::ALL {
            for number in 0..*threads.of(pool) {
                let mut threads = inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
                let slot = threads.workers.len();
                let thread = worker::spawn(pool, (number, slot), Arc::clone(&inner.workshop));
                threads.workers.push(thread.map_err(SandboxError::Thread)?);
            }
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the state of handlers, for all guests that may use it, and gives it back. Blocks the thread until a file
    /// is checked or a server has answered; doing it twice gives the first one back.
    ///
    /// # Errors
    /// When the file cannot be used or the server does not let this host in.
    pub(crate) fn open_state(&self, settings: &StateSettings) -> Result<Arc<dyn StateStore>, StateError> {
        let state = &self.inner.workshop.state;
        if let Some(store) = state.get() {
            return Ok(Arc::clone(store));
        }
        let store = crate::state::open(settings, self.inner.surroundings.clone())?;
        Ok(Arc::clone(self.inner.workshop.state.get_or_init(|| store)))
    }

    /// Opens the crash journal for all calls from now on, and tells what earlier hosts died of. Blocks the thread for
    /// a few reads and writes of the disk; only the first one opened is kept.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) fn open_journal(
        &self,
        dir: &Path,
        deaths_max: Option<u32>,
    ) -> Result<Suspects, CrashJournalError> {
        let slots = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner).workers.len();
        let surroundings = &self.inner.surroundings;
        let (journal, suspects) =
            CrashJournal::open(dir, slots, deaths_max.unwrap_or(u32::MAX), surroundings)?;
        // One that was opened before goes on, and this one is closed.
        drop(self.inner.workshop.journal.set(Arc::new(journal)));
        Ok(suspects)
    }

    /// What does not work now of what the sandbox and the host around it keep.
    pub(crate) fn troubles(&self) -> &Troubles {
        &self.inner.surroundings.troubles
    }

    /// The stores and files that are open so far, for somebody to look after.
    pub(crate) fn to_mend(&self) -> Vec<Arc<dyn Mend>> {
        let mut things: Vec<Arc<dyn Mend>> = vec![self.inner.codes.to_mend()];
        let Workshop { state, journal, .. } = &*self.inner.workshop;
        things.extend(state.get().map(|state| Arc::clone(state) as Arc<dyn Mend>));
        things.extend(journal.get().map(|journal| Arc::clone(journal) as Arc<dyn Mend>));
        things
    }

    /// Compiles a component, unless its code is at hand, and checks it against its grants and limits.
    ///
    /// Waits for its turn to compile, for the compiler, and for the guest's trial start, each of which has a bound.
    /// Cancelling ends the compiling process; a trial start that has begun runs to its end, unused.
    ///
    /// # Errors
    /// When the component may not become a guest; the text says what was found, what was expected and what to do.
    pub(crate) async fn admit(
        &self,
        spec: GuestSpec,
        bytes: Bytes,
    ) -> Result<Arc<AdmittedComponent>, AdmissionError> {
        let code = self.inner.codes.get(&spec, bytes).await?;
        let admission = Arc::clone(&self.inner.admission);
        let workshop = Arc::clone(&self.inner.workshop);
        let check = tokio::task::spawn_blocking(move || {
            let _ticking = workshop.clock.ticking();
            admission.admit(spec, code, &workshop.tenancies).map(Arc::new)
        });
        check.await.unwrap_or(Err(AdmissionError::CheckStopped))
    }

    /// How many calls of a pool's components may be submitted and unanswered at once.
    pub(crate) fn call_slots(&self, pool: Pool) -> usize {
        self.inner.workshop.queues.of(pool).slots()
    }

    /// Whether one more call of a tenant would leave the others their share of a pool.
    pub(crate) fn has_room_for(&self, pool: Pool, tenancy: &Tenancy) -> bool {
        self.inner.workshop.queues.of(pool).has_room_for(tenancy)
    }

    /// What the sandbox keeps for a tenant. Takes a lock that all tenants share.
    pub(crate) fn tenancy(&self, tenant: &Tenant) -> Arc<Tenancy> {
        self.tenancies().of(tenant)
    }

    /// Finds what the sandbox keeps for tenants that it has met lately, without a lock.
    pub(crate) fn tenancy_cache(&self) -> TenancyCache {
        TenancyCache::new(self.tenancies())
    }

    /// The threads of the sandbox, and which of them died.
    pub(crate) fn workers(&self) -> &Workers {
        &self.inner.workshop.workers
    }

    /// How many guests wait for the next event of their component and tenant.
    pub(crate) fn idle_guests(&self) -> usize {
        self.tenancies().idle_guests()
    }

    /// Hands a call over. Never waits; the report comes over the call's own channel.
    ///
    /// # Errors
    /// When all slots of its pool, or all that its tenant may take there, are taken, or the sandbox is shut down. The
    /// call is dropped then, without a report.
    pub(crate) fn submit(&self, call: GuestCall) -> Result<(), Busy> {
        self.inner.workshop.queues.of(call.pool).push(call)
    }

    /// Takes no more calls, reports those that no thread took yet as [`HostFault`](crate::outcome::Outcome), and
    /// stops the guests that run as if their deadline had passed. Blocks the thread until they are stopped, some
    /// ticks long; doing it twice does nothing.
    pub(crate) fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn tenancies(&self) -> &Arc<Tenancies> {
        &self.inner.workshop.tenancies
    }
}

impl Inner {
    fn shutdown(&self) {
        for pool in Pool::ALL {
            self.workshop.queues.of(pool).close();
        }
        self.workshop.clock.hurry();
        self.courier.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in threads.workers {
            join(worker);
        }
        // Last, because it is what stops the guests of the workers.
        if let Some(clock) = threads.clock {
            self.workshop.clock.stop();
            join(clock);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("workshop", &self.inner.workshop).finish_non_exhaustive()
    }
}

fn queues(threads: PerPool<usize>) -> PerPool<CallQueue> {
    // A tenant has no more calls than it may hold threads, so that none of them waits behind another of its own.
    let tenant_slots = (threads.waiting / 2).max(1);
    PerPool {
        computing: CallQueue::new(Pool::Computing, threads.computing * CALLS_PER_WORKER),
        waiting: CallQueue::shared_out(Pool::Waiting, threads.waiting * CALLS_PER_WORKER, tenant_slots),
    }
}

fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    if thread.join().is_err() {
        tracing::error!(thread = name, "a thread of the sandbox had panicked");
    }
}

fn engine_error(error: wasmtime::Error) -> SandboxError {
    SandboxError::Engine(error.into_boxed_dyn_error())
}

fn worker_count(setting: usize) -> usize {
    match setting {
        0 => thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
        workers => workers,
    }
}
