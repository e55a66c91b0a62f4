//! What people read: results on the standard output, everything on the way there on the error output.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn anew, at most, per second.
const DRAWS_PER_SECOND: u8 = 10;

/// Prints a result.
pub(crate) fn print(text: impl fmt::Display) {
    // Whoever closed the output does not want to read it.
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Tells what goes on.
pub(crate) fn note(text: impl fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Tells why a task failed, with all its causes.
pub(crate) fn error(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
}

/// Shows how far something counted has come: a bar on a terminal, otherwise a line at the start and one at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    title: &'static str,
}

impl Progress {
    pub(crate) fn new(title: &'static str, length: u64) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let bar = ProgressBar::with_draw_target(Some(length), target).with_message(title);
        let style = "{msg:<12} [{bar:40}] {human_pos}/{human_len}  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        if !io::stderr().is_terminal() {
            note(format_args!("{title}: {length} to go"));
        }
        Self { bar, title }
    }

    /// `position` of `length` are done; the length may grow on the way.
    pub(crate) fn set(&self, position: u64, length: u64) {
        self.bar.set_length(length);
        self.bar.set_position(position);
    }

    /// All is done.
    pub(crate) fn finish(self) {
        self.bar.finish();
        if !io::stderr().is_terminal() {
            let Self { bar, title } = self;
            note(format_args!("{title}: {} done in {}", bar.position(), seconds(bar.elapsed())));
        }
    }
}

/// A duration as people say it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
