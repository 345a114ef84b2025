//! Profiles: how the cells of one column become one spelling, so that `+86 138-0013-8000` meets `13800138000`.
//!
//! A profile is part of the signed terms of a job. Its meaning never changes under one name: a party that normalised
//! differently would meet nothing and would not know why. A better rule gets a new name.

mod cn_id18;
mod email;
mod hex;
mod rule;
mod spreadsheet;
mod telephone;
mod text;
mod width;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use cn_id18::is_date;
pub use rule::Rule;
pub(crate) use width::is_invisible;

/// How the cells of a key column are brought to one spelling.
///
/// Every profile is idempotent, and refuses what it does not know rather than guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Profile {
    /// The cell as it is, byte for byte (after decoding a GBK file to UTF-8). Only the empty cell is refused.
    Raw,
    /// White space at both ends goes, and marks that nobody sees wherever they stand; any other white space is a space;
    /// upper and lower case become one.
    ///
    /// Unicode full case folding between canonical decomposition and composition (NFC): canonically equal texts come
    /// out equal. There is no compatibility folding: a full-width letter stays one, since `①` is not always `1`.
    TrimCasefold,
    /// A mobile number of mainland China: 11 digits beginning with 13 to 19, without country code.
    ///
    /// Takes `+86`, `0086` or `86` before it; spaces, hyphens, parentheses, dots between several groups; full-width forms;
    /// the invisible marks that telephones put around copied numbers. Refuses landlines, numbers of other countries and
    /// numbers with decimals.
    CnMobile,
    /// An international telephone number: `+` and 8 to 15 digits. Takes `+` or `00` before the country code, and
    /// the separators that [`Profile::CnMobile`] takes. A national trunk zero stays, since countries differ in it, but
    /// one in parentheses, as in `+44 (0)20`, is refused.
    E164,
    /// An identity number of mainland China (GB 11643): 18 characters, valid date, valid check character.
    ///
    /// Takes `x` for `X` and full-width forms. A 15-digit number of the first generation is completed with the century
    /// 19 and its check character, save the serials 996 to 999, which were given to people born before 1900.
    CnId18,
    /// An email address in ASCII, in lower case on both sides of the `@`.
    ///
    /// Case in the local part is given up, though RFC 5321 lets a host tell it apart: no large host does. Dots and
    /// `+tags` stay, since only some providers ignore them. Quoted local parts, comments and addresses in other
    /// scripts are refused (write such a domain in its `xn--` form).
    Email,
    /// The 32 hexadecimal digits of an MD5 digest, in lower case.
    Md5Hex,
    /// The 64 hexadecimal digits of a SHA-256 digest, in lower case.
    Sha256Hex,
    /// The 64 hexadecimal digits of an SM3 digest, in lower case.
    Sm3Hex,
}

impl Profile {
    /// Every profile, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Raw,
        Self::TrimCasefold,
        Self::CnMobile,
        Self::E164,
        Self::CnId18,
        Self::Email,
        Self::Md5Hex,
        Self::Sha256Hex,
        Self::Sm3Hex,
    ];

    /// The name in terms, configuration and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::TrimCasefold => "trim-casefold",
            Self::CnMobile => "cn-mobile",
            Self::E164 => "e164",
            Self::CnId18 => "cn-id18",
            Self::Email => "email",
            Self::Md5Hex => "md5hex",
            Self::Sha256Hex => "sha256hex",
            Self::Sm3Hex => "sm3hex",
        }
    }

    /// Appends the one spelling of `cell` to `out`; what `out` holds already stays.
    ///
    /// # Errors
    /// The [`Rule`] that the cell breaks; `out` is then as it was.
    pub fn normalise(&self, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
        match self {
            Self::Raw => text::raw(cell, out),
            Self::TrimCasefold => text::trim_casefold(cell, out),
            Self::CnMobile => telephone::cn_mobile(cell, out),
            Self::E164 => telephone::e164(cell, out),
            Self::CnId18 => cn_id18::normalise(cell, out),
            Self::Email => email::normalise(cell, out),
            Self::Md5Hex => hex::digits(cell, 32, out),
            Self::Sha256Hex | Self::Sm3Hex => hex::digits(cell, 64, out),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that belongs to no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile {0:?}; the profiles are {list}", list = Profile::ALL.map(Profile::name).join(", "))]
pub struct UnknownProfile(pub String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownProfile(name.into()))
    }
}

impl TryFrom<String> for Profile {
    type Error = UnknownProfile;

    fn try_from(name: String) -> Result<Self, UnknownProfile> {
        name.parse()
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> Self {
        profile.name().into()
    }
}

#[cfg(test)]
mod tests;
