//! The message that goes over the wire, and the state of its body.

use super::*;

fn host(text: &str) -> HttpHost {
    text.parse().unwrap()
}

fn exchange(fields: &[(&str, &str)]) -> Exchange {
    let mut kept = Fields::default();
    for (name, value) in fields {
        assert_eq!(kept.append(name, value.as_bytes()), Ok(Ok(())));
    }
    Exchange::new(kept)
}

fn written(exchange: &mut Exchange, method: Method, body: &[u8]) -> Result<Request<Full<Bytes>>, ErrorCode> {
    exchange.request.method = method;
    assert!(exchange.body.open() && exchange.body.open_stream());
    exchange.body.write(body);
    exchange.body.close_stream();
    exchange.body.finish(&exchange.request.fields).unwrap()?;
    exchange.take_message(&host("https://api.example.com")).unwrap()
}

fn header<'a>(request: &'a Request<Full<Bytes>>, name: &str) -> Vec<&'a str> {
    request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn the_host_alone_says_whom_a_request_is_for_and_how_long_it_is() {
    let mut exchange = exchange(&[("content-length", "5"), ("content-length", "05"), ("x", "y")]);
    let request = written(&mut exchange, Method::POST, b"hello").unwrap();
    assert_eq!(header(&request, "content-length"), ["5"]);
    assert_eq!(header(&request, "host"), ["api.example.com"]);
    assert_eq!(header(&request, "x"), ["y"]);
    assert_eq!(request.uri(), "/");
}

#[test]
fn a_length_other_than_announced_is_refused() {
    for announced in ["4", "6", "", "+5", "5, 5", "0x5", "18446744073709551621"] {
        let mut exchange = exchange(&[("content-length", announced)]);
        let refused = written(&mut exchange, Method::POST, b"hello").unwrap_err();
        assert_eq!(refused, ErrorCode::HttpRequestBodySize(Some(5)), "{announced}");
        let sent = exchange.take_message(&host("https://api.example.com")).unwrap();
        assert!(matches!(sent, Err(ErrorCode::InternalError(_))), "a refused body goes nowhere");
    }
    let absent = exchange(&[("content-length", "5")]).take_message(&host("http://localhost")).unwrap();
    assert_eq!(absent.unwrap_err(), ErrorCode::HttpRequestBodySize(Some(0)));
}

#[test]
fn a_request_without_a_body_says_so_where_one_is_expected() {
    for (method, expected) in [(Method::GET, &[][..]), (Method::DELETE, &["0"]), (Method::POST, &["0"])] {
        let mut exchange = exchange(&[]);
        exchange.request.method = method.clone();
        let request = exchange.take_message(&host("http://localhost:81")).unwrap().unwrap();
        assert_eq!(header(&request, "content-length"), expected, "{method}");
        assert_eq!(header(&request, "host"), ["localhost:81"]);
    }
}

#[test]
fn a_body_is_sent_when_it_is_finished_and_never_when_it_was_dropped() {
    let mut exchange = exchange(&[]);
    assert!(exchange.body.open());
    assert!(!exchange.body.open(), "there is one body");
    assert!(exchange.body.open_stream());
    assert!(!exchange.body.open_stream(), "and one stream of it");
    assert!(exchange.take_message(&host("http://localhost")).is_none());
    assert!(exchange.body.finish(&Fields::default()).is_err(), "its stream is still open");
    exchange.body.close();
    let sent = exchange.take_message(&host("http://localhost")).unwrap();
    assert!(matches!(sent, Err(ErrorCode::InternalError(_))));
}

#[test]
fn a_path_is_a_path_and_an_authority_an_authority() {
    for path in ["/", "/a/b?c=d&e=%20", "?a=b", "/a//b;c"] {
        assert!(Draft::parse_path(path).is_some(), "{path}");
    }
    let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
    for path in ["", "a", "http://evil.com/", "*", "/a b", "/a\r\nhost: b", "/a\0", long.as_str()] {
        assert!(Draft::parse_path(path).is_none(), "{path}");
    }
    assert!(Draft::is_authority("api.example.com:8080"));
    for authority in ["", "a@b", "a:b", "a/b", "a b", "[::1"] {
        assert!(!Draft::is_authority(authority), "{authority}");
    }
}

#[test]
fn only_requests_to_listed_hosts_are_allowed() {
    let grant = HttpGrant { hosts: vec![host("https://api.example.com"), host("http://localhost:81")] };
    let allowed = |scheme: Scheme, authority: &str, method: Method| {
        let authority = Some(authority.to_owned());
        Draft { scheme, authority, method, ..Draft::default() }.allowed_host(&grant)
    };
    assert_eq!(allowed(Scheme::Unsaid, "api.example.com", Method::GET), Ok(host("https://api.example.com")));
    assert_eq!(allowed(Scheme::Http, "localhost:81", Method::GET), Ok(host("http://localhost:81")));
    let denied = Err(ErrorCode::HttpRequestDenied);
    assert_eq!(allowed(Scheme::Http, "api.example.com", Method::GET), denied);
    assert_eq!(allowed(Scheme::Https, "localhost:81", Method::GET), denied);
    assert_eq!(allowed(Scheme::Other("ws".to_owned()), "localhost:81", Method::GET), denied);
    assert_eq!(allowed(Scheme::Http, "127.0.0.1:81", Method::GET), denied);
    for method in [Method::CONNECT, Method::TRACE] {
        let refused = allowed(Scheme::Http, "localhost:81", method);
        assert_eq!(refused, Err(ErrorCode::HttpRequestMethodInvalid));
    }
    assert_eq!(Draft::default().allowed_host(&grant), Err(ErrorCode::HttpRequestUriInvalid));
}
