//! Real parties on this machine, for `tacitly demo`, `tacitly bench` and the tests: own folders, own certificates, own
//! daemon processes, loopback with TLS. A daemon ends with the value that holds it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a daemon may take to answer or to stop, a link to come up and a job to end, on a machine that is busy with other
/// tests.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// What `timeout` exits with after it ended a command.
const TIMED_OUT: i32 = 124;

/// Ports that a system, unless set up otherwise, gives to nobody who does not ask for them by number: they lie below
/// those of outgoing connections.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
/// How many of them lie between what two processes with neighbouring numbers try first: more than the largest test
/// program asks for. Prime, so that few processes begin at the same port.
const PORTS_OF_A_PROCESS: u32 = 613;

/// A trial could not be set up, or a command of it failed.
#[derive(Debug, thiserror::Error)]
pub enum TestBedError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A command ended with an error.
    #[error("`tacitly {command}` failed: {text}")]
    Command {
        /// The command.
        command: String,
        /// The stable code, if it gave one.
        code: String,
        /// What it said.
        text: String,
    },
    /// Something did not happen in time.
    #[error("{0}")]
    Late(String),
}

impl TestBedError {
    /// The stable code of the command's failure; empty if there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        if let Self::Command { code, .. } = self { code } else { "" }
    }
}

/// How to start a party.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `tacitly` program.
    pub executable: PathBuf,
    /// The processor its daemon is bound to, if it is to have one alone.
    pub cpu: Option<usize>,
    /// Environment of its daemon, such as `TACITLY_NETWORK__HEARTBEAT_SECONDS`.
    pub environment: Vec<(String, String)>,
    /// What invitations name instead of the port it listens on: a proxy before it, in tests.
    pub advertise: Option<SocketAddr>,
    /// The port it listens on; chosen if absent.
    pub listen: Option<SocketAddr>,
    /// It has no port for peers, and dials them.
    pub dials_only: bool,
    /// How long one of its commands may take; if absent, as long as it likes. A test that fails while another of its
    /// threads waits for a command ends by this.
    pub command_limit: Option<Duration>,
}

impl Setup {
    /// A party of this program with nothing special about it.
    #[must_use]
    pub fn of(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            cpu: None,
            environment: Vec::new(),
            advertise: None,
            listen: None,
            dials_only: false,
            command_limit: None,
        }
    }

    /// The same with one more setting for the daemon, in the form of its environment.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.push((key.to_owned(), value.to_string()));
        self
    }
}

/// A party's folder and its daemon.
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    setup: Setup,
    daemon: Option<Child>,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// The most memory it ever held.
    pub peak_rss_kib: u64,
}

impl Party {
    /// Makes a party in `folder/name` and starts its daemon.
    ///
    /// # Errors
    /// [`TestBedError`], with the daemon's log if it did not come up.
    pub fn start(folder: &Path, name: &str, setup: Setup) -> Result<Self, TestBedError> {
        let listen = match setup.listen {
            Some(address) => address,
            None => free_address()?,
        };
        let mut party = Self { name: name.to_owned(), home: folder.join(name), setup, daemon: None };
        let listen = listen.to_string();
        let mut words = vec!["init", name];
        if !party.setup.dials_only {
            words.extend(["--listen", &listen]);
        }
        let advertise = party.setup.advertise.map(|address| address.to_string());
        if let Some(advertise) = &advertise {
            words.extend(["--advertise", advertise]);
        }
        party.tacitly(&words)?;
        party.serve()?;
        Ok(party)
    }

    /// Starts the daemon, after a [`Party::kill`] or [`Party::stop`].
    ///
    /// # Errors
    /// [`TestBedError::Late`] with the daemon's log if it does not answer.
    pub fn serve(&mut self) -> Result<(), TestBedError> {
        let mut command = match self.setup.cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cpu.to_string()]).arg(&self.setup.executable);
                command
            }
            None => Command::new(&self.setup.executable),
        };
        command.arg("serve").arg("--home").arg(&self.home).envs(self.setup.environment.iter().cloned());
        let log = std::fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let answers = until(|| match daemon.try_wait() {
            Ok(None) => self.tacitly(&["status"]).ok().map(|_| true),
            _ => Some(false),
        });
        self.daemon = Some(daemon);
        if answers == Some(true) {
            return Ok(());
        }
        Err(TestBedError::Late(format!("the daemon of {} did not come up:\n{}", self.name, self.log())))
    }

    /// Gives the daemon one more setting, in the form of its environment, which counts from its next start on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.setup.environment.push((key.to_owned(), value.to_string()));
    }

    /// Runs a `tacitly` command for this party, as its own process, and returns what it printed as JSON.
    ///
    /// # Errors
    /// [`TestBedError::Command`] with its code and words if it fails; [`TestBedError::Late`] past [`Setup::command_limit`].
    pub fn tacitly(&self, arguments: &[&str]) -> Result<Value, TestBedError> {
        let output = self.command(arguments).output()?;
        self.told(arguments, &output)
    }

    /// The same, while the caller may do other work; dropped before its end, it ends the command.
    ///
    /// # Errors
    /// As [`Party::tacitly`].
    pub async fn tacitly_meanwhile(&self, arguments: &[&str]) -> Result<Value, TestBedError> {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let output = command.kill_on_drop(true).output().await?;
        self.told(arguments, &output)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut program = match self.setup.command_limit {
            Some(limit) => {
                let mut program = Command::new("timeout");
                program.arg(limit.as_secs().to_string()).arg(&self.setup.executable);
                program
            }
            None => Command::new(&self.setup.executable),
        };
        program.args(arguments).args(["--json", "--home"]).arg(&self.home).stdin(Stdio::null());
        program
    }

    /// What a command has told by its end.
    fn told(&self, arguments: &[&str], output: &Output) -> Result<Value, TestBedError> {
        let command = arguments.join(" ");
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            let late = |error| TestBedError::Late(format!("`tacitly {command}` did not print JSON: {error}: {text}"));
            return serde_json::from_str(text.trim()).map_err(late);
        }
        if self.setup.command_limit.is_some() && output.status.code() == Some(TIMED_OUT) {
            return Err(TestBedError::Late(format!("`tacitly {command}` did not end in time:\n{}", self.log())));
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let error = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
        let part = |name: &str| error["error"][name].as_str().map(str::to_owned);
        Err(TestBedError::Command {
            command,
            code: part("code").unwrap_or_default(),
            text: part("text").unwrap_or_else(|| text.trim().to_owned()),
        })
    }

    /// The daemon's use of processor and memory.
    ///
    /// # Errors
    /// [`TestBedError::Io`] if the daemon is gone.
    pub fn usage(&self) -> Result<Usage, TestBedError> {
        let id = self.daemon.as_ref().map(Child::id).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The fields after the command's name, which stands in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Usage {
            cpu: Duration::from_secs_f64(ticks as f64 / per_second as f64),
            peak_rss_kib: peak.and_then(|peak| peak.trim().parse().ok()).unwrap_or_default(),
        })
    }

    /// Bytes on disk of the party's folder, and of files that its daemon holds open without a name.
    #[must_use]
    pub fn disk(&self) -> u64 {
        let id = self.daemon.as_ref().map(Child::id).unwrap_or_default();
        let blocks = |found: std::io::Result<std::fs::Metadata>| found.map_or(0, |found| found.blocks() * 512);
        let files = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let named: u64 = files(&self.home).map(|path| blocks(std::fs::symlink_metadata(path))).sum();
        let nameless = files(Path::new(&format!("/proc/{id}/fd"))).filter(|link| {
            std::fs::read_link(link).is_ok_and(|target| target.to_string_lossy().ends_with(" (deleted)"))
        });
        named + nameless.map(|link| blocks(std::fs::metadata(link))).sum::<u64>()
    }

    /// Where the daemon's log is.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.join("daemon.log")
    }

    /// What the daemon has logged so far, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Kills the daemon at once (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _already_gone = daemon.kill();
            let _reaped = daemon.wait();
        }
    }

    /// Asks the daemon to stop (SIGTERM) and waits. Returns its exit code, `None` if it had to be killed.
    pub fn stop(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take()?;
        signal(&daemon, Signal::TERM);
        if let Some(status) = until(|| daemon.try_wait().ok().flatten()) {
            return status.code();
        }
        let _already_gone = daemon.kill();
        let _reaped = daemon.wait();
        None
    }

    /// Freezes the daemon (SIGSTOP) or lets it go on (SIGCONT): alive, and silent.
    pub fn freeze(&self, frozen: bool) {
        if let Some(daemon) = &self.daemon {
            signal(daemon, if frozen { Signal::STOP } else { Signal::CONT });
        }
    }
}

impl Party {
    /// A code with which the party of this name can join.
    ///
    /// # Errors
    /// [`TestBedError`] if the daemon refuses.
    pub fn invite(&self, name: &str) -> Result<String, TestBedError> {
        Ok(self.tacitly(&["peer", "invite", name])?["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.freeze(false);
        self.stop();
    }
}

/// Pins two parties with each other and waits until both see their link up.
///
/// # Errors
/// [`TestBedError`] if the enrolment fails or the link does not come up.
pub fn connect(inviter: &Party, joiner: &Party) -> Result<(), TestBedError> {
    joiner.tacitly(&["peer", "join", &inviter.invite(&joiner.name)?])?;
    await_link(inviter, joiner)
}

/// Waits until two parties see their link up.
///
/// # Errors
/// [`TestBedError::Late`] if it does not come up.
pub fn await_link(one: &Party, other: &Party) -> Result<(), TestBedError> {
    let up = |party: &Party, peer: &Party| {
        let peers = party.tacitly(&["peer", "list"]).ok()?;
        let sees = |entry: &Value| entry["party"] == peer.name.as_str() && entry["link_up"] == true;
        peers.as_array()?.iter().any(sees).then_some(())
    };
    until(|| up(one, other).and_then(|()| up(other, one)))
        .ok_or_else(|| TestBedError::Late("the link between the parties did not come up".to_owned()))
}

/// Asks again and again until there is an answer, for at most [`PATIENCE`].
pub fn until<T>(ready: impl FnMut() -> Option<T>) -> Option<T> {
    until_within(PATIENCE, ready)
}

/// Asks again and again until there is an answer, for at most so long.
pub fn until_within<T>(patience: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > patience {
            return None;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A loopback address where nobody listens. The system gives its port to no connection, and this process hands it out
/// once: it is still free when a daemon that was killed comes back to it.
///
/// # Errors
/// If the system has none.
pub fn free_address() -> std::io::Result<SocketAddr> {
    static HANDED_OUT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    let first = std::process::id() % count * PORTS_OF_A_PROCESS;
    let mut refused = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..count {
        let port = PORTS.start + (first + HANDED_OUT.fetch_add(1, Ordering::Relaxed)) % count;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap_or_default())) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn signal(process: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        let _already_gone = kill_process(pid, signal);
    }
}
