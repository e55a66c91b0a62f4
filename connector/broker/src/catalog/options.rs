//! The options of a topic: kept and answered as the client wrote them, and read once for what is in force.

use bytes::BytesMut;
use iggy_binary_protocol::responses::system::OptionDescriptor;
use iggy_binary_protocol::{WireName, WireOptions, encode_user_headers};
use iggy_common::{
    CompressionAlgorithm, Durability, IggyError, IggyErrorDiscriminants as Code, IggyExpiry,
    MAX_TOPIC_SEGMENT_SIZE, MaxTopicSize, TopicCreateOptions, TopicRuntimeDefaults,
    UPDATABLE_TOPIC_OPTION_KEYS, topic_option_keys, validate_topic_segment_size,
};

use crate::log::{LogSettings, PREALLOCATE_BYTES_MAX};
use crate::store::{OffsetDurability, OptionEntry};
use crate::wire::Refusal;

/// Kind code of a string, which every key is.
const STRING_KIND: u8 = 2;

const DESCRIPTIONS: [(&str, &str); 9] = [
    (
        topic_option_keys::COMPRESSION_ALGORITHM,
        "how clients compress messages (none, gzip); only remembered here",
    ),
    (
        topic_option_keys::MESSAGE_EXPIRY,
        "age in microseconds at which messages are dropped, a segment at a time",
    ),
    (
        topic_option_keys::MAX_TOPIC_SIZE,
        "bytes that a topic keeps, shared by its partitions; oldest segments go first",
    ),
    (
        topic_option_keys::SEGMENT_SIZE,
        "bytes of a segment file; a multiple of 512 from 1048576 to 1073741824",
    ),
    (
        topic_option_keys::DURABILITY,
        "replicated acknowledges what survives the process, persisted what survives power loss",
    ),
    (topic_option_keys::CONSUMER_OFFSET_DURABILITY, "the same for stored consumer offsets"),
    (
        topic_option_keys::MESSAGES_REQUIRED_TO_SAVE,
        "without effect: every batch is written before it is acknowledged",
    ),
    (
        topic_option_keys::SIZE_OF_MESSAGES_REQUIRED_TO_SAVE,
        "without effect: every batch is written before it is acknowledged",
    ),
    (
        topic_option_keys::PREALLOCATE_SEGMENTS,
        "without effect: persisted topics write small batches into preallocated zeros anyway",
    ),
];

/// The options of one topic.
#[derive(Debug, Clone)]
pub(crate) struct TopicOptions {
    /// What clients set, verbatim.
    pub(crate) explicit: WireOptions,
    /// What holds for the keys they did not set.
    pub(crate) derived: WireOptions,
    parsed: TopicCreateOptions,
}

/// When an append may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendDurability {
    /// Once the operating system has it.
    Written,
    /// Once the disk has it.
    Synced,
}

impl TopicOptions {
    /// Checks options that a client sent against the catalog of option keys. Age and size of zero ask for what holds
    /// without them, and are not kept.
    pub(crate) fn new(explicit: WireOptions, segment_bytes_default: u64) -> Result<Self, Refusal> {
        Self::require_known(&explicit)?;
        Self::checked(without_defaults(explicit)?, segment_bytes_default)
    }

    fn checked(explicit: WireOptions, segment_bytes_default: u64) -> Result<Self, Refusal> {
        let parsed = TopicCreateOptions::parse(&explicit).map_err(|error| code_of(&error))?;
        let segment_bytes = parsed.segment_size.map_or(segment_bytes_default, |size| size.as_bytes_u64());
        if let Some(MaxTopicSize::Custom(size)) = parsed.max_topic_size
            && size.as_bytes_u64() < segment_bytes
        {
            return Err(Code::InvalidTopicSize.into());
        }
        let derived = derived_options(&parsed, &explicit, segment_bytes_default)?;
        Ok(Self { explicit, derived, parsed })
    }

    /// Takes options from the store. What cannot be read any more is left out rather than keeping the topic closed.
    pub(crate) fn stored(entries: &[OptionEntry], segment_bytes_default: u64) -> Self {
        let explicit = wire_of(entries).unwrap_or_else(|_| WireOptions::empty());
        let parsed = TopicCreateOptions::parse_committed(&explicit);
        let derived = derived_options(&parsed, &explicit, segment_bytes_default);
        Self { derived: derived.unwrap_or_else(|_| WireOptions::empty()), explicit, parsed }
    }

    /// Replaces the keys that an update names. Only some may change after creation.
    pub(crate) fn updated(&self, update: &WireOptions, segment_bytes_default: u64) -> Result<Self, Refusal> {
        let mut entries = entries_of(&self.explicit);
        Self::require_update(update)?;
        for change in entries_of(update) {
            entries.retain(|entry| entry.key != change.key);
            entries.push(change);
        }
        Self::checked(wire_of(&entries)?, segment_bytes_default)
    }

    /// Goes on only if an update may name these keys and values.
    pub(crate) fn require_update(update: &WireOptions) -> Result<(), Refusal> {
        let mut entries = update.iter();
        if entries.any(|entry| !UPDATABLE_TOPIC_OPTION_KEYS.iter().any(|key| key.as_bytes() == entry.key)) {
            return Err(Code::UnsupportedOptionKey.into());
        }
        Self::require_known(update)
    }

    /// Goes on only if these keys exist and have such values.
    pub(crate) fn require_known(options: &WireOptions) -> Result<(), Refusal> {
        let parsed = TopicCreateOptions::parse(options).map_err(|error| code_of(&error))?;
        if let Some(size) = parsed.segment_size {
            validate_topic_segment_size(size.as_bytes_u64(), MAX_TOPIC_SEGMENT_SIZE)
                .map_err(|error| code_of(&error))?;
        }
        Ok(())
    }

    /// How the logs of the topic are laid out.
    pub(crate) fn log_settings(&self, segment_bytes_default: u64) -> LogSettings {
        let segment_size = self.parsed.segment_size;
        let segment_bytes_max = segment_size.map_or(segment_bytes_default, |size| size.as_bytes_u64());
        let preallocate_bytes = match self.append_durability() {
            AppendDurability::Synced => PREALLOCATE_BYTES_MAX,
            AppendDurability::Written => 0,
        };
        LogSettings { segment_bytes_max, preallocate_bytes }
    }

    /// When an append to the topic may be acknowledged.
    pub(crate) fn append_durability(&self) -> AppendDurability {
        match self.parsed.durability {
            Durability::Persisted => AppendDurability::Synced,
            Durability::Replicated => AppendDurability::Written,
        }
    }

    /// When a consumer offset of the topic may be acknowledged.
    pub(crate) fn offset_durability(&self) -> OffsetDurability {
        match self.parsed.consumer_offset_durability {
            Durability::Persisted => OffsetDurability::Synced,
            Durability::Replicated => OffsetDurability::Written,
        }
    }

    /// How long messages are kept, in µs; `None` for ever.
    pub(crate) fn expiry_micros(&self) -> Option<u64> {
        match self.parsed.message_expiry {
            Some(IggyExpiry::ExpireDuration(duration)) => Some(duration.as_micros()),
            _ => None,
        }
    }

    /// How many bytes the topic keeps; `None` without a bound.
    pub(crate) fn bytes_max(&self) -> Option<u64> {
        match self.parsed.max_topic_size {
            Some(MaxTopicSize::Custom(size)) => Some(size.as_bytes_u64()),
            _ => None,
        }
    }

    /// Expiry as replies show it: µs, or the largest number for never.
    pub(crate) fn wire_expiry(&self) -> u64 {
        self.parsed.message_expiry.unwrap_or(IggyExpiry::NeverExpire).into()
    }

    /// Size as replies show it: bytes, or the largest number for no bound.
    pub(crate) fn wire_bytes_max(&self) -> u64 {
        self.parsed.max_topic_size.unwrap_or(MaxTopicSize::Unlimited).into()
    }

    /// Compression as replies show it. Clients compress; the broker only remembers.
    pub(crate) fn wire_compression(&self) -> u8 {
        self.parsed.compression_algorithm.unwrap_or(CompressionAlgorithm::None).as_code()
    }
}

/// Options in the form the store keeps.
pub(crate) fn entries_of(options: &WireOptions) -> Vec<OptionEntry> {
    let entry = |entry: iggy_binary_protocol::WireUserHeaderEntry<'_>| OptionEntry {
        key: String::from_utf8_lossy(entry.key).into_owned(),
        kind: entry.value_kind.0,
        value: entry.value.to_vec(),
    };
    options.iter().map(entry).collect()
}

/// Options in the form of the wire.
pub(crate) fn wire_of(entries: &[OptionEntry]) -> Result<WireOptions, Refusal> {
    let fields: Vec<(u8, &[u8], u8, &[u8])> = entries
        .iter()
        .map(|entry| (STRING_KIND, entry.key.as_bytes(), entry.kind, entry.value.as_slice()))
        .collect();
    let mut buffer = BytesMut::new();
    encode_user_headers(&fields, &mut buffer);
    Ok(WireOptions::from_bytes(buffer.freeze())?)
}

fn without_defaults(options: WireOptions) -> Result<WireOptions, Refusal> {
    let is_default = |entry: &OptionEntry| {
        let bound = [topic_option_keys::MESSAGE_EXPIRY, topic_option_keys::MAX_TOPIC_SIZE];
        bound.contains(&entry.key.as_str()) && entry.value.iter().all(|byte| *byte == 0)
    };
    let mut entries = entries_of(&options);
    if !entries.iter().any(is_default) {
        return Ok(options);
    }
    entries.retain(|entry| !is_default(entry));
    wire_of(&entries)
}

fn derived_options(
    parsed: &TopicCreateOptions,
    explicit: &WireOptions,
    segment_bytes_default: u64,
) -> Result<WireOptions, Refusal> {
    // Every append goes to the operating system before it is acknowledged, whatever this says to clients.
    let defaults = TopicRuntimeDefaults {
        segment_size: segment_bytes_default.into(),
        messages_required_to_save: 1,
        ..TopicRuntimeDefaults::default()
    };
    let derived = parsed.derived_block(
        CompressionAlgorithm::None,
        IggyExpiry::NeverExpire,
        MaxTopicSize::Unlimited,
        defaults,
        explicit,
    );
    Ok(derived.map_err(|error| code_of(&error))?)
}

/// The options that a topic can have, with their kinds and what holds without them.
pub(crate) fn describe_topic_options(segment_bytes_default: u64) -> Result<Vec<OptionDescriptor>, Refusal> {
    let defaults =
        derived_options(&TopicCreateOptions::default(), &WireOptions::empty(), segment_bytes_default)?;
    let describe = |entry: OptionEntry| {
        let text = DESCRIPTIONS.iter().find(|(key, _)| *key == entry.key).map_or("", |(_, text)| *text);
        Ok(OptionDescriptor {
            key: WireName::new(entry.key)?,
            kind: entry.kind,
            default_value: entry.value.into(),
            description: text.to_owned(),
        })
    };
    entries_of(&defaults).into_iter().map(describe).collect()
}

fn code_of(error: &IggyError) -> Code {
    Code::from_repr(error.as_code()).unwrap_or(Code::InvalidOptionValue)
}
