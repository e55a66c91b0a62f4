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
