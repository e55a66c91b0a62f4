//! Where connections are opened to and as whom: the resolved form of a configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use guesthouse_broker::Troubles;
use guesthouse_broker::workers::Workers;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{ConnectorConfig, RemoteConnectorConfig, Timeouts, TlsConfig};
use crate::error::ConnectorError;
use crate::secret::{CREDENTIAL_BYTES_MAX, Secret};
use crate::status::{ConnectionStatus, SharedStatus};

/// The longest that the SDK itself waits for an answer; a longer timeout of ours would never fire.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// What a certificate in PEM begins with.
const PEM_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A broker, or the brokers of one cluster, shared by all connections to it.
pub(crate) struct Endpoint {
    /// `host:port`, at least one.
    addresses: Vec<String>,
    /// The place of the address that accepted the last connection; the next one tries it first.
    preferred: AtomicUsize,
    pub(crate) login: Login,
    /// `None` sends everything in the clear.
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) timeouts: Timeouts,
    /// Whether the last request on any connection was answered.
    answering: AtomicBool,
    status: SharedStatus,
    /// The tasks of all connections, and those of the broker where that is ours.
    pub(crate) workers: Workers,
    /// What the broker cannot do, where that is ours.
    troubles: Option<Troubles>,
}

/// As whom connections log in.
#[derive(Debug)]
pub(crate) enum Login {
    /// A user.
    Password { username: String, password: Secret },
    /// Whoever the personal access token was made for.
    Token(Secret),
}

impl Login {
    /// The password or the token.
    pub(crate) const fn secret(&self) -> &Secret {
        match self {
            Self::Password { password: secret, .. } | Self::Token(secret) => secret,
        }
    }
}

impl Endpoint {
    fn new(addresses: Vec<String>, login: Login, tls: Option<TlsConfig>, timeouts: Timeouts) -> Self {
        Self {
            addresses,
            preferred: AtomicUsize::new(0),
            login,
            tls,
            timeouts,
            answering: AtomicBool::new(false),
            status: SharedStatus::default(),
            workers: Workers::default(),
            troubles: None,
        }
    }

    /// The endpoint of a broker on this machine.
    pub(crate) fn local(address: String, username: String, password: SecretString) -> Self {
        let login = Login::Password { username, password: Secret::new(password, None) };
        Self::new(vec![address], login, None, Timeouts::default())
    }

    /// Reads the password again from this file before each login.
    pub(crate) fn with_password_file(mut self, file: Option<PathBuf>) -> Self {
        if let Login::Password { password, .. } = &mut self.login {
            *password = Secret::new(password.known_last(), file);
        }
        self
    }

    /// Watches the tasks of the connections together with the workers of a broker.
    pub(crate) fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// Knows the troubles of a broker.
    pub(crate) fn with_troubles(self, troubles: Troubles) -> Self {
        Self { troubles: Some(troubles), ..self }
    }

    /// Checks the remote part of a configuration.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Config`] that names the setting and what it should be.
    pub(crate) fn remote(config: &ConnectorConfig) -> Result<Self, ConnectorError> {
        let remote = &config.remote;
        check_remote(remote)?;
        let tls = remote.tls_enabled.then(|| config.tls.clone());
        check_ca_file(tls.as_ref().and_then(|tls| tls.ca_file.as_deref()))?;
        Ok(Self::new(remote.addresses.clone(), login(config)?, tls, config.timeouts))
    }

    /// Takes over the timeouts of a configuration.
    pub(crate) fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.timeouts.request.min(REQUEST_TIMEOUT_MAX)
    }

    /// Every address once: the one that accepted the last connection, then those that are configured after it, and
    /// those before it.
    pub(crate) fn addresses_in_turn(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let places = (0..self.addresses.len()).cycle().skip(first).take(self.addresses.len());
        places.filter_map(|place| Some((place, self.addresses.get(place)?.as_str())))
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> ConnectionStatus {
        ConnectionStatus { workers_died: self.workers.died(), ..self.status.get() }
    }

    pub(crate) fn broker_troubles(&self) -> Vec<String> {
        self.troubles.as_ref().map(Troubles::now).unwrap_or_default()
    }

    /// A connection was opened to the address at this place.
    pub(crate) fn note_opened(&self, place: usize, address: &str) {
        self.preferred.store(place, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        self.status.note_opened(address);
    }

    /// No connection could be opened.
    pub(crate) fn note_failed_attempt(&self, error: &ConnectorError) {
        self.answering.store(false, Ordering::Relaxed);
        self.status.note_failed_attempt(error);
    }

    /// A request was answered.
    pub(crate) fn note_answer(&self) {
        if !self.answering.swap(true, Ordering::Relaxed) {
            self.status.note_answer();
        }
    }

    /// The broker recognised so many messages as sent before.
    pub(crate) fn note_repeats(&self, messages: u64) {
        self.status.note_repeats(messages);
    }

    /// A connection was lost.
    pub(crate) fn note_lost(&self, error: ConnectorError) {
        self.answering.store(false, Ordering::Relaxed);
        self.status.note_lost(error);
    }

    /// All connections were closed on purpose.
    pub(crate) fn note_closed(&self) {
        self.answering.store(false, Ordering::Relaxed);
        self.status.note_closed();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("addresses", &self.addresses)
            .field("login", &self.login)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

fn check_remote(remote: &RemoteConnectorConfig) -> Result<(), ConnectorError> {
    if remote.protocol != "tcp" {
        return Err(ConnectorError::Config(format!(
            "remote.protocol is {:?}, only tcp is supported",
            remote.protocol
        )));
    }
    if remote.addresses.is_empty() {
        return Err(ConnectorError::Config(
            "remote.addresses is empty, expected at least one host:port".to_owned(),
        ));
    }
    match remote.addresses.iter().find(|address| !is_address(address)) {
        Some(address) => {
            Err(ConnectorError::Config(format!("remote.addresses holds {address:?}, expected host:port")))
        }
        None => Ok(()),
    }
}

/// Whether a connection can be opened to this: `host:port` with a port above zero, where the host is a name or an
/// address.
#[must_use]
pub fn is_address(address: &str) -> bool {
    let is_host =
        |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    address.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port))
}

fn check_ca_file(ca_file: Option<&Path>) -> Result<(), ConnectorError> {
    let Some(path) = ca_file else { return Ok(()) };
    let shown = path.display();
    let problem = match std::fs::read(path) {
        // The SDK takes the path as text.
        Ok(_) if path.to_str().is_none() => format!("tls.ca_file {shown} has a name that is not UTF-8"),
        Ok(bytes) if bytes.windows(PEM_CERTIFICATE.len()).any(|part| part == PEM_CERTIFICATE) => {
            return Ok(());
        }
        Ok(_) => format!("tls.ca_file {shown} holds no certificate in PEM"),
        Err(error) => format!("tls.ca_file {shown} is not a file that can be read: {error}"),
    };
    Err(ConnectorError::Config(problem))
}

fn login(config: &ConnectorConfig) -> Result<Login, ConnectorError> {
    let password =
        config.remote_password.clone().unwrap_or_else(|| SecretString::from(config.remote.password.clone()));
    let has_password = !password.expose_secret().is_empty();
    match &config.remote_token {
        Some(_) if has_password => {
            Err(ConnectorError::Config("remote has a password and a token, expected one of them".to_owned()))
        }
        Some(token) => {
            check_credential("remote.token", token.expose_secret())?;
            Ok(Login::Token(Secret::new(token.clone(), config.remote_token_file.clone())))
        }
        None if !has_password => Err(ConnectorError::Config(
            "remote.password is empty, set it or name a secret that holds it; there is no default".to_owned(),
        )),
        None => {
            check_credential("remote.username", &config.remote.username)?;
            check_credential("remote.password", password.expose_secret())?;
            let password = Secret::new(password, config.remote_password_file.clone());
            Ok(Login::Password { username: config.remote.username.clone(), password })
        }
    }
}

fn check_credential(key: &str, value: &str) -> Result<(), ConnectorError> {
    match value.len() {
        1..=CREDENTIAL_BYTES_MAX => Ok(()),
        bytes => Err(ConnectorError::Config(format!(
            "{key} is {bytes} bytes long, expected 1 to {CREDENTIAL_BYTES_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut ConnectorConfig)) -> ConnectorConfig {
        let mut config = ConnectorConfig::default();
        config.remote.password = "secret".into();
        change(&mut config);
        config
    }

    fn refused(change: impl FnOnce(&mut ConnectorConfig)) -> String {
        Endpoint::remote(&config(change)).unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(refused(|c| c.remote.protocol = "http".into()).contains("remote.protocol"));
        assert!(refused(|c| c.remote.addresses.clear()).contains("remote.addresses"));
        assert!(refused(|c| c.remote.addresses = vec!["host".into()]).contains("host:port"));
        assert!(refused(|c| c.remote.addresses = vec!["host:0".into()]).contains("host:port"));
        assert!(refused(|c| c.remote.addresses = vec!["a b:1".into()]).contains("host:port"));
        assert!(is_address("[::1]:8090") && is_address("iggy-0.iggy:8090"));
        assert!(refused(|c| c.remote.password.clear()).contains("remote.password"));
        assert!(refused(|c| c.remote.password = "x".repeat(256)).contains("256 bytes"));
        assert!(refused(|c| c.remote.username.clear()).contains("remote.username"));
        assert!(refused(|c| c.remote_token = Some("token".into())).contains("one of them"));
        assert!(
            refused(|c| {
                c.remote.tls_enabled = true;
                c.tls.ca_file = Some("/does/not/exist.pem".into());
            })
            .contains("tls.ca_file")
        );
    }

    #[test]
    fn a_secret_takes_the_place_of_the_password() {
        let endpoint = Endpoint::remote(&config(|c| {
            c.remote.password.clear();
            c.remote_password = Some(SecretString::from("other"));
        }));
        let Login::Password { password, .. } = &endpoint.unwrap().login else {
            panic!("expected a password")
        };
        assert_eq!(password.current().expose_secret(), "other");
    }

    #[test]
    fn a_token_needs_no_password() {
        let endpoint = Endpoint::remote(&config(|c| {
            c.remote.password.clear();
            c.remote_token = Some("token".into());
        }));
        assert!(matches!(endpoint.unwrap().login, Login::Token(_)));
    }

    #[test]
    fn the_address_that_answered_last_is_tried_first() {
        let endpoint = Endpoint::remote(&config(|c| {
            c.remote.addresses = ["a:1", "b:2", "c:3"].map(str::to_owned).to_vec();
        }));
        let endpoint = endpoint.unwrap();
        let turn = || endpoint.addresses_in_turn().map(|(_, address)| address).collect::<Vec<_>>();
        assert_eq!(turn(), ["a:1", "b:2", "c:3"]);
        endpoint.note_opened(1, "b:2");
        assert_eq!(turn(), ["b:2", "c:3", "a:1"]);
    }

    #[test]
    fn nothing_prints_a_password() {
        let password = config(|c| c.remote_password = Some(SecretString::from("sesame")));
        let token = config(|c| {
            c.remote.password.clear();
            c.remote_token = Some(SecretString::from("sesame"));
        });
        let endpoints = [&password, &token].map(|config| Endpoint::remote(config).unwrap());
        let printed = format!("{password:?} {token:?} {endpoints:?}");
        assert!(!printed.contains("sesame") && !printed.contains("secret"));
    }
}
