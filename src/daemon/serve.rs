//! From start to drain.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tracing_subscriber::EnvFilter;

use super::attestation;
use super::config::{Config, ConfigError, LogFormat, WitnessConfig};
use super::home::{self, HomeError};
use super::metrics;
use super::start::{self, LostStore, SOCKET_PATH, Unusable};
use crate::attest::{Attestation, Record};
use crate::chain::ChainError;
use crate::codes::{self, Error};
use crate::datasets::{Datasets, Names};
use crate::jobs::{Below, JobKind, Jobs, Kinds, Settings};
use crate::kernel;
use crate::kinds::psi;
use crate::peers::{Background, Directory, Inbox, Peers, Rosters, Rotation};
use crate::relay::Relay;
use crate::rpc::admin::Admin;
use crate::rpc::control::control_server::ControlServer;
use crate::rpc::gate::Gate;
use crate::rpc::service::{Rooms, Service};
use crate::rpc::{http, reflection};
use crate::session::Network;
use crate::store::{FileSigner, Ourselves, Signer, Store, StoreError};
use crate::transport::{Grpc, TlsIdentity};

/// Items over which the kernel is measured at the start, for estimates.
const MEASURED_ITEMS: usize = 512;

/// The daemon cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The party's folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something of the party's folder cannot be used by this account.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The store is gone, and its log is not.
    #[error(transparent)]
    LostStore(#[from] LostStore),
    /// The attestation log.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Something in a room below.
    #[error(transparent)]
    Error(#[from] Error),
    /// A port or socket.
    #[error("cannot listen at {place}: {source}")]
    Listen {
        /// Where.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The control socket's path does not fit into an address.
    #[error(
        "the path of the control socket has {length} bytes, the system takes {SOCKET_PATH}: {path}; name a shorter one \
         in control.socket, or a shorter --home", path = .path.display()
    )]
    LongSocket {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// The certificate belongs to another party.
    #[error("{path} names {found}, {config} names {expected}; one of them is from another party's folder", path = .path.display(), config = super::config::FILE)]
    WrongParty {
        /// The certificate.
        path: PathBuf,
        /// Its party.
        found: tacitly_core::PartyId,
        /// The configuration's.
        expected: tacitly_core::PartyId,
    },
    /// The links with peers.
    #[error(transparent)]
    Network(#[from] crate::session::StartError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The control service cannot describe itself.
    #[error("the control service cannot describe itself: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The control service ended.
    #[error("the control service ended: {0}")]
    Control(#[from] tonic::transport::Error),
}

/// Serves the party in `home` until SIGTERM, SIGINT or an operator's request, then drains.
///
/// # Errors
/// [`ServeError`], in words that say how to mend it.
pub fn serve(home: &Path) -> Result<(), ServeError> {
    serve_with(home, Vec::new())
}

/// The same with more kinds of job than those of this version.
///
/// # Errors
/// [`ServeError`], in words that say how to mend it.
pub fn serve_with(home: &Path, more_kinds: Vec<Arc<dyn JobKind>>) -> Result<(), ServeError> {
    let config = Config::load(home)?;
    start_log(&config);
    let threads = choose_threads(&config);
    // Everything that computes runs in this pool, so that the limit holds for all of it.
    if rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err() {
        tracing::warn!("the compute pool was started before; limits.threads does not apply");
    }
    let signals = Builder::new_current_thread().enable_all().build()?;
    signals.block_on(async {
        // Caught, so that a file-size limit is an error of the write and not the end of the process.
        let _caught = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut daemon = Daemon::start_with(home, config, more_kinds).await?;
        tokio::select! {
            ended = daemon.ended() => return ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        daemon.stop().await
    })
}

fn choose_threads(config: &Config) -> usize {
    match config.limits.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// A party at work in this process: it catches no signal, writes no log of its own and starts no compute pool. Several
/// parties may be at work in one process.
///
/// It has a runtime of its own, so that nothing of it is left when it has ended, whoever still holds a connection: the
/// store is free for the next start.
pub struct Daemon {
    socket: PathBuf,
    shutdown: watch::Sender<bool>,
    /// Gone once its end was told.
    at_work: Option<(JoinHandle<Result<(), ServeError>>, Runtime)>,
}

/// How long work that cannot be interrupted, such as reading a file, may hold up the end.
const LAST_WORK: Duration = Duration::from_secs(5);

impl Daemon {
    /// Starts to serve the party in `home`, which must hold its keys; returns once it is ready.
    ///
    /// # Errors
    /// [`ServeError`], in words that say how to mend it.
    pub async fn start(home: &Path, config: Config) -> Result<Self, ServeError> {
        Self::start_with(home, config, Vec::new()).await
    }

    /// The same with more kinds of job than those of this version.
    ///
    /// # Errors
    /// [`ServeError`], in words that say how to mend it.
    pub async fn start_with(
        home: &Path,
        config: Config,
        more_kinds: Vec<Arc<dyn JobKind>>,
    ) -> Result<Self, ServeError> {
        kernel::choose(&config.limits.kernel).map_err(|text| Error::new(codes::BAD_REQUEST, text))?;
        let threads = choose_threads(&config);
        let socket = home.join(&config.control.socket);
        let (shutdown, asked) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let (home, asking) = (home.to_owned(), shutdown.clone());
        let workers = threads.clamp(1, 4);
        let runtime =
            Builder::new_multi_thread().worker_threads(workers).thread_name("tacitly").enable_all().build()?;
        let task = runtime.spawn(async move { run(&home, config, threads, asking, asked, ready, more_kinds).await });
        let mut daemon = Self { socket, shutdown, at_work: Some((task, runtime)) };
        match is_ready.await {
            Ok(()) => Ok(daemon),
            Err(_) => Err(daemon.ended().await.err().unwrap_or_else(|| std::io::Error::other("ended").into())),
        }
    }

    /// Where its operators reach it.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns once it has ended, by an operator's request or because it had to.
    ///
    /// # Errors
    /// [`ServeError`], why it had to.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        let Some((task, _)) = &mut self.at_work else { return Ok(()) };
        let ended = task.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        if let Some((_, runtime)) = self.at_work.take() {
            let gone = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LAST_WORK)).await;
            gone.map_err(std::io::Error::other)?;
        }
        ended
    }

    /// Lets running jobs finish for a while, then ends it. What does not finish is taken up at the next start.
    ///
    /// # Errors
    /// As [`Daemon::ended`].
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.shutdown.send_replace(true);
        self.ended().await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some((_, runtime)) = self.at_work.take() {
            runtime.shutdown_background();
        }
    }
}

async fn run(
    home: &Path,
    config: Config,
    threads: usize,
    shutdown: watch::Sender<bool>,
    mut asked: watch::Receiver<bool>,
    ready: oneshot::Sender<()>,
    more_kinds: Vec<Arc<dyn JobKind>>,
) -> Result<(), ServeError> {
    let named = |identity: TlsIdentity| match identity.party() {
        found if found == config.party => Ok(identity),
        found => Err(ServeError::WrongParty { path: home.join(home::TLS_CERTIFICATE), found, expected: config.party }),
    };
    // First of all, as far as it can be read: what follows leaves the party's name in the folder for good.
    if let Ok(identity) = home::identity(home) {
        named(identity)?;
    }
    start::refuse_unusable(home, &config)?;
    start::refuse_lost_store(home, &config)?;
    let sealer = home::sealer(home, &config).await?;
    let store = Arc::new(Store::open(&home.join(&config.store.path), sealer).await?);
    let signer: Arc<dyn Signer> = Arc::new(FileSigner::load(&home.join(home::IDENTITY_KEY))?);
    store.belongs_to(Ourselves { party: config.party, key: signer.public_key() }).await?;
    home::settle_identity(home)?;
    let identity = named(home::identity(home)?)?;
    let record = Record {
        signer: signer.clone(),
        log: attestation::open_log(home, &config, signer.clone()).await?,
        witness: attestation::open_witness(home, &config, signer.clone())?,
        external: config.attestation.witness.iter().filter_map(WitnessConfig::witness).collect(),
        mirrors: config.attestation.mirrors.clone(),
        copies: attestation::copies(home, &config)?,
        profile: config.profile(),
    };
    let directory = Arc::new(Directory::new(config.party, store.clone(), signer.clone()).await?);
    let inbox = Arc::new(Inbox::default());
    let links = crate::transport::Settings {
        heartbeat: config.heartbeat(),
        reconnect_window: config.reconnect_window(),
        max_sessions: config.limits.jobs_per_peer.max(1),
        requests_per_second: config.limits.requests_per_second,
        bytes_per_second: NonZeroU64::new(config.limits.megabits_per_second.saturating_mul(1_000_000 / 8)),
        ..crate::transport::Settings::default()
    };
    let transport = Grpc::new(identity, directory.clone(), Some(directory.clone()), links.clone());
    let network = Network::start(Arc::new(transport.clone()), directory.clone(), inbox.clone(), links.clone())?;
    let mut listen = None;
    if let Some(address) = config.network.listen {
        let refused = |source| ServeError::Listen { place: address.to_string(), source };
        listen = Some(transport.listen(address).await.map_err(refused)?);
    }
    let advertised = config.network.advertise.clone().or_else(|| listen.map(|address| address.to_string()));
    let peers = Peers::new(
        store.clone(),
        network.clone(),
        transport.clone(),
        directory,
        signer.clone(),
        advertised,
        config.reconnect_window(),
    );
    let (peers, background) = (Arc::new(peers), Background::default());
    peers.learn_revocations().await?;
    let rosters = Arc::new(Rosters::new(config.party, store.clone(), signer.clone()));
    let rotation = Arc::new(Rotation::new(store.clone(), signer.clone(), transport, peers.clone(), background.clone()));
    let relay = Arc::new(Relay::new(config.party, signer.clone(), peers.clone(), links));
    let attestation = Arc::new(Attestation::new(record, &store, &peers, &background));
    let kinds = Kinds::new(kinds(&config, threads).await.into_iter().chain(more_kinds));
    let names = Names { kinds: kinds.names(), limits: kinds.limits() };
    let (memory, frame_memory) = (bytes(config.limits.memory_mib), bytes(config.limits.frame_mib));
    let datasets = Datasets::new(store.clone(), attestation.recorder().clone(), names, memory, frame_memory);
    let datasets = Arc::new(datasets);
    let settings = Settings {
        me: config.party,
        jobs_per_peer: config.limits.jobs_per_peer,
        proposals_per_hour: config.limits.proposals_per_hour,
        running_jobs: config.limits.running_jobs,
        deadline: Duration::from_secs_f64(config.limits.job_deadline_hours * 3600.0),
        idle: Duration::from_secs_f64(config.limits.idle_minutes * 60.0),
    };
    let below = Below {
        store: store.clone(),
        signer,
        attestation: attestation.clone(),
        peers: peers.clone(),
        relay: relay.clone(),
        datasets: datasets.clone(),
    };
    let jobs = Arc::new(Jobs::new(settings, below, kinds, &background));
    attestation.begin().await?;
    let [about_jobs, questions] = jobs.handlers();
    inbox.open(vec![rotation.clone(), attestation.clone(), relay.clone(), about_jobs, questions]);
    tokio::spawn(keep_on_record(attestation.clone(), jobs.clone()));
    jobs.resume_all().await?;

    let admin = Arc::new(Admin::new(store, peers.clone(), attestation.clone(), jobs.clone(), listen));
    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(keep_health(admin.clone(), jobs.clone(), health));
    if let Some(address) = config.metrics.listen {
        tokio::spawn(metrics::serve(listen_at(address).await?, admin.clone()));
    }
    let files = Arc::new(home::Files::new(home, config.party));
    let rooms =
        Rooms { admin: admin.clone(), jobs: jobs.clone(), datasets, peers, rosters, rotation, attestation, files };
    let control = Service::new(rooms, shutdown);
    let socket = home.join(&config.control.socket);
    let listener = listen_locally(&socket)?;
    tracing::info!(
        party = %config.party,
        version = env!("CARGO_PKG_VERSION"),
        listen = listen.map(|address| address.to_string()),
        control = %socket.display(),
        kernel = kernel::backend(),
        threads,
        "ready"
    );
    let _nobody_waits = ready.send(());
    let stop = async {
        let _asked = asked.wait_for(|asked| *asked).await.map(drop);
        tracing::info!("draining: running jobs get {} s", config.limits.drain_seconds);
        jobs.drain(Duration::from_secs(config.limits.drain_seconds)).await;
    };
    let control = ControlServer::new(control);
    let port = match config.control.listen {
        Some(address) => Some(listen_at(address).await?),
        None => None,
    };
    let gate = Gate::new(home.join(&config.control.tokens), admin);
    let mut routes = http::beside(Routes::new(control).add_service(health_service), jobs.clone());
    if config.control.reflection {
        routes = routes.add_service(reflection::service()?);
    }
    let server = Server::builder().accept_http1(true).add_routes(routes.clone());
    let guarded = Server::builder().accept_http1(true).layer(gate).add_routes(routes);
    let guarded = async {
        match port {
            Some(port) => guarded.serve_with_incoming(TcpListenerStream::new(port)).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        served = server.serve_with_incoming(UnixListenerStream::new(listener)) => served.map_err(Into::into),
        served = guarded => served.map_err(Into::into),
        () = stop => Ok(()),
    };
    network.shutdown(Duration::ZERO).await;
    let _already_gone = fs::remove_file(&socket);
    drop((jobs, network));
    tracing::info!("stopped");
    served
}

/// The kinds of job of this version, as the configuration has them run.
async fn kinds(config: &Config, threads: usize) -> Vec<Arc<dyn JobKind>> {
    let per_item = tokio::task::spawn_blocking(|| kernel::measure_per_item(MEASURED_ITEMS)).await.unwrap_or_default();
    let settings = psi::Settings {
        memory: bytes(config.limits.memory_mib),
        bucket_keys: config.limits.bucket_keys,
        items_per_job: config.limits.items_per_job,
        machine: psi::Machine { per_item, threads },
    };
    psi::kinds(settings).into()
}

fn bytes(mib: u64) -> usize {
    usize::try_from(mib << 20).unwrap_or(usize::MAX)
}

/// Puts on record who we are and what an earlier process left out, and goes on trying while the log or the store takes nothing.
async fn keep_on_record(attestation: Arc<Attestation>, jobs: Arc<Jobs>) {
    const PAUSE: Duration = Duration::from_secs(30);
    let record = async || {
        attestation.profile().record().await?;
        jobs.record_missing().await
    };
    while let Err(error) = record().await {
        tracing::warn!(%error, "who we are is not on record yet");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says whether the daemon is ready: it lives as long as it answers, and is ready while the store takes writes and no
/// drain has begun.
async fn keep_health(admin: Arc<Admin>, jobs: Arc<Jobs>, health: HealthReporter) {
    const PAUSE: Duration = Duration::from_secs(5);
    loop {
        if admin.is_ready().await {
            health.set_serving::<ControlServer<Service>>().await;
        } else {
            health.set_not_serving::<ControlServer<Service>>().await;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = jobs.draining(), if !jobs.is_draining() => {}
        }
    }
}

async fn listen_at(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { place: address.to_string(), source })
}

/// Listens at the control socket, which only its owner may use. A socket that a killed daemon left behind is replaced:
/// the store's lock has shown that no other daemon lives here.
fn listen_locally(socket: &Path) -> Result<UnixListener, ServeError> {
    let refused = |source| ServeError::Listen { place: socket.display().to_string(), source };
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH {
        return Err(ServeError::LongSocket { path: socket.to_owned(), length });
    }
    let _left_behind = fs::remove_file(socket);
    let listener = UnixListener::bind(socket).map_err(refused)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

/// Writes the log to standard error, as the configuration says. A second start in one process keeps the first log.
pub fn start_log(config: &Config) {
    let filter = EnvFilter::try_new(&config.log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that cannot be written, on a full disk say, must not end the work it tells of.
        .log_internal_errors(false);
    let _started_before = match config.log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
}
