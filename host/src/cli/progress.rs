//! Progress of a long command on standard error: a bar on a terminal, a line per second elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Shows how far a command is. Nothing is shown of one that is done within a second without a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    line: Option<Line>,
}

struct Line {
    what: &'static str,
    total: u64,
    done: u64,
    written_at: Instant,
}

impl Progress {
    /// Begins to show progress towards `total` of something.
    pub(super) fn start(what: &'static str, total: u64) -> Self {
        if io::stderr().is_terminal() {
            let style =
                ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}");
            let bar = ProgressBar::new(total).with_message(what);
            // The template is our own, and without it the default one is as good.
            let bar = if let Ok(style) = style { bar.with_style(style) } else { bar };
            return Self { bar, line: None };
        }
        let line = Line { what, total, done: 0, written_at: Instant::now() };
        Self { bar: ProgressBar::hidden(), line: Some(line) }
    }

    /// Adds to what is done.
    pub(super) fn add(&mut self, done: u64) {
        self.bar.inc(done);
        let Some(line) = &mut self.line else { return };
        line.done += done;
        if line.written_at.elapsed() >= LINE_EVERY {
            line.written_at = Instant::now();
            // Nobody may be listening there, which is no reason to stop.
            drop(writeln!(io::stderr(), "{}: {} of {}", line.what, line.done, line.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
