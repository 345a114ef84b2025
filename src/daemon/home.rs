//! A party's folder: what `init` puts there and what `serve` finds.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};

use super::config::{self, Config, ConfigError};
use crate::store::{FileSigner, Sealer, SealingKey, StoreError};
use crate::transport::{IdentityError, TlsIdentity};

/// The identity key that signs terms, in PKCS#8 PEM.
pub const IDENTITY_KEY: &str = "identity.key";
/// The TLS key, in PEM.
pub const TLS_KEY: &str = "tls.key";
/// The TLS certificate, in PEM; public.
pub const TLS_CERTIFICATE: &str = "tls.crt";
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
    let identity =
        fresh_identity(config).map_err(|source| HomeError::Identity { path: home.join(TLS_CERTIFICATE), source })?;
    write_new(&home.join(TLS_KEY), identity.key_pem().as_bytes(), 0o600)?;
    write_new(&home.join(TLS_CERTIFICATE), identity.certificate_pem().as_bytes(), 0o644)?;
    // The configuration comes last: where it is, the rest is complete.
    write_new(&file, config.to_toml()?.as_bytes(), 0o644)
}

/// The sealing key's holder, from where the configuration says.
///
/// # Errors
/// [`HomeError::Store`], naming the file or command and the mend.
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
/// [`HomeError::Io`] or [`HomeError::Identity`].
pub fn identity(home: &Path) -> Result<TlsIdentity, HomeError> {
    let read = |name: &str| {
        let path = home.join(name);
        fs::read_to_string(&path).map_err(|source| HomeError::Io { path, source })
    };
    let (certificate, key) = (read(TLS_CERTIFICATE)?, zeroize::Zeroizing::new(read(TLS_KEY)?));
    TlsIdentity::from_pem(&certificate, &key)
        .map_err(|source| HomeError::Identity { path: home.join(TLS_CERTIFICATE), source })
}

fn fresh_identity(config: &Config) -> Result<TlsIdentity, IdentityError> {
    let now = Timestamp::now();
    // An hour of grace for clocks that are behind ours.
    let from = now - 1.hour();
    let until = now + (CERTIFICATE_YEARS * 365 * 24).hours();
    TlsIdentity::generate(config.party, from, until)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { path: path.to_owned(), source };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)
}
