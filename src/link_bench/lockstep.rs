//! Small rounds through driver, link and TLS, and through bare tonic, with their times.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use tacitly_core::{PartyId, Roles, Script, SessionTag, Terms};

use super::error::{BenchError, median};
use super::other::{ECHO, Other, introduced, introduction, say, told, until_dismissed};
use super::site::{Site, Usage, identity, loopback, runtime};
use crate::session::{Options, drive};
use crate::transport::bare;

/// One party sends, the other answers, and the next round begins.
#[derive(Clone, Copy, Debug)]
pub struct Lockstep {
    /// Pairs of runs, one through a session and one through bare tonic.
    pub runs: u32,
    /// Rounds of each run.
    pub rounds: u32,
    /// Bytes of each message.
    pub bytes: usize,
}

/// Medians of the paired runs.
#[derive(Debug, Serialize)]
pub struct LockstepFigures {
    rounds: u32,
    bytes: usize,
    runs: u32,
    /// The median round of a session.
    pub round_us_p50: f64,
    /// The median round of a bare tonic stream, same certificates, same HTTP/2 settings.
    pub round_us_p50_bare: f64,
    /// The one by the other, pair by pair.
    pub ratio: f64,
    /// Processor time of both processes.
    pub cpu_us_per_round: f64,
    /// The same of the bare stream.
    pub cpu_us_per_round_bare: f64,
}

/// What one run of either kind took.
struct Run {
    round_us_p50: f64,
    cpu_us_per_round: f64,
}

impl Lockstep {
    /// Measures with `program`, this program, at the other end.
    ///
    /// # Errors
    /// [`BenchError`]
    pub fn measure(self, program: &Path) -> Result<LockstepFigures, BenchError> {
        let ours = identity(name("near")?)?;
        let told = format!("{} {} {} {}", introduction(&ours), self.runs, self.rounds, self.bytes);
        let runtime = runtime()?;
        runtime.block_on(async {
            let mut other = Other::start(program, ECHO, &told)?;
            let words: Vec<String> = other.hear()?.split_whitespace().map(str::to_owned).collect();
            let (peer, pin) = introduced(&words)?;
            let address = |at: usize| words.get(at).and_then(|word| word.parse().ok());
            let (link, echo) = (address(2), address(3));
            let site = Site::start(ours)?;
            site.knows(peer, pin, link);
            site.linked(&[peer]).await?;
            let (mut sessions, mut bares) = (Vec::new(), Vec::new());
            for number in 0..self.runs {
                let party = self.begin(site.network.me(), peer, number);
                let link = site.network.open(peer, tag(number))?;
                sessions.push(
                    self.run(&other, async {
                        Ok(drive(Box::new(party), vec![link], Options::default()).await?.output)
                    })
                    .await?,
                );
                // A line on which nothing is opened for long is cut.
                let bare = bare::Caller::dial(&site.grpc, peer, pin, echo).await?;
                bares.push(self.run(&other, async { Ok(bare.rounds(self.rounds, self.bytes).await?) }).await?);
            }
            Ok(self.figures(&sessions, &bares))
        })
    }

    /// What some rounds took, of whom the middle one is returned, and how much of the processors.
    async fn run(
        &self,
        other: &Other,
        rounds: impl Future<Output = Result<Vec<Duration>, BenchError>>,
    ) -> Result<Run, BenchError> {
        let cpu = || Ok::<_, BenchError>(Usage::of(std::process::id())?.cpu + Usage::of(other.id())?.cpu);
        let before = cpu()?;
        let took = rounds.await?;
        let used = cpu()?.saturating_sub(before);
        Ok(Run {
            round_us_p50: median(took.iter().map(|round| round.as_secs_f64() * 1e6).collect()),
            cpu_us_per_round: used.as_secs_f64() * 1e6 / f64::from(self.rounds),
        })
    }

    fn figures(&self, sessions: &[Run], bares: &[Run]) -> LockstepFigures {
        let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        let pairs = sessions.iter().zip(bares).map(|(session, bare)| session.round_us_p50 / bare.round_us_p50);
        LockstepFigures {
            rounds: self.rounds,
            bytes: self.bytes,
            runs: self.runs,
            round_us_p50: of(sessions, |run| run.round_us_p50),
            round_us_p50_bare: of(bares, |run| run.round_us_p50),
            ratio: median(pairs.collect()),
            cpu_us_per_round: of(sessions, |run| run.cpu_us_per_round),
            cpu_us_per_round_bare: of(bares, |run| run.cpu_us_per_round),
        }
    }

    /// The party that begins every round; its answer is how long each took.
    fn begin(self, me: PartyId, peer: PartyId, number: u32) -> Script<Vec<Duration>> {
        Script::new(Roles::new(tag(number), me, [peer]), async move |mailbox| {
            let mut took = Vec::with_capacity(self.rounds as usize);
            let message = bytes::Bytes::from(vec![7; self.bytes]);
            for _ in 0..self.rounds {
                let begun = Instant::now();
                mailbox.send(peer, message.clone());
                mailbox.receive(peer).await?;
                took.push(begun.elapsed());
            }
            Ok(took)
        })
    }

    /// The party that answers.
    fn answer(self, me: PartyId, peer: PartyId, number: u32) -> Script<()> {
        Script::new(Roles::new(tag(number), me, [peer]), async move |mailbox| {
            for _ in 0..self.rounds {
                let message = mailbox.receive(peer).await?;
                mailbox.send(peer, message);
            }
            Ok(())
        })
    }
}

/// The process that answers.
pub(super) fn echo() -> Result<(), BenchError> {
    let words = told()?;
    let (peer, pin) = introduced(&words)?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok()).unwrap_or_default();
    let plan = Lockstep { runs: number(2), rounds: number(3), bytes: number(4) as usize };
    let ours = identity(name("far")?)?;
    let introduction = introduction(&ours);
    let runtime = runtime()?;
    runtime.block_on(async {
        let site = Site::start(ours)?;
        site.knows(peer, pin, None);
        let (link, echo) = (site.grpc.listen(loopback()).await?, bare::listen(&site.grpc, loopback()).await?);
        say(&format!("{introduction} {link} {echo}"))?;
        for number in 0..plan.runs {
            let party = plan.answer(site.network.me(), peer, number);
            let link = site.network.open(peer, tag(number))?;
            drive(Box::new(party), vec![link], Options::default()).await?;
        }
        tokio::task::spawn_blocking(until_dismissed).await.map_err(BenchError::other)?
    })
}

fn name(name: &str) -> Result<PartyId, BenchError> {
    name.parse().map_err(BenchError::other)
}

fn tag(number: u32) -> SessionTag {
    SessionTag::of(&Terms::new().hash(), &format!("lockstep {number}"))
}
