//! Grants: what the guests of a handler may call. Nothing is granted by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

/// What a handler's guests may call. Nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// `guesthouse:handler/log`, and standard output and error.
    pub log: bool,
    /// Real time, in whole milliseconds, through `wasi:clocks`.
    pub clocks: bool,
    /// `wasi:random`.
    pub random: bool,
    /// `wasi:keyvalue/store`.
    pub state: bool,
    /// `wasi:config/store`, with what is found there.
    pub config: Option<Arc<GuestConfig>>,
    /// `wasi:http/outgoing-handler`, with the hosts that may be called.
    pub http: Option<Arc<HttpGrant>>,
}

/// What guests of a handler find in `wasi:config/store`.
#[derive(Debug, Default)]
pub struct GuestConfig {
    /// Values by key, as the operator wrote them.
    pub values: BTreeMap<String, String>,
    /// Secrets by key. Guests read them like values; nobody else sees them.
    pub secrets: BTreeMap<String, SecretString>,
}

/// The hosts that guests of a handler may call.
#[derive(Debug, Default)]
pub struct HttpGrant {
    /// Exactly these.
    pub hosts: Vec<HttpHost>,
}

/// A host that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHost {
    /// Whether it is called through TLS.
    pub tls: bool,
    /// Its name or address, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
}
