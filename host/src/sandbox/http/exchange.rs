//! One request and its response, as the guest makes the one and reads the other. The body of each is kept whole.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;

use super::allowed::split_authority;
use super::courier::{Response, Timeouts};
use super::error_code::ErrorCode;
use super::fields::Fields;
use crate::sandbox::{HttpGrant, HttpHost};

/// Longest path with its query.
const PATH_BYTES_MAX: usize = 8 << 10;

/// One request and its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Draft,
    pub(super) body: RequestBody,
    pub(super) stage: Stage,
    /// Handles of the guest that lead here.
    pub(super) handles: u32,
}

/// How far an exchange is.
#[derive(Debug)]
pub(super) enum Stage {
    /// The guest writes the request.
    Draft,
    /// Handed over; it goes out once its body is complete and the guest waits for the response.
    Sent(HttpHost, Timeouts),
    /// Over, and the guest has not looked yet.
    Over(Result<Response, ErrorCode>),
    /// The guest knows that there is no response, or has had it.
    Failed,
    /// The guest reads the response.
    Reading(Reading),
}

/// A response while it is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) response: Response,
    pub(super) body: Step,
    pub(super) stream: Step,
    pub(super) trailers: Step,
}

/// Something that can be done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Step {
    #[default]
    Open,
    Done,
}

/// The line and the fields of a request.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) path: Option<PathAndQuery>,
    pub(super) scheme: Scheme,
    pub(super) authority: Option<String>,
    pub(super) fields: Fields,
}

/// The scheme of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Scheme {
    /// Not said, which means `https`.
    #[default]
    Unsaid,
    Http,
    Https,
    /// One that is never allowed.
    Other(String),
}

/// The body of a request.
#[derive(Debug, Default)]
pub(super) struct RequestBody {
    bytes: Vec<u8>,
    state: BodyState,
    stream: StreamState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum BodyState {
    /// Never asked for, so there is none.
    #[default]
    Absent,
    Open,
    Finished,
    /// Dropped, or not as long as announced.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum StreamState {
    #[default]
    Untaken,
    Open,
    Closed,
}

/// The guest did what the interface forbids, and is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misuse(pub(super) &'static str);

impl Step {
    /// Does it. False when it was done before.
    pub(super) fn take(&mut self) -> bool {
        std::mem::replace(self, Self::Done) == Self::Open
    }
}

impl RequestBody {
    /// Opens the body. False when it was opened before.
    pub(super) fn open(&mut self) -> bool {
        let absent = self.state == BodyState::Absent;
        if absent {
            self.state = BodyState::Open;
        }
        absent
    }

    /// Opens the stream of the body. False when it was opened before.
    pub(super) fn open_stream(&mut self) -> bool {
        let untaken = self.stream == StreamState::Untaken;
        if untaken {
            self.stream = StreamState::Open;
        }
        untaken
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds to the body.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The guest dropped its stream.
    pub(super) fn close_stream(&mut self) {
        self.stream = StreamState::Closed;
    }

    /// The guest dropped the body.
    pub(super) fn close(&mut self) {
        if self.state == BodyState::Open {
            self.state = BodyState::Broken;
        }
    }

    /// Completes the body, which must be as long as the fields announced.
    pub(super) fn finish(&mut self, announced: &Fields) -> Result<Result<(), ErrorCode>, Misuse> {
        if self.stream == StreamState::Open {
            return Err(Misuse("finished an HTTP body whose stream it still held"));
        }
        let checked = self.check_length(announced);
        self.state = if checked.is_ok() { BodyState::Finished } else { BodyState::Broken };
        Ok(checked)
    }

    fn check_length(&self, announced: &Fields) -> Result<(), ErrorCode> {
        let length = self.bytes.len();
        let fits = |value: &Vec<u8>| {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            digits && std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) == Some(length)
        };
        let all_fit = announced.get(CONTENT_LENGTH.as_str()).iter().all(fits);
        if all_fit { Ok(()) } else { Err(ErrorCode::HttpRequestBodySize(Some(length as u64))) }
    }
}

impl Draft {
    /// Takes a path with its query. None when it is not one.
    pub(super) fn parse_path(text: &str) -> Option<PathAndQuery> {
        let fits = text.len() <= PATH_BYTES_MAX && (text.starts_with('/') || text.starts_with('?'));
        fits.then(|| text.parse().ok()).flatten()
    }

    /// Whether a text is an authority in form: a host and perhaps a port.
    pub(super) fn is_authority(text: &str) -> bool {
        split_authority(text, true).is_some()
    }

    /// The entry of the list that allows this request.
    pub(super) fn allowed_host(&self, grant: &HttpGrant) -> Result<HttpHost, ErrorCode> {
        let tls = match self.scheme {
            Scheme::Http => false,
            Scheme::Https | Scheme::Unsaid => true,
            Scheme::Other(_) => return Err(ErrorCode::HttpRequestDenied),
        };
        if self.method == Method::CONNECT || self.method == Method::TRACE {
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        let authority = self.authority.as_deref().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        grant.find(tls, authority).cloned().ok_or(ErrorCode::HttpRequestDenied)
    }
}

impl Exchange {
    /// A request that is to be written.
    pub(super) fn new(fields: Fields) -> Self {
        let request = Draft { fields, ..Draft::default() };
        Self { request, body: RequestBody::default(), stage: Stage::Draft, handles: 1 }
    }

    /// Takes the message that goes over the wire. None while the body is being written.
    pub(super) fn take_message(
        &mut self,
        host: &HttpHost,
    ) -> Option<Result<Request<Full<Bytes>>, ErrorCode>> {
        match self.body.state {
            BodyState::Open => None,
            BodyState::Finished => Some(self.message(host)),
            BodyState::Absent => {
                Some(self.body.check_length(&self.request.fields).and_then(|()| self.message(host)))
            }
            BodyState::Broken => {
                let reason = "the request's body was dropped before it was finished, or had another length";
                Some(Err(ErrorCode::InternalError(Some(reason.to_owned()))))
            }
        }
    }

    /// The fields that say whom it is for and how long it is come from the host alone.
    fn message(&mut self, host: &HttpHost) -> Result<Request<Full<Bytes>>, ErrorCode> {
        let body = Bytes::from(std::mem::take(&mut self.body.bytes));
        let path = self.request.path.take().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let authority =
            HeaderValue::try_from(host.authority()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = std::mem::take(&mut self.request.method);
        *request.uri_mut() = path.into();
        let headers = request.headers_mut();
        headers.insert(HOST, authority);
        for (name, value) in self.request.fields.entries() {
            headers.append(name, value.clone());
        }
        headers.remove(CONTENT_LENGTH);
        let is_expected = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        if is_expected || !body.is_empty() {
            request.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        }
        Ok(request.map(|_| Full::new(body)))
    }
}

#[cfg(test)]
mod tests;
