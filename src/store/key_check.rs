//! Which key a store is sealed with: a sealed nothing that only that key opens.

use super::database::{Database, Transaction};
use super::record::statement;
use super::{SealFault, Sealer, StoreError};

/// The name of the value that shows it.
pub(crate) const KEY_CHECK: &str = "key-check";

/// Refuses any key but the one the store is sealed with; a new store takes the key it is given.
pub(crate) async fn check_key(database: &Database) -> Result<(), StoreError> {
    let sealer = database.sealer.read().await;
    if let Some(row) = database.row(statement("SELECT value FROM meta WHERE name = $1").bind(KEY_CHECK)).await? {
        let blob: Vec<u8> = row.get("value")?;
        return match sealer.open(KEY_CHECK, &[], &blob) {
            Ok(_) => Ok(()),
            Err(SealFault::OtherKey(sealed_with)) => Err(StoreError::WrongKey { sealed_with, given: sealer.key_id() }),
            Err(fault) => Err(StoreError::SealBroken { what: KEY_CHECK.to_owned(), fault }),
        };
    }
    let mut write = database.begin().await?;
    put_key_check(&mut write, &sealer).await?;
    write.commit().await
}

/// Notes which key the store is sealed with.
pub(crate) async fn put_key_check(write: &mut Transaction, sealer: &Sealer) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    write.run(statement(sql).bind(KEY_CHECK).bind(sealer.seal(KEY_CHECK, &[], &[])?)).await?;
    Ok(())
}
