//! What an embedding program decides about the broker: where its data lives, where it listens, who may log in,
//! and how much a peer may use.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// The port that Iggy's clients dial when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 8090;

/// Stands for all topics where topics are named.
pub const EVERY_TOPIC: &str = "*";

/// The configuration of one broker. Its `Debug` form shows no secret.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Directory of everything the broker keeps. Created, readable by its owner only, when missing.
    pub data_dir: PathBuf,
    /// Where to listen. Port 0 takes any free one; [`Broker::address`](crate::Broker::address) says which. Beyond
    /// the loopback interface, connections must be encrypted and the password of the root user configured.
    pub address: SocketAddr,
    /// Where to answer over HTTP what the broker holds and how it fares: health, metrics, streams, topics, groups.
    /// Nothing listens without it. It asks nobody who he is, so it must be on the loopback interface. Port 0 takes
    /// any free one; [`Broker::http_address`](crate::Broker::http_address) says which.
    pub http: Option<SocketAddr>,
    /// Name of the root user, who may do everything and creates the others.
    pub root_username: String,
    /// Password of that user, 3 to 100 bytes. Without one, the password in `<data_dir>/root.password` counts,
    /// which is made at the first start.
    pub root_password: Option<SecretString>,
    /// A file that says what `root_password` is from now on. It is read again at each login of the root user, so that the
    /// password can be changed without a restart; what it cannot say stays, which the log tells. `<data_dir>/root.password`
    /// is read so, too, where that counts.
    pub root_password_file: Option<PathBuf>,
    /// Encrypts the connections with this certificate. Without one they are plain.
    pub tls: Option<TlsFiles>,
    /// A segment file is sealed before it would grow beyond this many bytes. A topic can ask for less.
    pub segment_bytes_max: u64,
    /// Names of topics, in any stream, in which messages are stored again when another connection sends them again under
    /// the same ids; [`EVERY_TOPIC`] stands for all. In the other topics such a batch is taken for a retry after a lost
    /// answer. It is a matter of the broker because the protocol knows no topic option for it, and clients refuse those
    /// that they do not know.
    pub repeats_stored_in: Vec<String>,
    /// What one peer, and all of them together, may use.
    pub limits: Limits,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            http: None,
            root_username: "iggy".to_owned(),
            root_password: None,
            root_password_file: None,
            tls: None,
            segment_bytes_max: 256 * 1024 * 1024,
            repeats_stored_in: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// The certificate of the broker, in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// Bounds on what peers may use. Reaching one closes the connection that reached it, unless it says otherwise.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections. Further ones are closed at once.
    pub connections_max: usize,
    /// Open connections from one address. Further ones are closed at once.
    pub connections_per_address_max: usize,
    /// Open connections that have not logged in. Further ones are closed at once.
    pub strangers_max: usize,
    /// How long a connection may stay open without logging in.
    pub login_time_max: Duration,
    /// How long a member of a consumer group may be silent before its partitions go to the others.
    pub member_silence_max: Duration,
    /// How long a member of a consumer group may take to commit what it has read of a partition that another one
    /// waits for.
    pub hand_over_time_max: Duration,
    /// How long the header of a frame may take, once its first byte has arrived; and the handshake of an encrypted
    /// connection.
    pub header_time_max: Duration,
    /// How long the body of a frame may take, once its header has arrived.
    pub frame_time_max: Duration,
    /// How long a peer may take to accept a reply.
    pub write_time_max: Duration,
    /// Bytes of messages in one poll reply. One message is served even when it is larger.
    pub poll_bytes_max: u32,
    /// Streams. The command that would create one more is refused; this holds for the following ones too.
    pub streams_max: usize,
    /// Topics of all streams.
    pub topics_max: usize,
    /// Partitions of all topics. Each keeps a file open.
    pub partitions_max: usize,
    /// Consumer groups of one topic.
    pub groups_max: usize,
    /// Stored offsets, of all consumers and groups.
    pub offsets_max: usize,
    /// Users, the root user included.
    pub users_max: usize,
    /// Access tokens of one user.
    pub tokens_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 512,
            strangers_max: 64,
            login_time_max: Duration::from_secs(60),
            // Iggy's server waits for 1.2 heartbeat intervals of 30 s.
            member_silence_max: Duration::from_secs(36),
            // As on Iggy's server.
            hand_over_time_max: Duration::from_secs(30),
            header_time_max: Duration::from_secs(10),
            frame_time_max: Duration::from_secs(30),
            write_time_max: Duration::from_secs(30),
            poll_bytes_max: 8 * 1024 * 1024,
            streams_max: 1_000,
            topics_max: 10_000,
            partitions_max: 10_000,
            groups_max: 1_000,
            offsets_max: 1_000_000,
            users_max: 1_000,
            tokens_max: 100,
        }
    }
}
