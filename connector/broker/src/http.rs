//! A small read-only HTTP surface on the loopback interface: health, metrics, and what the broker holds, as JSON and
//! as a page. It shows names and figures, never messages or users, and changes nothing.

mod metrics;
mod page;
mod report;

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use crate::engine::Engine;
use crate::listener::{Answer, Surface};
use report::{BrokerReport, Report};

const HTML: &str = "text/html; charset=utf-8";

/// What can be looked at.
pub(crate) struct Http {
    engine: Arc<Engine>,
    /// Reports are made one at a time: making one takes a thread from those who send and poll.
    turn: Semaphore,
}

impl Http {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, turn: Semaphore::new(1) }
    }
}

impl Surface for Http {
    async fn show(&self, path: &str) -> Answer {
        let show: fn(&Report) -> Answer = match path {
            "/" => |report| Answer::new(StatusCode::OK, HTML, page::render(report)),
            "/health" => health,
            "/metrics" => {
                |report| Answer::new(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(report))
            }
            "/streams" => |report| Answer::json(StatusCode::OK, &report.broker.streams),
            "/topics" => |report| Answer::json(StatusCode::OK, &report.topics),
            "/groups" => |report| Answer::json(StatusCode::OK, &report.groups),
            _ => {
                let known = "there are / /health /metrics /streams /topics /groups\n";
                return Answer::text(StatusCode::NOT_FOUND, known);
            }
        };
        let Ok(_turn) = self.turn.acquire().await else {
            return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "the broker stops\n");
        };
        block_in_place(|| show(&Report::of(&self.engine)))
    }
}

/// Whether the broker does all that it is for.
#[derive(Debug, Serialize)]
struct Health<'a> {
    status: &'static str,
    broker: &'a BrokerReport,
    /// Those that do not serve.
    partitions: Vec<Trouble<'a>>,
}

/// A partition that does not serve.
#[derive(Debug, Serialize)]
struct Trouble<'a> {
    stream: &'a str,
    topic: &'a str,
    partition: u32,
    state: &'static str,
    reason: Option<&'a str>,
}

fn health(report: &Report) -> Answer {
    let partitions: Vec<Trouble<'_>> = report
        .troubled()
        .map(|(topic, partition)| Trouble {
            stream: &topic.stream,
            topic: &topic.name,
            partition: partition.id,
            state: partition.state,
            reason: partition.reason.as_deref(),
        })
        .collect();
    let (code, status) = match partitions.is_empty() && report.broker.reason.is_none() {
        true => (StatusCode::OK, "healthy"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    Answer::json(code, &Health { status, broker: &report.broker, partitions })
}
