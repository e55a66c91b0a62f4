//! The broker as its embedding program sees it: start, stop, and the sockets in between. It runs on threads of
//! its own, so that file I/O here never holds up the program's tasks.

mod acceptor;
mod tls;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::catalog::{Catalog, Layout, Quotas};
use crate::config::BrokerConfig;
use crate::credentials::{CredentialsError, PASSWORD_FILE, ResolveError, RootCredentials, enroll, resolve};
use crate::data_dir::{DataDir, DataDirError, PasswordPlace};
use crate::engine::{Engine, Kept};
use crate::http::Http;
use crate::listener::serve;
use crate::password::{Cost, Gate};
use crate::root::Root;
use crate::server::acceptor::{Acceptor, Encryption};
use crate::store::Store;
use crate::troubles::Troubles;
use crate::user::Users;
use crate::workers::Workers;

pub use tls::TlsError;

/// Enough to serve one connection while another waits for the disk.
const THREADS: usize = 2;
/// The longest that a shutdown waits, whatever it was asked.
const SHUTDOWN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Tells connections to end: `None` while the broker runs, then the time at which they are cut off.
pub(crate) type Stop = Option<Instant>;

/// A running broker. Dropping it stops it without waiting: connections break, and what was acknowledged is kept.
pub struct Broker {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    root: RootCredentials,
    engine: Arc<Engine>,
    workers: Workers,
    stop: watch::Sender<Stop>,
    tasks: Tasks,
    threads: Threads,
}

/// The broker could not start. Nothing was changed that a later start would miss.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop what listens there or choose another address")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// The address can be reached from other machines, and the broker is not made for that.
    #[error(
        "{address} can be reached from other machines, which needs {missing}; configure that, or listen on 127.0.0.1"
    )]
    Exposed {
        /// The configured address.
        address: SocketAddr,
        /// What would make it safe.
        missing: &'static str,
    },
    /// What is told over HTTP could be read from other machines.
    #[error("{address} can be reached from other machines, and http is for this one alone; choose 127.0.0.1")]
    ExposedHttp {
        /// The configured address.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The root user cannot be set up.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What an earlier run stored cannot be opened.
    #[error("cannot open the stored data")]
    Data(#[source] Box<dyn Error + Send + Sync>),
    /// The system gives no threads.
    #[error("cannot start the broker's threads: {0}")]
    Threads(#[source] io::Error),
    /// The start panicked, which is a bug.
    #[error("start of the broker failed: {0}")]
    Panicked(#[source] JoinError),
}

/// The broker stopped, but not as it should.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// Requests were still running at the deadline and were cut off. The data is on the disk.
    #[error("{connections} connections were still busy at the deadline and were cut off")]
    Busy {
        /// How many.
        connections: usize,
    },
    /// The data is with the operating system, but not certainly on the disk.
    #[error("cannot bring the data to the disk")]
    Sync(#[source] Box<dyn Error + Send + Sync>),
    /// A task of the broker panicked, which is a bug.
    #[error("a task of the broker failed: {0}")]
    Panicked(#[source] JoinError),
}

impl Broker {
    /// Starts a broker: takes the data directory, recovers the logs, and listens. Clients can connect once it
    /// returns. Waits for the disk, and up to two seconds for a data directory that is being let go. Cancelling
    /// stops the broker again.
    ///
    /// # Errors
    ///
    /// When the data directory is in use or damaged, the address is taken, or the root user cannot be set up;
    /// the error says what to do.
    pub async fn start(config: BrokerConfig) -> Result<Broker, StartError> {
        let threads = Threads::start().map_err(StartError::Threads)?;
        let (stop, stopped) = watch::channel(None);
        let started = threads.handle().spawn(launch(config, stopped));
        let launched = started.await.map_err(StartError::Panicked)??;
        tracing::info!(address = %launched.address, "broker listens");
        let Launched { address, http_address, root, engine, workers, tasks } = launched;
        Ok(Broker { address, http_address, root, engine, workers, stop, tasks, threads })
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the broker answers over HTTP, if it was asked to.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The broker's threads and tasks that others rely on. They are watched as long as they work.
    #[doc(hidden)]
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// A view of what the broker cannot do at the moment.
    pub fn troubles(&self) -> Troubles {
        Troubles::of(Arc::downgrade(&self.engine))
    }

    /// How the embedding program logs in, as of the start. [`Broker::root_password_file`] says what holds later.
    pub fn root_credentials(&self) -> &RootCredentials {
        &self.root
    }

    /// The file that says what the password of the root user is. `None` when that is fixed.
    pub fn root_password_file(&self) -> Option<&Path> {
        self.engine.root.file()
    }

    /// Stops the broker: no new connections and requests, an answer for every request that has begun to arrive,
    /// everything on the disk. Returns when that is done. Connections that are still busy after `deadline` are
    /// cut off. Cancelling is like dropping the broker.
    ///
    /// # Errors
    ///
    /// When connections had to be cut off, or the data could not be brought to the disk.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), ShutdownError> {
        let Self { engine, stop, tasks, threads, .. } = self;
        stop.send_replace(Some(Instant::now() + deadline.min(SHUTDOWN_MAX)));
        let connections = tasks.acceptor.await.map_err(ShutdownError::Panicked)?;
        if let Some(http) = tasks.http {
            http.await.map_err(ShutdownError::Panicked)?;
        }
        let closed = threads.handle().spawn(async move { engine.close().await });
        let closed = closed.await.map_err(ShutdownError::Panicked)?;
        closed.map_err(|error| ShutdownError::Sync(error.into()))?;
        match connections {
            0 => Ok(()),
            connections => Err(ShutdownError::Busy { connections }),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The threads of the broker. Dropping them ends every task at its next wait, without blocking the caller.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(THREADS).thread_name("guesthouse-broker").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        self.0.as_ref().expect("the runtime is there until it is dropped").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What runs until the broker stops.
struct Tasks {
    acceptor: JoinHandle<usize>,
    http: Option<JoinHandle<()>>,
}

struct Launched {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    root: RootCredentials,
    engine: Arc<Engine>,
    workers: Workers,
    tasks: Tasks,
}

/// The part of the start that runs on the broker's own threads.
async fn launch(config: BrokerConfig, stop: watch::Receiver<Stop>) -> Result<Launched, StartError> {
    require_guarded(&config)?;
    let workers = Workers::default();
    let encryption = tokio::task::block_in_place(|| encryption(&config))?;
    let (engine, root) = tokio::task::block_in_place(|| open(&config, Cost::USUAL, &workers))?;
    let (listener, address) = listen(config.address).await?;
    let http = match config.http {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let password = match config.root_password {
        Some(_) => PasswordPlace::Configuration,
        None => PasswordPlace::File,
    };
    engine.data_dir.announce(address, &root.username, password)?;
    let engine = Arc::new(engine);
    let http_address = http.as_ref().map(|(_, address)| *address);
    let http = http.map(|(listener, _)| {
        let (page, stop) = (Http::new(Arc::clone(&engine)), stopped(stop.clone()));
        let served = async move { serve(&listener, page, stop).await };
        tokio::spawn(workers.run("the broker's page", served))
    });
    let acceptor = Acceptor::new(listener, encryption, Arc::clone(&engine), stop).run();
    let acceptor = tokio::spawn(workers.run("the broker's acceptor of connections", acceptor));
    Ok(Launched { address, http_address, root, engine, workers, tasks: Tasks { acceptor, http } })
}

async fn stopped(mut stop: watch::Receiver<Stop>) {
    // Nobody left to tell is as good as being told.
    let _told = stop.wait_for(Option::is_some).await;
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Refuses to listen where strangers can come from unless they meet encryption and a password of the operator's.
fn require_guarded(config: &BrokerConfig) -> Result<(), StartError> {
    if let Some(address) = config.http.filter(|address| !address.ip().to_canonical().is_loopback()) {
        return Err(StartError::ExposedHttp { address });
    }
    let exposed = |missing| Err(StartError::Exposed { address: config.address, missing });
    if config.address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    match &config.root_password {
        _ if config.tls.is_none() => exposed("a TLS certificate"),
        None => exposed("a configured root password"),
        Some(password) if password.expose_secret() == config.root_username => {
            exposed("a root password that is not the user name")
        }
        Some(_) => Ok(()),
    }
}

fn encryption(config: &BrokerConfig) -> Result<Encryption, TlsError> {
    config.tls.as_ref().map_or(Ok(Encryption::None), |files| Ok(Encryption::Tls(tls::acceptor(files)?)))
}

/// Opens everything that an earlier run may have left. Blocks.
pub(crate) fn open(
    config: &BrokerConfig,
    cost: Cost,
    workers: &Workers,
) -> Result<(Engine, RootCredentials), StartError> {
    let data_dir = DataDir::take(&config.data_dir)?;
    let store = Arc::new(Store::open(&config.data_dir).map_err(data)?);
    let root = resolve(&config.root_username, config.root_password.as_ref(), &config.data_dir, &store)?;
    enroll(&root, &store, cost)?;
    let gate = Gate::new(cost, workers).map_err(CredentialsError::from)?;
    let users = Users::open(Arc::clone(&store)).map_err(data)?;
    let layout = Layout {
        data_dir: config.data_dir.clone(),
        segment_bytes_default: config.segment_bytes_max,
        quotas: Quotas::of(&config.limits),
    };
    let catalog = Catalog::open(Arc::clone(&store), layout).map_err(data)?;
    store.mark_running().map_err(data)?;
    let file = match config.root_password {
        Some(_) => config.root_password_file.clone(),
        None => Some(config.data_dir.join(PASSWORD_FILE)),
    };
    let kept = Kept { data_dir, store, catalog, users, root: Root::new(&root, file) };
    Ok((Engine::new(kept, gate, config), root))
}

fn data(error: impl Error + Send + Sync + 'static) -> StartError {
    StartError::Data(Box::new(error))
}

impl From<ResolveError> for StartError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Credentials(error) => Self::Credentials(error),
            ResolveError::Store(error) => data(error),
        }
    }
}
