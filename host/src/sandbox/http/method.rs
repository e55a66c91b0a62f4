//! Methods and schemes as `wasi:http` writes them.

use http::Method;
use wasmtime::component::{ComponentType, Lift, Lower};

use super::exchange::Scheme;

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum WasiMethod {
    #[component(name = "get")]
    Get,
    #[component(name = "head")]
    Head,
    #[component(name = "post")]
    Post,
    #[component(name = "put")]
    Put,
    #[component(name = "delete")]
    Delete,
    #[component(name = "connect")]
    Connect,
    #[component(name = "options")]
    Options,
    #[component(name = "trace")]
    Trace,
    #[component(name = "patch")]
    Patch,
    #[component(name = "other")]
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum WasiScheme {
    #[component(name = "HTTP")]
    Http,
    #[component(name = "HTTPS")]
    Https,
    #[component(name = "other")]
    Other(String),
}

impl WasiMethod {
    /// The method; none when the text of another one is no token.
    pub(super) fn parse(self) -> Option<Method> {
        Some(match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
            Self::Connect => Method::CONNECT,
            Self::Options => Method::OPTIONS,
            Self::Trace => Method::TRACE,
            Self::Patch => Method::PATCH,
            Self::Other(text) => Method::from_bytes(text.as_bytes()).ok()?,
        })
    }

    /// The method as the guest reads it back.
    pub(super) fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl WasiScheme {
    /// The scheme; none when the text of another one is none.
    pub(super) fn parse(scheme: Option<Self>) -> Option<Scheme> {
        Some(match scheme {
            None => Scheme::Unsaid,
            Some(Self::Http) => Scheme::Http,
            Some(Self::Https) => Scheme::Https,
            Some(Self::Other(text)) => match text.to_ascii_lowercase().as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                other => {
                    let parsed: http::uri::Scheme = other.parse().ok()?;
                    Scheme::Other(parsed.as_str().to_owned())
                }
            },
        })
    }

    /// The scheme as the guest reads it back.
    pub(super) fn of(scheme: &Scheme) -> Option<Self> {
        match scheme {
            Scheme::Unsaid => None,
            Scheme::Http => Some(Self::Http),
            Scheme::Https => Some(Self::Https),
            Scheme::Other(text) => Some(Self::Other(text.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_schemes_are_read_back_as_they_were_written() {
        for method in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PURGE"]
        {
            let parsed = WasiMethod::Other(method.to_owned()).parse().unwrap();
            assert_eq!(WasiMethod::of(&parsed).parse(), Some(parsed), "{method}");
        }
        for method in ["", "A B", "GET\r\n", "GÉT"] {
            assert_eq!(WasiMethod::Other(method.to_owned()).parse(), None, "{method}");
        }
        for scheme in
            [None, Some(WasiScheme::Http), Some(WasiScheme::Https), Some(WasiScheme::Other("ws".into()))]
        {
            assert_eq!(WasiScheme::of(&WasiScheme::parse(scheme.clone()).unwrap()), scheme);
        }
        assert_eq!(WasiScheme::parse(Some(WasiScheme::Other("HTTP".into()))), Some(Scheme::Http));
        assert_eq!(WasiScheme::parse(Some(WasiScheme::Other("a b".into()))), None);
    }
}
