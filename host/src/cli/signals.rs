//! The signals that ask a program to stop in order: SIGTERM, Ctrl-C (SIGINT), a terminal that is gone (SIGHUP), and
//! SIGQUIT. SIGUSR1 and SIGUSR2, which other programs take for "open the log again", mean nothing here and end nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come within this time are one: `timeout` and terminals signal a process and its group.
const ONE_WITHIN: Duration = Duration::from_secs(1);

/// Bit of SIGHUP among the signals of a process.
const HANGUP_BIT: u64 = 1 << 0;

/// Listens for them. While it exists, they do not end the process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    /// Absent where the program was started to ignore it, as `nohup` does.
    hangup: Option<Signal>,
    user: [Signal; 2],
    burst: Burst,
}

/// Tells a new request to stop from the echo of the last one.
#[derive(Debug, Default)]
struct Burst(Option<Instant>);

impl Burst {
    /// Whether a signal that came now is a new request.
    fn is_new(&mut self, now: Instant) -> bool {
        let is_echo = self.0.is_some_and(|first| now.saturating_duration_since(first) < ONE_WITHIN);
        if !is_echo {
            self.0 = Some(now);
        }
        !is_echo
    }
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = if ignores_hangup(&status) { None } else { Some(listen(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hangup,
            user: [listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?],
            burst: Burst::default(),
        })
    }

    /// Waits for the next request to stop. Cancelling loses nothing.
    pub(super) async fn next(&mut self) {
        loop {
            let [first, second] = &mut self.user;
            let hung_up = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.quit.recv() => {}
                _ = hung_up => {}
                _ = first.recv() => continue,
                _ = second.recv() => continue,
            }
            if self.burst.is_new(Instant::now()) {
                return;
            }
        }
    }
}

/// Whether a process ignores SIGHUP, by its file `status` in `/proc`.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_within_a_second_are_one() {
        let (mut burst, begin) = (Burst::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        assert!(burst.is_new(at(0)));
        assert!(!burst.is_new(at(1)) && !burst.is_new(at(999)));
        assert!(burst.is_new(at(1_000)), "a stream of signals is not one for ever");
        assert!(!burst.is_new(at(1_500)));
    }

    #[test]
    fn a_program_under_nohup_is_known_by_its_status() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
