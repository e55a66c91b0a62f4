//! A done-mark: says that a handler has handled an event, and keeps the emits that it asked for, so that a
//! redelivered event is answered with them and not run again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::StateError;
use crate::outcome::Emit;

/// First byte of every mark.
const FORMAT: u8 = 1;

/// An emit as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptEmit<'a> {
    event_type: &'a str,
    schema_version: u16,
    topic: Option<&'a str>,
    key: Option<&'a str>,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a str)>,
    payload: &'a [u8],
}

/// The mark of an event that was handled with these emits.
///
/// # Errors
/// Never for emits that were checked; the encoding has no other reason to fail.
pub(crate) fn encode(emits: &[Emit]) -> Result<Vec<u8>, StateError> {
    let kept: Vec<_> = emits.iter().map(KeptEmit::of).collect();
    postcard::to_extend(&kept, vec![FORMAT]).map_err(|error| damaged(&error))
}

/// The emits that a mark keeps.
///
/// # Errors
/// When it is not a mark.
pub(crate) fn decode(mark: &[u8]) -> Result<Vec<Emit>, StateError> {
    match mark.split_first() {
        Some((&FORMAT, rest)) => {
            let kept: Vec<KeptEmit<'_>> = postcard::from_bytes(rest).map_err(|error| damaged(&error))?;
            Ok(kept.into_iter().map(KeptEmit::into_emit).collect())
        }
        Some((format, _)) => Err(StateError::Mark { cause: format!("unknown format {format}") }),
        None => Err(StateError::Mark { cause: "it is empty".to_owned() }),
    }
}

fn damaged(error: &postcard::Error) -> StateError {
    StateError::Mark { cause: error.to_string() }
}

impl<'a> KeptEmit<'a> {
    fn of(emit: &'a Emit) -> Self {
        Self {
            event_type: &emit.event_type,
            schema_version: emit.schema_version,
            topic: emit.topic.as_deref(),
            key: emit.key.as_deref(),
            headers: emit.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            payload: &emit.payload,
        }
    }

    fn into_emit(self) -> Emit {
        Emit {
            event_type: self.event_type.to_owned().into(),
            schema_version: self.schema_version,
            topic: self.topic.map(str::to_owned),
            key: self.key.map(str::to_owned),
            headers: self.headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            payload: Bytes::copy_from_slice(self.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emits_come_back_as_they_were() {
        let emit = Emit {
            event_type: "order.shipped".into(),
            schema_version: 3,
            topic: Some("domain".to_owned()),
            key: None,
            headers: vec![("a".to_owned(), "ä".to_owned())],
            payload: Bytes::from_static(b"\x00\xff{}"),
        };
        for emits in [Vec::new(), vec![emit.clone()], vec![emit.clone(), emit]] {
            assert_eq!(decode(&encode(&emits).unwrap()).unwrap(), emits);
        }
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        for (bytes, expected) in
            [(&b""[..], "it is empty"), (b"\x07", "unknown format 7"), (b"\x01\x05\x01", "")]
        {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.starts_with("the done-mark of an event is damaged: ") && error.contains(expected));
        }
    }
}
