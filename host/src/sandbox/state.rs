//! What the host keeps for one guest.

use std::sync::Arc;
use std::time::Instant;

use crate::event::{SharedEvent, Tenant};
use crate::sandbox::clock::GuestClock;
use crate::sandbox::http::Desk;
use crate::sandbox::keyvalue::Session;
use crate::sandbox::memory::MemoryMeter;
use crate::sandbox::module::ModuleRun;
use crate::sandbox::output::Output;
use crate::sandbox::stop::GuestStop;
use crate::sandbox::{AdmittedComponent, GuestSpec};

/// The data of a guest's store.
#[derive(Debug)]
pub(super) struct GuestState {
    pub(super) spec: Arc<GuestSpec>,
    /// When its deadline began.
    pub(super) began: Instant,
    pub(super) memory: MemoryMeter,
    pub(super) output: Output,
    /// Absent unless the component uses HTTP.
    pub(super) http: Option<Box<Desk>>,
    pub(super) clock: GuestClock,
    pub(super) seed: (u64, u64),
    /// What it asked the platform for, while it is a module that handles an event.
    pub(super) module: Option<ModuleRun>,
    /// The state of its handler and tenant, while it handles an event and may use state.
    pub(super) session: Option<Box<Session>>,
}

impl GuestState {
    /// What a guest that is about to start is given.
    pub(super) fn new(component: &AdmittedComponent, tenant: &Tenant) -> Self {
        let spec = &component.spec;
        Self {
            spec: Arc::clone(spec),
            began: Instant::now(),
            memory: MemoryMeter::new(spec.limits.memory_bytes_max, component.code.memory_init()),
            output: Output::new(spec, tenant),
            http: component.http.as_ref().map(|access| Box::new(Desk::new(access))),
            clock: GuestClock::new(&spec.grants),
            seed: rand::random(),
            module: None,
            session: None,
        }
    }

    /// Gets ready for a call with events of which this is the first.
    pub(super) fn begin_call(&mut self, first: &SharedEvent, events: usize) {
        self.memory.begin_call();
        self.output.begin_call(first, events);
        self.clock.begin_call(first);
        if let Some(desk) = &mut self.http {
            desk.begin_event();
        }
    }

    /// Writes out what the guest said, and forgets what it still held of the call.
    pub(super) fn end_call(&mut self) {
        self.output.end_call();
        if let Some(desk) = &mut self.http {
            desk.end_event();
        }
    }

    /// The guest's HTTP.
    ///
    /// # Errors
    /// When it has none; nothing of HTTP is linked then, so no guest sees this.
    pub(super) fn desk(&mut self) -> Result<&mut Desk, GuestStop> {
        self.http.as_deref_mut().ok_or(GuestStop::Misuse("has no HTTP"))
    }
}
