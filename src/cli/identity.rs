//! `tacitly identity`: what peers know this party by, and a new TLS key without a restart.

use std::path::Path;

use clap::Subcommand;

use super::connect::Way;
use super::{Failure, Output, connect};
use crate::daemon::{Config, home};
use crate::rpc::control;
use crate::store::{FileSigner, Signer};

/// The party's identity: show it, or change its TLS key.
#[derive(Subcommand)]
pub(crate) enum Identity {
    /// Show the party's name, signing key, pin of its TLS key and dates of its certificate; all of it is public.
    Show,
    /// Change the TLS key and certificate without a restart. Peers learn the new key before it is used, so their links
    /// must be up; jobs go on.
    Rotate {
        /// Rotate also if some peers cannot be told; they refuse us until they join again with an invitation.
        #[arg(long)]
        force: bool,
        /// Seconds for which peers accept the old key after that.
        #[arg(long, default_value_t = 600)]
        grace_seconds: u64,
    },
    /// Revoke the signing key: on record, and told to every peer. Nothing is agreed with it any more, and certificates with
    /// signatures by it are refused unless witnesses show that they are older. It cannot be taken back: begin a new party
    /// with `tacitly init` in another folder.
    Revoke {
        /// From when on somebody else may have had the key, as in 2027-01-01T08:00:00+08:00; absent: from now on.
        #[arg(long, value_name = "MOMENT", default_value = "", hide_default_value = true)]
        since: String,
        /// Do it.
        #[arg(long, required = true)]
        yes: bool,
    },
}

impl Identity {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        match self {
            Self::Show => show(&way.home, output),
            Self::Revoke { since, yes: _ } => {
                let mut daemon = connect::connect(way).await?;
                let request = control::RevokeIdentityRequest { since };
                let reply = daemon.revoke_identity(request).await?.into_inner();
                output.say(|| reply.clone(), || told(&reply))
            }
            Self::Rotate { force, grace_seconds } => {
                let mut daemon = connect::connect(way).await?;
                let request = control::RotateIdentityRequest { force, grace_seconds };
                let reply = daemon.rotate_identity(request).await?.into_inner();
                output.say(
                    || reply.clone(),
                    || {
                        let mut lines =
                            vec![format!("new key {}, certificate until {}", reply.pin, reply.certificate_expires)];
                        let untold = reply.untold.iter();
                        lines.extend(untold.map(|peer| format!("  {peer} was not told: invite it again")));
                        lines.join("\n")
                    },
                )?;
                Ok(())
            }
        }
    }
}

/// Who knows of a revocation, and who will.
fn told(reply: &control::RevokeIdentityReply) -> String {
    let mut lines = vec![format!("the signing key counts no more since {}, on record as {}", reply.since, reply.leaf)];
    if !reply.told.is_empty() {
        lines.push(format!("  told: {}", reply.told.join(", ")));
    }
    if !reply.untold.is_empty() {
        let away = reply.untold.join(", ");
        lines.push(format!("  not told yet: {away}; keep this daemon running until their links have been up"));
    }
    lines.join("\n")
}

fn show(home: &Path, output: Output) -> Result<(), Failure> {
    let config = Config::load(home).map_err(Failure::plain)?;
    let identity = home::identity(home).map_err(Failure::plain)?;
    let key = FileSigner::load(&home.join(home::IDENTITY_KEY)).map_err(Failure::plain)?.public_key();
    output.say(
        || {
            serde_json::json!({
                "party": config.party.as_str(),
                "key": key.to_string(),
                "pin": identity.pin().to_string(),
                "certificate_from": identity.not_before().to_string(),
                "certificate_expires": identity.not_after().to_string(),
            })
        },
        || {
            format!(
                "{}\n  signing key  {key}\n  TLS pin      {}\n  certificate  {} to {}",
                config.party,
                identity.pin(),
                identity.not_before(),
                identity.not_after()
            )
        },
    )?;
    Ok(())
}
