//! The JSON envelope as it stands in the bytes, root or contract, and the checks of its fields.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

use super::{DecodeError, DecodeErrorCode};
use crate::event::Tenant;

/// Longest event type, so that it fits into a header.
pub(super) const EVENT_TYPE_BYTES_MAX: usize = 255;
/// Longest piece of a wrong value that is shown.
const SHOWN_CHARS_MAX: usize = 64;

/// Whether an envelope may have this event type: 1 to 255 bytes without control characters.
pub(crate) fn is_event_type(text: &str) -> bool {
    (1..=EVENT_TYPE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The fields of an envelope. Fields that are not named here are ignored. In a contract envelope `event` carries
/// the family and the event in it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) event_type: Text<'a>,
    #[serde(default)]
    pub(super) schema_version: u16,
    #[serde(borrow, default)]
    pub(super) correlation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) causation_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tenant_id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow, default)]
    pub(super) actor_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) event: &'a RawValue,
}

/// A JSON string, borrowed from the input unless it has escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'a> Envelope<'a> {
    /// Reads an envelope and checks its ids.
    pub(super) fn read(text: &'a str) -> Result<Self, DecodeError> {
        let mut envelope: Self = serde_json::from_str(text).map_err(|error| {
            let code = match error.classify() {
                serde_json::error::Category::Data => DecodeErrorCode::JsonEnvelope,
                _ => DecodeErrorCode::JsonSyntax,
            };
            DecodeError::new(code, error.to_string())
        })?;
        envelope.check(text)?;
        Ok(envelope)
    }

    /// When the event happened, in microseconds since 1970.
    pub(super) fn timestamp_micros(&self, input: &str) -> Result<u64, DecodeError> {
        let wrong = || wrong_field(input, "timestamp", &self.timestamp, "an RFC 3339 time since 1970");
        let timestamp: Timestamp = self.timestamp.0.parse().map_err(|_| wrong())?;
        u64::try_from(timestamp.as_microsecond()).map_err(|_| wrong())
    }

    fn check(&mut self, input: &str) -> Result<(), DecodeError> {
        if !is_event_type(&self.event_type.0) {
            let expected = "1 to 255 bytes without control characters";
            return Err(wrong_field(input, "event_type", &self.event_type, expected));
        }
        check_id(input, "tenant_id", &mut self.tenant_id, Nil::Allowed)?;
        check_id(input, "id", &mut self.id, Nil::Refused)?;
        let optional = [
            ("correlation_id", &mut self.correlation_id),
            ("causation_id", &mut self.causation_id),
            ("actor_id", &mut self.actor_id),
        ];
        for (name, id) in optional {
            if let Some(id) = id {
                check_id(input, name, id, Nil::Refused)?;
            }
        }
        Ok(())
    }
}

/// Whether the nil UUID is an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nil {
    Allowed,
    Refused,
}

/// Checks the shape of a UUID of any version and makes it lower case, so that one id has one text.
fn check_id(input: &str, name: &str, id: &mut Text<'_>, nil: Nil) -> Result<(), DecodeError> {
    match id.0.as_bytes().try_into().map_or(IdShape::Wrong, id_shape) {
        IdShape::Wrong => return Err(wrong_field(input, name, id, "a UUID with hyphens")),
        IdShape::Mixed => id.0 = Cow::Owned(id.0.to_ascii_lowercase()),
        IdShape::Lower => {}
    }
    if nil == Nil::Refused && id.0 == Tenant::PLATFORM_ID {
        return Err(wrong_field(input, name, id, "a UUID other than the nil one"));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IdShape {
    Lower,
    Mixed,
    Wrong,
}

/// Five of these are checked per event. Counting without a branch per byte lets the compiler use wide registers.
fn id_shape(bytes: &[u8; 36]) -> IdShape {
    let count = |is: fn(u8) -> bool| bytes.iter().map(|byte| u8::from(is(*byte))).sum::<u8>();
    let hyphens_stand_right = [bytes[8], bytes[13], bytes[18], bytes[23]] == [b'-'; 4];
    let digits = count(|byte| byte.is_ascii_hexdigit());
    if digits != 32 || !hyphens_stand_right {
        return IdShape::Wrong;
    }
    if count(|byte| byte.is_ascii_uppercase()) == 0 { IdShape::Lower } else { IdShape::Mixed }
}

fn wrong_field(input: &str, name: &str, value: &Text<'_>, expected: &str) -> DecodeError {
    let place = value.position_in(input).map(|at| format!(" at byte {at}")).unwrap_or_default();
    let shown: String = value.0.chars().take(SHOWN_CHARS_MAX).collect();
    let reason = format!("field `{name}`{place} is `{shown}`, expected {expected}");
    DecodeError::new(DecodeErrorCode::JsonEnvelope, reason)
}

impl Text<'_> {
    /// Where it stands in the input, unless escapes made a copy necessary.
    fn position_in(&self, input: &str) -> Option<usize> {
        let at = (self.0.as_ptr() as usize).checked_sub(input.as_ptr() as usize)?;
        (at <= input.len()).then_some(at)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
