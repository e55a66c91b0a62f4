//! A message in a topic for events that is no envelope.

use guesthouse_connector::SubscriberMessageMetadata;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::dlq::DlqEntry;
use crate::transport::TransportError;

/// What the ids of such messages are hashes of, first of all.
const DELIVERY_ID_DOMAIN: &str = "rustok.iggy.contract.decode_failure.delivery_id.v1";

/// A message that was received and is no envelope: its bytes as they were, where they come from, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedContractDecodeFailure {
    connector_metadata: SubscriberMessageMetadata,
    raw_payload: Vec<u8>,
    error: TransportError,
}

/// Why a message is no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContractDecodeFailureKind {
    /// It cannot be read in the format of the transport.
    Deserialize,
    /// It can be read, and breaks a rule.
    SchemaValidation,
}

impl ContractDecodeFailureKind {
    /// The name of the kind for logs, metrics and runbooks; it never changes.
    pub const fn stable_code(self) -> &'static str {
        match self {
            Self::Deserialize => "iggy.contract.decode_invalid",
            Self::SchemaValidation => "iggy.contract.schema_invalid",
        }
    }
}

impl ConsumedContractDecodeFailure {
    pub(super) fn new(
        connector_metadata: SubscriberMessageMetadata,
        raw_payload: Vec<u8>,
        error: TransportError,
    ) -> Self {
        Self { connector_metadata, raw_payload, error }
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.connector_metadata.stream
    }

    /// The topic within the stream.
    pub fn topic(&self) -> &str {
        &self.connector_metadata.topic
    }

    /// The partition, counted from zero.
    pub const fn partition(&self) -> u32 {
        self.connector_metadata.partition
    }

    /// The place in the partition.
    pub fn offset(&self) -> u64 {
        self.connector_metadata.offset.unwrap_or_default()
    }

    /// Which kind of failure it is.
    pub const fn kind(&self) -> ContractDecodeFailureKind {
        match self.error {
            TransportError::Validation { .. } => ContractDecodeFailureKind::SchemaValidation,
            _ => ContractDecodeFailureKind::Deserialize,
        }
    }

    /// The name of the kind, see [`ContractDecodeFailureKind::stable_code`].
    pub const fn stable_error_code(&self) -> &'static str {
        self.kind().stable_code()
    }

    /// What is wrong, and what was expected.
    pub const fn error(&self) -> &TransportError {
        &self.error
    }

    pub(super) fn into_error(self) -> TransportError {
        self.error
    }

    /// Where the message stands, and what acknowledges it.
    pub const fn connector_metadata(&self) -> &SubscriberMessageMetadata {
        &self.connector_metadata
    }

    /// What acknowledges the message.
    pub fn ack_token(&self) -> Option<&str> {
        self.connector_metadata.ack_token.as_deref()
    }

    /// The message's payload as it was.
    pub fn raw_payload(&self) -> &[u8] {
        &self.raw_payload
    }

    /// Names the message by where it stands and what it holds, as the platform does; the same for every delivery.
    pub fn delivery_id(&self) -> Uuid {
        let (partition, offset) = (self.partition().to_be_bytes(), self.offset().to_be_bytes());
        let (stream, topic) = (self.stream().as_bytes(), self.topic().as_bytes());
        let parts = [DELIVERY_ID_DOMAIN.as_bytes(), stream, topic, &partition, &offset, &self.raw_payload];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut id = [0; 16];
        id.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
        Builder::from_custom_bytes(id).into_uuid()
    }

    /// An entry for the topic for dead letters, under the [`delivery_id`](Self::delivery_id).
    pub fn to_dlq_entry(&self, retry_count: u32) -> DlqEntry {
        let (payload, error) = (self.raw_payload.clone(), self.error.to_string());
        DlqEntry::new(self.delivery_id(), self.topic(), payload, error, retry_count)
            .with_connector_metadata(self.connector_metadata.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Format;

    #[test]
    fn delivery_ids_are_those_of_the_platform() {
        let id = |offset, payload: &[u8]| {
            let metadata = SubscriberMessageMetadata::new("rustok", "domain", 2).with_offset(offset);
            let error = TransportError::Unreadable { format: Format::Json, reason: String::new() };
            ConsumedContractDecodeFailure::new(metadata, payload.to_vec(), error).delivery_id().to_string()
        };
        assert_eq!(id(0, b""), "de41c643-ea7f-86c9-a594-2eb6c9d41081");
        assert_eq!(id(42, b"not json"), "2bff1852-51c0-8364-881e-da18161fc1b1");
    }
}
