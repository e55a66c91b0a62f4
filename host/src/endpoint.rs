//! The endpoint: metrics and health over HTTP, for those who watch a host from outside. It changes nothing, and shows
//! names of the configuration, figures and reasons, but no events and no secrets.

use std::net::SocketAddr;

use guesthouse_broker::listener::{self, Answer, Surface};
use guesthouse_connector::{HealthCheckResult, HealthStatus};
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::health::STARTING;
use crate::host::HostHandle;
use crate::metrics::MetricsCollector;

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where a host can be asked how it fares.
pub(crate) const HEALTH_PATH: &str = "/health/ready";

const PATHS: &str = "there are /metrics /health/live /health/ready\n";

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

    /// Answers, while a host is built, that it lives and is not ready. Whoever waits for its start may ask, and is not told
    /// that nothing is there.
    pub(crate) async fn serve_during<T>(&self, building: impl Future<Output = T>) -> T {
        let address = self.address;
        tracing::info!("metrics and health at http://{address}/metrics and http://{address}{HEALTH_PATH}");
        let (built, is_built) = oneshot::channel::<()>();
        let building = async {
            let done = building.await;
            drop(built);
            done
        };
        let serving = listener::serve(&self.listener, Starting, async { drop(is_built.await) });
        tokio::join!(building, serving).0
    }

    /// Serves until it is dropped, which breaks what is open. Never ends by itself.
    pub(crate) async fn run(self, host: HostHandle) {
        let metrics = MetricsCollector::new().host(&host);
        listener::serve(&self.listener, Shown { host, metrics }, std::future::pending()).await;
    }
}

/// What there is to see of a host that is still being built.
struct Starting;

impl Surface for Starting {
    async fn show(&self, path: &str) -> Answer {
        match path {
            "/health/live" => Answer::text(StatusCode::OK, "alive\n"),
            HEALTH_PATH => {
                let (status, message) = (
                    HealthStatus::Unhealthy,
                    "the host starts: it checks components, and connects to the broker",
                );
                let causes = json!([{ "status": status, "code": STARTING, "message": message }]);
                let details = Some(json!({ "causes": causes }));
                let health = HealthCheckResult { status, message: message.to_owned(), details };
                Answer::json(StatusCode::SERVICE_UNAVAILABLE, &health)
            }
            "/metrics" => Answer::text(StatusCode::SERVICE_UNAVAILABLE, "the host starts\n"),
            _ => Answer::text(StatusCode::NOT_FOUND, PATHS),
        }
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
            _ => Answer::text(StatusCode::NOT_FOUND, PATHS),
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
