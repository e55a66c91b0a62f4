//! Header fields as guests make and see them: names and values of the right form, none that frames a message or
//! names its host, and not too many.

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::{ComponentType, Lower};

/// Most bytes of one set of fields, names, values and 32 for each; also of the head of a response.
pub(super) const FIELDS_BYTES_MAX: usize = 64 << 10;
/// What each field is charged besides its name and value.
const FIELD_BYTES: usize = 32;

/// Fields that only the host writes: how the message is framed, what belongs to one connection, and whom it is for.
const FORBIDDEN: [&str; 12] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why fields could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lower)]
#[component(variant)]
pub(super) enum HeaderError {
    #[component(name = "invalid-syntax")]
    InvalidSyntax,
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "immutable")]
    Immutable,
}

/// More fields than a guest may have in one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest put more than {FIELDS_BYTES_MAX} bytes into one set of HTTP fields")]
pub(super) struct TooManyFields;

/// What came of a change: done, refused, or too much.
type Change = Result<Result<(), HeaderError>, TooManyFields>;

/// A set of fields, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    entries: Vec<(HeaderName, HeaderValue)>,
    bytes: usize,
    frozen: bool,
}

impl Fields {
    /// The fields of a response, without those of its connection, unchangeable.
    pub(super) fn of_response(headers: &HeaderMap) -> Self {
        let kept = headers.iter().filter(|(name, _)| !is_forbidden(name));
        let entries = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { entries, bytes: 0, frozen: true }
    }

    /// A copy that cannot be changed.
    pub(super) fn frozen(&self) -> Self {
        Self { frozen: true, ..self.clone() }
    }

    /// A copy that can be changed. What a response brought may be over the bound, and then takes no more.
    pub(super) fn thawed(&self) -> Self {
        let bytes = self.entries.iter().map(|(name, value)| charge(name, value)).sum();
        Self { entries: self.entries.clone(), bytes, frozen: false }
    }

    /// All of them.
    pub(super) fn entries(&self) -> &[(HeaderName, HeaderValue)] {
        &self.entries
    }

    /// The values of a name; none when the name is not one.
    pub(super) fn get(&self, name: &str) -> Vec<Vec<u8>> {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Vec::new() };
        let found = self.entries.iter().filter(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_bytes().to_vec()).collect()
    }

    /// Adds a value to a name.
    ///
    /// # Errors
    /// When the set is full.
    pub(super) fn append(&mut self, name: &str, value: &[u8]) -> Change {
        let (name, value) = match self.checked(name).and_then(|name| Ok((name, checked_value(value)?))) {
            Ok(field) => field,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = self.bytes.saturating_add(charge(&name, &value));
        if bytes > FIELDS_BYTES_MAX {
            return Err(TooManyFields);
        }
        self.bytes = bytes;
        self.entries.push((name, value));
        Ok(Ok(()))
    }

    /// Gives a name these values and no others. Refused values change nothing.
    ///
    /// # Errors
    /// When the set is full.
    pub(super) fn set(&mut self, name: &str, values: &[Vec<u8>]) -> Change {
        if let Some(error) = values.iter().find_map(|value| checked_value(value).err()) {
            return Ok(Err(error));
        }
        if let Err(error) = self.delete(name) {
            return Ok(Err(error));
        }
        for value in values {
            if let Err(error) = self.append(name, value)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Takes all values of a name away.
    ///
    /// # Errors
    /// When the name is not one, is forbidden, or the set cannot be changed.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), HeaderError> {
        let name = self.checked(name)?;
        self.entries.retain(|(other, _)| *other != name);
        self.bytes = self.entries.iter().map(|(name, value)| charge(name, value)).sum();
        Ok(())
    }

    fn checked(&self, name: &str) -> Result<HeaderName, HeaderError> {
        if self.frozen {
            return Err(HeaderError::Immutable);
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)?;
        if is_forbidden(&name) { Err(HeaderError::Forbidden) } else { Ok(name) }
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    FORBIDDEN.contains(&name.as_str())
}

fn checked_value(value: &[u8]) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_bytes(value).map_err(|_| HeaderError::InvalidSyntax)
}

fn charge(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_are_found_in_any_case() {
        let mut fields = Fields::default();
        for (name, value) in [("X-One", "1"), ("accept", "a"), ("x-one", "2")] {
            assert_eq!(fields.append(name, value.as_bytes()), Ok(Ok(())));
        }
        assert_eq!(fields.get("x-ONE"), [b"1", b"2"]);
        assert_eq!(fields.set("x-one", &[b"3".to_vec()]), Ok(Ok(())));
        let shown: Vec<_> = fields.entries().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(shown, ["accept", "x-one"]);
        assert_eq!(fields.delete("accept"), Ok(()));
        assert_eq!(fields.get("accept"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_could_change_the_framing_or_the_host_is_refused() {
        let mut fields = Fields::default();
        for name in FORBIDDEN.iter().chain(&["Host", "Transfer-Encoding", "UPGRADE"]) {
            assert_eq!(fields.append(name, b"x"), Ok(Err(HeaderError::Forbidden)), "{name}");
            assert_eq!(fields.set(name, &[b"x".to_vec()]), Ok(Err(HeaderError::Forbidden)), "{name}");
        }
        let wrong = [("", "x"), ("a b", "x"), ("a:", "x"), ("a\r\nhost", "x"), ("höst", "x"), (" host", "x")];
        for (name, value) in wrong.into_iter().chain([("a", "x\r\nhost: y"), ("a", "\0"), ("a", "x\n y")]) {
            let refused = fields.append(name, value.as_bytes());
            assert_eq!(refused, Ok(Err(HeaderError::InvalidSyntax)), "{name}: {value}");
        }
        assert!(fields.entries().is_empty());
    }

    #[test]
    fn a_refused_value_leaves_the_others_alone() {
        let mut fields = Fields::default();
        assert_eq!(fields.append("a", b"1"), Ok(Ok(())));
        let values = [b"2".to_vec(), b"\r".to_vec()];
        assert_eq!(fields.set("a", &values), Ok(Err(HeaderError::InvalidSyntax)));
        assert_eq!(fields.get("a"), [b"1"]);
    }

    #[test]
    fn a_set_has_a_bound_however_it_is_filled() {
        let mut fields = Fields::default();
        let all = std::iter::repeat_with(|| fields.append("a", b""))
            .take(FIELDS_BYTES_MAX)
            .position(|r| r.is_err());
        assert_eq!(all, Some(FIELDS_BYTES_MAX / (FIELD_BYTES + 1)));
        assert_eq!(Fields::default().append("a", &vec![b'x'; FIELDS_BYTES_MAX]), Err(TooManyFields));
    }

    #[test]
    fn a_response_cannot_be_changed_but_its_copy_can() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a"));
        headers.append("connection", HeaderValue::from_static("close"));
        let mut fields = Fields::of_response(&headers);
        assert_eq!(fields.entries().len(), 1);
        assert_eq!(fields.append("a", b"x"), Ok(Err(HeaderError::Immutable)));
        assert_eq!(fields.delete("set-cookie"), Err(HeaderError::Immutable));
        assert_eq!(fields.thawed().append("a", b"x"), Ok(Ok(())));
    }
}
