//! A Redis server for the hosts of one story, in a directory and on a port of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::eventually;

/// Ports that are tried; somebody else may take one between its choice and the server's start.
const TRIES: usize = 5;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        for _ in 0..TRIES {
            let mut server = Self::spawn();
            let answers = eventually("the Redis server answers or ends", async || {
                let ended = server.process.try_wait().expect("a child can be asked").is_some();
                (ended || server.answers()).then_some(!ended)
            });
            if answers.await {
                return server;
            }
        }
        panic!("none of {TRIES} ports stayed free until the server started")
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Stops it where it stands: it takes connections and answers nothing.
    pub fn freeze(&self) {
        kill_process(Pid::from_child(&self.process), Signal::STOP).expect("a child can be signalled");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill_process(Pid::from_child(&self.process), Signal::CONT).expect("a child can be signalled");
    }

    fn spawn() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        drop(listener);
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("this story needs the program `redis-server`: apt-get install redis-server");
        Self { process, port, _directory: directory }
    }

    fn answers(&self) -> bool {
        let ping = || -> std::io::Result<[u8; 7]> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        ping().is_ok_and(|answer| &answer == b"+PONG\r\n")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended before; either way nothing is left to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
