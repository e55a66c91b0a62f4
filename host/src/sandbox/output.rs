//! What a guest says: log lines, standard output and standard error, bounded and kept apart from the host's own log.

use std::sync::Arc;

use crate::event::{Event, Tenant};
use crate::handler::HandlerName;
use crate::sandbox::GuestSpec;
use crate::sandbox::contract::LogLevel;
use crate::sandbox::text::shown;

/// Longest line, in bytes; what is longer is cut.
pub(super) const LINE_BYTES_MAX: usize = 4096;
/// How much of the last of standard error is kept to explain a trap.
const ERROR_TAIL_BYTES: usize = 1024;

/// Where a guest writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// The voice of one guest.
#[derive(Debug)]
pub(super) struct Output {
    handler: HandlerName,
    tenant: Tenant,
    log_granted: bool,
    lines_max: u32,
    subject: Option<Subject>,
    lines: u32,
    dropped: u32,
    standard_output: LineBuffer,
    standard_error: LineBuffer,
    error_tail: Vec<u8>,
}

/// What a guest is busy with.
#[derive(Debug)]
struct Subject {
    first: Arc<Event>,
    events: usize,
}

impl Output {
    /// The voice of a guest that is about to start.
    pub(super) fn new(spec: &GuestSpec, tenant: &Tenant) -> Self {
        Self {
            handler: spec.handler.clone(),
            tenant: tenant.clone(),
            log_granted: spec.grants.log,
            lines_max: spec.limits.log_lines_max,
            subject: None,
            lines: 0,
            dropped: 0,
            standard_output: LineBuffer::default(),
            standard_error: LineBuffer::default(),
            error_tail: Vec::new(),
        }
    }

    /// Names the events that the lines from now on belong to.
    pub(super) fn begin_call(&mut self, first: &Arc<Event>, events: usize) {
        self.subject = Some(Subject { first: Arc::clone(first), events });
        self.error_tail.clear();
    }

    /// Writes what is left and says how many lines were dropped.
    pub(super) fn end_call(&mut self) {
        for stream in [Stream::Output, Stream::Error] {
            if let Some(line) = self.buffer(stream).take() {
                self.write_bytes(stream, &line);
            }
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            let allowed = self.lines_max;
            self.send(LogLevel::Warn, &format!("{dropped} more lines dropped, a call may write {allowed}"));
        }
        self.lines = 0;
        self.subject = None;
    }

    /// Writes one line to the log, when that is granted and there is room in this call.
    pub(super) fn write_line(&mut self, level: LogLevel, text: &str) {
        if self.takes_a_line() {
            self.send(level, &shown(text, LINE_BYTES_MAX));
        }
    }

    /// Takes bytes of a standard stream: whole lines go to the log.
    pub(super) fn write_stream(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Error {
            self.keep_tail(bytes);
        }
        if !self.log_granted {
            return;
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.buffer(stream).push(line);
            let line = self.buffer(stream).take().unwrap_or_default();
            self.write_bytes(stream, &line);
        }
        self.buffer(stream).push(rest);
    }

    /// The last of standard error in this call, in one line and without Rust's advice on backtraces.
    pub(super) fn last_error_text(&self) -> String {
        let text = String::from_utf8_lossy(&self.error_tail);
        let lines = text.lines().map(str::trim);
        let lines =
            lines.filter(|line| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE"));
        lines.collect::<Vec<_>>().join(" ")
    }

    fn buffer(&mut self, stream: Stream) -> &mut LineBuffer {
        match stream {
            Stream::Output => &mut self.standard_output,
            Stream::Error => &mut self.standard_error,
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(ERROR_TAIL_BYTES)..).unwrap_or_default();
        let surplus = (self.error_tail.len() + kept.len()).saturating_sub(ERROR_TAIL_BYTES);
        self.error_tail.drain(..surplus);
        self.error_tail.extend_from_slice(kept);
    }

    fn write_bytes(&mut self, stream: Stream, line: &[u8]) {
        let level = match stream {
            Stream::Output => LogLevel::Info,
            Stream::Error => LogLevel::Warn,
        };
        if !line.is_empty() && self.takes_a_line() {
            self.send(level, &shown(&String::from_utf8_lossy(line), LINE_BYTES_MAX));
        }
    }

    fn takes_a_line(&mut self) -> bool {
        if !self.log_granted {
            return false;
        }
        let room = self.lines < self.lines_max;
        if room {
            self.lines += 1;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        room
    }

    fn send(&self, level: LogLevel, line: &str) {
        let (handler, tenant) = (self.handler.as_str(), self.tenant.as_str());
        let (event, events) =
            self.subject.as_ref().map_or(("", 0), |subject| (&*subject.first.id, subject.events));
        // The level of a line is part of its static call site, hence one call site per level.
        macro_rules! send {
            ($level:ident) => {
                tracing::event!(target: "guest", tracing::Level::$level, handler, tenant, event, events, "{line}")
            };
        }
        match level {
            LogLevel::Trace => send!(TRACE),
            LogLevel::Debug => send!(DEBUG),
            LogLevel::Info => send!(INFO),
            LogLevel::Warn => send!(WARN),
            LogLevel::Error => send!(ERROR),
        }
    }
}

/// The line a guest is writing to a standard stream, cut at [`LINE_BYTES_MAX`].
#[derive(Debug, Default)]
struct LineBuffer {
    line: Vec<u8>,
}

impl LineBuffer {
    fn push(&mut self, bytes: &[u8]) {
        // One byte more than is shown, so that a cut line is marked as cut.
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        (!self.line.is_empty()).then(|| std::mem::take(&mut self.line))
    }
}

#[cfg(test)]
mod tests;
