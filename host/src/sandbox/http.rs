//! `wasi:http/outgoing-handler` for guests: requests to the hosts that the operator lists, and to nobody else.
//!
//! Written here and not taken from `wasmtime-wasi-http`, whose waits go on past every deadline and whose streams queue
//! without bound. Bodies are kept whole, up to the handler's limit. A request goes out when the guest waits for its
//! response and has finished its body; the guest's thread waits, at most until the guest's deadline.

mod address;
mod allowed;
mod courier;
mod desk;
mod error_code;
mod exchange;
mod failure;
mod fields;
mod link;
mod method;
mod roots;

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::sandbox::{GuestLimits, HttpGrant};

pub use allowed::InvalidHttpHost;
pub(in crate::sandbox) use courier::Courier;
pub(in crate::sandbox) use desk::{Desk, FIRST_ID, Readiness};
pub(in crate::sandbox) use link::link;

/// The interface through which guests send requests.
pub(in crate::sandbox) const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler";
/// The interface with the types of HTTP.
pub(in crate::sandbox) const TYPES: &str = "wasi:http/types";
/// Names that the guests of one handler resolve at the same time.
const LOOKUPS_MAX: usize = 4;

/// Whether a component imports any of it.
pub(in crate::sandbox) fn is_imported_by(component: &Component) -> bool {
    let ty = component.component_type();
    let is_http = |import: &str| {
        let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
        interface == OUTGOING_HANDLER || interface == TYPES
    };
    ty.imports(component.engine()).any(|(import, _)| is_http(import))
}

/// What all guests of a component share of HTTP.
#[derive(Debug)]
pub(in crate::sandbox) struct HttpAccess {
    grant: Arc<HttpGrant>,
    courier: Arc<Courier>,
    lookups: Arc<Semaphore>,
    requests_max: u32,
    bytes_max: u64,
}

impl HttpAccess {
    /// Access to the hosts of a grant, within a handler's limits.
    pub(in crate::sandbox) fn new(
        grant: &Arc<HttpGrant>,
        limits: &GuestLimits,
        courier: &Arc<Courier>,
    ) -> Self {
        if grant.hosts.iter().any(|host| host.tls) {
            courier.prepare_tls();
        }
        Self {
            grant: Arc::clone(grant),
            courier: Arc::clone(courier),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            requests_max: limits.http_calls_max,
            bytes_max: limits.http_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests;
