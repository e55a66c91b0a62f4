//! What becomes of the words of a guest.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::sandbox::Grants;
use crate::sandbox::fixtures::{event, spec};

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
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(written.clone())
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut output = Output::new(&GuestSpec { grants, ..spec() }, &Tenant::Named("shop-a".into()));
        output.begin_call(&Arc::new(event("e1", "shop-a")), 1);
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
    assert_eq!(lines[3], format!("WARN guest: 9 more lines dropped, a call may write 3 {FIELDS}"));
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
    let mut output = Output::new(&spec(), &Tenant::Platform);
    output.begin_call(&Arc::new(event("e1", "shop-a")), 1);
    output.write_stream(Stream::Error, "x".repeat(5_000).as_bytes());
    output.write_stream(Stream::Error, b"\nthread main panicked at src/lib.rs:1:1:\nboom\n");
    output.write_stream(Stream::Error, b"note: run with `RUST_BACKTRACE=1` environment variable\n");
    let text = output.last_error_text();
    assert!(
        text.starts_with("xxx") && text.ends_with("x thread main panicked at src/lib.rs:1:1: boom"),
        "{text}"
    );
    assert!(text.len() <= ERROR_TAIL_BYTES);
    output.begin_call(&Arc::new(event("e2", "shop-a")), 1);
    assert_eq!(output.last_error_text(), "");
}
