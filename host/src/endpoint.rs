//! The endpoint: metrics and health over HTTP, for those who watch a host from outside. It changes nothing, and shows
//! names of the configuration, figures and reasons, but no events and no secrets.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::HealthStatus;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::host::HostHandle;
use crate::metrics::MetricsCollector;

/// Open connections. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;

/// How long the head of a request may take, and how long a connection may stay with all that it asks for.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Pause after the system refused a connection, for example because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where a host can be asked how it fares.
pub(crate) const HEALTH_PATH: &str = "/health/ready";

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `metrics.listen` {address}: expected a free address of this machine")]
pub struct EndpointError {
    address: SocketAddr,
    source: std::io::Error,
}

/// What every connection shows.
struct Shown {
    host: HostHandle,
    metrics: MetricsCollector,
    /// Whether only this machine can connect.
    is_local: bool,
}

type Answer = Response<Full<Bytes>>;

impl Endpoint {
    /// Listens. Connections wait until [`Self::run`].
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, EndpointError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source| EndpointError { address, source })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, which breaks what is open. Never ends by itself.
    pub(crate) async fn run(self, host: HostHandle) {
        let Self { listener, address } = self;
        tracing::info!("metrics and health at http://{address}/metrics and http://{address}{HEALTH_PATH}");
        let metrics = MetricsCollector::new().host(&host);
        let shown = Arc::new(Shown { host, metrics, is_local: address.ip().is_loopback() });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(serve(Arc::clone(&shown), stream));
                    }
                    Ok(_) => tracing::debug!("too many connections over http, a new one is closed"),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection over http");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection over http ended in a panic, which is a fault of the host");
                    }
                }
            }
        }
    }
}

async fn serve(shown: Arc<Shown>, stream: TcpStream) {
    let answer = service_fn(move |request: Request<_>| {
        let answer = shown.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let served = timeout(CONNECTION_TIME_MAX, http.serve_connection(TokioIo::new(stream), answer));
    if let Ok(Err(error)) = served.await {
        tracing::debug!(%error, "connection over http closed");
    }
}

impl Shown {
    /// Answers one request. A head and a body are answered alike; hyper leaves the body of the former away.
    fn answer<B>(&self, request: &Request<B>) -> Answer {
        if self.is_local && !is_for_this_machine(request) {
            return plain(StatusCode::MISDIRECTED_REQUEST, "ask for localhost or 127.0.0.1\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => match self.metrics.to_text() {
                Ok(text) => answer(StatusCode::OK, METRICS, text),
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            "/health/live" => plain(StatusCode::OK, "alive\n"),
            HEALTH_PATH => self.health(),
            _ => plain(StatusCode::NOT_FOUND, "there are /metrics /health/live /health/ready\n"),
        }
    }

    /// A host that works is ready, also when somebody should look at it.
    fn health(&self) -> Answer {
        let health = self.host.health();
        let code = match health.status {
            HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
            HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        };
        match serde_json::to_vec_pretty(&health) {
            Ok(text) => answer(code, JSON, text),
            // Texts and numbers only: there is nothing in it that could not be written.
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

/// A page elsewhere can make a browser ask here under a name that leads to this machine: such a name is refused.
fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
