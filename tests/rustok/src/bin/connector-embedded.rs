//! The sample "Embedded Mode" of the connector's document, with the import of `EmbeddedConnectorConfig` that it
//! forgets and the `main` around it; where it says "use connector" it publishes what the other sample publishes.

use rustok_iggy_connector::{
    ConnectorConfig, ConnectorMode, EmbeddedConnector, EmbeddedConnectorConfig, IggyConnector, PublishRequest,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connector = EmbeddedConnector::new();
    let config = ConnectorConfig {
        mode: ConnectorMode::Embedded,
        embedded: EmbeddedConnectorConfig {
            data_dir: "./data/iggy".to_string(),
            tcp_port: 8090,
            http_port: 3000,
            persistent: true,
        },
        ..Default::default()
    };

    connector.connect(&config).await?;
    let request = PublishRequest::simple("tenant-123", b"Hello, Iggy!".to_vec(), "event-1");
    connector.publish(request).await?;
    connector.shutdown().await?;
    Ok(())
}
