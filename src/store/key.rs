//! Where the sealing key comes from: a private file, a file under a passphrase, or a command.
//!
//! ```text
//! tacitly sealing key 1            tacitly sealing key 1 under argon2id
//! <32 bytes, base64 or hex>        m=65536 t=3 p=4
//!                                  <salt, base64>
//!                                  <the key, sealed under the passphrase, base64>
//! ```
//!
//! The passphrase protects the key, not the store: a new passphrase means a new file, and no rekey.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::seal::fill_random;
use super::{Sealer, StoreError, files};

const PLAIN: &str = "tacitly sealing key 1";
const PROTECTED: &str = "tacitly sealing key 1 under argon2id";
/// What a passphrase costs: 64 MiB, three passes, four lanes (the second choice of RFC 9106 section 4).
const COST: Cost = Cost { memory: 64 << 10, passes: 3, lanes: 4 };
const SALT: usize = 16;
/// The longest output of a key command that is read.
const OUTPUT: usize = 4 << 10;

/// The 32 secret bytes that a [`Sealer`] is made of.
///
/// Not `Clone`, `Debug` nor `PartialEq`; wiped on drop.
pub struct SealingKey(Zeroizing<[u8; 32]>);

/// What it takes to try one passphrase: KiB of memory, passes over it, lanes.
#[derive(Clone, Copy)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl From<SealingKey> for Zeroizing<[u8; 32]> {
    fn from(key: SealingKey) -> Self {
        key.0
    }
}

impl SealingKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the system gives no randomness.
    pub fn fresh() -> Result<Self, StoreError> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// A key from elsewhere; the bytes must be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Writes the key to a new file that only its owner may read.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] rather than to replace a file; [`StoreError::Io`], [`StoreError::DiskFull`].
    pub fn write_file(&self, path: &Path) -> Result<(), StoreError> {
        let text = Zeroizing::new(format!("{PLAIN}\n{}\n", *Zeroizing::new(BASE64.encode(self.expose()))));
        files::create_private(path, text.as_bytes())
    }

    /// Reads a key file written by [`SealingKey::write_file`], or by hand in the same form.
    ///
    /// # Errors
    /// [`StoreError::Permissions`] if others may reach the file, [`StoreError::Key`] if it holds no key or needs a
    /// passphrase, [`StoreError::Io`] if it cannot be read.
    pub fn read_file(path: &Path) -> Result<Self, StoreError> {
        let text = files::read_private(path)?;
        Self::parse(&text).map_err(|why| bad(path.display(), why))
    }

    /// Writes the key to a new file, sealed under a passphrase. Takes a noticeable moment by intent.
    ///
    /// # Errors
    /// As [`SealingKey::write_file`]; [`StoreError::Key`] for an empty passphrase.
    pub fn write_protected_file(&self, path: &Path, passphrase: &str) -> Result<(), StoreError> {
        let mut salt = [0; SALT];
        fill_random(&mut salt)?;
        let sealed = COST.stretch(passphrase, &salt).map_err(|why| bad(path.display(), why))?.seal(
            "sealing-key",
            &[],
            self.expose(),
        )?;
        let Cost { memory, passes, lanes } = COST;
        let lines = [
            PROTECTED.to_owned(),
            format!("m={memory} t={passes} p={lanes}"),
            BASE64.encode(&salt),
            BASE64.encode(&sealed),
        ];
        files::create_private(path, (lines.join("\n") + "\n").as_bytes())
    }

    /// Reads a key file written by [`SealingKey::write_protected_file`]. Takes a noticeable moment by intent.
    ///
    /// # Errors
    /// As [`SealingKey::read_file`]; [`StoreError::Key`] also for a wrong passphrase.
    pub fn read_protected_file(path: &Path, passphrase: &str) -> Result<Self, StoreError> {
        let text = files::read_private(path)?;
        Self::parse_protected(&text, passphrase).map_err(|why| bad(path.display(), why))
    }

    /// Runs a command, without a shell, and takes the key that it prints (32 bytes in base64 or hex, alone or in the
    /// form of a key file). This is how a key-management service or a hardware module gives the key.
    ///
    /// The command gets no input; what it prints to standard error goes to ours.
    ///
    /// # Errors
    /// [`StoreError::Key`] if it cannot run, fails, takes longer than `timeout`, or prints anything else.
    pub async fn from_command(command: &[String], timeout: Duration) -> Result<Self, StoreError> {
        let [program, arguments @ ..] = command else {
            return Err(bad("the key command", "the command is empty; name a program"));
        };
        let failed = |why: String| bad(format_args!("the key command {program:?}"), why);
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("it cannot be run: {error}")))?;
        let mut output = Zeroizing::new(Vec::with_capacity(OUTPUT + 1));
        let run = async {
            if let Some(stdout) = child.stdout.take() {
                stdout.take(OUTPUT as u64 + 1).read_to_end(&mut output).await?;
            }
            child.wait().await
        };
        let status = tokio::time::timeout(timeout, run)
            .await
            .map_err(|_| failed(format!("it did not finish within {} s", timeout.as_secs_f32())))?
            .map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(format!("it ended with {status}")));
        }
        let text = std::str::from_utf8(&output).ok().filter(|_| output.len() <= OUTPUT);
        text.ok_or_else(|| "it printed something else than a key".to_owned()).and_then(Self::parse).map_err(failed)
    }

    /// Reads the key alone, or a key file.
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let key = match (lines.next(), lines.next(), lines.next()) {
            (Some(PROTECTED), ..) => return Err("the key is under a passphrase; give the passphrase".to_owned()),
            (Some(PLAIN), Some(key), None) | (Some(key), None, _) => key.trim(),
            _ => "",
        };
        let bytes = [BASE64.decode(key.as_bytes()), HEXLOWER_PERMISSIVE.decode(key.as_bytes())]
            .map(|decoded| Zeroizing::new(decoded.unwrap_or_default()));
        bytes
            .iter()
            .find_map(|bytes| bytes.as_slice().try_into().ok())
            .map(Self::from_bytes)
            .ok_or_else(|| format!("it holds no key: expected the line {PLAIN:?} and then 32 bytes in base64 or hex"))
    }

    fn parse_protected(text: &str, passphrase: &str) -> Result<Self, String> {
        let malformed = || format!("it holds no key under a passphrase: expected four lines, the first {PROTECTED:?}");
        let lines: Vec<&str> = text.lines().collect();
        let [PROTECTED, cost, salt, sealed] = lines[..] else { return Err(malformed()) };
        let cost = Cost::parse(cost).ok_or_else(malformed)?;
        let salt = BASE64.decode(salt.as_bytes()).map_err(|_| malformed())?;
        let sealed = BASE64.decode(sealed.as_bytes()).map_err(|_| malformed())?;
        let opened = cost
            .stretch(passphrase, &salt)?
            .open("sealing-key", &[], &sealed)
            .map_err(|_| "the passphrase is wrong, or the file was changed".to_owned())?;
        opened.as_slice().try_into().map(Self::from_bytes).map_err(|_| malformed())
    }
}

impl Cost {
    /// Reads `m=65536 t=3 p=4`; nothing dearer than a gibibyte and a minute or so is read.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut field = |name: &str, most: u32| {
            let number = fields.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        let cost = Self { memory: field("m", 1 << 20)?, passes: field("t", 64)?, lanes: field("p", 16)? };
        fields.next().is_none().then_some(cost)
    }

    /// The sealer that a passphrase stands for.
    fn stretch(self, passphrase: &str, salt: &[u8]) -> Result<Sealer, String> {
        if passphrase.is_empty() {
            return Err("the passphrase is empty".to_owned());
        }
        let mut key = Zeroizing::new([0; 32]);
        Params::new(self.memory, self.passes, self.lanes, Some(key.len()))
            .and_then(|params| {
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                    passphrase.as_bytes(),
                    salt,
                    key.as_mut(),
                )
            })
            .map_err(|error| error.to_string())?;
        Ok(Sealer::new(SealingKey(key)))
    }
}

fn bad(origin: impl std::fmt::Display, why: impl Into<String>) -> StoreError {
    StoreError::Key { origin: origin.to_string(), why: why.into() }
}
