//! What the sandbox costs by itself, without a broker: `sandbox_costs GUESTS RUNAWAYS` runs the guests of a folder
//! through trials and prints one line of JSON. Times are those of the guests' threads, in nanoseconds.

use std::env;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guesthouse::trial::{Trial, TrialComponent, TrialEvent, TrialHandler};
use guesthouse::{CacheSettings, Grants, GuestLimits, HandlerName, Isolation, SandboxSettings};
use serde_json::{Value, json};

/// Events of one measurement of calls.
const EVENTS: usize = 100_000;

/// How often each is measured; the median counts.
const ROUNDS: usize = 5;

const BATCHES: [usize; 4] = [1, 16, 64, 256];
const PAYLOADS: [usize; 2] = [256, 1_024];

/// Host calls of one event, when their cost is measured.
const HOST_CALLS: usize = 1_000;

/// Tenants that each bring a handler.
const TENANTS: usize = 1_000;

/// Deadline of the guests that never end.
const RUNAWAY_DEADLINE: Duration = Duration::from_millis(10);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    guesthouse::compiler::serve_if_asked();
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
    let bench =
        Bench { guests: PathBuf::from(next("GUESTS")?), trial: Trial::start(&SandboxSettings::default())? };
    let runaways = next("RUNAWAYS")?.parse()?;
    let line = json!({
        "native": native_nanos(),
        "batches": bench.batches().await?,
        "event": bench.calls("no-op-record", Isolation::Reuse, EVENTS).await?,
        "event_fresh": bench.calls("no-op-record", Isolation::Fresh, EVENTS / 20).await?,
        "batch_fresh": bench.calls("no-op", Isolation::Fresh, EVENTS / 20).await?,
        "host_call": bench.host_call().await?,
        "start": bench.start().await?,
        "idle": bench.idle().await?,
        "overruns_micros": bench.overruns(runaways).await?,
    });
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

struct Bench {
    guests: PathBuf,
    trial: Trial,
}

impl Bench {
    fn component(&self, guest: &str) -> Outcome<Vec<u8>> {
        let file = self.guests.join(format!("{}.wasm", guest.replace('-', "_")));
        fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()).into())
    }

    async fn admit(&self, guest: &str, handler: TrialHandler) -> Outcome<TrialComponent> {
        Ok(self.trial.admit(handler, self.component(guest)?).await?)
    }

    /// One event with the batch contract, for each size of payload and batch.
    async fn batches(&self) -> Outcome<Value> {
        let component = self.admit("no-op", handler("no-op")?).await?;
        let mut rows = Vec::new();
        for payload in PAYLOADS {
            for batch in BATCHES {
                let events = vec![event(payload); batch];
                let nanos = median_nanos(&component, &events, EVENTS / 4 / batch).await?;
                rows.push(json!({ "payload_bytes": payload, "batch": batch, "nanos": nanos / batch as f64 }));
            }
        }
        Ok(Value::Array(rows))
    }

    /// One event per call.
    async fn calls(&self, guest: &str, isolation: Isolation, calls: usize) -> Outcome<f64> {
        let component = self.admit(guest, TrialHandler { isolation, ..handler(guest)? }).await?;
        median_nanos(&component, &[event(256)], calls / ROUNDS).await
    }

    /// One call of the host with a line of 64 bytes that it throws away.
    async fn host_call(&self) -> Outcome<f64> {
        let limits = GuestLimits { log_lines_max: 0, ..GuestLimits::default() };
        let grants = Grants { log: true, ..Grants::default() };
        let component = self.admit("chatty", TrialHandler { limits, grants, ..handler("chatty")? }).await?;
        let lines = |count: usize| [TrialEvent::new("bench.event", count.to_string())];
        let silent = median_nanos(&component, &lines(0), 1_000).await?;
        let talking = median_nanos(&component, &lines(HOST_CALLS), 1_000).await?;
        Ok((talking - silent) / HOST_CALLS as f64)
    }

    /// From a component's bytes to its first event done: compiled now, and found in the cache.
    async fn start(&self) -> Outcome<Value> {
        let folder = tempfile::tempdir()?;
        let settings = cached_in(folder.path());
        let trial = Trial::start(&settings)?;
        let bytes = self.component("order-totals")?;
        let mut micros = Vec::new();
        for _ in 0..=ROUNDS {
            let began = Instant::now();
            let component = trial.admit(handler("order-totals")?, bytes.clone()).await?;
            drop(component.call(&[event(256)]).await);
            micros.push(began.elapsed().as_micros() as f64);
        }
        let compiled = micros.remove(0);
        Ok(
            json!({ "component_bytes": bytes.len(), "compiled_micros": compiled, "cached_micros": median(micros) }),
        )
    }

    /// A handler for each of many tenants, each after one event.
    async fn idle(&self) -> Outcome<Value> {
        let folder = tempfile::tempdir()?;
        let settings = cached_in(folder.path());
        let bytes = bytes::Bytes::from(self.component("no-op-record")?);
        let mut seconds = Vec::new();
        let mut resident = 0;
        // The first time fills the cache.
        for _ in 0..2 {
            let trial = Trial::start(&settings)?;
            let before = resident_bytes()?;
            let began = Instant::now();
            let mut components = Vec::new();
            for tenant in 0..TENANTS {
                let handler = handler(&format!("handler-{tenant}"))?;
                components.push(trial.admit(handler, bytes.clone()).await?);
            }
            seconds.push(began.elapsed().as_secs_f64());
            for (tenant, component) in components.iter().enumerate() {
                drop(component.call(&[event(256).of_tenant(format!("tenant-{tenant}"))]).await);
            }
            resident = resident_bytes()?.saturating_sub(before);
        }
        Ok(json!({ "handlers": TENANTS, "resident_bytes": resident, "start_seconds": seconds.last() }))
    }

    /// How far behind their deadline guests were stopped that never end, sorted.
    async fn overruns(&self, count: usize) -> Outcome<Vec<u64>> {
        let limits = GuestLimits { deadline: RUNAWAY_DEADLINE, ..GuestLimits::default() };
        let component = self.admit("picky", TrialHandler { limits, ..handler("picky")? }).await?;
        let runaway = [TrialEvent::new("demo.picky", r#"{"type":"Picky","data":{"behave":"loop"}}"#)];
        let mut overruns = Vec::with_capacity(count);
        for _ in 0..count {
            let report = component.call(&runaway).await;
            let kind = report.outcomes.first().map(|outcome| outcome.kind);
            if kind != Some("timed-out") {
                return Err(format!("a guest that loops ended as {kind:?}: {:?}", report.outcomes).into());
            }
            overruns.push(u64::try_from(report.duration.saturating_sub(RUNAWAY_DEADLINE).as_micros())?);
        }
        overruns.sort_unstable();
        Ok(overruns)
    }
}

fn cached_in(folder: &Path) -> SandboxSettings {
    let cache = CacheSettings { dir: folder.to_owned(), ..CacheSettings::default() };
    SandboxSettings { cache: Some(cache), ..SandboxSettings::default() }
}

fn handler(name: &str) -> Outcome<TrialHandler> {
    Ok(TrialHandler::new(HandlerName::new(name)?))
}

fn event(payload_bytes: usize) -> TrialEvent {
    TrialEvent {
        key: Some("order-1".to_owned()),
        ..TrialEvent::new("bench.event", vec![b'x'; payload_bytes])
    }
}

/// Time of one call, as its thread measures it; the guests are warm.
async fn median_nanos(component: &TrialComponent, events: &[TrialEvent], calls: usize) -> Outcome<f64> {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let mut time = Duration::ZERO;
        for _ in 0..calls {
            let report = component.call(events).await;
            if let Some(failed) = report.outcomes.iter().find(|outcome| !outcome.is_done()) {
                return Err(format!("a guest failed: {failed:?}").into());
            }
            time += report.duration;
        }
        rounds.push(time.as_nanos() as f64 / calls as f64);
    }
    // The first round warms up.
    rounds.remove(0);
    Ok(median(rounds))
}

/// What a native handler costs that looks at the same fields of an event.
fn native_nanos() -> f64 {
    let handler: Box<dyn Fn(&TrialEvent) -> usize> =
        Box::new(|event| event.event_type.len() + event.payload.len() + event.id.len());
    let handler = black_box(handler);
    let event = black_box(event(256));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..EVENTS {
            black_box(handler(black_box(&event)));
        }
        rounds.push(began.elapsed().as_nanos() as f64 / EVENTS as f64);
    }
    median(rounds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What this process has in memory. Pages of 4 KiB, as on all machines that the sandbox compiles for.
fn resident_bytes() -> Outcome<u64> {
    let statm = fs::read_to_string(Path::new("/proc/self/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("statm has no second number")?.parse()?;
    Ok(pages * 4_096)
}
