//! Goal: the official client works with the broker as the command line and the Python client do. Method: the steps
//! that all of them take, `tests/clients/steps.txt`, with the client that the connector is built on.

use std::sync::Arc;

use iggy::prelude::{
    Client as _, Consumer, ConsumerGroupClient as _, ConsumerOffsetClient as _, GlobalPermissions,
    Identifier, IggyError, IggyMessage, MessageClient as _, OptionsScope, Partitioning, Permissions,
    PersonalAccessTokenClient as _, PersonalAccessTokenExpiry, PollingStrategy, StreamClient as _,
    SystemClient as _, TcpClient, TcpClientConfig, TopicClient as _, TopicCreateOptions, UserClient as _,
    UserStatus,
};
use secrecy::ExposeSecret;

use crate::kit::{PATIENCE, start_broker};

const STEPS: &str = include_str!("../../../tests/clients/steps.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_works_with_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let address = broker.address().to_string();
    let login = broker.root_credentials();
    let root = connected(&address, &login.username, login.password.expose_secret()).await.unwrap();
    for line in STEPS.lines().filter(|line| !line.starts_with('#')) {
        let [clients, who, words, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        if !clients.split(' ').any(|client| client == "all" || client == "sdk") {
            continue;
        }
        let words: Vec<&str> = words.split(' ').collect();
        let outcome = match who.split_once('/') {
            None => take(&root, &words).await,
            Some((user, password)) => match connected(&address, user, password).await {
                Ok(client) => take(&client, &words).await,
                Err(error) => Err(error),
            },
        };
        assert_eq!(outcome.as_deref().unwrap_or("refused"), expected, "{line}: {outcome:?}");
    }
    drop(root);
    broker.shutdown(PATIENCE).await.unwrap();
}

async fn connected(address: &str, username: &str, password: &str) -> Result<TcpClient, IggyError> {
    let config = TcpClientConfig { server_address: address.to_owned(), ..TcpClientConfig::default() };
    let client = TcpClient::create(Arc::new(config))?;
    client.connect().await?;
    client.login_user(username, password).await?;
    Ok(client)
}

/// Takes a step; answers what came of it.
async fn take(client: &TcpClient, words: &[&str]) -> Result<String, IggyError> {
    match words {
        ["ping"] => client.ping().await?,
        ["create-user", name, password] => {
            let global = GlobalPermissions { poll_messages: true, ..GlobalPermissions::default() };
            let permissions = Permissions { global, streams: None };
            client.create_user(name, password, UserStatus::Active, Some(permissions)).await?;
        }
        ["password", name, old, new] => client.change_password(&id(name), old, new).await?,
        ["delete-user", name] => client.delete_user(&id(name)).await?,
        ["create-token", name] => {
            client.create_personal_access_token(name, PersonalAccessTokenExpiry::NeverExpire).await?;
        }
        ["tokens"] => return Ok(client.get_personal_access_tokens().await?.remove(0).name),
        ["options"] => return Ok(client.describe_options(OptionsScope::Topic).await?.len().to_string()),
        ["total"] => return Ok(client.get_stats().await?.messages_count.to_string()),
        ["create-stream", name] => drop(client.create_stream(name).await?),
        ["delete-stream", name] => client.delete_stream(&id(name)).await?,
        ["create-topic", stream, name, partitions] => {
            let options =
                TopicCreateOptions { partitions_count: partitions.parse().ok(), ..Default::default() };
            client.create_topic(&id(stream), name, &options).await?;
        }
        [verb, stream, topic, rest @ ..] => {
            return in_topic(client, verb, (&id(stream), &id(topic)), rest).await;
        }
        _ => panic!("no words for {words:?}"),
    }
    Ok("done".to_owned())
}

/// A step inside of a topic.
async fn in_topic(
    client: &TcpClient,
    verb: &str,
    (stream, topic): (&Identifier, &Identifier),
    rest: &[&str],
) -> Result<String, IggyError> {
    let consumer = Consumer::new(id("reader"));
    let partition = || rest[0].parse::<u32>().unwrap();
    match verb {
        "partitions" => {
            return Ok(client.get_topic(stream, topic).await?.unwrap().partitions_count.to_string());
        }
        "messages" => return Ok(client.get_topic(stream, topic).await?.unwrap().messages_count.to_string()),
        "purge" => client.purge_topic(stream, topic).await?,
        "send" => {
            let message = |text: &&str| IggyMessage::builder().payload((*text).to_owned().into()).build();
            let mut messages: Vec<IggyMessage> = rest[1..].iter().map(message).collect::<Result<_, _>>()?;
            let to = Partitioning::partition_id(partition());
            client.send_messages(stream, topic, &to, &mut messages).await?;
        }
        "poll" => {
            let (from, commit) = (strategy(rest[1]), rest.contains(&"commit"));
            let polled = client.poll_messages(stream, topic, Some(partition()), &consumer, &from, 10, commit);
            let texts = polled.await?.messages.into_iter();
            let texts = texts.map(|message| String::from_utf8(message.payload.to_vec()).unwrap());
            return Ok(texts.collect::<Vec<_>>().join(" "));
        }
        "offset" => {
            let offset = client.get_consumer_offset(&consumer, stream, topic, Some(partition())).await?;
            return Ok(offset.unwrap().stored_offset.to_string());
        }
        "set-offset" => {
            let offset = rest[1].parse().unwrap();
            client.store_consumer_offset(&consumer, stream, topic, Some(partition()), offset).await?;
        }
        "flush" => client.flush_unsaved_buffer(stream, topic, partition(), true).await?,
        "create-group" => drop(client.create_consumer_group(stream, topic, rest[0]).await?),
        "join" => client.join_consumer_group(stream, topic, &id(rest[0])).await?,
        "leave" => client.leave_consumer_group(stream, topic, &id(rest[0])).await?,
        "members" => {
            let group = client.get_consumer_group(stream, topic, &id(rest[0])).await?;
            return Ok(group.unwrap().members_count.to_string());
        }
        _ => panic!("no words for {verb}"),
    }
    Ok("done".to_owned())
}

fn id(name: &str) -> Identifier {
    Identifier::named(name).unwrap()
}

fn strategy(word: &str) -> PollingStrategy {
    match word.split_once('=') {
        Some((_, offset)) => PollingStrategy::offset(offset.parse().unwrap()),
        None if word == "next" => PollingStrategy::next(),
        None => PollingStrategy::first(),
    }
}
