//! The state store in a Redis server, for hosts that share their state.
//!
//! A namespace is a hash of values, a sorted set of its keys for listing, and a hash with its usage. The done-marks of
//! a place are a hash and a sorted set too, and so is what a handler remembers of a tenant's events, which expires when
//! the tenant has had none for longer than the window. Whatever changes more than one of them is a script, which Redis runs alone
//! and refuses whole. All keys of a script must be on one server: Redis Cluster is not supported.
//!
//! A server that does not answer is asked by [`Mend::mend`] alone until it does again; all other calls fail at once, so
//! that no thread that runs guests waits for it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, Connection, Pipeline, RedisError, RedisResult};
use secrecy::{ExposeSecret, SecretString};

use super::seen::split_entry;
use super::{
    Applied, MarkId, MarkPlace, Namespace, Opened, PAGE_KEYS_MAX, Remember, Seen, SeenPlace, StateError,
    StateStore, Surroundings, Transaction, Usage, WAIT_MAX,
};
use crate::encoding::without_mark;
use crate::handler::HandlerName;
use crate::identity::EventKey;
use crate::known_stores::StoreLabel;
use crate::mender::Mend;
use crate::trouble::{About, Watch};

/// What all keys begin with.
const PREFIX: &[u8] = b"guesthouse:1:";
/// Connections kept for the next call; there are never more in use than threads that run guests.
const IDLE_MAX: usize = 64;
/// Shortest wait; the system refuses zero.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// How long a server that did not answer is left alone where nobody mends the store; longer than a mender rests.
const LEFT_ALONE: Duration = Duration::from_secs(15);
/// The least wait that says something about the server. A guest decides how much of its deadline is left for a wait,
/// and must not get the server left alone by leaving nearly none.
const TELLING_WAIT: Duration = Duration::from_millis(100);
/// Marks that are forgotten in one script.
const FORGET_MARKS_MAX: usize = 1_000;

/// How much longer than its age what is remembered lives after a tenant's last event.
const LIVE_LONGER: Duration = Duration::from_secs(60);
/// The server takes no time to live that is much longer than its calendar.
const LIVE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// `KEYS`: values, their keys, usage, events, their order, then for each place its marks and their order. `ARGV`: the
/// version it is based on or nothing, the next one, the new bytes, the number of writes; a key, a word and a value for
/// each; the number of marks; the number of a place, a member and a mark for each; the number of events, which are
/// the last ones, and with any how many are kept and forgotten at most, the oldest and the first stamp, and the time
/// to live or nothing; a key and the place of a mark for each. Answers 1, or 0 when it is stale.
const APPLY: &str = r"
if ARGV[1] ~= '' then
  if (redis.call('HGET', KEYS[3], 'version') or '0') ~= ARGV[1] then return 0 end
  redis.call('HSET', KEYS[3], 'version', ARGV[2], 'bytes', ARGV[3])
end
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  if ARGV[at + 1] == 'set' then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
    redis.call('ZADD', KEYS[2], 0, ARGV[at])
  else
    redis.call('HDEL', KEYS[1], ARGV[at])
    redis.call('ZREM', KEYS[2], ARGV[at])
  end
  at = at + 3
end
at = at + 1
for _ = 1, tonumber(ARGV[at - 1]) do
  local place = 4 + 2 * tonumber(ARGV[at])
  redis.call('HSET', KEYS[place], ARGV[at + 1], ARGV[at + 2])
  redis.call('ZADD', KEYS[place + 1], 0, ARGV[at + 1])
  at = at + 3
end
local events = tonumber(ARGV[at])
if events == 0 then return 1 end
local kept, forgotten, oldest, stamp = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
local live = ARGV[at + 5]
at = at + 6
local newest = redis.call('ZREVRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
if newest then stamp = math.max(stamp, tonumber(newest) + 1) end
for _ = 1, events do
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[5], string.format('%.0f', stamp), ARGV[at])
  stamp, at = stamp + 1, at + 2
end
local function forget(members)
  if #members == 0 then return end
  redis.call('HDEL', KEYS[4], unpack(members))
  redis.call('ZREM', KEYS[5], unpack(members))
end
local surplus = math.min(redis.call('ZCARD', KEYS[5]) - kept, tonumber(forgotten))
if surplus > 0 then forget(redis.call('ZRANGE', KEYS[5], 0, surplus - 1)) end
forget(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. oldest, 'LIMIT', 0, forgotten))
for _, key in ipairs({KEYS[4], KEYS[5]}) do
  if live == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, live) end
end
return 1";

/// `KEYS`: the marks of a place and their order. `ARGV`: the end of the range, how many at most. Answers how many.
const FORGET: &str = r"
local members = redis.call('ZRANGEBYLEX', KEYS[2], '-', ARGV[1], 'LIMIT', 0, ARGV[2])
if #members > 0 then
  redis.call('HDEL', KEYS[1], unpack(members))
  redis.call('ZREM', KEYS[2], unpack(members))
end
return #members";

/// The connections to the server.
pub(super) struct RedisStore {
    client: Mutex<Client>,
    /// Where the URL is read again when the server does not let us in.
    url_file: Option<PathBuf>,
    /// Its address, without secrets.
    server: String,
    link: Mutex<Link>,
    watch: Watch,
    surroundings: Surroundings,
}

#[derive(Default)]
struct Link {
    idle: Vec<Connection>,
    /// Why the server cannot be reached and since when that is known; nobody but the mender asks it then.
    down: Option<(String, Instant)>,
}

impl RedisStore {
    /// Reads the URL and asks the server for an answer.
    pub(super) fn open(
        url: &SecretString,
        url_file: Option<PathBuf>,
        surroundings: Surroundings,
    ) -> Result<Self, StateError> {
        let client = client(url.expose_secret())?;
        let info = client.get_connection_info();
        let server = format!("{}/{}", info.addr(), info.redis_settings().db());
        let about = About {
            cause: "state_unwritable",
            subject: format!("the state of handlers in Redis at {server}"),
            consequence: "the events of handlers that keep state wait, and it is asked again until it answers",
        };
        let (client, link) = (Mutex::new(client), Mutex::default());
        let watch = surroundings.troubles.watch(about);
        let store = Self { client, url_file, server, link, watch, surroundings };
        let label = store.ask("open", WAIT_MAX, own_label)?;
        store.surroundings.note_opened(&store.server, label);
        Ok(store)
    }

    /// Asks on a connection of its own, which is kept only after an answer.
    fn ask<T>(
        &self,
        action: &'static str,
        wait: Duration,
        question: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StateError> {
        let wait = wait.clamp(WAIT_MIN, WAIT_MAX);
        let answer = match self.idle_connection() {
            Ok(idle) => self.ask_on(idle, wait, question),
            Err(down) => {
                let server = self.server.clone();
                return Err(StateError::Redis { action, server, cause: down });
            }
        };
        answer.map_err(|error| self.failed(action, &error, wait))
    }

    /// Asks on a connection that was open, or else on a new one.
    fn ask_on<T>(
        &self,
        idle: Option<Connection>,
        wait: Duration,
        question: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let began = Instant::now();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.client().get_connection_with_timeout(wait)?,
        };
        let left = wait.saturating_sub(began.elapsed()).max(WAIT_MIN);
        connection.set_read_timeout(Some(left))?;
        connection.set_write_timeout(Some(left))?;
        let answer = question(&mut connection);
        let is_lost = |error: &RedisError| error.is_unrecoverable_error() || error.is_timeout();
        if !answer.as_ref().is_err_and(is_lost) {
            self.keep(connection);
        }
        answer
    }

    /// A connection that waits for work, if one does.
    ///
    /// # Errors
    /// Why the server cannot be reached, as long as that is known.
    fn idle_connection(&self) -> Result<Option<Connection>, String> {
        let mut link = self.link();
        match &link.down {
            Some((why, since)) if since.elapsed() < LEFT_ALONE => {
                Err(format!("it could not be reached a moment ago: {why}"))
            }
            _ => Ok(link.idle.pop()),
        }
    }

    fn keep(&self, connection: Connection) {
        let mut link = self.link();
        link.down = None;
        if link.idle.len() < IDLE_MAX {
            link.idle.push(connection);
        }
    }

    fn failed(&self, action: &'static str, error: &RedisError, waited: Duration) -> StateError {
        let server = self.server.clone();
        let says_much = !error.is_timeout() || waited >= TELLING_WAIT;
        let mut link = self.link();
        let is_down = error.is_connection_refusal() || (error.is_timeout() && says_much) || is_lockout(error);
        if is_down {
            link.down = Some((error.to_string(), Instant::now()));
        }
        if error.is_connection_dropped() {
            // The others lead to the same server, which went away.
            link.idle.clear();
        }
        drop(link);
        // A single connection that was dropped is replaced by the next call.
        if is_down || (says_much && !error.is_connection_dropped()) {
            self.watch.fails(error);
        }
        match error.is_timeout() {
            true => StateError::TimedOut { action, server, waited },
            false => StateError::Redis { action, server, cause: error.to_string() },
        }
    }

    /// Takes over what the file of the URL says now.
    fn read_url_again(&self) {
        let Some(file) = &self.url_file else { return };
        let url = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let read = url.and_then(|url| {
            client(without_mark(&url).trim_end_matches(['\n', '\r'])).map_err(|e| e.to_string())
        });
        match read {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => tracing::debug!(file = %file.display(), error, "the URL of the state store stays"),
        }
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections are whole between the methods, so a panic elsewhere leaves nothing half done.
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mend for RedisStore {
    fn is_failing(&self) -> bool {
        self.watch.is_failing()
    }

    fn mend(&self) {
        self.read_url_again();
        // An old connection may lead to a server that is gone.
        self.link().idle.clear();
        match self.ask_on(None, WAIT_MAX, own_label) {
            Ok(label) => {
                self.surroundings.note_opened(&self.server, label);
                self.link().down = None;
                self.watch.works();
            }
            Err(error) => {
                self.link().down = Some((error.to_string(), Instant::now()));
                self.watch.fails(&error);
            }
        }
    }
}

impl StateStore for RedisStore {
    fn open(&self, namespace: &Namespace, marks: &[MarkId], wait: Duration) -> Result<Opened, StateError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HMGET").arg(key(b"usage:", namespace.as_bytes())).arg(&["bytes", "version"]);
        for id in marks {
            pipeline.cmd("HGET").arg(key(b"marks:", id.place.as_bytes())).arg(&id.member());
        }
        self.ask("read", wait, |connection| {
            let mut answers = pipeline.query::<Vec<redis::Value>>(connection)?.into_iter();
            let usage = redis::from_redis_value(answers.next().unwrap_or(redis::Value::Nil))?;
            let (bytes, version): (Option<u64>, Option<u64>) = usage;
            let marks = answers.map(redis::from_redis_value).collect::<Result<_, _>>()?;
            let usage = Usage { bytes: bytes.unwrap_or_default(), version: version.unwrap_or_default() };
            Ok(Opened { usage, marks })
        })
    }

    fn seen(
        &self,
        place: &SeenPlace,
        keys: &[EventKey],
        wait: Duration,
    ) -> Result<Vec<Option<Seen>>, StateError> {
        let mut pipeline = Pipeline::new();
        for event in keys {
            pipeline.cmd("HGET").arg(key(b"seen:", place.as_bytes())).arg(&event.to_bytes());
            pipeline.cmd("ZSCORE").arg(key(b"seen-order:", place.as_bytes())).arg(&event.to_bytes());
        }
        self.ask("read", wait, |connection| {
            let mut answers = pipeline.query::<Vec<redis::Value>>(connection)?.into_iter();
            let mut seen = Vec::with_capacity(keys.len());
            while let (Some(entry), Some(stamp)) = (answers.next(), answers.next()) {
                let (entry, stamp): (Option<Vec<u8>>, Option<String>) =
                    (redis::from_redis_value(entry)?, redis::from_redis_value(stamp)?);
                seen.push(seen_copy(connection, entry.as_deref(), stamp.as_deref())?);
            }
            Ok(seen)
        })
    }

    fn get(&self, namespace: &Namespace, key: &str, wait: Duration) -> Result<Option<Vec<u8>>, StateError> {
        self.ask("read", wait, |connection| {
            redis::cmd("HGET").arg(values_key(namespace)).arg(key).query(connection)
        })
    }

    fn value_bytes(
        &self,
        namespace: &Namespace,
        key: &str,
        wait: Duration,
    ) -> Result<Option<u64>, StateError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HEXISTS").arg(values_key(namespace)).arg(key);
        pipeline.cmd("HSTRLEN").arg(values_key(namespace)).arg(key);
        let (exists, bytes): (bool, u64) = self.ask("read", wait, |connection| pipeline.query(connection))?;
        Ok(exists.then_some(bytes))
    }

    fn keys_after(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        wait: Duration,
    ) -> Result<Vec<String>, StateError> {
        let first = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        self.ask("read", wait, |connection| {
            let mut list = redis::cmd("ZRANGEBYLEX");
            list.arg(keys_key(namespace)).arg(first).arg("+").arg("LIMIT").arg(0).arg(PAGE_KEYS_MAX);
            list.query(connection)
        })
    }

    fn apply(&self, transaction: Transaction) -> Result<Applied, StateError> {
        let Transaction { namespace, version, bytes, writes, marks, remember } = &transaction;
        let mut places: Vec<&MarkPlace> = marks.iter().map(|(id, _)| &id.place).collect();
        places.sort_unstable();
        places.dedup();
        let mut apply = redis::cmd("EVAL");
        apply.arg(APPLY).arg(5 + 2 * places.len());
        apply.arg(values_key(namespace)).arg(keys_key(namespace)).arg(key(b"usage:", namespace.as_bytes()));
        let seen = remember.as_ref().map_or(namespace.as_bytes(), |remember| remember.place.as_bytes());
        apply.arg(key(b"seen:", seen)).arg(key(b"seen-order:", seen));
        for place in &places {
            apply.arg(key(b"marks:", place.as_bytes())).arg(key(b"marks-order:", place.as_bytes()));
        }
        match version {
            Some(version) => apply.arg(*version).arg(version.wrapping_add(1)),
            None => apply.arg("").arg(""),
        };
        apply.arg(*bytes).arg(writes.len());
        for (key, value) in writes {
            let word = if value.is_some() { "set" } else { "delete" };
            apply.arg(key).arg(word).arg(value.as_deref().unwrap_or_default());
        }
        apply.arg(marks.len());
        for (id, mark) in marks {
            let place = places.partition_point(|place| **place < id.place) + 1;
            apply.arg(place).arg(&id.member()).arg(mark);
        }
        match remember {
            Some(remember) => add_events(&mut apply, remember, marks),
            None => drop(apply.arg(0)),
        }
        let applied: bool = self.ask("write", WAIT_MAX, |connection| apply.query(connection))?;
        Ok(if applied { Applied::Whole } else { Applied::Stale })
    }

    fn forget_marks(&self, place: &MarkPlace, below: u64) -> Result<(), StateError> {
        let end = [b"(".as_slice(), &below.to_be_bytes()].concat();
        loop {
            let mut forget = redis::cmd("EVAL");
            forget.arg(FORGET).arg(2);
            forget.arg(key(b"marks:", place.as_bytes())).arg(key(b"marks-order:", place.as_bytes()));
            forget.arg(&end).arg(FORGET_MARKS_MAX);
            let forgotten: usize =
                self.ask("forget done-marks in", WAIT_MAX, |connection| forget.query(connection))?;
            if forgotten < FORGET_MARKS_MAX {
                return Ok(());
            }
        }
    }

    /// What is remembered expires by itself.
    fn forget_seen(&self, _: &HandlerName, _: u64) -> Result<(), StateError> {
        Ok(())
    }
}

pub(super) fn client(url: &str) -> Result<Client, StateError> {
    let refused = |cause: &str| StateError::Url { cause: cause.to_owned() };
    if ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(refused("TLS, which the scheme asks for, is not supported"));
    }
    Client::open(url).map_err(|error| refused(error.detail().unwrap_or("it is no such URL")))
}

/// The id of the data on the server, which is made with the first of it, and how often hosts have opened it. Both are written
/// each time: a server that takes no writes, for its disk or its memory is full, must not look like one that works.
fn own_label(connection: &mut Connection) -> RedisResult<StoreLabel> {
    let key = [PREFIX, b"id"].concat();
    let made: u64 = rand::random();
    redis::cmd("SETNX").arg(&key).arg(made.to_string()).query::<()>(connection)?;
    let id: String = redis::cmd("GET").arg(&key).query(connection)?;
    redis::cmd("SET").arg(&key).arg(&id).query::<()>(connection)?;
    let openings = redis::cmd("INCR").arg([PREFIX, b"openings"].concat()).query(connection)?;
    Ok(StoreLabel { id: id.parse().unwrap_or_default(), openings: Some(openings) })
}

/// Whether the server refuses whoever asks, and not what is asked.
fn is_lockout(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "LOADING" | "MASTERDOWN"))
}

/// Adds the events to remember to the arguments of [`APPLY`].
fn add_events(apply: &mut redis::Cmd, remember: &Remember, marks: &[(MarkId, Vec<u8>)]) {
    let Remember { keys, window, now_micros, .. } = remember;
    apply.arg(keys.len().min(marks.len())).arg(window.events_max).arg(remember.forgotten_max());
    apply.arg(window.oldest(*now_micros)).arg(remember.first_stamp(None));
    match window.age_max {
        Some(age_max) => apply.arg(
            u64::try_from(age_max.min(LIVE_MAX).saturating_add(LIVE_LONGER).as_millis()).unwrap_or_default(),
        ),
        None => apply.arg(""),
    };
    for (event, (id, _)) in keys.iter().zip(marks) {
        apply.arg(&event.to_bytes()).arg(id.entry());
    }
}

/// What is remembered of one event, with the mark of its copy if that is still there.
fn seen_copy(
    connection: &mut Connection,
    entry: Option<&[u8]>,
    stamp: Option<&str>,
) -> RedisResult<Option<Seen>> {
    let stamp = stamp.and_then(|stamp| stamp.parse().ok());
    let (Some(stamp), Some((place, member, identity))) = (stamp, entry.and_then(split_entry)) else {
        return Ok(None);
    };
    let mark = redis::cmd("HGET").arg(key(b"marks:", place)).arg(member).query(connection)?;
    Ok(Some(Seen { stamp, identity, mark }))
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("server", &self.server).finish_non_exhaustive()
    }
}

fn values_key(namespace: &Namespace) -> Vec<u8> {
    key(b"values:", namespace.as_bytes())
}

fn keys_key(namespace: &Namespace) -> Vec<u8> {
    key(b"keys:", namespace.as_bytes())
}

fn key(kind: &[u8], range: &[u8]) -> Vec<u8> {
    [PREFIX, kind, range].concat()
}
