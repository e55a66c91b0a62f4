//! The `subscriptions` section: what is read, as which group, and how it is decoded.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::section::Section;
use super::value::{name, word};
use super::{DeadLetterConfig, SubscriptionConfig};
use crate::codec::{Codec, RawCodec, RawEventType, RawTenant};
use crate::event::Tenant;

/// Says that a header gives the value.
const FROM_HEADER: &str = "header";

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodecName {
    Json,
    Raw,
}

pub(super) fn read(root: &Section<'_>, dead_letters: &DeadLetterConfig) -> Vec<SubscriptionConfig> {
    let written = root.sections("subscriptions", |section| one(section, dead_letters));
    let subscriptions = written.unwrap_or_else(|| vec![SubscriptionConfig::default()]);
    refuse_shared(root, &subscriptions);
    subscriptions
}

fn one(section: &Section<'_>, dead_letters: &DeadLetterConfig) -> Option<SubscriptionConfig> {
    let default = SubscriptionConfig::default();
    let subscription_name = section.required("name", name);
    let group = section.value("group", default.group, name);
    let topics = section.list("topics", name).unwrap_or(default.topics);
    section.refuse_empty("topics", "expected at least one topic");
    if topics.contains(&dead_letters.topic) {
        let problem = format!("`{}` holds dead letters, which are not read like events", dead_letters.topic);
        section.refuse("topics", &problem);
    }
    let codec = read_codec(section);
    Some(SubscriptionConfig { name: subscription_name?, group, topics, codec })
}

fn read_codec(section: &Section<'_>) -> Codec {
    let words = [("json", CodecName::Json), ("raw", CodecName::Raw)];
    let codec = section.value("codec", CodecName::Json, word(&words));
    let raw = section.section("raw", |raw| {
        if codec == CodecName::Raw {
            raw.require("tenant");
            raw.require("event_type");
        }
        let tenant = raw.optional("tenant", |text| match text {
            FROM_HEADER => Ok(RawTenant::Header),
            _ => Ok(RawTenant::Fixed(Tenant::from_name(fixed(text)?))),
        });
        let event_type = raw.optional("event_type", |text| match text {
            FROM_HEADER => Ok(RawEventType::Header),
            _ => Ok(RawEventType::Fixed(fixed(text)?)),
        });
        Some(RawCodec { tenant: tenant?, event_type: event_type? })
    });
    match (codec, raw) {
        (CodecName::Raw, Some(raw)) => Codec::Raw(raw),
        (CodecName::Json, None) if !section.has("raw") => Codec::Json,
        (CodecName::Json, _) => {
            section.refuse("raw", "has no effect with `codec: json`; remove it or set `codec: raw`");
            Codec::Json
        }
        // What is missing was reported.
        (CodecName::Raw, None) => Codec::Json,
    }
}

fn fixed(text: &str) -> Result<ByteString, String> {
    name(text)
        .map(ByteString::from)
        .map_err(|_| format!("expected `{FROM_HEADER}` or a value of 1 to 255 bytes"))
}

/// Two members of one group share its events, so two subscriptions in one group would each miss some.
fn refuse_shared(root: &Section<'_>, subscriptions: &[SubscriptionConfig]) {
    let mut names: BTreeMap<&str, ()> = BTreeMap::new();
    let mut readers: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for subscription in subscriptions {
        if names.insert(&subscription.name, ()).is_some() {
            root.refuse("subscriptions", &format!("the name `{}` is given twice", subscription.name));
        }
        for topic in &subscription.topics {
            if let Some(other) = readers.insert((&subscription.group, topic), &subscription.name) {
                let (name, group) = (&subscription.name, &subscription.group);
                let problem = format!(
                    "`{other}` and `{name}` both read topic `{topic}` as group `{group}`, so each would miss events of \
                     the other; give each topic once, or give them different groups"
                );
                root.refuse("subscriptions", &problem);
            }
        }
    }
}
