//! A new sealing key.

use serde_json::json;

use super::database::Database;
use super::events::note;
use super::fingerprints::reseal_fingerprints;
use super::material::reseal_material;
use super::queries::reseal_queries;
use super::sealed::reseal;
use super::{Sealer, StoreError};

/// Seals everything anew. See [`Store::rekey`](super::Store::rekey).
pub(crate) async fn rekey(database: &Database, new: Sealer, by: &str) -> Result<(), StoreError> {
    let mut sealer = database.sealer.write().await;
    let mut write = database.begin().await?;
    let mut pieces = reseal(&mut write, &sealer, &new).await?;
    pieces += reseal_fingerprints(&mut write, &sealer, &new).await? + reseal_queries(&mut write, &sealer, &new).await?;
    pieces += reseal_material(&mut write, &sealer, &new).await?;
    write.put_integrity_key(&new).await?;
    let [old, key] = [sealer.key_id(), new.key_id()].map(|id| id.to_string());
    note(&mut write, by, "store-rekeyed", json!({ "old": old, "new": key, "pieces": pieces })).await?;
    write.commit().await?;
    *sealer = new;
    drop(sealer);
    database.cut_log().await;
    Ok(())
}
