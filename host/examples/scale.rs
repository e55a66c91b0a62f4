//! What the host costs when there are many of something: `scale COMPONENT WHAT COUNT` makes a topic of the embedded
//! broker, fills it, and lets a host read it that has COUNT handlers, busy handlers, tenants, lanes or partitions. It
//! prints one line of JSON: processor time per event once all guests have started, and what is resident.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guesthouse::{Config, HandlerConfig, HandlerName, Host, HostHandle, TenantScope};
use guesthouse_connector::{
    Headers, IggyConnector, OutgoingMessage, PartitionId, Partitioning, TopicAddress, connector,
};
use serde_json::json;
use tokio::time::sleep;

/// Messages of one request.
const BATCH: u64 = 1_000;

/// Handlers that have events where the others have none, so that only their number differs.
const BUSY_HANDLERS: u64 = 64;

/// Events of a tenant, or of a lane, that come one after another, and at most so many are in one call: however many tenants
/// there are, calls are alike.
const RUN: u64 = 8;

/// Calls of each tenant before anything is measured: its guest has started then, and is known to be quick.
const WARM_RUNS: u64 = 5;

/// Events that are measured, and at least as many of each partition.
const EVENTS: u64 = 300_000;
const PARTITION_EVENTS: u64 = 1_000;

const PARTITIONS: u64 = 8;
const PAYLOAD_BYTES: usize = 256;

/// Ticks of the processor's clock in a second, as the kernel tells them to programs.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4_096;

const LOOK_EVERY: Duration = Duration::from_millis(2);
const DRAIN: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What there are many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Handlers, each of one tenant and all of one type; a few of them have events.
    Handlers,
    /// The same, and all have events.
    BusyHandlers,
    /// Tenants of one handler, in turn.
    Tenants,
    /// Lanes of one tenant, by key.
    Lanes,
    /// Partitions.
    Partitions,
}

/// What is published and read.
struct Load {
    component: PathBuf,
    what: What,
    count: u64,
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
    load.fill(&connector, &config.connector.stream_name).await?;

    let before = resident_bytes()?;
    let host = Host::builder().config(config).connector(Arc::clone(&connector)).build().await?;
    let built = resident_bytes()?;
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));
    let (warm, all) = (load.warm_events(), load.warm_events() + load.events());
    let from = until_settled(&handle, warm.max(1)).await?;
    let began = processor_ticks()?;
    let to = until_settled(&handle, all).await?;
    let ticks = processor_ticks()? - began;
    let line = json!({
        "events": to - from,
        "nanos_per_event": ticks * (1_000_000_000 / TICKS_PER_SECOND) / (to - from).max(1),
        "built_bytes": built.saturating_sub(before),
        "resident_bytes": resident_bytes()?.saturating_sub(before),
    });
    writeln!(io::stdout().lock(), "{line}")?;
    handle.stop(DRAIN).await;
    running.await??;
    connector.shutdown().await?;
    Ok(())
}

impl Load {
    fn from_arguments() -> Outcome<Self> {
        let mut arguments = env::args().skip(1);
        let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
        let component = env::current_dir()?.join(next("COMPONENT")?);
        let what = match next("WHAT")?.as_str() {
            "handlers" => What::Handlers,
            "busy-handlers" => What::BusyHandlers,
            "tenants" => What::Tenants,
            "lanes" => What::Lanes,
            "partitions" => What::Partitions,
            other => return Err(format!("there is no `{other}` to have many of").into()),
        };
        Ok(Self { component, what, count: next("COUNT")?.parse()? })
    }

    fn partitions(&self) -> u64 {
        if self.what == What::Partitions { self.count } else { PARTITIONS }
    }

    /// Tenants with events.
    fn tenants(&self) -> u64 {
        match self.what {
            What::Handlers => BUSY_HANDLERS.min(self.count),
            What::BusyHandlers | What::Tenants => self.count,
            What::Lanes | What::Partitions => 1,
        }
    }

    fn warm_events(&self) -> u64 {
        let partitions =
            if self.what == What::Partitions { self.partitions() * PARTITION_EVENTS / 2 } else { 0 };
        (self.tenants() * WARM_RUNS * RUN).max(EVENTS / 10).max(partitions)
    }

    fn events(&self) -> u64 {
        EVENTS.max(self.tenants() * RUN).max(self.partitions() * PARTITION_EVENTS)
    }

    fn config(&self, data: &Path) -> Outcome<Config> {
        let order = if self.what == What::Lanes { "key" } else { "tenant" };
        let text = json!({
            "events": { "iggy": {
                "topology": { "domain_partitions": self.partitions() },
                "embedded": { "data_dir": data.join("iggy"), "tcp_port": 0 },
            } },
            "subscriptions": [{
                "name": "bench",
                "topics": ["domain"],
                "codec": "raw",
                "raw": { "tenant": "header", "event_type": "bench.event" },
            }],
            "sandbox": { "cache_dir": data.join("cache"), "journal_dir": data.join("host") },
            "handlers": [{
                "name": "bench",
                "subscription": "bench",
                "component": self.component,
                "events": ["bench.event"],
                "order_by": order,
                "batch_max": RUN,
            }],
        });
        // JSON is YAML as well.
        let mut config = Config::parse(&text.to_string(), Path::new(""), [])?;
        if matches!(self.what, What::Handlers | What::BusyHandlers) {
            let of_all = config.handlers.remove(0);
            config.handlers = (0..self.count).map(|at| of_tenant(&of_all, at)).collect::<Outcome<_>>()?;
        }
        Ok(config)
    }

    /// Publishes all events, evenly over the partitions.
    async fn fill(&self, connector: &Arc<dyn IggyConnector>, stream: &str) -> Outcome<()> {
        let topic = TopicAddress::new(stream, "domain");
        let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
        let (tenants, partitions) = (self.tenants(), self.partitions());
        let all = self.warm_events() + self.events();
        let batch = BATCH.min(all.div_ceil(partitions));
        for (turn, first) in (0..all).step_by(usize::try_from(batch)?).enumerate() {
            let partition = PartitionId(u32::try_from(turn as u64 % partitions)?);
            let mut messages = Vec::with_capacity(usize::try_from(batch)?);
            for number in first..all.min(first + batch) {
                let mut headers = Headers::default();
                headers.insert("tenant-id", tenant(number / RUN % tenants))?;
                if self.what == What::Lanes {
                    headers.insert("partition-key", format!("key-{}", number / RUN % self.count))?;
                }
                messages.push(OutgoingMessage {
                    id: u128::from(number) + 1,
                    partition: Partitioning::Partition(partition),
                    payload: payload.clone(),
                    headers,
                });
            }
            connector.publish_batch(&topic, messages).await?;
        }
        Ok(())
    }
}

fn tenant(number: u64) -> String {
    format!("tenant-{number:06}")
}

/// A handler like another one, of one tenant.
fn of_tenant(of_all: &HandlerConfig, number: u64) -> Outcome<HandlerConfig> {
    let name = HandlerName::new(&format!("bench-{number}"))?;
    let tenants = TenantScope::Only(BTreeSet::from([tenant(number).into()]));
    Ok(HandlerConfig { name, tenants, ..of_all.clone() })
}

/// Waits until so many events are settled, and tells how many really are.
async fn until_settled(handle: &HostHandle, events: u64) -> Outcome<u64> {
    loop {
        let settled = handle.settled();
        if settled >= events {
            return Ok(settled);
        }
        if handle.is_finished() {
            return Err("the host ended by itself".into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Processor time of this process, in ticks.
fn processor_ticks() -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("expected the name of the program in its status")?;
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|time| Ok(time.parse::<u64>()?)).sum()
}

fn resident_bytes() -> Outcome<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).ok_or("expected the number of resident pages")?;
    Ok(pages.parse::<u64>()? * PAGE_BYTES)
}
