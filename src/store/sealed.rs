//! Sealed values: in pieces, each bound to its job, its purpose, its label and its place among the pieces. Cutting keeps
//! one sealing operation short and the memory it takes small.

use tacitly_core::Seed;
use zeroize::Zeroizing;

use super::database::{Database, Transaction};
use super::record::{Row, statement};
use super::{JobId, SealFault, Sealer, StoreError};

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
    /// What a service has of a job beyond its set-up, by its name.
    Artefact,
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
            Self::Artefact => "artefact",
            Self::ResultParts => "result-parts",
        }
    }
}

/// What is sealed for a purpose under a label, if anything is.
pub(crate) async fn open_sealed(
    database: &Database,
    job: JobId,
    purpose: Purpose,
    label: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let sealer = database.sealer.read().await;
    let sql = "SELECT piece, pieces, blob FROM sealed WHERE job = $1 AND purpose = $2 AND label = $3
               ORDER BY piece";
    let query = statement(sql).bind(job.to_string()).bind(purpose.as_str()).bind(label.to_owned());
    let rows = database.rows(query).await?;
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

pub(crate) async fn put_seed(
    write: &mut Transaction,
    sealer: &Sealer,
    job: JobId,
    seed: &Seed,
) -> Result<(), StoreError> {
    let sql = "SELECT piece FROM sealed WHERE job = $1 AND purpose = $2";
    if write.row(statement(sql).bind(job.to_string()).bind(Purpose::Seed.as_str())).await?.is_some() {
        return Err(StoreError::SeedExists { job });
    }
    put_sealed(write, sealer, job, Purpose::Seed, "", seed.expose()).await
}

pub(crate) async fn put_checkpoint(
    write: &mut Transaction,
    sealer: &Sealer,
    job: JobId,
    label: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    if !(1..=64).contains(&label.len()) {
        return Err(StoreError::invalid("the label of a checkpoint", "it has 1 to 64 bytes"));
    }
    put_sealed(write, sealer, job, Purpose::Checkpoint, label, bytes).await
}

/// Makes the stored parts the result: `parts` of them, and no other.
pub(crate) async fn release_parts(
    write: &mut Transaction,
    sealer: &Sealer,
    job: JobId,
    parts: u32,
) -> Result<(), StoreError> {
    let sql = "SELECT label FROM sealed WHERE job = $1 AND purpose = $2 AND piece = 0 ORDER BY label";
    let query = statement(sql).bind(job.to_string()).bind(Purpose::ResultPart.as_str());
    let found = write.rows(query).await?.iter().map(|row| row.get("label")).collect::<Result<Vec<String>, _>>()?;
    if found != (0..parts).map(part_label).collect::<Vec<_>>() {
        let why = format!("{parts} parts were announced, but the stored ones are others ({})", found.len());
        return Err(StoreError::invalid("the result of a job", why));
    }
    put_sealed(write, sealer, job, Purpose::ResultParts, "", &parts.to_be_bytes()).await
}

/// Overwrites everything of this purpose that a job has.
pub(crate) async fn wipe(write: &mut Transaction, job: JobId, purpose: Purpose) -> Result<(), StoreError> {
    let query = statement("DELETE FROM sealed WHERE job = $1 AND purpose = $2");
    write.run(query.bind(job.to_string()).bind(purpose.as_str())).await?;
    Ok(())
}

/// Seals a value, in place of the one with the same label.
pub(crate) async fn put_sealed(
    write: &mut Transaction,
    sealer: &Sealer,
    job: JobId,
    purpose: Purpose,
    label: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let query = statement("DELETE FROM sealed WHERE job = $1 AND purpose = $2 AND label = $3");
    write.run(query.bind(job.to_string()).bind(purpose.as_str()).bind(label.to_owned())).await?;
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
        write.run(query).await?;
    }
    Ok(())
}

/// Opens every sealed piece with one key and seals it with another.
pub(crate) async fn reseal(write: &mut Transaction, old: &Sealer, new: &Sealer) -> Result<u64, StoreError> {
    let rows = write.rows(statement("SELECT job, purpose, label, piece, pieces FROM sealed")).await?;
    for row in &rows {
        let label: String = row.get("label")?;
        let place = Place::read(row, &label)?;
        let here = |sql| {
            let query = statement(sql).bind(place.job.to_string()).bind(place.purpose.as_str());
            query.bind(label.clone()).bind(place.piece as i64)
        };
        let sql = "SELECT blob FROM sealed WHERE job = $1 AND purpose = $2 AND label = $3 AND piece = $4";
        let blob: Vec<u8> = write.row(here(sql)).await?.ok_or_else(|| row.damaged("blob"))?.get("blob")?;
        let blob = place.seal(new, &place.open(old, &blob)?)?;
        let sql = "UPDATE sealed SET blob = $5 WHERE job = $1 AND purpose = $2 AND label = $3 AND piece = $4";
        write.run(here(sql).bind(blob)).await?;
    }
    Ok(rows.len() as u64)
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
        let known = [
            Purpose::Seed,
            Purpose::Checkpoint,
            Purpose::ResultPart,
            Purpose::ResultParts,
            Purpose::Salt,
            Purpose::Artefact,
        ];
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

/// A sealed value that does not open.
pub(crate) fn broken(job: JobId, purpose: Purpose, label: &str, fault: SealFault) -> StoreError {
    let label = if label.is_empty() { String::new() } else { format!(" {label:?}") };
    StoreError::SealBroken { what: format!("{}{label} of job {job}", purpose.as_str()), fault }
}

/// Ten digits, so that labels sort as numbers do.
pub(crate) fn part_label(part: u32) -> String {
    format!("{part:010}")
}
