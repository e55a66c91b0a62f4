//! Goal: the sample "Health Check" of the transport's document runs as printed.
//! Method: run it on an embedded broker.

use rustok_iggy_connector::{ConnectorConfig, connector};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_is_as_printed() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ConnectorConfig::default();
    config.embedded.persistent = false;
    config.embedded.tcp_port = 0;
    let connector = connector(config.mode);
    connector.connect(&config).await?;

    use rustok_iggy::health::{HealthStatus, health_check};

    let result = health_check(connector.as_ref()).await?;
    match result.status {
        HealthStatus::Healthy => println!("All good"),
        HealthStatus::Degraded => println!("Partial issues"),
        HealthStatus::Unhealthy => println!("Critical failure"),
    }

    assert_eq!(result.status, HealthStatus::Healthy);
    connector.shutdown().await?;
    Ok(())
}
