//! A way between a client and a broker that can lose answers and break connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards connections as long as it lives.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    swallows_answers: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows_answers = Arc::new(AtomicBool::new(false));
        let cuts = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, swallows_answers.clone(), cuts.clone()));
        Self { address, swallows_answers, cuts, _tasks: tasks }
    }

    /// From now on answers are lost, or not.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.swallows_answers.store(swallow, Ordering::SeqCst);
    }

    /// Breaks all connections; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, swallows: Arc<AtomicBool>, cuts: watch::Sender<u32>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (swallows, mut cut) = (swallows.clone(), cuts.subscribe());
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(to).await else { return };
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            let keeps_requests = AtomicBool::new(false);
            tokio::select! {
                () = forward(client_reads, server_writes, &keeps_requests) => {}
                () = forward(server_reads, client_writes, &swallows) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallows: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
