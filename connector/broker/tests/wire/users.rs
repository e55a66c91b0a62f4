//! Goal: users can do what they were permitted and nothing else, and tokens log in those they belong to.
//! Method: the frames that the official client sent in a recorded session, and users with few permissions.

use guesthouse_broker::{Broker, BrokerConfig, Limits};
use iggy_binary_protocol::primitives::permissions::{
    WireGlobalPermissions, WirePermissions, WireStreamPermissions, WireTopicPermissions,
};
use iggy_binary_protocol::requests::personal_access_tokens::CreatePersonalAccessTokenRequest;
use iggy_binary_protocol::requests::streams::{DeleteStreamRequest, GetStreamRequest};
use iggy_binary_protocol::requests::topics::{DeleteTopicRequest, GetTopicRequest};
use iggy_binary_protocol::requests::users::{
    ChangePasswordRequest, CreateUserRequest, DeleteUserRequest, UpdatePermissionsRequest, UpdateUserRequest,
};
use iggy_binary_protocol::{
    Command, EvictionReason, Operation, WireEncode, WireIdentifier, WireName, WireOptions,
    WirePollingStrategy,
};

use crate::kit::{House, Raw, hex, login_body, named, poll, shut};

const UNAUTHENTICATED: u32 = 40;
const UNAUTHORIZED: u32 = 41;
const NOT_FOUND: u32 = 20;

fn nothing() -> WirePermissions {
    let global = WireGlobalPermissions {
        manage_servers: false,
        read_servers: false,
        manage_users: false,
        read_users: false,
        manage_streams: false,
        read_streams: false,
        manage_topics: false,
        read_topics: false,
        poll_messages: false,
        send_messages: false,
    };
    WirePermissions { global, streams: Vec::new() }
}

fn user(name: &str, permissions: Option<WirePermissions>) -> CreateUserRequest {
    CreateUserRequest {
        username: WireName::new(name).unwrap(),
        password: "secret".to_owned(),
        status: 1,
        permissions,
        options: WireOptions::empty(),
    }
}

async fn create(root: &mut Raw, name: &str, permissions: Option<WirePermissions>) {
    root.ask(Operation::CreateUser, &user(name, permissions).to_bytes()).await.ok();
}

async fn enter(broker: &Broker, name: &str, password: &str) -> Result<Raw, u8> {
    let mut raw = Raw::dial(broker.address()).await;
    let answer = raw.ask(Operation::Register, &login_body(name, password)).await;
    if answer.command() == Command::Eviction as u8 {
        return Err(answer.reason());
    }
    answer.ok();
    raw.header.session = 1;
    Ok(raw)
}

/// A login with a token, as the official client writes it.
async fn enter_by_token(broker: &Broker, token: &str) -> Result<Raw, u8> {
    let mut raw = Raw::dial(broker.address()).await;
    let prefix = hex("002c0000 08727573742d73646b 06302e31312e30");
    let token_bytes = [&[u8::try_from(token.len()).unwrap()], token.as_bytes(), &[0; 4]].concat();
    let answer = raw.ask(Operation::Register, &[prefix, token_bytes].concat()).await;
    if answer.command() == Command::Eviction as u8 {
        return Err(answer.reason());
    }
    answer.ok();
    raw.header.session = 1;
    Ok(raw)
}

async fn create_token(raw: &mut Raw, name: &str, expiry: u64) -> String {
    let request = CreatePersonalAccessTokenRequest { name: WireName::new(name).unwrap(), expiry };
    let reply = raw.ask(Operation::CreatePersonalAccessToken, &request.to_bytes()).await.ok();
    assert_eq!(reply[..4], [0; 4]);
    String::from_utf8(reply[5..].to_vec()).unwrap()
}

#[tokio::test]
async fn the_recorded_session_about_users_is_answered_alike() {
    let house = House::new();
    let config = BrokerConfig { root_password: Some("secret".into()), ..house.config() };
    let broker = Broker::start(config).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    let listed = raw.read(32, &[]).await.ok();
    // Id, creation time, status, name, no options.
    assert_eq!((&listed[..4], &listed[12..]), (&[0; 4][..], &hex("01 0469676779 00000000")[..]));
    let shown = raw.read(31, &hex("020469676779")).await.ok();
    let everything = "01 0469676779 00000000 01 0b000000 01010101010101010101 00";
    assert_eq!(shown[12..], hex(everything));
    let bob = hex("03626f62 09736563726574313233 01 00");
    let created = raw.ask(Operation::CreateUser, &bob).await.ok();
    assert_eq!(
        (&created[..8], &created[16..]),
        (&hex("00000000 01000000")[..], &hex("01 03626f62 00000000 00000000")[..])
    );
    assert_eq!(raw.ask(Operation::CreateUser, &bob).await.status(), 46);
    let token = raw.ask(Operation::CreatePersonalAccessToken, &hex("03746f6b ffffffffffffffff")).await.ok();
    assert_eq!(token[..5], hex("00000000 40"));
    assert_eq!(raw.read(41, &[]).await.ok(), hex("03746f6b 0000000000000000"));
    assert_eq!(raw.ask(Operation::DeletePersonalAccessToken, &hex("03746f6b")).await.ok(), hex("00000000"));
    let mut bob = enter(&broker, "bob", "secret123").await.unwrap();
    bob.read(1, &[]).await.ok();
    assert_eq!(bob.read(201, &[]).await.status(), UNAUTHORIZED);
    assert_eq!(
        enter(&broker, "bob", "wrongpass").await.err(),
        Some(EvictionReason::InvalidCredentials as u8)
    );
    assert_eq!(raw.ask(Operation::DeleteUser, &hex("0203626f62")).await.ok(), hex("00000000"));
    assert_eq!(bob.read(12, &[]).await.status(), UNAUTHENTICATED, "the session ends with the user");
    shut(broker).await;
}

#[tokio::test]
async fn a_user_without_permissions_may_only_ask_about_itself() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    root.create_stream("s").await;
    root.create_topic("s", "t", 1).await;
    create(&mut root, "ann", None).await;
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    ann.read(12, &[]).await.ok();
    ann.read(20, &[]).await.ok();
    ann.read(13, &[1]).await.ok();
    ann.read(31, &hex("0203616e6e")).await.ok();
    ann.read(41, &[]).await.ok();
    let stream = GetStreamRequest { stream_id: named("s") }.to_bytes();
    let topic = GetTopicRequest { stream_id: named("s"), topic_id: named("t") }.to_bytes();
    let group = [&topic[..], &[2, 1, b'g']].concat();
    let offset = hex("01 01 04 01000000 020173 020174 01 00000000");
    let poll = poll(("s", "t", 0), WirePollingStrategy::first(), 1).to_bytes();
    let reads: [(u32, &[u8]); 14] = [
        (10, &[]),
        (21, &[1, 0, 0, 0]),
        (22, &[]),
        (31, &hex("020469676779")),
        (32, &[]),
        (100, &poll),
        (102, &[&topic[..], &[0; 5]].concat()),
        (120, &offset),
        (200, &stream),
        (201, &[]),
        (300, &topic),
        (301, &stream),
        (600, &group),
        (601, &topic),
    ];
    for (code, body) in reads {
        assert_eq!(ann.read(code, body).await.status(), UNAUTHORIZED, "code {code}");
    }
    let count = [&topic[..], &[1, 0, 0, 0]].concat();
    let user = user("eve", None).to_bytes();
    let writes: [(Operation, &[u8]); 16] = [
        (Operation::CreateStream, b"\x01x"),
        (Operation::UpdateStream, &[&stream[..], b"\x01x"].concat()),
        (Operation::DeleteStream, &stream),
        (Operation::PurgeStream, &stream),
        (Operation::CreateTopic, &[&stream[..], &[1, 0, 0, 0, 1, b'x']].concat()),
        (Operation::UpdateTopic, &[&topic[..], b"\x01x"].concat()),
        (Operation::DeleteTopic, &topic),
        (Operation::PurgeTopic, &topic),
        (Operation::CreatePartitions, &count),
        (Operation::DeletePartitions, &count),
        (Operation::DeleteSegments, &[&topic[..], &[0, 0, 0, 0, 1, 0, 0, 0]].concat()),
        (Operation::CreateConsumerGroup, &[&topic[..], b"\x01g"].concat()),
        (Operation::JoinConsumerGroup, &group),
        (Operation::CreateUser, &user),
        (Operation::DeleteUser, &hex("020469676779")),
        (Operation::StoreConsumerOffset, &[&offset[..], &[0; 9]].concat()),
    ];
    for (operation, body) in writes {
        assert_eq!(ann.ask(operation, body).await.status(), UNAUTHORIZED, "{operation:?}");
    }
    assert_eq!(ann.send(("s", "t", 0), &[(1, "m")]).await.status(), UNAUTHORIZED);
    assert_eq!(root.contents(("s", "t", 0)).await, []);
    shut(broker).await;
}

#[tokio::test]
async fn permissions_hold_for_the_topic_they_name_and_from_the_next_request_on() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    root.create_stream("s").await;
    root.create_topic("s", "mine", 1).await;
    root.create_topic("s", "other", 1).await;
    let topic = WireTopicPermissions {
        topic_id: 0,
        manage_topic: false,
        read_topic: false,
        poll_messages: false,
        send_messages: true,
    };
    let stream = WireStreamPermissions {
        stream_id: 0,
        manage_stream: false,
        read_stream: false,
        manage_topics: false,
        read_topics: false,
        poll_messages: false,
        send_messages: false,
        topics: vec![topic],
    };
    let given = WirePermissions { streams: vec![stream], ..nothing() };
    create(&mut root, "ann", Some(given.clone())).await;
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    ann.send(("s", "mine", 0), &[(1, "m")]).await.ok();
    assert_eq!(ann.send(("s", "other", 0), &[(1, "m")]).await.status(), UNAUTHORIZED);
    let read = poll(("s", "mine", 0), WirePollingStrategy::first(), 1).to_bytes();
    assert_eq!(ann.read(100, &read).await.status(), UNAUTHORIZED);
    let mut more = given;
    more.streams[0].topics[0].poll_messages = true;
    let update = UpdatePermissionsRequest { user_id: named("ann"), permissions: Some(more) };
    root.ask(Operation::UpdatePermissions, &update.to_bytes()).await.ok();
    ann.read(100, &read).await.ok();
    shut(broker).await;
    let broker = house.open().await;
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    ann.read(100, &read).await.ok();
    let delete = DeleteTopicRequest { stream_id: named("s"), topic_id: named("mine") };
    assert_eq!(ann.ask(Operation::DeleteTopic, &delete.to_bytes()).await.status(), UNAUTHORIZED);
    let delete = DeleteStreamRequest { stream_id: named("s") };
    assert_eq!(ann.ask(Operation::DeleteStream, &delete.to_bytes()).await.status(), UNAUTHORIZED);
    shut(broker).await;
}

#[tokio::test]
async fn a_password_is_changed_by_one_who_knows_it() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    create(&mut root, "ann", None).await;
    create(&mut root, "eve", None).await;
    let change = |current: &str, new: &str| ChangePasswordRequest {
        user_id: named("ann"),
        current_password: current.to_owned(),
        new_password: new.to_owned(),
    };
    let mut eve = enter(&broker, "eve", "secret").await.unwrap();
    let stolen = eve.ask(Operation::ChangePassword, &change("secret", "stolen").to_bytes()).await;
    assert_eq!(stolen.status(), UNAUTHORIZED);
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    assert_eq!(ann.ask(Operation::ChangePassword, &change("wrong", "better").to_bytes()).await.status(), 42);
    assert_eq!(ann.ask(Operation::ChangePassword, &change("secret", "x").to_bytes()).await.status(), 44);
    ann.ask(Operation::ChangePassword, &change("secret", "better").to_bytes()).await.ok();
    ann.read(12, &[]).await.ok();
    assert!(enter(&broker, "ann", "secret").await.is_err());
    enter(&broker, "ann", "better").await.unwrap();
    shut(broker).await;
}

#[tokio::test]
async fn a_user_who_is_locked_out_can_neither_go_on_nor_come_back() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    create(&mut root, "ann", None).await;
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    let token = create_token(&mut ann, "tok", 0).await;
    let update = UpdateUserRequest {
        user_id: named("ann"),
        username: Some(WireName::new("anna").unwrap()),
        status: Some(2),
        options: WireOptions::empty(),
    };
    root.ask(Operation::UpdateUser, &update.to_bytes()).await.ok();
    assert_eq!(ann.read(12, &[]).await.status(), UNAUTHENTICATED);
    let inactive = Some(EvictionReason::UserInactive as u8);
    assert_eq!(enter(&broker, "anna", "secret").await.err(), inactive);
    assert_eq!(enter_by_token(&broker, &token).await.err(), inactive);
    let wrong = Some(EvictionReason::InvalidCredentials as u8);
    assert_eq!(enter(&broker, "anna", "guess").await.err(), wrong, "who guesses learns nothing");
    assert_eq!(enter(&broker, "ann", "secret").await.err(), wrong, "the old name is free");
    shut(broker).await;
}

#[tokio::test]
async fn the_root_user_cannot_be_changed_over_the_wire() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    let user_id = WireIdentifier::numeric(0);
    let delete = DeleteUserRequest { user_id: user_id.clone() };
    assert_eq!(root.ask(Operation::DeleteUser, &delete.to_bytes()).await.status(), 48);
    let weaken = UpdatePermissionsRequest { user_id: user_id.clone(), permissions: None };
    assert_eq!(root.ask(Operation::UpdatePermissions, &weaken.to_bytes()).await.status(), 49);
    let rename = UpdateUserRequest {
        user_id: user_id.clone(),
        username: None,
        status: Some(2),
        options: WireOptions::empty(),
    };
    assert_eq!(root.ask(Operation::UpdateUser, &rename.to_bytes()).await.status(), 5);
    let password = secrecy::ExposeSecret::expose_secret(&broker.root_credentials().password).to_owned();
    let change =
        ChangePasswordRequest { user_id, current_password: password, new_password: "other".to_owned() };
    assert_eq!(root.ask(Operation::ChangePassword, &change.to_bytes()).await.status(), 5);
    shut(broker).await;
}

#[tokio::test]
async fn what_makes_no_user_is_refused() {
    let house = House::new();
    let broker = house.open_with(Limits { users_max: 2, ..Limits::default() }).await;
    let mut root = Raw::enter(&broker).await;
    let mut status = async |request: CreateUserRequest| {
        root.ask(Operation::CreateUser, &request.to_bytes()).await.status()
    };
    assert_eq!(status(user("ab", None)).await, 43);
    assert_eq!(status(CreateUserRequest { password: "x".to_owned(), ..user("ann", None) }).await, 44);
    assert_eq!(status(CreateUserRequest { status: 3, ..user("ann", None) }).await, 45);
    assert_eq!(status(user("iggy", None)).await, 46);
    assert_eq!(status(user("ann", None)).await, 0);
    assert_eq!(status(user("eve", None)).await, 55, "there is room for two");
    let missing = DeleteUserRequest { user_id: named("bob") };
    assert_eq!(root.ask(Operation::DeleteUser, &missing.to_bytes()).await.status(), NOT_FOUND);
    assert_eq!(root.read(31, &missing.to_bytes()).await.ok(), b"");
    shut(broker).await;
}

#[tokio::test]
async fn a_token_logs_in_until_it_is_deleted_or_expires() {
    let house = House::new();
    let broker = house.open_with(Limits { tokens_max: 2, ..Limits::default() }).await;
    let mut root = Raw::enter(&broker).await;
    create(&mut root, "ann", None).await;
    let mut ann = enter(&broker, "ann", "secret").await.unwrap();
    let token = create_token(&mut ann, "tok", u64::MAX).await;
    let brief = create_token(&mut ann, "brief", 1).await;
    let create =
        |name: &str| CreatePersonalAccessTokenRequest { name: WireName::new(name).unwrap(), expiry: 0 };
    for (name, code) in [("tok", 51), ("another", 52), ("ab", 50)] {
        let answer = ann.ask(Operation::CreatePersonalAccessToken, &create(name).to_bytes()).await;
        assert_eq!(answer.status(), code, "{name}");
    }
    let invalid = Some(EvictionReason::InvalidToken as u8);
    assert_eq!(enter_by_token(&broker, &brief).await.err(), invalid);
    assert_eq!(root.read(41, &[]).await.ok(), b"", "everybody sees only their own");
    let delete = b"\x03tok";
    assert_eq!(root.ask(Operation::DeletePersonalAccessToken, delete).await.status(), NOT_FOUND);
    shut(broker).await;
    let broker = house.open().await;
    let mut ann = enter_by_token(&broker, &token).await.unwrap();
    assert_eq!(ann.read(201, &[]).await.status(), UNAUTHORIZED);
    ann.ask(Operation::DeletePersonalAccessToken, delete).await.ok();
    ann.read(12, &[]).await.ok();
    assert_eq!(enter_by_token(&broker, &token).await.err(), invalid);
    shut(broker).await;
}

#[tokio::test]
async fn a_root_name_that_a_client_took_stops_the_start() {
    let house = House::new();
    let broker = house.open().await;
    let mut root = Raw::enter(&broker).await;
    create(&mut root, "ann", None).await;
    shut(broker).await;
    let config = BrokerConfig { root_username: "ann".to_owned(), ..house.config() };
    let refused = Broker::start(config).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be the root user; choose another name"), "{refused}");
}
