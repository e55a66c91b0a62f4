//! The other end of a connection: who it is, and what ends with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use iggy_binary_protocol::RequestHeader;
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::Engine;
use crate::group::MemberId;
use crate::recent::NOBODY;

/// What a login opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its number, never zero.
    pub(crate) number: u64,
    /// Who logged in.
    pub(crate) user_id: u32,
}

/// One connection. Dropping it ends its group memberships.
pub(crate) struct Peer {
    /// The number of the connection, which clients see as their id.
    pub(crate) id: MemberId,
    /// The address it came from.
    pub(crate) remote: SocketAddr,
    /// The address it dialed.
    pub(crate) local: SocketAddr,
    /// When it came, or logged out.
    pub(crate) stranger_since: Instant,
    /// Its session, once logged in.
    pub(crate) session: Option<Session>,
    /// Whether it joined a consumer group. Deleting the group elsewhere leaves this set.
    pub(crate) is_member: bool,
    /// Logins that failed on this connection.
    pub(crate) failed_logins: u32,
    /// The client id that it used last, to address a farewell.
    pub(crate) client: u128,
    /// The number of the request that is carried out; a session counts its requests.
    request: u64,
    /// The highest number of a send of this session that was answered with success.
    request_answered: u64,
    /// Its place among those that have not logged in.
    stranger: Option<OwnedSemaphorePermit>,
    engine: Arc<Engine>,
}

impl Peer {
    /// Registers a connection that has just been accepted.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        remote: SocketAddr,
        local: SocketAddr,
        stranger: OwnedSemaphorePermit,
    ) -> Self {
        let id = engine.peers.enter(remote);
        let engine = Arc::clone(engine);
        Self {
            id,
            remote,
            local,
            stranger_since: Instant::now(),
            session: None,
            is_member: false,
            failed_logins: 0,
            client: 0,
            request: 0,
            request_answered: 0,
            stranger: Some(stranger),
            engine,
        }
    }

    /// Takes note of a request that is to be carried out.
    pub(crate) fn begin(&mut self, request: &RequestHeader) {
        (self.client, self.request) = (request.client, request.request);
    }

    /// Takes note that the request was carried out, and is answered next.
    pub(crate) fn succeeded(&mut self) {
        self.request_answered = self.request_answered.max(self.request);
    }

    /// Whose message a request sends: this connection's, or nobody's when it comes again under a number that was
    /// answered before.
    pub(crate) fn sender(&self) -> MemberId {
        if self.request > self.request_answered { self.id } else { NOBODY }
    }

    /// Binds a session to the connection.
    pub(crate) fn bind(&mut self, session: Session) {
        self.session = Some(session);
        self.request_answered = 0;
        self.stranger = None;
        self.engine.peers.set_user(self.id, Some(session.user_id));
    }

    /// Ends the session, if there is one, and its group memberships.
    pub(crate) fn unbind(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.is_member = false;
        self.stranger_since = Instant::now();
        self.engine.peers.set_user(self.id, None);
        self.engine.groups().leave_all(self.id, Instant::now());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.engine.groups().leave_all(self.id, Instant::now());
        self.engine.peers.leave(self.id);
    }
}

/// The open connections, for those who ask about them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    inner: Mutex<PeerTable>,
}

#[derive(Debug, Default)]
struct PeerTable {
    last_id: u32,
    /// With the user of each that is logged in.
    open: BTreeMap<u32, (SocketAddr, Option<u32>)>,
}

impl Peers {
    fn enter(&self, remote: SocketAddr) -> MemberId {
        let mut table = self.lock();
        // Numbers come back after four billion connections; one that is still open keeps its number.
        let mut id = table.last_id.wrapping_add(1);
        while id == 0 || table.open.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        table.last_id = id;
        table.open.insert(id, (remote, None));
        MemberId(id)
    }

    fn set_user(&self, id: MemberId, user_id: Option<u32>) {
        if let Some(entry) = self.lock().open.get_mut(&id.0) {
            entry.1 = user_id;
        }
    }

    fn leave(&self, id: MemberId) {
        self.lock().open.remove(&id.0);
    }

    /// Every open connection: its number, its address, and its user once logged in.
    pub(crate) fn list(&self) -> Vec<(MemberId, SocketAddr, Option<u32>)> {
        let table = self.lock();
        table.open.iter().map(|(id, (remote, user_id))| (MemberId(*id), *remote, *user_id)).collect()
    }

    /// How many connections from an address are open.
    pub(crate) fn count_from(&self, address: IpAddr) -> usize {
        let table = self.lock();
        let remotes = table.open.values().map(|(remote, _)| remote.ip().to_canonical());
        remotes.filter(|remote| *remote == address.to_canonical()).count()
    }

    fn lock(&self) -> MutexGuard<'_, PeerTable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
