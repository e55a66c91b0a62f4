//! Whether the broker can be worked with, under the name that the platform gives this module.

pub use guesthouse_connector::{HealthCheck, HealthCheckResult, HealthStatus, health_check};
