//! The configuration as it is written: a tree of texts that remember their place. Nothing is interpreted here.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::mistake::{ConfigError, Mistake, Place};
use super::syntax;

/// Variables that start so override a value; further `__` separate the keys of its path.
const OVERRIDE_PREFIX: &str = "GUESTHOUSE__";

/// One value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing was written; the default holds.
    Null,
    /// Any scalar, as written.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order it was written.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Node {
    /// Reads YAML. An empty document is an empty map.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = &syntax::without_marks(text);
        match Self::parse_with(text, DuplicateKeyPolicy::Error) {
            Ok(node) => Ok(node),
            Err(error @ serde_saphyr::Error::DuplicateMappingKey { .. }) => {
                // Read once more, this time to find all of them with their places.
                let node = Self::parse_with(text, DuplicateKeyPolicy::LastWins);
                let repeated = node.map(|node| syntax::repeated_keys(&node)).unwrap_or_default();
                Err(syntax::refusal(&error, repeated))
            }
            Err(error) => Err(syntax::refusal(&error, Vec::new())),
        }
    }

    fn parse_with(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Self, serde_saphyr::Error> {
        // A snippet of the source could show a secret.
        let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: duplicate_keys };
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options)?;
        let mut node = Self::settle(raw, text);
        if matches!(node.value, Value::Null) {
            node.value = Value::Map(Vec::new());
        }
        Ok(node)
    }

    /// Puts the value of an environment variable over what is written, if its name asks for that.
    pub(super) fn override_by(&mut self, name: &str, text: &str) -> Result<(), Mistake> {
        let Some(path) = name.strip_prefix(OVERRIDE_PREFIX) else { return Ok(()) };
        let place = Place::Variable(name.to_owned());
        let mut node = self;
        for key in path.to_lowercase().split("__") {
            node = node.child_to_override(key, &place)?;
        }
        *node = Self { value: Value::Text(text.to_owned()), place };
        Ok(())
    }

    fn child_to_override(&mut self, key: &str, place: &Place) -> Result<&mut Self, Mistake> {
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        let refused = |problem| Mistake { key: key.to_owned(), place: Some(place.clone()), problem };
        match &mut self.value {
            Value::Map(entries) => {
                let at = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                    let node = Self { value: Value::Null, place: place.clone() };
                    entries.push(Entry { key: key.to_owned(), key_place: place.clone(), node });
                    entries.len() - 1
                });
                let entry = entries.get_mut(at).expect("the position was found or pushed just now");
                Ok(&mut entry.node)
            }
            Value::List(nodes) => {
                let count = nodes.len();
                let found = key.parse::<usize>().ok().and_then(|index| nodes.get_mut(index));
                found.ok_or_else(|| {
                    refused(format!("expected the number of an entry, counted from 0, below {count}"))
                })
            }
            Value::Null | Value::Text(_) => Err(refused("the value above it is no section".to_owned())),
        }
    }

    fn settle(raw: Spanned<Raw>, source: &str) -> Self {
        let place = Place::Line(raw.referenced.line());
        let as_written = || {
            let span = raw.defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let length = usize::try_from(span.byte_len()?).ok()?;
            source.get(start..start.checked_add(length)?)
        };
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Text(text),
            Raw::Typed(text) => Value::Text(as_written().map_or(text, |text| text.trim().to_owned())),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| Self::settle(item, source)).collect())
            }
            Raw::Map(pairs) => {
                Value::Map(pairs.into_iter().map(|pair| Entry::settle(pair, source)).collect())
            }
        };
        Self { value, place }
    }
}

/// What is to be said of a variable that would override a value, if it were text.
pub(super) fn unusable_override(name: &str) -> Option<Mistake> {
    let key = name.strip_prefix(OVERRIDE_PREFIX)?.to_lowercase().replace("__", ".");
    let problem = "is set, but it is not UTF-8".to_owned();
    Some(Mistake { key, place: Some(Place::Variable(name.to_owned())), problem })
}

impl Entry {
    fn settle((key, value): (Spanned<String>, Spanned<Raw>), source: &str) -> Self {
        let key_place = Place::Line(key.referenced.line());
        Self { key: key.value, key_place, node: Node::settle(value, source) }
    }
}

/// What the parser makes of a value. Numbers and booleans lose their spelling here and get it back from the source.
#[derive(Debug)]
enum Raw {
    Null,
    Text(String),
    Typed(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list or a map")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Raw::Map(map))
    }
}
