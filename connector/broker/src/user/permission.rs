//! What a user may do. A pure function of the permissions that were given; the rules are those of Iggy's server,
//! where a wider permission includes the narrower ones.

use iggy_binary_protocol::primitives::permissions::{
    WireGlobalPermissions, WirePermissions, WireStreamPermissions, WireTopicPermissions,
};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// See statistics and connections.
    ReadServer,
    /// See users.
    ReadUsers,
    /// Create, change and delete users.
    ManageUsers,
    /// See all streams.
    ListStreams,
    /// Create a stream.
    CreateStream,
    /// Something with a stream.
    Stream(u32, StreamAction),
    /// Something with a topic, named by its stream and itself.
    Topic(u32, u32, TopicAction),
}

/// What somebody wants to do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamAction {
    Read,
    Manage,
    ListTopics,
    CreateTopic,
}

/// What somebody wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicAction {
    /// See it, and use its consumer groups.
    Read,
    /// Change, purge or delete it, with its partitions and segments.
    Manage,
    /// Read messages and keep offsets.
    Poll,
    /// Send messages.
    Send,
}

/// Whether an action may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Granted,
    Denied,
}

/// Decides. A user without permissions may do nothing but ask about itself.
pub(crate) fn decide(permissions: Option<&WirePermissions>, action: Action) -> Decision {
    let granted = permissions.is_some_and(|given| match action {
        Action::ReadServer => given.global.manage_servers || given.global.read_servers,
        Action::ReadUsers => given.global.manage_users || given.global.read_users,
        Action::ManageUsers => given.global.manage_users,
        Action::ListStreams => given.global.manage_streams || given.global.read_streams,
        Action::CreateStream => given.global.manage_streams,
        Action::Stream(stream_id, action) => on_stream(given, stream_id, action),
        Action::Topic(stream_id, topic_id, action) => on_topic(given, (stream_id, topic_id), action),
    });
    if granted { Decision::Granted } else { Decision::Denied }
}

/// Every permission there is, which is what the root user has.
pub(crate) fn everything() -> WirePermissions {
    WirePermissions {
        global: WireGlobalPermissions {
            manage_servers: true,
            read_servers: true,
            manage_users: true,
            read_users: true,
            manage_streams: true,
            read_streams: true,
            manage_topics: true,
            read_topics: true,
            poll_messages: true,
            send_messages: true,
        },
        streams: Vec::new(),
    }
}

fn on_stream(given: &WirePermissions, stream_id: u32, action: StreamAction) -> bool {
    let global = &given.global;
    let here = |rule: fn(&WireStreamPermissions) -> bool| stream_of(given, stream_id).is_some_and(rule);
    match action {
        StreamAction::Manage => global.manage_streams || here(|stream| stream.manage_stream),
        StreamAction::Read => {
            global.manage_streams
                || global.read_streams
                || here(|stream| stream.manage_stream || stream.read_stream)
        }
        StreamAction::CreateTopic => {
            global.manage_streams
                || global.manage_topics
                || here(|stream| stream.manage_stream || stream.manage_topics)
        }
        StreamAction::ListTopics => {
            on_stream(given, stream_id, StreamAction::Read)
                || on_stream(given, stream_id, StreamAction::CreateTopic)
                || global.read_topics
                || here(|stream| stream.read_topics)
        }
    }
}

fn on_topic(given: &WirePermissions, topic: (u32, u32), action: TopicAction) -> bool {
    let stream_id = topic.0;
    let here = |rule: fn(&WireTopicPermissions) -> bool| topic_of(given, topic).is_some_and(rule);
    let stream = stream_of(given, stream_id);
    match action {
        TopicAction::Manage => {
            on_stream(given, stream_id, StreamAction::CreateTopic) || here(|topic| topic.manage_topic)
        }
        TopicAction::Read => {
            on_stream(given, stream_id, StreamAction::ListTopics)
                || here(|topic| topic.manage_topic || topic.read_topic)
        }
        TopicAction::Poll => {
            given.global.poll_messages
                || stream.is_some_and(|stream| stream.poll_messages)
                || on_topic(given, topic, TopicAction::Read)
                || here(|topic| topic.poll_messages)
        }
        TopicAction::Send => {
            given.global.send_messages
                || stream.is_some_and(|stream| stream.send_messages)
                || on_topic(given, topic, TopicAction::Manage)
                || here(|topic| topic.send_messages)
        }
    }
}

/// Where a client names a stream twice, the last entry counts.
fn stream_of(given: &WirePermissions, stream_id: u32) -> Option<&WireStreamPermissions> {
    given.streams.iter().rfind(|stream| stream.stream_id == stream_id)
}

fn topic_of(given: &WirePermissions, (stream_id, topic_id): (u32, u32)) -> Option<&WireTopicPermissions> {
    stream_of(given, stream_id)?.topics.iter().rfind(|topic| topic.topic_id == topic_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: u32 = 3;
    const TOPIC: u32 = 5;

    fn nothing() -> WirePermissions {
        let mut nothing = everything();
        nothing.global = WireGlobalPermissions {
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
        let topic = WireTopicPermissions {
            topic_id: TOPIC,
            manage_topic: false,
            read_topic: false,
            poll_messages: false,
            send_messages: false,
        };
        nothing.streams = vec![WireStreamPermissions {
            stream_id: STREAM,
            manage_stream: false,
            read_stream: false,
            manage_topics: false,
            read_topics: false,
            poll_messages: false,
            send_messages: false,
            topics: vec![topic],
        }];
        nothing
    }

    /// The actions on one stream and topic that are granted, as letters: list, create, Read, Manage, listTopics,
    /// createTopic, read, manage, poll, send.
    fn granted(change: impl FnOnce(&mut WirePermissions)) -> String {
        let mut given = nothing();
        change(&mut given);
        let stream = |action| Action::Stream(STREAM, action);
        let topic = |action| Action::Topic(STREAM, TOPIC, action);
        let actions = [
            ('l', Action::ListStreams),
            ('c', Action::CreateStream),
            ('R', stream(StreamAction::Read)),
            ('M', stream(StreamAction::Manage)),
            ('L', stream(StreamAction::ListTopics)),
            ('C', stream(StreamAction::CreateTopic)),
            ('r', topic(TopicAction::Read)),
            ('m', topic(TopicAction::Manage)),
            ('p', topic(TopicAction::Poll)),
            ('s', topic(TopicAction::Send)),
        ];
        let granted =
            actions.into_iter().filter(|(_, action)| decide(Some(&given), *action) == Decision::Granted);
        granted.map(|(letter, _)| letter).collect()
    }

    #[test]
    fn each_permission_grants_what_it_says_and_what_it_includes() {
        assert_eq!(granted(|_| {}), "");
        assert_eq!(granted(|given| given.global.manage_streams = true), "lcRMLCrmps");
        assert_eq!(granted(|given| given.global.read_streams = true), "lRLrp");
        assert_eq!(granted(|given| given.global.manage_topics = true), "LCrmps");
        assert_eq!(granted(|given| given.global.read_topics = true), "Lrp");
        assert_eq!(granted(|given| given.global.poll_messages = true), "p");
        assert_eq!(granted(|given| given.global.send_messages = true), "s");
        assert_eq!(granted(|given| given.streams[0].manage_stream = true), "RMLCrmps");
        assert_eq!(granted(|given| given.streams[0].read_stream = true), "RLrp");
        assert_eq!(granted(|given| given.streams[0].manage_topics = true), "LCrmps");
        assert_eq!(granted(|given| given.streams[0].read_topics = true), "Lrp");
        assert_eq!(granted(|given| given.streams[0].poll_messages = true), "p");
        assert_eq!(granted(|given| given.streams[0].send_messages = true), "s");
        assert_eq!(granted(|given| given.streams[0].topics[0].manage_topic = true), "rmps");
        assert_eq!(granted(|given| given.streams[0].topics[0].read_topic = true), "rp");
        assert_eq!(granted(|given| given.streams[0].topics[0].poll_messages = true), "p");
        assert_eq!(granted(|given| given.streams[0].topics[0].send_messages = true), "s");
    }

    #[test]
    fn permissions_for_one_stream_or_topic_say_nothing_about_another() {
        let mut given = nothing();
        given.streams[0].topics[0].manage_topic = true;
        let elsewhere = |stream, topic| decide(Some(&given), Action::Topic(stream, topic, TopicAction::Poll));
        assert_eq!(elsewhere(STREAM, TOPIC), Decision::Granted);
        assert_eq!(elsewhere(STREAM, TOPIC + 1), Decision::Denied);
        assert_eq!(elsewhere(STREAM + 1, TOPIC), Decision::Denied);
        assert_eq!(decide(None, Action::ListStreams), Decision::Denied);
        assert_eq!(decide(Some(&everything()), Action::ManageUsers), Decision::Granted);
    }
}
