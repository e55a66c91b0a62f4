//! Reading single values. Each function says what it expected when a text is none of that.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// Longest name of a stream, topic or group.
const NAME_BYTES_MAX: usize = 255;

/// Longest span of time, a hundred years: a clock can be set ahead by that and does not overflow.
const DURATION_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// A whole number in a range.
pub(super) fn number<T: FromStr + PartialOrd + Display>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A span of time above zero that clocks can still reckon with.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    match parsed {
        Some(duration) if duration > DURATION_MAX => Err("expected a time of at most 36500days".to_owned()),
        Some(duration) => Ok(duration),
        None => Err("expected a time above zero with its unit, such as 250ms, 30s or 5m".to_owned()),
    }
}

/// A span of time that may be none, up to the longest.
pub(super) fn duration_or_zero(longest: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let parsed = humantime::parse_duration(text).ok().filter(|duration| *duration <= longest);
        parsed.ok_or_else(|| {
            let longest = humantime::format_duration(longest);
            format!("expected a time with its unit such as 5ms, from 0ms to {longest}")
        })
    }
}

/// A share above zero, in percent.
pub(super) fn percent(text: &str) -> Result<u32, String> {
    let parsed = text.strip_suffix('%').and_then(|digits| digits.parse().ok());
    let share = parsed.filter(|share| (1..=100).contains(share));
    share.ok_or_else(|| "expected a share such as 80%, from 1% to 100%".to_owned())
}

/// A number of bytes in a range.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let parsed = text.parse::<ByteSize>().ok().map(|size| size.as_u64());
        parsed.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
            format!("expected a size such as 64MiB, from {least} to {most}")
        })
    }
}

/// `true` or `false`.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected true or false".to_owned())
}

/// Any text that is not empty.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected a text that is not empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The name of a stream, topic or group.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("expected a name of 1 to 255 bytes".to_owned()) }
}

/// Anything with a [`FromStr`] whose error says what was expected.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("expected {}", words.join(" or "))
        })
    }
}
