//! `guesthouse health`: asks a running host how it fares, or the broker when the host shows nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use guesthouse_connector::{
    ConsumerGroupManager, GroupAddress, HealthCheck, HealthCheckResult, HealthStatus, TopicAddress,
    TopologyManager,
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ConfigArgs, Console, Environment, connection};
use crate::config::Config;
use crate::endpoint::HEALTH_PATH;

/// How long a host may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Bytes of its answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON, with every cause and figure.
    #[arg(long)]
    json: bool,
}

/// The exit says so, too.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotHealthy(HealthStatus);

pub(super) async fn health(
    args: HealthArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let config = args.config.load(environment)?;
    let health = match config.metrics_listen {
        Some(address) => ask_host(address).await?,
        None => ask_broker(&config).await?,
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &health)?;
        writeln!(console.out)?;
    } else {
        writeln!(console.out, "{}: {}", health.status, health.message)?;
    }
    match health.status {
        HealthStatus::Healthy => Ok(()),
        status => Err(NotHealthy(status).into()),
    }
}

/// What the host at an address says. One that does not answer is not healthy.
async fn ask_host(address: SocketAddr) -> anyhow::Result<HealthCheckResult> {
    let asked = timeout(ANSWER_TIME_MAX, get(address)).await;
    let answer = match asked.map_err(anyhow::Error::from).and_then(|answer| answer) {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(HealthCheckResult::unhealthy(format!("no host answers at {address}: {error}")));
        }
    };
    let answer: Value = serde_json::from_slice(&answer)
        .with_context(|| format!("what answers at {address} is not a host of this version"))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let result = match text("status").as_str() {
        "healthy" => HealthCheckResult::healthy(text("message")),
        "degraded" => HealthCheckResult::degraded(text("message")),
        _ => HealthCheckResult::unhealthy(text("message")),
    };
    Ok(result.with_details(answer.get("details").cloned().unwrap_or_default()))
}

async fn get(address: SocketAddr) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this function, and tells what it has to tell through the answer.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = hyper::Request::get(HEALTH_PATH).header(header::HOST, address.to_string());
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(anyhow::Error::from_boxed)?.to_bytes())
}

/// What can be seen without a host: whether the broker answers, its topics, and how far the groups are.
async fn ask_broker(config: &Config) -> anyhow::Result<HealthCheckResult> {
    let connector = connection::open(config).await?;
    let stream = config.connector.stream_name.as_str();
    let topology = TopologyManager::new(Arc::clone(&connector), stream, config.topology.clone());
    let groups = ConsumerGroupManager::new(Arc::clone(&connector));
    let readers: Vec<GroupAddress> = config
        .subscriptions
        .iter()
        .flat_map(|subscription| {
            let of = |topic: &String| {
                GroupAddress::new(TopicAddress::new(stream, topic.as_str()), &subscription.group)
            };
            subscription.topics.iter().map(of)
        })
        .collect();
    let check = HealthCheck::new(&*connector).topology(&topology);
    let check = readers.iter().fold(check, |check, group| check.group(&groups, group, config.health.lag_max));
    let health = check.run().await;
    connection::close(connector.as_ref(), Ok(health)).await
}
