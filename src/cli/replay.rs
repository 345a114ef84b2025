//! `tacitly bench psi --record` and `--replay`: one party alone, with all processors for itself, against the frames that
//! its peer sent before. What a second thread gains is seen only this way, since two parties share one machine.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tacitly_core::{Frame, Party, PartyId, Seed, SessionTag};
use tacitly_psi::{Flow, Items, Member, PsiAnswer, PsiOutcome, PsiParty, PsiTerms};

use super::figures::round;
use super::{Failure, Output};
use crate::intake::{
    self, Budget, Delimiter, Duplicates, Format, Invalid, KeyColumn, KeySpec, Keys, OutputFormat, Profile, Source,
};
use crate::kernel;
use crate::synthetic;

/// The first bytes of a recording.
const FORMAT: &[u8] = b"tacitly recording 1\n";
const LABEL: &str = "all";

/// What is run in this process.
pub(super) struct Alone<'a> {
    /// The recording.
    pub(super) file: &'a Path,
    /// Whether it is read, and not written.
    pub(super) replays: bool,
    /// Rows of the receiver.
    pub(super) n: u64,
    /// Rows of the other side.
    pub(super) n_peer: u64,
    /// The flow, by name.
    pub(super) kind: &'a str,
    /// Compute threads.
    pub(super) threads: usize,
    /// The curve kernel.
    pub(super) backend: &'a str,
}

#[derive(Serialize)]
struct Figures {
    kind: String,
    n: u64,
    n_peer: u64,
    threads: usize,
    backend: &'static str,
    /// From file to file.
    wall_s: f64,
    /// The protocol alone.
    session_s: f64,
    cpu_us_per_item: f64,
    frames: u64,
    peer_bytes: u64,
    exact: bool,
}

impl Alone<'_> {
    /// Records or replays, and says how it went.
    pub(super) fn run(&self, output: Output) -> Result<(), Failure> {
        kernel::choose(self.backend).map_err(Failure::plain)?;
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build_global()
            .map_err(|error| Failure::plain(error.to_string()))?;
        let flow = Flow::ALL.into_iter().find(|flow| flow.name() == self.kind);
        let flow = flow.ok_or_else(|| Failure::plain("the kind is intersect, align or cardinality"))?;
        let folder = tempfile::Builder::new().prefix("tacitly-replay-").tempdir()?;
        let figures = if self.replays { self.replay(flow, folder.path())? } else { self.record(flow, folder.path())? };
        output.say(|| &figures, || figures.words(self.replays))?;
        if figures.exact { Ok(()) } else { Err(Failure::plain("the result is not the join in the clear")) }
    }

    fn shared(&self) -> u64 {
        self.n.min(self.n_peer) / 2
    }

    /// Both parties, in turn; what the second sends is kept.
    fn record(&self, flow: Flow, folder: &Path) -> Result<Figures, Failure> {
        let (terms, ids) = self.terms(flow)?;
        let (mine, theirs) = (folder.join("a.csv"), folder.join("b.csv"));
        synthetic::write_bench_ids(self.n, 0, 1, BufWriter::new(File::create(&mine)?))?;
        synthetic::write_bench_ids(self.n_peer, self.n - self.shared(), 2, BufWriter::new(File::create(&theirs)?))?;
        let begin = Instant::now();
        let (ours, other) = (read(&mine)?, read(&theirs)?);
        let mut a = party(&terms, ids[0], &ours)?;
        let mut b = party(&terms, ids[1], &other)?;
        let mut recording = BufWriter::new(File::create(self.file)?);
        recording.write_all(FORMAT)?;
        let (mut frames, mut bytes) = (0, 0);
        let started = (Instant::now(), cpu());
        let (mut found, mut other_found) = (None, None);
        loop {
            let mut moved = false;
            if let Some(frame) = send(&mut a, ids[1]) {
                moved = true;
                b.receive(ids[0], frame).map_err(|fault| Failure::plain(fault.to_string()))?;
            }
            if let Some(frame) = send(&mut b, ids[0]) {
                moved = true;
                (frames, bytes) = (frames + 1, bytes + frame.body.len() as u64);
                recording.write_all(&(frame.body.len() as u32).to_le_bytes())?;
                recording.write_all(&frame.body)?;
                a.receive(ids[1], frame).map_err(|fault| Failure::plain(fault.to_string()))?;
            }
            found = found.or_else(|| a.output());
            other_found = other_found.or_else(|| b.output());
            if !moved {
                break;
            }
        }
        recording.flush()?;
        let session = started.0.elapsed();
        let exact = other_found.is_some() && self.is_exact(found.as_ref());
        Ok(self.figures(begin.elapsed(), session, cpu().saturating_sub(started.1), (frames, bytes), exact))
    }

    /// The first party alone, from its file to its result.
    fn replay(&self, flow: Flow, folder: &Path) -> Result<Figures, Failure> {
        let (terms, ids) = self.terms(flow)?;
        let mine = folder.join("a.csv");
        synthetic::write_bench_ids(self.n, 0, 1, BufWriter::new(File::create(&mine)?))?;
        let mut recording = BufReader::with_capacity(1 << 20, File::open(self.file)?);
        let mut format = [0; FORMAT.len()];
        let is_ours = recording.read_exact(&mut format).is_ok() && format == FORMAT;
        if !is_ours {
            return Err(Failure::plain(format!("{} is no recording", self.file.display())));
        }
        let tag = SessionTag::of(&terms.to_terms().hash(), LABEL);
        let (begin, cpu_before) = (Instant::now(), cpu());
        let keys = read(&mine)?;
        let mut a = party(&terms, ids[0], &keys)?;
        let started = Instant::now();
        let (mut sequence, mut bytes, mut found) = (0, 0, None);
        loop {
            let sent = send(&mut a, ids[1]).is_some();
            let body = next(&mut recording)?;
            let received = body.is_some();
            if let Some(body) = body {
                bytes += body.len() as u64;
                let frame = Frame { session: tag, sequence, body };
                sequence += 1;
                a.receive(ids[1], frame).map_err(|fault| {
                    Failure::hinted(
                        format!("the recording does not fit: {fault}"),
                        "record and replay with the same rows and kind",
                    )
                })?;
            }
            found = found.or_else(|| a.output());
            if !sent && !received {
                break;
            }
        }
        let session = started.elapsed();
        if let Some(PsiOutcome { answer: PsiAnswer::Matched(items) | PsiAnswer::Aligned(items), .. }) = &found {
            let rows = if flow == Flow::Align {
                keys.align(items.iter().copied())
            } else {
                keys.select(items.iter().copied())
            };
            let format = OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true };
            let output = intake::Output { columns: Vec::new(), format };
            let out = BufWriter::with_capacity(1 << 20, File::create(folder.join("out.csv"))?);
            let budget = Budget::of_bytes(1 << 30);
            let written = intake::write_rows(&source(&mine), Some(keys.digest()), &rows, &output, &budget, out);
            written.map_err(|error| Failure::plain(error.to_string()))?;
        }
        let exact = self.is_exact(found.as_ref());
        Ok(self.figures(begin.elapsed(), session, cpu().saturating_sub(cpu_before), (sequence, bytes), exact))
    }

    fn terms(&self, flow: Flow) -> Result<(PsiTerms, [PartyId; 2]), Failure> {
        let bad = |error: &dyn std::fmt::Display| Failure::plain(error.to_string());
        let a = "a".parse().map_err(|error| bad(&error))?;
        let b = "b".parse().map_err(|error| bad(&error))?;
        let members = [Member::new(a, self.n), Member::new(b, self.n_peer)];
        let receivers = if flow == Flow::Align { &[a, b][..] } else { &[a] };
        let terms = PsiTerms::new(flow, members, receivers, &["raw"], "bench").map_err(|error| bad(&error))?;
        Ok((terms, [a, b]))
    }

    /// The shared rows of the receiver are those with the highest numbers; here they are counted.
    fn is_exact(&self, found: Option<&PsiOutcome>) -> bool {
        found.is_some_and(|found| match &found.answer {
            PsiAnswer::Matched(items) | PsiAnswer::Aligned(items) => items.len() as u64 == self.shared(),
            PsiAnswer::Size(size) => *size == self.shared(),
            PsiAnswer::Served => false,
        })
    }

    fn figures(&self, wall: Duration, session: Duration, cpu: Duration, peer: (u64, u64), exact: bool) -> Figures {
        Figures {
            kind: self.kind.to_owned(),
            n: self.n,
            n_peer: self.n_peer,
            threads: self.threads,
            backend: kernel::backend(),
            wall_s: round(wall.as_secs_f64(), 3),
            session_s: round(session.as_secs_f64(), 3),
            cpu_us_per_item: round(cpu.as_secs_f64() * 1e6 / self.n.max(1) as f64, 2),
            frames: peer.0,
            peer_bytes: peer.1,
            exact,
        }
    }
}

/// The next frame of a party. Nothing here can be lost, so what it wants to have durable is.
fn send(party: &mut PsiParty, to: PartyId) -> Option<Frame> {
    if party.poll_checkpoint().is_some() {
        party.stored();
    }
    party.poll_send(to)
}

/// The next recorded frame; none at the end.
fn next(recording: &mut impl Read) -> Result<Option<Bytes>, Failure> {
    let mut length = [0; 4];
    match recording.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > Frame::MAX_BODY {
        return Err(Failure::plain("the recording is damaged"));
    }
    let mut body = vec![0; length];
    recording.read_exact(&mut body)?;
    Ok(Some(body.into()))
}

/// A party whose seed is as public as its rows: the same in recording and replay.
fn party(terms: &PsiTerms, me: PartyId, keys: &Keys) -> Result<PsiParty, Failure> {
    let items: Items = keys.ids().collect();
    let mut seed = [0; 32];
    seed[..me.as_str().len()].copy_from_slice(me.as_str().as_bytes());
    PsiParty::new(terms.clone(), me, LABEL, items, Seed::from_bytes(seed), None)
        .map_err(|fault| Failure::plain(fault.to_string()))
}

fn source(path: &Path) -> Source {
    Source { path: path.to_owned(), format: Format::CSV }
}

fn read(path: &Path) -> Result<Keys, Failure> {
    let columns = vec![KeyColumn { column: "id".to_owned(), profile: Profile::Raw }];
    let spec = KeySpec { columns, duplicates: Duplicates::Error, invalid: Invalid::Error };
    let keys = intake::read_keys(&source(path), &spec, None, &Budget::of_bytes(1 << 30));
    keys.map_err(|error| Failure::plain(error.to_string()))
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64)
}

impl Figures {
    fn words(&self, replays: bool) -> String {
        format!(
            "{} {} of {} × {} rows on {} threads: {:.2} s, of it {:.2} s in the protocol · {:.2} µs CPU an item · {} frames of the peer · {}",
            if replays { "replayed" } else { "recorded" },
            self.kind,
            self.n,
            self.n_peer,
            self.threads,
            self.wall_s,
            self.session_s,
            self.cpu_us_per_item,
            self.frames,
            if self.exact { "exact" } else { "WRONG" },
        )
    }
}
