//! Why a request failed, and what that means to whoever asked.

use std::fmt;
use std::time::Duration;

use iggy::prelude::IggyError;
use iggy_binary_protocol::ProtocolVersion;

use crate::error::ConnectorError;

/// A request that failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The broker, or the SDK on its behalf, said no.
    Refused(Box<IggyError>),
    /// No answer came within this time.
    Late(Duration),
}

impl Fault {
    pub(super) fn new(error: IggyError) -> Self {
        Self::Refused(Box::new(error))
    }

    /// The number by which Iggy knows the error; zero when no answer came.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::Refused(error) => error.as_code(),
            Self::Late(_) => 0,
        }
    }

    /// Whether nothing more can be expected from the connection.
    pub(super) fn loses_connection(&self) -> bool {
        match self {
            Self::Late(_) => true,
            Self::Refused(error) => is_connection_error(error),
        }
    }

    /// The public error, naming what was asked.
    pub(super) fn describe(self, what: impl fmt::Display) -> ConnectorError {
        self.as_error(what)
    }

    /// The same of a fault that somebody else still looks at.
    pub(super) fn as_error(&self, what: impl fmt::Display) -> ConnectorError {
        match self {
            Self::Late(patience) => ConnectorError::Timeout(format!("{what}: no answer within {patience:?}")),
            Self::Refused(error) => describe_refusal(error, &what),
        }
    }
}

fn describe_refusal(error: &IggyError, what: &dyn fmt::Display) -> ConnectorError {
    let text = format!("{what}: {} (code {})", meaning(error), error.as_code());
    if is_connection_error(error) {
        return ConnectorError::Connection(text);
    }
    match error {
        IggyError::InvalidCredentials | IggyError::InvalidUsername | IggyError::InvalidPassword => {
            ConnectorError::Auth(format!("{text}; check user name and password"))
        }
        IggyError::InvalidPersonalAccessToken | IggyError::PersonalAccessTokenExpired(..) => {
            ConnectorError::Auth(format!("{text}; check the personal access token"))
        }
        IggyError::Unauthenticated | IggyError::Unauthorized | IggyError::UserInactive => {
            ConnectorError::Auth(text)
        }
        IggyError::IncompatibleProtocolVersion(ours, accepted_min, accepted_max) => {
            ConnectorError::Config(format!(
                "{what}: the server accepts clients of protocol {} to {}, this client speaks {}; run a server of Iggy 0.9, \
             or a release of this program for that server (code {})",
                ProtocolVersion(*accepted_min),
                ProtocolVersion(*accepted_max),
                ProtocolVersion(*ours),
                error.as_code(),
            ))
        }
        IggyError::InvalidTlsDomain
        | IggyError::InvalidTlsCertificatePath
        | IggyError::InvalidTlsCertificate => ConnectorError::Config(text),
        IggyError::ResourceNotFound(_)
        | IggyError::StreamIdNotFound(_)
        | IggyError::StreamNameNotFound(_)
        | IggyError::TopicIdNotFound(..)
        | IggyError::TopicNameNotFound(..)
        | IggyError::PartitionNotFound(..)
        | IggyError::ConsumerGroupIdNotFound(..)
        | IggyError::ConsumerGroupNameNotFound(..) => ConnectorError::Topology(text),
        IggyError::TooBigMessagePayload
        | IggyError::EmptyMessagePayload
        | IggyError::TooBigUserHeaders
        | IggyError::InvalidHeaderKey
        | IggyError::InvalidHeaderValue => ConnectorError::Publish(text),
        IggyError::InvalidNumberEncoding | IggyError::InvalidMessagePayloadLength => {
            ConnectorError::Receive(text)
        }
        _ => ConnectorError::Iggy(text),
    }
}

/// What an error says. Only its number travels: an id or a name in the text of one that came from a broker is always 0
/// or empty, and is left out. The number is what can be looked up.
fn meaning(error: &IggyError) -> String {
    let travelled = IggyError::from_code(error.as_code());
    let shown = format!("{error:?}");
    let has_values = shown.contains(['(', '{']);
    if has_values && shown == format!("{travelled:?}") {
        error.as_string().replace('_', " ")
    } else {
        error.to_string()
    }
}

fn is_connection_error(error: &IggyError) -> bool {
    matches!(
        error,
        IggyError::Disconnected
            | IggyError::CannotEstablishConnection
            | IggyError::StaleClient
            | IggyError::TcpError
            | IggyError::NotConnected
            | IggyError::ClientShutdown
            | IggyError::ConnectionClosed
            | IggyError::EmptyResponse
            | IggyError::TransientNotCommitted
            | IggyError::TransientNotAccepted
    )
}

#[cfg(test)]
mod tests {
    use iggy::prelude::Identifier;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_a_caller_does_about_them() {
        let describe = |error| Fault::new(error).describe("sending");
        assert!(matches!(describe(IggyError::Disconnected), ConnectorError::Connection(_)));
        assert!(matches!(describe(IggyError::InvalidCredentials), ConnectorError::Auth(_)));
        assert!(matches!(
            describe(IggyError::TopicNameNotFound(String::new(), String::new())),
            ConnectorError::Topology(_)
        ));
        let other = describe(IggyError::FeatureUnavailable);
        assert_eq!(other.to_string(), "iggy SDK error: sending: Feature is unavailable (code 5)");
        let missing = describe(IggyError::from_code(
            IggyError::TopicIdNotFound(Identifier::default(), Identifier::default()).as_code(),
        ));
        assert_eq!(missing.to_string(), "topology error: sending: topic id not found (code 2010)");
        let of_ours = describe(IggyError::InvalidIpAddress("iggy".into(), "x".into()));
        assert_eq!(of_ours.to_string(), "iggy SDK error: sending: Invalid IP address: iggy:x (code 35)");
        assert!(matches!(
            Fault::Late(Duration::from_secs(1)).describe("sending"),
            ConnectorError::Timeout(_)
        ));
    }
}
