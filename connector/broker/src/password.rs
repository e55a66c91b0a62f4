//! Password hashes. A check costs the same whether or not the user exists, and hashes are computed one after
//! another, so that guessing is slow and cannot take the machine.

use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{mpsc, oneshot};

use crate::workers::{Workers, survive};

const SALT_BYTES: usize = 16;

/// What a guess at a password costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
    /// How long the answer to a wrong login is held back, times the wrong logins on the connection.
    pub(crate) pause: Duration,
}

impl Cost {
    /// 12 MiB and two passes, about 10 ms, and the answer after 200 ms.
    pub(crate) const USUAL: Self =
        Self { memory_kib: 12 * 1024, passes: 2, pause: Duration::from_millis(200) };
    /// The least there is, for fuzzing.
    pub(crate) const LEAST: Self = Self { memory_kib: 8, passes: 1, pause: Duration::ZERO };
}

/// The random source or the hash function failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot hash a password: {0}")]
pub struct HashError(String);

/// What a check of a password turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
}

/// Hashes and checks passwords, one at a time, on a thread of its own.
pub(crate) struct Gate {
    /// Checked in place of the hash of a user that does not exist.
    decoy: String,
    pub(crate) cost: Cost,
    jobs: mpsc::Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Gate {
    /// A gate that nobody waits at. Blocks for one hash.
    pub(crate) fn new(cost: Cost, workers: &Workers) -> Result<Self, HashError> {
        let nobody: [u8; SALT_BYTES] = rand::random();
        let (jobs, mut queue) = mpsc::channel(1);
        let thread = thread::Builder::new().name("guesthouse-password".to_owned());
        let worker = workers.watch("the broker's check of passwords");
        let work = move || {
            let _worker = worker;
            work(&mut queue);
        };
        thread.spawn(work).map_err(|error| HashError(error.to_string()))?;
        Ok(Self { decoy: hash(&nobody, cost)?, cost, jobs })
    }

    /// Hashes a password for the store. Waits for its turn; cancelling loses nothing.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, HashError> {
        let (password, cost) = (password.to_owned(), self.cost);
        let hashed = self.in_turn(move || hash(password.as_bytes(), cost)).await;
        hashed.unwrap_or_else(|| Err(HashError("the thread for it is gone".to_owned())))
    }

    /// Checks a password against a stored hash; without one it is always wrong, and takes as long. Waits for its
    /// turn behind other logins; cancelling forgets the login.
    pub(crate) async fn check(&self, stored: Option<&str>, password: &str) -> Verdict {
        let (hash, password) = (stored.unwrap_or(&self.decoy).to_owned(), password.to_owned());
        match self.in_turn(move || verify(&hash, &password)).await {
            Some(verdict) if stored.is_some() => verdict,
            _ => Verdict::Wrong,
        }
    }

    /// What a job came to, once those before it are done. One that nobody waits for any more is left out.
    async fn in_turn<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        let job = move || {
            if !done.is_closed() {
                // It may be given up meanwhile.
                drop(done.send(job()));
            }
        };
        self.jobs.send(Box::new(job)).await.ok()?;
        outcome.await.ok()
    }
}

/// Does jobs until the gate is gone.
fn work(queue: &mut mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        // Who waits for a job that panics sees that it is gone; the next one runs.
        survive(job);
    }
}

/// A hash in the PHC string format, with a salt of its own. Takes about 10 ms at the usual cost.
pub(crate) fn hash(password: &[u8], cost: Cost) -> Result<String, HashError> {
    let salt: [u8; SALT_BYTES] = rand::random();
    let params =
        Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| HashError(error.to_string()))?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        hasher.hash_password_with_salt(password, &salt).map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(stored: &str, password: &str) -> Verdict {
    let Ok(hash) = PasswordHash::new(stored) else {
        tracing::error!("a stored password hash cannot be read; the user has to be given a new password");
        return Verdict::Wrong;
    };
    // The costs come from the hash.
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Verdict::Right,
        Err(_) => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_password_itself_is_right_and_nobody_is_ever_right() {
        let gate = Gate::new(Cost::LEAST, &Workers::default()).unwrap();
        let stored = gate.hash("secret").await.unwrap();
        assert_eq!(gate.check(Some(&stored), "secret").await, Verdict::Right);
        assert_eq!(gate.check(Some(&stored), "Secret").await, Verdict::Wrong);
        assert_eq!(gate.check(Some("spoilt"), "secret").await, Verdict::Wrong);
        assert_eq!(gate.check(None, "secret").await, Verdict::Wrong);
        assert_ne!(stored, gate.hash("secret").await.unwrap(), "every hash has a salt of its own");
    }
}
