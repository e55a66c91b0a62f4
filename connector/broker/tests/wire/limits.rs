//! Goal: what peers may use has bounds, and nobody from elsewhere comes in without encryption and a password.
//! Method: brokers with small limits, and a client that encrypts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guesthouse_broker::{Broker, BrokerConfig, Limits, TlsFiles};
use iggy_binary_protocol::requests::consumer_groups::CreateConsumerGroupRequest;
use iggy_binary_protocol::requests::topics::CreateTopicRequest;
use iggy_binary_protocol::{Command, HEADER_SIZE, Operation, WireEncode, WireName, WireOptions};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::kit::{HANG, House, Raw, hex, login_body, named, shut};

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let house = House::new();
    let broker = house.open_with(Limits { connections_per_address_max: 1, ..Limits::default() }).await;
    let mut first = Raw::enter(&broker).await;
    let mut second = Raw::dial(broker.address()).await;
    assert!(second.answer().await.is_none());
    first.read(12, &[]).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn a_header_that_never_ends_is_given_up_while_a_body_has_time() {
    let house = House::new();
    let header_time_max = Duration::from_millis(50);
    let broker = house.open_with(Limits { header_time_max, ..Limits::default() }).await;
    let mut raw = Raw::enter(&broker).await;
    let frame = raw.frame(Operation::CreateStream, 0, b"\x01s");
    raw.stream.write_all(&frame[..HEADER_SIZE + 1]).await.unwrap();
    let mut slow = Raw::enter(&broker).await;
    slow.stream.write_all(&frame[..HEADER_SIZE - 1]).await.unwrap();
    assert!(slow.answer().await.is_none());
    raw.stream.write_all(&frame[HEADER_SIZE + 1..]).await.unwrap();
    raw.answer().await.unwrap().ok();
    shut(broker).await;
}

#[tokio::test]
async fn streams_topics_partitions_groups_and_offsets_have_quotas() {
    let house = House::new();
    let limits = Limits {
        streams_max: 1,
        topics_max: 2,
        partitions_max: 3,
        groups_max: 1,
        offsets_max: 1,
        ..Limits::default()
    };
    let broker = house.open_with(limits).await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    assert_eq!(raw.ask(Operation::CreateStream, b"\x01x").await.status(), 1020);
    raw.create_topic("s", "t", 2).await;
    let topic = |name: &str, partitions_count| CreateTopicRequest {
        stream_id: named("s"),
        partitions_count,
        name: WireName::new(name).unwrap(),
        options: WireOptions::empty(),
    };
    assert_eq!(raw.ask(Operation::CreateTopic, &topic("u", 2).to_bytes()).await.status(), 2015);
    raw.ask(Operation::CreateTopic, &topic("u", 1).to_bytes()).await.ok();
    assert_eq!(raw.ask(Operation::CreateTopic, &topic("v", 0).to_bytes()).await.status(), 2021);
    assert_eq!(raw.ask(Operation::CreatePartitions, &hex("020173 020174 01000000")).await.status(), 2015);
    let group = |name: &str| CreateConsumerGroupRequest {
        stream_id: named("s"),
        topic_id: named("t"),
        name: WireName::new(name).unwrap(),
    };
    raw.ask(Operation::CreateConsumerGroup, &group("g").to_bytes()).await.ok();
    assert_eq!(raw.ask(Operation::CreateConsumerGroup, &group("h").to_bytes()).await.status(), 3024);
    raw.send(("s", "t", 0), &[(1, "a"), (2, "b")]).await.ok();
    let offset = |consumer: u8, offset: u8| {
        let head = [1, 1, 4, consumer, 0, 0, 0];
        [&head, &hex("020173 020174 01 00000000")[..], &[offset, 0, 0, 0, 0, 0, 0, 0, 1]].concat()
    };
    raw.ask(Operation::StoreConsumerOffset, &offset(1, 0)).await.ok();
    assert_eq!(raw.ask(Operation::StoreConsumerOffset, &offset(2, 0)).await.status(), 3024);
    raw.ask(Operation::StoreConsumerOffset, &offset(1, 1)).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn the_door_to_other_machines_needs_encryption_and_a_password() {
    let house = House::new();
    let (files, _) = certificate(&house);
    let address = "0.0.0.0:0".parse().unwrap();
    let refused = async |tls: Option<&TlsFiles>, password: Option<&str>| {
        let (tls, root_password) = (tls.cloned(), password.map(Into::into));
        let config = BrokerConfig { address, tls, root_password, ..house.config() };
        Broker::start(config).await.unwrap_err().to_string()
    };
    let text = refused(None, Some("secret")).await;
    assert!(text.contains("needs a TLS certificate; configure that, or listen on 127.0.0.1"), "{text}");
    assert!(refused(Some(&files), None).await.contains("needs a configured root password"));
    assert!(refused(Some(&files), Some("iggy")).await.contains("that is not the user name"));
    let root_password = Some("secret".into());
    let config = BrokerConfig { address, tls: Some(files), root_password, ..house.config() };
    shut(Broker::start(config).await.unwrap()).await;
}

#[tokio::test]
async fn an_encrypted_connection_is_served_and_a_plain_one_is_not() {
    let house = House::new();
    let (files, trusted) = certificate(&house);
    let root_password = Some("secret".into());
    let config = BrokerConfig {
        tls: Some(files),
        root_password,
        limits: Limits { header_time_max: Duration::from_secs(2), ..Limits::default() },
        ..house.config()
    };
    let broker = Broker::start(config).await.unwrap();
    let mut raw = Raw::dial(broker.address()).await;
    let frame = raw.frame(Operation::Register, 0, &login_body("iggy", "secret"));
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let client = client.with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(trusted).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect("localhost".try_into().unwrap(), raw.stream).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut header = [0; HEADER_SIZE];
    tokio::time::timeout(HANG, stream.read_exact(&mut header)).await.unwrap().unwrap();
    assert_eq!(header[60], Command::Reply as u8);
    let mut plain = Raw::dial(broker.address()).await;
    plain.stream.write_all(&frame).await.unwrap();
    assert!(plain.answer().await.is_none());
    let mut silent = Raw::dial(broker.address()).await;
    assert!(silent.answer().await.is_none(), "a handshake has to begin");
    drop(stream);
    shut(broker).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let house = House::new();
    let (files, _) = certificate(&house);
    let missing = TlsFiles { certificate: PathBuf::from("missing.pem"), ..files.clone() };
    let swapped = TlsFiles { certificate: files.certificate, key: house.dir.path().join("empty.pem") };
    std::fs::write(&swapped.key, "").unwrap();
    for (tls, text) in
        [(missing, "cannot read the certificate in missing.pem"), (swapped, "cannot read the private key")]
    {
        let config = BrokerConfig { tls: Some(tls), ..house.config() };
        let refused = Broker::start(config).await.unwrap_err().to_string();
        assert!(refused.starts_with(text), "{refused}");
    }
}

/// A certificate for `localhost` in files, and what trusts it.
fn certificate(house: &House) -> (TlsFiles, RootCertStore) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let files = TlsFiles {
        certificate: house.dir.path().join("certificate.pem"),
        key: house.dir.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.der().clone()).unwrap();
    (files, trusted)
}
