//! Logging in.

use std::sync::Arc;

use iggy_binary_protocol::requests::users::{LoginRegisterRequest, LoginRegisterWithPatRequest};
use iggy_binary_protocol::responses::users::LoginRegisterResponse;
use iggy_binary_protocol::version::{IGGY_PROTOCOL_VERSION, is_protocol_compatible};
use iggy_binary_protocol::{ClientVersionInfo, EvictionReason, ProtocolVersion, WireDecode, WireName};
use secrecy::ExposeSecret;

use crate::clock::steady_micros;
use crate::engine::Engine;
use crate::password::{Gate, Verdict};
use crate::peer::{Peer, Session};
use crate::user::{ROOT_USER_ID, User};
use crate::wire::{Payload, Refusal};

/// What clients see as the version of the server.
pub(super) const SERVER_VERSION: &str = concat!("guesthouse-", env!("CARGO_PKG_VERSION"));

/// Checks a login and binds a session to the connection. What the connection was before is over, whatever comes
/// of it. Waits for its turn behind other logins.
pub(super) async fn login(engine: &Engine, peer: &mut Peer, body: &[u8]) -> Result<Payload, Refusal> {
    peer.unbind();
    let outcome = verify(engine, body).await;
    if outcome.is_err() {
        hold_back(&engine.gate, peer).await;
    }
    let user_id = outcome?.meta.id;
    let session = engine.next_session();
    peer.bind(Session { number: session, user_id });
    peer.failed_logins = 0;
    Ok(Payload::of(&LoginRegisterResponse {
        user_id,
        session,
        server_protocol_version: IGGY_PROTOCOL_VERSION,
        server_version: WireName::new(SERVER_VERSION)?,
    }))
}

/// Counts a wrong password against the connection, and makes it wait for the answer. After some the connection is
/// closed.
pub(super) async fn hold_back(gate: &Gate, peer: &mut Peer) {
    peer.failed_logins += 1;
    tokio::time::sleep(gate.cost.pause * peer.failed_logins).await;
}

async fn verify(engine: &Engine, body: &[u8]) -> Result<Arc<User>, Refusal> {
    let malformed = || Refusal::Evict(EvictionReason::MalformedLogin);
    let (client, length) = ClientVersionInfo::decode(body).map_err(|_| malformed())?;
    // As Iggy's own server decides: releases that differ in the last number alone speak the same.
    if !is_protocol_compatible(client.protocol_version) {
        return Err(Refusal::Protocol(ProtocolVersion(client.protocol_version)));
    }
    let tail = body.get(length..).ok_or_else(malformed)?;
    let user = if let Ok((login, _)) = LoginRegisterRequest::decode_after_prefix(client.clone(), tail) {
        by_password(engine, &login).await?
    } else {
        let login = LoginRegisterWithPatRequest::decode_after_prefix(client, tail);
        let (login, _) = login.map_err(|_| malformed())?;
        let user = engine.users.by_token(login.token.expose_secret(), steady_micros());
        user.ok_or(Refusal::Evict(EvictionReason::InvalidToken))?
    };
    if user.is_active() { Ok(user) } else { Err(Refusal::Evict(EvictionReason::UserInactive)) }
}

async fn by_password(engine: &Engine, login: &LoginRegisterRequest) -> Result<Arc<User>, Refusal> {
    if engine.users.named(&login.username).is_some_and(|user| user.meta.id == ROOT_USER_ID) {
        engine.root.refresh(&engine.users, &engine.gate).await;
    }
    let user = engine.users.named(&login.username);
    let stored = user.as_ref().map(|user| user.meta.password_hash.as_str());
    match (engine.gate.check(stored, login.password.expose_secret()).await, user) {
        (Verdict::Right, Some(user)) => Ok(user),
        _ => Err(Refusal::Evict(EvictionReason::InvalidCredentials)),
    }
}
