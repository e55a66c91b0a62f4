//! `wasi:keyvalue/store` for guests: the state of their handler and tenant, while they handle an event.
//!
//! A bucket owns nothing on the host: there is one, and what it reaches is decided by whose guest it is.

mod call;
mod session;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};

use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

pub(super) use call::StatefulCall;
pub(super) use session::Session;

/// The interface, without its version.
pub(super) const STORE: &str = "wasi:keyvalue/store";
/// The one version that is offered. In `0.2.0-draft` cursors are numbers, so that it is another interface.
pub(super) const VERSION: &str = "0.2.0-draft2";

/// The names by which guests may open their bucket.
const IDENTIFIERS: [&str; 2] = ["", "default"];

type Guest<'a> = StoreContextMut<'a, GuestState>;
/// What a function answers, unless the guest is stopped in it.
type Answer<T> = wasmtime::Result<(Result<T, StoreError>,)>;

struct Bucket;

/// `store.error`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(variant)]
pub(super) enum StoreError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    #[expect(dead_code, reason = "part of the type; a guest without the grant is not admitted")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// `store.key-response`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(super) struct KeyResponse {
    #[component(name = "keys")]
    pub(super) keys: Vec<String>,
    #[component(name = "cursor")]
    pub(super) cursor: Option<String>,
}

/// Links the interface.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut store = linker.instance(&format!("{STORE}@{VERSION}"))?;
    store.resource("bucket", ResourceType::host::<Bucket>(), |_, _| Ok(()))?;
    store.func_wrap("open", open)?;
    store.func_wrap("[method]bucket.get", |guest: Guest<'_>, (_, key): (Resource<Bucket>, String)| {
        answer(guest, |session| session.get(key))
    })?;
    store.func_wrap(
        "[method]bucket.set",
        |guest: Guest<'_>, (_, key, value): (Resource<Bucket>, String, Vec<u8>)| {
            answer(guest, |session| session.set(key, value))
        },
    )?;
    store.func_wrap("[method]bucket.delete", |guest: Guest<'_>, (_, key): (Resource<Bucket>, String)| {
        answer(guest, |session| session.delete(key))
    })?;
    store.func_wrap("[method]bucket.exists", |guest: Guest<'_>, (_, key): (Resource<Bucket>, String)| {
        answer(guest, |session| session.exists(&key))
    })?;
    store.func_wrap(
        "[method]bucket.list-keys",
        |guest: Guest<'_>, (_, cursor): (Resource<Bucket>, Option<String>)| {
            answer(guest, |session| session.list_keys(cursor.as_deref()).map(Ok))
        },
    )
}

fn open(guest: Guest<'_>, (identifier,): (String,)) -> Answer<Resource<Bucket>> {
    answer(guest, |session| {
        session.count_call()?;
        let known = IDENTIFIERS.contains(&identifier.as_str());
        Ok(if known { Ok(Resource::new_own(0)) } else { Err(StoreError::NoSuchStore) })
    })
}

/// Answers from the session of the call that the guest is in.
fn answer<T>(
    mut guest: Guest<'_>,
    ask: impl FnOnce(&mut Session) -> Result<Result<T, StoreError>, GuestStop>,
) -> Answer<T> {
    let session = guest.data_mut().session.as_deref_mut();
    let session = session.ok_or(GuestStop::OutsideOfEvent(STORE))?;
    Ok((ask(session)?,))
}

#[cfg(test)]
mod tests;
