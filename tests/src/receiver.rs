//! A server on loopback that takes what handlers send over HTTP, remembers it, and answers as the path says.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers `200` at once.
pub const PROMPT: &str = "/prompt";
/// Answers `503` to the first request of each idempotency key, and `200` from then on.
pub const BROKEN_ONCE: &str = "/broken-once";
/// Never answers, and keeps the connection.
pub const SILENT: &str = "/silent";
/// Answers `302` and names [`PROMPT`] as the place to go.
pub const ELSEWHERE: &str = "/elsewhere";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Receiver {
    authority: String,
    seen: Seen,
    serving: JoinHandle<()>,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it went.
    pub path: String,
    /// Its header `idempotency-key`.
    pub key: String,
    /// Its body.
    pub body: Value,
}

type Seen = Arc<Mutex<Vec<Request>>>;

impl Receiver {
    /// Starts on any free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Seen::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&seen)));
        Self { authority: address.to_string(), seen, serving }
    }

    /// What an operator lists to allow it.
    pub fn host(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// The requests to a path so far, in their order.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        lock(&self.seen).iter().filter(|request| request.path == path).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, seen: Seen) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&seen)));
    }
}

/// Answers one request, or as many as the other end sends, one after the other.
async fn answer(mut stream: TcpStream, seen: Seen) {
    while let Some(request) = read(&mut stream).await {
        let before: HashSet<String> = lock(&seen).iter().map(|request| request.key.clone()).collect();
        lock(&seen).push(request.clone());
        let head = match request.path.as_str() {
            BROKEN_ONCE if !before.contains(&request.key) => "503 Service Unavailable\r\n".to_owned(),
            SILENT => return std::future::pending().await,
            ELSEWHERE => format!("302 Found\r\nlocation: {PROMPT}\r\n"),
            _ => "200 OK\r\n".to_owned(),
        };
        let response = format!("HTTP/1.1 {head}content-length: 0\r\n\r\n");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request of a connection; none when the other end has closed it.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = std::str::from_utf8(&bytes).expect("handlers send text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let length =
            field("content-length").map_or(0, |length| length.parse().expect("a length is a number"));
        if body.len() < length {
            continue;
        }
        let path = head.split(' ').nth(1).expect("a request has a path").to_owned();
        let key = field("idempotency-key").unwrap_or_default().to_owned();
        return Some(Request { path, key, body: serde_json::from_str(body).unwrap_or_default() });
    }
}

fn lock(seen: &Seen) -> std::sync::MutexGuard<'_, Vec<Request>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
