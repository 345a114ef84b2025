//! Real parties on this machine for `demo` and `bench`: own folders, own certificates, own daemon processes, loopback
//! with TLS. Everything is gone when the value is dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Failure;

/// How long a daemon may take to answer, and a link to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A party's folder and its running daemon.
pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
    daemon: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_kib: u64,
}

impl Party {
    /// Makes a party in `folder/name` and starts its daemon, on one processor if `cpu` names one.
    pub(crate) fn start(
        folder: &Path,
        name: &'static str,
        cpu: Option<usize>,
        environment: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let home = folder.join(name);
        let port = free_port()?;
        run(&home, &["init", name, "--listen", &SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()])?;
        let executable = std::env::current_exe()?;
        let mut command = match cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cpu.to_string()]).arg(executable);
                command
            }
            None => Command::new(executable),
        };
        command.arg("serve").arg("--home").arg(&home).envs(environment.iter().cloned());
        let log = std::fs::File::create(home.join("daemon.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().map_err(|error| Failure::plain(format!("cannot start a daemon: {error}")))?;
        let party = Self { name, home, daemon };
        party.await_ready()?;
        Ok(party)
    }

    /// Runs a `tacitly` command for this party and returns what it printed as JSON.
    pub(crate) fn tacitly(&self, arguments: &[&str]) -> Result<Value, Failure> {
        run(&self.home, arguments)
    }

    /// The daemon's use of processor and memory.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        let id = self.daemon.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The fields after the command's name, which stands in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let cpu = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Usage { cpu, peak_rss_kib: peak.unwrap_or_default() })
    }

    fn await_ready(&self) -> Result<(), Failure> {
        poll(|| self.tacitly(&["status"]).ok().map(|_| ())).ok_or_else(|| {
            let log = std::fs::read_to_string(self.home.join("daemon.log")).unwrap_or_default();
            Failure::plain(format!("the daemon of {} did not start:\n{log}", self.name))
        })
    }
}

impl Drop for Party {
    /// Asks the daemon to stop and waits for it; a daemon that does not is killed.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw) {
            let _already_gone = kill_process(pid, Signal::TERM);
        }
        if poll(|| self.daemon.try_wait().ok().flatten()).is_none() {
            let _already_gone = self.daemon.kill();
            let _reaped = self.daemon.wait();
        }
    }
}

/// Pins two parties with each other and waits until their link is up.
pub(crate) fn introduce(inviter: &Party, joiner: &Party) -> Result<(), Failure> {
    let invitation = inviter.tacitly(&["peer", "invite"])?;
    let code = invitation["code"].as_str().unwrap_or_default();
    joiner.tacitly(&["peer", "join", code])?;
    let up = |party: &Party| {
        let peers = party.tacitly(&["peer", "list"]).ok()?;
        peers.as_array()?.iter().any(|peer| peer["link_up"] == true).then_some(())
    };
    poll(|| up(inviter).and_then(|()| up(joiner)))
        .ok_or_else(|| Failure::plain("the link between the parties did not come up"))
}

/// Runs a `tacitly` command as its own process, as a person would, and returns what it printed as JSON.
fn run(home: &Path, arguments: &[&str]) -> Result<Value, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--json", "--home"])
        .arg(home)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::plain(format!("`tacitly {}` failed: {}", arguments.join(" "), text.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::plain(format!("`tacitly {}` did not print JSON: {error}", arguments.join(" "))))
}

fn poll<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
