//! A witness by itself: no party, no data, no peers; a key, a folder and a port.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, WitnessRefusal};
use tacitly_core::PartyId;
use tokio::net::TcpListener;

use super::attestation::{EVIDENCE, WITNESS};
use super::home;
use super::serve::ServeError;
use crate::attest::witness_name;
use crate::chain::{ChainError, NoteKey, Verdict, Witness};
use crate::codes::{self, Error};
use crate::store::{FileSigner, NoteSigner, Signer};
use crate::transport::TlsIdentity;
use crate::transport::https::{self, Reply};

/// The file with the keys of the logs that are witnessed, one on a line, in the witness's folder.
const LOGS: &str = "logs";

/// The media type of a size that conflicts (C2SP tlog-witness).
const SIZE: &str = "text/x.tlog.size";

/// What others need to know of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The name in its certificate.
    pub name: PartyId,
    /// The pin of its TLS key.
    pub pin: String,
    /// What verifies its cosignatures.
    pub key: VerifierKey,
}

/// A witness, its keys read and its state open.
pub struct StandAlone {
    witness: Witness,
    identity: TlsIdentity,
    logs: PathBuf,
    /// What others need to know of it.
    pub card: Card,
}

impl StandAlone {
    /// Opens the witness in `home`, or makes it: a key for cosignatures, a certificate, a list of logs.
    ///
    /// # Errors
    /// [`ServeError`], naming the file.
    pub fn open(home: &Path, name: PartyId, logs: &[VerifierKey]) -> Result<Self, ServeError> {
        if !home.join(home::IDENTITY_KEY).exists() {
            home::create_witness(home, name)?;
        }
        let identity = home::identity(home)?;
        if identity.party() != name {
            let path = home.join(home::TLS_CERTIFICATE);
            return Err(ServeError::WrongParty { path, found: identity.party(), expected: name });
        }
        let signer: Arc<dyn Signer> = Arc::new(FileSigner::load(&home.join(home::IDENTITY_KEY))?);
        let public = *signer.public_key().as_bytes();
        let key = NoteKey::new(&witness_name(name), KeyUse::Cosignature, &public, NoteSigner(signer));
        let key = key.map_err(|error| ChainError::Signing(error.to_string()))?;
        let card = Card { name, pin: identity.pin().to_string(), key: key.public().clone() };
        let witness = Witness::open(&home.join(WITNESS), &home.join(EVIDENCE), key)?;
        let file = home.join(LOGS);
        let mut known = read_logs(&file)?;
        let fresh: Vec<&VerifierKey> = logs.iter().filter(|key| !known.contains(key)).collect();
        if !fresh.is_empty() || !file.exists() {
            known.extend(fresh.into_iter().cloned());
            fs::write(&file, known.iter().map(|key| format!("{key}\n")).collect::<String>())?;
        }
        Ok(Self { witness, identity, logs: file, card })
    }

    /// Answers `add-checkpoint` at `listen` until the process ends.
    ///
    /// # Errors
    /// [`ServeError::Listen`], or if the certificate cannot be used.
    pub async fn serve(self, listen: SocketAddr) -> Result<(), ServeError> {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|source| ServeError::Listen { place: listen.to_string(), source })?;
        let Self { witness, identity, logs, .. } = self;
        let answer = move |path: &str, body: &[u8]| answer(&witness, &logs, path, body);
        let served = https::serve(listener, &identity, Arc::new(answer)).await;
        served.map_err(|error| Error::new(codes::INTERNAL, error.to_string()).into())
    }
}

fn answer(witness: &Witness, logs: &Path, path: &str, body: &[u8]) -> Reply {
    if path != "/add-checkpoint" {
        return Reply::text(404, "there is /add-checkpoint, and nothing else\n");
    }
    match judge(witness, logs, body).map(|verdict| verdict.http()) {
        Ok((status, body)) => {
            let reply = Reply::text(status, body);
            if status == 409 { Reply { kind: SIZE, ..reply } } else { reply }
        }
        Err(error) => {
            tracing::error!(%error, "a checkpoint could not be witnessed");
            Reply::text(500, "this witness cannot answer at the moment\n")
        }
    }
}

fn judge(witness: &Witness, logs: &Path, body: &[u8]) -> Result<Verdict, ChainError> {
    let request = match AddCheckpoint::parse(body) {
        Ok(request) => request,
        Err(error) => return Ok(Verdict::Malformed(error)),
    };
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    // Read at every request: a log can be added while the witness runs.
    let known = read_logs(logs)?;
    let origin = &request.checkpoint.checkpoint().origin;
    let named: Vec<&VerifierKey> = known.iter().filter(|key| key.name() == origin).collect();
    let signed = |key: &&&VerifierKey| is_signed(&request.checkpoint, key);
    match named.iter().find(signed).or(named.first()) {
        Some(key) => witness.add_checkpoint(key, body, now),
        None => Ok(Verdict::Refused(WitnessRefusal::UnknownLog)),
    }
}

fn is_signed(checkpoint: &SignedCheckpoint, key: &VerifierKey) -> bool {
    checkpoint.signatures().iter().any(|line| line.name() == key.name() && line.key_id() == key.id())
}

fn read_logs(file: &Path) -> Result<Vec<VerifierKey>, ChainError> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|source| ChainError::Io { path: file.to_owned(), source: Arc::new(source) })?,
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(VerifierKey::parse).collect::<Result<_, _>>().map_err(|error| ChainError::DamagedFile {
        path: file.to_owned(),
        what: error.to_string(),
        hint: "write one key of the form NAME+ID+BASE64 on each line",
    })
}
