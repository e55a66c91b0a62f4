//! One message of a parked topic: an event that waits, a command, or a note that events need not wait any more.

use guesthouse_connector::{
    Headers, Offset, OutgoingMessage, PartitionId, Partitioning, RawHeaders, ReceivedMessage,
};

use crate::dead_letter::{LetterHeaders, PARKED_BEHIND};
use crate::identity::LaneName;

/// Names of headers.
pub(crate) mod names {
    pub(crate) const KIND: &str = "gh-parked";
    pub(crate) const LANE: &str = "gh-lane-id";
    pub(crate) const PARKED_AT: &str = "gh-parked-at";
    pub(crate) const NOT_BEFORE: &str = "gh-not-before";
    pub(crate) const ATTEMPTS: &str = "gh-attempts";
    pub(crate) const DEATHS: &str = "gh-deaths";
    pub(crate) const FIRST_FAILED_AT: &str = "gh-first-failed-at";
    pub(crate) const AGAIN: &str = "gh-parked-again";
    pub(crate) const OWNER: &str = "gh-owner";
    pub(super) const GROUP: &str = "gh-group";
    pub(super) const OFFSET: &str = "gh-offset";
    pub(super) const HEAD: &str = "gh-head";
    pub(super) const FIRST: &str = "gh-first";
    pub(super) const UP_TO: &str = "gh-up-to";
    pub(super) const NEEDED_FROM: &str = "gh-needed-from";
}

/// Who writes: one assignment of a source partition to one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner(pub(crate) u64);

impl Owner {
    /// The message by which it claims a parked partition, under an id that nothing else has. What earlier owners write
    /// behind it does not count: none of them can commit what it believes parked.
    pub(crate) fn claim(self, group: &str, partition: PartitionId, id: u128) -> OutgoingMessage {
        let mut headers = LetterHeaders::default();
        headers.text(names::GROUP, group);
        headers.text(names::KIND, CLAIM);
        headers.number(names::OWNER, self.0);
        let partition = Partitioning::Partition(partition);
        OutgoingMessage { id, partition, payload: CLAIM.into(), headers: headers.alone() }
    }
}

/// The word of a claim.
const CLAIM: &str = "claim";

/// Why an event is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is dead, and its lane stops at it.
    Dead,
    /// Its lane has stopped before it.
    Behind,
    /// It is dead, and its lane is blocked at it. Neither is parked: this says only what a command may release.
    Blocked,
    /// It failed, and its next attempt is far away.
    Waiting {
        /// When the next attempt is due, in microseconds since 1970.
        until_micros: u64,
        /// Attempts that failed.
        attempts: u32,
        /// When the first of them failed, in microseconds since 1970.
        first_failed_micros: u64,
    },
}

impl Kind {
    /// The word that stands in the record.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Behind => "behind",
            Self::Blocked => "blocked",
            Self::Waiting { .. } => "waiting",
        }
    }
}

/// A parked event, without the event itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParkedEvent {
    pub(crate) owner: Owner,
    pub(crate) kind: Kind,
    /// Whether it was parked before and released, so that this counts only if it was not dropped meanwhile.
    pub(crate) is_again: bool,
    /// Its offset in the source partition.
    pub(crate) source: Offset,
    pub(crate) handler: String,
    pub(crate) tenant: String,
    /// Deaths of the host that are not held against it once it is released.
    pub(crate) deaths_forgiven: u32,
    /// What orders the lane, and its key.
    pub(crate) order: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    /// The dead letter that the lane waits behind; for a dead event, its own.
    pub(crate) behind: Option<String>,
    /// When it was parked, in microseconds since 1970.
    pub(crate) parked_micros: u64,
}

/// What is done with the event that a command finds at the head of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// It is tried again.
    Retry,
    /// It stays dead.
    Skip,
}

/// How much of a lane is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Its first event. A lane that is not released stays parked.
    First,
    /// All that was parked before the command.
    All,
}

/// What an operator wants done with a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Release(Head),
    Drop(Dropped),
}

/// A command about a lane. It counts only while the lane still has the head that its author saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    /// The head, by its offset in the source partition.
    pub(crate) head: Offset,
    pub(crate) action: Action,
}

/// A record that carries no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Command(Command),
    /// Everything of the lane up to this offset of the source partition is settled.
    Done {
        owner: Owner,
        up_to: Offset,
        /// Nothing before this offset of the parked partition is needed any more.
        needed_from: Offset,
    },
}

/// One message of a parked topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its own offset.
    pub(crate) at: Offset,
    /// Its message id, which no other has, unless it was sent twice.
    pub(crate) id: u128,
    pub(crate) content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// From here on this is the owner.
    Claim(Owner),
    Event(LaneName, ParkedEvent),
    Control(LaneName, Control),
}

impl Record {
    /// Reads a message; none when it is another group's, or nothing that belongs here.
    pub(crate) fn read(message: &ReceivedMessage, group: &str) -> Option<Self> {
        let content = Content::read(message, group)?;
        Some(Self { at: message.offset, id: message.id, content })
    }
}

impl Content {
    fn read(message: &ReceivedMessage, group: &str) -> Option<Self> {
        let found = Found(&message.headers);
        if found.text(names::GROUP)? != group {
            return None;
        }
        let kind = found.text(names::KIND)?;
        if kind == CLAIM {
            return Some(Self::Claim(found.owner()?));
        }
        let lane = found.text(names::LANE)?.parse().ok()?;
        let kind = match kind.as_str() {
            "dead" => Kind::Dead,
            "behind" => Kind::Behind,
            "blocked" => Kind::Blocked,
            "waiting" => Kind::Waiting {
                until_micros: found.number(names::NOT_BEFORE)?,
                attempts: u32::try_from(found.number(names::ATTEMPTS)?).ok()?,
                first_failed_micros: found.number(names::FIRST_FAILED_AT)?,
            },
            control => return Some(Self::Control(lane, found.control(control)?)),
        };
        Some(Self::Event(lane, found.event(kind)?))
    }
}

impl Control {
    /// The message of this record, under an id that nothing else has.
    pub(crate) fn message(
        self,
        group: &str,
        lane: LaneName,
        partition: PartitionId,
        id: u128,
    ) -> OutgoingMessage {
        let headers = self.headers(group, lane);
        // Nobody reads it, but no message may be empty.
        let payload = headers.get(names::KIND).map(|kind| kind.to_string()).unwrap_or_default();
        OutgoingMessage {
            id,
            partition: Partitioning::Partition(partition),
            payload: payload.into(),
            headers,
        }
    }

    fn headers(self, group: &str, lane: LaneName) -> Headers {
        let mut headers = LetterHeaders::default();
        headers.text(names::GROUP, group);
        headers.text(names::LANE, &lane.to_string());
        match self {
            Self::Done { owner, up_to, needed_from } => {
                headers.text(names::KIND, "done");
                headers.number(names::OWNER, owner.0);
                headers.number(names::UP_TO, up_to.0);
                headers.number(names::NEEDED_FROM, needed_from.0);
            }
            Self::Command(Command { head, action }) => {
                let (kind, first) = match action {
                    Action::Release(Head::Retry) => ("release", "retry"),
                    Action::Release(Head::Skip) => ("release", "skip"),
                    Action::Drop(Dropped::First) => ("drop", "only"),
                    Action::Drop(Dropped::All) => ("drop", "and-all"),
                };
                headers.text(names::KIND, kind);
                headers.text(names::FIRST, first);
                headers.number(names::HEAD, head.0);
            }
        }
        headers.alone()
    }
}

struct Found<'a>(&'a RawHeaders);

impl Found<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.to_string())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn owner(&self) -> Option<Owner> {
        self.number(names::OWNER).map(Owner)
    }

    fn control(&self, kind: &str) -> Option<Control> {
        if kind == "done" {
            let (up_to, needed_from) = (self.number(names::UP_TO)?, self.number(names::NEEDED_FROM)?);
            let (up_to, needed_from) = (Offset(up_to), Offset(needed_from));
            return Some(Control::Done { owner: self.owner()?, up_to, needed_from });
        }
        let action = match (kind, self.text(names::FIRST)?.as_str()) {
            ("release", "retry") => Action::Release(Head::Retry),
            ("release", "skip") => Action::Release(Head::Skip),
            ("drop", "only") => Action::Drop(Dropped::First),
            ("drop", "and-all") => Action::Drop(Dropped::All),
            _ => return None,
        };
        Some(Control::Command(Command { head: Offset(self.number(names::HEAD)?), action }))
    }

    fn event(&self, kind: Kind) -> Option<ParkedEvent> {
        Some(ParkedEvent {
            owner: self.owner()?,
            kind,
            is_again: self.number(names::AGAIN).is_some(),
            source: Offset(self.number(names::OFFSET)?),
            handler: self.text("gh-handler")?,
            tenant: self.text("gh-tenant")?,
            deaths_forgiven: self.number(names::DEATHS).and_then(|n| n.try_into().ok()).unwrap_or_default(),
            order: self.text("gh-lane").unwrap_or_default(),
            event_id: self.text("gh-event-id").unwrap_or_default(),
            event_type: self.text("gh-event-type").unwrap_or_default(),
            behind: self.text(PARKED_BEHIND),
            parked_micros: self.number(names::PARKED_AT).unwrap_or_default(),
        })
    }
}
