//! Bad peers by the hundreds: slow ones, silent ones, guessers of passwords, and browsers.

use std::net::SocketAddr;
use std::time::Duration;

use iggy_binary_protocol::HEADER_SIZE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SLOW: usize = 500;
const IDLE: usize = 1_000;
const GUESSING: usize = 16;
const BROWSERS: usize = 64;
/// How long a bad peer waits before it goes on being bad.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Lets all of them loose on a broker, until the set is dropped. `guess` is the frame of a login with a wrong password.
pub(crate) fn crowd(address: SocketAddr, guess: &[u8]) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    (0..SLOW).for_each(|_| drop(crowd.spawn(be_slow(address))));
    (0..IDLE).for_each(|_| drop(crowd.spawn(be_idle(address))));
    (0..GUESSING).for_each(|_| drop(crowd.spawn(keep_guessing(address, guess.to_vec()))));
    (0..BROWSERS).for_each(|_| drop(crowd.spawn(browse(address))));
    crowd
}

/// Sends a header byte by byte, and begins again when it is broken off.
async fn be_slow(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            for _ in 0..HEADER_SIZE {
                if stream.write_all(&[0]).await.is_err() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says nothing, and comes again when it is sent away.
async fn be_idle(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            // The end of the connection is all that can come.
            let _ended = stream.read(&mut [0]).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Guesses passwords until it is sent away, and begins again.
async fn keep_guessing(address: SocketAddr, guess: Vec<u8>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut reply = [0; HEADER_SIZE];
            while stream.write_all(&guess).await.is_ok() && stream.read_exact(&mut reply).await.is_ok() {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes the broker for a web server.
async fn browse(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _sent = stream.write_all(&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10)).await;
            let _ended = stream.read(&mut [0; 1_024]).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
