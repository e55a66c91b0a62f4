//! The differences from Iggy's server that are meant, with their reasons, as data.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::words::Step;

/// One difference: of whole answers, in which `*` stands for anything, or of one figure in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The command.
    command: String,
    /// Words that the step has to contain, in this order.
    #[serde(default)]
    given: String,
    #[serde(default)]
    ours: String,
    #[serde(default)]
    theirs: String,
    /// The figure that may differ where nothing else does.
    #[serde(default)]
    figure: Option<String>,
    reason: String,
    /// What the servers hold differs from here on, so the session ends.
    #[serde(default)]
    ends: bool,
}

/// All of them, and which were met.
#[derive(Debug)]
pub(crate) struct Differences {
    list: Vec<Difference>,
    met: BTreeSet<usize>,
}

/// How two answers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    /// The difference is meant.
    Meant,
    /// It is meant, and nothing can be compared after it.
    Ended,
    /// It is not meant.
    Different,
}

impl Differences {
    /// The list of the repository.
    pub(crate) fn read() -> Self {
        let list: Vec<Difference> = serde_json::from_str(include_str!("differences.json")).unwrap();
        assert!(list.iter().all(|difference| !difference.reason.is_empty()), "a difference without a reason");
        Self { list, met: BTreeSet::new() }
    }

    /// Compares our answer with theirs.
    pub(crate) fn compare(&mut self, text: &str, ours: &str, theirs: &str) -> Comparison {
        if ours == theirs {
            return Comparison::Equal;
        }
        let step = Step::parse(text);
        let meant = self.list.iter().position(|difference| {
            matches(&difference.command, step.verb)
                && matches(&format!("*{}*", difference.given), text)
                && match &difference.figure {
                    Some(figure) => without(figure, ours) == without(figure, theirs),
                    None => matches(&difference.ours, ours) && matches(&difference.theirs, theirs),
                }
        });
        let Some(meant) = meant else { return Comparison::Different };
        self.met.insert(meant);
        if self.list[meant].ends { Comparison::Ended } else { Comparison::Meant }
    }

    /// How many were met.
    pub(crate) fn met(&self) -> usize {
        self.met.len()
    }

    /// Those that were not met.
    pub(crate) fn unmet(&self) -> Vec<String> {
        let unmet = self.list.iter().enumerate().filter(|(place, _)| !self.met.contains(place));
        unmet.map(|(_, difference)| format!("{difference:?}")).collect()
    }
}

/// An answer without the values of a figure.
fn without(figure: &str, answer: &str) -> String {
    let named = format!("{figure}=");
    let mut parts = answer.split(&named);
    let first = parts.next().unwrap_or_default().to_owned();
    first
        + &parts
            .map(|part| part.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '-'))
            .collect::<String>()
}

/// Whether a text is of a form in which `*` stands for anything.
fn matches(form: &str, text: &str) -> bool {
    let mut parts = form.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn a_form_matches_what_it_says() {
    assert!(
        matches("ok", "ok") && matches("ok *", "ok 1 2") && matches("*", "") && matches("a*b*c", "a1b2c")
    );
    assert!(
        !matches("ok", "ok 1") && !matches("a*b", "a1c") && !matches("*b", "a") && !matches("a*b*b", "ab")
    );
}
