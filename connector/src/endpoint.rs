//! Where connections are opened to and as whom: the resolved form of a configuration.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{ConnectorConfig, RemoteConnectorConfig, Timeouts, TlsConfig};
use crate::error::ConnectorError;

/// The longest that the SDK itself waits for an answer; a longer timeout of ours would never fire.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// A broker, or the brokers of one cluster, shared by all connections to it.
pub(crate) struct Endpoint {
    /// `host:port`, at least one, tried in this order.
    pub(crate) addresses: Vec<String>,
    pub(crate) username: String,
    pub(crate) password: SecretString,
    /// `None` sends everything in the clear.
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) timeouts: Timeouts,
    /// Whether the last request on any connection was answered.
    pub(crate) answering: AtomicBool,
}

impl Endpoint {
    /// The endpoint of a broker on this machine.
    pub(crate) fn local(address: String, username: String, password: SecretString) -> Self {
        Self {
            addresses: vec![address],
            username,
            password,
            tls: None,
            timeouts: Timeouts::default(),
            answering: AtomicBool::new(false),
        }
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
        Ok(Self {
            addresses: remote.addresses.clone(),
            username: remote.username.clone(),
            password: remote_password(config)?,
            tls,
            timeouts: config.timeouts,
            answering: AtomicBool::new(false),
        })
    }

    /// Takes over the timeouts of a configuration.
    pub(crate) fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.timeouts.request.min(REQUEST_TIMEOUT_MAX)
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    pub(crate) fn note_answering(&self, answering: bool) {
        self.answering.store(answering, Ordering::Relaxed);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("addresses", &self.addresses)
            .field("username", &self.username)
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
    match remote.addresses.iter().find(|address| !has_port(address)) {
        Some(address) => {
            Err(ConnectorError::Config(format!("remote.addresses holds {address:?}, expected host:port")))
        }
        None => Ok(()),
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn check_ca_file(ca_file: Option<&Path>) -> Result<(), ConnectorError> {
    match ca_file {
        Some(path) if !path.is_file() => Err(ConnectorError::Config(format!(
            "tls.ca_file {} is not a file that can be read",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn remote_password(config: &ConnectorConfig) -> Result<SecretString, ConnectorError> {
    let password =
        config.remote_password.clone().unwrap_or_else(|| SecretString::from(config.remote.password.clone()));
    if password.expose_secret().is_empty() {
        return Err(ConnectorError::Config(
            "remote.password is empty, set it or name a secret that holds it; there is no default".to_owned(),
        ));
    }
    Ok(password)
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
        assert!(refused(|c| c.remote.password.clear()).contains("remote.password"));
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
        assert_eq!(endpoint.unwrap().password.expose_secret(), "other");
    }

    #[test]
    fn nothing_prints_a_password() {
        let config = config(|c| c.remote_password = Some(SecretString::from("sesame")));
        let endpoint = Endpoint::remote(&config).unwrap();
        let printed = format!("{config:?} {endpoint:?}");
        assert!(!printed.contains("sesame") && !printed.contains("secret"));
    }
}
