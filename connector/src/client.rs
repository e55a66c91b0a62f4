//! One connection to Iggy with a session of its own. The only module, with its children, that sees the SDK.
//!
//! The SDK's own reconnection is switched off: it can hang for ever after a few hundred connections. Whoever owns a
//! client replaces it once [`Client::is_usable`] says so. The SDK answers requests one after another, and finishes an
//! exchange even when the future that waits for it is dropped.

mod batches;
mod fault;
mod generation;
mod group;
mod groups;
mod messages;
mod topics;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iggy::prelude::{
    AutoLogin, Client as _, Credentials, Identifier, IggyError, SystemClient as _, TcpClient,
    TcpClientConfig, TcpClientReconnectionConfig,
};
use iggy_binary_protocol::ProtocolVersion;
use iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION;
use secrecy::SecretString;
use tokio::time::timeout;
use tracing::debug;

use crate::address::TopicAddress;
use crate::endpoint::{Endpoint, Login};
use crate::error::ConnectorError;

pub(crate) use group::GroupTarget;
pub(crate) use messages::{Polled, Range, Reader};
pub(crate) use topics::FoundTopic;

use fault::Fault;

/// How long a connection may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that is open and logged in.
#[derive(Debug)]
pub(crate) struct Client {
    sdk: TcpClient,
    endpoint: Arc<Endpoint>,
    usable: AtomicBool,
}

/// A topic in the form that requests carry.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: TopicAddress,
    stream: Identifier,
    topic: Identifier,
}

impl Client {
    /// Connects and logs in, trying the addresses in turn.
    ///
    /// # Errors
    ///
    /// The reason of the last address; refused credentials at once.
    pub(crate) async fn open(endpoint: &Arc<Endpoint>) -> Result<Self, ConnectorError> {
        let mut failure = ConnectorError::NotConnected;
        for (place, address) in endpoint.addresses_in_turn() {
            match Self::open_one(endpoint, address).await {
                Ok(client) => {
                    endpoint.note_opened(place, address);
                    return Ok(client);
                }
                Err(error) => failure = error,
            }
            if !failure.is_transient() {
                break;
            }
        }
        endpoint.note_failed_attempt(&failure);
        Err(failure)
    }

    async fn open_one(endpoint: &Arc<Endpoint>, address: &str) -> Result<Self, ConnectorError> {
        let what = || format!("connecting to {address}");
        let secret = secret(endpoint).await;
        let sdk = TcpClient::create(Arc::new(sdk_config(endpoint, address, secret)))
            .map_err(|error| Fault::new(error).describe(what()))?;
        match timeout(endpoint.timeouts.connect, sdk.connect()).await {
            Ok(Ok(())) => Ok(Self { sdk, endpoint: Arc::clone(endpoint), usable: AtomicBool::new(true) }),
            Ok(Err(error)) => Err(Fault::new(error).describe(what_failed(endpoint, address))),
            Err(_) if endpoint.tls.is_none() && generation::is_older(address).await => {
                Err(ConnectorError::Config(older_server(address)))
            }
            Err(_) => Err(Fault::Late(endpoint.timeouts.connect).describe(what())),
        }
    }

    /// Whether the next request has a chance; never again true once it was false.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), ConnectorError> {
        self.ask(self.sdk.ping()).await.map_err(|fault| fault.describe("ping"))
    }

    /// Makes sure that nothing more is asked of a connection that cannot be trusted.
    fn give_up(&self) {
        self.usable.store(false, Ordering::Relaxed);
    }

    /// Closes the connection. Dropping the client does so too, only less politely.
    pub(crate) async fn close(&self) {
        self.usable.store(false, Ordering::Relaxed);
        match timeout(CLOSE_TIMEOUT, self.sdk.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "connection did not close in order"),
            Err(_) => debug!("connection did not close in time"),
        }
    }

    /// Waits for an answer, but not too long, and remembers what it says about the connection.
    async fn ask<T>(&self, request: impl Future<Output = Result<T, IggyError>>) -> Result<T, Fault> {
        let patience = self.endpoint.request_timeout();
        let answer = match timeout(patience, request).await {
            Ok(answer) => answer.map_err(Fault::new),
            Err(_) => Err(Fault::Late(patience)),
        };
        match &answer {
            Err(fault) if fault.loses_connection() => {
                self.usable.store(false, Ordering::Relaxed);
                self.endpoint.note_lost(fault.as_error("connection lost"));
            }
            _ => self.endpoint.note_answer(),
        }
        answer
    }
}

impl Target {
    /// Checks the names of a topic.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Topology`] when a name is empty or longer than 255 bytes.
    pub(crate) fn new(address: &TopicAddress) -> Result<Self, ConnectorError> {
        Ok(Self {
            stream: identifier("stream", &address.stream)?,
            topic: identifier("topic", &address.topic)?,
            address: address.clone(),
        })
    }

    pub(crate) const fn address(&self) -> &TopicAddress {
        &self.address
    }

    /// Whether both are the same topic; quick where both are the same target.
    pub(crate) fn is_same(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || self.address == other.address
    }
}

/// What to look at when a connection cannot be opened; the SDK logs the details.
fn what_failed(endpoint: &Endpoint, address: &str) -> String {
    match &endpoint.tls {
        Some(_) => format!("connecting to {address} with TLS (reachable? certificate valid for tls.domain?)"),
        None => format!("connecting to {address}"),
    }
}

/// What to do about a server that frames requests as they were framed before.
fn older_server(address: &str) -> String {
    let ours = ProtocolVersion(IGGY_PROTOCOL_VERSION);
    format!(
        "connecting to {address}: the server speaks the protocol of Iggy 0.8 or older (protocol 0.10 at most), this \
         client protocol {ours}, which Iggy 0.9 speaks; upgrade the server to 0.9"
    )
}

fn identifier(what: &str, name: &str) -> Result<Identifier, ConnectorError> {
    Identifier::named(name).map_err(|_| {
        ConnectorError::Topology(format!(
            "{what} name {name:?} is {} bytes long, expected 1 to 255",
            name.len()
        ))
    })
}

/// What this login is made with. A file is read where it may block.
async fn secret(endpoint: &Arc<Endpoint>) -> SecretString {
    if !endpoint.login.secret().is_of_a_file() {
        return endpoint.login.secret().known_last();
    }
    let reader = Arc::clone(endpoint);
    let read = tokio::task::spawn_blocking(move || reader.login.secret().current()).await;
    read.unwrap_or_else(|_| endpoint.login.secret().known_last())
}

fn sdk_config(endpoint: &Endpoint, address: &str, secret: SecretString) -> TcpClientConfig {
    let credentials = match &endpoint.login {
        Login::Password { username, .. } => Credentials::UsernamePassword(username.clone(), secret),
        Login::Token(_) => Credentials::PersonalAccessToken(secret),
    };
    let tls = endpoint.tls.as_ref();
    let ca_file = tls.and_then(|tls| tls.ca_file.as_ref());
    TcpClientConfig {
        server_address: address.to_owned(),
        tls_enabled: tls.is_some(),
        tls_domain: tls.and_then(|tls| tls.domain.clone()).unwrap_or_default(),
        tls_ca_file: ca_file.map(|path| path.to_string_lossy().into_owned()),
        tls_validate_certificate: true,
        auto_login: AutoLogin::Enabled(credentials),
        reconnection: TcpClientReconnectionConfig {
            enabled: false,
            ..TcpClientReconnectionConfig::default()
        },
        nodelay: true,
        ..TcpClientConfig::default()
    }
}
