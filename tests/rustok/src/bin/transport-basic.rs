//! The sample "Basic Setup" of the transport's document, without the import of the trait, which it does not use.

use rustok_iggy::{IggyConfig, IggyTransport};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = IggyConfig::default();
    let transport = IggyTransport::new(config).await?;

    // Transport implements EventTransport
    transport.shutdown().await?;
    Ok(())
}
