//! Goal: an encrypted connection works with an authority of one's own, and is refused whenever it cannot be trusted.
//! Method: a proxy with a certificate of that authority ends TLS in front of a broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use guesthouse_broker::Broker;
use guesthouse_connector::{ConnectorConfig, ConnectorError, IggyConnector, RemoteConnector, TopicAddress};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::kit::{PATIENCE, batch, ids, read_all, remote_config, spec, start_broker};

/// The name that the certificate carries.
const NAME: &str = "iggy.example";

/// A broker behind a proxy that ends TLS.
struct Scene {
    broker: Broker,
    /// Trusts the authority and expects the name.
    config: ConnectorConfig,
    _tasks: JoinSet<()>,
    dir: TempDir,
}

impl Scene {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = start_broker(&dir.path().join("data"), 0).await;
        let authority = Authority::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut config = remote_config(&broker);
        config.remote.addresses = vec![listener.local_addr().unwrap().to_string()];
        config.remote.tls_enabled = true;
        config.tls.domain = Some(NAME.to_owned());
        config.tls.ca_file = Some(dir.path().join("authority.pem"));
        std::fs::write(dir.path().join("authority.pem"), authority.0.pem()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, authority.acceptor(), broker.address()));
        Self { broker, config, _tasks: tasks, dir }
    }

    async fn refusal(&self, change: impl FnOnce(&mut ConnectorConfig)) -> ConnectorError {
        let mut config = self.config.clone();
        change(&mut config);
        let remote = RemoteConnector::new();
        let error = remote.connect(&config).await.unwrap_err();
        assert!(!remote.is_connected());
        error
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_over_tls() {
    let scene = Scene::open().await;
    let remote = RemoteConnector::new();
    remote.connect(&scene.config).await.unwrap();
    remote.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    remote.publish_batch(&topic, batch(1..=100, 0)).await.unwrap();
    assert_eq!(ids(&read_all(&remote, &topic, 0).await), (1..=100).collect::<Vec<u128>>());
    remote.shutdown().await.unwrap();
    scene.broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_trusted_is_refused() {
    let scene = Scene::open().await;
    let stranger = scene.dir.path().join("stranger.pem");
    std::fs::write(&stranger, Authority::new().0.pem()).unwrap();
    let refusals = [
        scene.refusal(|config| config.tls.domain = Some("other.example".to_owned())).await,
        scene.refusal(|config| config.tls.domain = None).await,
        scene.refusal(|config| config.tls.ca_file = Some(stranger)).await,
        scene.refusal(|config| config.tls.ca_file = None).await,
        scene.refusal(|config| config.remote.addresses = vec![scene.broker.address().to_string()]).await,
    ];
    for error in refusals {
        assert!(matches!(error, ConnectorError::Connection(_)), "{error:?}");
        assert!(error.to_string().contains("TLS"), "{error}");
    }
    let garbage = scene.dir.path().join("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = scene.refusal(|config| config.tls.ca_file = Some(garbage)).await;
    assert!(matches!(error, ConnectorError::Config(_)), "{error:?}");
    let error = scene.refusal(|config| config.remote.tls_enabled = false).await;
    assert!(error.is_transient(), "{error:?}");
    scene.broker.shutdown(PATIENCE).await.unwrap();
}

/// Who vouches for the proxy.
struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self(rcgen::CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut server = TcpStream::connect(to).await.unwrap();
            // Ends when either side does.
            drop(copy_bidirectional(&mut client, &mut server).await);
        });
    }
}
