//! Every stable code has a runbook, and every runbook of a code has one.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{files, root, sources};

/// What codes begin with.
const FAMILY: &str = "iggy.";

#[test]
fn every_stable_code_has_a_runbook() {
    let pages: BTreeSet<String> = files()
        .iter()
        .filter_map(|path| {
            path.strip_prefix("docs/runbooks").ok()?.to_str()?.strip_suffix(".md").map(str::to_owned)
        })
        .filter(|page| page.contains('.'))
        .collect();
    let codes = codes();
    assert!(codes.contains("iggy.transport.envelope_invalid"), "{codes:?}");
    assert_eq!(codes, pages, "codes of the sources, and pages of docs/runbooks");
    for code in codes {
        let text = fs::read_to_string(root().join(format!("docs/runbooks/{code}.md"))).unwrap();
        assert!(text.starts_with(&format!("# {code}\n")), "{code}");
        assert!(["**Means.**", "**Look.**", "**Do.**"].iter().all(|part| text.contains(part)), "{code}");
    }
}

/// Texts of the sources that look like `"iggy.part.what_happened"`, but for those of tests.
fn codes() -> BTreeSet<String> {
    let is_code = |text: &&str| {
        let mut parts = text.split('.');
        let is_word =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        text.starts_with(FAMILY) && parts.clone().count() == 3 && parts.all(is_word)
    };
    let ours =
        sources().filter(|(path, _)| path.starts_with("host/src") || path.starts_with("connector/src"));
    let mut found = BTreeSet::new();
    for (_, text) in ours {
        found.extend(text.split('"').filter(is_code).map(str::to_owned));
    }
    found
}
