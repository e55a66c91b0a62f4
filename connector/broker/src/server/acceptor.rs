//! Takes connections in and sees every one of them to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::Stop;
use crate::connection;
use crate::engine::Engine;
use crate::listener::AcceptErrors;
use crate::peer::Peer;
use crate::retention;
use crate::workers::survive;

/// Pause after the system refused a connection, for example because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After so many connections none is accepted for a while. A crowd that dials again as soon as it is sent away would have a
/// processor to itself; those who are in do not notice, and newcomers wait in the queue of the system.
const ACCEPTS_AT_ONCE: u32 = 4;
/// For so long.
const ACCEPT_REST: Duration = Duration::from_millis(4);

/// How often retention is applied; the first time right after the start.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// How the connections are encrypted.
pub(super) enum Encryption {
    None,
    Tls(TlsAcceptor),
}

/// The listening socket and the connections that came in through it.
pub(super) struct Acceptor {
    // Dropped before the engine lets go of the data directory: who gets that, gets the port too.
    listener: TcpListener,
    encryption: Encryption,
    connections: JoinSet<()>,
    strangers: Arc<Semaphore>,
    stop: watch::Receiver<Stop>,
    engine: Arc<Engine>,
}

impl Acceptor {
    pub(super) fn new(
        listener: TcpListener,
        encryption: Encryption,
        engine: Arc<Engine>,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let strangers = Arc::new(Semaphore::new(engine.limits.strangers_max));
        Self { listener, encryption, connections: JoinSet::new(), strangers, stop, engine }
    }

    /// Runs until `stop` is told; answers how many connections had to be cut off. Cancelling cuts off all.
    ///
    /// Nobody gets in any more if it dies, so it survives a panic in everything that is not its own, log calls included.
    pub(super) async fn run(mut self) -> usize {
        let mut stop = self.stop.clone();
        let mut retention_due = interval(RETENTION_INTERVAL);
        retention_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut accepts, mut errors) = (0, AcceptErrors::default());
        let deadline = loop {
            if accepts == ACCEPTS_AT_ONCE {
                accepts = 0;
                sleep(ACCEPT_REST).await;
            }
            tokio::select! {
                deadline = stopped(&mut stop) => break deadline,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, remote)) => {
                        accepts += 1;
                        errors.accepted("tcp");
                        survive(|| self.take_in(stream, remote));
                    }
                    Err(error) => {
                        errors.note("tcp", &error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.connections.join_next() => {
                    survive(|| report(ended));
                }
                _ = retention_due.tick() => {
                    survive(|| block_in_place(|| self.clean_up()));
                }
            }
        };
        drop(self.listener);
        finish(self.connections, deadline).await
    }

    /// Lets go of what has expired. Blocks.
    fn clean_up(&self) {
        if self.engine.data_dir.require_there().is_err() {
            return;
        }
        let expired_by = self.engine.expiry.now_micros();
        retention::sweep(&self.engine.catalog, expired_by);
        let Some(now_micros) = expired_by else { return };
        if let Err(error) = self.engine.users.forget_expired_tokens(now_micros) {
            tracing::warn!(%error, "expired access tokens could not be deleted");
        }
    }

    /// Starts to serve a connection, unless there are too many. Then it is closed at once.
    fn take_in(&mut self, stream: TcpStream, remote: SocketAddr) {
        if self.connections.len() >= self.engine.limits.connections_max {
            tracing::warn!(open = self.connections.len(), "too many connections, a new one is closed");
            return;
        }
        let from_there = self.engine.peers.count_from(remote.ip());
        if from_there >= self.engine.limits.connections_per_address_max {
            tracing::warn!(%remote, open = from_there, "too many connections from one address, a new one is closed");
            return;
        }
        let Ok(stranger) = Arc::clone(&self.strangers).try_acquire_owned() else {
            tracing::warn!("too many connections without a login, a new one is closed");
            return;
        };
        let local = || -> io::Result<_> {
            stream.set_nodelay(true)?;
            stream.local_addr()
        };
        match local() {
            Ok(local) => {
                let peer = Peer::new(&self.engine, remote, local, stranger);
                self.spawn(stream, peer);
            }
            Err(error) => tracing::debug!(%error, "connection was gone before it was served"),
        }
    }

    fn spawn(&mut self, stream: TcpStream, peer: Peer) {
        let (engine, stop) = (Arc::clone(&self.engine), self.stop.clone());
        match &self.encryption {
            Encryption::None => self.connections.spawn(connection::serve(engine, stream, peer, stop)),
            Encryption::Tls(acceptor) => {
                let handshake = timeout(engine.limits.header_time_max, acceptor.accept(stream));
                self.connections.spawn(async move {
                    match handshake.await {
                        Ok(Ok(stream)) => connection::serve(engine, stream, peer, stop).await,
                        Ok(Err(error)) => tracing::debug!(remote = %peer.remote, %error, "handshake failed"),
                        Err(_) => tracing::debug!(remote = %peer.remote, "handshake was not over in time"),
                    }
                })
            }
        };
    }
}

/// Waits until the broker is to stop; answers the deadline.
async fn stopped(stop: &mut watch::Receiver<Stop>) -> Instant {
    let deadline = stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
    deadline.unwrap_or_else(Instant::now)
}

/// Waits for the connections to end by themselves until `deadline`, then cuts them off; answers how many.
async fn finish(mut connections: JoinSet<()>, deadline: Instant) -> usize {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            survive(|| report(ended));
        }
    };
    if timeout_at(deadline, all_ended).await.is_ok() {
        return 0;
    }
    let busy = connections.len();
    connections.shutdown().await;
    busy
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended in a panic, which is a bug");
    }
}
