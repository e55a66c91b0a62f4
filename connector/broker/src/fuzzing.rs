//! What the fuzz targets reach for inside of the broker. No part of the library's interface.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a fuzz target fails")]
#![expect(clippy::unwrap_used, reason = "a fuzz target that cannot run its broker fails")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use iggy_binary_protocol::requests::messages::{RawMessage, SendMessagesEncoder};
use iggy_binary_protocol::{
    COMMAND_TABLE, Command, Operation, RequestHeader, WireIdentifier, WirePartitioning,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

use crate::config::{BrokerConfig, Limits};
use crate::engine::Engine;
use crate::log::{LogSettings, PartitionLog, ReadFrom};
use crate::password::Cost;
use crate::peer::{Peer, Session};
use crate::store::ROOT_USER_ID;
use crate::wire::Request;
use crate::workers::Workers;

/// Bytes that a connection holds in each direction.
const PIPE_BYTES: usize = 64 * 1024;
/// Seals a segment after a few short batches.
const SETTINGS: LogSettings = LogSettings { segment_bytes_max: 700, preallocate_bytes: 4_000 };

/// A broker without sockets.
pub struct FuzzBroker {
    runtime: Runtime,
    engine: Arc<Engine>,
    strangers: Arc<Semaphore>,
}

impl FuzzBroker {
    /// Starts one in an empty directory, with room for a few things of each kind.
    pub fn start(dir: &Path) -> Self {
        let limits = Limits {
            streams_max: 8,
            topics_max: 16,
            partitions_max: 32,
            groups_max: 8,
            offsets_max: 64,
            users_max: 8,
            tokens_max: 4,
            ..Limits::default()
        };
        let config = BrokerConfig { data_dir: dir.to_owned(), limits, ..BrokerConfig::default() };
        let (engine, _root) = crate::server::open(&config, Cost::LEAST, &Workers::default()).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, engine: Arc::new(engine), strangers: Arc::new(Semaphore::new(1)) }
    }

    /// Serves a connection that sends these bytes and never logs in. It may change nothing.
    pub fn serve_stranger(&self, bytes: Vec<u8>) {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let (peer, engine) = (self.peer(), Arc::clone(&self.engine));
        let (_stop, stopped) = watch::channel(None);
        let served = self.runtime.spawn(crate::connection::serve(engine, far, peer, stopped));
        self.runtime.block_on(async move {
            let (mut replies, mut requests) = tokio::io::split(near);
            let mut discarded = Vec::new();
            // The connection may be broken off before everything is sent.
            let (_sent, _read) = tokio::join!(
                async move {
                    requests.write_all(&bytes).await?;
                    requests.shutdown().await
                },
                replies.read_to_end(&mut discarded)
            );
            served.await.unwrap();
        });
        assert_eq!(self.engine.catalog.streams().len(), 0, "a stranger made a stream");
        assert_eq!(self.engine.peers.list().len(), 0, "a connection is left over");
    }

    /// Carries out commands of the root user: each a place in the table of commands, a length of two bytes, and a body.
    pub fn serve_root(&self, commands: Vec<u8>) {
        let (mut peer, engine) = (self.peer(), Arc::clone(&self.engine));
        peer.bind(Session { number: engine.next_session(), user_id: ROOT_USER_ID });
        let served = self.runtime.spawn(async move {
            let mut rest = commands.as_slice();
            while let Some((&[place, low, high], body)) = rest.split_first_chunk::<3>() {
                let length = usize::from(u16::from_le_bytes([low, high])).min(body.len());
                let (body, behind) = body.split_at(length);
                rest = behind;
                let Some(command) = COMMAND_TABLE.get(usize::from(place) % COMMAND_TABLE.len()) else {
                    break;
                };
                let request = Request { header: header(command.code, command.operation), body };
                let _reply = crate::command::answer(&engine, &mut peer, &request).await;
            }
        });
        self.runtime.block_on(served).unwrap();
        for topic in self.engine.catalog.topics() {
            for partition in &topic.partitions {
                let extent = partition.extent();
                assert!(extent.first_offset <= extent.next_offset, "{extent:?}");
            }
        }
    }

    fn peer(&self) -> Peer {
        let place = Arc::clone(&self.strangers).try_acquire_owned().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Peer::new(&self.engine, address, address, place)
    }
}

fn header(code: u32, operation: Option<Operation>) -> RequestHeader {
    let mut header = RequestHeader { command: Command::Request, client: 1, ..RequestHeader::default() };
    header.operation = operation.unwrap_or(Operation::NonReplicated);
    if let Some(place) = header.reserved.first_chunk_mut::<4>() {
        *place = code.to_le_bytes();
    }
    header
}

/// The files of a log of some segments, to be spoilt.
pub struct FuzzLog {
    dir: PathBuf,
    files: Vec<(String, Vec<u8>)>,
}

impl FuzzLog {
    /// Writes a log of six messages to a directory of its own, and takes its files.
    pub fn new(dir: &Path) -> Self {
        let mut log = PartitionLog::create(dir, SETTINGS).unwrap();
        for now in 0..6 {
            log.append(0, &batch(), 1, now).unwrap();
        }
        drop(log);
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<_> = entries.map(|path| (named(&path), fs::read(&path).unwrap())).collect();
        files.sort();
        Self { dir: dir.to_owned(), files }
    }

    /// Spoils one of the files and opens the log: it refuses, or serves what verifies, takes a message, gives no offset
    /// away again, and has nothing left to cut at the next start. The input is the number of a file, a way to spoil
    /// it, and what that needs.
    pub fn recover(&self, input: &[u8]) {
        let Some((&[which, how], rest)) = input.split_first_chunk::<2>() else { return };
        let dir = self.dir.as_path();
        PartitionLog::remove(dir).unwrap();
        fs::create_dir(dir).unwrap();
        let which = usize::from(which) % self.files.len();
        for (at, (name, content)) in self.files.iter().enumerate() {
            let content = if at == which { spoilt(content, how, rest) } else { content.clone() };
            fs::write(dir.join(name), content).unwrap();
        }
        let Ok((mut log, _)) = PartitionLog::open(dir, SETTINGS, 0) else { return };
        let before = log.bounds().next_offset;
        for offset in 0..before.min(32) {
            if let Ok(slice) = log.read(ReadFrom::Offset(offset), 4, 4_096) {
                assert!(slice.last_offset.is_none_or(|last| last >= offset && last < before), "{slice:?}");
            }
        }
        let appended = log.append(0, &batch(), 1, 9).unwrap().base_offset;
        assert!(appended >= before);
        drop(log);
        let (log, recovery) = PartitionLog::open(dir, SETTINGS, 0).unwrap();
        assert_eq!((recovery.cut, log.bounds().next_offset), (None, appended + 1));
        assert_eq!(log.read(ReadFrom::Offset(appended), 1, 4_096).unwrap().last_offset, Some(appended));
    }
}

/// Bytes put in place of others, a length, or a content of its own.
fn spoilt(content: &[u8], how: u8, rest: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let place = |bytes: [u8; 2], length: usize| usize::from(u16::from_le_bytes(bytes)) % length.max(1);
    match (how % 4, rest.split_first_chunk::<2>()) {
        (0, _) => {
            for &[low, high, value] in rest.as_chunks::<3>().0 {
                let at = place([low, high], content.len());
                content.get_mut(at).into_iter().for_each(|byte| *byte ^= value);
            }
        }
        (1, Some((length, _))) => content.truncate(place(*length, content.len() + 1)),
        (2, _) => content.extend_from_slice(rest),
        _ => content = rest.to_vec(),
    }
    content
}

/// A batch of one message, as it comes over the wire.
fn batch() -> Vec<u8> {
    let message = RawMessage { id: 1, origin_timestamp: 5, headers: None, payload: b"payload" };
    let (name, to) = (WireIdentifier::numeric(0), WirePartitioning::PartitionId(0));
    let mut body = BytesMut::new();
    SendMessagesEncoder::encode(&mut body, &name, &name, &to, &[message]).unwrap();
    let length = u32::from_le_bytes(*body.first_chunk().unwrap());
    body.split_off(4 + length as usize).to_vec()
}
