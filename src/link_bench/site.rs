//! A party on loopback with its certificate; what a process has used.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tacitly_core::PartyId;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::error::BenchError;
use crate::session::{Inbox, LinkState, Network, Settings};
use crate::transport::{Entry, Grpc, Pace, Pending, Pin, Roster, TlsIdentity};

/// How long a link may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many as a daemon takes on a machine with so many processors.
pub(super) fn runtime() -> Result<Runtime, BenchError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Builder::new_multi_thread().worker_threads(cores.clamp(1, 4)).enable_all().build()?)
}

/// A fresh certificate.
pub(super) fn identity(name: PartyId) -> Result<TlsIdentity, BenchError> {
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    TlsIdentity::generate(name, now - day, now + day).map_err(BenchError::other)
}

/// One party with a port on loopback.
pub(super) struct Site {
    pub(super) grpc: Grpc,
    pub(super) network: Network,
    roster: Arc<Roster>,
}

/// Nobody is asked anything.
struct Silent;

impl Inbox for Silent {
    fn pace(&self, _: &str) -> Option<Pace> {
        None
    }

    fn request(&self, _: PartyId, _: &str, _: Bytes) -> Pending<'_, Bytes> {
        Box::pin(async { Bytes::new() })
    }
}

impl Site {
    pub(super) fn start(identity: TlsIdentity) -> Result<Self, BenchError> {
        let (roster, settings) = (Arc::new(Roster::new()), Settings::default());
        let grpc = Grpc::new(identity, roster.clone(), None, settings.clone());
        let network = Network::start(Arc::new(grpc.clone()), roster.clone(), Arc::new(Silent), settings);
        Ok(Self { grpc, network: network.map_err(BenchError::other)?, roster })
    }

    /// Learns of a peer.
    pub(super) fn knows(&self, peer: PartyId, pin: Pin, address: Option<SocketAddr>) {
        let address = address.map(|address| address.to_string());
        self.roster.set(peer, Entry { pins: vec![pin], address, proxy: None });
        self.network.refresh();
    }

    /// Waits until the links with these peers are up.
    pub(super) async fn linked(&self, peers: &[PartyId]) -> Result<(), BenchError> {
        let mut links = self.network.links();
        let up = links.wait_for(|links| peers.iter().all(|peer| links.get(peer).is_some_and(LinkState::is_up)));
        match timeout(PATIENCE, up).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(BenchError::Other("the links did not come up".to_owned())),
        }
    }
}

/// Any free port of this machine's own.
pub(super) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, user and system.
    pub(super) cpu: Duration,
    /// Memory at present.
    pub(super) rss_kib: u64,
    /// The most memory that it ever held.
    pub(super) peak_rss_kib: u64,
}

impl Usage {
    pub(super) fn of(process: u32) -> Result<Self, BenchError> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The fields after the command's name, which stands in parentheses and may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB"));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
        };
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64),
            rss_kib: kib("VmRSS:"),
            peak_rss_kib: kib("VmHWM:"),
        })
    }
}
