//! Steps of all members of a group together: `all share`, `all read` and `all commit` of `s0/t3/g3`. Which member has
//! which partition is a server's choice. What is compared is how many each has, that every partition has one member,
//! and what the members read and commit between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use iggy_binary_protocol::responses::consumer_groups::{
    ConsumerGroupDetailsResponse, SyncConsumerGroupResponse,
};
use iggy_binary_protocol::responses::messages::PollMessagesResponse;

use super::show::decode;
use super::side::Side;
use super::words::Step;

/// How long a server may take to notice that a member has hung up.
const NOTICE_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);

/// Connections that may be members.
pub(crate) const MEMBERS: [&str; 3] = ["root", "twin", "third"];

/// The last offset that a member read of a partition and has not committed.
pub(crate) type InHand = BTreeMap<(u32, &'static str), u64>;

impl Side {
    /// Takes a step of all members.
    pub(crate) async fn all(&mut self, step: &Step<'_>) -> String {
        let (topic, group) = step.rest[0].rsplit_once('/').unwrap();
        match step.verb {
            "share" => self.share(step.rest[0]).await,
            "read" => self.read(topic, group).await,
            verb => {
                assert_eq!(verb, "commit", "nothing that all do");
                self.commit(topic, group).await
            }
        }
    }

    /// Closes a connection, and waits until the server has taken it out of the group.
    pub(crate) async fn hang_up(&mut self, step: &Step<'_>) -> String {
        let group = step.rest[0];
        let left = self.members_count(group).await;
        let left = left - usize::from(self.assignment(step.who, group).await.is_some());
        self.forget(step.who);
        let deadline = Instant::now() + NOTICE_MAX;
        while self.members_count(group).await > left && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
        }
        format!("ok {left} left")
    }

    async fn members_count(&mut self, group: &str) -> usize {
        let body = self.ask(&Step::parse(&format!("root group {group}"))).await.unwrap();
        decode::<ConsumerGroupDetailsResponse>(&body).members.len()
    }

    async fn share(&mut self, group: &str) -> String {
        let mut members = Vec::new();
        for who in MEMBERS {
            members.extend(self.assignment(who, group).await);
        }
        format!("ok {}", shares(&members))
    }

    async fn read(&mut self, topic: &str, group: &str) -> String {
        let mut read = BTreeMap::new();
        for who in MEMBERS {
            for partition in self.assignment(who, &format!("{topic}/{group}")).await.unwrap_or_default() {
                let step = format!("{who} poll g:{group} {topic} {partition} next 1000");
                let text = match self.ask(&Step::parse(&step)).await {
                    Ok(body) => self.take(who, &body),
                    Err(refusal) => refusal,
                };
                read.insert((partition, who), text);
            }
        }
        in_order(read)
    }

    /// What a member got, which it has in hand from now on.
    fn take(&mut self, who: &'static str, body: &[u8]) -> String {
        let reply = PollMessagesResponse::decode(body).unwrap();
        let mut texts = Vec::new();
        for message in reply.messages.map(Result::unwrap) {
            self.in_hand.insert((reply.header.partition_id, who), message.offset);
            texts.push(format!("{}:{}", message.offset, String::from_utf8_lossy(message.payload)));
        }
        texts.join(" ")
    }

    async fn commit(&mut self, topic: &str, group: &str) -> String {
        let mut stored = BTreeMap::new();
        for ((partition, who), offset) in std::mem::take(&mut self.in_hand) {
            let step = format!("{who} store g:{group} {topic} {partition} {offset}");
            let text =
                self.ask(&Step::parse(&step)).await.map_or_else(|refusal| refusal, |_| "ok".to_owned());
            stored.insert((partition, who), text);
        }
        in_order(stored)
    }

    /// The partitions of a member; `None` for one who is none.
    async fn assignment(&mut self, who: &str, group: &str) -> Option<Vec<u32>> {
        let body = self.ask(&Step::parse(&format!("{who} sync {group}"))).await.unwrap();
        (!body.is_empty()).then(|| decode::<SyncConsumerGroupResponse>(&body).partitions)
    }
}

/// How many partitions each member has, in order of size, and whether one has two members.
pub(crate) fn shares(members: &[Vec<u32>]) -> String {
    let mut counts: Vec<usize> = members.iter().map(Vec::len).collect();
    counts.sort_unstable();
    let partitions: BTreeSet<u32> = members.iter().flatten().copied().collect();
    format!("{counts:?} of {} partitions", partitions.len())
}

/// What came of each partition, whoever had it.
fn in_order(partitions: BTreeMap<(u32, &'static str), String>) -> String {
    let texts = partitions.into_iter().map(|((partition, _), text)| format!("p{partition}({text})"));
    format!("ok {}", texts.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
}
