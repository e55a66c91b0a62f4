//! The routes of one subscription: which handlers get an event, found by its tenant and its type.
//!
//! What an event costs depends on how many handlers get it, not on how many there are. Nothing that producers write is
//! kept, but for the type of the last event, so the memory is that of the configuration.

use bytestring::ByteString;
use foldhash::{HashMap, HashMapExt};

use super::{HandlerIndex, Pattern, TenantScope};
use crate::event::Tenant;

/// The handlers of a subscription, by whose events they get and by the patterns of their types.
#[derive(Debug)]
pub(crate) struct Routes {
    patterns: Patterns,
    /// The tenants that some handler names.
    named: HashMap<ByteString, Scope>,
    /// The handlers of each scope and pattern, in their order.
    handlers: HashMap<(Scope, PatternId), Vec<HandlerIndex>>,
    /// The type of the last event and the patterns that match it: events of a type come in runs.
    last_type: String,
    last_patterns: Vec<PatternId>,
}

/// Numbers the patterns of a subscription; handlers with the same one share its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PatternId(u32);

/// Numbers whose events a handler gets: all tenants', the platform's, or those of one named tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Scope(u32);

impl Scope {
    const ALL: Self = Self(0);
    const PLATFORM: Self = Self(1);
    /// The number of the first named tenant.
    const FIRST_NAMED: u32 = 2;
}

/// All patterns, found by the types that they match.
#[derive(Debug, Default)]
struct Patterns {
    count: u32,
    any: Option<PatternId>,
    exact: HashMap<String, PatternId>,
    /// By the prefix, which ends in a dot.
    below: HashMap<String, PatternId>,
    /// Bytes of the longest prefix. Types come from producers and may be long.
    below_bytes_max: usize,
}

impl Routes {
    /// Takes scope and patterns of each handler, in the order of their [`HandlerIndex`].
    pub(crate) fn new(handlers: impl IntoIterator<Item = (TenantScope, Vec<Pattern>)>) -> Self {
        let mut routes = Self {
            patterns: Patterns::default(),
            named: HashMap::new(),
            handlers: HashMap::new(),
            last_type: String::new(),
            last_patterns: Vec::new(),
        };
        for (at, (scope, patterns)) in handlers.into_iter().enumerate() {
            let scopes = routes.scopes_of(&scope);
            for pattern in &patterns {
                let id = routes.patterns.id_of(pattern);
                scopes.iter().for_each(|scope| routes.list(*scope, id, HandlerIndex(at)));
            }
        }
        routes.patterns.find("", &mut routes.last_patterns);
        routes
    }

    /// Writes the handlers of an event into `found`, in their order.
    pub(crate) fn find(&mut self, tenant: &Tenant, event_type: &str, found: &mut Vec<HandlerIndex>) {
        found.clear();
        if self.last_type != event_type {
            self.patterns.find(event_type, &mut self.last_patterns);
            event_type.clone_into(&mut self.last_type);
        }
        let scopes = match tenant {
            Tenant::Platform => [Some(Scope::PLATFORM), None],
            Tenant::Named(name) => [Some(Scope::ALL), self.named.get(name).copied()],
        };
        let mut lists = 0;
        for scope in scopes.into_iter().flatten() {
            let of_pattern = |pattern: &PatternId| self.handlers.get(&(scope, *pattern));
            for list in self.last_patterns.iter().filter_map(of_pattern) {
                lists += 1;
                found.extend_from_slice(list);
            }
        }
        if lists > 1 {
            // Each list is in order, which a stable sort makes use of.
            found.sort();
            found.dedup();
        }
    }

    /// Lists a handler once, even if it names a pattern twice.
    fn list(&mut self, scope: Scope, pattern: PatternId, handler: HandlerIndex) {
        let list = self.handlers.entry((scope, pattern)).or_default();
        if list.last() != Some(&handler) {
            list.push(handler);
        }
    }

    fn scopes_of(&mut self, scope: &TenantScope) -> Vec<Scope> {
        let names = match scope {
            TenantScope::All => return vec![Scope::ALL],
            TenantScope::Platform => return vec![Scope::PLATFORM],
            TenantScope::Only(names) => names,
        };
        let mut number = |name: &ByteString| {
            let next = Scope(Scope::FIRST_NAMED.saturating_add(count(self.named.len())));
            *self.named.entry(name.clone()).or_insert(next)
        };
        names.iter().map(&mut number).collect()
    }
}

impl Patterns {
    /// The number of a pattern, a new one if it was not known.
    fn id_of(&mut self, pattern: &Pattern) -> PatternId {
        let next = PatternId(self.count);
        let id = match pattern {
            Pattern::Any => *self.any.get_or_insert(next),
            Pattern::Exact(exact) => *self.exact.entry(exact.clone()).or_insert(next),
            Pattern::Below(prefix) => {
                self.below_bytes_max = self.below_bytes_max.max(prefix.len());
                *self.below.entry(prefix.clone()).or_insert(next)
            }
        };
        if id == next {
            self.count = self.count.saturating_add(1);
        }
        id
    }

    /// Writes the patterns that match a type into `found`. Asks once for each segment of the longest prefix.
    fn find(&self, event_type: &str, found: &mut Vec<PatternId>) {
        found.clear();
        found.extend(self.any);
        found.extend(self.exact.get(event_type));
        let dots =
            event_type.bytes().take(self.below_bytes_max).enumerate().filter(|(_, byte)| *byte == b'.');
        for (dot, _) in dots {
            // A prefix does not match itself.
            let prefix = event_type.get(..=dot).filter(|prefix| prefix.len() < event_type.len());
            found.extend(prefix.and_then(|prefix| self.below.get(prefix)));
        }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::Named(name.to_owned().into())
    }

    fn only(names: &[&str]) -> TenantScope {
        let names: BTreeSet<ByteString> = names.iter().map(|name| ByteString::from(*name)).collect();
        TenantScope::Only(names)
    }

    fn found(routes: &mut Routes, tenant: &Tenant, event_type: &str) -> Vec<usize> {
        let mut found = Vec::new();
        routes.find(tenant, event_type, &mut found);
        found.into_iter().map(|handler| handler.0).collect()
    }

    #[test]
    fn platform_events_reach_only_handlers_that_ask_for_them() {
        let any = || vec![Pattern::Any];
        let mut routes =
            Routes::new([(TenantScope::All, any()), (TenantScope::Platform, any()), (only(&["a"]), any())]);
        assert_eq!(found(&mut routes, &Tenant::Platform, "order.placed"), [1]);
        assert_eq!(found(&mut routes, &tenant("a"), "order.placed"), [0, 2]);
        assert_eq!(found(&mut routes, &tenant("b"), "order.placed"), [0]);
    }

    #[test]
    fn a_handler_that_matches_in_several_ways_is_found_once_and_in_its_place() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut routes = Routes::new([
            (only(&["a"]), patterns(&["order.*", "order.placed", "order.placed"])),
            (TenantScope::All, patterns(&["*", "order.*"])),
            (only(&["a", "b"]), patterns(&["order.placed", "*"])),
        ]);
        assert_eq!(found(&mut routes, &tenant("a"), "order.placed"), [0, 1, 2]);
        assert_eq!(found(&mut routes, &tenant("b"), "order.paid"), [1, 2]);
        assert_eq!(found(&mut routes, &tenant("c"), ""), [1]);
    }

    /// What is found is what asking every handler finds, for random handlers and events.
    #[test]
    fn the_index_finds_what_asking_every_handler_would() {
        let mut random = SmallRng::seed_from_u64(7);
        let pick = |random: &mut SmallRng, of: &[&'static str]| of[random.random_range(0..of.len())];
        let texts = ["*", "a.*", "a.b.*", "a.b", "a.b.c", "b.*", "b", "c.d"];
        let types = ["a", "a.", "a.b", "a.b.", "a.b.c", "a.bc", "b", "b.x", "c.d", "", ".", "a..b", "é.a"];
        for _ in 0..200 {
            let handlers: Vec<(TenantScope, Vec<Pattern>)> = (0..random.random_range(0..12))
                .map(|_| {
                    let scope = match random.random_range(0..4) {
                        0 => TenantScope::All,
                        1 => TenantScope::Platform,
                        _ => only(&[pick(&mut random, &["x", "y"]), pick(&mut random, &["y", "z"])]),
                    };
                    let patterns = random.random_range(1..4);
                    (scope, (0..patterns).map(|_| pick(&mut random, &texts).parse().unwrap()).collect())
                })
                .collect();
            let mut routes = Routes::new(handlers.clone());
            for _ in 0..50 {
                let event_type = pick(&mut random, &types);
                let tenant = match pick(&mut random, &["", "x", "y", "z", "other"]) {
                    "" => Tenant::Platform,
                    name => tenant(name),
                };
                let is_wanted = |(scope, patterns): &(TenantScope, Vec<Pattern>)| {
                    scope.includes(&tenant) && patterns.iter().any(|pattern| pattern.matches(event_type))
                };
                let asked: Vec<usize> = (0..handlers.len()).filter(|at| is_wanted(&handlers[*at])).collect();
                assert_eq!(found(&mut routes, &tenant, event_type), asked, "{event_type} of {tenant}");
            }
        }
    }

    #[test]
    fn a_type_of_many_segments_is_looked_up_no_further_than_the_longest_prefix() {
        let mut routes = Routes::new([(TenantScope::All, vec!["a.a.*".parse().unwrap()])]);
        let long = "a.".repeat(100_000) + "a";
        assert_eq!(found(&mut routes, &tenant("t"), &long), [0]);
        assert_eq!(routes.patterns.below_bytes_max, 4);
    }
}
