//! What a guest has of HTTP while it handles one event: its requests, responses and fields, all bounded, and gone
//! when the event is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::courier::{Errand, Timeouts};
use super::error_code::ErrorCode;
use super::exchange::{Exchange, Misuse, Reading, Stage, Step};
use super::fields::Fields;
use super::{HttpAccess, OUTGOING_HANDLER};
use crate::outcome::LimitKind;
use crate::sandbox::stop::GuestStop;

/// Requests, sets of fields and options that a guest may hold at once.
const ENTRIES_MAX: usize = 256;
/// Most bytes of a body that are read at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// Numbers of HTTP's handles start here; those below belong to standard streams.
pub(in crate::sandbox) const FIRST_ID: u32 = 256;

/// One guest's HTTP.
#[derive(Debug)]
pub(in crate::sandbox) struct Desk {
    access: Arc<HttpAccess>,
    deadline: Instant,
    event: EventState,
    requests: u32,
    /// Never used twice, so that a handle kept from an earlier event leads nowhere.
    next_id: u32,
    fields: BTreeMap<u32, Fields>,
    timeouts: BTreeMap<u32, Timeouts>,
    exchanges: BTreeMap<u32, Exchange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventState {
    None,
    Handled,
}

/// Whether something can be had without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Readiness {
    Ready,
    Pending,
}

type Stopped<T> = wasmtime::Result<T>;

impl Desk {
    /// The empty desk of a guest that is about to start.
    pub(in crate::sandbox) fn new(access: &Arc<HttpAccess>) -> Self {
        Self {
            access: Arc::clone(access),
            deadline: Instant::now(),
            event: EventState::None,
            requests: 0,
            next_id: FIRST_ID,
            fields: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            exchanges: BTreeMap::new(),
        }
    }

    /// The guest must be done this much later.
    pub(in crate::sandbox) fn begin_deadline(&mut self, deadline: Duration) {
        self.deadline = Instant::now() + deadline;
    }

    /// An event is handled from now on, so requests go out.
    pub(in crate::sandbox) fn begin_event(&mut self) {
        self.event = EventState::Handled;
        self.requests = 0;
    }

    /// Whatever the guest did not finish is forgotten.
    pub(in crate::sandbox) fn end_event(&mut self) {
        self.event = EventState::None;
        self.fields.clear();
        self.timeouts.clear();
        self.exchanges.clear();
    }

    /// Keeps a set of fields.
    pub(super) fn add_fields(&mut self, fields: Fields) -> Stopped<u32> {
        let id = self.new_id()?;
        self.fields.insert(id, fields);
        Ok(id)
    }

    /// A set of fields.
    pub(super) fn fields_mut(&mut self, id: u32) -> Stopped<&mut Fields> {
        self.fields.get_mut(&id).ok_or_else(gone)
    }

    /// The guest dropped a set of fields.
    pub(super) fn drop_fields(&mut self, id: u32) {
        self.fields.remove(&id);
    }

    /// Takes a set of fields away from the guest.
    pub(super) fn take_fields(&mut self, id: u32) -> Stopped<Fields> {
        self.fields.remove(&id).ok_or_else(gone)
    }

    /// Keeps the timeouts of a request that is to come.
    pub(super) fn add_timeouts(&mut self) -> Stopped<u32> {
        let id = self.new_id()?;
        self.timeouts.insert(id, Timeouts::default());
        Ok(id)
    }

    /// Timeouts.
    pub(super) fn timeouts_mut(&mut self, id: u32) -> Stopped<&mut Timeouts> {
        self.timeouts.get_mut(&id).ok_or_else(gone)
    }

    /// Takes timeouts away from the guest.
    pub(super) fn take_timeouts(&mut self, id: u32) -> Stopped<Timeouts> {
        self.timeouts.remove(&id).ok_or_else(gone)
    }

    /// The guest dropped timeouts.
    pub(super) fn drop_timeouts(&mut self, id: u32) {
        self.timeouts.remove(&id);
    }

    /// Begins a request.
    pub(super) fn begin(&mut self, fields: Fields) -> Stopped<u32> {
        let allowed = self.access.requests_max;
        if self.requests >= allowed {
            let (used, allowed) = (u64::from(allowed) + 1, allowed.into());
            return Err(GuestStop::Limit { limit: LimitKind::HttpCalls, used, allowed }.into());
        }
        self.requests += 1;
        let id = self.new_id()?;
        self.exchanges.insert(id, Exchange::new(fields));
        Ok(id)
    }

    /// An exchange.
    pub(super) fn exchange_mut(&mut self, id: u32) -> Stopped<&mut Exchange> {
        self.exchanges.get_mut(&id).ok_or_else(gone)
    }

    /// One more handle leads to an exchange.
    pub(super) fn hold(&mut self, id: u32) -> Stopped<u32> {
        self.exchange_mut(id)?.handles += 1;
        Ok(id)
    }

    /// A handle to an exchange was dropped. One of an earlier event leads nowhere.
    pub(in crate::sandbox) fn release(&mut self, id: u32) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.handles = exchange.handles.saturating_sub(1);
            if exchange.handles == 0 {
                self.exchanges.remove(&id);
            }
        }
    }

    /// Hands a request over, if it is to a host that may be called.
    pub(super) fn send(&mut self, id: u32, timeouts: Timeouts) -> Stopped<Result<(), ErrorCode>> {
        let access = Arc::clone(&self.access);
        let event = self.event;
        let exchange = self.exchange_mut(id)?;
        if event == EventState::None {
            return Err(GuestStop::OutsideOfEvent(OUTGOING_HANDLER).into());
        }
        Ok(exchange
            .request
            .allowed_host(&access.grant)
            .map(|host| exchange.stage = Stage::Sent(host, timeouts)))
    }

    /// Whether a response, or the reason why there is none, is there already.
    pub(in crate::sandbox) fn readiness(&mut self, id: u32) -> Stopped<Readiness> {
        let pending = matches!(self.exchange_mut(id)?.stage, Stage::Sent(..));
        Ok(if pending { Readiness::Pending } else { Readiness::Ready })
    }

    /// Brings the request of an exchange to its host and waits for the response, unless that was done. It stays
    /// pending while the guest has not finished its body.
    ///
    /// # Errors
    /// When the guest's time is over.
    pub(in crate::sandbox) fn settle(&mut self, id: u32) -> Stopped<Readiness> {
        let access = Arc::clone(&self.access);
        let deadline = self.deadline;
        let exchange = self.exchange_mut(id)?;
        let Stage::Sent(host, timeouts) = &exchange.stage else { return Ok(Readiness::Ready) };
        let (host, timeouts) = (host.clone(), *timeouts);
        let Some(message) = exchange.take_message(&host) else { return Ok(Readiness::Pending) };
        let result = match message {
            Ok(request) => {
                let (bytes_max, lookups) = (access.bytes_max, Arc::clone(&access.lookups));
                let errand = Errand { host, request, timeouts, bytes_max, lookups };
                access.courier.bring(errand, deadline).map_err(|_| GuestStop::Late)?
            }
            Err(code) => Err(code),
        };
        exchange.stage = Stage::Over(result);
        Ok(Readiness::Ready)
    }

    /// Takes what came of an exchange: none while it is pending, an error when it was taken before.
    pub(super) fn take_result(&mut self, id: u32) -> Stopped<Option<Result<Result<(), ErrorCode>, ()>>> {
        if self.settle(id)? == Readiness::Pending {
            return Ok(None);
        }
        let exchange = self.exchange_mut(id)?;
        let result = match std::mem::replace(&mut exchange.stage, Stage::Failed) {
            Stage::Over(result) => result,
            stage => {
                exchange.stage = stage;
                return Ok(Some(Err(())));
            }
        };
        Ok(Some(Ok(result.map(|response| {
            let (body, stream, trailers) = (Step::Open, Step::Open, Step::Open);
            exchange.stage = Stage::Reading(Reading { response, body, stream, trailers });
        }))))
    }

    /// A response that is being read.
    pub(super) fn reading(&mut self, id: u32) -> Stopped<&mut Reading> {
        match &mut self.exchange_mut(id)?.stage {
            Stage::Reading(reading) => Ok(reading),
            _ => Err(gone()),
        }
    }

    /// Adds to the body of a request.
    pub(in crate::sandbox) fn write(&mut self, id: u32, bytes: &[u8]) -> Stopped<()> {
        let allowed = self.access.bytes_max;
        let body = &mut self.exchange_mut(id)?.body;
        let used = (body.len() as u64).saturating_add(bytes.len() as u64);
        if used > allowed {
            return Err(GuestStop::Limit { limit: LimitKind::HttpBytes, used, allowed }.into());
        }
        body.write(bytes);
        Ok(())
    }

    /// The next bytes of the body of a response; none at its end.
    pub(in crate::sandbox) fn read(&mut self, id: u32, bytes_max: u64) -> Stopped<Option<Bytes>> {
        let body = &mut self.reading(id)?.response.body;
        let wanted = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(READ_BYTES_MAX).min(body.len());
        Ok((!body.is_empty()).then(|| body.split_to(wanted)))
    }

    /// The guest dropped the stream of a request's body.
    pub(in crate::sandbox) fn close_output(&mut self, id: u32) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.body.close_stream();
        }
        self.release(id);
    }

    /// The guest dropped a request's body.
    pub(super) fn close_body(&mut self, id: u32) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.body.close();
        }
        self.release(id);
    }

    fn new_id(&mut self) -> Stopped<u32> {
        if self.fields.len() + self.timeouts.len() + self.exchanges.len() >= ENTRIES_MAX {
            return Err(misuse(Misuse("held more than 256 requests, responses and sets of fields")));
        }
        let id = self.next_id;
        self.next_id = id.checked_add(1).ok_or_else(gone)?;
        Ok(id)
    }
}

fn gone() -> wasmtime::Error {
    misuse(Misuse("used what it kept of HTTP from an earlier event"))
}

/// The stop of a guest that misuses HTTP.
pub(super) fn misuse(Misuse(what): Misuse) -> wasmtime::Error {
    GuestStop::Misuse(what).into()
}

#[cfg(test)]
mod tests;
