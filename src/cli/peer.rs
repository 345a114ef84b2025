//! `tacitly peer`: who is pinned here.

use std::io::Read as _;

use clap::Subcommand;

use super::connect::Way;
use super::output::table;
use super::{Failure, Output, connect};
use crate::rpc::control;

/// More than any code has.
const MAX_CODE: u64 = 4096;

/// Peers: invite, join, list, set-address, remove.
#[derive(Subcommand)]
pub(crate) enum Peer {
    /// Print a code with which the party of this name can join, once. It holds a secret: send it over a channel you trust.
    Invite {
        /// The name of the party that is invited; nobody joins with the code under another name.
        party: String,
        /// Hours until the code is void, 720 at most.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
        hours: u64,
    },
    /// Join with a code from the other party's `peer invite`; both sides pin each other's keys.
    Join {
        /// The code, or `-` to read it from standard input, where no list of processes and no shell's history shows it.
        code: String,
    },
    /// List peers with the state of their links.
    List,
    /// Dial a peer at another address from now on; its rules, keys and jobs stay. A peer that has moved may also join again.
    SetAddress {
        /// The peer's name.
        party: String,
        /// Where it is dialled, as HOST:PORT; absent: it dials us.
        address: Option<String>,
    },
    /// Remove a peer: its key is no longer accepted and its rules are gone.
    Remove {
        /// The peer's name.
        party: String,
    },
}

impl Peer {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        match self {
            Self::Invite { party, hours } => {
                let request =
                    control::InviteRequest { valid_seconds: hours.saturating_mul(3600), party: party.clone() };
                let reply = daemon.invite(request).await?.into_inner();
                output.note(|| format!("for {party}, valid until {}; there: tacitly peer join CODE", reply.expires));
                output.say(|| reply.clone(), || reply.code.clone())?;
            }
            Self::Join { mut code } => {
                if code == "-" {
                    code.clear();
                    let read = std::io::stdin().take(MAX_CODE).read_to_string(&mut code);
                    read.map_err(|error| Failure::plain(format!("the code cannot be read: {error}")))?;
                }
                let peer = daemon.join(control::JoinRequest { code }).await?.into_inner();
                output.say(|| peer.clone(), || format!("{} is pinned here, and we are pinned there", peer.party))?;
            }
            Self::List => {
                let peers = daemon.list_peers(control::ListPeersRequest {}).await?.into_inner().peers;
                output.say(|| &peers, || listing(&peers))?;
            }
            Self::SetAddress { party, address } => {
                let request = control::SetPeerAddressRequest { party, address: address.unwrap_or_default() };
                let peer = daemon.set_peer_address(request).await?.into_inner();
                output.say(
                    || peer.clone(),
                    || match peer.address.as_str() {
                        "" => format!("{} is waited for: it dials us", peer.party),
                        address => format!("{} is dialled at {address}", peer.party),
                    },
                )?;
            }
            Self::Remove { party } => {
                daemon.remove_peer(control::RemovePeerRequest { party: party.clone() }).await?;
                output.say(|| serde_json::json!({ "removed": party }), || format!("{party} is no longer a peer"))?;
            }
        }
        Ok(())
    }
}

fn listing(peers: &[control::Peer]) -> String {
    if peers.is_empty() {
        return "no peers; `tacitly peer invite NAME` makes a code for one".to_owned();
    }
    let mut rows = vec![["PEER", "LINK", "ADDRESS", "KEY"].map(str::to_owned).to_vec()];
    for peer in peers {
        let link = if peer.link_up { "up".to_owned() } else { format!("down: {}", peer.link_detail) };
        let address = if peer.address.is_empty() { "(dials us)" } else { &peer.address };
        rows.push(vec![peer.party.clone(), link, address.to_owned(), peer.key.clone()]);
    }
    table(&rows)
}
