//! A broker as a program of its own, to be killed and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use guesthouse_connector::{ConnectorConfig, ConnectorMode, RemoteConnectorConfig};
use tempfile::TempDir;

use crate::builds;
use crate::wait::eventually;

/// The variable that names a server for the whole suite, as `user:password@host:port`.
const OUTSIDE: &str = "GUESTHOUSE_TEST_IGGY";

/// Where a broker listens and who may log in.
#[derive(Debug, Clone)]
pub struct Access {
    /// `host:port`.
    pub address: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// A broker that runs as a process of its own. Dropping it kills it.
#[derive(Debug)]
pub struct BrokerProgram {
    data: PathBuf,
    access: Access,
    child: Child,
    silence_max: Option<Duration>,
    /// Kept until the broker has ended, when the directory is its own.
    own: Option<TempDir>,
}

impl Access {
    /// The server that the whole suite shall use, if one is named.
    pub fn outside() -> Option<Self> {
        let text = std::env::var(OUTSIDE).ok()?;
        let parts =
            text.rsplit_once('@').and_then(|(login, address)| Some((login.split_once(':')?, address)));
        let ((username, password), address) =
            parts.unwrap_or_else(|| panic!("{OUTSIDE} is not user:password@host:port"));
        Some(Self { address: address.into(), username: username.into(), password: password.into() })
    }

    /// The broker that runs on a data directory, once it does.
    pub async fn to_running(data_dir: &Path) -> Self {
        let running =
            eventually("a broker runs on the data directory", async || guesthouse_broker::running(data_dir))
                .await;
        let file = running.password_file.expect("no story configures the password of its broker");
        let password = std::fs::read_to_string(file).expect("the password file is readable");
        Self {
            address: running.address.to_string(),
            username: running.username,
            password: password.trim().into(),
        }
    }

    /// What a connector needs to reach it.
    pub fn config(&self) -> ConnectorConfig {
        let remote = RemoteConnectorConfig {
            addresses: vec![self.address.clone()],
            username: self.username.clone(),
            password: self.password.clone(),
            ..RemoteConnectorConfig::default()
        };
        ConnectorConfig { mode: ConnectorMode::Remote, remote, ..ConnectorConfig::default() }
    }
}

impl BrokerProgram {
    /// Starts a broker on a fresh directory and any free port.
    pub async fn start() -> Self {
        let own = tempfile::tempdir().expect("a temporary directory can be made");
        let mut broker = Self::start_with(own.path(), None).await;
        broker.own = Some(own);
        broker
    }

    /// The same on this directory; members of groups that are silent for so many seconds lose their partitions.
    pub async fn start_impatient(data: &Path, silence_max: Duration) -> Self {
        Self::start_with(data, Some(silence_max)).await
    }

    async fn start_with(data: &Path, silence_max: Option<Duration>) -> Self {
        let child = spawn(program(), data, 0, silence_max);
        let access = Access::to_running(data).await;
        Self { data: data.to_owned(), access, child, silence_max, own: None }
    }

    /// How to reach it.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Kills it with no chance to clean up.
    pub fn kill(&mut self) {
        assert!(self.child.try_wait().expect("a child can be asked").is_none(), "the broker ended by itself");
        self.child.kill().expect("a child that runs can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Starts it again on the same port and an empty directory; its password is another one.
    pub async fn start_empty(&mut self) {
        let own = tempfile::tempdir().expect("a temporary directory can be made");
        self.data = own.path().to_owned();
        self.own = Some(own);
        self.start_again().await;
        self.access = Access::to_running(&self.data).await;
    }

    /// Starts it again on the same directory and port.
    pub async fn start_again(&mut self) {
        self.start_again_as(program()).await;
    }

    /// The same with the environment of a command that lacks only its arguments.
    pub async fn start_again_as(&mut self, command: Command) {
        let address: SocketAddr = self.access.address.parse().expect("it was written by a socket address");
        self.child = spawn(command, &self.data, address.port(), self.silence_max);
        Access::to_running(&self.data).await;
    }
}

impl Drop for BrokerProgram {
    fn drop(&mut self) {
        // It may have been killed before; either way nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program that runs a broker alone, to be given an environment.
pub fn program() -> Command {
    Command::new(builds::broker())
}

fn spawn(mut command: Command, data_dir: &Path, port: u16, silence_max: Option<Duration>) -> Child {
    command.arg(data_dir).arg(port.to_string());
    command.args(silence_max.map(|silence| silence.as_secs().to_string()));
    command.spawn().expect("the broker was built, so it starts")
}
