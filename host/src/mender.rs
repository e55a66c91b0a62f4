//! The mender: looks after the stores and files of a host, and tries again and again what has failed.
//!
//! Whoever handles events never waits for a store that is away: its calls fail at once until the mender has brought it
//! back, on a thread where nobody waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How often everything is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The longest wait between two tries.
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// Something that may fail and can be brought back. Both methods may block; the mender calls one of them at a time,
/// from a thread for blocking work.
pub(crate) trait Mend: fmt::Debug + Send + Sync {
    /// Whether it does not work now.
    fn is_failing(&self) -> bool;

    /// Looks for what nobody would notice by using it. Called every second while it works.
    fn check(&self) {}

    /// Tries to bring it back, and says by its own [`Watch`](crate::trouble::Watch) whether that worked.
    fn mend(&self);
}

/// One of the things that are looked after.
#[derive(Debug)]
struct Patient {
    thing: Arc<dyn Mend>,
    wait: Duration,
    due: Instant,
}

/// Looks after things until it is dropped; never ends by itself.
pub(crate) async fn run(things: Vec<Arc<dyn Mend>>) {
    let new = |thing| Patient { thing, wait: CHECK_EVERY, due: Instant::now() };
    let mut patients: Vec<Patient> = things.into_iter().map(new).collect();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        for patient in &mut patients {
            if patient.due <= Instant::now() {
                patient.look_after().await;
            }
        }
    }
}

impl Patient {
    async fn look_after(&mut self) {
        let thing = Arc::clone(&self.thing);
        let ended = tokio::task::spawn_blocking(move || match thing.is_failing() {
            true => thing.mend(),
            false => thing.check(),
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, thing = ?self.thing, "what should bring it back stopped; it is tried again");
        }
        self.wait = next_wait(self.wait, self.thing.is_failing());
        self.due = Instant::now() + self.wait.saturating_sub(CHECK_EVERY);
    }
}

/// The wait after one of so long, which doubles while a thing fails.
fn next_wait(wait: Duration, is_failing: bool) -> Duration {
    if is_failing { (wait * 2).min(WAIT_LONGEST) } else { CHECK_EVERY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_while_it_fails() {
        let mut waits = vec![CHECK_EVERY];
        for _ in 0..5 {
            waits.extend(waits.last().map(|wait| next_wait(*wait, true)));
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10].map(Duration::from_secs));
        assert_eq!(next_wait(WAIT_LONGEST, false), CHECK_EVERY);
    }
}
