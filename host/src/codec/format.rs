//! The formats that envelopes come in.

use super::decoded::Decoded;
use super::headers::EventHeaders;
use super::{DecodeError, json, messagepack, postcard};
use crate::event::Message;

/// How an envelope is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// JSON: the platform's own default.
    #[default]
    Json,
    /// MessagePack with named fields.
    MessagePack,
    /// Postcard, in a layout of ours that has a version.
    Postcard,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::MessagePack, Self::Postcard];

    /// The word for it in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MessagePack => "messagepack",
            Self::Postcard => "postcard",
        }
    }

    /// What the header `content-type` says of messages in it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
            Self::Postcard => "application/vnd.guesthouse.postcard",
        }
    }

    /// The format of a media type, parameters aside; none when it is that of no envelope.
    pub(super) fn of_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|format| essence.eq_ignore_ascii_case(format.media_type()))
    }

    /// Reads the envelope of a message.
    pub(super) fn read(self, message: &Message, headers: &EventHeaders<'_>) -> Result<Decoded, DecodeError> {
        match self {
            Self::Json => json::read(message, headers),
            Self::MessagePack => messagepack::read(&message.payload, headers),
            Self::Postcard => postcard::read(&message.payload, headers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_found_whatever_stands_beside_them() {
        for format in Format::ALL {
            let noted = format!("{}; charset=utf-8", format.media_type().to_uppercase());
            assert_eq!(Format::of_media_type(&noted), Some(format));
        }
        assert_eq!(Format::of_media_type("text/plain"), None);
    }
}
