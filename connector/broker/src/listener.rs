//! A small HTTP listener for those who look and change nothing. What a client decides about is bounded, and names that
//! lead here from elsewhere are refused. The broker's own surface and the endpoint of a host stand on it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::open_files;
use crate::workers::survive;

/// Open connections. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// How long the head of a request may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may stay, with all its requests and slow reading.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what is read at once.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after the system refused a connection, for example because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is shown to those who ask.
pub trait Surface: Send + Sync + 'static {
    /// The answer to a request for this path. Called on the task of its connection, for up to 16 of them at once, and
    /// dropped when the connection is broken.
    fn show(&self, path: &str) -> impl Future<Output = Answer> + Send;
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl Answer {
    /// Anything.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into() }
    }

    /// A text for people.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text)
    }

    /// A value as JSON; the reason where it cannot be written so.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(text) => Self::new(status, "application/json", text),
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

/// Serves until `end` completes, then breaks what is open: no request changes anything, so nothing is lost. Dropping the
/// future does the same without waiting.
///
/// On a loopback address only requests for `localhost` or such an address are answered.
pub async fn serve(listener: &TcpListener, surface: impl Surface, end: impl Future<Output = ()>) {
    let is_exposed = listener.local_addr().is_ok_and(|address| !address.ip().is_loopback());
    let names = if is_exposed { Names::Any } else { Names::Local };
    let surface = Arc::new(surface);
    let (mut connections, mut errors) = (JoinSet::new(), AcceptErrors::default());
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    errors.accepted("http");
                    connections.spawn(converse(Arc::clone(&surface), names, stream));
                }
                Ok(_) => {
                    survive(|| tracing::debug!("too many connections over http, a new one is closed"));
                }
                Err(error) => {
                    errors.note("http", &error);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    survive(|| tracing::error!(%error, "a connection over http ended in a panic, which is a bug"));
                }
            }
        }
    }
    connections.shutdown().await;
}

/// Tells that connections cannot be accepted, once until they can be again.
#[derive(Debug, Default)]
pub(crate) struct AcceptErrors(u64);

impl AcceptErrors {
    /// Notes an error of the system.
    pub(crate) fn note(&mut self, over: &str, error: &io::Error) {
        self.0 = self.0.saturating_add(1);
        if self.0 == 1 {
            let advice = open_files::explain(error).unwrap_or_default();
            survive(|| {
                tracing::warn!(%error, advice, "cannot accept connections over {over}; trying again until it works");
            });
        }
    }

    /// Notes that a connection was accepted.
    pub(crate) fn accepted(&mut self, over: &str) {
        let refused = std::mem::take(&mut self.0);
        if refused > 0 {
            survive(|| tracing::info!(refused, "connections over {over} are accepted again"));
        }
    }
}

/// Under which names one may ask.
#[derive(Debug, Clone, Copy)]
enum Names {
    Any,
    Local,
}

async fn converse(surface: Arc<impl Surface>, names: Names, stream: TcpStream) {
    let answer = service_fn(move |request| {
        let surface = Arc::clone(&surface);
        async move { Ok::<_, Infallible>(answer(surface.as_ref(), names, &request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let served = timeout(CONNECTION_TIME_MAX, http.serve_connection(TokioIo::new(stream), answer));
    if let Ok(Err(error)) = served.await {
        tracing::debug!(%error, "connection over http closed");
    }
}

/// Answers one request. A head and a body are answered alike; hyper leaves the body of the former away.
async fn answer(surface: &impl Surface, names: Names, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if matches!(names, Names::Local) && !is_local(request) {
        let elsewhere = "ask for localhost or 127.0.0.1\n";
        return respond(Answer::text(StatusCode::MISDIRECTED_REQUEST, elsewhere));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = respond(Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    respond(surface.show(request.uri().path()).await)
}

/// A page elsewhere can make a browser ask here under a name that leads to this machine: such a name is refused.
fn is_local<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = [
        (header::CONTENT_TYPE, answer.content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
