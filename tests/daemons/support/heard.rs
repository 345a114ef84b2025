//! What a party that a test plays hears of a daemon, and how it is known to it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tacitly::intake::{Duplicates, Invalid, KeyColumn, KeySpec, Profile};
use tacitly::transport::{Connection, Envelope, LinkError, TlsIdentity};
use tacitly_core::PartyId;
use tacitly_psi::Items;
use tokio::time::interval;

/// Much faster than the daemon of a stage expects to hear something.
pub(crate) const BEAT: Duration = Duration::from_millis(200);

/// What the daemon says next; it hears of us meanwhile.
pub(crate) async fn hear_alive(connection: &mut Connection) -> Result<Envelope, LinkError> {
    let mut beat = interval(BEAT);
    loop {
        tokio::select! {
            heard = connection.receive() => return heard,
            _ = beat.tick() => connection.send(Envelope::Heartbeat).await?,
        }
    }
}

/// A fresh certificate of this party.
pub(crate) fn fresh_identity(party: PartyId) -> TlsIdentity {
    let day = SignedDuration::from_hours(24);
    TlsIdentity::generate(party, Timestamp::now() - day, Timestamp::now() + day).unwrap()
}

/// Mobile numbers as the daemon reads them.
pub(crate) fn canonical(mobiles: &[String]) -> Items {
    let profile = "cn-mobile".parse::<Profile>().unwrap();
    let columns = vec![KeyColumn { column: "mobile".to_owned(), profile }];
    let key = KeySpec { columns, duplicates: Duplicates::Error, invalid: Invalid::Error };
    let mut items = Items::new();
    for mobile in mobiles {
        let mut id = Vec::new();
        key.canonical_id(&[mobile.as_bytes()], &mut id).unwrap();
        items.push(&id);
    }
    items
}
