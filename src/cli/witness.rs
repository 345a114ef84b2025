//! `tacitly witness`: a witness for the logs of others, for a notary or a regulator. It sees sizes and hashes.

use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use tacitly_attestation::note::VerifierKey;
use tacitly_core::PartyId;

use super::{Failure, Output};
use crate::daemon::StandAlone;

/// Witness the logs of others: cosign how far each has come, and let no second history pass. It needs no access to
/// data and sees no entry. The folder (--home) is made at the first start; what it prints then is what a party puts
/// into its party.toml.
#[derive(Args)]
pub(crate) struct Witness {
    /// The witness's name, such as regulator.
    #[arg(long)]
    name: PartyId,
    /// Where it answers, over TLS.
    #[arg(long, value_name = "IP:PORT", value_parser = super::connect::address)]
    listen: SocketAddr,
    /// The key of a log to witness, as `tacitly log head` shows it; can be given often. Kept in the file logs, which
    /// can be edited while the witness runs.
    #[arg(long, value_name = "KEY")]
    log: Vec<String>,
}

impl Witness {
    pub(crate) async fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let logs = self.log.iter().map(|text| VerifierKey::parse(text)).collect::<Result<Vec<_>, _>>();
        let logs = logs.map_err(|error| Failure::plain(format!("--log: {error}")))?;
        let witness = StandAlone::open(home, self.name, &logs).map_err(Failure::plain)?;
        let card = witness.card.clone();
        output.say(
            || serde_json::json!({ "name": card.name, "pin": card.pin, "key": card.key.to_string(), "listen": self.listen }),
            || {
                format!(
                    "{} answers at {}; a party whose log it is to witness adds to party.toml:\n\n[[attestation.witness]]\n\
                     address = \"{}\"\nname = \"{}\"\npin = \"{}\"\nkey = \"{}\"",
                    card.key.name(),
                    self.listen,
                    self.listen,
                    card.name,
                    card.pin,
                    card.key
                )
            },
        )?;
        witness.serve(self.listen).await.map_err(Failure::plain)
    }
}
