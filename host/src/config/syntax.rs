//! What is said about a text that is not YAML, in the words of those who write configurations.

use std::collections::BTreeMap;

use serde_saphyr::{Error, UserMessageFormatter};

use super::mistake::{ConfigError, Mistake, Mistakes, Place};
use super::written::{Node, Value};
use crate::encoding;

/// A text without the byte order marks before its document: at its start, and after the line `---` where somebody put
/// files together.
pub(super) fn without_marks(text: &str) -> String {
    let mut document_began = false;
    let line = |line| {
        if document_began {
            return line;
        }
        let line = encoding::without_mark(line);
        document_began = !matches!(line.trim_end(), "" | "---") && !line.starts_with(['#', '%']);
        line
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Every key that is written again in the same section, with both places.
pub(super) fn repeated_keys(root: &Node) -> Vec<Mistake> {
    let mut repeated = Vec::new();
    collect_repeated(root, "", &mut repeated);
    repeated
}

fn collect_repeated(node: &Node, path: &str, repeated: &mut Vec<Mistake>) {
    match &node.value {
        Value::Null | Value::Text(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_repeated(item, &format!("{path}[{index}]"), repeated);
            }
        }
        Value::Map(entries) => {
            let mut first_places = BTreeMap::new();
            for entry in entries {
                let key = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                let first = *first_places.entry(entry.key.as_str()).or_insert(&entry.key_place);
                if !std::ptr::eq(first, &raw const entry.key_place) {
                    let first = match first {
                        Place::Line(line) => format!("line {line}"),
                        Place::Variable(name) => name.clone(),
                    };
                    let problem = format!("is written a second time, first on {first}; keep one of them");
                    let place = Some(entry.key_place.clone());
                    repeated.push(Mistake { key: key.clone(), place, problem });
                }
                collect_repeated(&entry.node, &key, repeated);
            }
        }
    }
}

/// The error about a text that the parser refuses. `repeated` are the keys that are written again, where that is why.
pub(super) fn refusal(error: &Error, repeated: Vec<Mistake>) -> ConfigError {
    if repeated.is_empty() { ConfigError::Syntax(describe(error)) } else { Mistakes(repeated).into() }
}

fn describe(error: &Error) -> String {
    let problem = match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map_or("a key".to_owned(), |key| format!("the key `{key}`"));
            format!("{key} is written twice in one section; keep one of them")
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins, expected one: remove the line `---`".to_owned()
        }
        Error::UnsupportedTag { tag, .. } => format!("tags such as `{tag}` have no meaning here; remove it"),
        Error::UnknownAnchor { .. } => {
            "a value that starts with `*` stands for one marked with `&`, and there is none of that name; \
             put quotes around it if it is a text"
                .to_owned()
        }
        Error::SerdeInvalidType { unexpected, .. } => {
            format!("expected a text as the key, found {unexpected}")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            "it is larger or nested deeper than a configuration may be".to_owned()
        }
        other => {
            let text = other.render_with_formatter(&UserMessageFormatter);
            // The place is said once, and first.
            in_our_words(text.split(" at line ").next().unwrap_or(&text))
        }
    };
    match error.location() {
        Some(location) if location.line() > 0 => {
            format!("line {}, column {}: {problem}", location.line(), location.column())
        }
        _ => problem,
    }
}

/// The words of YAML's own description, in those of our documents.
fn in_our_words(text: &str) -> String {
    let words = [
        ("flow sequence", "list in brackets"),
        ("flow mapping", "section in braces"),
        ("block sequence", "list"),
        ("block mapping", "section"),
        ("mapping", "section"),
        ("sequence", "list"),
        ("scalar", "text"),
    ];
    words.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}
