//! Calls hosts that it may not call, and forges requests; its rejection tells what got through. The type of the event
//! says what to try. It may call `http://listed.example.com` and port 1 of this machine, where nobody answers.

use guesthouse_guest::{Event, Failure};
use wasip2::http::outgoing_handler::handle as send;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingRequest, Scheme};

/// This machine, by many names.
const HERE: [&str; 8] =
    ["127.0.0.1", "127.0.0.1:8090", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "localhost"];

/// This machine and the network inside.
const INSIDE: [&str; 8] = [
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "0177.0.0.1",
    "169.254.169.254",
    "10.0.0.1",
    "localhost.",
];

/// The listed host with something about it changed.
const ALIKE: [&str; 8] = [
    "listed.example.com:8080",
    "listed.example.com.evil.example",
    "listed.example.com@127.0.0.1",
    "127.0.0.1#@listed.example.com",
    "user:password@listed.example.com",
    "listed.example.com\\@127.0.0.1",
    "sub.listed.example.com",
    "listed.example.com:80:80",
];

/// Fields that are the host's, or no fields at all.
const FIELDS: [(&str, &str); 12] = [
    ("host", "evil.example"),
    ("connection", "keep-alive"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("proxy-authorization", "x"),
    ("te", "trailers"),
    ("x\r\nhost", "evil.example"),
    ("x", "a\r\nhost: evil.example"),
    ("x", "a\0b"),
    ("", "x"),
    ("x y", "x"),
    ("x:", "x"),
];

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let found = match event.event_type() {
        "here" => hosts(HERE),
        "inside" => hosts(INSIDE),
        "alike" => hosts(ALIKE),
        "schemes" => passed("schemes", ["https", "ftp", "file"].into_iter().filter(|name| uses_scheme(name))),
        "fields" => passed("fields", FIELDS.into_iter().filter(is_accepted).map(|(name, _)| name)),
        "paths" => passed(
            "paths",
            ["/ HTTP/1.1\r\nhost: x", "/a b", "/\0", "x"].into_iter().filter(|path| takes_path(path)),
        ),
        "flood" => loop {
            let _response = send(request("127.0.0.1:1", &Scheme::Http), None);
        },
        "keep-requests" => keep(|| request("127.0.0.1:1", &Scheme::Http)),
        "keep-fields" => keep(Fields::new),
        other => format!("nothing to try for `{other}`"),
    };
    Err(Failure::reject(found))
}

/// What got through, by name.
fn passed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    format!("{} {what} passed: {}", names.len(), names.join(" "))
}

fn hosts(authorities: [&str; 8]) -> String {
    passed("hosts", authorities.into_iter().filter(|host| !is_refused(host, &Scheme::Http)))
}

fn is_refused(authority: &str, scheme: &Scheme) -> bool {
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(scheme)).and_then(|()| request.set_authority(Some(authority)));
    set.is_err()
        || matches!(send(request, None), Err(ErrorCode::HttpRequestDenied | ErrorCode::HttpRequestUriInvalid))
}

fn uses_scheme(name: &str) -> bool {
    let scheme = if name == "https" { Scheme::Https } else { Scheme::Other(name.to_owned()) };
    !is_refused("listed.example.com", &scheme)
}

fn is_accepted((name, value): &(&str, &str)) -> bool {
    let fields = Fields::new();
    let value = value.as_bytes();
    fields.append(name, value).is_ok()
        || fields.set(name, &[value.to_vec()]).is_ok()
        || Fields::from_list(&[((*name).to_owned(), value.to_vec())]).is_ok()
}

fn takes_path(path: &str) -> bool {
    let request = OutgoingRequest::new(Fields::new());
    request.set_path_with_query(Some(path)).is_ok()
        || request.set_method(&Method::Other("GET / HTTP/1.1\r\n".to_owned())).is_ok()
}

/// Makes things that are never used.
fn keep<T>(make: impl Fn() -> T) -> String {
    let mut kept = Vec::new();
    loop {
        kept.push(make());
    }
}

fn request(authority: &str, scheme: &Scheme) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(scheme)).and_then(|()| request.set_authority(Some(authority)));
    debug_assert!(set.is_ok());
    request
}
