//! An answer in words: everything that two servers have to agree on, without ids and times.

use iggy_binary_protocol::WireDecode;
use iggy_binary_protocol::responses::clients::{ClientDetailsResponse, GetClientsResponse};
use iggy_binary_protocol::responses::consumer_groups::{
    ConsumerGroupDetailsResponse, ConsumerGroupResponse, GetConsumerGroupsResponse, SyncConsumerGroupResponse,
};
use iggy_binary_protocol::responses::consumer_offsets::ConsumerOffsetResponse;
use iggy_binary_protocol::responses::messages::{PollMessagesResponse, SendMessagesResponse};
use iggy_binary_protocol::responses::personal_access_tokens::GetPersonalAccessTokensResponse;
use iggy_binary_protocol::responses::streams::{
    GetStreamResponse, GetStreamsResponse, StreamResponse, TopicHeader,
};
use iggy_binary_protocol::responses::system::{
    ClusterMetadataResponse, DescribeOptionsResponse, StatsResponse,
};
use iggy_binary_protocol::responses::topics::{GetTopicResponse, GetTopicsResponse};
use iggy_binary_protocol::responses::users::{GetUsersResponse, UserDetailsResponse, UserResponse};

use super::grants;
use super::known::Known;
use super::members::shares;
use super::words::Step;

/// The body of a success in words.
pub(crate) fn show(step: &Step<'_>, body: &[u8], known: &Known) -> String {
    if body.is_empty() {
        return "ok".to_owned();
    }
    let text = match step.verb {
        "stats" => stats(&decode(body), known),
        "cluster" => cluster(&decode(body)),
        "describe" => describe(&decode(body)),
        "me" | "client" => client(&decode(body), known),
        "clients" => clients(&decode(body), known),
        "user" | "create-user" => user_details(&decode(body), known),
        "users" => users(&decode(body), known),
        "tokens" => tokens(&decode(body), known),
        "create-token" => "a secret".to_owned(),
        "login" | "login-token" => "in".to_owned(),
        "poll" => poll(step, body, known),
        "send" => sent(step, &decode(body), known),
        "offset" => offset(step, &decode(body), known),
        "stream" | "create-stream" => stream_details(&decode(body), known),
        "streams" => streams(&decode(body), known),
        "topic" | "create-topic" => topic_details(step, &decode(body), known),
        "topics" => topics(&decode(body), known),
        "group" | "create-group" => group_details(&decode(body), known),
        "groups" => groups(&decode(body), known),
        "sync" => sync(&decode(body)),
        _ => format!("{} bytes", body.len()),
    };
    // A list may hold nothing of the session.
    format!("ok {text}").trim_end().to_owned()
}

/// The reply, which must be one, to its last byte.
pub(crate) fn decode<T: WireDecode>(body: &[u8]) -> T {
    let (reply, length) = T::decode(body).unwrap();
    assert_eq!(length, body.len(), "bytes behind a reply");
    reply
}

fn sorted(mut words: Vec<String>, between: &str) -> String {
    words.sort_unstable();
    words.join(between)
}

/// How much there is more than at the beginning of the session.
fn stats(stats: &StatsResponse, known: &Known) -> String {
    let now = counts(stats);
    let words = ["streams", "topics", "partitions", "segments", "messages", "groups"];
    let words =
        words.iter().zip(now).zip(known.baseline).map(|((word, now), then)| format!("{word}={}", now - then));
    words.collect::<Vec<_>>().join(" ")
}

/// What a session can change of the figures.
pub(crate) fn counts(stats: &StatsResponse) -> [i64; 6] {
    let messages = i64::try_from(stats.messages_count).unwrap();
    [
        stats.streams_count.into(),
        stats.topics_count.into(),
        stats.partitions_count.into(),
        stats.segments_count.into(),
        messages,
        stats.consumer_groups_count.into(),
    ]
}

fn cluster(cluster: &ClusterMetadataResponse) -> String {
    let nodes = cluster.nodes.iter().map(|node| format!("role={} status={}", node.role, node.status));
    nodes.collect::<Vec<_>>().join(" ")
}

fn describe(options: &DescribeOptionsResponse) -> String {
    sorted(options.entries.iter().map(|entry| format!("{}:{}", &*entry.key, entry.kind)).collect(), " ")
}

fn client(client: &ClientDetailsResponse, known: &Known) -> String {
    let groups = client
        .consumer_groups
        .iter()
        .map(|group| known.path_of(&[group.stream_id, group.topic_id, group.group_id]));
    let user = known.user(client.client.user_id);
    let count = client.client.consumer_groups_count;
    format!(
        "user={user} transport={} groups={count} {}",
        client.client.transport,
        sorted(groups.collect(), ",")
    )
}

fn clients(clients: &GetClientsResponse, known: &Known) -> String {
    let ours = clients.clients.iter().filter_map(|client| {
        let who = known.who(client.client_id)?;
        Some(format!("{who}({} groups={})", known.user(client.user_id), client.consumer_groups_count))
    });
    sorted(ours.collect(), " ")
}

fn user(user: &UserResponse, known: &Known) -> String {
    format!("{} status={}", known.word(&user.username), user.status)
}

fn user_details(details: &UserDetailsResponse, known: &Known) -> String {
    let place = |stream: u32, topic: Option<u32>| {
        known.path_of(&[Some(stream), topic].into_iter().flatten().collect::<Vec<_>>())
    };
    let permissions = grants::show(details.permissions.as_ref(), &place);
    format!("{} permissions={permissions}", user(&details.user, known))
}

fn users(users: &GetUsersResponse, known: &Known) -> String {
    let ours = users.users.iter().filter(|user| known.is_ours(&user.username));
    sorted(ours.map(|one| user(one, known)).collect(), ", ")
}

fn tokens(tokens: &GetPersonalAccessTokensResponse, known: &Known) -> String {
    let ours = tokens.tokens.iter().filter(|token| known.is_ours(&token.name));
    let words = ours.map(|token| format!("{} ends={}", known.word(&token.name), token.expiry_at != 0));
    sorted(words.collect(), ", ")
}

fn sent(step: &Step<'_>, sent: &SendMessagesResponse, known: &Known) -> String {
    let words = sent.confirmations.iter().map(|sent| {
        let partition = format!("{}/{}", step.path(), sent.partition_id);
        let place = known.path_of(&[sent.stream_id, sent.topic_id]);
        format!("{place} p{} at {}", sent.partition_id, known.relative(&partition, sent.base_offset))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn poll(step: &Step<'_>, body: &[u8], known: &Known) -> String {
    let reply = PollMessagesResponse::decode(body).unwrap();
    let partition = format!("{}/{}", step.path(), reply.header.partition_id);
    let head = match reply.header.partition_id {
        u32::MAX => "sync again".to_owned(),
        id if step.says("mine") && id < 1_000 => "mine".to_owned(),
        id => format!("p{id} end={}", known.relative(&partition, reply.header.current_offset)),
    };
    let messages: Vec<_> = reply.messages.map(Result::unwrap).collect();
    assert_eq!(messages.len(), reply.header.messages_count as usize);
    let words = messages.iter().map(|message| {
        let offset = known.relative(&partition, message.offset);
        let payload = String::from_utf8_lossy(message.payload);
        let headers = message.user_headers.len();
        format!(" {offset}:{payload}#{}+{headers}@{}", message.id, message.origin_timestamp)
    });
    head + &words.collect::<String>()
}

fn offset(step: &Step<'_>, stored: &ConsumerOffsetResponse, known: &Known) -> String {
    let partition = format!("{}/{}", step.path(), stored.partition_id);
    let (end, at) =
        (known.relative(&partition, stored.current_offset), known.relative(&partition, stored.stored_offset));
    format!("p{} end={end} stored={at}", stored.partition_id)
}

fn stream(stream: &StreamResponse, known: &Known) -> String {
    let options = stream.options.iter().count();
    let (topics, messages) = (stream.topics_count, stream.messages_count);
    format!("{} topics={topics} messages={messages} options={options}", known.word(&stream.name))
}

fn streams(streams: &GetStreamsResponse, known: &Known) -> String {
    let ours = streams.streams.iter().filter(|stream| known.is_ours(&stream.name));
    sorted(ours.map(|one| stream(one, known)).collect(), ", ")
}

fn stream_details(details: &GetStreamResponse, known: &Known) -> String {
    let topics = details.topics.iter().map(|one| topic(one, known)).collect();
    format!("{} [{}]", stream(&details.stream, known), sorted(topics, ", "))
}

fn topic(topic: &TopicHeader, known: &Known) -> String {
    let options = topic.options.iter().map(|entry| {
        format!("{}:{}={:?}", String::from_utf8_lossy(entry.key), entry.value_kind.0, entry.value)
    });
    let unbound = |number: u64| if number == u64::MAX { "no bound".to_owned() } else { number.to_string() };
    format!(
        "{} partitions={} messages={} expiry={} compression={} max={} options=[{}]",
        known.word(&topic.name),
        topic.partitions_count,
        topic.messages_count,
        unbound(topic.message_expiry),
        topic.compression_algorithm,
        unbound(topic.max_topic_size),
        sorted(options.collect(), " ")
    )
}

fn topics(topics: &GetTopicsResponse, known: &Known) -> String {
    sorted(topics.topics.iter().map(|one| topic(one, known)).collect(), ", ")
}

fn topic_details(step: &Step<'_>, details: &GetTopicResponse, known: &Known) -> String {
    let path = if step.verb == "topic" { step.path() } else { String::new() };
    let partitions = details.partitions.iter().map(|one| {
        let end = known.relative(&format!("{path}/{}", one.id), one.current_offset);
        format!("p{} end={end} messages={} segments={}", one.id, one.messages_count, one.segments_count)
    });
    format!("{} [{}]", topic(&details.topic, known), sorted(partitions.collect(), ", "))
}

fn group(group: &ConsumerGroupResponse, known: &Known) -> String {
    format!(
        "{} partitions={} members={}",
        known.word(&group.name),
        group.partitions_count,
        group.members_count
    )
}

fn groups(groups: &GetConsumerGroupsResponse, known: &Known) -> String {
    sorted(groups.groups.iter().map(|one| group(one, known)).collect(), ", ")
}

/// Which partitions a member has is the server's choice; how many it has, and that each has one member, is not.
fn group_details(details: &ConsumerGroupDetailsResponse, known: &Known) -> String {
    let members: Vec<Vec<u32>> = details.members.iter().map(|member| member.partitions.clone()).collect();
    format!("{} {}", group(&details.group, known), shares(&members))
}

fn sync(assignment: &SyncConsumerGroupResponse) -> String {
    format!("{} partitions", assignment.partitions.len())
}
