//! The courier: brings one request to its host and the response back, in the time that is left for it.
//!
//! Every request has a connection of its own, so that nothing of one guest's exchange can reach another's. The name of
//! the host is resolved once, the addresses are judged, and the connection goes to one of those. Nothing is
//! followed, and nothing is taken from the environment but the system's certificates.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::Reach;
use super::error_code::ErrorCode;
use super::fields::{FIELDS_BYTES_MAX, Fields};
use super::{failure, roots};
use crate::sandbox::HttpHost;

/// Longest time for resolving a name, connecting and the handshake of TLS.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Addresses of a host that are tried, each for its share of the time to connect.
const ADDRESSES_MAX: usize = 4;
/// Most fields of a response.
const RESPONSE_FIELDS_MAX: usize = 256;
/// Threads for resolving names. The operating system cannot be told to stop, so a name that nobody answers for
/// holds one for some seconds after its guest was stopped.
const RESOLVER_THREADS: usize = 64;

/// Finds the addresses of a name; blocks.
pub(super) type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Brings requests to their hosts, for all guests. It has one thread to watch connections; the rest of the work is done
/// by the threads that wait.
pub(in crate::sandbox) struct Courier {
    /// Absent once it is being dropped.
    runtime: Option<Runtime>,
    resolver: Arc<Resolver>,
    tls: OnceLock<TlsConnector>,
    stopped: watch::Sender<bool>,
}

/// A request to bring.
pub(super) struct Errand {
    /// The entry of the operator's list that allows it.
    pub(super) host: HttpHost,
    /// With its path, its fields, and `host`.
    pub(super) request: Request<Full<Bytes>>,
    /// What the guest allows for parts of it.
    pub(super) timeouts: Timeouts,
    /// Largest body of a response, in bytes.
    pub(super) bytes_max: u64,
    /// Names that its handler resolves at once.
    pub(super) lookups: Arc<Semaphore>,
}

/// How long the parts of an exchange may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) between_bytes: Option<Duration>,
}

/// A response, whole.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: Bytes,
}

/// The time for an exchange is over, or the host stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfTime;

impl Courier {
    /// A courier that asks the operating system for names.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(in crate::sandbox) fn start() -> io::Result<Self> {
        Self::with_resolver(Arc::new(resolve))
    }

    /// A courier with another way to resolve names.
    pub(super) fn with_resolver(resolver: Arc<Resolver>) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(RESOLVER_THREADS)
            .thread_name("guest-http")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            resolver,
            tls: OnceLock::new(),
            stopped: watch::Sender::new(false),
        })
    }

    /// Reads the system's certificates now, so that no guest's deadline pays for it.
    pub(super) fn prepare_tls(&self) -> &TlsConnector {
        self.tls.get_or_init(|| TlsConnector::from(Arc::new(roots::client_config(roots::of_system()))))
    }

    /// Ends every exchange that is under way, and every later one, as if its time were over.
    pub(in crate::sandbox) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Brings a request and waits for the whole response, until `deadline`. Blocks the thread, which must not be one
    /// that runs asynchronous tasks.
    pub(super) fn bring(
        &self,
        errand: Errand,
        deadline: Instant,
    ) -> Result<Result<Response, ErrorCode>, OutOfTime> {
        // A timer that is late from the start goes off a moment later, in which a near host may answer.
        let in_time = Instant::now() < deadline;
        let Some(runtime) = self.runtime.as_ref().filter(|_| in_time) else { return Err(OutOfTime) };
        let mut stopped = self.stopped.subscribe();
        let exchange = Box::pin(self.exchange(errand));
        runtime.handle().block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => Err(OutOfTime),
                result = timeout_at(deadline.into(), exchange) => result.map_err(|_| OutOfTime),
            }
        })
    }

    async fn exchange(&self, errand: Errand) -> Result<Response, ErrorCode> {
        let Errand { host, request, timeouts, bytes_max, lookups } = errand;
        let connect_max = timeouts.connect.map_or(CONNECT_MAX, |wanted| wanted.min(CONNECT_MAX));
        let connect = async {
            let addresses = self.addresses(&host, &lookups).await?;
            let stream = connect(&addresses, connect_max).await?;
            if host.tls { self.encrypt(&host, stream).await } else { Ok(Connected::Plain(stream)) }
        };
        let connected = within(Some(connect_max), ErrorCode::ConnectionTimeout, connect).await?;
        match connected {
            Connected::Plain(stream) => converse(stream, request, timeouts, bytes_max).await,
            Connected::Tls(stream) => converse(*stream, request, timeouts, bytes_max).await,
        }
    }

    /// The addresses of a host, all of which may be connected to.
    async fn addresses(
        &self,
        host: &HttpHost,
        lookups: &Arc<Semaphore>,
    ) -> Result<Vec<SocketAddr>, ErrorCode> {
        let reach = Reach::of(host);
        let found = match reach {
            Reach::Exactly(address) => vec![address],
            Reach::Public | Reach::Loopback => self.resolve(&host.host, lookups).await?,
        };
        // One bad address spoils the name: who answers like that is not to be trusted with the others.
        if !found.iter().all(|address| reach.allows(*address)) {
            return Err(ErrorCode::DestinationIpProhibited);
        }
        Ok(found.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, host.port)).collect())
    }

    async fn resolve(&self, name: &str, lookups: &Arc<Semaphore>) -> Result<Vec<IpAddr>, ErrorCode> {
        // Held by the lookup and not by who waits for it, so that names nobody answers for do not pile up.
        let permit = Arc::clone(lookups).acquire_owned().await;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            resolver(&name)
        });
        match lookup.await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            _ => Err(failure::dns()),
        }
    }

    async fn encrypt(&self, host: &HttpHost, stream: TcpStream) -> Result<Connected, ErrorCode> {
        let name = ServerName::try_from(host.host.clone()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let connected = self.prepare_tls().connect(name, stream).await;
        connected.map(|stream| Connected::Tls(Box::new(stream))).map_err(|error| failure::of_tls(&error))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting for lookups, and allowed wherever the last owner happens to be.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("stopped", &*self.stopped.borrow()).finish_non_exhaustive()
    }
}

enum Connected {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Asks the operating system.
fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    use std::net::ToSocketAddrs;
    let mut found: Vec<IpAddr> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    found.dedup();
    Ok(found)
}

/// Connects to the first address that answers.
async fn connect(addresses: &[SocketAddr], time: Duration) -> Result<TcpStream, ErrorCode> {
    let share = time / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = failure::dns();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it a small request may wait for the acknowledgement of the one before.
                stream.set_nodelay(true).map_err(|error| failure::of_connecting(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = failure::of_connecting(&error),
            Err(_) => last = ErrorCode::ConnectionTimeout,
        }
    }
    Err(last)
}

/// Sends the request and reads the response on a connection that ends with it.
async fn converse(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    timeouts: Timeouts,
    bytes_max: u64,
) -> Result<Response, ErrorCode> {
    let builder = http1::Builder::new()
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_header_size(FIELDS_BYTES_MAX)
        .max_buf_size(2 * FIELDS_BYTES_MAX)
        .to_owned();
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| failure::of_head(&error))?;
    let exchange = async {
        let head = async { sender.send_request(request).await.map_err(|error| failure::of_head(&error)) };
        let response = within(timeouts.first_byte, ErrorCode::HttpResponseTimeout, head).await?;
        collect(response, timeouts.between_bytes, bytes_max).await
    };
    // The connection moves the bytes. What it has read is still to be collected when it ends, and what went wrong
    // with it is told to the exchange.
    let moving = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = exchange => result,
        () = moving => Err(ErrorCode::ConnectionTerminated),
    }
}

async fn collect(
    response: http::Response<Incoming>,
    between_bytes: Option<Duration>,
    bytes_max: u64,
) -> Result<Response, ErrorCode> {
    let (head, mut incoming) = response.into_parts();
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(ErrorCode::HttpUpgradeFailed);
    }
    let announced = incoming.size_hint().lower();
    if announced > bytes_max {
        return Err(ErrorCode::HttpResponseBodySize(Some(announced)));
    }
    let mut body = BytesMut::new();
    loop {
        let next = async { Ok(incoming.frame().await) };
        let Some(frame) = within(between_bytes, ErrorCode::ConnectionReadTimeout, next).await? else { break };
        let frame = frame.map_err(|error| failure::of_body(&error))?;
        // What is not data is trailers, which are not handed on.
        let Ok(data) = frame.into_data() else { continue };
        let bytes = (body.len() as u64).saturating_add(data.len() as u64);
        if bytes > bytes_max {
            return Err(ErrorCode::HttpResponseBodySize(Some(bytes)));
        }
        body.extend_from_slice(&data);
    }
    let fields = Fields::of_response(&head.headers);
    Ok(Response { status: head.status.as_u16(), fields, body: body.freeze() })
}

/// Waits for a part of an exchange, when it has a time of its own not longer than that.
async fn within<T>(
    time: Option<Duration>,
    error: ErrorCode,
    part: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    match time {
        Some(time) => timeout(time, part).await.unwrap_or(Err(error)),
        None => part.await,
    }
}

#[cfg(test)]
mod tests;
