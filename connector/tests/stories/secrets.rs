//! Goal: passwords and tokens may contain anything, and appear nowhere.
//! Method: log in with odd ones, rightly and wrongly, and look at everything that is printed.

use std::sync::{Arc, Mutex};

use guesthouse_broker::{Broker, BrokerConfig};
use guesthouse_connector::{
    ConnectorConfig, ConnectorError, ConnectorMode, IggyConnector, RemoteConnector, attach, connector,
};
use iggy::prelude::{
    AutoLogin, Client as _, Credentials, PersonalAccessTokenClient as _, PersonalAccessTokenExpiry,
    TcpClient, TcpClientConfig,
};
use secrecy::{ExposeSecret, SecretString};

use crate::kit::{PATIENCE, outside_server, remote_config, start_broker};

/// Everything that means something in URLs, connection strings, shells and YAML.
const ODD: &str = "p:a@s?s&w=o/r#d% \"'\\\n\t${HOME}ключ🔑";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_may_contain_anything() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        data_dir: dir.path().to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        root_username: "us:er@n?me".to_owned(),
        root_password: Some(SecretString::from(ODD)),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config).await.unwrap();
    let mut config = remote_config(&broker);
    config.remote_password = None;
    config.remote.password = ODD.to_owned();
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    remote.ping().await.unwrap();
    let printed = format!("{config:?} {remote:?} {:?}", remote.connection_status());
    assert!(!printed.contains("ключ") && !printed.contains("p:a@s"), "{printed}");
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_an_authentication_error_that_does_not_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let config = token_config(vec![broker.address().to_string()], SecretString::from(ODD));
    let remote = RemoteConnector::new();
    let error = remote.connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Auth(_)), "{error:?}");
    assert!(!format!("{error} {error:?} {config:?} {remote:?}").contains("ключ"));
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_logs_in_until_it_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let server = outside_server().unwrap_or_else(|| remote_config(&broker));
    let maker = sdk_client(&server);
    maker.connect().await.unwrap();
    let name = format!("story-{:08x}", rand::random::<u32>());
    let token =
        maker.create_personal_access_token(&name, PersonalAccessTokenExpiry::NeverExpire).await.unwrap();
    let config = token_config(server.remote.addresses.clone(), token.token.into());
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    remote.ping().await.unwrap();
    remote.shutdown().await.unwrap();
    maker.delete_personal_access_token(&name).await.unwrap();
    let error = remote.connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Auth(_)), "{error:?}");
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_an_embedded_broker_changes_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "first-1").unwrap();
    let mut config = ConnectorConfig::default();
    config.embedded.data_dir = dir.path().join("data").into_os_string().into_string().unwrap();
    config.embedded.tcp_port = 0;
    config.embedded_credentials.password = Some("first-1".into());
    config.embedded_credentials.password_file = Some(file.clone());
    let host = connector(config.mode);
    host.connect(&config).await.unwrap();
    std::fs::write(&file, "second-2").unwrap();
    // Its configuration was read before the password changed.
    let tool = attach(&config).await.unwrap();
    tool.ping().await.unwrap();
    tool.shutdown().await.unwrap();
    host.ping().await.unwrap();
    config.embedded_credentials.password_file = None;
    let error = attach(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Auth(_)), "{error:?}");
    host.shutdown().await.unwrap();
}

/// Everything runs on one thread here, so one subscriber hears it all: connector, SDK and broker.
#[tokio::test]
async fn no_log_shows_a_secret() {
    const RIGHT: &str = "open-sesame-1";
    const WRONG: &str = "open-sesame-2";
    let log = Log::default();
    // With a single subscriber, what another test's thread logs first would be deaf to it for good.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let listening = tracing::subscriber::set_default(subscriber);
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig {
        data_dir: dir.path().to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        root_password: Some(SecretString::from(RIGHT)),
        ..BrokerConfig::default()
    });
    let broker = broker.await.unwrap();
    let remote = RemoteConnector::new();
    let right = remote_config(&broker);
    let mut wrong = right.clone();
    wrong.remote_password = Some(SecretString::from(WRONG));
    remote.connect(&wrong).await.unwrap_err();
    let token = token_config(right.remote.addresses.clone(), SecretString::from(WRONG));
    remote.connect(&token).await.unwrap_err();
    remote.connect(&right).await.unwrap();
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
    drop(listening);
    let heard = log.text();
    assert!(heard.contains("TRACE") && heard.contains("127.0.0.1"), "{heard}");
    assert!(!heard.contains("open-sesame"), "{heard}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn token_config(addresses: Vec<String>, token: SecretString) -> ConnectorConfig {
    let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
    config.remote.addresses = addresses;
    config.remote_token = Some(token);
    config
}

fn sdk_client(server: &ConnectorConfig) -> TcpClient {
    let password = server.remote_password.as_ref().unwrap().expose_secret();
    let credentials =
        Credentials::UsernamePassword(server.remote.username.clone(), SecretString::from(password));
    let config = TcpClientConfig {
        server_address: server.remote.addresses[0].clone(),
        auto_login: AutoLogin::Enabled(credentials),
        ..TcpClientConfig::default()
    };
    TcpClient::create(Arc::new(config)).unwrap()
}
