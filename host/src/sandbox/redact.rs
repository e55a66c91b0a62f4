//! Secrets taken out of what guests say, before anything of it is escaped, cut, logged or published.
//!
//! A secret is found as it was configured, line by line if it has several, and as Rust prints it with `{:?}`.
//! What a guest encodes in another way is not found.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use crate::sandbox::text;

/// Shortest secret that is taken out: shorter ones would tear harmless words apart.
pub(crate) const SECRET_BYTES_MIN: usize = 8;

/// Takes the secrets of one handler out of texts.
#[derive(Default)]
pub(crate) struct Redactor {
    patterns: Vec<Pattern>,
}

/// A text to take out, and what stands in its place.
struct Pattern {
    secret: SecretString,
    mark: String,
}

/// Which end of a text was cut off before it came here, perhaps through the middle of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// None.
    Whole,
    /// The start: what is left may begin with the end of a secret.
    CutStart,
    /// The end: what is left may end with the start of a secret.
    CutEnd,
}

impl Redactor {
    /// The redactor of a handler without secrets.
    pub(crate) fn of_nothing() -> &'static Self {
        static OF_NOTHING: Redactor = Redactor { patterns: Vec::new() };
        &OF_NOTHING
    }

    /// A redactor of these secrets, each with the name that is shown in its place.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut patterns = Vec::new();
        for (name, secret) in secrets {
            let mark = format!("[secret {name}]");
            for form in forms(secret) {
                patterns.push(Pattern { secret: form.into(), mark: mark.clone() });
            }
        }
        Self { patterns }
    }

    /// The text without secrets.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redact_cut(text, Edge::Whole)
    }

    /// The text without secrets, and without the piece of a secret where the text was cut.
    pub(crate) fn redact_cut<'a>(&self, text: &'a str, edge: Edge) -> Cow<'a, str> {
        if self.patterns.is_empty() {
            return Cow::Borrowed(text);
        }
        let visible = self.visible(text, edge);
        let found = self.found(text);
        if found.is_empty() {
            return Cow::Borrowed(text.get(visible).unwrap_or_default());
        }
        let mut redacted = String::with_capacity(text.len());
        let mut shown_to = visible.start;
        for (range, mark) in
            found.iter().filter(|(range, _)| range.end > visible.start && range.start < visible.end)
        {
            redacted.push_str(text.get(shown_to..range.start).unwrap_or_default());
            redacted.push_str(mark);
            shown_to = range.end;
        }
        redacted.push_str(text.get(shown_to..visible.end).unwrap_or_default());
        Cow::Owned(redacted)
    }

    /// The same for bytes that may be text. A character that the cut went through is left out.
    pub(crate) fn redact_bytes(&self, bytes: &[u8], edge: Edge) -> String {
        let whole_characters = match edge {
            Edge::Whole => bytes,
            Edge::CutStart => without_start_of_cut(bytes),
            Edge::CutEnd => without_end_of_cut(bytes),
        };
        self.redact_cut(&String::from_utf8_lossy(whole_characters), edge).into_owned()
    }

    /// A reason in the guest's words, fit to be shown.
    pub(crate) fn reason(&self, text: &str) -> String {
        text::reason(&self.redact(text))
    }

    /// A piece of text in the guest's words, fit to be shown within `bytes_max` bytes.
    pub(crate) fn shown(&self, text: &str, bytes_max: usize) -> String {
        text::shown(&self.redact(text), bytes_max)
    }

    /// What of a text is left when pieces of secrets at a cut are left out.
    fn visible(&self, text: &str, edge: Edge) -> Range<usize> {
        let longest = |piece: fn(&str, &str) -> usize| {
            let pieces = self.patterns.iter().map(|pattern| piece(text, pattern.secret.expose_secret()));
            pieces.max().unwrap_or(0)
        };
        match edge {
            Edge::Whole => 0..text.len(),
            Edge::CutStart => longest(piece_at_start)..text.len(),
            Edge::CutEnd => 0..text.len() - longest(piece_at_end),
        }
    }

    /// Where secrets stand, in order and without overlaps, each with its mark.
    fn found<'a>(&'a self, text: &'a str) -> Vec<(Range<usize>, &'a str)> {
        let mut found: Vec<_> = self.patterns.iter().flat_map(|pattern| pattern.find(text)).collect();
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        found.dedup_by(|later, earlier| {
            let overlaps = later.0.start < earlier.0.end;
            if overlaps {
                earlier.0.end = earlier.0.end.max(later.0.end);
            }
            overlaps
        });
        found
    }
}

impl Pattern {
    /// Every place where the secret stands, also those that overlap.
    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, &'a str)> {
        let secret = self.secret.expose_secret();
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = from + text.get(from..)?.find(secret)?;
            from = start + secret.chars().next().map_or(1, char::len_utf8);
            Some((start..start + secret.len(), self.mark.as_str()))
        })
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.patterns.len()).finish()
    }
}

/// The texts by which a secret shows.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    if secret.contains('\n') {
        forms.extend(secret.lines().map(|line| line.trim().to_owned()));
    }
    let quoted = forms.iter().map(|form| form.escape_debug().to_string()).collect::<Vec<_>>();
    forms.extend(quoted);
    forms.retain(|form| form.len() >= SECRET_BYTES_MIN);
    forms.sort();
    forms.dedup();
    forms
}

/// Bytes at the start of a text that are the end of a secret.
fn piece_at_start(text: &str, secret: &str) -> usize {
    let mut ends = (1..secret.len()).filter_map(|at| secret.get(at..));
    ends.find(|end| text.starts_with(end)).map_or(0, str::len)
}

/// Bytes at the end of a text that are the start of a secret.
fn piece_at_end(text: &str, secret: &str) -> usize {
    let mut starts = (1..secret.len()).rev().filter_map(|at| secret.get(..at));
    starts.find(|start| text.ends_with(start)).map_or(0, str::len)
}

fn without_start_of_cut(bytes: &[u8]) -> &[u8] {
    let torn = bytes.iter().take_while(|byte| is_continuation(**byte)).count();
    bytes.get(torn..).unwrap_or_default()
}

fn without_end_of_cut(bytes: &[u8]) -> &[u8] {
    let torn = bytes.iter().rev().take_while(|byte| is_continuation(**byte)).count();
    let kept = bytes.get(..bytes.len() - torn).unwrap_or_default();
    match kept.split_last() {
        Some((last, before)) if *last >= 0xc0 => before,
        _ => bytes,
    }
}

/// Whether a byte is one of a character's that is not its first.
const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn secrets_are_replaced_by_their_names() {
        let redactor = Redactor::new([("token", "hunter2-hunter2"), ("short", "1234567")]);
        assert_eq!(redactor.redact("a hunter2-hunter2 b 1234567"), "a [secret token] b 1234567");
        assert_eq!(redactor.redact("hunter2-hunter2-hunter2"), "[secret token]");
        assert_eq!(redactor.redact("nothing"), "nothing");
        assert_eq!(Redactor::default().redact("hunter2-hunter2"), "hunter2-hunter2");
        assert!(!format!("{redactor:?}").contains("hunter2"));
    }

    #[test]
    fn each_line_of_a_secret_is_one_and_so_is_its_quoted_form() {
        let redactor = Redactor::new([("key", "first-line\nsecond \"line\"\nend")]);
        assert_eq!(redactor.redact("x second \"line\" y"), "x [secret key] y");
        assert_eq!(redactor.redact(&format!("{:?}", "second \"line\"")), "\"[secret key]\"");
        assert_eq!(redactor.redact("end"), "end");
    }

    #[test]
    fn a_character_that_was_cut_through_does_not_hide_the_rest() {
        let redactor = Redactor::new([("key", "geheimnisträger")]);
        let cut = "x geheimnistr\u{e4}".as_bytes();
        assert_eq!(redactor.redact_bytes(&cut[..cut.len() - 1], Edge::CutEnd), "x ");
        let end = &"\u{e4}ger y".as_bytes()[1..];
        assert_eq!(redactor.redact_bytes(end, Edge::CutStart), " y");
        assert_eq!(redactor.redact_bytes(b"a\xff", Edge::Whole), "a\u{fffd}");
    }

    /// Whatever the secrets and wherever a text is cut: no secret is in what is left, nor its part at the cut.
    #[test]
    fn no_secret_gets_through() {
        let mut random = SmallRng::seed_from_u64(7);
        for round in 0..20_000 {
            let secrets: Vec<_> = (0..random.random_range(1..4)).map(|_| word(&mut random, 8..14)).collect();
            let redactor = Redactor::new(secrets.iter().map(|secret| ("NAME", secret.as_str())));
            let mut text = word(&mut random, 0..12);
            for _ in 0..random.random_range(0..4) {
                text.push_str(&secrets[random.random_range(0..secrets.len())]);
                text.push_str(&word(&mut random, 0..6));
            }
            let cut = random.random_range(0..=text.len());
            let (start, end) = text.as_bytes().split_at(cut);
            let start = redactor.redact_bytes(start, Edge::CutEnd);
            let end = redactor.redact_bytes(end, Edge::CutStart);
            let reason = redactor.reason(&text);
            for secret in &secrets {
                for left in [&start, &end, &reason, &*redactor.redact(&text)] {
                    assert!(!left.contains(secret.as_str()), "{round}: {secret:?} of {text:?} in {left:?}");
                }
                assert_hidden_at_the_cut(&redactor, &text, secret, cut);
            }
        }
    }

    fn assert_hidden_at_the_cut(redactor: &Redactor, text: &str, secret: &str, cut: usize) {
        let Some((start, end)) = text.split_at_checked(cut) else { return };
        let through = |at: &usize| *at < cut && cut < at + secret.len();
        for at in text.match_indices(secret).map(|(at, _)| at).filter(through) {
            assert!(redactor.visible(start, Edge::CutEnd).end <= at, "{text:?} at {cut}");
            assert!(
                cut + redactor.visible(end, Edge::CutStart).start >= at + secret.len(),
                "{text:?} at {cut}"
            );
        }
    }

    /// Few different characters, so that secrets overlap with themselves and with each other.
    fn word(random: &mut SmallRng, length: Range<usize>) -> String {
        let length = random.random_range(length);
        (0..length).map(|_| ['a', 'b', 'ä'][random.random_range(0..3)]).collect()
    }
}
