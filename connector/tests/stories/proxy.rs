//! A way between a client and a broker that can lose answers, change a byte of them, and break connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What befalls answers.
#[derive(Clone, Default)]
struct Damage {
    swallows: Arc<AtomicBool>,
    /// The first byte of this is changed in the next answer that contains it.
    corrupts: Arc<Mutex<Option<Vec<u8>>>>,
}

/// Forwards connections as long as it lives.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    damage: Damage,
    cuts: watch::Sender<u32>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let damage = Damage::default();
        let cuts = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, damage.clone(), cuts.clone()));
        Self { address, damage, cuts, _tasks: tasks }
    }

    /// From now on answers are lost, or not.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.damage.swallows.store(swallow, Ordering::SeqCst);
    }

    /// Changes the first byte of this text in the next answer that contains it.
    pub(crate) fn corrupt(&self, text: &str) {
        *self.damage.corrupts.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// Whether that has happened.
    pub(crate) fn has_corrupted(&self) -> bool {
        self.damage.corrupts.lock().unwrap().is_none()
    }

    /// Breaks all connections; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, damage: Damage, cuts: watch::Sender<u32>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (damage, mut cut) = (damage.clone(), cuts.subscribe());
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(to).await else { return };
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            let none = Damage::default();
            tokio::select! {
                () = forward(client_reads, server_writes, &none) => {}
                () = forward(server_reads, client_writes, &damage) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, damage: &Damage) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        damage.corrupt(&mut buffer[..count]);
        if !damage.swallows.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

impl Damage {
    fn corrupt(&self, bytes: &mut [u8]) {
        let mut wanted = self.corrupts.lock().unwrap();
        let Some(text) = wanted.as_ref() else { return };
        let found = bytes.windows(text.len()).position(|part| part == text);
        if let Some(at) = found {
            bytes[at] ^= 1;
            *wanted = None;
        }
    }
}
