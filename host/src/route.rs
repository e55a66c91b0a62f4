//! Routing: which handlers get an event of a tenant and a type.

mod routes;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::event::Tenant;

pub(crate) use self::routes::Routes;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 128;

/// A pattern over event types: `order.placed` matches itself, `order.*` everything below `order`, and `*`
/// everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Every type.
    Any,
    /// One type.
    Exact(String),
    /// Every type that starts with this prefix, which ends in a dot.
    Below(String),
}

/// A text that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an event pattern: expected `*`, a type such as `order.placed`, or a prefix such as `order.*`, \
     in segments of a-z, 0-9, '_' and '-', at most {PATTERN_BYTES_MAX} bytes"
)]
pub struct InvalidPattern(String);

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(text.to_owned());
        if text == "*" {
            return Ok(Self::Any);
        }
        let segment = |s: &str| {
            !s.is_empty()
                && s.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-')
        };
        let (stem, below) = match text.strip_suffix(".*") {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if text.len() > PATTERN_BYTES_MAX || !stem.split('.').all(segment) {
            return Err(invalid());
        }
        Ok(if below { Self::Below(format!("{stem}.")) } else { Self::Exact(stem.to_owned()) })
    }
}

impl Pattern {
    /// Whether an event type matches.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => event_type == exact,
            Self::Below(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(exact) => f.write_str(exact),
            Self::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Whose events a handler gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantScope {
    /// Every tenant's, but not the platform's own.
    All,
    /// The platform's own only.
    Platform,
    /// These tenants'.
    Only(BTreeSet<ByteString>),
}

impl TenantScope {
    /// Whether a tenant's events are in scope.
    pub fn includes(&self, tenant: &Tenant) -> bool {
        match (self, tenant) {
            (Self::Platform, Tenant::Platform) | (Self::All, Tenant::Named(_)) => true,
            (Self::Only(names), Tenant::Named(name)) => names.contains(name),
            _ => false,
        }
    }
}

/// Position of a handler in its subscription's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HandlerIndex(pub(crate) usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_below_itself_only() {
        let pattern: Pattern = "order.*".parse().unwrap();
        assert!(pattern.matches("order.placed"));
        assert!(pattern.matches("order.line.added"));
        assert!(!pattern.matches("order"));
        assert!(!pattern.matches("order."));
        assert!(!pattern.matches("orders.placed"));
    }

    #[test]
    fn texts_that_are_no_patterns_are_refused() {
        for text in ["", ".", "order..placed", "Order.placed", "order*", "*.placed", "**", "order.*.x", " a"]
        {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
        assert!("x".repeat(129).parse::<Pattern>().is_err());
    }
}
