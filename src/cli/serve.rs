//! `tacitly serve` and `tacitly status`: the daemon, and how it stands.

use std::path::Path;

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::connect::Way;
use super::{Failure, Output, connect};
use crate::daemon;
use crate::rpc::control;

/// Run the party's daemon until SIGTERM or Ctrl-C; running jobs get time to finish.
#[derive(Args)]
pub(crate) struct Serve {}

/// Show how this party's daemon stands.
#[derive(Args)]
pub(crate) struct Status {}

/// Ask whether the daemon is ready: the store takes writes and no drain has begun. Exits with 1 if it is not; for
/// containers and load balancers, as grpc.health.v1 is.
#[derive(Args)]
pub(crate) struct Health {
    /// Ask only whether it lives.
    #[arg(long)]
    live: bool,
}

impl Health {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut health = connect::connect_health(way).await?;
        let service = if self.live { "" } else { control::control_server::SERVICE_NAME };
        let reply = health.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
        if reply.status() != ServingStatus::Serving {
            return Err(Failure::hinted("the daemon lives and is not ready", "`tacitly doctor` and its log say why"));
        }
        let word = if self.live { "live" } else { "ready" };
        output.say(|| serde_json::json!({ "health": word }), || word.to_owned())?;
        Ok(())
    }
}

impl Serve {
    pub(crate) fn run(self, home: &Path) -> Result<(), Failure> {
        daemon::serve(home).map_err(Failure::plain)
    }
}

impl Status {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
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
        )?;
        Ok(())
    }
}
