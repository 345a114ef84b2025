//! `tacitly bench session`: what a round of a session costs beside a bare stream, or many links a coordinator.

use clap::Args;

use super::figures::round;
use super::{Failure, Output};
use crate::link_bench::{Lockstep, Role, Star};

/// Two processes over loopback TLS: small rounds through a session and through bare tonic in turn, with medians; or, with
/// --links, many parties that send to one, and its memory.
#[derive(Args)]
pub(crate) struct BenchSession {
    /// Rounds of each run.
    #[arg(long, default_value_t = 10_000)]
    rounds: u32,
    /// Pairs of runs.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Bytes of each message; with --links, of what each party sends.
    #[arg(long)]
    bytes: Option<usize>,
    /// Instead: so many parties with a link to one.
    #[arg(long)]
    links: Option<usize>,
    /// What the process that this command starts does.
    #[arg(long, hide = true, value_parser = role)]
    other_end: Option<Role>,
}

fn role(name: &str) -> Result<Role, String> {
    Role::named(name).ok_or_else(|| "no such role".to_owned())
}

impl BenchSession {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        if let Some(role) = self.other_end {
            return role.play().map_err(Failure::plain);
        }
        let program = std::env::current_exe()?;
        if let Some(links) = self.links {
            let star = Star { links, bytes: self.bytes.unwrap_or(1 << 20) };
            let figures = star.measure(&program).map_err(Failure::plain)?;
            return output.say(
                || &figures,
                || format!("{links} links: {} MiB beyond its own data at most", round(figures.rss_mib_beyond, 1)),
            );
        }
        let lockstep = Lockstep { runs: self.runs, rounds: self.rounds, bytes: self.bytes.unwrap_or(1 << 10) };
        let figures = lockstep.measure(&program).map_err(Failure::plain)?;
        output.say(
            || &figures,
            || {
                format!(
                    "a round of a session: {:.1} µs, {:.1} µs CPU of both processes; of a bare stream: {:.1} µs, {:.1} µs; {:.2} times",
                    figures.round_us_p50,
                    figures.cpu_us_per_round,
                    figures.round_us_p50_bare,
                    figures.cpu_us_per_round_bare,
                    figures.ratio,
                )
            },
        )
    }
}
