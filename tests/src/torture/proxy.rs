//! A way between hosts and a broker that fails when it is told to, and writes down every commit that passes.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::{Fault, Trap};
use super::wire::{self, Frames, Request};

/// A request to store an offset, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
    /// When the request passed, in microseconds since 1970.
    pub asked_micros: u64,
    /// When the answer passed; zero when none did.
    pub answered_micros: u64,
    /// What the broker said; nothing when no answer passed.
    pub answer: Option<Answer>,
}

/// What a broker said to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is stored.
    Stored,
    /// It is refused.
    Refused,
}

/// Forwards connections to a broker for as long as it lives.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Traps that were set off.
    sprung: watch::Sender<u32>,
    /// Changes to end every connection.
    cut: watch::Sender<u32>,
}

#[derive(Debug)]
struct State {
    trap: Option<Trap>,
    refusing: Option<(Trap, u32)>,
    delay: Option<(Duration, Instant)>,
    dark_until: Option<Instant>,
    commits: Vec<Commit>,
}

/// What a connection does about a request.
enum Passage {
    Pass(Option<Fault>),
    Answer(Bytes),
    CutInside,
    CutAfter,
}

/// A request that is not answered yet.
struct Open {
    number: u64,
    fault: Option<Fault>,
    commit: Option<usize>,
}

impl Proxy {
    /// Starts one before a broker, on any free port.
    pub async fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("some port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State { trap: None, refusing: None, delay: None, dark_until: None, commits: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            sprung: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        });
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, broker, Arc::clone(&shared)));
        Self { address, shared, _acceptor: acceptor }
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets a trap in place of an earlier one; the receiver tells when it was set off.
    pub fn set(&self, trap: Trap) -> Sprung {
        let sprung = self.shared.sprung.subscribe();
        let before = *sprung.borrow();
        self.shared.state().trap = Some(trap);
        Sprung { sprung, before }
    }

    /// Takes away whatever still lurks.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        (state.trap, state.refusing, state.delay) = (None, None, None);
        if state.dark_until.take().is_some() {
            self.shared.cut.send_modify(|cut| *cut += 1);
        }
    }

    /// Counts what the broker takes, for somebody who does not own this proxy.
    pub fn tally(&self) -> Tally {
        Tally(Arc::clone(&self.shared))
    }

    /// Every request to store an offset so far, in the order in which they passed.
    pub fn commits(&self) -> Vec<Commit> {
        self.shared.state().commits.clone()
    }
}

/// Counts the commits that pass a proxy.
#[derive(Debug, Clone)]
pub struct Tally(Arc<Shared>);

impl Tally {
    /// Commits that the broker took so far.
    pub fn stored(&self) -> usize {
        self.0.state().commits.iter().filter(|commit| commit.answer == Some(Answer::Stored)).count()
    }
}

/// Tells when a trap was set off.
#[derive(Debug)]
pub struct Sprung {
    sprung: watch::Receiver<u32>,
    before: u32,
}

impl Sprung {
    /// Whether it was.
    pub fn is_so(&self) -> bool {
        *self.sprung.borrow() > self.before
    }

    /// Waits until it is. Cancelling loses nothing.
    pub async fn wait(&mut self) {
        let before = self.before;
        let sprung = self.sprung.wait_for(|sprung| *sprung > before).await;
        drop(sprung.expect("the proxy outlives its traps"));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spring(&self) {
        self.sprung.send_modify(|sprung| *sprung += 1);
    }
}

impl State {
    /// The fault that a request sets off, if it does.
    fn sets_off(&mut self, request: &Request) -> Option<Fault> {
        let trap = self.trap.as_mut().filter(|trap| trap.target.takes(request))?;
        trap.nth = trap.nth.saturating_sub(1);
        if trap.nth > 0 {
            return None;
        }
        let trap = self.trap.take()?;
        let fault = trap.fault.clone();
        match fault {
            Fault::Refuse { times, .. } => self.refusing = Some((trap, times)),
            Fault::Delay { by, lasts } => self.delay = Some((by, Instant::now() + lasts)),
            Fault::BlackHole(lasts) => self.dark_until = Some(Instant::now() + lasts),
            _ => {}
        }
        Some(fault)
    }

    fn refuses(&mut self, request: &Request) -> Option<u32> {
        let (trap, left) = self.refusing.as_mut()?;
        let Fault::Refuse { code, .. } = trap.fault else { return None };
        if !trap.target.takes(request) {
            return None;
        }
        *left -= 1;
        if *left == 0 {
            self.refusing = None;
        }
        Some(code)
    }

    fn slowness(&mut self) -> Option<Duration> {
        let (by, until) = self.delay?;
        if Instant::now() < until {
            return Some(by);
        }
        self.delay = None;
        None
    }

    fn note(&mut self, request: &Request) -> Option<usize> {
        let Request::Store { topic, partition, offset } = request else { return None };
        self.commits.push(Commit {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
            asked_micros: micros(),
            answered_micros: 0,
            answer: None,
        });
        Some(self.commits.len() - 1)
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let mut cut = shared.cut.subscribe();
            let Ok(server) = TcpStream::connect(broker).await else { return };
            // Small frames must not wait for each other; without it they only come later.
            drop((client.set_nodelay(true), server.set_nodelay(true)));
            tokio::select! {
                // However a connection ends, both of its sides see it closed.
                ended = Connection::new(client, server, &shared).run() => drop(ended),
                _ = cut.changed() => {}
            }
        });
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    client: (Frames<OwnedReadHalf>, OwnedWriteHalf),
    server: (Frames<OwnedReadHalf>, OwnedWriteHalf),
    open: VecDeque<Open>,
}

impl<'a> Connection<'a> {
    fn new(client: TcpStream, server: TcpStream, shared: &'a Shared) -> Self {
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        Self {
            shared,
            client: (Frames::new(from_client), to_client),
            server: (Frames::new(from_server), to_server),
            open: VecDeque::new(),
        }
    }

    /// Carries frames until an end closes or a fault ends it.
    async fn run(mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                frame = self.client.0.next() => match frame? {
                    Some(frame) => self.request(frame).await?,
                    None => return Ok(()),
                },
                frame = self.server.0.next() => match frame? {
                    Some(frame) => self.answer(frame).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn request(&mut self, frame: Bytes) -> io::Result<()> {
        self.hindrance().await?;
        let request = wire::request(&frame);
        let (passage, commit) = self.judge(&request, &frame);
        let to_server = &mut self.server.1;
        match passage {
            Passage::Answer(refusal) => self.client.1.write_all(&refusal).await,
            Passage::CutInside => {
                to_server.write_all(&frame[..frame.len() / 2]).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Passage::CutAfter => {
                to_server.write_all(&frame).await?;
                to_server.flush().await?;
                // The broker has it all; that it also acts on it is its own affair.
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Passage::Pass(fault) => {
                self.open.push_back(Open { number: wire::request_number(&frame), fault, commit });
                to_server.write_all(&frame).await
            }
        }
    }

    fn judge(&mut self, request: &Request, frame: &Bytes) -> (Passage, Option<usize>) {
        let mut state = self.shared.state();
        let fault = state.sets_off(request);
        if fault.as_ref().is_some_and(|fault| !matches!(fault, Fault::HoldAnswer)) {
            self.shared.spring();
        }
        if let Some(code) = state.refuses(request) {
            return (Passage::Answer(wire::refusal(frame, code)), None);
        }
        // Half a request is none.
        let commit = if fault == Some(Fault::CutRequest) { None } else { state.note(request) };
        let passage = match fault {
            Some(Fault::CutRequest) => Passage::CutInside,
            Some(Fault::CutAnswered) => Passage::CutAfter,
            fault => Passage::Pass(fault),
        };
        (passage, commit)
    }

    async fn answer(&mut self, frame: Bytes) -> io::Result<()> {
        self.hindrance().await?;
        let number = wire::answered_number(&frame);
        let at = self.open.iter().position(|open| Some(open.number) == number);
        let open = at.and_then(|at| self.open.remove(at));
        if let Some(commit) = open.as_ref().and_then(|open| open.commit) {
            let answer = if wire::is_success(&frame) { Answer::Stored } else { Answer::Refused };
            if let Some(commit) = self.shared.state().commits.get_mut(commit) {
                (commit.answer, commit.answered_micros) = (Some(answer), micros());
            }
        }
        let to_client = &mut self.client.1;
        match open.and_then(|open| open.fault) {
            Some(Fault::CutAnswer) => {
                to_client.write_all(&frame[..frame.len() / 2]).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::DropAnswer) => Ok(()),
            Some(Fault::HoldAnswer) => {
                self.shared.spring();
                std::future::pending().await
            }
            Some(Fault::CorruptAnswer(place)) => {
                to_client.write_all(&wire::corrupted(&frame, index(place, frame.len()), 0x10)).await
            }
            Some(Fault::Trickle) => trickle(to_client, &frame).await,
            _ => to_client.write_all(&frame).await,
        }
    }

    /// Waits as long as frames are slow now; a black hole swallows the connection.
    async fn hindrance(&self) -> io::Result<()> {
        let (slowness, dark_until) = {
            let mut state = self.shared.state();
            (state.slowness(), state.dark_until)
        };
        if let Some(until) = dark_until {
            tokio::time::sleep_until(until).await;
            self.shared.state().dark_until = None;
            self.shared.cut.send_modify(|cut| *cut += 1);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if let Some(by) = slowness {
            tokio::time::sleep(by).await;
        }
        Ok(())
    }
}

async fn trickle(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    for byte in frame {
        to.write_all(&[*byte]).await?;
        to.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a length lies within it"
)]
fn index(share: f64, length: usize) -> usize {
    ((length as f64 * share) as usize).min(length - 1)
}

/// The time, in microseconds since 1970.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
