//! The process at the other end: this program again, told by its command line what to do, and ended with its input.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tacitly_core::PartyId;

use super::error::BenchError;
use crate::transport::{Pin, TlsIdentity};

/// The name of the role of whoever answers every round.
pub(super) const ECHO: &str = "echo";
/// The name of the role of many parties that send.
pub(super) const SENDERS: &str = "senders";

/// The running process; it ends with this value.
pub(super) struct Other {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Other {
    /// Starts `program` in a role and tells it what it needs to know, in one line.
    pub(super) fn start(program: &Path, role: &str, told: &str) -> Result<Self, BenchError> {
        let mut process = Command::new(program)
            .args(["bench", "session", "--other-end", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(BenchError::Other("the other process has no pipes".to_owned()));
        };
        let mut other = Self { process, input: Some(input), output: BufReader::new(output) };
        other.tell(told)?;
        Ok(other)
    }

    pub(super) fn tell(&mut self, line: &str) -> Result<(), BenchError> {
        let Some(input) = &mut self.input else { return Ok(()) };
        Ok(writeln!(input, "{line}")?)
    }

    /// The next line that it prints.
    pub(super) fn hear(&mut self) -> Result<String, BenchError> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(BenchError::Other("the other process ended early".to_owned())),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.input = None;
        let _it_is_gone = self.process.kill();
        let _it_has_ended = self.process.wait();
    }
}

/// What the process that started us says next, as words; none once it has gone.
pub(super) fn told() -> Result<Vec<String>, BenchError> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.split_whitespace().map(str::to_owned).collect())
}

/// Says something to the process that started us.
pub(super) fn say(line: &str) -> Result<(), BenchError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Waits until the process that started us has gone, or needs us no more.
pub(super) fn until_dismissed() -> Result<(), BenchError> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A party and its key, as they stand in a line.
pub(super) fn introduction(identity: &TlsIdentity) -> String {
    format!("{} {}", identity.party(), identity.pin())
}

/// A party and its key out of the words of a line.
pub(super) fn introduced(words: &[String]) -> Result<(PartyId, Pin), BenchError> {
    let [party, pin, ..] = words else { return Err(BenchError::Other("nobody introduced itself".to_owned())) };
    Ok((party.parse().map_err(BenchError::other)?, pin.parse().map_err(BenchError::other)?))
}
