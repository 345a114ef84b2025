//! Seeds, checkpoints and results: sealed in pieces, each bound to its job, its purpose, its label and its place among
//! the pieces. Cutting keeps one sealing operation short and the memory it takes small.

use tacitly_core::Seed;
use zeroize::Zeroizing;

use super::database::Write;
use super::record::{Row, statement};
use super::{JobId, SealFault, Sealer, Store, StoreError};

/// The bytes sealed at once.
const PIECE: usize = 1 << 20;

/// What a sealed value is. Its text is bound into every blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The seed of a job.
    Seed,
    /// A checkpoint, by its label.
    Checkpoint,
    /// A part of a result, by its number.
    ResultPart,
    /// The salt under the commitment to the job's output.
    Salt,
    /// How many parts the result has. There is one only when the job has ended with a result.
    ResultParts,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Checkpoint => "checkpoint",
            Self::ResultPart => "result-part",
            Self::Salt => "salt",
            Self::ResultParts => "result-parts",
        }
    }
}

impl Store {
    /// The seed of a job that has not ended, if it got one.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn seed(&self, job: JobId) -> Result<Option<Seed>, StoreError> {
        let Some(bytes) = self.open_sealed(job, Purpose::Seed, "").await? else { return Ok(None) };
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
    pub async fn put_checkpoint(&self, job: JobId, label: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let sealer = self.sealer.read().await;
        let mut write = self.begin().await?;
        write.require_open(job).await?;
        write.put_checkpoint(&sealer, job, label, bytes).await?;
        write.commit().await
    }

    /// A checkpoint of a job that has not ended, if there is one with this label.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get_checkpoint(&self, job: JobId, label: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.open_sealed(job, Purpose::Checkpoint, label).await
    }

    /// The labels of a job's checkpoints, sorted.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn checkpoint_labels(&self, job: JobId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT label FROM sealed WHERE job = $1 AND purpose = $2 AND piece = 0 ORDER BY label";
        let query = statement(sql).bind(job.to_string()).bind(Purpose::Checkpoint.as_str());
        self.rows(query).await?.iter().map(|row| row.get("label")).collect()
    }

    /// Seals one part of the result of a job that has not ended, in place of the one with the same number. It cannot be
    /// read before the job ends with [`JobResult::Parts`](super::JobResult::Parts); ended otherwise, it is wiped.
    ///
    /// # Errors
    /// As [`Store::put_checkpoint`].
    pub async fn put_result_part(&self, job: JobId, part: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let sealer = self.sealer.read().await;
        let mut write = self.begin().await?;
        write.require_open(job).await?;
        write.put_sealed(&sealer, job, Purpose::ResultPart, &part_label(part), bytes).await?;
        write.commit().await
    }

    /// How many parts the result of a job has; none if it has no result (not ended, ended without, or purged).
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn result_parts(&self, job: JobId) -> Result<Option<u32>, StoreError> {
        let Some(bytes) = self.open_sealed(job, Purpose::ResultParts, "").await? else { return Ok(None) };
        let parts: [u8; 4] =
            bytes.as_slice().try_into().map_err(|_| broken(job, Purpose::ResultParts, "", SealFault::Truncated))?;
        Ok(Some(u32::from_be_bytes(parts)))
    }

    /// One part of the result of a job, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the job has no result with such a part; [`StoreError::SealBroken`] if it had and it
    /// is gone or changed; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn result_part(&self, job: JobId, part: u32) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if self.result_parts(job).await?.is_none_or(|parts| part >= parts) {
            return Err(StoreError::not_found("part of a result", format_args!("{part} of job {job}")));
        }
        let label = part_label(part);
        let found = self.open_sealed(job, Purpose::ResultPart, &label).await?;
        found.ok_or_else(|| broken(job, Purpose::ResultPart, &label, SealFault::Truncated))
    }

    /// A part of the result of a job that has not ended, as it was put.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn unreleased_part(&self, job: JobId, part: u32) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let found = self.open_sealed(job, Purpose::ResultPart, &part_label(part)).await?;
        found.ok_or_else(|| StoreError::not_found("part of a result", format_args!("{part} of job {job}")))
    }

    /// The whole result of a job, its parts joined; none if it has no result. For a large one, take
    /// [`Store::result_part`] by part.
    ///
    /// # Errors
    /// As [`Store::result_part`].
    pub async fn result(&self, job: JobId) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(parts) = self.result_parts(job).await? else { return Ok(None) };
        // The room is reserved at once, so that no shorter copy is left behind unwiped.
        let sql = "SELECT coalesce(sum(length(blob)), 0) AS size FROM sealed WHERE job = $1 AND purpose = $2";
        let query = statement(sql).bind(job.to_string()).bind(Purpose::ResultPart.as_str());
        let size = self.row(query).await?.map_or(Ok(0), |row| row.count("size"))?;
        let mut whole = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
        for part in 0..parts {
            whole.extend_from_slice(&self.result_part(job, part).await?);
        }
        Ok(Some(whole))
    }

    /// Seals the salt under the commitment to a job's output; it outlives the job, until that is purged.
    ///
    /// # Errors
    /// As [`Store::put_checkpoint`].
    pub async fn put_salt(&self, job: JobId, salt: &[u8; 32]) -> Result<(), StoreError> {
        let sealer = self.sealer.read().await;
        let mut write = self.begin().await?;
        write.require_open(job).await?;
        write.put_sealed(&sealer, job, Purpose::Salt, "", salt).await?;
        write.commit().await
    }

    /// The salt under the commitment to a job's output, if there is one and the job was not purged.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn salt(&self, job: JobId) -> Result<Option<Zeroizing<[u8; 32]>>, StoreError> {
        let Some(bytes) = self.open_sealed(job, Purpose::Salt, "").await? else { return Ok(None) };
        let salt = bytes.as_slice().try_into().map_err(|_| broken(job, Purpose::Salt, "", SealFault::Truncated))?;
        Ok(Some(Zeroizing::new(salt)))
    }

    async fn open_sealed(
        &self,
        job: JobId,
        purpose: Purpose,
        label: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealer = self.sealer.read().await;
        let sql = "SELECT piece, pieces, blob FROM sealed WHERE job = $1 AND purpose = $2 AND label = $3
                   ORDER BY piece";
        let query = statement(sql).bind(job.to_string()).bind(purpose.as_str()).bind(label.to_owned());
        let rows = self.rows(query).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let pieces = first.count("pieces")?;
        if pieces != rows.len() as u64 {
            return Err(broken(job, purpose, label, SealFault::Truncated));
        }
        let sealed = rows.iter().map(|row| row.get::<&[u8]>("blob").map(<[u8]>::len)).sum::<Result<usize, _>>()?;
        let mut whole = Zeroizing::new(Vec::with_capacity(sealed));
        for (at, row) in rows.iter().enumerate() {
            let place = Place { job, purpose, label, piece: at as u64, pieces };
            whole.extend_from_slice(&place.open(&sealer, row.get("blob")?)?);
        }
        Ok(Some(whole))
    }
}

impl Write {
    pub(crate) async fn put_seed(&mut self, sealer: &Sealer, job: JobId, seed: &Seed) -> Result<(), StoreError> {
        let sql = "SELECT piece FROM sealed WHERE job = $1 AND purpose = $2";
        if self.row(statement(sql).bind(job.to_string()).bind(Purpose::Seed.as_str())).await?.is_some() {
            return Err(StoreError::SeedExists { job });
        }
        self.put_sealed(sealer, job, Purpose::Seed, "", seed.expose()).await
    }

    pub(crate) async fn put_checkpoint(
        &mut self,
        sealer: &Sealer,
        job: JobId,
        label: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if !(1..=64).contains(&label.len()) {
            return Err(StoreError::invalid("the label of a checkpoint", "it has 1 to 64 bytes"));
        }
        self.put_sealed(sealer, job, Purpose::Checkpoint, label, bytes).await
    }

    /// Makes the stored parts the result: `parts` of them, and no other.
    pub(crate) async fn release_parts(&mut self, sealer: &Sealer, job: JobId, parts: u32) -> Result<(), StoreError> {
        let sql = "SELECT label FROM sealed WHERE job = $1 AND purpose = $2 AND piece = 0 ORDER BY label";
        let query = statement(sql).bind(job.to_string()).bind(Purpose::ResultPart.as_str());
        let found = self.rows(query).await?.iter().map(|row| row.get("label")).collect::<Result<Vec<String>, _>>()?;
        if found != (0..parts).map(part_label).collect::<Vec<_>>() {
            let why = format!("{parts} parts were announced, but the stored ones are others ({})", found.len());
            return Err(StoreError::invalid("the result of a job", why));
        }
        self.put_sealed(sealer, job, Purpose::ResultParts, "", &parts.to_be_bytes()).await
    }

    /// Overwrites everything of this purpose that a job has.
    pub(crate) async fn wipe(&mut self, job: JobId, purpose: Purpose) -> Result<(), StoreError> {
        let query = statement("DELETE FROM sealed WHERE job = $1 AND purpose = $2");
        self.run(query.bind(job.to_string()).bind(purpose.as_str())).await?;
        Ok(())
    }

    async fn put_sealed(
        &mut self,
        sealer: &Sealer,
        job: JobId,
        purpose: Purpose,
        label: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let query = statement("DELETE FROM sealed WHERE job = $1 AND purpose = $2 AND label = $3");
        self.run(query.bind(job.to_string()).bind(purpose.as_str()).bind(label.to_owned())).await?;
        let pieces = bytes.len().div_ceil(PIECE).max(1) as u64;
        for piece in 0..pieces {
            let start = piece as usize * PIECE;
            let end = bytes.len().min(start + PIECE);
            let place = Place { job, purpose, label, piece, pieces };
            let sql = "INSERT INTO sealed (job, purpose, label, piece, pieces, blob) VALUES ($1, $2, $3, $4, $5, $6)";
            let query = statement(sql)
                .bind(job.to_string())
                .bind(purpose.as_str())
                .bind(label.to_owned())
                .bind(piece as i64)
                .bind(pieces as i64)
                .bind(place.seal(sealer, &bytes[start..end])?);
            self.run(query).await?;
        }
        Ok(())
    }

    /// Opens every sealed piece with one key and seals it with another.
    pub(crate) async fn reseal(&mut self, old: &Sealer, new: &Sealer) -> Result<u64, StoreError> {
        let rows = self.rows(statement("SELECT rowid, job, purpose, label, piece, pieces FROM sealed")).await?;
        for row in &rows {
            let id: i64 = row.get("rowid")?;
            let blob = self.row(statement("SELECT blob FROM sealed WHERE rowid = $1").bind(id)).await?;
            let blob: Vec<u8> = blob.ok_or_else(|| row.damaged("blob"))?.get("blob")?;
            let label: String = row.get("label")?;
            let place = Place::read(row, &label)?;
            let blob = place.seal(new, &place.open(old, &blob)?)?;
            self.run(statement("UPDATE sealed SET blob = $2 WHERE rowid = $1").bind(id).bind(blob)).await?;
        }
        Ok(rows.len() as u64)
    }
}

/// Where a sealed piece belongs: what its blob is bound to.
struct Place<'a> {
    job: JobId,
    purpose: Purpose,
    label: &'a str,
    piece: u64,
    pieces: u64,
}

impl Place<'_> {
    fn read<'a>(row: &Row, label: &'a str) -> Result<Place<'a>, StoreError> {
        let text: String = row.get("purpose")?;
        let known = [Purpose::Seed, Purpose::Checkpoint, Purpose::ResultPart, Purpose::ResultParts, Purpose::Salt];
        let purpose = known.into_iter().find(|purpose| purpose.as_str() == text);
        Ok(Place {
            job: row.parse("job")?,
            purpose: purpose.ok_or_else(|| row.damaged("purpose"))?,
            label,
            piece: row.count("piece")?,
            pieces: row.count("pieces")?,
        })
    }

    fn seal(&self, sealer: &Sealer, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let [job, piece, pieces] = self.numbers();
        sealer.seal(self.purpose.as_str(), &[&job, self.label, &piece, &pieces], bytes)
    }

    fn open(&self, sealer: &Sealer, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let [job, piece, pieces] = self.numbers();
        sealer
            .open(self.purpose.as_str(), &[&job, self.label, &piece, &pieces], blob)
            .map_err(|fault| broken(self.job, self.purpose, self.label, fault))
    }

    fn numbers(&self) -> [String; 3] {
        [self.job.to_string(), self.piece.to_string(), self.pieces.to_string()]
    }
}

fn broken(job: JobId, purpose: Purpose, label: &str, fault: SealFault) -> StoreError {
    let label = if label.is_empty() { String::new() } else { format!(" {label:?}") };
    StoreError::SealBroken { what: format!("{}{label} of job {job}", purpose.as_str()), fault }
}

/// Ten digits, so that labels sort as numbers do.
fn part_label(part: u32) -> String {
    format!("{part:010}")
}
