//! The embedded broker: Iggy's wire protocol 0.11.0 over a durable log, in this process.
//!
//! Iggy's own clients (SDK 0.11, command line 0.14, Python 0.9) talk to it unmodified over TCP. What it
//! acknowledges is with the operating system, or on the disk in topics with `durability=persisted`, and survives
//! the death of the process. It serves one machine: several machines are the job of an Iggy cluster.
//!
//! ```no_run
//! use guesthouse_broker::{Broker, BrokerConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::start(BrokerConfig { data_dir: "data".into(), ..BrokerConfig::default() }).await?;
//! println!("connect to {} as {}", broker.address(), broker.root_credentials().username);
//! broker.shutdown(std::time::Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod config;
pub mod fuzzing;
mod server;

mod connection;
mod peer;
mod wire;

mod command;
mod engine;
mod http;
#[doc(hidden)]
pub mod listener;

mod catalog;
mod credentials;
mod expiry;
mod group;
mod partition;
mod password;
mod recent;
mod retention;
mod root;
mod user;

pub mod clock;
mod data_dir;
mod doctor;
mod log;
mod machine;
pub mod open_files;
mod store;
mod troubles;
#[doc(hidden)]
pub mod workers;

pub use config::{BrokerConfig, DEFAULT_PORT, EVERY_TOPIC, Limits, TlsFiles};
pub use credentials::{CredentialsError, RootCredentials};
pub use data_dir::{DataDirError, RunningBroker, running};
pub use doctor::{Diagnosis, ExamineError, Finding, Severity, examine};
pub use password::HashError;
pub use server::{Broker, ShutdownError, StartError, TlsError};
pub use troubles::Troubles;

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
