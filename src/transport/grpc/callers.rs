//! What callers may take up before they are known: places, and lines of our log. Whoever takes more than its share keeps
//! nobody else waiting.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::transport::tls::Caller;

/// The most connections of strangers at a time, in all and of one address: each may only enrol, and is sent away after a
/// while.
const MAX_STRANGERS: usize = 64;
const MAX_STRANGERS_OF_ADDRESS: usize = 4;

/// The most connections of one peer at a time. It needs one, and a few more while links break and come back.
const MAX_OF_PEER: usize = 8;

/// The most lines about callers in the log within [`SPAN`], in all and of one address; the rest are details.
const MAX_LINES: u32 = 64;
const MAX_LINES_OF_ADDRESS: u32 = 8;
const SPAN: Duration = Duration::from_mins(1);

/// What belongs to one caller: an address; of IPv6 a network of 64 bits.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many places each address holds.
pub(super) struct Addresses {
    most: usize,
    held: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A place of an address, until it is dropped.
pub(super) struct AddressPlace(Arc<Addresses>, IpAddr);

impl Addresses {
    /// So many places for each address.
    pub(super) fn with(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    /// A place for this address; `None` if it holds all that are its own.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Option<AddressPlace> {
        let address = network(from);
        let mut all = locked(&self.held);
        let here = all.entry(address).or_default();
        if *here == self.most {
            return None;
        }
        *here += 1;
        Some(AddressPlace(self.clone(), address))
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut all = locked(&self.0.held);
        if let Some(here) = all.get_mut(&self.1) {
            *here -= 1;
            if *here == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// How many connections each caller may have.
pub(super) struct Connections {
    strangers: Arc<Semaphore>,
    strangers_of_address: Arc<Addresses>,
    peers: Mutex<BTreeMap<PartyId, Arc<Semaphore>>>,
}

/// A place for a connection, until it is dropped.
pub(super) struct ConnectionPlace {
    _permit: OwnedSemaphorePermit,
    _of_address: Option<AddressPlace>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
            strangers_of_address: Arc::new(Addresses::with(MAX_STRANGERS_OF_ADDRESS)),
            peers: Mutex::default(),
        }
    }
}

impl Connections {
    /// A place for one more connection; `None` if all that the caller may have are taken.
    pub(super) fn take(&self, caller: &Caller, from: IpAddr) -> Option<ConnectionPlace> {
        let (places, of_address) = if caller.known {
            let mut peers = locked(&self.peers);
            let places = peers.entry(caller.party).or_insert_with(|| Arc::new(Semaphore::new(MAX_OF_PEER)));
            (places.clone(), None)
        } else {
            (self.strangers.clone(), Some(self.strangers_of_address.take(from)?))
        };
        Some(ConnectionPlace { _permit: places.try_acquire_owned().ok()?, _of_address: of_address })
    }
}

/// Counts the lines that callers make us write.
#[derive(Default)]
pub(super) struct Lines(Mutex<Written>);

#[derive(Default)]
struct Written {
    since: Option<Instant>,
    by_address: BTreeMap<IpAddr, u32>,
    lines: u32,
    left_out: u64,
}

impl Lines {
    /// Whether one more line about this address is written. What was left out is told in a line of its own, later.
    pub(super) fn take(&self, from: IpAddr) -> bool {
        let mut written = locked(&self.0);
        if written.since.is_none_or(|since| since.elapsed() >= SPAN) {
            let left_out = written.left_out;
            *written = Written { since: Some(Instant::now()), ..Written::default() };
            if left_out > 0 {
                tracing::warn!(left_out, "refused more calls than lines were written");
            }
        }
        let is_full = written.lines == MAX_LINES;
        // The map grows by one address for each line at the most.
        let of_address = written.by_address.get(&network(from)).copied().unwrap_or_default();
        if is_full || of_address == MAX_LINES_OF_ADDRESS {
            written.left_out += 1;
            return false;
        }
        written.lines += 1;
        written.by_address.insert(network(from), of_address + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn strangers_of_one_address_leave_places_for_those_of_others() {
        let connections = Connections::default();
        let stranger = |from| {
            let caller = Caller {
                party: "stranger".parse().unwrap(),
                pin: format!("spki-sha256:{}", "00".repeat(32)).parse().unwrap(),
                known: false,
            };
            connections.take(&caller, from)
        };
        let hog: Vec<_> = (0..MAX_STRANGERS).map_while(|_| stranger(address(1))).collect();
        assert_eq!(hog.len(), MAX_STRANGERS_OF_ADDRESS);
        assert!(stranger(address(2)).is_some());
        drop(hog);
        assert!(stranger(address(1)).is_some(), "a place that was left is not given again");
        let v6 = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
        let network: Vec<_> = (0..64).map_while(|host| stranger(v6(host))).collect();
        assert_eq!(network.len(), MAX_STRANGERS_OF_ADDRESS, "a network of IPv6 is one caller");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_and_all_together_write_a_bounded_number_of_lines() {
        let lines = Lines::default();
        let written = |last| (0..1000).filter(|_| lines.take(address(last))).count();
        assert_eq!(written(1), MAX_LINES_OF_ADDRESS as usize);
        assert_eq!(written(2), MAX_LINES_OF_ADDRESS as usize, "another address is silenced");
        let all: usize = (3..=255).map(written).sum();
        assert_eq!(all, (MAX_LINES - 2 * MAX_LINES_OF_ADDRESS) as usize);
        assert_eq!(written(1), 0);
        tokio::time::advance(SPAN).await;
        assert_eq!(written(1), MAX_LINES_OF_ADDRESS as usize, "it is never heard of again");
    }
}
