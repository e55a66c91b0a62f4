//! Goal: only the root user gets in, with the right protocol, and the password is where it should be.
//! Method: logins of every kind, and restarts with and without a configured password.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use guesthouse_broker::{Broker, BrokerConfig, Limits, running};
use iggy_binary_protocol::version::pack_protocol_version;
use iggy_binary_protocol::{Command, EvictionReason, Operation};
use secrecy::ExposeSecret;

use crate::kit::{House, Raw, login_body, login_body_of, shut};

async fn start(house: &House, password: Option<&str>) -> Result<Broker, String> {
    let config = BrokerConfig { root_password: password.map(Into::into), ..house.config() };
    Broker::start(config).await.map_err(|error| error.to_string())
}

async fn login(broker: &Broker, username: &str, password: &str) -> Result<(), u8> {
    let mut raw = Raw::dial(broker.address()).await;
    let answer = raw.ask(Operation::Register, &login_body(username, password)).await;
    if answer.command() == Command::Eviction as u8 {
        return Err(answer.reason());
    }
    answer.ok();
    Ok(())
}

#[tokio::test]
async fn a_wrong_name_or_password_is_turned_away() {
    let house = House::new();
    let broker = start(&house, Some("secret")).await.unwrap();
    let wrong = Err(EvictionReason::InvalidCredentials as u8);
    assert_eq!(login(&broker, "iggy", "secret").await, Ok(()));
    assert_eq!(login(&broker, "iggy", "Secret").await, wrong);
    assert_eq!(login(&broker, "iggy", "").await, wrong);
    assert_eq!(login(&broker, "root", "secret").await, wrong);
    shut(broker).await;
}

#[tokio::test]
async fn too_many_wrong_logins_end_the_connection() {
    let house = House::new();
    let broker = start(&house, Some("secret")).await.unwrap();
    let mut raw = Raw::dial(broker.address()).await;
    for _ in 0..5 {
        raw.ask(Operation::Register, &login_body("iggy", "guess")).await.reason();
    }
    assert!(raw.answer().await.is_none());
    shut(broker).await;
}

#[tokio::test]
async fn another_generation_of_the_protocol_is_turned_away() {
    let house = House::new();
    let broker = start(&house, Some("secret")).await.unwrap();
    for version in [(0, 10, 0), (0, 12, 2), (1, 0, 0)] {
        let mut raw = Raw::dial(broker.address()).await;
        let version = pack_protocol_version(version.0, version.1, version.2);
        let answer = raw.ask(Operation::Register, &login_body_of(version, "iggy", "secret")).await;
        assert_eq!(answer.reason(), EvictionReason::IncompatibleProtocol as u8);
        assert_eq!(answer.header[144..148], pack_protocol_version(0, 11, 0).to_le_bytes());
    }
    // Iggy's own server takes every release that differs in the last number alone.
    for patch in [0, 1, 7] {
        let mut raw = Raw::dial(broker.address()).await;
        let version = pack_protocol_version(0, 11, patch);
        raw.ask(Operation::Register, &login_body_of(version, "iggy", "secret")).await.ok();
    }
    shut(broker).await;
}

#[tokio::test]
async fn a_login_that_makes_no_sense_says_so() {
    let house = House::new();
    let broker = start(&house, Some("secret")).await.unwrap();
    let malformed = EvictionReason::MalformedLogin as u8;
    let mut raw = Raw::dial(broker.address()).await;
    assert_eq!(raw.ask(Operation::Register, &[1, 2]).await.reason(), malformed);
    assert_eq!(raw.read(38, &[]).await.reason(), malformed, "the login of older protocols");
    let prefix = login_body("iggy", "secret")[..10].to_vec();
    let token = [prefix.as_slice(), &[3], b"abc", &[0; 4]].concat();
    assert_eq!(raw.ask(Operation::Register, &token).await.reason(), EvictionReason::InvalidToken as u8);
    shut(broker).await;
}

#[tokio::test]
async fn logging_out_ends_the_session_but_not_the_connection() {
    let house = House::new();
    let broker = start(&house, Some("secret")).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    raw.read(12, &[]).await.ok();
    raw.ask(Operation::Logout, &[]).await.ok();
    assert_eq!(raw.read(12, &[]).await.status(), 40);
    raw.ask(Operation::Register, &login_body("iggy", "secret")).await.ok();
    raw.read(12, &[]).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn one_who_logs_out_has_time_to_log_in_again() {
    let house = House::new();
    let login_time_max = Duration::from_millis(200);
    let broker = house.open_with(Limits { login_time_max, ..Limits::default() }).await;
    let root = broker.root_credentials();
    let mut raw = Raw::enter(&broker).await;
    let entered = Instant::now();
    while entered.elapsed() < login_time_max {
        raw.read(12, &[]).await.ok();
    }
    raw.ask(Operation::Logout, &[]).await.ok();
    let body = login_body(&root.username, root.password.expose_secret());
    raw.ask(Operation::Register, &body).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn a_password_is_made_once_and_kept_private() {
    let house = House::new();
    let broker = start(&house, None).await.unwrap();
    let password = broker.root_credentials().password.expose_secret().to_owned();
    assert_eq!(password.len(), 32);
    assert_eq!(login(&broker, "iggy", &password).await, Ok(()));
    let told = running(&house.config().data_dir).unwrap();
    assert_eq!((told.address, told.username.as_str()), (broker.address(), "iggy"));
    let file = told.password_file.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), password);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let data_dir = std::fs::metadata(house.config().data_dir).unwrap();
    assert_eq!(data_dir.permissions().mode() & 0o777, 0o700);
    assert!(!format!("{:?}", broker.root_credentials()).contains(&password));
    shut(broker).await;
    let broker = start(&house, None).await.unwrap();
    assert_eq!(login(&broker, "iggy", &password).await, Ok(()));
    shut(broker).await;
}

#[tokio::test]
async fn a_configured_password_counts_and_is_not_replaced_in_silence() {
    let house = House::new();
    shut(start(&house, Some("first")).await.unwrap()).await;
    assert!(!house.config().data_dir.join("root.password").exists());
    let refused = start(&house, None).await.unwrap_err();
    assert!(refused.contains("configured at an earlier start"), "{refused}");
    assert!(refused.contains("root.password"), "{refused}");
    let broker = start(&house, Some("second")).await.unwrap();
    assert_eq!(login(&broker, "iggy", "second").await, Ok(()));
    assert!(login(&broker, "iggy", "first").await.is_err());
    assert_eq!(running(&house.config().data_dir).unwrap().password_file, None);
    shut(broker).await;
}

#[tokio::test]
async fn a_root_user_out_of_bounds_is_refused_at_start() {
    let house = House::new();
    let short = start(&house, Some("ab")).await.unwrap_err();
    assert_eq!(short, "root password from the configuration has 2 bytes, expected 3 to 100");
    let config = BrokerConfig { root_username: "x".to_owned(), ..house.config() };
    let short = Broker::start(config).await.unwrap_err().to_string();
    assert_eq!(short, "root user name \"x\" has 1 bytes, expected 3 to 50");
}

#[tokio::test]
async fn the_password_file_is_read_again_at_each_login() {
    let house = House::new();
    let configured = house.dir.path().join("password");
    std::fs::write(&configured, "first-1\n").unwrap();
    let generated = house.config().data_dir.join("root.password");
    for (root_password, file) in [(None, &generated), (Some("first-1".into()), &configured)] {
        let root_password_file = Some(configured.clone());
        let config = BrokerConfig { root_password, root_password_file, ..house.config() };
        let broker = Broker::start(config).await.unwrap();
        assert_eq!(broker.root_password_file(), Some(file.as_path()));
        let first = broker.root_credentials().password.expose_secret().to_owned();
        let mut raw = Raw::enter(&broker).await;
        std::fs::write(file, "\u{feff}second-2\r\n").unwrap();
        assert_eq!(login(&broker, "iggy", "second-2").await, Ok(()));
        assert!(login(&broker, "iggy", &first).await.is_err(), "it counts no longer");
        raw.read(12, &[]).await.ok();
        for no_password in ["", "x", "iggy", &"x".repeat(101)] {
            std::fs::write(file, no_password).unwrap();
            assert_eq!(login(&broker, "iggy", "second-2").await, Ok(()), "{no_password:?}");
        }
        std::fs::remove_file(file).unwrap();
        assert_eq!(login(&broker, "iggy", "second-2").await, Ok(()), "it is being replaced");
        std::fs::write(file, "third-3").unwrap();
        assert!(login(&broker, "iggy", "second-2").await.is_err());
        assert_eq!(login(&broker, "iggy", "third-3").await, Ok(()));
        shut(broker).await;
    }
}
