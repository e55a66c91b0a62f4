//! The courier against servers on loopback that answer as a script says, and against scripted names.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream as Stream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// What a server does with a connection, after it has read a head.
type Script = fn(&mut Stream);

/// Plenty: no test takes that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES_MAX: u64 = 100_000;

/// Serves connections, one after the other, until the last one. Returns the port, and what was sent first on each.
fn serve(script: impl Fn(&mut Stream) + Send + 'static) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            script(&mut stream);
        }
    });
    (port, heads)
}

fn errand(host: &str, body: &'static [u8]) -> Errand {
    let host: HttpHost = host.parse().unwrap();
    let mut request = Request::new(Full::new(Bytes::from_static(body)));
    *request.uri_mut() = "/orders?a=b".parse().unwrap();
    request.headers_mut().insert("host", host.authority().parse().unwrap());
    let lookups = Arc::new(Semaphore::new(1));
    Errand { host, request, timeouts: Timeouts::default(), bytes_max: BYTES_MAX, lookups }
}

fn bring(courier: &Courier, errand: Errand) -> Result<Response, ErrorCode> {
    courier.bring(errand, Instant::now() + PATIENCE).unwrap()
}

fn answer(script: impl Fn(&mut Stream) + Send + 'static) -> Result<Response, ErrorCode> {
    let (port, _) = serve(script);
    bring(&Courier::start().unwrap(), errand(&format!("http://127.0.0.1:{port}"), b""))
}

fn say(stream: &mut Stream, text: &str) {
    // The other end may have had enough.
    drop(stream.write_all(text.as_bytes()));
}

#[test]
fn a_request_arrives_and_its_response_comes_back() {
    let (port, heads) = serve(|stream| {
        say(stream, "HTTP/1.1 201 Created\r\nx-one: 1\r\nx-one: 2\r\ncontent-length: 5\r\n\r\nhello");
    });
    let response =
        bring(&Courier::start().unwrap(), errand(&format!("http://localhost:{port}"), b"")).unwrap();
    assert_eq!((response.status, &*response.body), (201, &b"hello"[..]));
    assert_eq!(response.fields.get("x-one"), [b"1", b"2"]);
    assert_eq!(
        *heads.lock().unwrap(),
        [format!("GET /orders?a=b HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n")]
    );
}

#[test]
fn bodies_come_in_every_form() {
    let forms: [(Script, &[u8]); 4] = [
        (|stream| say(stream, "HTTP/1.1 204 No Content\r\n\r\n"), b""),
        (|stream| say(stream, "HTTP/1.0 200 OK\r\n\r\nuntil the end"), b"until the end"),
        (
            |stream| {
                say(
                    stream,
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: u\r\n\r\n",
                );
            },
            b"abcde",
        ),
        (
            |stream| {
                say(stream, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            },
            b"ok",
        ),
    ];
    for (script, body) in forms {
        assert_eq!(&*answer(script).unwrap().body, body);
    }
}

#[test]
fn a_redirect_is_a_response_like_any_other() {
    let (elsewhere, followed) = serve(|stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let response = answer(move |stream| {
        let location = format!("http://127.0.0.1:{elsewhere}/");
        say(stream, &format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"));
    });
    assert_eq!(response.unwrap().status, 302);
    assert!(followed.lock().unwrap().is_empty());
}

#[test]
fn responses_that_break_the_protocol_or_a_bound_are_refused() {
    let cases: [(Script, ErrorCode); 10] = [
        (|stream| say(stream, "NONSENSE\r\n\r\n"), ErrorCode::HttpProtocolError),
        (|stream| say(stream, "HTTP/1.1 200 OK\r\nbad header\r\n\r\n"), ErrorCode::HttpProtocolError),
        (
            |stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
            ErrorCode::HttpProtocolError,
        ),
        (|_| {}, ErrorCode::ConnectionTerminated),
        (
            |stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"),
            ErrorCode::HttpResponseIncomplete,
        ),
        (
            |stream| say(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
            ErrorCode::HttpResponseIncomplete,
        ),
        (
            |stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n"),
            ErrorCode::HttpResponseBodySize(Some(100_001)),
        ),
        (
            |stream| {
                say(stream, "HTTP/1.1 200 OK\r\n");
                (0..3_000).for_each(|number| say(stream, &format!("x-{number}: {number:060}\r\n")));
            },
            ErrorCode::HttpResponseHeaderSectionSize(None),
        ),
        (
            |stream| {
                say(stream, "HTTP/1.1 200 OK\r\n");
                (0..300).for_each(|number| say(stream, &format!("x-{number}: 1\r\n")));
                say(stream, "\r\n");
            },
            ErrorCode::HttpResponseHeaderSectionSize(None),
        ),
        (
            |stream| {
                say(stream, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            },
            ErrorCode::HttpUpgradeFailed,
        ),
    ];
    for (at, (script, expected)) in cases.into_iter().enumerate() {
        assert_eq!(answer(script).unwrap_err(), expected, "case {at}");
    }
}

#[test]
fn an_endless_body_ends_at_its_bound() {
    let endless = answer(|stream| {
        say(stream, "HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let Err(ErrorCode::HttpResponseBodySize(Some(bytes))) = endless else { panic!("{endless:?}") };
    assert!(bytes > BYTES_MAX && bytes < 4 * BYTES_MAX, "{bytes}");
}

#[test]
fn a_silent_server_is_waited_for_until_the_deadline_and_no_longer() {
    let (port, _) = serve(|stream| {
        say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na");
        drop(stream.read(&mut [0]));
    });
    let courier = Courier::start().unwrap();
    let host = format!("http://127.0.0.1:{port}");
    let began = Instant::now();
    let late = courier.bring(errand(&host, b""), began + Duration::from_millis(100));
    assert_eq!(late.unwrap_err(), OutOfTime);
    assert!(began.elapsed() >= Duration::from_millis(100));

    let impatient = Timeouts { between_bytes: Some(Duration::from_millis(10)), ..Timeouts::default() };
    let errand = Errand { timeouts: impatient, ..errand(&host, b"") };
    assert_eq!(bring(&courier, errand).unwrap_err(), ErrorCode::ConnectionReadTimeout);
}

#[test]
fn a_guest_may_be_less_patient_than_its_deadline() {
    let (port, _) = serve(|stream| drop(stream.read(&mut [0])));
    let impatient = Timeouts { first_byte: Some(Duration::from_millis(10)), ..Timeouts::default() };
    let errand = Errand { timeouts: impatient, ..errand(&format!("http://127.0.0.1:{port}"), b"") };
    assert_eq!(bring(&Courier::start().unwrap(), errand).unwrap_err(), ErrorCode::HttpResponseTimeout);
}

#[test]
fn stopping_ends_what_is_under_way_and_what_comes_later() {
    let (port, heads) = serve(|stream| drop(stream.read(&mut [0])));
    let courier = Courier::start().unwrap();
    let host = format!("http://127.0.0.1:{port}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| courier.bring(errand(&host, b""), Instant::now() + PATIENCE));
        while heads.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        courier.stop();
        assert_eq!(waiting.join().unwrap().unwrap_err(), OutOfTime);
    });
    assert_eq!(courier.bring(errand(&host, b""), Instant::now() + PATIENCE).unwrap_err(), OutOfTime);
}

#[test]
fn nobody_at_home_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = bring(&Courier::start().unwrap(), errand(&format!("http://127.0.0.1:{port}"), b""));
    assert_eq!(refused.unwrap_err(), ErrorCode::ConnectionRefused);
}

/// A courier whose names have these addresses, one list for each time that they are asked for; and the times.
fn scripted(answers: &'static [&'static [&'static str]]) -> (Courier, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let resolver = move |_: &str| {
        let answer = answers.get(times.fetch_add(1, Ordering::SeqCst)).ok_or(io::ErrorKind::NotFound)?;
        Ok(answer.iter().map(|text| text.parse().unwrap()).collect())
    };
    (Courier::with_resolver(Arc::new(resolver)).unwrap(), asked)
}

#[test]
fn a_name_that_leads_inside_is_never_connected_to() {
    let answers: &[&[&str]] = &[
        &["127.0.0.1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["fd00::1"],
        &["0.0.0.0"],
        &["93.184.216.34", "127.0.0.1"],
    ];
    let (courier, asked) = scripted(answers);
    for (at, addresses) in answers.iter().enumerate() {
        let refused = bring(&courier, errand("http://api.example.com", b"")).unwrap_err();
        assert_eq!(refused, ErrorCode::DestinationIpProhibited, "{addresses:?}");
        assert_eq!(asked.load(Ordering::SeqCst), at + 1, "a name is resolved once for each request");
    }
    let unknown = bring(&courier, errand("http://api.example.com", b"")).unwrap_err();
    assert!(matches!(unknown, ErrorCode::DnsError(_)));
}

#[test]
fn a_name_that_turns_private_on_the_second_lookup_is_asked_once() {
    let (port, heads) = serve(|stream| say(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
    let (courier, asked) = scripted(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let host = format!("http://localhost:{port}");
    assert_eq!(bring(&courier, errand(&host, b"")).unwrap().status, 204);
    assert_eq!((asked.load(Ordering::SeqCst), heads.lock().unwrap().len()), (1, 1));
    assert_eq!(bring(&courier, errand(&host, b"")).unwrap_err(), ErrorCode::DestinationIpProhibited);
}

#[test]
fn names_that_nobody_answers_for_do_not_pile_up() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&under_way);
    let (answer_tx, answer_rx) = std::sync::mpsc::sync_channel::<()>(0);
    let answer_rx = Mutex::new(answer_rx);
    let stuck = move |_: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
        // Until the test is over.
        assert!(answer_rx.lock().unwrap().recv().is_err());
        Err(io::ErrorKind::TimedOut.into())
    };
    let courier = Courier::with_resolver(Arc::new(stuck)).unwrap();
    let lookups = Arc::new(Semaphore::new(1));
    for _ in 0..5 {
        let errand = Errand { lookups: Arc::clone(&lookups), ..errand("http://api.example.com", b"") };
        let late = courier.bring(errand, Instant::now() + Duration::from_millis(20));
        assert_eq!(late.unwrap_err(), OutOfTime);
    }
    assert_eq!(under_way.load(Ordering::SeqCst), 1);
    drop(answer_tx);
}

/// An authority of our own, a server that it vouches for under this name, and the server's port.
fn serve_tls(name: &str) -> (RootCertStore, u16) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let server =
        rcgen::CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        config.with_no_client_auth().with_single_cert(vec![server.der().clone()], key.into()).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // A client that does not trust this server says nothing.
            if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            }
        }
    });
    (roots, port)
}

fn trusting(roots: RootCertStore) -> Courier {
    let courier = Courier::start().unwrap();
    assert!(courier.tls.set(TlsConnector::from(Arc::new(roots::client_config(roots)))).is_ok());
    courier
}

#[test]
fn a_server_is_believed_when_a_trusted_authority_vouches_for_its_name() {
    let (roots, port) = serve_tls("localhost");
    let host = format!("https://localhost:{port}");
    assert_eq!(&*bring(&trusting(roots.clone()), errand(&host, b"")).unwrap().body, b"ok");

    let stranger = bring(&trusting(RootCertStore::empty()), errand(&host, b""));
    assert_eq!(stranger.unwrap_err(), ErrorCode::TlsCertificateError);
    let (other_roots, _) = serve_tls("localhost");
    let other = bring(&trusting(other_roots), errand(&host, b""));
    assert_eq!(other.unwrap_err(), ErrorCode::TlsCertificateError);
    let by_address = bring(&trusting(roots), errand(&format!("https://127.0.0.1:{port}"), b""));
    assert_eq!(by_address.unwrap_err(), ErrorCode::TlsCertificateError, "the certificate has another name");
}

#[test]
fn a_server_without_tls_is_not_taken_for_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        say(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n");
        // Until the other end has seen enough.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let plain = bring(&trusting(RootCertStore::empty()), errand(&format!("https://127.0.0.1:{port}"), b""));
    assert_eq!(plain.unwrap_err(), ErrorCode::TlsProtocolError);
}
