//! A step of a session in words, and the request that it is: `root send s0/#t1 p0 m1 m2` sends two messages as the
//! root user to partition 0 of the topic `t1`, called by its number, of the stream `s0`.

use bytes::BytesMut;
use iggy_binary_protocol::primitives::permissions::WirePermissions;
use iggy_binary_protocol::requests::messages::{RawMessage, SendMessagesEncoder};
use iggy_binary_protocol::{
    Operation, WireEncode, WireIdentifier, WirePartitioning, encode_user_headers, lookup_command,
};

use super::dice::Dice;
use super::grants;

/// Numbers from here on are of nothing.
const NOBODY: u32 = 4_000_000_000;

/// A number that nothing has, for what is not there.
fn nobody(path: &str) -> u32 {
    path.bytes().map(u32::from).fold(NOBODY, |sum, byte| sum + byte)
}

/// A body that is noise is shorter than this.
const NOISE_BYTES_MAX: usize = 60;
const STRING: u8 = 2;
const U64: u8 = 12;

/// What a server calls the things of a session.
pub(crate) trait Names {
    /// The name on the wire of what the session calls so.
    fn name(&self, word: &str) -> Vec<u8>;
    /// The number of the thing at a path, if it is there.
    fn id(&self, path: &str) -> Option<u32>;
    /// The number of a connection, as other connections see it.
    fn client_id(&self, who: &str) -> Option<u32>;
    /// The client and the session of a connection, as it was told at its login.
    fn session(&self, who: &str) -> (u128, u64);
    /// The secret of an access token.
    fn secret(&self, token: &str) -> Vec<u8>;
    /// The absolute offset of one that counts from the last purge.
    fn offset(&self, partition: &str, offset: u64) -> u64;
    /// When the first message of the last poll of this partition came.
    fn seen_micros(&self, partition: &str) -> u64;
    /// The first partition that the connection got at its last sync with a group.
    fn mine(&self, who: &str, group: &str) -> Option<u32>;
}

/// A step, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Step<'a> {
    pub(crate) who: &'a str,
    spoilt: Option<Spoilt>,
    pub(crate) verb: &'a str,
    pub(crate) rest: Vec<&'a str>,
}

/// What a body is that nobody would write.
#[derive(Debug, Clone, Copy)]
enum Spoilt {
    /// So many bytes are missing at the end.
    Cut(usize),
    /// So many bytes come after the end.
    More(usize),
    /// It has nothing to do with the command; the number says what it is instead.
    Noise(u64),
}

/// A request as it goes over the wire.
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    pub(crate) code: u32,
    pub(crate) body: Vec<u8>,
}

impl<'a> Step<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut words = text.split(' ');
        let who = words.next().unwrap();
        let mut verb = words.next().unwrap();
        let mut spoilt = None;
        if let Some((how, number)) = verb.split_once('=') {
            spoilt = Some(Spoilt::parse(how, number));
            verb = words.next().unwrap();
        }
        Self { who, spoilt, verb, rest: words.collect() }
    }

    /// The path of the thing it is about, by names.
    pub(crate) fn path(&self) -> String {
        let word = match self.verb {
            verb if READERS.contains(&verb) => self.rest[1],
            _ => self.rest.first().copied().unwrap_or_default(),
        };
        word.replace('#', "")
    }

    /// The partition it is about. One that is not told by its number is the only one of its topic.
    pub(crate) fn partition(&self) -> String {
        let word = self.rest[if READERS.contains(&self.verb) { 2 } else { 1 }];
        let number = if ["none", "mine"].contains(&word) { "0" } else { word.trim_start_matches('p') };
        format!("{}/{number}", self.path())
    }

    /// Words that the step has or has not.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.rest.contains(&word)
    }

    pub(crate) fn request(&self, names: &dyn Names) -> Asked {
        let code = self.code();
        let mut body = Body { names, who: self.who, bytes: Vec::new() };
        match code {
            31..=45 => body.user(self),
            100..=139 => body.messages(self),
            600..=606 => {
                body.path(self.rest[0], 2 + usize::from(self.verb != "groups" && self.verb != "create-group"))
            }
            _ => body.catalog(self),
        }
        if self.verb == "create-group" {
            body.name(self.rest[1]);
        }
        if let Some(spoilt) = self.spoilt {
            spoilt.apply(&mut body.bytes);
        }
        let operation = match self.verb {
            "login" | "login-token" => Some(Operation::Register),
            "logout" => Some(Operation::Logout),
            _ => lookup_command(code).and_then(|command| command.operation),
        };
        Asked { operation: operation.unwrap_or(Operation::NonReplicated), code, body: body.bytes }
    }

    fn code(&self) -> u32 {
        let place = VERBS.iter().find(|(verb, _)| *verb == self.verb);
        place.expect("every verb stands in the table").1
    }
}

/// Commands that begin with a consumer.
const READERS: [&str; 7] = ["poll", "poll-primary", "route", "offset", "route-offset", "store", "forget"];

/// The words for commands, with their codes.
pub(crate) const VERBS: [(&str, u32); 54] = [
    ("ping", 1),
    ("stats", 10),
    ("snapshot", 11),
    ("cluster", 12),
    ("describe", 13),
    ("attach", 14),
    ("me", 20),
    ("client", 21),
    ("clients", 22),
    ("user", 31),
    ("users", 32),
    ("create-user", 33),
    ("delete-user", 34),
    ("update-user", 35),
    ("permit", 36),
    ("password", 37),
    ("logout", 39),
    ("login", 40),
    ("tokens", 41),
    ("create-token", 42),
    ("delete-token", 43),
    ("login-token", 45),
    ("poll", 100),
    ("send", 101),
    ("flush", 102),
    ("route", 103),
    ("poll-primary", 104),
    ("offset", 120),
    ("store", 121),
    ("forget", 122),
    ("route-offset", 123),
    ("stream", 200),
    ("streams", 201),
    ("create-stream", 202),
    ("delete-stream", 203),
    ("rename-stream", 204),
    ("purge-stream", 205),
    ("topic", 300),
    ("topics", 301),
    ("create-topic", 302),
    ("delete-topic", 303),
    ("update-topic", 304),
    ("purge-topic", 305),
    ("add-partitions", 402),
    ("drop-partitions", 403),
    ("drop-segments", 503),
    ("group", 600),
    ("groups", 601),
    ("create-group", 602),
    ("delete-group", 603),
    ("join", 604),
    ("leave", 605),
    ("sync", 606),
    ("unheard-of", 9_999),
];

impl Spoilt {
    fn parse(how: &str, word: &str) -> Self {
        match how {
            "cut" => Self::Cut(number(word)),
            "more" => Self::More(number(word)),
            how => {
                assert_eq!(how, "noise", "no way to spoil a body");
                Self::Noise(number(word))
            }
        }
    }

    fn apply(self, body: &mut Vec<u8>) {
        match self {
            Self::Cut(bytes) => body.truncate(body.len().saturating_sub(bytes)),
            Self::More(bytes) => body.extend(Dice::new(0).bytes(bytes)),
            Self::Noise(seed) => {
                let mut dice = Dice::new(seed);
                let length = dice.below(NOISE_BYTES_MAX);
                *body = dice.bytes(length);
            }
        }
    }
}

struct Body<'a> {
    names: &'a dyn Names,
    who: &'a str,
    bytes: Vec<u8>,
}

impl Body<'_> {
    /// Everything about streams, topics, partitions, and the broker itself.
    fn catalog(&mut self, step: &Step<'_>) {
        let rest = &step.rest;
        match step.verb {
            "snapshot" => self.bytes.extend([1, 1, 1]),
            "describe" => self.bytes.push(number(rest[0])),
            "client" => {
                let id = self.names.client_id(rest[0]).unwrap_or(NOBODY);
                self.bytes.extend(id.to_le_bytes());
            }
            "attach" => {
                let (client, session) = self.names.session(rest[0]);
                self.bytes.extend(client.to_le_bytes());
                self.bytes.extend(session.to_le_bytes());
                self.bytes.extend(0_u64.to_le_bytes());
            }
            "create-stream" => self.name(rest[0]),
            "stream" | "delete-stream" | "purge-stream" | "topics" => self.path(rest[0], 1),
            "rename-stream" => {
                self.path(rest[0], 1);
                self.name(rest[1]);
            }
            "topic" | "delete-topic" | "purge-topic" => self.path(rest[0], 2),
            "create-topic" => {
                self.path(rest[0], 1);
                self.bytes.extend(number::<u32>(rest[2]).to_le_bytes());
                self.name(rest[1]);
                self.options(&rest[3..]);
            }
            "update-topic" => {
                self.path(rest[0], 2);
                self.name(rest[1]);
                self.options(&rest[2..]);
            }
            "add-partitions" | "drop-partitions" | "drop-segments" => {
                self.path(rest[0], 2);
                rest[1..].iter().for_each(|word| self.bytes.extend(number::<u32>(word).to_le_bytes()));
            }
            _ => {}
        }
    }

    fn user(&mut self, step: &Step<'_>) {
        let rest = &step.rest;
        match step.verb {
            "user" | "delete-user" => self.identifier(rest[0], "u:"),
            "create-user" => {
                self.name(rest[0]);
                self.password(rest[1]);
                self.bytes.push(number(rest[2]));
                self.permissions(rest[3]);
            }
            "update-user" => {
                self.identifier(rest[0], "u:");
                self.bytes.push(u8::from(rest[1] != "="));
                if rest[1] != "=" {
                    self.name(rest[1]);
                }
                self.bytes.push(u8::from(rest[2] != "="));
                self.bytes.extend(rest[2].parse::<u8>().ok());
            }
            "permit" => {
                self.identifier(rest[0], "u:");
                self.permissions(rest[1]);
            }
            "password" => {
                self.identifier(rest[0], "u:");
                self.password(rest[1]);
                self.password(rest[2]);
            }
            "create-token" => {
                self.name(rest[0]);
                self.bytes.extend(number::<u64>(rest[1]).to_le_bytes());
            }
            "delete-token" => self.name(rest[0]),
            "login" | "login-token" => self.login(step),
            _ => {}
        }
    }

    fn login(&mut self, step: &Step<'_>) {
        let version =
            if step.says("old") { 0x2800 } else { iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION };
        self.bytes.extend(version.to_le_bytes());
        self.bytes.extend(b"\x03kit\x011");
        if step.verb == "login" {
            self.name(step.rest[0]);
            self.password(step.rest[1]);
        } else {
            self.short(&self.names.secret(step.rest[0]));
        }
        self.bytes.extend([0; 4]);
    }

    fn messages(&mut self, step: &Step<'_>) {
        let rest = &step.rest;
        match step.verb {
            "send" => self.send(step),
            "flush" => {
                self.path(rest[0], 2);
                self.bytes.extend(number::<u32>(rest[1]).to_le_bytes());
                self.bytes.push(u8::from(step.says("sync")));
            }
            _ => {
                self.consumer(rest[0], rest[1]);
                self.path(rest[1], 2);
                self.partition(rest[2], rest[0], rest[1]);
                match step.verb {
                    "poll" | "poll-primary" | "route" => self.strategy(step),
                    "store" => {
                        let offset = self.names.offset(&step.partition(), number(rest[3]));
                        self.bytes.extend(offset.to_le_bytes());
                        self.bytes.push(1);
                    }
                    "forget" => self.bytes.push(1),
                    _ => {}
                }
            }
        }
    }

    fn strategy(&mut self, step: &Step<'_>) {
        let partition = step.partition();
        let (kind, value) = step.rest[3].split_once('=').unwrap_or((step.rest[3], "0"));
        let (kind, value) = match (kind, value) {
            ("offset", offset) => (1, self.names.offset(&partition, number(offset))),
            ("time", "seen") => (2, self.names.seen_micros(&partition)),
            ("time", micros) => (2, number(micros)),
            ("first", _) => (3, 0),
            ("last", _) => (4, 0),
            ("next", _) => (5, 0),
            _ => (9, 0),
        };
        self.bytes.push(kind);
        self.bytes.extend(value.to_le_bytes());
        self.bytes.extend(number::<u32>(step.rest[4]).to_le_bytes());
        self.bytes.push(u8::from(step.says("commit")));
    }

    /// A consumer: `c1` by name, `c#7` by number, `g:g0` a group.
    fn consumer(&mut self, word: &str, topic: &str) {
        if let Some(group) = word.strip_prefix("g:") {
            self.bytes.push(2);
            self.identifier(group, &format!("{}/", topic.replace('#', "")));
        } else if let Some(id) = word.strip_prefix("c#") {
            self.bytes.extend([1, 1, 4]);
            self.bytes.extend(number::<u32>(id).to_le_bytes());
        } else {
            self.bytes.push(1);
            self.identifier(word, "c:");
        }
    }

    /// A partition: a number, `none`, or `mine`, the first that the connection was given.
    fn partition(&mut self, word: &str, consumer: &str, topic: &str) {
        let group = format!("{topic}/{}", consumer.trim_start_matches("g:")).replace('#', "");
        let id = match word {
            "none" => None,
            "mine" => Some(self.names.mine(self.who, &group).unwrap_or(0)),
            id => Some(number::<u32>(id)),
        };
        self.bytes.push(u8::from(id.is_some()));
        self.bytes.extend(id.unwrap_or(0).to_le_bytes());
    }

    /// Messages after the partitioning: texts that tell their ids; `void` is empty, `lie` counts one too many, and
    /// `spoilt` changes a byte.
    fn send(&mut self, step: &Step<'_>) {
        let mut head = Body { names: self.names, who: self.who, bytes: Vec::new() };
        head.path(step.rest[0], 2);
        head.partitioning(step.rest[1]);
        let texts = step.rest[2..].iter().filter(|word| !["lie", "spoilt"].contains(word));
        let texts: Vec<&str> = texts.copied().collect();
        let count = u32::try_from(texts.len()).unwrap();
        head.bytes.extend((count + u32::from(step.says("lie"))).to_le_bytes());
        let mut batch = batch(&texts);
        if step.says("spoilt") {
            *batch.last_mut().unwrap() ^= 1;
        }
        self.bytes.extend(u32::try_from(head.bytes.len()).unwrap().to_le_bytes());
        self.bytes.extend(head.bytes);
        self.bytes.extend(batch);
    }

    fn partitioning(&mut self, word: &str) {
        let value = match word {
            "balanced" => WirePartitioning::Balanced,
            word => match word.strip_prefix("key=") {
                Some(key) => WirePartitioning::MessagesKey(key.into()),
                None => WirePartitioning::PartitionId(number(word.trim_start_matches('p'))),
            },
        };
        self.bytes.extend(value.to_bytes());
    }

    /// Identifiers of so many things, each in the one before.
    fn path(&mut self, path: &str, things: usize) {
        let mut inside = String::new();
        for word in path.split('/').take(things) {
            self.identifier(word, &inside);
            inside = format!("{inside}{}/", word.replace('#', ""));
        }
    }

    fn identifier(&mut self, word: &str, inside: &str) {
        if let Some(word) = word.strip_prefix('#') {
            self.bytes.extend([1, 4]);
            let path = format!("{inside}{word}");
            let id = self.names.id(&path).unwrap_or(nobody(&path));
            self.bytes.extend(id.to_le_bytes());
        } else {
            self.bytes.push(2);
            self.name(word);
        }
    }

    fn name(&mut self, word: &str) {
        self.short(&self.names.name(word));
    }

    fn password(&mut self, word: &str) {
        self.short(&match word {
            "blank" => Vec::new(),
            "short" => b"ab".to_vec(),
            "long" => vec![b'x'; 101],
            word => word.into(),
        });
    }

    fn short(&mut self, bytes: &[u8]) {
        self.bytes.push(u8::try_from(bytes.len()).unwrap());
        self.bytes.extend(bytes);
    }

    fn permissions(&mut self, words: &str) {
        let permissions: Option<WirePermissions> =
            grants::parse(words, &|path| self.names.id(path).unwrap_or(nobody(path)));
        self.bytes.push(u8::from(permissions.is_some()));
        if let Some(permissions) = permissions {
            let encoded = permissions.to_bytes();
            self.bytes.extend(u32::try_from(encoded.len()).unwrap().to_le_bytes());
            self.bytes.extend(encoded);
        }
    }

    /// Options as `key=text` or `key:number`.
    fn options(&mut self, words: &[&str]) {
        let mut encoded = BytesMut::new();
        for word in words {
            if let Some((key, value)) = word.split_once('=') {
                encode_user_headers(&[(STRING, key.as_bytes(), STRING, value.as_bytes())], &mut encoded);
            } else if let Some((key, value)) = word.split_once(':') {
                let value = number::<u64>(value).to_le_bytes();
                encode_user_headers(&[(STRING, key.as_bytes(), U64, &value)], &mut encoded);
            }
        }
        self.bytes.extend(encoded);
    }
}

/// A batch of messages with these texts.
fn batch(texts: &[&str]) -> Vec<u8> {
    let mut header = BytesMut::new();
    encode_user_headers(&[(STRING, b"kind", STRING, b"test")], &mut header);
    let messages = texts.iter().map(|text| {
        let payload = if *text == "void" { "" } else { *text };
        let digits = text.trim_start_matches(|sign: char| !sign.is_ascii_digit()).trim_end_matches('h');
        RawMessage {
            id: digits.parse().unwrap_or(0),
            origin_timestamp: 5,
            headers: text.ends_with('h').then_some(&header[..]),
            payload: payload.as_bytes(),
        }
    });
    let messages: Vec<RawMessage<'_>> = messages.collect();
    let (nobody, mut body) = (WireIdentifier::numeric(0), BytesMut::new());
    if messages.is_empty() {
        return vec![0; 256];
    }
    SendMessagesEncoder::encode(&mut body, &nobody, &nobody, &WirePartitioning::Balanced, &messages).unwrap();
    let head = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    body.split_off(4 + head).to_vec()
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
    word.parse().unwrap()
}
