//! The adapter for modules of the RusToK platform: unmodified components of `rustok:module@1.0.0`.
//!
//! A module gets each event as the JSON text that the platform's own sandbox would give it. What it publishes by the
//! capability `platform.events` is staged and becomes the event's emits; every other capability is denied, by
//! the platform's codes. What it returns is not looked at, and as on the platform every failure may be retried.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::event::{Event, SharedEvent};
use crate::identity::{EmitId, EventIdentity};
use crate::outcome::{Emit, LimitKind, Outcome};
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;
use crate::sandbox::{GuestSpec, answers, text};

/// The interface by which a module asks the platform for something, with its version.
pub(super) const HOST: &str = "rustok:module/host@1.0.0";
/// The function of a module.
pub(super) const RUN: &str = "run";

/// Version of the text that a module gets.
const DISPATCH_VERSION: u32 = 1;
/// What modules are told, and tell, of kind and phase.
const EVENT: &str = "event";
/// Version of the schema of what a module publishes: it has no way to say another.
const SCHEMA_VERSION: u16 = 1;
/// Longest name that is shown in a refusal.
const SHOWN_BYTES_MAX: usize = 96;

/// Parameters of `run`.
pub(super) type RunParams<'a> = (&'a str,);
/// Result of `run`.
pub(super) type RunResults = (Result<String, String>,);

/// What a module asked for while it runs for one event.
#[derive(Debug)]
pub(super) struct ModuleRun {
    event: SharedEvent,
    emits: Vec<Emit>,
    bytes: u64,
}

#[derive(Serialize)]
struct Dispatch<'a> {
    dispatch_version: u32,
    binding_id: &'a str,
    binding_kind: &'a str,
    phase: &'a str,
    payload: DispatchPayload<'a>,
}

#[derive(Serialize)]
struct DispatchPayload<'a> {
    binding_id: &'a str,
    event: DispatchEvent<'a>,
}

#[derive(Serialize)]
struct DispatchEvent<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: u16,
    payload: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication<'a> {
    topic: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Published<'a> {
    published: bool,
    topic: &'a str,
    event_id: String,
}

/// Why a capability is not given, by the platform's codes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("CAPABILITY_DENIED: sandbox capability `{0}` is not granted")]
    Denied(String),
    #[error(
        "CAPABILITY_CONSTRAINT_DENIED: sandbox capability `platform.events` violates its policy constraints: {0}"
    )]
    Constraint(String),
}

/// Links the interface.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance(HOST)?.func_wrap("invoke", invoke)
}

/// The text that a module gets for an event.
///
/// # Errors
/// The outcome of the event when its payload is not JSON: there is no other way to hand it over.
pub(super) fn dispatch(spec: &GuestSpec, event: &Event) -> Result<String, Outcome> {
    let not_json = |error: serde_json::Error| Outcome::Reject {
        reason: format!("the payload is not JSON, which a component of rustok:module takes: {error}"),
    };
    let binding_id = spec.handler.as_str();
    let payload = serde_json::from_slice(&event.payload).map_err(not_json)?;
    let event = DispatchEvent {
        id: &event.id,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        payload,
    };
    let dispatch = Dispatch {
        dispatch_version: DISPATCH_VERSION,
        binding_id,
        binding_kind: EVENT,
        phase: EVENT,
        payload: DispatchPayload { binding_id, event },
    };
    serde_json::to_string(&dispatch).map_err(not_json)
}

/// The outcome of an event for which a module returned.
pub(super) fn outcome(returned: Result<String, String>, run: Option<ModuleRun>, spec: &GuestSpec) -> Outcome {
    match returned {
        Ok(_) => answers::checked(run.map(|run| run.emits).unwrap_or_default(), spec),
        Err(reason) => Outcome::Retry { after: None, reason: spec.grants.redactor().reason(&reason) },
    }
}

type Asked = (String, String, String);

fn invoke(
    mut guest: StoreContextMut<'_, GuestState>,
    (capability, operation, input): Asked,
) -> wasmtime::Result<(Result<String, String>,)> {
    let state = guest.data_mut();
    let answer = match (&mut state.module, capability.as_str(), operation.as_str()) {
        (Some(run), "platform.events", "publish") => run.publish(&input, &state.spec)?,
        _ => Err(Refusal::Denied(text::shown(&capability, SHOWN_BYTES_MAX))),
    };
    Ok((answer.map_err(|refusal| refusal.to_string()),))
}

impl ModuleRun {
    /// The run for an event.
    pub(super) fn new(event: &SharedEvent) -> Self {
        Self { event: event.clone(), emits: Vec::new(), bytes: 0 }
    }

    /// Stages an emit. It is published when the event ends in success.
    fn publish(&mut self, input: &str, spec: &GuestSpec) -> Result<Result<String, Refusal>, GuestStop> {
        let Publication { topic, payload } = match serde_json::from_str(input) {
            Ok(publication) => publication,
            Err(error) => return Ok(Err(Refusal::Constraint(error.to_string()))),
        };
        let payload = payload.map_or("null", RawValue::get);
        let index = u32::try_from(self.emits.len()).unwrap_or(u32::MAX);
        self.bytes += (topic.len() + payload.len()) as u64;
        within(LimitKind::Emits, u64::from(index) + 1, spec.limits.emits_max.into())?;
        within(LimitKind::EmitBytes, self.bytes, spec.limits.emit_bytes_max)?;
        let event_id = EmitId::of(EventIdentity::of(&self.event.message), &spec.handler, index).to_string();
        let published = serde_json::to_string(&Published { published: true, topic: &topic, event_id });
        self.emits.push(Emit {
            event_type: topic.into(),
            schema_version: SCHEMA_VERSION,
            topic: None,
            key: None,
            headers: Vec::new(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        });
        published.map(Ok).map_err(|error| GuestStop::HostFault(error.to_string()))
    }
}

fn within(limit: LimitKind, used: u64, allowed: u64) -> Result<(), GuestStop> {
    if used > allowed { Err(GuestStop::Limit { limit, used, allowed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sandbox::fixtures::{event, spec};

    fn published(run: &mut ModuleRun, input: &str) -> Result<Value, Refusal> {
        let answer = run.publish(input, &spec()).unwrap();
        answer.map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_module_gets_the_text_of_the_platform() {
        let mut event = event("e1", "shop-a");
        event.payload = Bytes::from_static(br#"{"type":"OrderPlaced","data":{"total": 1e2}}"#);
        let text = dispatch(&spec(), &event).unwrap();
        let expected = concat!(
            r#"{"dispatch_version":1,"binding_id":"fixture","binding_kind":"event","phase":"event","#,
            r#""payload":{"binding_id":"fixture","event":{"id":"e1","type":"order.placed","schema_version":2,"#,
            r#""payload":{"type":"OrderPlaced","data":{"total": 1e2}}}}}"#,
        );
        assert_eq!(text, expected);
        event.payload = Bytes::from_static(b"\xff");
        let rejected = dispatch(&spec(), &event).unwrap_err();
        assert!(rejected.to_string().starts_with("the payload is not JSON"), "{rejected}");
    }

    #[test]
    fn what_a_module_publishes_is_staged() {
        let event = SharedEvent::from(event("e1", "shop-a"));
        let mut run = ModuleRun::new(&event);
        let answer = published(&mut run, r#"{"topic":"order.seen","payload":{"a": 1}}"#).unwrap();
        let id = EmitId::of(EventIdentity::of(&event.message), &spec().handler, 0).to_string();
        assert_eq!(answer, json!({ "published": true, "topic": "order.seen", "event_id": id }));
        published(&mut run, r#"{"topic":"order.seen"}"#).unwrap();
        let Outcome::Done(emits) = outcome(Ok(String::new()), Some(run), &spec()) else { panic!("no emits") };
        assert_eq!((&*emits[0].event_type, &*emits[0].payload), ("order.seen", &br#"{"a": 1}"#[..]));
        assert_eq!(&*emits[1].payload, b"null");
    }

    #[test]
    fn a_failure_is_retried_and_nothing_is_published_then() {
        let mut run = ModuleRun::new(&SharedEvent::from(event("e1", "shop-a")));
        published(&mut run, r#"{"topic":"order.seen"}"#).unwrap();
        let failed = outcome(Err("no\nluck".to_owned()), Some(run), &spec());
        assert_eq!(failed, Outcome::Retry { after: None, reason: "no\\nluck".to_owned() });
    }

    #[test]
    fn what_breaks_the_rules_is_refused_by_the_platforms_codes() {
        let mut run = ModuleRun::new(&SharedEvent::from(event("e1", "shop-a")));
        for input in ["", "[]", r#"{"topic":7}"#, r#"{"payload":1}"#, r#"{"topic":"a","tenant":"b"}"#] {
            let refused = published(&mut run, input).unwrap_err().to_string();
            assert!(refused.starts_with("CAPABILITY_CONSTRAINT_DENIED: "), "{input}: {refused}");
        }
        for _ in 0..4 {
            published(&mut run, r#"{"topic":"order.seen"}"#).unwrap();
        }
        let stopped = run.publish(r#"{"topic":"order.seen"}"#, &spec()).unwrap_err();
        assert_eq!(stopped.to_string(), "emits over the limit: used 5, may use 4");
    }
}
