//! A real Redis server for a test, in a directory and on a port of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Ports that are tried; somebody else may take one between its choice and the server's start.
const TRIES: usize = 5;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        (0..TRIES).find_map(|_| Self::try_start()).expect("one of a few ports stays free for a moment")
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn try_start() -> Option<Self> {
        // The listener is gone at the end of this statement, and the port is free again.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(port)
    }

    /// Starts one on a port; none when that is taken.
    pub(crate) fn start_on(port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect(
                "the tests of the state store need the program `redis-server`: apt-get install redis-server",
            );
        let mut server = Self { process, port, _directory: directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        let client = redis::Client::open(server.url(0)).unwrap();
        while server.process.try_wait().unwrap().is_none() && Instant::now() < deadline {
            let connection = client.get_connection_with_timeout(Duration::from_secs(1));
            if connection.is_ok_and(|mut connection| redis::cmd("PING").query::<()>(&mut connection).is_ok())
            {
                return Some(server);
            }
            thread::yield_now();
        }
        None
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended before; either way nothing is left to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
