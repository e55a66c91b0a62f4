//! What one server calls the things of a session, learnt from its answers.

use std::collections::{BTreeMap, HashMap};

use iggy_binary_protocol::responses::consumer_groups::SyncConsumerGroupResponse;
use iggy_binary_protocol::responses::messages::{PollMessagesResponse, SendMessagesResponse};
use iggy_binary_protocol::responses::personal_access_tokens::RawPersonalAccessTokenResponse;

use super::show::decode;
use super::words::{Names, Step};

/// What a purge does to the offsets of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purge {
    CountsOn,
    StartsAgain,
}

/// Words and numbers of one server.
#[derive(Debug)]
pub(crate) struct Known {
    /// Stands in front of every name of the session.
    tag: String,
    purge: Purge,
    ids: BTreeMap<String, u32>,
    /// The offset that counts as zero, and the one that comes next, by the path of a partition.
    bases: HashMap<String, u64>,
    nexts: HashMap<String, u64>,
    seen: HashMap<String, u64>,
    /// How many partitions a topic has.
    parts: HashMap<String, u64>,
    secrets: HashMap<String, Vec<u8>>,
    mine: HashMap<(String, String), u32>,
    pub(crate) clients: BTreeMap<String, u32>,
    /// The client and the session of connections that are logged in.
    pub(crate) sessions: HashMap<String, (u128, u64)>,
    /// The figures of the server when the session began.
    pub(crate) baseline: [i64; 6],
}

impl Names for Known {
    fn name(&self, word: &str) -> Vec<u8> {
        let padded = |bytes: usize| format!("{:x<bytes$}", self.tag).into_bytes();
        match word {
            "empty" => Vec::new(),
            "short" => b"ab".to_vec(),
            "root" => b"iggy".to_vec(),
            "wide" => padded(51),
            "long" => padded(255),
            word => format!("{}{word}", self.tag).into_bytes(),
        }
    }

    fn id(&self, path: &str) -> Option<u32> {
        if path == "u:root" { Some(0) } else { self.ids.get(path).copied() }
    }

    fn client_id(&self, who: &str) -> Option<u32> {
        self.clients.get(who).copied()
    }

    fn session(&self, who: &str) -> (u128, u64) {
        self.sessions.get(who).copied().unwrap_or_default()
    }

    fn secret(&self, token: &str) -> Vec<u8> {
        self.secrets.get(token).cloned().unwrap_or_else(|| b"guessed".to_vec())
    }

    fn offset(&self, partition: &str, offset: u64) -> u64 {
        self.bases.get(partition).map_or(offset, |base| base.saturating_add(offset))
    }

    fn seen_micros(&self, partition: &str) -> u64 {
        self.seen.get(partition).copied().unwrap_or(0)
    }

    fn mine(&self, who: &str, group: &str) -> Option<u32> {
        self.mine.get(&(who.to_owned(), group.to_owned())).copied()
    }
}

impl Known {
    pub(crate) fn new(tag: &str, purge: Purge) -> Self {
        Self {
            tag: tag.to_owned(),
            purge,
            ids: BTreeMap::new(),
            bases: HashMap::new(),
            nexts: HashMap::new(),
            seen: HashMap::new(),
            parts: HashMap::new(),
            secrets: HashMap::new(),
            mine: HashMap::new(),
            clients: BTreeMap::new(),
            sessions: HashMap::new(),
            baseline: [0; 6],
        }
    }

    /// Whether a name belongs to the session.
    pub(crate) fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.tag)
    }

    /// What the session calls it.
    pub(crate) fn word(&self, name: &str) -> String {
        match name.strip_prefix(&self.tag) {
            Some(rest) if name.len() == 255 && rest.ends_with('x') => "long".to_owned(),
            Some(rest) if name.len() == 51 && rest.ends_with('x') => "wide".to_owned(),
            Some(rest) => rest.to_owned(),
            None if name == "iggy" => "root".to_owned(),
            None => name.to_owned(),
        }
    }

    /// An offset counted from the last purge.
    pub(crate) fn relative(&self, partition: &str, offset: u64) -> u64 {
        offset.saturating_sub(self.bases.get(partition).copied().unwrap_or(0))
    }

    /// The words for numbers, each of a thing in the one before.
    pub(crate) fn path_of(&self, ids: &[u32]) -> String {
        let mut path = String::new();
        for id in ids {
            let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
            let found = self.ids.iter().find(|(known, value)| {
                let word = known.strip_prefix(&inside);
                *value == id && !known.starts_with("u:") && word.is_some_and(|word| !word.contains('/'))
            });
            path = found.map_or_else(|| format!("{inside}?"), |(known, _)| known.clone());
        }
        path
    }

    /// The things that a session left behind: those in no other thing, and the tokens.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let outer = self.ids.keys().filter(|path| !path.contains('/'));
        let things = outer.map(|path| match path.strip_prefix("u:") {
            Some(user) => format!("root delete-user {user}"),
            None => format!("root delete-stream {path}"),
        });
        things.chain(self.secrets.keys().map(|token| format!("root delete-token {token}"))).collect()
    }

    pub(crate) fn user(&self, id: u32) -> String {
        let words = [(0, "root"), (u32::MAX, "nobody")];
        let special = words.iter().find(|(known, _)| *known == id).map(|(_, word)| *word);
        let mut users = self.ids.iter().filter_map(|(path, value)| Some((path.strip_prefix("u:")?, *value)));
        let found = users.find(|(_, value)| *value == id).map(|(word, _)| word);
        special.or(found).unwrap_or("?").to_owned()
    }

    pub(crate) fn who(&self, client_id: u32) -> Option<&str> {
        self.clients.iter().find(|(_, id)| **id == client_id).map(|(who, _)| who.as_str())
    }

    /// Takes in what a success tells.
    pub(crate) fn learn(&mut self, step: &Step<'_>, body: &[u8]) {
        let (path, rest) = (step.path(), &step.rest);
        match step.verb {
            "create-stream" => self.made(path.clone(), body),
            "create-user" => self.made(format!("u:{path}"), body),
            "create-topic" => {
                self.made(format!("{path}/{}", rest[1]), body);
                *self.parts(&format!("{path}/{}", rest[1])) = rest[2].parse().unwrap();
            }
            "create-group" => self.made(format!("{path}/{}", rest[1]), body),
            "rename-stream" => self.renamed(&path, rest[1]),
            "update-topic" => {
                let stream = path.split('/').next().unwrap().to_owned();
                self.renamed(&path, &format!("{stream}/{}", rest[1]));
            }
            "update-user" if rest[1] != "=" => self.renamed(&format!("u:{path}"), &format!("u:{}", rest[1])),
            "delete-stream" | "delete-topic" | "delete-group" => self.gone(&path),
            "delete-user" => self.gone(&format!("u:{path}")),
            "purge-stream" | "purge-topic" => self.purged(&path),
            "drop-partitions" => self.dropped(&path, rest[1].parse().unwrap()),
            "add-partitions" => *self.parts(&path) += rest[1].parse::<u64>().unwrap(),
            "create-token" => {
                let token: RawPersonalAccessTokenResponse = decode(body);
                self.secrets.insert(path, token.token.as_bytes().to_vec());
            }
            "send" => self.sent(step, body),
            "poll" => self.polled(step, body),
            "sync" => self.synced(step, body),
            _ => {}
        }
    }

    fn made(&mut self, path: String, body: &[u8]) {
        self.ids.insert(path, u32::from_le_bytes(body[..4].try_into().unwrap()));
    }

    fn renamed(&mut self, from: &str, to: &str) {
        let renamed = |path: &str| {
            let rest = path.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        };
        let ids = std::mem::take(&mut self.ids).into_iter();
        self.ids = ids.map(|(path, id)| (renamed(&path).unwrap_or(path), id)).collect();
        for map in [&mut self.bases, &mut self.nexts, &mut self.seen, &mut self.parts] {
            let entries = std::mem::take(map).into_iter();
            *map = entries.map(|(path, value)| (renamed(&path).unwrap_or(path), value)).collect();
        }
        let mine = std::mem::take(&mut self.mine).into_iter();
        self.mine = mine.map(|((who, path), id)| ((who, renamed(&path).unwrap_or(path)), id)).collect();
    }

    fn gone(&mut self, path: &str) {
        let stays = |known: &str| {
            !known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.ids.retain(|known, _| stays(known));
        self.mine.retain(|(_, known), _| stays(known));
        for map in [&mut self.bases, &mut self.nexts, &mut self.seen, &mut self.parts] {
            map.retain(|known, _| stays(known));
        }
    }

    fn purged(&mut self, path: &str) {
        let inside = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        if self.purge == Purge::CountsOn {
            let ends = self.nexts.iter().filter(|(known, _)| inside(known));
            self.bases.extend(ends.map(|(known, next)| (known.clone(), *next)).collect::<Vec<_>>());
        }
        self.seen.retain(|known, _| !inside(known));
    }

    fn parts(&mut self, topic: &str) -> &mut u64 {
        self.parts.entry(topic.to_owned()).or_default()
    }

    fn dropped(&mut self, topic: &str, count: u64) {
        let left = self.parts(topic).saturating_sub(count);
        for partition in left..*self.parts(topic) {
            self.gone(&format!("{topic}/{partition}"));
        }
        *self.parts(topic) = left;
    }

    fn sent(&mut self, step: &Step<'_>, body: &[u8]) {
        if body.is_empty() {
            // The messages were there before.
            return;
        }
        let sent: SendMessagesResponse = decode(body);
        let texts = step.rest[2..].iter().filter(|word| **word != "lie").count();
        for sent in &sent.confirmations {
            let next = sent.base_offset + u64::try_from(texts).unwrap();
            self.nexts.insert(format!("{}/{}", step.path(), sent.partition_id), next);
        }
    }

    fn polled(&mut self, step: &Step<'_>, body: &[u8]) {
        let mut reply = PollMessagesResponse::decode(body).unwrap();
        if let Some(Ok(first)) = reply.messages.next() {
            self.seen.insert(format!("{}/{}", step.path(), reply.header.partition_id), first.timestamp);
        }
    }

    fn synced(&mut self, step: &Step<'_>, body: &[u8]) {
        let key = (step.who.to_owned(), step.path());
        self.mine.remove(&key);
        if !body.is_empty() {
            let assignment: SyncConsumerGroupResponse = decode(body);
            self.mine.extend(assignment.partitions.first().map(|partition| (key, *partition)));
        }
    }
}
