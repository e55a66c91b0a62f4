//! What the host costs by itself: it reads a topic of the embedded broker with a guest that does nothing.
//! `no_op COMPONENT EVENTS PAYLOAD_BYTES PARTITIONS` prints one line of JSON: the sustained rate over a full topic, the
//! rate while events are being published, and the latency from append to settled at half of the latter.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse::{Config, Counters, Host, HostHandle};
use guesthouse_connector::{
    Headers, IggyConnector, OutgoingMessage, PartitionId, Partitioning, TopicAddress, connector,
};
use serde_json::json;
use tokio::time::sleep;

/// Messages of one request.
const BATCH: u64 = 1_000;

/// How long events come at half of the rate.
const LATENCY_TIME: Duration = Duration::from_secs(5);

/// How often some of them are published.
const TICK: Duration = Duration::from_millis(2);

/// How often the counters are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const MICROS_PER_SECOND: u64 = 1_000_000;

/// How long a host may take to drain.
const DRAIN: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is read, and by which guest.
struct Load {
    component: String,
    events: u64,
    payload: Bytes,
    partitions: u32,
}

/// Counters, and when they were seen.
struct Sight {
    at: Instant,
    settled: u64,
}

fn main() -> Outcome<()> {
    guesthouse::compiler::serve_if_asked();
    run()
}

#[tokio::main]
async fn run() -> Outcome<()> {
    let load = Load::from_arguments()?;
    let data = tempfile::tempdir()?;
    let config = load.config(data.path())?;
    let connector = connector(config.connector.mode);
    connector.connect(&config.connector).await?;
    connector.ensure_topics(&config.connector.stream_name, &config.topology).await?;
    let publisher = Publisher::new(&config, &load, Arc::clone(&connector));

    publisher.fill(0).await?;
    let rate = with_host(&config, &connector, |handle| sustained_rate(handle, load.events)).await?;
    let live_rate = with_host(&config, &connector, |handle| publisher.live_rate(handle)).await?;
    let paced = |handle| publisher.latency_at(handle, live_rate / 2);
    let counters = with_host(&config, &connector, paced).await?;

    let quantile = |q| counters.latency.quantile(q).unwrap_or_default();
    let line = json!({
        "events": load.events,
        "payload_bytes": load.payload.len(),
        "events_per_second": rate,
        "live_events_per_second": live_rate,
        "latency_p50_micros": quantile(0.5),
        "latency_p99_micros": quantile(0.99),
    });
    writeln!(io::stdout().lock(), "{line}")?;
    connector.shutdown().await?;
    Ok(())
}

impl Load {
    fn from_arguments() -> Outcome<Self> {
        let mut arguments = env::args().skip(1);
        let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
        Ok(Self {
            component: next("COMPONENT")?,
            events: next("EVENTS")?.parse()?,
            payload: vec![b'x'; next("PAYLOAD_BYTES")?.parse()?].into(),
            partitions: next("PARTITIONS")?.parse()?,
        })
    }

    fn config(&self, data: &Path) -> Outcome<Config> {
        let text = json!({
            "events": { "iggy": {
                "topology": { "domain_partitions": self.partitions },
                "embedded": { "data_dir": data, "tcp_port": 0 },
            } },
            "subscriptions": [{
                "name": "bench",
                "topics": ["domain"],
                "codec": "raw",
                "raw": { "tenant": "bench", "event_type": "bench.event" },
            }],
            "handlers": [{
                "name": "no-op",
                "subscription": "bench",
                "component": env::current_dir()?.join(&self.component),
                "events": ["*"],
            }],
        });
        // JSON is YAML as well.
        Ok(Config::parse(&text.to_string(), Path::new(""), [])?)
    }
}

/// Runs a host as long as `work` does.
async fn with_host<T, F: Future<Output = Outcome<T>>>(
    config: &Config,
    connector: &Arc<dyn IggyConnector>,
    work: impl FnOnce(HostHandle) -> F,
) -> Outcome<T> {
    let host = Host::builder().config(config.clone()).connector(Arc::clone(connector)).build().await?;
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));
    let done = work(handle.clone()).await;
    handle.stop(DRAIN).await;
    running.await??;
    done
}

/// The rate between the first sight of settled events and the last one with some still open, so that neither the
/// start nor the coarse clock of the counters is measured.
async fn sustained_rate(handle: HostHandle, events: u64) -> Outcome<u64> {
    let mut sights: Vec<Sight> = Vec::new();
    loop {
        let settled = handle.counters().settled;
        if settled > 0 && sights.last().is_none_or(|last| last.settled != settled) {
            sights.push(Sight { at: Instant::now(), settled });
        }
        if settled >= events {
            break;
        }
        if handle.is_finished() {
            return Err("the host ended by itself".into());
        }
        sleep(LOOK_EVERY).await;
    }
    sights.pop();
    match (sights.first(), sights.last()) {
        (Some(first), Some(last)) if first.at < last.at => {
            let micros = u64::try_from((last.at - first.at).as_micros())?;
            Ok((last.settled - first.settled) * MICROS_PER_SECOND / micros)
        }
        _ => Err("too few events to measure a rate".into()),
    }
}

/// Waits until the host is as wanted.
async fn until(handle: &HostHandle, wanted: impl Fn(&HostHandle) -> bool) -> Outcome<()> {
    while !wanted(handle) {
        if handle.is_finished() {
            return Err("the host ended by itself".into());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Publishes to the topic that the host reads.
struct Publisher {
    connector: Arc<dyn IggyConnector>,
    topic: TopicAddress,
    payload: Bytes,
    events: u64,
    partitions: u32,
}

impl Publisher {
    fn new(config: &Config, load: &Load, connector: Arc<dyn IggyConnector>) -> Self {
        Self {
            connector,
            topic: TopicAddress { stream: config.connector.stream_name.clone(), topic: "domain".to_owned() },
            payload: load.payload.clone(),
            events: load.events,
            partitions: load.partitions,
        }
    }

    /// Publishes all events with ids from `first` on, evenly over the partitions.
    async fn fill(&self, first: u64) -> Outcome<()> {
        let mut published = 0;
        let mut turn = 0;
        while published < self.events {
            let count = BATCH.min(self.events - published);
            self.publish(turn % self.partitions, first + published, count).await?;
            published += count;
            turn += 1;
        }
        Ok(())
    }

    /// Publishes all events to a host that runs; the rate at which they are settled.
    async fn live_rate(&self, handle: HostHandle) -> Outcome<u64> {
        until(&handle, HostHandle::is_ready).await?;
        let started = Instant::now();
        self.fill(self.events).await?;
        until(&handle, |handle| handle.counters().settled >= self.events).await?;
        Ok(self.events * MICROS_PER_SECOND / u64::try_from(started.elapsed().as_micros())?)
    }

    /// Publishes at a rate for a while, and waits until all is settled.
    async fn latency_at(&self, handle: HostHandle, per_second: u64) -> Outcome<Counters> {
        until(&handle, HostHandle::is_ready).await?;
        let started = Instant::now();
        let mut published = 0;
        let mut turn = 0;
        while started.elapsed() < LATENCY_TIME {
            let due = u64::try_from(started.elapsed().as_micros())? * per_second / MICROS_PER_SECOND;
            if due > published {
                self.publish(turn % self.partitions, 2 * self.events + published, due - published).await?;
                published = due;
                turn += 1;
            }
            sleep(TICK).await;
        }
        until(&handle, |handle| handle.counters().settled >= published).await?;
        Ok(handle.counters())
    }

    async fn publish(&self, partition: u32, first: u64, count: u64) -> Outcome<()> {
        let message = |number: u64| OutgoingMessage {
            id: u128::from(number) + 1,
            partition: Partitioning::Partition(PartitionId(partition)),
            payload: self.payload.clone(),
            headers: Headers::default(),
        };
        let messages = (first..first + count).map(message).collect();
        Ok(self.connector.publish_batch(&self.topic, messages).await?)
    }
}
