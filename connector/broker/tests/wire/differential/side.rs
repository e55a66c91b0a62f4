//! One of the two servers: its connections, and what it answers to the steps of a session.

use std::collections::HashMap;
use std::time::Duration;

use iggy_binary_protocol::consensus::{RESULT_COUNT_LEN, RESULT_ENTRY_LEN};
use iggy_binary_protocol::responses::clients::ClientDetailsResponse;
use iggy_binary_protocol::responses::users::LoginRegisterResponse;
use iggy_binary_protocol::{Command, HEADER_SIZE, Operation};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::known::{Known, Purge};
use super::members::{InHand, MEMBERS};
use super::show::{counts, decode, show};
use super::words::{Asked, Step};
use crate::kit::{Answer, Raw, login_body};

/// Answers of a server that is not ready yet: not committed, not accepted.
const TRANSIENT: [u32; 2] = [57, 58];
const TRIES_MAX: usize = 20;
/// How long a server may take for an answer.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Where a server listens and who may do everything.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) address: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) purge: Purge,
}

/// A session with one server.
pub(crate) struct Side {
    access: Access,
    lines: HashMap<String, Line>,
    known: Known,
    pub(crate) in_hand: InHand,
}

/// A connection that keeps the books that the protocol asks of a client.
struct Line {
    raw: Raw,
    requests: u64,
}

impl Side {
    /// Connects as the root user and notes what the server holds. Names of the session begin with `tag`.
    pub(crate) async fn open(access: &Access, tag: &str) -> Self {
        let known = Known::new(tag, access.purge);
        let mut side = Self { access: access.clone(), lines: HashMap::new(), known, in_hand: InHand::new() };
        let stats = side.line("root").await.ask("root stats").await.expect("figures are told");
        side.known.baseline = counts(&decode(&stats));
        side
    }

    /// Takes a step; answers what came of it.
    pub(crate) async fn run(&mut self, text: &str) -> String {
        let step = Step::parse(text);
        if step.who == "all" {
            return self.all(&step).await;
        }
        if step.verb == "hang-up" {
            return self.hang_up(&step).await;
        }
        match self.ask(&step).await {
            Ok(body) => self.succeeded(&step, &body).await,
            Err(refusal) => refusal,
        }
    }

    /// The body of the answer, or what came instead.
    pub(crate) async fn ask(&mut self, step: &Step<'_>) -> Result<Vec<u8>, String> {
        let line = self.line(step.who).await;
        if step.verb.starts_with("login") {
            line.begin_anew().await;
        }
        for _ in 0..TRIES_MAX {
            let asked = step.request(&self.known);
            let line = self.lines.get_mut(step.who).unwrap();
            let Some(answer) = line.exchange(&asked).await else {
                self.forget(step.who);
                return Err("nothing".to_owned());
            };
            if answer.command() == Command::Eviction as u8 {
                line.raw.header.session = 0;
                return Err(format!("evicted {}", answer.reason()));
            }
            match outcome(&answer) {
                Err(code) if TRANSIENT.contains(&code) => tokio::time::sleep(PAUSE).await,
                Err(code) => return Err(format!("code {code}")),
                Ok(body) => return Ok(body.to_vec()),
            }
        }
        Err("not ready".to_owned())
    }

    /// Closes a connection.
    pub(crate) fn forget(&mut self, who: &str) {
        self.lines.remove(who);
        self.known.clients.remove(who);
    }

    async fn succeeded(&mut self, step: &Step<'_>, body: &[u8]) -> String {
        self.known.learn(step, body);
        let line = self.lines.get_mut(step.who).unwrap();
        match step.verb {
            "login" | "login-token" => {
                line.raw.header.session = decode::<LoginRegisterResponse>(body).session;
                self.introduce(step.who).await;
            }
            "logout" => line.raw.header.session = 0,
            _ => {}
        }
        show(step, body, &self.known)
    }

    /// Deletes what the session made.
    pub(crate) async fn close(mut self) {
        for step in self.known.left_over() {
            self.run(&step).await;
        }
    }

    async fn line(&mut self, who: &str) -> &mut Line {
        if !self.lines.contains_key(who) {
            let stream = TcpStream::connect(&self.access.address).await.unwrap();
            let mut line = Line { raw: Raw::over(stream), requests: 0 };
            line.raw.header.client = rand::random();
            if MEMBERS.contains(&who) {
                line.enter(&self.access).await;
            }
            self.lines.insert(who.to_owned(), line);
            if MEMBERS.contains(&who) {
                self.introduce(who).await;
            }
        }
        self.lines.get_mut(who).unwrap()
    }

    /// Learns how other connections see this one.
    async fn introduce(&mut self, who: &str) {
        let line = self.lines.get_mut(who).unwrap();
        self.known.sessions.insert(who.to_owned(), (line.raw.header.client, line.raw.header.session));
        let me = line.ask("root me").await;
        let me: Option<ClientDetailsResponse> = me.map(|me| decode(&me));
        self.known.clients.extend(me.map(|me| (who.to_owned(), me.client.client_id)));
    }
}

impl Line {
    async fn enter(&mut self, access: &Access) {
        let body = login_body(&access.username, &access.password);
        let asked = Asked { operation: Operation::Register, code: 40, body };
        let answer = self.exchange(&asked).await.expect("the server answers");
        let body = outcome(&answer).expect("the root user gets in");
        self.raw.header.session = decode::<LoginRegisterResponse>(body).session;
    }

    /// What a client does before a login: it logs out, and takes another id.
    async fn begin_anew(&mut self) {
        if self.raw.header.session != 0 {
            let asked = Asked { operation: Operation::Logout, code: 39, body: Vec::new() };
            self.exchange(&asked).await.expect("the server answers");
        }
        self.raw.header.session = 0;
        self.raw.header.client = rand::random();
        self.requests = 0;
    }

    /// The body of the answer to a question that needs nothing known; `None` if it is refused.
    async fn ask(&mut self, step: &str) -> Option<Vec<u8>> {
        let asked = Step::parse(step).request(&Known::new("", Purge::CountsOn));
        let answer = self.exchange(&asked).await?;
        outcome(&answer).ok().map(<[u8]>::to_vec)
    }

    /// One request and its answer; `None` when the server closes the connection, or says nothing.
    async fn exchange(&mut self, asked: &Asked) -> Option<Answer> {
        let mut header = self.raw.header;
        header.operation = asked.operation;
        header.size = u32::try_from(HEADER_SIZE + asked.body.len()).unwrap();
        header.request = self.requests + 1;
        match asked.operation {
            Operation::NonReplicated => header.reserved[..4].copy_from_slice(&asked.code.to_le_bytes()),
            Operation::Register => (header.session, header.request) = (0, 0),
            // Who is not logged in has no session, and a header without one would not be a header.
            _ => (header.session, self.requests) = (header.session.max(1), header.request),
        }
        if asked.operation != Operation::NonReplicated && !asked.operation.is_partition() {
            header.request_checksum = iggy_common::calculate_checksum(&asked.body).into();
        }
        let frame = [bytemuck::bytes_of(&header), &asked.body].concat();
        self.raw.stream.write_all(&frame).await.ok()?;
        // A server that does not answer is left.
        tokio::time::timeout(SILENCE_MAX, self.raw.answer()).await.ok().flatten()
    }
}

/// The body of a success, or the code of a refusal, wherever the server puts it.
fn outcome(answer: &Answer) -> Result<&[u8], u32> {
    if answer.status() != 0 {
        return Err(answer.status());
    }
    let operation: Operation = bytemuck::checked::cast(answer.header[208]);
    let body = answer.body.as_slice();
    if body.is_empty() || !(operation.is_result_framed() || operation == Operation::Register) {
        return Ok(body);
    }
    match u32::from_le_bytes(body[..RESULT_COUNT_LEN].try_into().unwrap()) {
        0 => Ok(&body[RESULT_COUNT_LEN..]),
        _ => Err(u32::from_le_bytes(body[8..RESULT_COUNT_LEN + RESULT_ENTRY_LEN].try_into().unwrap())),
    }
}
