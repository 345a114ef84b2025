//! What the tests with real daemons share: two parties, files of known content, and a cable that can be cut.

#![allow(dead_code, unreachable_pub)] // The tests of the log use a part of this module.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tacitly::test_bed::{Party, Setup, TestBedError, connect, until};
use tempfile::TempDir;

pub(crate) mod actor;
pub(crate) mod agreement;
pub(crate) mod body;
pub(crate) mod heard;
pub(crate) mod leader;
pub(crate) mod liar;
pub(crate) mod script;
pub(crate) mod stage;
pub(crate) mod words;

/// How long a command of a test may take: nothing that hangs holds up the tests for longer.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_mins(5);

/// Proposes an intersection of the two datasets of a pair for the bank, and comes back at once.
pub const SUBMIT: [&str; 10] =
    ["job", "submit", "--kind", "intersect", "--party", "bank/ids", "--party", "shop/ids", "--receive", "bank"];

/// Two linked daemons in a folder of their own.
pub struct Pair {
    pub bank: Party,
    pub shop: Party,
    /// Identifiers that no log may hold.
    secrets: Vec<String>,
    pub folder: TempDir,
}

/// A setup under which no machine is so slow that a peer counts as lost.
pub fn setup() -> Setup {
    Setup { command_limit: Some(COMMAND_LIMIT), ..Setup::of(env!("CARGO_BIN_EXE_tacitly")) }
        .set("TACITLY_NETWORK__HEARTBEAT_SECONDS", 1)
        .set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 30)
        .set("TACITLY_LOG__LEVEL", "debug")
}

/// For tests that wait until a peer counts as lost, whose connections are closed: a setup with a time to wait for.
pub fn brisk() -> Setup {
    setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 2)
}

/// The program, for a process of its own that ends by [`COMMAND_LIMIT`] whatever becomes of its daemon. Without input.
pub fn tacitly() -> Command {
    let mut command = Command::new("timeout");
    command.arg(COMMAND_LIMIT.as_secs().to_string()).arg(env!("CARGO_BIN_EXE_tacitly")).stdin(Stdio::null());
    command
}

/// Runs a command on a party's folder.
pub fn run(home: &Path, words: &[&str]) -> Output {
    tacitly().args(words).arg("--home").arg(home).output().unwrap()
}

/// The folder of a party that no daemon serves yet.
pub fn init(folder: &Path) -> PathBuf {
    let home = folder.join("bank");
    assert!(run(&home, &["init", "bank"]).status.success());
    home
}

impl Pair {
    pub fn start() -> Self {
        Self::with(setup(), setup())
    }

    pub fn with(bank: Setup, shop: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank = Party::start(folder.path(), "bank", bank).unwrap();
        let shop = Party::start(folder.path(), "shop", shop).unwrap();
        connect(&bank, &shop).unwrap();
        Self { bank, shop, secrets: Vec::new(), folder }
    }

    /// The bank is reached through a cable that can be cut; the shop dials.
    pub fn with_cable(bank: Setup, shop: Setup) -> (Self, Cable) {
        let listen = tacitly::test_bed::free_address().unwrap();
        let cable = Cable::to(listen);
        let bank = Setup { listen: Some(listen), advertise: Some(cable.address), ..bank };
        let shop = Setup { dials_only: true, ..shop };
        (Self::with(bank, shop), cable)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a one-column file per side and registers both.
    pub fn datasets<A: AsRef<str>, B: AsRef<str>>(&mut self, ours: &[A], theirs: &[B]) {
        self.dataset_at("bank", "mobile", "cn-mobile", ours);
        self.dataset_at("shop", "phone", "cn-mobile", theirs);
    }

    pub fn dataset_at<T: AsRef<str>>(&mut self, side: &str, column: &str, profile: &str, ids: &[T]) {
        let path = self.file(&format!("{side}.csv"));
        let mut text = format!("{column},n\n");
        for (row, id) in ids.iter().enumerate() {
            text.push_str(&format!("{},{row}\n", id.as_ref()));
        }
        std::fs::write(&path, text).unwrap();
        self.secrets.extend(ids.iter().map(|id| id.as_ref().to_owned()).filter(|id| id.len() > 4));
        let (party, peer) = if side == "bank" { (&self.bank, "shop") } else { (&self.shop, "bank") };
        let key = format!("{column}={profile}");
        let path = path.display().to_string();
        party.tacitly(&["dataset", "add", "ids", &path, "--key", &key, "--allow", peer, "--replace"]).unwrap();
    }

    /// Runs an intersection for the bank; returns the job and the column `n` of the rows written.
    pub fn intersect(&self) -> Result<(Value, Vec<u64>), TestBedError> {
        let out = self.file("out.csv");
        let _leftover = std::fs::remove_file(&out);
        let text = out.display().to_string();
        let job = self.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &text])?;
        Ok((job, numbers(&out)))
    }

    /// Waits until a party's only job is in one of these states, and returns it.
    pub fn await_state(party: &Party, states: &[&str]) -> Value {
        let found = until(|| {
            let jobs = party.tacitly(&["job", "list"]).ok()?;
            let job = jobs.as_array()?.last()?.clone();
            states.contains(&job["state"].as_str()?).then_some(job)
        });
        found.unwrap_or_else(|| panic!("{} did not reach {states:?}:\n{}", party.name, party.log()))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for party in [&self.bank, &self.shop] {
                eprintln!("--- log of {}\n{}", party.name, party.log());
            }
            return;
        }
        for party in [&self.bank, &self.shop] {
            assert_clean_log(party, &self.secrets);
        }
    }
}

/// No line of a party's log holds an identifier, and its daemon has not panicked.
pub fn assert_clean_log(party: &Party, secrets: &[String]) {
    let log = party.log();
    assert!(!holds_any(&log, secrets), "the log of {} holds an identifier", party.name);
    assert!(!log.contains("panicked"), "the daemon of {} panicked:\n{log}", party.name);
}

/// Whether a text holds any of these words, anywhere.
fn holds_any(text: &str, words: &[String]) -> bool {
    let mut by_length: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
    for word in words {
        by_length.entry(word.len()).or_default().insert(word.as_bytes());
    }
    by_length.iter().any(|(length, words)| text.as_bytes().windows(*length).any(|window| words.contains(window)))
}

#[test]
fn a_leaked_identifier_would_be_found() {
    let words = ["13800000001".to_owned(), "id-7 ü".to_owned()];
    assert!(holds_any("…key=13800000001,", &words) && holds_any("xid-7 üx", &words));
    assert!(!holds_any("1380000000 id-7", &words));
}

/// The column `n` of a result.
pub fn numbers(file: &Path) -> Vec<u64> {
    let Ok(mut reader) = csv::Reader::from_path(file) else { return Vec::new() };
    let column = reader.headers().unwrap().iter().position(|name| name == "n").unwrap();
    reader.records().map(|row| row.unwrap()[column].parse().unwrap()).collect()
}

/// Distinct mobile numbers, as eleven digits.
pub fn mobiles(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| format!("138{number:08}")).collect()
}

/// Rows of `ours` whose id is among `theirs`.
pub fn semi_join(ours: &[String], theirs: &[String]) -> Vec<u64> {
    let theirs: BTreeSet<&String> = theirs.iter().collect();
    (0..).zip(ours).filter(|(_, id)| theirs.contains(id)).map(|(row, _)| row).collect()
}

/// A cable between two daemons: carries bytes until it is cut, and can be mended.
pub struct Cable {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    carried: AtomicU64,
    cut_after: Mutex<Option<u64>>,
    hold_after: Mutex<Option<u64>>,
    held: AtomicBool,
    delay: Mutex<Duration>,
    /// At how many bytes which fault strikes, once.
    spoil: Mutex<Option<(u64, u8)>>,
    ends: Mutex<Vec<TcpStream>>,
}

impl Cable {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if shared.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(target) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    shared.ends.lock().unwrap().push(from.try_clone().unwrap());
                    let shared = shared.clone();
                    std::thread::spawn(move || shared.carry(from, to));
                }
            }
        });
        Self { address, state }
    }

    /// Cuts every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.cut();
    }

    pub fn mend(&self) {
        *self.state.cut_after.lock().unwrap() = None;
        self.state.cut.store(false, Ordering::SeqCst);
    }

    /// Cuts by itself once this many more bytes have been carried.
    pub fn cut_after(&self, bytes: u64) {
        let carried = self.state.carried.load(Ordering::SeqCst);
        *self.state.cut_after.lock().unwrap() = Some(carried + bytes);
    }

    /// Carries nothing more once this many more bytes have been carried, until it is released; connections stay.
    pub fn hold_after(&self, bytes: u64) {
        *self.state.hold_after.lock().unwrap() = Some(self.carried() + bytes);
    }

    /// Waits until it holds back what it is given.
    pub fn await_hold(&self) {
        until(|| self.state.held.load(Ordering::SeqCst).then_some(())).expect("so much was not sent");
    }

    pub fn release(&self) {
        *self.state.hold_after.lock().unwrap() = None;
        self.state.held.store(false, Ordering::SeqCst);
    }

    /// Holds every piece back for a while.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// Once this many more bytes have been carried: loses half a piece (1), carries a piece twice (2), or closes one
    /// direction only (3).
    pub fn spoil_after(&self, bytes: u64, fault: u8) {
        *self.state.spoil.lock().unwrap() = Some((self.carried() + bytes, fault));
    }

    pub fn is_cut(&self) -> bool {
        self.state.cut.load(Ordering::SeqCst)
    }

    pub fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }
}

impl State {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.ends.lock().unwrap().drain(..) {
            let _already_gone = end.shutdown(Shutdown::Both);
        }
    }

    /// Whether enough was carried to hold back the rest.
    fn holds(&self) -> bool {
        let carried = self.carried.load(Ordering::SeqCst);
        let holds = self.hold_after.lock().unwrap().is_some_and(|limit| carried >= limit);
        if holds {
            self.held.store(true, Ordering::SeqCst);
        }
        holds
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            let delay = *self.delay.lock().unwrap();
            if !delay.is_zero() {
                std::thread::sleep(delay);
            }
            while self.holds() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let due = |spoil: &mut (u64, u8)| self.carried.load(Ordering::SeqCst) >= spoil.0;
            let fault = self.spoil.lock().unwrap().take_if(due).map_or(0, |(_, fault)| fault);
            let kept = if fault == 1 { length / 2 } else { length };
            let carry = |to: &mut TcpStream| to.write_all(&piece[..kept]);
            if self.cut.load(Ordering::SeqCst) || carry(&mut to).is_err() || (fault == 2 && carry(&mut to).is_err()) {
                break;
            }
            if fault == 3 {
                let _already_gone = to.shutdown(Shutdown::Write);
                return;
            }
            let carried = self.carried.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
            if self.cut_after.lock().unwrap().is_some_and(|limit| carried >= limit) {
                self.cut();
            }
        }
        let _already_gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
