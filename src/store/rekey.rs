//! A new sealing key.

use serde_json::json;

use super::material::reseal_material;
use super::{Sealer, Store, StoreError};

impl Store {
    /// Seals everything anew with another key, all of it or nothing. Others who read or write sealed values wait.
    ///
    /// Write the new key to its file first: after this returns `Ok`, and perhaps when the process dies in between,
    /// only the new key opens the store. A start that meets [`StoreError::WrongKey`] says which of the two it is.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`] if something does not open with the present key (and then nothing is changed);
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn rekey(&self, new: Sealer, by: &str) -> Result<(), StoreError> {
        let mut sealer = self.sealer.write().await;
        let mut write = self.begin().await?;
        let mut pieces = write.reseal(&sealer, &new).await?;
        pieces += write.reseal_fingerprints(&sealer, &new).await? + write.reseal_queries(&sealer, &new).await?;
        pieces += reseal_material(&mut write, &sealer, &new).await?;
        write.put_key_check(&new).await?;
        let [old, key] = [sealer.key_id(), new.key_id()].map(|id| id.to_string());
        write.note(by, "store-rekeyed", json!({ "old": old, "new": key, "pieces": pieces })).await?;
        write.commit().await?;
        *sealer = new;
        drop(sealer);
        self.cut_log().await;
        Ok(())
    }
}
