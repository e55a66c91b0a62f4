//! The sample "Remote Mode" of the connector's document, with the import of `RemoteConnectorConfig` that it forgets.

use rustok_iggy_connector::{
    ConnectorConfig, ConnectorMode, IggyConnector, PublishRequest, RemoteConnector, RemoteConnectorConfig,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connector = RemoteConnector::new();

    let config = ConnectorConfig {
        mode: ConnectorMode::Remote,
        remote: RemoteConnectorConfig {
            addresses: vec!["127.0.0.1:8090".to_string()],
            protocol: "tcp".to_string(),
            username: "rustok".to_string(),
            password: "secret".to_string(),
            tls_enabled: false,
        },
        stream_name: "rustok".to_string(),
        topic_name: "domain".to_string(),
        partitions: 8,
        ..Default::default()
    };

    connector.connect(&config).await?;

    let request = PublishRequest::simple("tenant-123", b"Hello, Iggy!".to_vec(), "event-1");
    connector.publish(request).await?;

    connector.shutdown().await?;
    Ok(())
}
