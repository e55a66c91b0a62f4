//! The `subscriptions` section: what is read, as which group, and how it is decoded.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::section::Section;
use super::value::{name, word};
use super::{DeadLetterConfig, SubscriptionConfig};
use crate::codec::{Codec, Format, RawCodec, RawEventType, RawTenant};
use crate::event::Tenant;

/// Says that a header gives the value.
const FROM_HEADER: &str = "header";

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodecName {
    Enveloped(Format),
    Raw,
}

/// Reads the subscriptions; those that name no codec have envelopes in the format `usual`.
pub(super) fn read(
    root: &Section<'_>,
    dead_letters: &DeadLetterConfig,
    usual: Format,
) -> Vec<SubscriptionConfig> {
    let written = root.sections("subscriptions", |section| one(section, dead_letters, usual));
    let default = SubscriptionConfig { codec: Codec::Enveloped(usual), ..SubscriptionConfig::default() };
    let subscriptions = written.unwrap_or_else(|| vec![default]);
    refuse_shared(root, &subscriptions);
    subscriptions
}

fn one(section: &Section<'_>, dead_letters: &DeadLetterConfig, usual: Format) -> Option<SubscriptionConfig> {
    let default = SubscriptionConfig::default();
    let subscription_name = section.required("name", name);
    let group = section.value("group", default.group, name);
    let topics = section.list("topics", name).unwrap_or(default.topics);
    section.refuse_empty("topics", "expected at least one topic");
    for topic in &topics {
        if let Some(used) = dead_letters.use_of_topic(topic) {
            let problem =
                format!("`{topic}` is kept for {used}, which are not read like events; name another topic");
            section.refuse("topics", &problem);
        }
    }
    let codec = read_codec(section, usual);
    Some(SubscriptionConfig { name: subscription_name?, group, topics, codec })
}

fn read_codec(section: &Section<'_>, usual: Format) -> Codec {
    let [json, messagepack, postcard] =
        Format::ALL.map(|format| (format.as_str(), CodecName::Enveloped(format)));
    let words = [json, messagepack, postcard, ("raw", CodecName::Raw)];
    let codec = section.optional("codec", word(&words)).unwrap_or(CodecName::Enveloped(usual));
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
        (CodecName::Enveloped(format), raw) => {
            if raw.is_some() || section.has("raw") {
                let problem =
                    format!("has no effect with `codec: {}`; remove it or set `codec: raw`", format.as_str());
                section.refuse("raw", &problem);
            }
            Codec::Enveloped(format)
        }
        // What is missing was reported.
        (CodecName::Raw, None) => Codec::Enveloped(usual),
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
