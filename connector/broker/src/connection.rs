//! One connection from its first byte to its last: requests in, replies out, one at a time.

use std::sync::Arc;
use std::time::Duration;

use iggy_binary_protocol::EvictionReason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::command;
use crate::config::Limits;
use crate::engine::Engine;
use crate::peer::Peer;
use crate::server::Stop;
use crate::wire::{BODY_BYTES_MAX, FrameError, FrameReader, Readiness, Reply, STRANGER_BODY_BYTES_MAX};

/// After so many failed logins the connection is closed.
const FAILED_LOGINS_MAX: u32 = 5;

/// Why a connection ended, other than by the peer's wish or the broker's stop.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("frame was not complete in time")]
    SlowFrame,
    #[error("peer did not take the reply in time")]
    SlowReader,
    #[error("no login in time")]
    NoLogin,
    #[error("group member was silent for too long")]
    Silent,
    #[error("too many failed logins")]
    FailedLogins,
    #[error("cannot write the reply: {0}")]
    Write(#[source] std::io::Error),
}

/// Serves a connection until the peer closes it, breaks the protocol, or `stop` is told. A request that has
/// begun to arrive when `stop` is told is still answered.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut peer: Peer,
    stop: watch::Receiver<Stop>,
) {
    if let Err(error) = talk(&engine, &mut stream, &mut peer, stop).await {
        tracing::debug!(remote = %peer.remote, %error, "connection closed");
    }
}

async fn talk(
    engine: &Engine,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    peer: &mut Peer,
    mut stop: watch::Receiver<Stop>,
) -> Result<(), ConnectionError> {
    let limits = &engine.limits;
    let mut reader = FrameReader::default();
    while peer.failed_logins < FAILED_LOGINS_MAX {
        let ready = tokio::select! {
            biased;
            ready = wait(limits, peer, reader.ready(stream)) => ready,
            _ = stop.wait_for(Option::is_some) => return Ok(()),
        };
        match ready {
            Ok(Readiness::Frame) => {}
            Ok(Readiness::Closed) => return Ok(()),
            Err(error) => {
                if matches!(error, ConnectionError::Silent) {
                    let farewell = Reply::farewell(peer.client, EvictionReason::StaleClient);
                    write(stream, farewell, limits.write_time_max).await?;
                }
                return Err(error);
            }
        }
        let body_max = if peer.session.is_some() { BODY_BYTES_MAX } else { STRANGER_BODY_BYTES_MAX };
        let header = in_time(limits.header_time_max, reader.header(stream, body_max)).await?;
        let request = in_time(limits.frame_time_max, reader.body(stream, header)).await?;
        let reply = command::answer(engine, peer, &request).await;
        write(stream, reply, limits.write_time_max).await?;
        if stop.borrow().is_some() {
            return Ok(());
        }
    }
    Err(ConnectionError::FailedLogins)
}

/// Waits for the next frame as long as this peer may take.
async fn wait(
    limits: &Limits,
    peer: &Peer,
    ready: impl Future<Output = Result<Readiness, FrameError>>,
) -> Result<Readiness, ConnectionError> {
    let in_time = if peer.session.is_none() {
        let left = limits.login_time_max.saturating_sub(peer.stranger_since.elapsed());
        timeout(left, ready).await.map_err(|_| ConnectionError::NoLogin)?
    } else if peer.is_member {
        timeout(limits.member_silence_max, ready).await.map_err(|_| ConnectionError::Silent)?
    } else {
        ready.await
    };
    Ok(in_time?)
}

async fn in_time<T>(
    time_max: Duration,
    part: impl Future<Output = Result<T, FrameError>>,
) -> Result<T, ConnectionError> {
    Ok(timeout(time_max, part).await.map_err(|_| ConnectionError::SlowFrame)??)
}

async fn write(
    sink: &mut (impl AsyncWrite + Unpin),
    reply: Reply,
    time_max: Duration,
) -> Result<(), ConnectionError> {
    let mut bytes = reply.into_buf();
    let written = timeout(time_max, async {
        sink.write_all_buf(&mut bytes).await?;
        sink.flush().await
    });
    written.await.map_err(|_| ConnectionError::SlowReader)?.map_err(ConnectionError::Write)
}
