//! Runs the broker alone, until it is killed: `broker DATA_DIR PORT [SECONDS]`. Port 0 takes any free one. Members of
//! groups lose their partitions after so many seconds of silence.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use guesthouse_broker::{Broker, BrokerConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let data_dir = PathBuf::from(arguments.next().context("the first argument is the data directory")?);
    let port = arguments.next().context("the second argument is the port")?;
    let port: u16 = port.to_str().context("the port is a number")?.parse().context("the port is a number")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config = BrokerConfig { data_dir, address, ..BrokerConfig::default() };
    if let Some(seconds) = arguments.next() {
        let seconds = seconds.to_str().context("the silence is a number")?.parse();
        config.limits.member_silence_max = Duration::from_secs(seconds.context("the silence is a number")?);
    }
    let broker = Broker::start(config).await?;
    std::future::pending::<()>().await;
    drop(broker);
    Ok(())
}
