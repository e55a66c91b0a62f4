//! Looks for what a sandbox should not have, by way of Rust's standard library, and tells in its rejection what it
//! found. The type of the event says where to look.

use std::fmt::Display;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::Duration;
use std::{env, fs, io, thread};

use guesthouse_guest::{Event, Failure};

const MESSAGE_BYTES: usize = 10 << 20;

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let found = match event.event_type() {
        "environment" => environment(),
        "files" => files(),
        "sockets" => sockets(),
        "threads" => told("thread", &thread::Builder::new().spawn(|| ())),
        "input" => input(),
        "panic" => shout(),
        "sleep" => sleep(),
        other => format!("nowhere to look for `{other}`"),
    };
    Err(Failure::reject(found))
}

fn environment() -> String {
    let (variables, arguments) = (env::vars_os().count(), env::args_os().count());
    format!("{variables} variables, {arguments} arguments, {} programs", env::current_exe().iter().count())
}

fn files() -> String {
    [
        told("root", &fs::read_dir("/")),
        told("here", &fs::read_dir(".")),
        told("passwords", &fs::read("/etc/passwd")),
        told("parent", &fs::read("../../../etc/passwd")),
        told("write", &fs::write("/tmp/left-behind", "x")),
        told("link", &fs::read_link(Path::new("/proc/self/exe"))),
    ]
    .join(", ")
}

fn sockets() -> String {
    [
        told("connect", &TcpStream::connect((Ipv4Addr::LOCALHOST, 8090))),
        told("connect6", &TcpStream::connect((Ipv6Addr::LOCALHOST, 8090))),
        told("listen", &TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))),
        told("datagrams", &UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))),
        told("names", &("localhost", 80).to_socket_addrs()),
    ]
    .join(", ")
}

fn input() -> String {
    let mut text = String::new();
    match io::stdin().read_to_string(&mut text) {
        Ok(bytes) => format!("{bytes} bytes of input"),
        Err(error) => format!("no input: {error}"),
    }
}

#[expect(clippy::panic, reason = "to panic is the attack")]
fn shout() -> String {
    panic!("{}", "a secret ".repeat(MESSAGE_BYTES / 9));
}

fn sleep() -> String {
    thread::sleep(Duration::MAX);
    "slept".to_owned()
}

/// Whether something could be had.
fn told<T>(what: &str, result: &io::Result<T>) -> String {
    let found: &dyn Display = match result {
        Ok(_) => &"FOUND",
        Err(_) => &"none",
    };
    format!("{what} {found}")
}
