//! Goal: a crowd of bad peers costs the one who behaves nothing but time, and the broker little memory.
//! Method: a broker in a process of its own; slow, idle and guessing peers and browsers by the hundreds, all at once, and
//! a client that sends and polls meanwhile. Nothing is said about times here: `Victim` tells memory and open files.

use std::net::SocketAddr;
use std::time::Duration;

use iggy_binary_protocol::{HEADER_SIZE, Operation};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failures::Victim;
use crate::kit::{Raw, login_body};

const T: (&str, &str, u32) = ("s", "t", 0);
const SLOW: usize = 500;
const IDLE: usize = 1_000;
const GUESSING: usize = 16;
const BROWSERS: usize = 64;
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The 64 connections without login that the limits allow, those that log in, and what the broker has open anyhow.
const FILES_MAX: usize = 64 + 32;
/// How long a bad peer waits before it goes on being bad.
const PAUSE: Duration = Duration::from_millis(20);

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
async fn guess(address: SocketAddr) {
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            let mut raw = Raw::over(stream);
            let frame = raw.frame(Operation::Register, 0, &login_body("iggy", "guess"));
            let mut reply = [0; HEADER_SIZE];
            while raw.stream.write_all(&frame).await.is_ok()
                && raw.stream.read_exact(&mut reply).await.is_ok()
            {}
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

/// Both ends of more than a thousand connections have to be open at once.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_bad_peers_costs_the_good_one_nothing_but_time() {
    raise_file_limit();
    let dir = tempfile::tempdir().unwrap();
    let victim = Victim::start(dir.path());
    let mut good = victim.enter().await;
    good.create_stream("s").await;
    good.create_topic("s", "t", 1).await;
    let memory_before = victim.memory_bytes();

    let mut crowd = JoinSet::new();
    (0..SLOW).for_each(|_| drop(crowd.spawn(be_slow(victim.address))));
    (0..IDLE).for_each(|_| drop(crowd.spawn(be_idle(victim.address))));
    (0..GUESSING).for_each(|_| drop(crowd.spawn(guess(victim.address))));
    (0..BROWSERS).for_each(|_| drop(crowd.spawn(browse(victim.address))));
    for sent in 1..=200 {
        good.send(T, &[(sent, "m")]).await.ok();
        if sent % 20 == 0 {
            assert_eq!(good.contents(T).await.len() as u128, sent);
            let more = victim.memory_bytes().saturating_sub(memory_before);
            assert!(more <= MEMORY_BYTES_MAX, "{more} bytes more after {sent} messages");
            assert!(victim.open_files() <= FILES_MAX, "{} files are open", victim.open_files());
        }
    }
    crowd.shutdown().await;
    // Once the crowd is gone there is room for others again.
    let entered = async {
        loop {
            let mut raw = Raw::dial(victim.address).await;
            let frame = raw.frame(Operation::NonReplicated, 1, &[]);
            if raw.stream.write_all(&frame).await.is_ok() && raw.answer().await.is_some() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(crate::kit::HANG, entered).await.expect("others get in again");
}
