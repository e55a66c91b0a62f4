//! Routing: which handlers get an event of a tenant and a type.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::event::Tenant;

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

/// The routes of one subscription.
///
/// Answers are remembered per type, so the cost per event does not grow with the number of patterns; the
/// memory is bounded because types come from producers.
#[derive(Debug)]
pub(crate) struct Routes {
    handlers: Vec<(TenantScope, Vec<Pattern>)>,
    by_type: foldhash::HashMap<ByteString, Vec<HandlerIndex>>,
}

/// Most types whose handlers are remembered; beyond it they are worked out anew.
const TYPES_REMEMBERED_MAX: usize = 4096;

impl Routes {
    /// Takes scope and patterns of each handler, in the order of their [`HandlerIndex`].
    pub(crate) fn new(handlers: Vec<(TenantScope, Vec<Pattern>)>) -> Self {
        Self { handlers, by_type: foldhash::HashMap::default() }
    }

    /// Writes the handlers of an event into `found`, in their order.
    pub(crate) fn find(&mut self, tenant: &Tenant, event_type: &ByteString, found: &mut Vec<HandlerIndex>) {
        found.clear();
        let in_scope = |index: &HandlerIndex| {
            self.handlers.get(index.0).is_some_and(|(scope, _)| scope.includes(tenant))
        };
        if let Some(known) = self.by_type.get(event_type) {
            return found.extend(known.iter().copied().filter(in_scope));
        }
        let matching = self.matching(event_type);
        found.extend(matching.iter().copied().filter(in_scope));
        if self.by_type.len() >= TYPES_REMEMBERED_MAX {
            self.by_type.clear();
        }
        // A copy, so that the memory does not keep a whole message alive.
        self.by_type.insert(ByteString::from(event_type.to_string()), matching);
    }

    fn matching(&self, event_type: &str) -> Vec<HandlerIndex> {
        let matches = |(_, (_, patterns)): &(usize, &(TenantScope, Vec<Pattern>))| {
            patterns.iter().any(|pattern| pattern.matches(event_type))
        };
        self.handlers.iter().enumerate().filter(matches).map(|(index, _)| HandlerIndex(index)).collect()
    }
}

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

    #[test]
    fn platform_events_reach_only_handlers_that_ask_for_them() {
        let any = || vec![Pattern::Any];
        let only = TenantScope::Only(BTreeSet::from([ByteString::from_static("a")]));
        let mut routes =
            Routes::new(vec![(TenantScope::All, any()), (TenantScope::Platform, any()), (only, any())]);
        let mut found = Vec::new();
        let kind = ByteString::from_static("order.placed");
        routes.find(&Tenant::Platform, &kind, &mut found);
        assert_eq!(found, [HandlerIndex(1)]);
        routes.find(&Tenant::Named("a".into()), &kind, &mut found);
        assert_eq!(found, [HandlerIndex(0), HandlerIndex(2)]);
        routes.find(&Tenant::Named("b".into()), &kind, &mut found);
        assert_eq!(found, [HandlerIndex(0)]);
    }
}
