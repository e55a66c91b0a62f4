//! What a guest says: log lines, standard output and standard error, bounded and kept apart from the host's own log.

use std::sync::Arc;

use crate::event::{SharedEvent, Tenant};
use crate::failpoint::failpoint;
use crate::sandbox::contract::LogLevel;
use crate::sandbox::redact::{Edge, Redactor};
use crate::sandbox::text::{CUT_MARK, shown};
use crate::sandbox::{GuestLimits, GuestSpec};

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
    spec: Arc<GuestSpec>,
    tenant: Tenant,
    subject: Option<Subject>,
    written: Written,
    standard_output: LineBuffer,
    standard_error: LineBuffer,
    error_tail: Vec<u8>,
    error_tail_edge: Edge,
}

/// What a call has said so far.
#[derive(Debug, Default)]
struct Written {
    lines: u32,
    bytes: u64,
    dropped_lines: u64,
}

/// What a guest is busy with.
#[derive(Debug)]
struct Subject {
    first: SharedEvent,
    events: usize,
}

impl Output {
    /// The voice of a guest that is about to start.
    pub(super) fn new(spec: &Arc<GuestSpec>, tenant: &Tenant) -> Self {
        Self {
            spec: Arc::clone(spec),
            tenant: tenant.clone(),
            subject: None,
            written: Written::default(),
            standard_output: LineBuffer::default(),
            standard_error: LineBuffer::default(),
            error_tail: Vec::new(),
            error_tail_edge: Edge::Whole,
        }
    }

    /// Names the events that the lines from now on belong to.
    pub(super) fn begin_call(&mut self, first: &SharedEvent, events: usize) {
        self.subject = Some(Subject { first: first.clone(), events });
        self.error_tail.clear();
        self.error_tail_edge = Edge::Whole;
    }

    /// Writes what is left and says how many lines were dropped.
    pub(super) fn end_call(&mut self) {
        for stream in [Stream::Output, Stream::Error] {
            if let Some((line, edge)) = self.buffer(stream).take() {
                self.write_bytes(stream, &line, edge);
            }
        }
        let Written { lines, bytes, dropped_lines } = std::mem::take(&mut self.written);
        if dropped_lines > 0 {
            let GuestLimits { log_lines_max, log_bytes_max, .. } = &self.spec.limits;
            let text = format!(
                "{dropped_lines} more lines dropped after {lines} lines of {bytes} bytes, \
                 a call may write {log_lines_max} lines of {log_bytes_max} bytes in all"
            );
            self.send(LogLevel::Warn, &text);
        }
        self.subject = None;
    }

    /// Writes one line to the log, when that is granted and there is room in this call.
    pub(super) fn write_line(&mut self, level: LogLevel, text: &str) {
        if self.takes_a_line() {
            let text = self.redactor().shown(text, LINE_BYTES_MAX);
            self.write(level, &text);
            failpoint!("guest.in_call");
        }
    }

    /// Takes bytes of a standard stream: whole lines go to the log.
    pub(super) fn write_stream(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Error {
            self.keep_tail(bytes);
        }
        if !self.spec.grants.log {
            return;
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.buffer(stream).push(line);
            if let Some((line, edge)) = self.buffer(stream).take() {
                self.write_bytes(stream, &line, edge);
            }
        }
        self.buffer(stream).push(rest);
    }

    /// The last of standard error in this call, in one line and without Rust's advice on backtraces.
    pub(super) fn last_error_text(&self) -> String {
        let text = self.redactor().redact_bytes(&self.error_tail, self.error_tail_edge);
        let lines = text.lines().map(str::trim);
        let lines =
            lines.filter(|line| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE"));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// What takes the handler's secrets out of what the guest says.
    pub(super) fn redactor(&self) -> &Redactor {
        self.spec.grants.redactor()
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
        if surplus > 0 || kept.len() < bytes.len() {
            self.error_tail_edge = Edge::CutStart;
        }
        self.error_tail.drain(..surplus);
        self.error_tail.extend_from_slice(kept);
    }

    fn write_bytes(&mut self, stream: Stream, line: &[u8], edge: Edge) {
        let level = match stream {
            Stream::Output => LogLevel::Info,
            Stream::Error => LogLevel::Warn,
        };
        if self.takes_a_line() {
            let mut text = shown(&self.redactor().redact_bytes(line, edge), LINE_BYTES_MAX);
            if edge == Edge::CutEnd && !text.ends_with(CUT_MARK) {
                text.push_str(CUT_MARK);
            }
            self.write(level, &text);
        }
    }

    /// Whether there is room for one more line. A line without room is counted.
    fn takes_a_line(&mut self) -> bool {
        if !self.spec.grants.log {
            return false;
        }
        let Written { lines, dropped_lines, .. } = &mut self.written;
        // After the first line that was dropped all are, so that what is there has no gaps.
        let room = *lines < self.spec.limits.log_lines_max && *dropped_lines == 0;
        if !room {
            *dropped_lines = dropped_lines.saturating_add(1);
        }
        room
    }

    fn write(&mut self, level: LogLevel, line: &str) {
        let bytes = self.written.bytes.saturating_add(line.len() as u64);
        if bytes > self.spec.limits.log_bytes_max {
            self.written.dropped_lines = 1;
            return;
        }
        self.written.bytes = bytes;
        self.written.lines += 1;
        self.send(level, line);
    }

    fn send(&self, level: LogLevel, line: &str) {
        let (handler, tenant) = (self.spec.handler.as_str(), self.tenant.as_str());
        // Which event of several a line is about only the guest knows.
        let (event, first_event, events) = match &self.subject {
            Some(Subject { first, events: 1 }) => (Some(&*first.id), None, 1),
            Some(Subject { first, events }) => (None, Some(&*first.id), *events),
            None => (None, None, 0),
        };
        // The level of a line is part of its static call site, hence one call site per level.
        macro_rules! send {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    handler,
                    tenant,
                    event,
                    first_event,
                    events,
                    "{line}"
                )
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
    is_cut: bool,
}

impl LineBuffer {
    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.is_cut |= bytes.len() > room;
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn take(&mut self) -> Option<(Vec<u8>, Edge)> {
        let edge = if std::mem::take(&mut self.is_cut) { Edge::CutEnd } else { Edge::Whole };
        (!self.line.is_empty()).then(|| (std::mem::take(&mut self.line), edge))
    }
}

#[cfg(test)]
mod tests;
