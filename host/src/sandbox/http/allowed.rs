//! Entries of the list of hosts that a handler may call, and how a request finds its own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::address::may_be_named;
use crate::sandbox::{HttpGrant, HttpHost};

/// Longest name of a host, as in the DNS.
const HOST_BYTES_MAX: usize = 253;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A text that names no host which could be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHttpHost {
    /// Not of the expected form.
    #[error(
        "expected a scheme, a host and perhaps a port, such as https://api.example.com or http://localhost:8080"
    )]
    Form,
    /// A path, a query, a user or a wildcard.
    #[error("expected nothing but scheme, host and port: no path, user or wildcard, and in lower case")]
    More,
    /// An address that is never called.
    #[error("{0} is no address of a host that could be called")]
    Address(IpAddr),
}

impl FromStr for HttpHost {
    type Err = InvalidHttpHost;

    fn from_str(text: &str) -> Result<Self, InvalidHttpHost> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidHttpHost::Form)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidHttpHost::Form),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(|c: char| "/?#@*".contains(c) || c.is_ascii_uppercase()) {
            return Err(InvalidHttpHost::More);
        }
        let (host, port) = split_authority(authority, tls).ok_or(InvalidHttpHost::Form)?;
        match host.parse::<IpAddr>() {
            Ok(address) if !may_be_named(address) => Err(InvalidHttpHost::Address(address)),
            _ => Ok(Self { tls, host, port }),
        }
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", HTTPS_PORT) } else { ("http", HTTP_PORT) };
        write!(f, "{scheme}://")?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl HttpHost {
    /// Host and, unless it is the usual one, port: how a request names it.
    pub(super) fn authority(&self) -> String {
        let shown = self.to_string();
        shown.split_once("://").map_or(shown.clone(), |(_, authority)| authority.to_owned())
    }
}

impl HttpGrant {
    /// The entry that a request to an authority belongs to: same scheme, host and port, or none.
    pub(super) fn find(&self, tls: bool, authority: &str) -> Option<&HttpHost> {
        let (host, port) = split_authority(authority, tls)?;
        self.hosts.iter().find(|entry| entry.tls == tls && entry.host == host && entry.port == port)
    }
}

/// Host, in lower case and without brackets, and port of an authority. None when it is anything but that: with a
/// user, an empty or odd host, or a port that is none.
pub(super) fn split_authority(authority: &str, tls: bool) -> Option<(String, u16)> {
    let usual = if tls { HTTPS_PORT } else { HTTP_PORT };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            (address.to_string(), if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (is_host(host).then(|| host.to_ascii_lowercase())?, port)
        }
    };
    let port = match port {
        None => usual,
        // Digits alone: `parse` would take a sign too.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    (port > 0).then_some((host, port))
}

/// Whether a text is a name of letters, digits, hyphens and dots, or an IPv4 address in its usual form. Names whose
/// last label starts with a digit are other forms of addresses, which resolvers take apart in surprising ways.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-')
    };
    let is_name = text.len() <= HOST_BYTES_MAX && text.split('.').all(label);
    let ends_in_a_number =
        text.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    is_name && (!ends_in_a_number || text.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_scheme_host_and_port_and_nothing_else() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://api.example.com:443/", "https://api.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://[::1]:81", "http://[::1]:81"),
            ("https://8.8.8.8", "https://8.8.8.8"),
        ] {
            let host: HttpHost = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(host.to_string(), shown);
            assert_eq!(shown.parse::<HttpHost>().unwrap(), host);
        }
        for text in [
            "",
            "api.example.com",
            "ftp://api.example.com",
            "https://",
            "https://:443",
            "https://api.example.com/orders",
            "https://api.example.com?x",
            "https://user@api.example.com",
            "https://*.example.com",
            "https://API.example.com",
            "https://api..example.com",
            "https://api.example.com:0",
            "https://api.example.com:65536",
            "https://api.example.com:+80",
            "https://api.example.com:",
            "http://2130706433",
            "http://0x7f000001",
            "http://0177.0.0.1",
            "http://127.1",
            "http://127.0.0.1.",
            "http://0.0.0.0",
            "http://169.254.169.254",
            "http://[::ffff:127.0.0.1]",
            "http://[fe80::1]",
            "http://[::1",
            "http://::1",
            "http://höst.example",
        ] {
            assert!(text.parse::<HttpHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_finds_its_own_entry_and_no_other() {
        let hosts = ["https://api.example.com", "http://127.0.0.1:8080", "http://[::1]:8080"];
        let grant = HttpGrant { hosts: hosts.iter().map(|text| text.parse().unwrap()).collect() };
        for (tls, authority, expected) in [
            (true, "api.example.com", Some(0)),
            (true, "API.Example.com:443", Some(0)),
            (false, "127.0.0.1:8080", Some(1)),
            (false, "[0:0:0:0:0:0:0:1]:8080", Some(2)),
            (false, "api.example.com", None),
            (true, "api.example.com:80", None),
            (true, "api.example.com.", None),
            (true, "evil.com", None),
            (true, "api.example.com@evil.com", None),
            (true, "user:pw@api.example.com", None),
            (true, "api.example.com:443@evil.com", None),
            (true, "api.example.com#.evil.com", None),
            (true, "api.example.com/..", None),
            (true, "api.example.com\\@evil.com", None),
            (true, "api.example.com evil.com", None),
            (true, "", None),
            (false, "127.0.0.1", None),
            (false, "2130706433:8080", None),
            (false, "0x7f.1:8080", None),
            (false, "0177.0.0.1:8080", None),
            (false, "127.1:8080", None),
            (false, "[::ffff:127.0.0.1]:8080", None),
            (false, "localhost:8080", None),
        ] {
            let found = grant.find(tls, authority);
            assert_eq!(found, expected.and_then(|at: usize| grant.hosts.get(at)), "{authority}");
        }
    }
}
