//! A small read-only HTTP surface on the loopback interface: health, metrics, and what the broker holds, as JSON and
//! as a page. It shows names and figures, never messages or users, and changes nothing.

mod metrics;
mod page;
mod report;

use std::convert::Infallible;
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
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

use crate::engine::Engine;
use crate::server::Stop;
use report::{BrokerReport, Report};

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

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// The listening socket and the connections that came in through it.
pub(crate) struct Http {
    listener: TcpListener,
    connections: JoinSet<()>,
    surface: Arc<Surface>,
}

/// What all connections share.
struct Surface {
    engine: Arc<Engine>,
    /// Reports are made one at a time: making one takes a thread from those who send and poll.
    turn: Semaphore,
}

type Answer = Response<Full<Bytes>>;

impl Http {
    pub(crate) fn new(listener: TcpListener, engine: Arc<Engine>) -> Self {
        let surface = Arc::new(Surface { engine, turn: Semaphore::new(1) });
        Self { listener, connections: JoinSet::new(), surface }
    }

    /// Serves until `stop` is told, then breaks what is open: nothing is changed by a request, so nothing is lost.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<Stop>) {
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.take_in(stream),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection over http");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection over http ended in a panic, which is a bug");
                    }
                }
            }
        }
        self.connections.shutdown().await;
    }

    fn take_in(&mut self, stream: TcpStream) {
        if self.connections.len() >= CONNECTIONS_MAX {
            tracing::debug!("too many connections over http, a new one is closed");
            return;
        }
        self.connections.spawn(serve(Arc::clone(&self.surface), stream));
    }
}

async fn stopped(stop: &mut watch::Receiver<Stop>) {
    // Nobody left to tell is as good as being told.
    let _told = stop.wait_for(Option::is_some).await;
}

async fn serve(surface: Arc<Surface>, stream: TcpStream) {
    let answer = service_fn(move |request| {
        let surface = Arc::clone(&surface);
        async move { Ok::<_, Infallible>(surface.answer(&request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let served = timeout(CONNECTION_TIME_MAX, http.serve_connection(TokioIo::new(stream), answer));
    if let Ok(Err(error)) = served.await {
        tracing::debug!(%error, "connection over http closed");
    }
}

impl Surface {
    /// Answers one request. A head and a body are answered alike; hyper leaves the body of the former away.
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !is_local(request) {
            return plain(StatusCode::MISDIRECTED_REQUEST, "ask for localhost or 127.0.0.1\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let show: fn(&Report) -> Answer = match request.uri().path() {
            "/" => |report| answer(StatusCode::OK, HTML, page::render(report)),
            "/health" => health,
            "/metrics" => |report| answer(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(report)),
            "/streams" => |report| json(StatusCode::OK, &report.broker.streams),
            "/topics" => |report| json(StatusCode::OK, &report.topics),
            "/groups" => |report| json(StatusCode::OK, &report.groups),
            _ => {
                return plain(
                    StatusCode::NOT_FOUND,
                    "there are / /health /metrics /streams /topics /groups\n",
                );
            }
        };
        let Ok(_turn) = self.turn.acquire().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the broker stops\n");
        };
        block_in_place(|| show(&Report::of(&self.engine)))
    }
}

/// A page elsewhere can make a browser ask here under a name that leads to this machine: such a name is refused.
fn is_local(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the broker does all that it is for.
#[derive(Debug, Serialize)]
struct Health<'a> {
    status: &'static str,
    broker: &'a BrokerReport,
    /// Those that do not serve.
    partitions: Vec<Trouble<'a>>,
}

/// A partition that does not serve.
#[derive(Debug, Serialize)]
struct Trouble<'a> {
    stream: &'a str,
    topic: &'a str,
    partition: u32,
    state: &'static str,
    reason: Option<&'a str>,
}

fn health(report: &Report) -> Answer {
    let partitions: Vec<Trouble<'_>> = report
        .troubled()
        .map(|(topic, partition)| Trouble {
            stream: &topic.stream,
            topic: &topic.name,
            partition: partition.id,
            state: partition.state,
            reason: partition.reason.as_deref(),
        })
        .collect();
    let (code, status) = match partitions.is_empty() {
        true => (StatusCode::OK, "healthy"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    json(code, &Health { status, broker: &report.broker, partitions })
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(text) => answer(status, JSON, text),
        // Texts and numbers only: there is nothing in it that could not be written.
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, TEXT, text)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
