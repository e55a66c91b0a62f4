//! A component that passed admission: compiled, linked, and ready to make guests of.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::sandbox::admission::Structure;
use crate::sandbox::code::{Code, CodeSource};
use crate::sandbox::http::HttpAccess;
use crate::sandbox::state::GuestState;
use crate::sandbox::tenancy::Tenancies;
use crate::sandbox::{GuestSpec, Pool};

/// The world that a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// `event-handler`: one event per call.
    Event,
    /// `batch-handler`: many events per call.
    Batch,
    /// `module-runtime` of `rustok:module`: one event per call, through an adapter.
    Module,
}

impl World {
    /// Its name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event-handler",
            Self::Batch => "batch-handler",
            Self::Module => "module-runtime",
        }
    }
}

/// What a guest took to start, in its trial at admission.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TrialStart {
    pub(super) time: Duration,
    pub(super) memory_bytes: u64,
}

/// Tells the components of this process apart, even two of the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ComponentId(u64);

/// A component that passed admission for one handler. Dropping it drops its idle guests.
pub(crate) struct AdmittedComponent {
    pub(super) id: ComponentId,
    pub(super) spec: Arc<GuestSpec>,
    /// Held so that others of the same bytes can share it.
    pub(super) code: Arc<Code>,
    pub(super) facts: ComponentFacts,
    pub(super) template: InstancePre<GuestState>,
    pub(super) entry: ComponentExportIndex,
    /// What a guest does before its first event.
    pub(super) init: Option<ComponentExportIndex>,
    pub(super) tenancies: Weak<Tenancies>,
    /// Absent unless it uses HTTP.
    pub(super) http: Option<Arc<HttpAccess>>,
}

/// What is known of a component from its bytes.
#[derive(Debug, Clone)]
pub(super) struct ComponentFacts {
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) source: CodeSource,
    pub(super) start: TrialStart,
    pub(super) world: World,
    pub(super) pool: Pool,
    pub(super) state: StateUse,
}

/// Whether a component's guests use state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateUse {
    /// They cannot: the component does not import it.
    Never,
    /// They may, so that their events run one by one, each in a call of its own.
    Possible,
}

impl AdmittedComponent {
    /// Hash of the component's bytes, as `blake3:` and lower-case hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        &self.facts.digest
    }

    /// The world that it exports.
    pub(crate) fn world(&self) -> World {
        self.facts.world
    }

    /// Which threads run its guests.
    pub(crate) fn pool(&self) -> Pool {
        self.facts.pool
    }

    /// Size of the component's bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.facts.size_bytes
    }

    /// Whether several events may share a call of its guests. Not when what they ask of the host has to be counted
    /// for each event.
    pub(super) fn shares_calls(&self) -> bool {
        self.http.is_none() && self.facts.state == StateUse::Never
    }

    /// Whether it is kept on record which events its guests have handled.
    pub(super) fn keeps_marks(&self) -> bool {
        self.facts.state == StateUse::Possible || self.spec.dedup.is_some()
    }

    /// Where its code came from.
    pub(crate) fn source(&self) -> CodeSource {
        self.facts.source
    }

    /// Whether its guests get ready before their first event.
    pub(crate) fn has_init(&self) -> bool {
        self.init.is_some()
    }

    /// How long a guest took to start.
    pub(crate) fn start_time(&self) -> Duration {
        self.facts.start.time
    }

    /// Memory of a guest that has started.
    pub(crate) fn start_memory_bytes(&self) -> u64 {
        self.facts.start.memory_bytes
    }

    /// What it is made of.
    pub(crate) fn structure(&self) -> &Structure {
        &self.code.structure
    }

    /// What it was admitted for.
    pub(crate) fn spec(&self) -> &GuestSpec {
        &self.spec
    }
}

impl ComponentId {
    /// An id that no other component of this process has.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for AdmittedComponent {
    fn drop(&mut self) {
        if let Some(tenancies) = self.tenancies.upgrade() {
            tenancies.forget(self.id, &self.spec.tenants);
        }
    }
}

impl fmt::Debug for AdmittedComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmittedComponent").field("spec", &self.spec).field("facts", &self.facts).finish()
    }
}
