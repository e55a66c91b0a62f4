//! What becomes of the words of a guest.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::sandbox::fixtures::{event, spec};
use crate::sandbox::{Grants, GuestConfig};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The lines that come of what a guest with these grants says in one call.
fn lines(grants: Grants, say: impl FnOnce(&mut Output)) -> Vec<String> {
    lines_of(GuestSpec { grants, ..spec() }, say)
}

fn lines_of(spec: GuestSpec, say: impl FnOnce(&mut Output)) -> Vec<String> {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(written.clone())
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut output = Output::new(&Arc::new(spec), &Tenant::Named("shop-a".into()));
        output.begin_call(&SharedEvent::from(event("e1", "shop-a")), 1);
        say(&mut output);
        output.end_call();
    });
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

const GRANTED: Grants =
    Grants { log: true, clocks: false, random: false, state: false, config: None, http: None };
const FIELDS: &str = r#"handler="fixture" tenant="shop-a" event="e1" events=1"#;

#[test]
fn a_line_carries_its_level_and_whose_it_is() {
    let lines = lines(GRANTED, |output| output.write_line(LogLevel::Error, "it\nbroke"));
    assert_eq!(lines, [format!("ERROR guest: it\\nbroke {FIELDS}")]);
}

#[test]
fn nothing_is_said_without_the_grant() {
    let lines = lines(Grants::default(), |output| {
        output.write_line(LogLevel::Error, "x");
        output.write_stream(Stream::Error, b"secret\n");
    });
    assert_eq!(lines, [""; 0]);
}

#[test]
fn lines_beyond_the_limit_are_counted_and_told_once() {
    let lines = lines(GRANTED, |output| {
        for _ in 0..10 {
            output.write_line(LogLevel::Info, "x");
        }
        output.write_stream(Stream::Output, b"x\nx\n");
    });
    assert_eq!(lines.len(), 4);
    let told =
        "9 more lines dropped after 3 lines of 3 bytes, a call may write 3 lines of 65536 bytes in all";
    assert_eq!(lines[3], format!("WARN guest: {told} {FIELDS}"));
}

#[test]
fn lines_beyond_the_bytes_of_a_call_are_dropped_all_together() {
    let spec = GuestSpec {
        grants: GRANTED,
        limits: GuestLimits { log_lines_max: 9, log_bytes_max: 10, ..spec().limits },
        ..spec()
    };
    let lines = lines_of(spec, |output| {
        for line in ["12345", "123456", "1", "2"] {
            output.write_line(LogLevel::Info, line);
        }
    });
    let told = "3 more lines dropped after 1 lines of 5 bytes, a call may write 9 lines of 10 bytes in all";
    assert_eq!(lines, [format!("INFO guest: 12345 {FIELDS}"), format!("WARN guest: {told} {FIELDS}")]);
}

#[test]
fn secrets_are_taken_out_of_lines_and_of_the_last_of_standard_error() {
    const SECRET: &str = "hunter2-hunter2";
    let secrets = BTreeMap::from([("token".to_owned(), SECRET.into())]);
    let grants = Grants {
        log: true,
        config: Some(Arc::new(GuestConfig::new(BTreeMap::new(), secrets))),
        ..Grants::default()
    };
    let mut tail = String::new();
    let lines = lines(grants, |output| {
        output.write_line(LogLevel::Info, &format!("a {SECRET} b"));
        output.write_stream(Stream::Output, b"c hunter2-");
        output.write_stream(Stream::Output, b"hunter2 d\n");
        // Cut in the middle of the secret: at the end as a line, at the start as the last of standard error.
        let long = format!("{}{SECRET}{}", "x".repeat(LINE_BYTES_MAX - 7), "y".repeat(ERROR_TAIL_BYTES - 7));
        output.write_stream(Stream::Error, long.as_bytes());
        tail = output.last_error_text();
    });
    assert_eq!(lines[0], format!("INFO guest: a [secret token] b {FIELDS}"));
    assert_eq!(lines[1], format!("INFO guest: c [secret token] d {FIELDS}"));
    assert_eq!(lines[2], format!("WARN guest: {}… {FIELDS}", "x".repeat(LINE_BYTES_MAX - 7)));
    assert_eq!(tail, "y".repeat(ERROR_TAIL_BYTES - 7));
}

#[test]
fn standard_streams_become_lines() {
    let lines = lines(GRANTED, |output| {
        output.write_stream(Stream::Output, b"one\ntw");
        output.write_stream(Stream::Error, b"\nbad \xff\n");
        output.write_stream(Stream::Output, b"o");
    });
    let expected = [
        format!("INFO guest: one {FIELDS}"),
        format!("WARN guest: bad {} {FIELDS}", '\u{fffd}'),
        format!("INFO guest: two {FIELDS}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_long_line_is_cut() {
    let lines = lines(GRANTED, |output| {
        for _ in 0..100 {
            output.write_stream(Stream::Output, &[b'x'; 1000]);
        }
        output.write_line(LogLevel::Info, &"y".repeat(1 << 20));
    });
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line.contains('…') && line.len() < LINE_BYTES_MAX + 128, "{}", line.len());
    }
}

#[test]
fn the_last_of_standard_error_is_kept_whatever_is_granted() {
    let mut output = Output::new(&Arc::new(spec()), &Tenant::Platform);
    output.begin_call(&SharedEvent::from(event("e1", "shop-a")), 1);
    output.write_stream(Stream::Error, "x".repeat(5_000).as_bytes());
    output.write_stream(Stream::Error, b"\nthread main panicked at src/lib.rs:1:1:\nboom\n");
    output.write_stream(Stream::Error, b"note: run with `RUST_BACKTRACE=1` environment variable\n");
    let text = output.last_error_text();
    assert!(
        text.starts_with("xxx") && text.ends_with("x thread main panicked at src/lib.rs:1:1: boom"),
        "{text}"
    );
    assert!(text.len() <= ERROR_TAIL_BYTES);
    output.begin_call(&SharedEvent::from(event("e2", "shop-a")), 1);
    assert_eq!(output.last_error_text(), "");
}
