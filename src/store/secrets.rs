//! Seeds, checkpoints, results and salts of jobs.

use tacitly_core::Seed;
use zeroize::Zeroizing;

use super::database::Database;
use super::jobs::require_open;
use super::record::statement;
use super::sealed::{Purpose, broken, open_sealed, part_label, put_checkpoint, put_sealed};
use super::{JobId, SealFault, StoreError};

/// Seeds, checkpoints, results and salts of jobs.
#[derive(Clone, Copy)]
pub struct SecretTable<'s>(pub(super) &'s Database);

impl SecretTable<'_> {
    /// The seed of a job that has not ended, if it got one.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn seed(self, job: JobId) -> Result<Option<Seed>, StoreError> {
        let Some(bytes) = open_sealed(self.0, job, Purpose::Seed, "").await? else { return Ok(None) };
        let seed: [u8; 32] =
            bytes.as_slice().try_into().map_err(|_| broken(job, Purpose::Seed, "", SealFault::Truncated))?;
        Ok(Some(Seed::from_bytes(seed)))
    }

    /// Seals a checkpoint of a job that has not ended, in place of the one with the same label. Checkpoints are working
    /// state, no decision, and leave no line in the audit trail.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the job has ended; [`StoreError::Invalid`] for a label
    /// that is empty or longer than 64 bytes; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn put_checkpoint(self, job: JobId, label: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        require_open(&mut write, job).await?;
        put_checkpoint(&mut write, &sealer, job, label, bytes).await?;
        write.commit().await
    }

    /// A checkpoint of a job that has not ended, if there is one with this label.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn checkpoint(self, job: JobId, label: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        open_sealed(self.0, job, Purpose::Checkpoint, label).await
    }

    /// The labels of a job's checkpoints, sorted.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn checkpoint_labels(self, job: JobId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT label FROM sealed WHERE job = $1 AND purpose = $2 AND piece = 0 ORDER BY label";
        let query = statement(sql).bind(job.to_string()).bind(Purpose::Checkpoint.as_str());
        self.0.rows(query).await?.iter().map(|row| row.get("label")).collect()
    }

    /// Seals one part of the result of a job that has not ended, in place of the one with the same number. It cannot be
    /// read before the job ends with [`JobResult::Parts`](super::JobResult::Parts); ended otherwise, it is wiped.
    ///
    /// # Errors
    /// As [`SecretTable::put_checkpoint`].
    pub async fn put_result_part(self, job: JobId, part: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        require_open(&mut write, job).await?;
        put_sealed(&mut write, &sealer, job, Purpose::ResultPart, &part_label(part), bytes).await?;
        write.commit().await
    }

    /// How many parts the result of a job has; none if it has no result (not ended, ended without, or purged).
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn result_parts(self, job: JobId) -> Result<Option<u32>, StoreError> {
        let Some(bytes) = open_sealed(self.0, job, Purpose::ResultParts, "").await? else { return Ok(None) };
        let parts: [u8; 4] =
            bytes.as_slice().try_into().map_err(|_| broken(job, Purpose::ResultParts, "", SealFault::Truncated))?;
        Ok(Some(u32::from_be_bytes(parts)))
    }

    /// One part of the result of a job, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the job has no result with such a part; [`StoreError::SealBroken`] if it had and it
    /// is gone or changed; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn result_part(self, job: JobId, part: u32) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if self.result_parts(job).await?.is_none_or(|parts| part >= parts) {
            return Err(StoreError::not_found("part of a result", format_args!("{part} of job {job}")));
        }
        let label = part_label(part);
        let found = open_sealed(self.0, job, Purpose::ResultPart, &label).await?;
        found.ok_or_else(|| broken(job, Purpose::ResultPart, &label, SealFault::Truncated))
    }

    /// A part of the result of a job that has not ended, as it was put.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn unreleased_part(self, job: JobId, part: u32) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let found = open_sealed(self.0, job, Purpose::ResultPart, &part_label(part)).await?;
        found.ok_or_else(|| StoreError::not_found("part of a result", format_args!("{part} of job {job}")))
    }

    /// The whole result of a job, its parts joined; none if it has no result. For a large one, take
    /// [`SecretTable::result_part`] by part.
    ///
    /// # Errors
    /// As [`SecretTable::result_part`].
    pub async fn result(self, job: JobId) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(parts) = self.result_parts(job).await? else { return Ok(None) };
        // The room is reserved at once, so that no shorter copy is left behind unwiped.
        let sql = "SELECT coalesce(sum(length(blob)), 0) AS size FROM sealed WHERE job = $1 AND purpose = $2";
        let query = statement(sql).bind(job.to_string()).bind(Purpose::ResultPart.as_str());
        let size = self.0.row(query).await?.map_or(Ok(0), |row| row.count("size"))?;
        let mut whole = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
        for part in 0..parts {
            whole.extend_from_slice(&self.result_part(job, part).await?);
        }
        Ok(Some(whole))
    }

    /// Seals the salt under the commitment to a job's output; it outlives the job, until that is purged.
    ///
    /// # Errors
    /// As [`SecretTable::put_checkpoint`].
    pub async fn put_salt(self, job: JobId, salt: &[u8; 32]) -> Result<(), StoreError> {
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        require_open(&mut write, job).await?;
        put_sealed(&mut write, &sealer, job, Purpose::Salt, "", salt).await?;
        write.commit().await
    }

    /// The salt under the commitment to a job's output, if there is one and the job was not purged.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn salt(self, job: JobId) -> Result<Option<Zeroizing<[u8; 32]>>, StoreError> {
        let Some(bytes) = open_sealed(self.0, job, Purpose::Salt, "").await? else { return Ok(None) };
        let salt = bytes.as_slice().try_into().map_err(|_| broken(job, Purpose::Salt, "", SealFault::Truncated))?;
        Ok(Some(Zeroizing::new(salt)))
    }

    /// Seals what a service has of a job, in place of what has the same name. It outlives the job, until that is purged.
    ///
    /// # Errors
    /// As [`SecretTable::put_checkpoint`].
    pub async fn put_artefact(self, job: JobId, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if !(1..=64).contains(&name.len()) {
            return Err(StoreError::invalid("the name of an artefact", "it has 1 to 64 bytes"));
        }
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        require_open(&mut write, job).await?;
        put_sealed(&mut write, &sealer, job, Purpose::Artefact, name, bytes).await?;
        write.commit().await
    }

    /// An artefact of a job that was not purged, if there is one of this name.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn artefact(self, job: JobId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        open_sealed(self.0, job, Purpose::Artefact, name).await
    }
}
