//! What is known of a file that was read whole.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Size and SHA-256 of a file: what was registered, and what every later reading must find again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileDigest {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of all bytes.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
}

impl FileDigest {
    /// The digest of the first `size` bytes, all of which went into `hash`.
    pub(super) fn of(hash: Sha256, size: u64) -> Self {
        Self { size, sha256: hash.finalize().into() }
    }
}

mod hex {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a SHA-256 digest has 64 hexadecimal digits"))
    }
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type in words; always `text` in CSV.
    pub type_name: String,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The columns, in order.
    pub columns: Vec<ColumnInfo>,
    /// Rows, without the header.
    pub rows: u64,
    /// Size and hash.
    pub digest: FileDigest,
}
