//! `tacitly init`: a party's folder with configuration, identity, certificate and sealing key.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tacitly_core::PartyId;

use super::connect::address;
use super::{Failure, Output};
use crate::daemon::{Config, home};

/// Make a party: its folder, configuration, identity key, certificate and sealing key.
#[derive(Args)]
pub(crate) struct Init {
    /// The party's name: 1 to 32 characters of a-z, 0-9 and '-'.
    party: PartyId,
    /// The one port on which peers reach this party; without it the party only dials.
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The address that invitations name, if it differs from --listen.
    #[arg(long, value_name = "HOST:PORT", requires = "listen")]
    advertise: Option<String>,
}

impl Init {
    pub(crate) fn run(self, folder: PathBuf, output: Output) -> Result<(), Failure> {
        let config = Config::new(self.party, self.listen, self.advertise);
        home::create(&folder, &config).map_err(Failure::plain)?;
        output.say(
            || serde_json::json!({ "party": self.party.as_str(), "home": folder }),
            || format!("{} is ready in {}\n  next: tacitly serve --home {1}", self.party, folder.display()),
        )?;
        Ok(())
    }
}
