//! Steps that chance thinks up: every command, with good and bad arguments and, now and then, a body that is garbage.

use serde::Deserialize;

use super::dice::Dice;

/// Commands whose bodies must not be garbage when they go to Iggy's server, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deadly {
    reason: String,
    commands: Vec<String>,
}

impl Deadly {
    /// The list of the repository.
    fn read() -> Self {
        let deadly: Self = serde_json::from_str(include_str!("deadly.json")).unwrap();
        assert!(!deadly.reason.is_empty(), "commands are left out without a reason");
        deadly
    }

    fn names(&self, command: &str) -> bool {
        self.commands.iter().any(|verb| command.split(' ').next() == Some(verb.as_str()))
    }
}

/// Thinks up steps.
pub(super) struct Author {
    dice: Dice,
    deadly: Deadly,
    /// How many messages the session has so far.
    messages: u32,
}

impl Author {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), deadly: Deadly::read(), messages: 0 }
    }

    /// A step that Iggy's server survives.
    pub(super) fn step(&mut self) -> String {
        let (who, spoilt) = (self.who(), self.spoilt());
        let command = self.command();
        let (spoilt, command) = if self.deadly.names(&command) {
            let survived = spoilt.filter(|spoilt| spoilt.starts_with("more"));
            (survived, command.replace("empty", "wide"))
        } else {
            (spoilt, command)
        };
        // Logins and logouts are the guest's: the others are logged in as long as the session lasts.
        let who = if command.starts_with("log") { "guest" } else { who };
        spoilt.map_or_else(|| format!("{who} {command}"), |spoilt| format!("{who} {spoilt} {command}"))
    }

    /// One that it does not.
    pub(super) fn deadly_step(&mut self) -> String {
        loop {
            let command = self.command();
            if self.deadly.names(&command) {
                let spoilt = self.dice.pick(&["cut=1", "cut=2", "cut=5", "cut=200", "noise=3", "noise=10"]);
                return format!("{} {spoilt} {command}", self.who());
            }
        }
    }

    fn who(&mut self) -> &'static str {
        self.dice.pick(&[
            "root", "root", "root", "root", "root", "root", "twin", "twin", "guest", "guest", "guest",
            "stranger",
        ])
    }

    /// What is wrong with the body, if anything is.
    fn spoilt(&mut self) -> Option<String> {
        let how = self.dice.pick(&["cut=1", "cut=2", "cut=5", "cut=9", "more=1", "more=7", "noise"]);
        let number = self.dice.below(1_000);
        let spoilt = if how == "noise" { format!("noise={number}") } else { how.to_owned() };
        self.dice.one_in(20).then_some(spoilt)
    }

    fn command(&mut self) -> String {
        match self.dice.below(20) {
            0..4 => self.send(),
            4..8 => self.poll(),
            8..11 => self.offset(),
            11 => self.stream(),
            12 | 13 => self.topic(),
            14 | 15 => self.group(),
            16 => self.user(),
            17 => self.token(),
            18 => self.partitions(),
            _ => self.system(),
        }
    }

    /// A word that calls a thing, by its name or its number.
    fn thing(&mut self, names: &[&str]) -> String {
        let by = if self.dice.one_in(3) { "#" } else { "" };
        format!("{by}{}", self.dice.pick(names))
    }

    fn stream_path(&mut self) -> String {
        if self.dice.one_in(30) {
            return "empty".to_owned();
        }
        self.thing(&["s0", "s0", "s0", "s0", "s0", "s0", "s1", "s9"])
    }

    fn topic_path(&mut self) -> String {
        let stream = self.stream_path();
        let topic = self.thing(&["t0", "t0", "t0", "t1", "t1", "t1", "t2", "t9"]);
        format!("{stream}/{topic}")
    }

    /// A topic that has one partition, if it is there.
    fn single(&mut self) -> String {
        format!("{}/{}", self.thing(&["s0"]), self.thing(&["t1"]))
    }

    fn name<'a>(&mut self, usual: &[&'a str]) -> &'a str {
        match self.dice.below(20) {
            0 => "empty",
            1 => "long",
            2 => "wide",
            3 => "short",
            _ => self.dice.pick(usual),
        }
    }

    fn send(&mut self) -> String {
        let to = self.dice.pick(&["p0", "p0", "p0", "p1", "p1", "p7", "key=abc", "key=tenant-1", "balanced"]);
        let path = if to == "balanced" { self.single() } else { self.topic_path() };
        let mut words = format!("send {path} {to}");
        let count = if self.dice.one_in(150) { 0 } else { [1, 1, 2, 3, 8][self.dice.below(5)] };
        for _ in 0..count {
            self.messages += u32::from(!self.dice.one_in(40));
            let text = match self.dice.below(12) {
                0 => "void".to_owned(),
                1 => "text".to_owned(),
                2 => format!("m{}h", self.messages),
                _ => format!("m{}", self.messages),
            };
            words = format!("{words} {text}");
        }
        match self.dice.below(200) {
            0 => words + " lie",
            1 if count > 0 => words + " spoilt",
            _ => words,
        }
    }

    fn consumer(&mut self) -> String {
        self.dice.pick(&["c1", "c1", "c2", "c#7", "c#0", "empty"]).to_owned()
    }

    /// Who reads what: a consumer a partition of any topic, a group the only one of its topic.
    fn reading(&mut self) -> String {
        if self.dice.one_in(3) {
            let group = self.thing(&["g0", "g0", "g0", "g9"]);
            return format!(
                "g:{group} {} {}",
                self.single(),
                self.dice.pick(&["0", "0", "mine", "none", "3"])
            );
        }
        let (consumer, path) = (self.consumer(), self.topic_path());
        format!("{consumer} {path} {}", self.dice.pick(&["0", "0", "0", "1", "none", "7"]))
    }

    fn poll(&mut self) -> String {
        let reading = self.reading();
        let strategy = self.dice.pick(&[
            "first",
            "first",
            "last",
            "next",
            "next",
            "next",
            "offset=0",
            "offset=1",
            "offset=2",
            "offset=50",
            "time=0",
            "time=seen",
            "time=18446744073709551615",
            "offset=18446744073709551615",
            "strange",
        ]);
        let count = self.dice.pick(&["1", "2", "10", "10", "1000", "4294967295", "0"]);
        let commit = if self.dice.one_in(2) { " commit" } else { "" };
        format!("poll {reading} {strategy} {count}{commit}")
    }

    fn offset(&mut self) -> String {
        let reading = self.reading();
        match self.dice.below(5) {
            0 | 1 => format!(
                "store {reading} {}",
                self.dice.pick(&["0", "0", "1", "2", "50", "18446744073709551615"])
            ),
            2 | 3 => format!("offset {reading}"),
            _ => format!("forget {reading}"),
        }
    }

    fn stream(&mut self) -> String {
        // A name that says nothing of its session could be another's.
        let (path, name) = (self.stream_path(), self.name(&["s0", "s1", "s2"]).replace("short", "s2"));
        match self.dice.below(10) {
            0..3 => format!("create-stream {name}"),
            3 | 4 => "streams".to_owned(),
            5 | 6 => format!("stream {path}"),
            7 => format!("rename-stream {path} {name}"),
            8 => format!("purge-stream {path}"),
            _ => format!("delete-stream {path}"),
        }
    }

    fn topic(&mut self) -> String {
        let (stream, path, name) = (self.stream_path(), self.topic_path(), self.name(&["t0", "t1", "t2"]));
        let options = self.options();
        match self.dice.below(12) {
            0..3 => {
                let partitions = match name {
                    "t1" => "1",
                    _ => self.dice.pick(&["1", "2", "2", "3", "0", "1001", "4294967295"]),
                };
                format!("create-topic {stream} {name} {partitions}{options}")
            }
            3 | 4 => format!("topics {stream}"),
            5..8 => format!("topic {path}"),
            8 | 9 => {
                // A topic with one partition keeps its name.
                let path = path.replace("t1", "t0");
                let name = if name == "t1" { "t0" } else { name };
                format!("update-topic {path} {name}{options}")
            }
            10 => format!("purge-topic {path}"),
            _ => format!("delete-topic {path}"),
        }
    }

    fn options(&mut self) -> &'static str {
        if self.dice.one_in(60) {
            return " durability=persisted";
        }
        self.dice.pick(&[
            "",
            "",
            "",
            "",
            " message_expiry:3600000000",
            " message_expiry:18446744073709551615",
            " max_topic_size:10000000000",
            " max_topic_size:1",
            " compression_algorithm=gzip",
            " compression_algorithm=squeeze",
            " colour=red",
            " segment_size:1048576",
            " segment_size:1000",
            " message_expiry:0",
            " max_topic_size:0",
        ])
    }

    fn partitions(&mut self) -> String {
        let path = format!("{}/{}", self.stream_path(), self.thing(&["t0", "t0", "t2", "t9"]));
        let count = self.dice.pick(&["1", "1", "2", "0", "1001"]);
        match self.dice.below(6) {
            0 | 1 => format!("add-partitions {path} {count}"),
            2 | 3 => format!("drop-partitions {path} {count}"),
            4 => format!("drop-segments {path} {} {count}", self.dice.pick(&["0", "0", "7"])),
            _ => {
                format!("flush {path} {}{}", self.dice.pick(&["0", "1", "7"]), self.dice.pick(&["", " sync"]))
            }
        }
    }

    fn group(&mut self) -> String {
        let path = if self.dice.one_in(3) { self.topic_path() } else { self.single() };
        let group = self.thing(&["g0", "g0", "g0", "g1", "g9"]);
        match self.dice.below(13) {
            0 | 1 => format!("create-group {path} {}", self.name(&["g0", "g1"])),
            2 => format!("groups {path}"),
            3..5 => format!("group {path}/{group}"),
            5..8 => format!("join {path}/{group}"),
            8..10 => format!("sync {path}/{group}"),
            10 | 11 => format!("leave {path}/{group}"),
            _ => format!("delete-group {path}/{group}"),
        }
    }

    fn permissions(&mut self) -> &'static str {
        self.dice.pick(&[
            "none",
            "read_streams",
            "manage_streams",
            "poll_messages",
            "send_messages+poll_messages",
            "manage_topics",
            "read_topics",
            "read_servers",
            "read_users",
            "manage_users",
            "s0:read_stream",
            "s0:manage_stream",
            "s0:read_topics+s0:poll_messages",
            "s0:manage_topics",
            "s0:send_messages",
            "s0/t0:read_topic+s0/t0:poll_messages",
            "s0/t0:manage_topic",
            "s0/t1:send_messages+s0/t0:poll_messages",
            "s0/t1:poll_messages",
        ])
    }

    fn user(&mut self) -> String {
        let user = self.thing(&["u0", "u0", "u0", "u1", "u9", "root"]);
        let password = self
            .dice
            .pick(&["secret", "secret", "secret", "secret", "better", "better", "blank", "short", "long"]);
        match self.dice.below(16) {
            0 => format!(
                "create-user {} {password} {} {}",
                self.name(&["u0", "u1"]),
                self.dice.pick(&["1", "1", "2", "7"]),
                self.permissions()
            ),
            1 | 2 => format!("user {user}"),
            3 => "users".to_owned(),
            4 => format!(
                "update-user {} {} {}",
                user.replace("root", "u1"),
                self.name(&["=", "=", "u1"]),
                self.dice.pick(&["=", "1", "2", "9"])
            ),
            5..10 => format!("permit {user} {}", self.permissions()),
            10 => format!("delete-user {}", self.thing(&["u0", "u1", "u9", "root"])),
            11 => format!("password {} secret {password}", user.replace("root", "u0")),
            12 => "logout".to_owned(),
            13..15 => "login u0 secret".to_owned(),
            _ => format!(
                "login {} {password}{}",
                self.dice.pick(&["u0", "u1", "u9"]),
                self.dice.pick(&["", "", " old"])
            ),
        }
    }

    fn token(&mut self) -> String {
        let name =
            if self.dice.one_in(20) { self.name(&["k2"]) } else { self.dice.pick(&["k0", "k0", "k1"]) };
        match self.dice.below(8) {
            0..3 => format!(
                "create-token {name} {}",
                self.dice.pick(&["0", "3600000000", "18446744073709551615"])
            ),
            3 | 4 => "tokens".to_owned(),
            5 => format!("delete-token {name}"),
            6 => "login-token k0".to_owned(),
            _ => "login u0 secret".to_owned(),
        }
    }

    fn system(&mut self) -> String {
        match self.dice.below(15) {
            0 => "ping".to_owned(),
            1 | 2 => "stats".to_owned(),
            3 => "cluster".to_owned(),
            4 => format!("describe {}", self.dice.pick(&["0", "1", "2", "9"])),
            5 | 6 => "me".to_owned(),
            7 | 8 => format!("client {}", self.dice.pick(&["root", "twin", "guest", "nobody"])),
            9 | 10 => "clients".to_owned(),
            11 => format!("attach {}", self.dice.pick(&["root", "twin", "guest", "nobody"])),
            12 => {
                let verb = self.dice.pick(&["poll-primary", "route"]);
                self.poll().replacen("poll", verb, 1)
            }
            13 => format!("route-offset {}", self.reading()),
            _ => self.dice.pick(&["snapshot", "unheard-of"]).to_owned(),
        }
    }
}
