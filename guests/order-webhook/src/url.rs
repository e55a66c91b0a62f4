//! The parts of a URL that a request is made of.

use wasip2::http::types::Scheme;

/// An address to post to.
pub(crate) struct Url<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) authority: &'a str,
    /// With its query; empty when there is none.
    pub(crate) path: &'a str,
}

impl<'a> Url<'a> {
    /// Takes a URL of HTTP apart.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://")? {
            ("http", rest) => (Scheme::Http, rest),
            ("https", rest) => (Scheme::Https, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
        Some(Self { scheme, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_three_parts() {
        for (text, authority, path) in [
            ("http://localhost:8080/orders?a=b", "localhost:8080", "/orders?a=b"),
            ("https://api.example.com", "api.example.com", ""),
            ("https://api.example.com?a", "api.example.com", "?a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.authority, url.path), (authority, path));
        }
        assert!(Url::parse("ftp://example.com").is_none());
        assert!(Url::parse("example.com").is_none());
    }
}
