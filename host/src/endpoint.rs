//! The endpoint: metrics and health over HTTP, for those who watch a host from outside. It changes nothing, and shows
//! names of the configuration, figures and reasons, but no events and no secrets.

use std::net::SocketAddr;

use guesthouse_broker::listener::{self, Answer, Surface};
use guesthouse_connector::HealthStatus;
use http::StatusCode;
use tokio::net::TcpListener;

use crate::host::HostHandle;
use crate::metrics::MetricsCollector;

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where a host can be asked how it fares.
pub(crate) const HEALTH_PATH: &str = "/health/ready";

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `metrics.listen` {address}: expected a free address of this machine")]
pub struct EndpointError {
    address: SocketAddr,
    source: std::io::Error,
}

/// What every connection shows.
struct Shown {
    host: HostHandle,
    metrics: MetricsCollector,
}

impl Endpoint {
    /// Listens. Connections wait until [`Self::run`].
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, EndpointError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source| EndpointError { address, source })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, which breaks what is open. Never ends by itself.
    pub(crate) async fn run(self, host: HostHandle) {
        let Self { listener, address } = self;
        tracing::info!("metrics and health at http://{address}/metrics and http://{address}{HEALTH_PATH}");
        let metrics = MetricsCollector::new().host(&host);
        listener::serve(listener, Shown { host, metrics }, std::future::pending()).await;
    }
}

impl Surface for Shown {
    async fn show(&self, path: &str) -> Answer {
        match path {
            "/metrics" => match self.metrics.to_text() {
                Ok(text) => Answer::new(StatusCode::OK, METRICS, text),
                Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            "/health/live" if !self.host.is_alive() => {
                Answer::text(StatusCode::SERVICE_UNAVAILABLE, "a worker died, start the host again\n")
            }
            "/health/live" => Answer::text(StatusCode::OK, "alive\n"),
            HEALTH_PATH => self.health(),
            _ => Answer::text(StatusCode::NOT_FOUND, "there are /metrics /health/live /health/ready\n"),
        }
    }
}

impl Shown {
    /// A host that works is ready, also when somebody should look at it.
    fn health(&self) -> Answer {
        let health = self.host.health();
        let code = match health.status {
            HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
            HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Answer::json(code, &health)
    }
}
