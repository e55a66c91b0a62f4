//! Text that guests give, made safe to show: bounded, and without control characters.

/// Longest reason, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 1024;

/// Stands where a text was cut.
pub(super) const CUT_MARK: &str = "…";

/// Escapes what could forge or hide a line (control characters, line separators, direction marks), and cuts the
/// result at `bytes_max` at a character border.
pub(super) fn shown(text: &str, bytes_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = shown.len();
        if is_unsafe(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > bytes_max {
            shown.truncate(before);
            cut(&mut shown, bytes_max);
            break;
        }
    }
    shown
}

/// The same for a reason in the guest's own words.
pub(crate) fn reason(text: &str) -> String {
    shown(text, REASON_BYTES_MAX)
}

fn cut(shown: &mut String, bytes_max: usize) {
    while shown.len() + CUT_MARK.len() > bytes_max && shown.pop().is_some() {}
    shown.push_str(CUT_MARK);
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(shown("a\nb\r\t\u{1b}[31m", 100), "a\\nb\\r\\t\\u{1b}[31m");
        assert_eq!(shown("x\u{2028}y\u{202e}z", 100), "x\\u{2028}y\\u{202e}z");
        assert_eq!(shown("größe ✓", 100), "größe ✓");
    }

    #[test]
    fn text_is_cut_at_a_character_border_within_its_bound() {
        for bytes_max in 3..40 {
            let cut = shown(&"ä\n✓".repeat(20), bytes_max);
            assert!(cut.len() <= bytes_max && cut.ends_with('…'), "{bytes_max}: {cut}");
        }
        assert_eq!(shown("exact", 5), "exact");
        assert_eq!(reason(&"x".repeat(5_000)).len(), REASON_BYTES_MAX);
    }
}
