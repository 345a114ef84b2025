//! How text is written: its encoding, and what stands between cells.

use serde::{Deserialize, Serialize};

/// The encoding of a text file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// GBK, as older Chinese systems write it.
    #[serde(rename = "gbk")]
    Gbk,
    /// GB 18030, which holds all of Unicode. It is read by the same decoder as GBK (WHATWG Encoding Standard).
    #[serde(rename = "gb18030")]
    Gb18030,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Gbk => "GBK",
            Self::Gb18030 => "GB 18030",
        })
    }
}

/// The one ASCII character between two cells of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma.
    pub const COMMA: Self = Self(b',');

    pub(super) fn byte(self) -> u8 {
        self.0
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::COMMA
    }
}

/// A character that cannot stand between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot separate cells; take one ASCII character that is no letter, digit, quote, line end or NUL")]
pub struct BadDelimiter(pub char);

impl TryFrom<char> for Delimiter {
    type Error = BadDelimiter;

    fn try_from(c: char) -> Result<Self, BadDelimiter> {
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n\0".contains(&byte) => {
                Ok(Self(byte))
            }
            _ => Err(BadDelimiter(c)),
        }
    }
}

impl From<Delimiter> for char {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.0.into()
    }
}
