//! The watcher: asks every host for its health each second, for as long as it lives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::proxy::Tally;
use super::vigil::{Figures, Reading, Told};
use crate::endpoint::get;
use crate::house::PARTITIONS;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of a log in which the host names its address.
const HEAD_BYTES: u64 = 1 << 16;

/// Watches all lives of a run.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    readings: Mutex<Vec<Reading>>,
    is_excused: AtomicBool,
}

impl Default for Watcher {
    fn default() -> Self {
        let shared =
            Shared { began: Instant::now(), readings: Mutex::default(), is_excused: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), tasks: JoinSet::new() }
    }
}

impl Watcher {
    /// Watches one more life, which names its address in its log and whose commits somebody counts.
    pub fn watch(&mut self, life: usize, log: PathBuf, commits: Tally) {
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let mut address = None;
            loop {
                // The pace of the watcher; nothing is synchronised by it.
                tokio::time::sleep(EVERY).await;
                let Some(known) = address.or_else(|| address_in(&log)) else { continue };
                address = Some(known);
                let Some(told) = shared.ask(known, &commits).await else { return };
                let reading = Reading { life, at: shared.began.elapsed(), told };
                shared.readings.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
            }
        });
    }

    /// From here on hosts have a reason not to answer.
    pub fn excuse(&self) {
        self.shared.is_excused.store(true, Ordering::Release);
    }

    /// From here on they have none.
    pub fn expect(&self) {
        self.shared.is_excused.store(false, Ordering::Release);
    }

    /// Everything that was read so far.
    pub fn readings(&self) -> Vec<Reading> {
        self.shared.readings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    /// What a host says; none when it is dead, since nobody listens where it did.
    async fn ask(&self, address: SocketAddr, commits: &Tally) -> Option<Told> {
        let was_excused = self.is_excused.load(Ordering::Acquire);
        let answer = tokio::time::timeout(ANSWERS_WITHIN, get(address, "/health/ready")).await.ok().flatten();
        let read = answer.and_then(|(_, body)| read(&body, commits.stored()));
        if read.is_some() {
            return read;
        }
        let dials = tokio::time::timeout(ANSWERS_WITHIN, TcpStream::connect(address)).await;
        let is_refused = matches!(dials, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused);
        if is_refused {
            return None;
        }
        let is_excused = was_excused || self.is_excused.load(Ordering::Acquire);
        Some(if is_excused { Told::NothingWithReason } else { Told::Nothing })
    }
}

/// What an answer says.
fn read(body: &str, commits: usize) -> Option<Told> {
    let health: Value = serde_json::from_str(body).ok()?;
    let details = &health["details"];
    if health["status"] != "healthy" {
        let causes = details["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Health names a cause once for each partition or topic that has it.
        let names: BTreeSet<_> = causes.iter().filter_map(|cause| cause["code"].as_str()).collect();
        return Some(Told::Unwell { causes: names.into_iter().map(str::to_owned).collect() });
    }
    let sum = |part: &str, name: &str| -> u64 {
        let values = details[part].as_object().into_iter().flatten();
        values.filter_map(|(_, figures)| figures[name].as_u64()).sum()
    };
    let (unsettled, partitions) = (sum("subscriptions", "unsettled"), sum("subscriptions", "partitions"));
    // What lies in the partitions of another host does not wait for this one.
    let lag = if partitions == PARTITIONS { sum("positions", "lag_total") } else { 0 };
    let waits = partitions > 0 && unsettled + lag > 0;
    Some(Told::Healthy(Figures { settled: sum("subscriptions", "settled"), commits, waits }))
}

/// The address that a host has written to the beginning of its log.
fn address_in(log: &Path) -> Option<SocketAddr> {
    let mut head = Vec::new();
    File::open(log).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let (_, rest) = head.split_once("metrics and health at http://")?;
    rest.split_once("/metrics")?.0.parse().ok()
}
