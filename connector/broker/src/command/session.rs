//! Logging in.

use std::time::Duration;

use iggy_binary_protocol::requests::users::{LoginRegisterRequest, LoginRegisterWithPatRequest};
use iggy_binary_protocol::responses::users::LoginRegisterResponse;
use iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION;
use iggy_binary_protocol::{ClientVersionInfo, EvictionReason, ProtocolVersion, WireDecode, WireName};

use crate::credentials::Verdict;
use crate::engine::Engine;
use crate::peer::Peer;
use crate::wire::{Payload, Refusal};

/// The root user, by whom every session is held.
pub(super) const ROOT_USER_ID: u32 = 0;
/// How long the answer to a wrong login is held back, times the wrong logins on the connection.
const FAILED_LOGIN_PAUSE: Duration = Duration::from_millis(200);

/// Checks a login and binds a session to the connection. What the connection was before is over, whatever comes
/// of it. Waits for its turn behind other logins.
pub(super) async fn login(engine: &Engine, peer: &mut Peer, body: &[u8]) -> Result<Payload, Refusal> {
    peer.unbind();
    let outcome = verify(engine, body).await;
    if outcome.is_err() {
        peer.failed_logins += 1;
        tokio::time::sleep(FAILED_LOGIN_PAUSE * peer.failed_logins).await;
    }
    outcome?;
    let session = engine.next_session();
    peer.bind(session);
    peer.failed_logins = 0;
    Ok(Payload::of(&LoginRegisterResponse {
        user_id: ROOT_USER_ID,
        session,
        server_protocol_version: IGGY_PROTOCOL_VERSION,
        server_version: WireName::new(concat!("guesthouse-", env!("CARGO_PKG_VERSION")))?,
    }))
}

async fn verify(engine: &Engine, body: &[u8]) -> Result<(), Refusal> {
    let malformed = || Refusal::Evict(EvictionReason::MalformedLogin);
    let (client, length) = ClientVersionInfo::decode(body).map_err(|_| malformed())?;
    // Edge builds after 0.11.0 drop their tag from the number but speak otherwise, so only the exact one passes.
    if client.protocol_version != IGGY_PROTOCOL_VERSION {
        return Err(Refusal::Protocol(ProtocolVersion(client.protocol_version)));
    }
    let tail = body.get(length..).ok_or_else(malformed)?;
    if let Ok((login, _)) = LoginRegisterRequest::decode_after_prefix(client.clone(), tail) {
        return match engine.gate.check(&login.username, &login.password).await {
            Verdict::Welcome => Ok(()),
            Verdict::Wrong => Err(Refusal::Evict(EvictionReason::InvalidCredentials)),
        };
    }
    match LoginRegisterWithPatRequest::decode_after_prefix(client, tail) {
        // There are no access tokens, so none is valid.
        Ok(_) => Err(Refusal::Evict(EvictionReason::InvalidToken)),
        Err(_) => Err(malformed()),
    }
}
