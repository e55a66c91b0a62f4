//! Goal: a configuration says what it means, and says so when it cannot.
//! Method: parse modes and configurations, and look at what they print.

use guesthouse_connector::{ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig, RemoteConnectorConfig};

#[test]
fn modes_have_two_names_each_in_any_case() {
    for text in ["embedded", "bundled", "Embedded", "BUNDLED"] {
        assert_eq!(text.parse(), Ok(ConnectorMode::Embedded), "{text}");
    }
    for text in ["remote", "external", "Remote", "EXTERNAL"] {
        assert_eq!(text.parse(), Ok(ConnectorMode::Remote), "{text}");
    }
    let error = "cloud".parse::<ConnectorMode>().unwrap_err();
    assert!(error.to_string().starts_with("Unknown mode: cloud"), "{error}");
}

#[test]
fn modes_are_written_in_lower_case() {
    let text = serde_json::to_string(&ConnectorMode::Remote).unwrap();
    assert_eq!(text, r#""remote""#);
    assert_eq!(serde_json::from_str::<ConnectorMode>(r#""External""#).unwrap(), ConnectorMode::Remote);
    let error = serde_json::from_str::<ConnectorMode>(r#""cloud""#).unwrap_err();
    assert!(error.to_string().contains("Unknown mode: cloud"), "{error}");
}

#[test]
fn configurations_can_be_written_field_by_field() {
    let config = ConnectorConfig {
        embedded: EmbeddedConnectorConfig {
            data_dir: "./data/iggy".to_owned(),
            tcp_port: 8090,
            http_port: 3000,
            persistent: true,
        },
        remote: RemoteConnectorConfig {
            addresses: vec!["127.0.0.1:8090".to_owned()],
            protocol: "tcp".to_owned(),
            username: "rustok".to_owned(),
            password: String::new(),
            tls_enabled: false,
        },
        ..ConnectorConfig::default()
    };
    let default = ConnectorConfig::default();
    // Nothing is shown over http unless it is asked for.
    assert_eq!(config.embedded, EmbeddedConnectorConfig { http_port: 3000, ..default.embedded });
    assert_eq!(config.remote, default.remote);
    assert_eq!((default.stream_name.as_str(), default.topic_name.as_str()), ("rustok", "domain"));
    assert_eq!((default.partitions, default.replication_factor), (8, 1));
}

#[test]
fn a_configuration_survives_writing_except_for_its_password() {
    let mut config = ConnectorConfig { partitions: 3, ..ConnectorConfig::default() };
    config.remote.password = "sesame".to_owned();
    let text = serde_json::to_string(&config).unwrap();
    assert!(!text.contains("sesame"));
    let read: ConnectorConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(read.partitions, 3);
    assert!(read.remote.password.is_empty());
}

#[test]
fn unknown_keys_are_refused_and_both_vocabularies_are_read() {
    let external = r#"{"mode": "external", "external": {"addresses": ["a:1"], "password": "x"}}"#;
    let config: ConnectorConfig = serde_json::from_str(external).unwrap();
    assert_eq!(config.mode, ConnectorMode::Remote);
    assert_eq!(config.remote.addresses, ["a:1"]);
    let external =
        r#"{"external": {"tls_enabled": true, "tls_domain": "iggy.example", "tls_ca_file": "ca.pem"}}"#;
    let config: ConnectorConfig = serde_json::from_str(external).unwrap();
    assert_eq!(config.tls.domain.as_deref(), Some("iggy.example"));
    assert_eq!(config.tls.ca_file, Some("ca.pem".into()));
    assert_eq!((config.remote.username.as_str(), config.partitions), ("rustok", 8));
    let error = serde_json::from_str::<ConnectorConfig>(r#"{"external": {"adresses": []}}"#).unwrap_err();
    assert!(error.to_string().contains("adresses"), "{error}");
    let error = serde_json::from_str::<ConnectorConfig>(r#"{"adresses": []}"#).unwrap_err();
    assert!(error.to_string().contains("adresses"), "{error}");
}
