//! From MessagePack to JSON and back, value by value, without a tree between them. JSON has no bytes: 16 of them are
//! a UUID's text there, and a UUID's text is 16 bytes in MessagePack, as the platform's own types have it.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A value that was read as MessagePack, in JSON.
#[derive(Debug)]
pub(super) struct Json(Vec<u8>);

/// A JSON text that is written as MessagePack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a>(pub(super) &'a RawValue);

impl Json {
    /// The JSON itself.
    pub(super) fn into_text(self) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(self.0)
    }
}

impl From<Json> for Bytes {
    fn from(json: Json) -> Self {
        json.0.into()
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::new();
        Walk::new(deserializer)
            .serialize(&mut serde_json::Serializer::new(&mut text))
            .map_err(de::Error::custom)?;
        Ok(Self(text))
    }
}

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Walk::new(&mut serde_json::Deserializer::from_str(self.0.get())).serialize(serializer)
    }
}

/// Writes what a deserializer reads, once.
struct Walk<D>(Cell<Option<D>>);

impl<D> Walk<D> {
    fn new(deserializer: D) -> Self {
        Self(Cell::new(Some(deserializer)))
    }
}

impl<'de, D: Deserializer<'de>> Serialize for Walk<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let deserializer = self.0.take().ok_or_else(|| ser::Error::custom("a value is written once"))?;
        deserializer.deserialize_any(Writer(serializer)).map_err(ser::Error::custom)
    }
}

/// Writes one value with this serializer.
struct Writer<S>(S);

/// Passes a value of one kind on to the serializer.
macro_rules! pass {
    ($($visit:ident($kind:ty) => $serialize:ident,)*) => {
        $(fn $visit<E: de::Error>(self, value: $kind) -> Result<S::Ok, E> {
            self.0.$serialize(value).map_err(E::custom)
        })*
    };
}

impl<'de, S: Serializer> Visitor<'de> for Writer<S> {
    type Value = S::Ok;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    pass! {
        visit_bool(bool) => serialize_bool,
        visit_i64(i64) => serialize_i64,
        visit_u64(u64) => serialize_u64,
        visit_f32(f32) => serialize_f32,
        visit_f64(f64) => serialize_f64,
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<S::Ok, E> {
        if self.0.is_human_readable() {
            return self.0.serialize_str(text).map_err(E::custom);
        }
        match uuid_of(text) {
            Some(id) => self.0.serialize_bytes(id.as_bytes()).map_err(E::custom),
            None => self.0.serialize_str(text).map_err(E::custom),
        }
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<S::Ok, E> {
        match Uuid::from_slice(bytes) {
            Ok(id) => self.0.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Err(_) => self.0.collect_seq(bytes),
        }
        .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<S::Ok, A::Error> {
        let mut seq = self.0.serialize_seq(items.size_hint()).map_err(de::Error::custom)?;
        while items.next_element_seed(Element(&mut seq))?.is_some() {}
        seq.end().map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<S::Ok, A::Error> {
        let mut map = self.0.serialize_map(entries.size_hint()).map_err(de::Error::custom)?;
        while entries.next_key_seed(Key(&mut map))?.is_some() {
            entries.next_value_seed(Member(&mut map))?;
        }
        map.end().map_err(de::Error::custom)
    }
}

/// Writes the next element of a sequence.
struct Element<'a, S>(&'a mut S);

/// Writes the next key of a map, as it stands: a key is a name, never an id.
struct Key<'a, S>(&'a mut S);

/// Writes the value of the key before.
struct Member<'a, S>(&'a mut S);

impl<'de, S: ser::SerializeSeq> DeserializeSeed<'de> for Element<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_element(&Walk::new(deserializer)).map_err(de::Error::custom)
    }
}

impl<'de, S: ser::SerializeMap> DeserializeSeed<'de> for Key<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let key = std::borrow::Cow::<str>::deserialize(deserializer)?;
        self.0.serialize_key(&key).map_err(de::Error::custom)
    }
}

impl<'de, S: ser::SerializeMap> DeserializeSeed<'de> for Member<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_value(&Walk::new(deserializer)).map_err(de::Error::custom)
    }
}

/// The id that a text is, if it is one in the form that JSON gets.
fn uuid_of(text: &str) -> Option<Uuid> {
    let is_canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    is_canonical.then(|| Uuid::try_parse(text).ok()).flatten()
}
