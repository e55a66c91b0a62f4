//! A guest: one instance of a component, for one tenant, in a store of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::{Instance, TypedFunc};

use crate::event::{Event, Tenant};
use crate::outcome::Outcome;
use crate::sandbox::answers::{self, answer_bytes_max};
use crate::sandbox::arena::Arena;
use crate::sandbox::component::ComponentId;
use crate::sandbox::contract::{BatchAnswers, EmitRecord, EventRecord, Failure, HeaderRecord, SourceRecord};
use crate::sandbox::engine::ticks;
use crate::sandbox::keyvalue::Session;
use crate::sandbox::module::{ModuleRun, RunParams, RunResults};
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::{self, HANDLES_MAX};
use crate::sandbox::{
    AdmittedComponent, Answer, CallEvent, GuestLimits, GuestSpec, World, headers, lifecycle, module,
};

/// Events that a guest handles in its life.
const EVENTS_MAX: usize = 10_000;

type Answers = Vec<(usize, Answer)>;
/// Parameters of `handle`.
pub(super) type EventParams<'a> = (EventRecord<'a>,);
/// Result of `handle`.
pub(super) type EventResults = (Result<Vec<EmitRecord>, Failure>,);
/// Parameters of `handle-batch`.
pub(super) type BatchParams<'a> = (&'a [u8], &'a [u64]);
/// Result of `handle-batch`.
pub(super) type BatchResults = (BatchAnswers,);

/// A running instance of a component.
pub(super) struct Guest {
    store: Store<GuestState>,
    entry: Entry,
    component: ComponentId,
    tenant: Tenant,
    spec: Arc<GuestSpec>,
    events_left: usize,
}

/// The function that the host calls. The lifetimes stand for any, because the engine copies what it is given.
#[derive(Clone, Copy)]
enum Entry {
    Event(TypedFunc<EventParams<'static>, EventResults>),
    Batch(TypedFunc<BatchParams<'static>, BatchResults>),
    Module(TypedFunc<RunParams<'static>, RunResults>),
}

impl Guest {
    /// Makes a guest. Its deadline begins, and goes on through its first call.
    ///
    /// # Errors
    /// The outcome to report when it does not start.
    pub(super) fn start(component: &AdmittedComponent, tenant: &Tenant) -> Result<Self, Outcome> {
        let (spec, limits) = (Arc::clone(&component.spec), &component.spec.limits);
        let mut store = Store::new(component.template.engine(), GuestState::new(component, tenant));
        store.limiter(|state| &mut state.memory);
        store.set_max_component_handles(HANDLES_MAX.into());
        store.set_hostcall_fuel(answer_bytes_max(limits, 1));
        begin_deadline(&mut store, limits);
        let entry = get_ready(component, &mut store);
        store.data_mut().end_call();
        Ok(Self {
            entry: entry?,
            store,
            component: component.id,
            tenant: tenant.clone(),
            spec,
            events_left: EVENTS_MAX,
        })
    }

    /// Which component it is an instance of.
    pub(super) fn component(&self) -> ComponentId {
        self.component
    }

    /// Linear memory it has.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.store.data().memory.memory_bytes()
    }

    /// Mappings of the kernel that it takes.
    pub(super) fn mappings(&self) -> usize {
        self.store.data().memory.mappings()
    }

    /// Whether it may live on after what it has handled.
    pub(super) fn may_live_on(&self) -> bool {
        self.events_left > 0
    }

    /// Lets it use the state of its handler and tenant, until [`Guest::take_back`].
    pub(super) fn lend(&mut self, session: Option<Box<Session>>) {
        self.store.data_mut().session = session;
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self) -> Option<Box<Session>> {
        self.store.data_mut().session.take()
    }

    /// Begins the deadline of the next call anew.
    pub(super) fn renew_deadline(&mut self) {
        begin_deadline(&mut self.store, &self.spec.limits);
    }

    /// Runs events in one call; a guest that takes one at a time runs the first of them. The answers are by
    /// position, ascending, without those that are plainly done.
    ///
    /// # Errors
    /// The outcome of the call when the guest stopped without an answer, or with one that breaks the contract.
    /// The guest must not be used again then.
    pub(super) fn run(&mut self, events: &[CallEvent], arena: &mut Arena) -> Result<Answers, Outcome> {
        let Some(first) = events.first() else { return Ok(Vec::new()) };
        self.events_left = self.events_left.saturating_sub(events.len());
        self.store.data_mut().begin_call(&first.event, events.len());
        let result = match self.entry {
            Entry::Event(handle) => self.handle(handle, first),
            Entry::Batch(handle_batch) => self.handle_batch(handle_batch, events, arena),
            Entry::Module(run) => self.run_module(run, first),
        };
        self.store.data_mut().end_call();
        result
    }

    fn handle(
        &mut self,
        handle: TypedFunc<EventParams<'static>, EventResults>,
        CallEvent { event, attempt, .. }: &CallEvent,
    ) -> Result<Answers, Outcome> {
        let answer_bytes_max = answer_bytes_max(&self.spec.limits, 1);
        self.store.set_hostcall_fuel(answer_bytes_max);
        let headers = headers::sorted(&event.message.headers);
        let headers: Vec<_> = headers.iter().map(|(name, value)| HeaderRecord { name, value }).collect();
        match handle.call(&mut self.store, (record(&self.tenant, event, *attempt, &headers),)) {
            Ok((answer,)) => Ok(answers_of_one(answers::of_event(answer, &self.spec))),
            Err(error) => Err(stop::outcome(&error, self.store.data(), &self.spec.limits, answer_bytes_max)),
        }
    }

    fn run_module(
        &mut self,
        run: TypedFunc<RunParams<'static>, RunResults>,
        CallEvent { event, .. }: &CallEvent,
    ) -> Result<Answers, Outcome> {
        let answer_bytes_max = answer_bytes_max(&self.spec.limits, 1);
        self.store.set_hostcall_fuel(answer_bytes_max);
        let text = match module::dispatch(&self.spec, event) {
            Ok(text) => text,
            Err(outcome) => return Ok(answers_of_one(Answer::Ended(outcome))),
        };
        self.store.data_mut().module = Some(ModuleRun::new(event));
        let result = run.call(&mut self.store, (&text,));
        let asked = self.store.data_mut().module.take();
        match result {
            Ok((returned,)) => {
                Ok(answers_of_one(Answer::Ended(module::outcome(returned, asked, &self.spec))))
            }
            Err(error) => Err(stop::outcome(&error, self.store.data(), &self.spec.limits, answer_bytes_max)),
        }
    }

    fn handle_batch(
        &mut self,
        handle_batch: TypedFunc<BatchParams<'static>, BatchResults>,
        events: &[CallEvent],
        arena: &mut Arena,
    ) -> Result<Answers, Outcome> {
        let allowed_bytes = self.spec.limits.memory_bytes_max;
        let params = arena
            .lay_out(&self.tenant, events, allowed_bytes)
            .map_err(|full| Outcome::OutOfMemory { requested_bytes: full.needed_bytes, allowed_bytes })?;
        let answer_bytes_max = answer_bytes_max(&self.spec.limits, events.len());
        self.store.set_hostcall_fuel(answer_bytes_max);
        match handle_batch.call(&mut self.store, params) {
            Ok((answers,)) => answers::of_batch(answers, events, &self.spec),
            Err(error) => Err(stop::outcome(&error, self.store.data(), &self.spec.limits, answer_bytes_max)),
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("component", &self.component)
            .field("tenant", &self.tenant)
            .field("events_left", &self.events_left)
            .finish()
    }
}

/// The answers of a call with one event: none when it is plainly done.
fn answers_of_one(answer: Answer) -> Answers {
    match answer {
        Answer::Ended(Outcome::Done(emits)) if emits.is_empty() => Vec::new(),
        answer => vec![(0, answer)],
    }
}

/// Begins a guest's time, for what it computes and for what it waits for.
fn begin_deadline(store: &mut Store<GuestState>, limits: &GuestLimits) {
    store.set_epoch_deadline(ticks(limits.deadline));
    store.data_mut().began = Instant::now();
    if let Some(desk) = &mut store.data_mut().http {
        desk.begin_deadline(limits.deadline);
    }
}

/// Makes the instance and lets it get ready for its first event.
fn get_ready(component: &AdmittedComponent, store: &mut Store<GuestState>) -> Result<Entry, Outcome> {
    let limits = &component.spec.limits;
    let (instance, entry) =
        instantiate(component, store).map_err(|error| stop::start_outcome(&error, store.data(), limits))?;
    lifecycle::init(component, &instance, store)
        .map_err(|error| stop::outcome(&error, store.data(), limits, answer_bytes_max(limits, 1)))?;
    Ok(entry)
}

fn instantiate(
    component: &AdmittedComponent,
    store: &mut Store<GuestState>,
) -> wasmtime::Result<(Instance, Entry)> {
    let instance = component.template.instantiate(&mut *store)?;
    let entry = match component.facts.world {
        World::Event => Entry::Event(instance.get_typed_func(store, component.entry)?),
        World::Batch => Entry::Batch(instance.get_typed_func(store, component.entry)?),
        World::Module => Entry::Module(instance.get_typed_func(store, component.entry)?),
    };
    Ok((instance, entry))
}

fn record<'a>(
    tenant: &'a Tenant,
    event: &'a Event,
    attempt: u32,
    headers: &'a [HeaderRecord<'a>],
) -> EventRecord<'a> {
    let source = &event.message.source;
    let tenant = match tenant {
        Tenant::Platform => None,
        Tenant::Named(name) => Some(&**name),
    };
    EventRecord {
        id: &event.id,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        tenant,
        key: event.key.as_deref(),
        correlation_id: event.correlation_id.as_deref(),
        causation_id: event.causation_id.as_deref(),
        actor: event.actor.as_deref(),
        traceparent: event.traceparent.as_deref(),
        timestamp: event.timestamp_micros,
        source: SourceRecord {
            stream: &source.topic.stream,
            topic: &source.topic.topic,
            partition: source.partition.0,
            offset: source.offset.0,
        },
        attempt,
        headers,
        content_type: &event.content_type,
        payload: &event.payload,
    }
}
