//! `tacitly serve` and `tacitly status`: the daemon, and how it stands.

use std::path::Path;

use clap::Args;

use super::{Failure, Output, connect};
use crate::daemon;
use crate::rpc::control;

/// Run the party's daemon until SIGTERM or Ctrl-C; running jobs get time to finish.
#[derive(Args)]
pub(crate) struct Serve {}

/// Show how this party's daemon stands.
#[derive(Args)]
pub(crate) struct Status {}

impl Serve {
    pub(crate) fn run(self, home: &Path) -> Result<(), Failure> {
        daemon::serve(home).map_err(Failure::plain)
    }
}

impl Status {
    pub(crate) async fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(home).await?;
        let status = daemon.status(control::StatusRequest {}).await?.into_inner();
        output.say(
            || status.clone(),
            || {
                let listen = if status.listen.is_empty() { "dials only" } else { &status.listen };
                let mut lines = vec![format!(
                    "{} · tacitly {} · {listen} · {} kernel · {} jobs running · certificate until {}",
                    status.party, status.version, status.backend, status.running_jobs, status.certificate_expires
                )];
                lines.extend(status.peers.iter().map(|peer| {
                    format!("  {}: {}", peer.party, if peer.link_up { "up" } else { peer.link_detail.as_str() })
                }));
                lines.extend(status.warnings.iter().map(|warning| format!("  warning: {warning}")));
                lines.join("\n")
            },
        );
        Ok(())
    }
}
