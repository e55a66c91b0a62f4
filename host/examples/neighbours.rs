//! What a tenant feels of its neighbours: `neighbours GUESTS SAMPLES` publishes orders one at a time and waits for the
//! total of each, first alone and then beside tenants whose guests never end. It prints one line of JSON, in microseconds.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guesthouse::{Config, Host};
use guesthouse_connector::{
    Headers, IggyConnector, Offset, OutgoingMessage, PartitionId, Partitioning, TopicAddress, connector,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

/// Tenants whose guests never end.
const NEIGHBOURS: u128 = 20;

/// Between two events of the neighbours: each of them keeps a processor busy for its whole deadline.
const NEIGHBOURS_EVERY: Duration = Duration::from_millis(50);

/// How long the neighbours have been there before anything is measured.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Between two looks for an answer.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// An order whose total does not come in this time ends the run.
const PATIENCE: Duration = Duration::from_secs(60);

const DRAIN: Duration = Duration::from_secs(10);
const PARTITION: PartitionId = PartitionId(0);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    guesthouse::compiler::serve_if_asked();
    run()
}

#[tokio::main]
async fn run() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("expected {name}"));
    let guests = env::current_dir()?.join(next("GUESTS")?);
    let samples = next("SAMPLES")?.parse()?;
    let data = tempfile::tempdir()?;
    let config = config(data.path(), &guests)?;
    let connector = connector(config.connector.mode);
    connector.connect(&config.connector).await?;
    connector.ensure_topics(&config.connector.stream_name, &config.topology).await?;
    let host = Host::builder().config(config).connector(Arc::clone(&connector)).build().await?;
    let handle = host.handle();
    let running = tokio::spawn(host.run(std::future::pending()));

    let mut street = Street { connector: Arc::clone(&connector), read: Offset(0) };
    street.round_trips(samples).await?;
    let alone = street.round_trips(samples).await?;
    let neighbours = tokio::spawn(make_noise(Arc::clone(&connector)));
    sleep(SETTLING_TIME).await;
    let beside = street.round_trips(samples).await?;
    if neighbours.is_finished() {
        return Err("the neighbours fell silent".into());
    }
    neighbours.abort();

    let timed_out = handle.counters().dead_letters.len();
    let line = json!({
        "neighbours": NEIGHBOURS,
        "alone": quantiles(alone),
        "beside": quantiles(beside),
        "kinds_of_dead_letters": timed_out,
    });
    writeln!(io::stdout().lock(), "{line}")?;
    handle.stop(DRAIN).await;
    running.await??;
    connector.shutdown().await?;
    Ok(())
}

fn config(data: &Path, guests: &Path) -> Outcome<Config> {
    let component = |name: &str| -> PathBuf { guests.join(format!("{name}.wasm")) };
    let text = json!({
        "events": { "iggy": {
            "topology": { "domain_partitions": 1 },
            "embedded": { "data_dir": data, "tcp_port": 0 },
        } },
        "handlers": [
            { "name": "order-totals", "component": component("order_totals"), "events": ["order.placed"] },
            {
                "name": "picky",
                "component": component("picky"),
                "events": ["demo.picky"],
                "retry": { "attempts_max": 1 },
            },
        ],
    });
    // JSON is YAML as well.
    Ok(Config::parse(&text.to_string(), Path::new(""), [])?)
}

/// The topic on which all of them live.
struct Street {
    connector: Arc<dyn IggyConnector>,
    read: Offset,
}

impl Street {
    /// Publishes orders one at a time; how long each took until its total was there, in microseconds.
    async fn round_trips(&mut self, count: usize) -> Outcome<Vec<u64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let order = Uuid::new_v4().to_string();
            let data = json!({ "order_id": order, "customer_id": order, "total": 12_540, "currency": "EUR" });
            let began = Instant::now();
            publish(&*self.connector, 0, "order.placed", json!({ "type": "OrderPlaced", "data": data }))
                .await?;
            self.total_of(&order, began).await?;
            times.push(u64::try_from(began.elapsed().as_micros())?);
        }
        Ok(times)
    }

    async fn total_of(&mut self, order: &str, began: Instant) -> Outcome<()> {
        while began.elapsed() < PATIENCE {
            let messages = self.connector.read_from(&domain(), PARTITION, self.read, 1_000).await?;
            for message in &messages {
                self.read = Offset(message.offset.0 + 1);
                let envelope: Value = serde_json::from_slice(&message.payload)?;
                let text = |at: &str| envelope.pointer(at).and_then(Value::as_str);
                let is_total = text("/event_type") == Some("order.total-computed");
                if is_total && text("/event/data/order_id") == Some(order) {
                    return Ok(());
                }
            }
            sleep(LOOK_EVERY).await;
        }
        Err(format!("the total of order {order} did not come in {PATIENCE:?}").into())
    }
}

/// Publishes events whose guests never end, of one tenant after the other, until it is stopped.
async fn make_noise(connector: Arc<dyn IggyConnector>) -> Outcome<()> {
    for turn in 0.. {
        let event = json!({ "type": "Picky", "data": { "behave": "loop" } });
        publish(&*connector, 1 + turn % NEIGHBOURS, "demo.picky", event).await?;
        sleep(NEIGHBOURS_EVERY).await;
    }
    Ok(())
}

async fn publish(connector: &dyn IggyConnector, tenant: u128, event_type: &str, event: Value) -> Outcome<()> {
    let id = Uuid::new_v4();
    let envelope = json!({
        "id": id,
        "event_type": event_type,
        "schema_version": 1,
        "correlation_id": id,
        "causation_id": null,
        "tenant_id": Uuid::from_u128(0x7f3c_9a52_4b1e_4d6a_9c80_0000_0000_0001 + tenant),
        "trace_id": null,
        "timestamp": "2026-08-20T09:15:02.417305+00:00",
        "actor_id": null,
        "event": event,
        "retry_count": 0,
    });
    let message = OutgoingMessage {
        id: id.as_u128(),
        partition: Partitioning::Partition(PARTITION),
        payload: Bytes::from(envelope.to_string()),
        headers: Headers::default(),
    };
    Ok(connector.publish_batch(&domain(), vec![message]).await?)
}

fn domain() -> TopicAddress {
    TopicAddress::new("rustok", "domain")
}

fn quantiles(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    json!({ "p50": at(50), "p99": at(99), "max": times.last() })
}
