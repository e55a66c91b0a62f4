//! Versions of the contract: which ones a host serves.
//!
//! Within 0.1 only additions are made, so a host serves every component that was built against its own version
//! or an earlier one of 0.1. A later one may need what this host does not have.

use std::cmp::Ordering;

/// A version in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

/// How the version that a component was built against relates to the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// The same, or an earlier one that the host still serves.
    Served,
    /// A later one on the same line: a newer host would serve it.
    Newer,
    /// Another line, or no version at all.
    Other,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(number);
        let version = Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? };
        numbers.next().is_none().then_some(version)
    }

    /// What has to be equal for two versions to be compatible: the first number that is not zero, and all
    /// before it.
    fn line(self) -> (u64, u64, u64) {
        match self {
            Self { major: 0, minor: 0, patch } => (0, 0, patch),
            Self { major: 0, minor, .. } => (0, minor, 0),
            Self { major, .. } => (major, 0, 0),
        }
    }
}

/// Whether a host of version `ours` serves a component built against `found`.
pub(super) fn fit(found: &str, ours: &str) -> Fit {
    let (Some(found), Some(ours)) = (Version::parse(found), Version::parse(ours)) else { return Fit::Other };
    if found.line() != ours.line() {
        return Fit::Other;
    }
    match found.cmp(&ours) {
        Ordering::Less | Ordering::Equal => Fit::Served,
        Ordering::Greater => Fit::Newer,
    }
}

/// Whether this is a released version of WASI 0.2. A candidate of one may have had other functions.
pub(super) fn is_wasi_release(version: &str) -> bool {
    version.strip_prefix("0.2.").and_then(number).is_some()
}

/// A number without signs, blanks or leading zeros.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_wasi_are_no_releases() {
        assert!(["0.2.0", "0.2.3", "0.2.12"].into_iter().all(is_wasi_release));
        let others =
            ["0.2.0-rc-2023-11-10", "0.2.", "0.2", "0.2.x", "0.2.01", "0.2.0+1", "0.3.0", "", "10.2.0"];
        assert!(!others.into_iter().any(is_wasi_release));
    }

    #[test]
    fn earlier_versions_of_the_line_are_served_and_nothing_else() {
        for (found, ours, expected) in [
            ("0.1.0", "0.1.0", Fit::Served),
            ("0.1.0", "0.1.7", Fit::Served),
            ("0.1.9", "0.1.10", Fit::Served),
            ("0.1.8", "0.1.7", Fit::Newer),
            ("0.2.0", "0.1.7", Fit::Other),
            ("0.0.9", "0.1.7", Fit::Other),
            ("1.0.0", "0.1.0", Fit::Other),
            ("1.2.0", "1.10.3", Fit::Served),
            ("0.0.1", "0.0.2", Fit::Other),
            ("", "0.1.0", Fit::Other),
            ("0.1", "0.1.0", Fit::Other),
            ("0.1.0-rc.1", "0.1.0", Fit::Other),
            ("0.1.0+built", "0.1.0", Fit::Other),
            ("0.1.00", "0.1.0", Fit::Other),
            ("0.1.0.0", "0.1.0", Fit::Other),
            ("+0.1.0", "0.1.0", Fit::Other),
            ("0.1.99999999999999999999", "0.1.0", Fit::Other),
        ] {
            assert_eq!(fit(found, ours), expected, "{found} by a host of {ours}");
        }
    }
}
