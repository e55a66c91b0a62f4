//! Permissions in words: `read_users+s0:send_messages+s0/t1:poll_messages`, or `none`.

use iggy_binary_protocol::primitives::permissions::{
    WireGlobalPermissions, WirePermissions, WireStreamPermissions, WireTopicPermissions,
};

/// Permissions from words. Streams and topics become numbers by their paths.
pub(crate) fn parse(words: &str, id: &dyn Fn(&str) -> u32) -> Option<WirePermissions> {
    if words == "none" {
        return None;
    }
    let grants: Vec<(&str, &str)> =
        words.split('+').map(|word| word.split_once(':').unwrap_or(("", word))).collect();
    let has = |place: &str, grant: &str| grants.contains(&(place, grant));
    let mut streams: Vec<WireStreamPermissions> = Vec::new();
    let mut names: Vec<&str> = grants.iter().filter_map(|(place, _)| place.split('/').next()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    for name in names {
        let mut topics: Vec<&str> = grants.iter().map(|(place, _)| *place).collect();
        topics.retain(|place| place.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
        topics.sort_unstable();
        topics.dedup();
        streams.push(WireStreamPermissions {
            stream_id: id(name),
            manage_stream: has(name, "manage_stream"),
            read_stream: has(name, "read_stream"),
            manage_topics: has(name, "manage_topics"),
            read_topics: has(name, "read_topics"),
            poll_messages: has(name, "poll_messages"),
            send_messages: has(name, "send_messages"),
            topics: topics.into_iter().map(|topic| topic_grants(topic, id(topic), &has)).collect(),
        });
    }
    Some(WirePermissions { global: global(&|grant| has("", grant)), streams })
}

fn topic_grants(topic: &str, topic_id: u32, has: &dyn Fn(&str, &str) -> bool) -> WireTopicPermissions {
    WireTopicPermissions {
        topic_id,
        manage_topic: has(topic, "manage_topic"),
        read_topic: has(topic, "read_topic"),
        poll_messages: has(topic, "poll_messages"),
        send_messages: has(topic, "send_messages"),
    }
}

fn global(has: &dyn Fn(&str) -> bool) -> WireGlobalPermissions {
    WireGlobalPermissions {
        manage_servers: has("manage_servers"),
        read_servers: has("read_servers"),
        manage_users: has("manage_users"),
        read_users: has("read_users"),
        manage_streams: has("manage_streams"),
        read_streams: has("read_streams"),
        manage_topics: has("manage_topics"),
        read_topics: has("read_topics"),
        poll_messages: has("poll_messages"),
        send_messages: has("send_messages"),
    }
}

/// Permissions as a reply shows them, in a fixed order. Numbers of streams and topics become words by `known`.
pub(crate) fn show(
    permissions: Option<&WirePermissions>,
    known: &dyn Fn(u32, Option<u32>) -> String,
) -> String {
    let Some(permissions) = permissions else { return "none".to_owned() };
    let mut words = granted(&format!("{:?}", permissions.global), "");
    for stream in &permissions.streams {
        let bare = WireStreamPermissions { topics: Vec::new(), ..stream.clone() };
        words.extend(granted(&format!("{bare:?}"), &known(stream.stream_id, None)));
        for topic in &stream.topics {
            let place = known(stream.stream_id, Some(topic.topic_id));
            words.extend(granted(&format!("{topic:?}"), &place));
        }
    }
    words.sort_unstable();
    words.join("+")
}

/// The fields of a structure that are true.
fn granted(debug: &str, place: &str) -> Vec<String> {
    let fields = debug.split([',', '{', '}']).filter_map(|field| field.trim().strip_suffix(": true"));
    fields.map(|field| if place.is_empty() { field.to_owned() } else { format!("{place}:{field}") }).collect()
}
