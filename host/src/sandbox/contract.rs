//! The types of `wit/handler.wit` as they cross into and out of a guest.
//!
//! What goes in borrows from the event; what comes out is owned. The engine checks each against the types of
//! the component when a guest starts.

use wasmtime::component::{ComponentType, Lift, Lower};

/// Version of the contract.
pub(crate) const VERSION: &str = "0.1.0";
/// Interface of the world that takes one event at a time, without its version.
pub(super) const HANDLER: &str = "guesthouse:handler/handler";
/// Interface of the world that takes batches, without its version.
pub(super) const BATCH: &str = "guesthouse:handler/batch";
/// Interface of the log, without its version.
pub(super) const LOG: &str = "guesthouse:handler/log";
/// Interface of what a guest does besides handling events, without its version.
pub(super) const LIFECYCLE: &str = "guesthouse:handler/lifecycle";
/// Interface that holds types only, without its version.
pub(super) const TYPES: &str = "guesthouse:handler/types";
/// Function of [`HANDLER`].
pub(super) const HANDLE: &str = "handle";
/// Function of [`BATCH`].
pub(super) const HANDLE_BATCH: &str = "handle-batch";
/// Function of [`LIFECYCLE`].
pub(super) const INIT: &str = "init";

/// `types.source`
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct SourceRecord<'a> {
    #[component(name = "stream")]
    pub(super) stream: &'a str,
    #[component(name = "topic")]
    pub(super) topic: &'a str,
    #[component(name = "partition")]
    pub(super) partition: u32,
    #[component(name = "offset")]
    pub(super) offset: u64,
}

/// `types.header` on its way in.
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct HeaderRecord<'a> {
    #[component(name = "name")]
    pub(super) name: &'a str,
    #[component(name = "value")]
    pub(super) value: &'a str,
}

/// `types.event`
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct EventRecord<'a> {
    #[component(name = "id")]
    pub(super) id: &'a str,
    #[component(name = "type")]
    pub(super) event_type: &'a str,
    #[component(name = "schema-version")]
    pub(super) schema_version: u16,
    #[component(name = "tenant")]
    pub(super) tenant: Option<&'a str>,
    #[component(name = "key")]
    pub(super) key: Option<&'a str>,
    #[component(name = "correlation-id")]
    pub(super) correlation_id: Option<&'a str>,
    #[component(name = "causation-id")]
    pub(super) causation_id: Option<&'a str>,
    #[component(name = "actor")]
    pub(super) actor: Option<&'a str>,
    #[component(name = "traceparent")]
    pub(super) traceparent: Option<&'a str>,
    #[component(name = "timestamp")]
    pub(super) timestamp: u64,
    #[component(name = "source")]
    pub(super) source: SourceRecord<'a>,
    #[component(name = "attempt")]
    pub(super) attempt: u32,
    #[component(name = "headers")]
    pub(super) headers: &'a [HeaderRecord<'a>],
    #[component(name = "content-type")]
    pub(super) content_type: &'a str,
    #[component(name = "payload")]
    pub(super) payload: &'a [u8],
}

/// `types.header` on its way out.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct EmitHeader {
    #[component(name = "name")]
    pub(super) name: String,
    #[component(name = "value")]
    pub(super) value: String,
}

/// `types.emit`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct EmitRecord {
    #[component(name = "type")]
    pub(super) event_type: String,
    #[component(name = "schema-version")]
    pub(super) schema_version: u16,
    #[component(name = "topic")]
    pub(super) topic: Option<String>,
    #[component(name = "key")]
    pub(super) key: Option<String>,
    #[component(name = "headers")]
    pub(super) headers: Vec<EmitHeader>,
    #[component(name = "payload")]
    pub(super) payload: Vec<u8>,
}

/// `types.retry`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct RetryRecord {
    #[component(name = "reason")]
    pub(super) reason: String,
    #[component(name = "after")]
    pub(super) after: Option<u64>,
}

/// `types.failure`
#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum Failure {
    #[component(name = "retry")]
    Retry(RetryRecord),
    #[component(name = "reject")]
    Reject(String),
}

/// `batch.event-emit`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct EventEmit {
    #[component(name = "event")]
    pub(super) event: u32,
    #[component(name = "emit")]
    pub(super) emit: EmitRecord,
}

/// `batch.event-failure`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct EventFailure {
    #[component(name = "event")]
    pub(super) event: u32,
    #[component(name = "failure")]
    pub(super) failure: Failure,
}

/// `batch.answers`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct BatchAnswers {
    #[component(name = "emits")]
    pub(super) emits: Vec<EventEmit>,
    #[component(name = "failures")]
    pub(super) failures: Vec<EventFailure>,
    #[component(name = "skipped")]
    pub(super) skipped: Vec<u32>,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the engine makes them of the guest's value")]
pub(super) enum LogLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
