//! From a request to its reply: who may ask, and which family of commands answers.

mod group;
mod message;
mod offset;
mod partition;
mod session;
mod stats;
mod stream;
mod system;
mod token;
mod topic;
mod user;

use std::sync::Arc;

use iggy_binary_protocol::codes::{
    LOGIN_REGISTER_CODE, LOGIN_REGISTER_WITH_PAT_CODE, LOGIN_USER_CODE,
    LOGIN_WITH_PERSONAL_ACCESS_TOKEN_CODE, PING_CODE,
};
use iggy_binary_protocol::{EvictionReason, Operation, WireDecode, WireIdentifier, lookup_command};
use iggy_common::IggyErrorDiscriminants as Code;

use crate::catalog::{Stream, Topic};
use crate::engine::Engine;
use crate::peer::Peer;
use crate::user::{Action, Decision, StreamAction, TopicAction, User};
use crate::wire::{Payload, Refusal, Reply, Request, in_one_line};

/// A request of a client that is logged in.
struct Call<'a> {
    engine: &'a Engine,
    peer: &'a mut Peer,
    body: &'a [u8],
    user: Arc<User>,
}

impl<'a> Call<'a> {
    /// A call of the user whose session this is. The session of one who was deleted or locked out ends here.
    fn new(engine: &'a Engine, peer: &'a mut Peer, body: &'a [u8]) -> Result<Self, Refusal> {
        let user = peer.session.and_then(|session| engine.users.get(session.user_id));
        let Some(user) = user.filter(|user| user.is_active()) else {
            peer.unbind();
            return Err(Code::Unauthenticated.into());
        };
        Ok(Self { engine, peer, body, user })
    }

    /// Reads the body as `T`. Bytes after it are ignored, as on Iggy's server.
    fn decode<T: WireDecode>(&self) -> Result<T, Refusal> {
        Ok(T::decode_from(self.body)?)
    }

    /// Goes on only if the user may do this.
    fn require(&self, action: Action) -> Result<(), Refusal> {
        match self.user.decide(action) {
            Decision::Granted => Ok(()),
            Decision::Denied => Err(Code::Unauthorized.into()),
        }
    }

    /// The stream a client calls so, if the user may do this with it. One that is not there is said to be missing,
    /// as on Iggy's server.
    fn stream(&self, action: StreamAction, stream_id: &WireIdentifier) -> Result<Arc<Stream>, Refusal> {
        let stream = self.engine.catalog.stream(stream_id)?;
        self.require(Action::Stream(stream.meta.id, action))?;
        Ok(stream)
    }

    /// The topic a client calls so, if the user may do this with it.
    fn topic(
        &self,
        action: TopicAction,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
    ) -> Result<Arc<Topic>, Refusal> {
        let topic = self.engine.catalog.topic(stream_id, topic_id)?;
        self.require(Action::Topic(topic.meta.stream_id, topic.meta.id, action))?;
        Ok(topic)
    }
}

/// Carries a request out and frames the outcome. Cancelling may leave the request carried out without an answer.
pub(crate) async fn answer(engine: &Engine, peer: &mut Peer, request: &Request<'_>) -> Reply {
    peer.begin(&request.header);
    let outcome = run(engine, peer, request).await;
    match &outcome {
        Ok(_) if request.header.operation == Operation::SendMessages => peer.succeeded(),
        Ok(_) => {}
        Err(refusal) => {
            if refusal.is_our_fault() {
                engine.note_fault();
            }
            report(peer, request, refusal);
        }
    }
    let session = peer.session.map_or(0, |session| session.number);
    Reply::new(&request.header, session, outcome)
}

fn report(peer: &Peer, request: &Request<'_>, refusal: &Refusal) {
    let operation = request.header.operation;
    if refusal.is_our_fault() {
        let error = in_one_line(refusal);
        tracing::error!(remote = %peer.remote, ?operation, error, "request failed");
    } else {
        tracing::debug!(remote = %peer.remote, ?operation, error = %refusal, "request refused");
    }
}

async fn run(engine: &Engine, peer: &mut Peer, request: &Request<'_>) -> Result<Payload, Refusal> {
    if !request.is_intact() {
        return Err(Code::InvalidFormat.into());
    }
    match request.header.operation {
        Operation::Register => session::login(engine, peer, request.body).await,
        Operation::Logout => {
            peer.unbind();
            Ok(Payload::empty())
        }
        Operation::NonReplicated => read(engine, peer, request).await,
        operation => match operation.to_command_code() {
            Some(_) if peer.session.is_none() => Err(Refusal::Evict(EvictionReason::NoSession)),
            Some(code) => {
                // All of these change something.
                engine.data_dir.require_there()?;
                family(code, Call::new(engine, peer, request.body)?).await
            }
            // Operations that servers use among themselves.
            None => Err(Code::InvalidCommand.into()),
        },
    }
}

/// Commands that travel without an operation of their own.
async fn read(engine: &Engine, peer: &mut Peer, request: &Request<'_>) -> Result<Payload, Refusal> {
    let code = request.code();
    match code {
        PING_CODE => return Ok(Payload::empty()),
        LOGIN_USER_CODE
        | LOGIN_WITH_PERSONAL_ACCESS_TOKEN_CODE
        | LOGIN_REGISTER_CODE
        | LOGIN_REGISTER_WITH_PAT_CODE => return Err(Refusal::Evict(EvictionReason::MalformedLogin)),
        _ => {}
    }
    if peer.session.is_none() {
        return Err(Code::Unauthenticated.into());
    }
    match lookup_command(code) {
        Some(command) if command.operation.is_none() => {
            family(code, Call::new(engine, peer, request.body)?).await
        }
        // A change must come as the operation that it is, or its reply would be framed wrongly.
        _ => Err(Code::InvalidCommand.into()),
    }
}

/// Command codes come in blocks, one per family.
async fn family(code: u32, call: Call<'_>) -> Result<Payload, Refusal> {
    match code {
        10..=29 => system::run(code, &call),
        31..=37 => user::run(code, call).await,
        41..=43 => token::run(code, &call),
        100..=119 => message::run(code, &call).await,
        120..=139 => offset::run(code, &call),
        200..=299 => stream::run(code, &call),
        300..=399 => topic::run(code, &call),
        400..=599 => partition::run(code, &call),
        600..=699 => group::run(code, call),
        _ => Err(Code::InvalidCommand.into()),
    }
}

/// Runs a change of the catalog, which waits for the disk, without holding up the other connections.
fn change<T>(action: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    tokio::task::block_in_place(action)
}

/// What was looked up and permitted, by its number: the name may be another's by the time it is changed.
fn numeric(id: u32) -> WireIdentifier {
    WireIdentifier::numeric(id)
}
