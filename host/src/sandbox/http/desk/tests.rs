//! A guest's life with HTTP, without the guest: what it may do, in which order, and how much of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;
use crate::outcome::Outcome;
use crate::sandbox::http::Courier;
use crate::sandbox::http::exchange::Scheme;
use crate::sandbox::{GuestLimits, HttpGrant};

/// A server that answers every request with its body, and the port it listens on.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut seen = Vec::new();
            let body = loop {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap_or(0);
                seen.extend_from_slice(&bytes[..count]);
                let text = String::from_utf8_lossy(&seen).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if count == 0 || body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                    break body.to_owned();
                }
            };
            let head = format!("HTTP/1.1 200 OK\r\nx-echo: yes\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    port
}

/// A desk whose guest may call this port and handles an event.
fn desk(port: u16) -> Desk {
    let limits = GuestLimits { http_calls_max: 2, http_bytes_max: 10_000, ..GuestLimits::default() };
    let grant = HttpGrant { hosts: vec![format!("http://127.0.0.1:{port}").parse().unwrap()] };
    let courier = Arc::new(Courier::start().unwrap());
    let mut desk = Desk::new(&Arc::new(HttpAccess::new(&Arc::new(grant), &limits, &courier)));
    desk.begin_deadline(Duration::from_secs(20));
    desk.begin_event();
    desk
}

fn request(desk: &mut Desk, port: u16) -> u32 {
    let id = desk.begin(Fields::default()).unwrap();
    let draft = &mut desk.exchange_mut(id).unwrap().request;
    draft.scheme = Scheme::Http;
    draft.authority = Some(format!("127.0.0.1:{port}"));
    draft.method = http::Method::POST;
    id
}

fn stop(result: wasmtime::Result<impl Sized>) -> String {
    result.err().expect("the guest is stopped").downcast_ref::<GuestStop>().unwrap().to_string()
}

#[test]
fn a_request_is_written_sent_waited_for_and_read() {
    let port = echo();
    let mut desk = desk(port);
    let id = request(&mut desk, port);
    assert_eq!(desk.send(id, Timeouts::default()).unwrap(), Ok(()));
    let body = &mut desk.exchange_mut(id).unwrap().body;
    assert!(body.open() && body.open_stream());
    desk.hold(id).unwrap();
    desk.write(id, b"hello ").unwrap();
    assert_eq!(desk.readiness(id).unwrap(), Readiness::Pending);
    assert_eq!(desk.settle(id).unwrap(), Readiness::Pending, "its body is not finished");
    assert_eq!(desk.take_result(id).unwrap(), None);
    desk.write(id, b"world").unwrap();
    desk.close_output(id);
    let exchange = desk.exchange_mut(id).unwrap();
    assert_eq!(exchange.body.finish(&exchange.request.fields), Ok(Ok(())));

    assert_eq!(desk.settle(id).unwrap(), Readiness::Ready);
    assert_eq!(desk.take_result(id).unwrap(), Some(Ok(Ok(()))));
    assert_eq!(desk.take_result(id).unwrap(), Some(Err(())), "it is taken once");
    let reading = desk.reading(id).unwrap();
    assert_eq!(
        (reading.response.status, reading.response.fields.get("x-echo")),
        (200, vec![b"yes".to_vec()])
    );
    assert_eq!(desk.read(id, 5).unwrap().as_deref(), Some(&b"hello"[..]));
    assert_eq!(desk.read(id, 0).unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(desk.read(id, u64::MAX).unwrap().as_deref(), Some(&b" world"[..]));
    assert_eq!(desk.read(id, 1).unwrap(), None);
}

#[test]
fn what_is_not_on_the_list_is_denied() {
    let mut desk = desk(80);
    let id = request(&mut desk, 81);
    assert_eq!(desk.send(id, Timeouts::default()).unwrap(), Err(ErrorCode::HttpRequestDenied));
}

#[test]
fn requests_and_their_bodies_have_limits_that_say_what_was_used() {
    let mut desk = desk(80);
    let id = request(&mut desk, 80);
    desk.write(id, &[0; 9_999]).unwrap();
    let over = desk.write(id, &[0; 2]).unwrap_err();
    let expected = Outcome::LimitExceeded { limit: LimitKind::HttpBytes, used: 10_001, allowed: 10_000 };
    let limits = GuestLimits::default();
    assert_eq!(over.downcast_ref::<GuestStop>().unwrap().outcome(&limits, Duration::ZERO), Some(expected));

    request(&mut desk, 80);
    let over = desk.begin(Fields::default()).unwrap_err();
    let expected = Outcome::LimitExceeded { limit: LimitKind::HttpCalls, used: 3, allowed: 2 };
    assert_eq!(over.downcast_ref::<GuestStop>().unwrap().outcome(&limits, Duration::ZERO), Some(expected));
    desk.end_event();
    desk.begin_event();
    desk.begin(Fields::default()).unwrap();
}

#[test]
fn nothing_outlives_its_event() {
    let mut desk = desk(80);
    let id = request(&mut desk, 80);
    let fields = desk.add_fields(Fields::default()).unwrap();
    let timeouts = desk.add_timeouts().unwrap();
    desk.end_event();
    desk.begin_event();
    let next = request(&mut desk, 80);
    assert!(next > id.max(fields).max(timeouts), "numbers are not used again");
    let gone = "the guest used what it kept of HTTP from an earlier event";
    assert_eq!(stop(desk.write(id, b"x")), gone);
    assert_eq!(stop(desk.settle(id)), gone);
    assert_eq!(stop(desk.fields_mut(fields)), gone);
    assert_eq!(stop(desk.timeouts_mut(timeouts)), gone);
    desk.release(id);
    desk.drop_fields(fields);
    desk.close_output(id);
}

#[test]
fn a_desk_holds_so_much_and_forgets_what_is_dropped() {
    let mut desk = desk(80);
    let id = request(&mut desk, 80);
    desk.hold(id).unwrap();
    desk.release(id);
    assert!(desk.exchange_mut(id).is_ok(), "one handle is left");
    desk.release(id);
    assert!(desk.exchange_mut(id).is_err());
    let kept: Vec<_> = (0..ENTRIES_MAX).map(|_| desk.add_fields(Fields::default()).unwrap()).collect();
    assert_eq!(
        stop(desk.add_timeouts()),
        "the guest held more than 256 requests, responses and sets of fields"
    );
    desk.drop_fields(kept[0]);
    desk.add_timeouts().unwrap();
}

#[test]
fn nothing_is_sent_while_a_guest_starts_and_nothing_waits_past_its_deadline() {
    let port = echo();
    let mut starting = desk(port);
    starting.end_event();
    let id = request(&mut starting, port);
    let refused = stop(starting.send(id, Timeouts::default()));
    assert!(refused.contains("while it was starting"), "{refused}");

    let mut late = desk(port);
    late.begin_deadline(Duration::ZERO);
    let id = request(&mut late, port);
    assert_eq!(late.send(id, Timeouts::default()).unwrap(), Ok(()));
    let stopped = late.settle(id).unwrap_err();
    let outcome =
        stopped.downcast_ref::<GuestStop>().unwrap().outcome(&GuestLimits::default(), Duration::ZERO);
    assert!(matches!(outcome, Some(Outcome::TimedOut { .. })));
}
