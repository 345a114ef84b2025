//! A party's folder: what `init` puts there and what `serve` finds.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use tacitly_core::PartyId;

use super::config::{self, Config, ConfigError};
use crate::codes::{self, Error};
use crate::peers::IdentityFiles;
use crate::store::{FileSigner, Sealer, SealingKey, StoreError, refuse_loose};
use crate::transport::{IdentityError, TlsIdentity};

/// The identity key that signs terms, in PKCS#8 PEM.
pub const IDENTITY_KEY: &str = "identity.key";
/// The TLS key, in PEM.
pub const TLS_KEY: &str = "tls.key";
/// The TLS certificate, in PEM; public.
pub const TLS_CERTIFICATE: &str = "tls.crt";
/// What follows the name of a TLS file while its successor waits to take its place.
const NEXT: &str = ".next";
/// Years that a new certificate is valid.
const CERTIFICATE_YEARS: i64 = 2;
/// How long a key command may take.
const KEY_COMMAND: Duration = Duration::from_secs(30);

/// A party's folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is a party already.
    #[error("{0} is there already; choose another --home, or remove the party that lives there")]
    Taken(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration could not be written down.
    #[error("the configuration cannot be written: {0}")]
    Toml(#[from] toml::ser::Error),
    /// A key or the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate.
    #[error("{path}: {source}", path = .path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
    },
}

/// Makes a party's folder: configuration, identity key, certificate with its key, sealing key.
///
/// # Errors
/// [`HomeError`]; nothing is overwritten.
pub fn create(home: &Path, config: &Config) -> Result<(), HomeError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| HomeError::Io { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(io(home))?;
    let file = home.join(config::FILE);
    if file.exists() {
        return Err(HomeError::Taken(file));
    }
    FileSigner::create(&home.join(IDENTITY_KEY))?;
    SealingKey::fresh()?.write_file(&home.join(&config.store.key))?;
    let identity = fresh_identity(config.party)
        .map_err(|source| HomeError::Identity { path: home.join(TLS_CERTIFICATE), source })?;
    write_new(&home.join(TLS_KEY), identity.key_pem().as_bytes(), 0o600)?;
    write_new(&home.join(TLS_CERTIFICATE), identity.certificate_pem().as_bytes(), 0o644)?;
    // The configuration comes last: where it is, the rest is complete.
    write_new(&file, config.to_toml()?.as_bytes(), 0o644)
}

/// Makes the keys of a witness that is no party: one for cosignatures, one for TLS with its certificate.
///
/// # Errors
/// [`HomeError`]; nothing is overwritten.
pub fn create_witness(home: &Path, name: PartyId) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { path: home.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(io)?;
    let identity =
        fresh_identity(name).map_err(|source| HomeError::Identity { path: home.join(TLS_CERTIFICATE), source })?;
    write_new(&home.join(TLS_KEY), identity.key_pem().as_bytes(), 0o600)?;
    write_new(&home.join(TLS_CERTIFICATE), identity.certificate_pem().as_bytes(), 0o644)?;
    // The key comes last: where it is, the rest is complete.
    FileSigner::create(&home.join(IDENTITY_KEY))?;
    Ok(())
}

/// The sealing key's holder, from where the configuration says.
///
/// # Errors
/// [`HomeError::Store`], naming the file or command and the hint.
pub async fn sealer(home: &Path, config: &Config) -> Result<Sealer, HomeError> {
    let key = match &config.store.key_command {
        Some(command) => SealingKey::from_command(command, KEY_COMMAND).await?,
        None => SealingKey::read_file(&home.join(&config.store.key))?,
    };
    Ok(Sealer::new(key))
}

/// The party's certificate and its key.
///
/// # Errors
/// [`HomeError::Io`] or [`HomeError::Identity`]; [`HomeError::Store`] for a key that others may reach.
pub fn identity(home: &Path) -> Result<TlsIdentity, HomeError> {
    match read_identity(home, TLS_CERTIFICATE) {
        // A rotation that ended between its two files: the certificate that belongs to the key is still beside it.
        Err(HomeError::Identity { source: IdentityError::Mismatch, path }) => {
            read_identity(home, &next(TLS_CERTIFICATE))
                .map_err(|_| HomeError::Identity { path, source: IdentityError::Mismatch })
        }
        read => read,
    }
}

/// Finishes a rotation that ended between its two files.
///
/// # Errors
/// [`HomeError::Io`].
pub fn settle_identity(home: &Path) -> Result<(), HomeError> {
    let torn = matches!(
        read_identity(home, TLS_CERTIFICATE),
        Err(HomeError::Identity { source: IdentityError::Mismatch, .. })
    );
    if torn && read_identity(home, &next(TLS_CERTIFICATE)).is_ok() { promote(home, TLS_CERTIFICATE) } else { Ok(()) }
}

fn read_identity(home: &Path, certificate: &str) -> Result<TlsIdentity, HomeError> {
    let read = |name: &str| {
        let path = home.join(name);
        fs::read_to_string(&path).map_err(|source| HomeError::Io { path, source })
    };
    // Whoever has this key takes the party's place on every link until the peers end its pin.
    refuse_loose(&home.join(TLS_KEY))?;
    let (text, key) = (read(certificate)?, zeroize::Zeroizing::new(read(TLS_KEY)?));
    TlsIdentity::from_pem(&text, &key).map_err(|source| HomeError::Identity { path: home.join(certificate), source })
}

/// The TLS files of a party's folder, as a rotation uses them. The key takes its place before the certificate; a
/// process that ends between the two leaves what [`settle_identity`] finishes.
pub struct Files {
    home: PathBuf,
    party: PartyId,
}

impl Files {
    /// The TLS files of this party in this folder.
    #[must_use]
    pub fn new(home: &Path, party: PartyId) -> Self {
        Self { home: home.to_owned(), party }
    }

    fn write_next(&self) -> Result<TlsIdentity, HomeError> {
        let certificate = self.home.join(TLS_CERTIFICATE);
        let made = fresh_identity(self.party).map_err(|source| HomeError::Identity { path: certificate, source })?;
        for (name, pem, mode) in
            [(TLS_KEY, made.key_pem().as_str(), 0o600), (TLS_CERTIFICATE, made.certificate_pem(), 0o644)]
        {
            let path = self.home.join(next(name));
            let _left_by_a_rotation_that_was_given_up = fs::remove_file(&path);
            write_new(&path, pem.as_bytes(), mode)?;
        }
        Ok(made)
    }
}

impl IdentityFiles for Files {
    fn prepare(&self) -> Result<TlsIdentity, Error> {
        self.write_next().map_err(|error| unwritten(&error))
    }

    fn adopt(&self) -> Result<(), Error> {
        let promoted = promote(&self.home, TLS_KEY).and_then(|()| promote(&self.home, TLS_CERTIFICATE));
        promoted.map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &HomeError) -> Error {
    let full = matches!(error, HomeError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
    Error::new(if full { codes::DISK_FULL } else { codes::STORE }, error.to_string())
}

fn next(name: &str) -> String {
    format!("{name}{NEXT}")
}

/// Lets the successor of a file take its place, durably.
fn promote(home: &Path, name: &str) -> Result<(), HomeError> {
    let path = home.join(name);
    let moved = fs::rename(home.join(next(name)), &path).and_then(|()| fs::File::open(home)?.sync_all());
    moved.map_err(|source| HomeError::Io { path, source })
}

fn fresh_identity(party: PartyId) -> Result<TlsIdentity, IdentityError> {
    let now = Timestamp::now();
    // An hour of grace for clocks that are behind ours.
    let from = now - 1.hour();
    let until = now + (CERTIFICATE_YEARS * 365 * 24).hours();
    TlsIdentity::generate(party, from, until)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { path: path.to_owned(), source };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)
}
