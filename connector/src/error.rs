//! What can go wrong between this process and Iggy, by what a caller does about it.

/// An error of a connector. The names and texts of the variants are a fixed interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// The broker cannot be reached, or the connection was lost; the outcome of a write is unknown.
    #[error("connection error: {0}")]
    Connection(String),
    /// The connector was not connected yet, or has been shut down.
    #[error("not connected")]
    NotConnected,
    /// The messages cannot be published as they are; trying again will not help.
    #[error("publish error: {0}")]
    Publish(String),
    /// The subscription cannot be opened.
    #[error("subscribe error: {0}")]
    Subscribe(String),
    /// The broker sent what cannot be understood.
    #[error("receive error: {0}")]
    Receive(String),
    /// A stream, topic, partition or group is missing or is not as it must be.
    #[error("topology error: {0}")]
    Topology(String),
    /// The broker refused the credentials or the permission.
    #[error("authentication error: {0}")]
    Auth(String),
    /// No answer came in time; the outcome of a write is unknown.
    #[error("timeout: {0}")]
    Timeout(String),
    /// The configuration is wrong or asks for something that is not supported.
    #[error("configuration error: {0}")]
    Config(String),
    /// Any other answer of the broker.
    #[error("iggy SDK error: {0}")]
    Iggy(String),
}

impl ConnectorError {
    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// A write that is tried again must carry the same message ids, because the first try may have arrived.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::NotConnected | Self::Timeout(_))
    }
}

impl ConnectorError {
    /// All codes that [`stable_code`](Self::stable_code) gives.
    pub const STABLE_CODES: [&str; 10] = [
        "iggy.connector.connection_failed",
        "iggy.connector.not_connected",
        "iggy.connector.publish_refused",
        "iggy.connector.subscribe_failed",
        "iggy.connector.receive_failed",
        "iggy.connector.topology_mismatch",
        "iggy.connector.auth_refused",
        "iggy.connector.timed_out",
        "iggy.connector.config_invalid",
        "iggy.connector.broker_refused",
    ];

    /// The name of the kind of error for logs, metrics and runbooks; it never changes.
    #[must_use]
    pub const fn stable_code(&self) -> &'static str {
        match self {
            Self::Connection(_) => "iggy.connector.connection_failed",
            Self::NotConnected => "iggy.connector.not_connected",
            Self::Publish(_) => "iggy.connector.publish_refused",
            Self::Subscribe(_) => "iggy.connector.subscribe_failed",
            Self::Receive(_) => "iggy.connector.receive_failed",
            Self::Topology(_) => "iggy.connector.topology_mismatch",
            Self::Auth(_) => "iggy.connector.auth_refused",
            Self::Timeout(_) => "iggy.connector.timed_out",
            Self::Config(_) => "iggy.connector.config_invalid",
            Self::Iggy(_) => "iggy.connector.broker_refused",
        }
    }

    /// The same as [`is_transient`](Self::is_transient), by the name that the platform uses.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_transient()
    }
}

impl From<std::io::Error> for ConnectorError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl From<tokio::time::error::Elapsed> for ConnectorError {
    fn from(error: tokio::time::error::Elapsed) -> Self {
        Self::Timeout(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_of_its_own_and_a_fixed_text() {
        let errors = [
            (ConnectorError::Connection("x".into()), "connection error: x", true),
            (ConnectorError::NotConnected, "not connected", true),
            (ConnectorError::Publish("x".into()), "publish error: x", false),
            (ConnectorError::Subscribe("x".into()), "subscribe error: x", false),
            (ConnectorError::Receive("x".into()), "receive error: x", false),
            (ConnectorError::Topology("x".into()), "topology error: x", false),
            (ConnectorError::Auth("x".into()), "authentication error: x", false),
            (ConnectorError::Timeout("x".into()), "timeout: x", true),
            (ConnectorError::Config("x".into()), "configuration error: x", false),
            (ConnectorError::Iggy("x".into()), "iggy SDK error: x", false),
        ];
        for ((error, text, retryable), code) in errors.into_iter().zip(ConnectorError::STABLE_CODES) {
            assert_eq!((error.to_string().as_str(), error.stable_code()), (text, code));
            assert_eq!(error.is_retryable(), retryable, "{code}");
        }
    }
}
