//! Grants: what the guests of a handler may call. Nothing is granted by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::sandbox::redact::Redactor;

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

/// What guests of a handler find in `wasi:config/store`: values as the operator wrote them, and secrets, which
/// guests read like values and which are taken out of everything that guests say.
#[derive(Debug, Default)]
pub struct GuestConfig {
    values: BTreeMap<String, String>,
    secrets: BTreeMap<String, SecretString>,
    redactor: Redactor,
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

impl Grants {
    /// What takes the handler's secrets out of what its guests say.
    pub(crate) fn redactor(&self) -> &Redactor {
        match &self.config {
            Some(config) => &config.redactor,
            None => Redactor::of_nothing(),
        }
    }

    /// All that guests find in their configuration: nothing without the grant.
    pub(super) fn config_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.iter().flat_map(|config| config.pairs())
    }
}

impl GuestConfig {
    /// Values and secrets by key. A key that is in both holds the secret.
    pub fn new(mut values: BTreeMap<String, String>, secrets: BTreeMap<String, SecretString>) -> Self {
        values.retain(|key, _| !secrets.contains_key(key));
        let exposed = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret()));
        let redactor = Redactor::new(exposed);
        Self { values, secrets, redactor }
    }

    /// The values, without the secrets.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The keys of the secrets, in order.
    pub fn secret_keys(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// What a guest finds under a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let secret = || self.secrets.get(key).map(SecretString::expose_secret);
        self.values.get(key).map(String::as_str).or_else(secret)
    }

    /// All that a guest finds, values first.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        values.chain(self.secrets.iter().map(|(key, secret)| (key.as_str(), secret.expose_secret())))
    }
}
