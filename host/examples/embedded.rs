//! A host inside another program, wired as a platform does: one transport for publishing and reading, metrics in a
//! registry of the platform's, a signal that stops everything. `embedded CONFIG` publishes one event, waits until a
//! handler has settled it, and prints what was counted.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use guesthouse::{Config, EventEnvelope, EventTransport, Host, IggyConfig, IggyTransport, MetricsCollector};
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    // Components are compiled in a process of their own, which is this program again.
    guesthouse::compiler::serve_if_asked();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("expected the file of a configuration")?;
    let config = Config::load(Path::new(&file), env::vars_os())?;

    // One transport for the relay and the host: a second one would start a second broker.
    let transport = Arc::new(IggyTransport::new(IggyConfig::from(&config)).await?);
    let host = Host::builder().config(config).connector(Arc::clone(transport.connector())).build().await?;
    let registry = Registry::new();
    let metrics = MetricsCollector::new().host(&host.handle()).transport(&transport);
    registry.register(Box::new(metrics))?;

    // What the platform's `StopHandle::subscribe()` gives.
    let (stop, stopped) = watch::channel(false);
    let host = host.spawn(stopped);
    wait_until(|| host.is_ready()).await?;
    let mut out = io::stdout();
    writeln!(out, "{} is ready", host.instance_id())?;

    let order = json!({ "order_id": "order-1", "customer_id": "c", "total": 12_540, "currency": "EUR" });
    let order = json!({ "type": "OrderPlaced", "data": order });
    transport.publish(EventEnvelope::new(Uuid::new_v4(), "order.placed", &order)?).await?;
    wait_until(|| host.counters().settled > 0 && host.counters().unsettled == 0).await?;

    stop.send_replace(true);
    wait_until(|| host.is_finished()).await?;
    let report = host.stop(Duration::from_secs(10)).await?;
    transport.shutdown().await?;
    writeln!(out, "{} settled", report.counters.settled)?;
    let figures = TextEncoder::new().encode_to_string(&registry.gather())?;
    for line in figures.lines().filter(|line| line.starts_with("rustok_event_bus_published_total")) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

async fn wait_until(is_so: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.map_err(|_| "gave up waiting for the host".into())
}
