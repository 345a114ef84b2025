//! Tokens for the control port: who holds one, and what it allows. The file keeps SHA-256 digests only; a token is 256
//! random bits, so its digest tells nothing about it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::new_file::NewFile;

/// What every token begins with.
const PREFIX: &str = "tacitly-token-";
/// The longest file of tokens, or token, that is read.
const LIMIT: u64 = 1 << 20;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Submits and cancels jobs, keeps datasets and peers.
    Operator,
    /// Approves and refuses jobs, sets rules, joins and leaves consortia.
    Approver,
    /// Reads.
    Auditor,
}

impl Role {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

/// One token as the file keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; the audit trail names it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Its digest.
    pub sha256: String,
    /// When it was made.
    pub created: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    #[serde(default)]
    token: Vec<Token>,
}

/// A file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may reach the file.
    #[error("other users may reach {path}; run: chmod 600 {path}", path = .0.display())]
    Loose(PathBuf),
    /// It is no file of tokens.
    #[error("{path} cannot be read: {why}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The name is taken.
    #[error("there is a token of the name {0}; revoke it first, or choose another name")]
    Taken(String),
    /// The name is no name.
    #[error("a token's name has 1 to 64 characters of letters, digits, '-', '.', '_' and '@'")]
    Name,
    /// Nobody has it.
    #[error("there is no token of the name {0}; `tacitly token list` shows all")]
    Unknown(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

/// All tokens in the file; none if there is no file.
///
/// # Errors
/// [`TokenError`]
pub fn list(path: &Path) -> Result<Vec<Token>, TokenError> {
    let malformed = |why: String| TokenError::Malformed { path: path.to_owned(), why };
    match read_private(path) {
        Ok(text) => Ok(toml::from_str::<Tokens>(&text).map_err(|error| malformed(error.to_string()))?.token),
        Err(TokenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes a token, adds its digest to the file, and returns it: it cannot be read anywhere later.
///
/// # Errors
/// [`TokenError`]
pub fn create(path: &Path, name: &str, role: Role) -> Result<Zeroizing<String>, TokenError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._@".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(fits) {
        return Err(TokenError::Name);
    }
    let mut tokens = list(path)?;
    if tokens.iter().any(|token| token.name == name) {
        return Err(TokenError::Taken(name.to_owned()));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(bytes.as_mut()).map_err(|_| TokenError::Randomness)?;
    let text = Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(bytes.as_ref())));
    let created = Timestamp::now().to_string();
    tokens.push(Token { name: name.to_owned(), role, sha256: digest(&text), created });
    write(path, tokens)?;
    Ok(text)
}

/// Takes a token away; the daemon refuses it from its next call on.
///
/// # Errors
/// [`TokenError`]
pub fn revoke(path: &Path, name: &str) -> Result<(), TokenError> {
    let mut tokens = list(path)?;
    let before = tokens.len();
    tokens.retain(|token| token.name != name);
    if tokens.len() == before { Err(TokenError::Unknown(name.to_owned())) } else { write(path, tokens) }
}

/// Whose token this is.
///
/// # Errors
/// [`TokenError`]
pub fn find(path: &Path, token: &str) -> Result<Option<Token>, TokenError> {
    let sha256 = digest(token);
    Ok(list(path)?.into_iter().find(|known| known.sha256 == sha256))
}

/// Reads a token from a private file of its holder.
///
/// # Errors
/// [`TokenError`]
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, TokenError> {
    Ok(Zeroizing::new(read_private(path)?.trim().to_owned()))
}

fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}

fn read_private(path: &Path) -> Result<Zeroizing<String>, TokenError> {
    let io = |source| TokenError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(TokenError::Loose(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Replaces the file at once, so that the daemon reads the old or the new one.
fn write(path: &Path, token: Vec<Token>) -> Result<(), TokenError> {
    let io = |source| TokenError::Io { path: path.to_owned(), source };
    let text = toml::to_string(&Tokens { token })
        .map_err(|error| TokenError::Malformed { path: path.to_owned(), why: error.to_string() })?;
    let mut file = NewFile::begin(path).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.finish_over().map_err(io)
}
