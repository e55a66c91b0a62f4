//! `guesthouse broker`: runs the embedded broker alone, for any client of Iggy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use guesthouse_broker::{Broker, BrokerConfig, DEFAULT_PORT, TlsFiles, running};
use secrecy::SecretString;

use super::signals::Signals;
use super::{AskedWrongly, Console};
use crate::encoding::{self, EncodingError};

/// How long requests that are under way may take after the first signal.
const DRAIN_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct BrokerArgs {
    /// Where the broker keeps everything; made when it is missing.
    #[arg(long, value_name = "DIR", default_value = "data/iggy")]
    data_dir: PathBuf,
    /// Where to listen; port 0 takes any free one. Beyond this machine a certificate and a password file are needed.
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))]
    address: SocketAddr,
    /// Show health, metrics, topics and lag over HTTP on this port of the loopback interface.
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Name of the root user.
    #[arg(long, value_name = "NAME", default_value = "iggy")]
    username: String,
    /// A file with the password of the root user. Without it, a random one is kept in the data directory. Either file is
    /// read again at each login of that user.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Store messages again that another connection sends again under the same ids, in this topic, or in all with `*`;
    /// may be given several times. Elsewhere they are taken for a retry after a lost answer, and counted.
    #[arg(long, value_name = "TOPIC")]
    store_repeats: Vec<String>,
    /// Encrypt connections with this certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

/// Runs until a signal. What was acknowledged is on the disk when this returns.
pub(super) async fn broker(args: BrokerArgs, console: &mut Console<'_>) -> anyhow::Result<()> {
    // From here on a signal stops the broker in order, even before it runs.
    let mut signals = Signals::listen()?;
    let starting = Broker::start(args.config()?);
    let broker = tokio::select! {
        broker = starting => broker?,
        () = signals.next() => return Ok(()),
    };
    // Whoever started it may have seen enough: a broker does not end because its output is closed.
    if let Err(error) = introduce(&args, &broker, console) {
        tracing::warn!(
            error = format!("{error:#}"),
            "how to connect could not be written to standard output"
        );
    }
    signals.next().await;
    tokio::select! {
        stopped = broker.shutdown(DRAIN_MAX) => Ok(stopped?),
        () = signals.next() => bail!("ended at once by a second signal; what was acknowledged is kept"),
    }
}

/// Says how to connect, for people and for programs that wait for the first line.
fn introduce(args: &BrokerArgs, broker: &Broker, console: &mut Console<'_>) -> anyhow::Result<()> {
    let generated = running(&args.data_dir).and_then(|running| running.password_file);
    let password = args.password_file.clone().or(generated);
    let encrypted = if args.tls_certificate.is_some() { ", encrypted" } else { "" };
    writeln!(console.out, "listening on {}{encrypted}", broker.address())?;
    writeln!(console.out, "user:     {}", broker.root_credentials().username)?;
    writeln!(console.out, "password: in {}", password.as_deref().unwrap_or(Path::new("-")).display())?;
    writeln!(console.out, "data:     {}", args.data_dir.display())?;
    if let Some(address) = broker.http_address() {
        writeln!(console.out, "http:     http://{address}/")?;
    }
    Ok(console.out.flush()?)
}

impl BrokerArgs {
    fn config(&self) -> anyhow::Result<BrokerConfig> {
        if self.data_dir.is_file() {
            bail!(AskedWrongly(format!(
                "--data-dir {} is a file, expected a directory",
                self.data_dir.display()
            )));
        }
        let password = self.password_file.as_deref().map(read_password).transpose()?;
        let tls = self.tls_certificate.clone().zip(self.tls_key.clone());
        Ok(BrokerConfig {
            data_dir: self.data_dir.clone(),
            address: self.address,
            http: self.http_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            root_username: self.username.clone(),
            root_password: password,
            root_password_file: self.password_file.clone(),
            repeats_stored_in: self.store_repeats.clone(),
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            ..BrokerConfig::default()
        })
    }
}

/// The file without the line end that editors leave.
fn read_password(file: &Path) -> anyhow::Result<SecretString> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read the password file {shown}"))?;
    let text = encoding::utf8(&bytes).map_err(|problem| match problem {
        // Neither the byte nor its place: it is a secret.
        EncodingError::Other { .. } => {
            anyhow::anyhow!("the password file {shown} is not UTF-8; save it as UTF-8")
        }
        other => anyhow::anyhow!("the password file {shown} {other}"),
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
