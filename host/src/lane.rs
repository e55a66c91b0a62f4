//! Lanes: which events of a handler run one after another, and which may overtake each other.

use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::event::{Event, Tenant};
use crate::route::HandlerIndex;

/// What events of one handler must have in common to run in order. Events of different tenants never share a
/// lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OrderBy {
    /// All events of a tenant.
    #[default]
    Tenant,
    /// Events of a tenant with the same key; those without a key share one lane.
    Key,
    /// Events of a tenant from the same partition.
    Partition,
    /// Events of a tenant with the same value of this user header; those without it share one lane.
    Header(String),
    /// Nothing: events run in any order.
    None,
}

/// A text that names no order.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an order: expected tenant, key, partition, header:NAME or none")]
pub struct InvalidOrder(String);

impl FromStr for OrderBy {
    type Err = InvalidOrder;

    fn from_str(text: &str) -> Result<Self, InvalidOrder> {
        match text {
            "tenant" => Ok(Self::Tenant),
            "key" => Ok(Self::Key),
            "partition" => Ok(Self::Partition),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("header:") {
                Some(name) if (1..=255).contains(&name.len()) => Ok(Self::Header(name.to_owned())),
                _ => Err(InvalidOrder(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::Key => f.write_str("key"),
            Self::Partition => f.write_str("partition"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl OrderBy {
    /// The order key of an event inside its handler and tenant.
    pub(crate) fn key_of(&self, event: &Event) -> OrderKey {
        match self {
            Self::Tenant => OrderKey::Whole,
            Self::Key => event.key.clone().map_or(OrderKey::Missing, OrderKey::Text),
            Self::Partition => OrderKey::Partition(event.message.source.partition.0),
            Self::Header(name) => match event.message.headers.get(name) {
                Some(value) => OrderKey::Text(ByteString::from(value.to_string())),
                None => OrderKey::Missing,
            },
            Self::None => OrderKey::Alone,
        }
    }
}

/// What tells the lanes of one handler and tenant apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum OrderKey {
    /// The only lane there is.
    Whole,
    /// The lane of events that lack what they are ordered by.
    Missing,
    /// The lane of a key or header value.
    Text(ByteString),
    /// The lane of a partition.
    Partition(u32),
    /// A lane for this one event.
    Alone,
}

/// The tenant's share of a handler: the unit of fairness and of guest calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey {
    pub(crate) handler: HandlerIndex,
    pub(crate) tenant: Tenant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_read_back_as_written() {
        for text in ["tenant", "key", "partition", "header:region", "none"] {
            assert_eq!(text.parse::<OrderBy>().unwrap().to_string(), text);
        }
        for text in ["", "header:", "Tenant", "random"] {
            assert!(text.parse::<OrderBy>().is_err(), "{text}");
        }
    }
}
