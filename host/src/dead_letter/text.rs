//! Text from strangers, made safe to store in a header and to show on a terminal.

use std::fmt::{self, Write};

/// Ends a text that was cut.
const CUT: char = '…';

/// Escapes what moves a cursor, ends a line or turns the writing direction, and cuts the rest off after
/// `bytes_max` bytes, at a character's border. A cut text ends in `…`.
///
/// Formatting stops at the bound, so a text of any length costs no more than its beginning.
pub(crate) fn clean(text: impl fmt::Display, bytes_max: usize) -> String {
    let mut cleaner = Cleaner { text: String::new(), bytes_max, is_cut: false };
    // The only error is the cleaner's own, which says that it is full.
    if write!(cleaner, "{text}").is_err() && cleaner.is_cut {
        cleaner.mark_cut();
    }
    cleaner.text
}

struct Cleaner {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Cleaner {
    fn mark_cut(&mut self) {
        while self.text.len() + CUT.len_utf8() > self.bytes_max && self.text.pop().is_some() {}
        if CUT.len_utf8() <= self.bytes_max {
            self.text.push(CUT);
        }
    }
}

impl fmt::Write for Cleaner {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for character in piece.chars() {
            let before = self.text.len();
            if is_harmful(character) {
                self.text.extend(character.escape_default());
            } else {
                self.text.push(character);
            }
            if self.text.len() > self.bytes_max {
                self.text.truncate(before);
                self.is_cut = true;
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Cuts a text into pieces of at most `bytes_max` bytes at characters' borders.
pub(super) fn pieces(mut text: &str, bytes_max: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at_checked(text.floor_char_boundary(bytes_max))?;
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmful_characters_are_escaped() {
        assert_eq!(clean("a\r\n\u{1b}[2J\u{202e}ü\0", 100), "a\\r\\n\\u{1b}[2J\\u{202e}ü\\u{0}");
    }

    #[test]
    fn a_cut_never_splits_a_character_or_an_escape() {
        let text = "ä\n€\u{1F600}\u{1b}".repeat(20);
        let whole = clean(&text, usize::MAX);
        for bytes_max in 0..whole.len() {
            let cut = clean(&text, bytes_max);
            assert!(cut.len() <= bytes_max);
            assert!(whole.starts_with(cut.trim_end_matches(CUT)));
            assert!(bytes_max < CUT.len_utf8() || cut.ends_with(CUT), "{bytes_max}");
        }
        assert_eq!(clean(&text, whole.len()), whole);
    }

    #[test]
    fn pieces_put_together_are_the_text() {
        let text = "ä€\u{1F600}x".repeat(50);
        for bytes_max in 4..40 {
            let pieces: Vec<&str> = pieces(&text, bytes_max).collect();
            assert!(pieces.iter().all(|piece| (1..=bytes_max).contains(&piece.len())));
            assert_eq!(pieces.concat(), text);
        }
    }
}
