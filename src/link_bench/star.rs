//! Many senders, one coordinator, its memory.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use tacitly_core::{Halt, Mailbox, PartyId, Roles, Script, SessionTag, Terms};

use super::error::BenchError;
use super::other::{Other, SENDERS, introduced, introduction, say, told, until_dismissed};
use super::site::{Site, Usage, identity, loopback, runtime};
use crate::session::{Options, SessionLimits, drive};
use crate::transport::Window;

/// Bytes of one message.
const PIECE: usize = 64 << 10;

/// What a coordinator of many links holds of each.
const LIMITS: SessionLimits = SessionLimits { window: Some(Window { frames: 4, bytes: 64 << 10 }), patience: None };

/// Parties that each send something to one coordinator, which adds it up.
#[derive(Clone, Copy, Debug)]
pub struct Star {
    /// How many.
    pub links: usize,
    /// Bytes of each.
    pub bytes: usize,
}

/// What it took.
#[derive(Debug, Serialize)]
pub struct StarFigures {
    links: usize,
    bytes: usize,
    seconds: f64,
    /// The coordinator before it has any link.
    rss_mib_before: f64,
    /// With all links up.
    rss_mib_linked: f64,
    /// At most.
    rss_mib_peak: f64,
    /// At most, beyond what it had before and the sum that it makes.
    pub rss_mib_beyond: f64,
}

impl Star {
    /// Measures with `program`, this program, as all the senders.
    ///
    /// # Errors
    /// [`BenchError`]
    pub fn measure(self, program: &Path) -> Result<StarFigures, BenchError> {
        let ours = identity(name("hub")?)?;
        let hub = introduction(&ours);
        let runtime = runtime()?;
        runtime.block_on(async {
            let site = Site::start(ours)?;
            let address = site.grpc.listen(loopback()).await?;
            let told = format!("{hub} {address} {} {}", self.links, self.bytes);
            let mut other = Other::start(program, SENDERS, &told)?;
            let mut senders = Vec::new();
            for _ in 0..self.links {
                let words: Vec<String> = other.hear()?.split_whitespace().map(str::to_owned).collect();
                senders.push(introduced(&words)?);
            }
            let before = Usage::of(std::process::id())?;
            senders.iter().for_each(|(party, pin)| site.knows(*party, *pin, None));
            let parties: Vec<PartyId> = senders.iter().map(|(party, _)| *party).collect();
            other.tell("dial")?;
            site.linked(&parties).await?;
            let linked = Usage::of(std::process::id())?;
            let begun = std::time::Instant::now();
            let links: Result<Vec<_>, _> =
                parties.iter().map(|party| site.network.open_with(*party, tag(), LIMITS)).collect();
            let sum = Script::new(Roles::new(tag(), site.network.me(), parties), async move |mailbox| {
                self.add_up(mailbox).await
            });
            let done = drive(Box::new(sum), links?, Options::default()).await?;
            let seconds = begun.elapsed().as_secs_f64();
            let expected = (self.links as u64).wrapping_mul(self.pieces().sum::<usize>() as u64);
            if done.output != expected {
                return Err(BenchError::Other("the sum is wrong".to_owned()));
            }
            let after = Usage::of(std::process::id())?;
            let mib = |kib: u64| kib as f64 / 1024.0;
            let peak = mib(after.peak_rss_kib);
            Ok(StarFigures {
                links: self.links,
                bytes: self.bytes,
                seconds,
                rss_mib_before: mib(before.rss_kib),
                rss_mib_linked: mib(linked.rss_kib),
                rss_mib_peak: peak,
                rss_mib_beyond: peak - mib(before.rss_kib) - PIECE as f64 / f64::from(1 << 20),
            })
        })
    }

    /// The sizes of what each sends.
    fn pieces(self) -> impl Iterator<Item = usize> {
        (0..self.bytes).step_by(PIECE).map(move |begin| PIECE.min(self.bytes - begin))
    }

    /// The coordinator: a column of sums, to which each piece is added and then forgotten.
    async fn add_up(self, mailbox: Mailbox) -> Result<u64, Halt> {
        let mut sums = vec![0_u64; PIECE / 8];
        let mut received = 0_u64;
        let peers = mailbox.peers();
        for _ in self.pieces() {
            for (_, piece) in mailbox.gather(&peers).await {
                let piece = piece?;
                received += piece.len() as u64;
                for (sum, number) in sums.iter_mut().zip(piece.chunks_exact(8)) {
                    *sum = sum.wrapping_add(u64::from(number[0]));
                }
            }
        }
        Ok(received)
    }

    async fn send_all(self, mailbox: Mailbox) -> Result<u64, Halt> {
        let mut sent = 0;
        for hub in mailbox.peers() {
            for piece in self.pieces() {
                mailbox.send(hub, Bytes::from(vec![1; piece]));
                mailbox.drained(hub).await;
                sent += piece as u64;
            }
        }
        Ok(sent)
    }
}

/// The process with all the senders.
pub(super) fn send() -> Result<(), BenchError> {
    let words = told()?;
    let (hub, pin) = introduced(&words)?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
    let address = words.get(2).and_then(|word| word.parse().ok());
    let plan = Star { links: number(3), bytes: number(4) };
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut sites = Vec::new();
        for number in 0..plan.links {
            let ours = identity(name(&format!("sender-{number}"))?)?;
            say(&introduction(&ours))?;
            sites.push(Site::start(ours)?);
        }
        told()?;
        let mut sending = Vec::new();
        for site in &sites {
            site.knows(hub, pin, address);
            let me = site.network.me();
            let party = Script::new(Roles::new(tag(), me, [hub]), async move |mailbox| plan.send_all(mailbox).await);
            let link = site.network.open(hub, tag())?;
            sending.push(tokio::spawn(drive(Box::new(party), vec![link], Options::default())));
        }
        for sent in sending {
            sent.await.map_err(BenchError::other)??;
        }
        tokio::task::spawn_blocking(until_dismissed).await.map_err(BenchError::other)?
    })
}

fn name(name: &str) -> Result<PartyId, BenchError> {
    name.parse().map_err(BenchError::other)
}

fn tag() -> SessionTag {
    SessionTag::of(&Terms::new().hash(), "star")
}
