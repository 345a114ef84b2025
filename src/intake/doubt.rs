//! Keys that pass, and that their owner should look at: they make matches of rows that have nothing in common, or cost
//! matches of rows that are one. Counted, never changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Profile;
use super::profile::is_invisible;

/// Why a key is doubtful. It says what the key looks like, never what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// It holds marks that nobody sees, and its profile keeps them.
    Invisible,
    /// It is a word for "nothing".
    Nothing,
    /// It is the digest of nothing, or of a word for it.
    DigestOfNothing,
    /// It is what people type where they have to type something.
    Placeholder,
    /// It ends as numbers do of which a spreadsheet kept fifteen digits.
    Rounded,
}

impl Doubt {
    /// Every doubt, in order.
    pub const ALL: [Self; 5] =
        [Self::Invisible, Self::Nothing, Self::DigestOfNothing, Self::Placeholder, Self::Rounded];

    /// What is doubtful, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Invisible => {
                "hold marks that nobody sees, and meet only keys with the same; trim-casefold drops them"
            }
            Self::Nothing => "are words for nothing, such as null, and meet each other as if they were one person",
            Self::DigestOfNothing => {
                "are digests of nothing, such as of null, and meet each other as if they were one person"
            }
            Self::Placeholder => "look like placeholders, and meet each other as if they were one person",
            Self::Rounded => {
                "end in 000: a spreadsheet keeps fifteen digits of a number, and one in eleven of such passes by chance; \
                 export the column as text"
            }
        }
    }

    /// Of how many rows in a hundred a doubt is worth a word: identity numbers may end in 000, one in a thousand does.
    pub(super) fn least_per_cent(self) -> u64 {
        u64::from(self == Self::Rounded)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Words that programs write for "nothing", in lower case.
const NOTHING: [&[u8]; 13] = [
    b"null",
    b"\\n",
    b"nan",
    b"none",
    b"n/a",
    b"#n/a",
    b"nil",
    b"undefined",
    b"-",
    b"--",
    b"<na>",
    b"(null)",
    "无".as_bytes(),
];

/// MD5, SHA-256 and SM3 of the empty text and of `null`, `NULL`, `None`, `nan`, `NaN`, `\N`, `N/A`, `n/a`, `-` and
/// `undefined`.
const DIGESTS_OF_NOTHING: [&str; 33] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b",
    "37a6259cc0c1dae299a7866489dff0bd",
    "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
    "129a784acb089ea1ab28ff7a0e740d362e75bd5a7486b1a224e3e1c701bdf2fd",
    "6c3e226b4d4795d518ab341b0824ec29",
    "fb329000228cc5a24c264c57139de8bf854fc86fc18bf1c04ab61a2b5cb4b921",
    "3a5017a1e9f2517b4ffbc4e492a7a661e1b1822ad56299c4bc17c48d0481901f",
    "6adf97f83acf6453d4a6a4b1070f3754",
    "dc937b59892604f5a86ac96936cd7ff09e25f18ae6b758e8014a24c7fa039e91",
    "dec9427c5d05fb63a6632d8f9e1ccd0c22789424eeebbdfc40cd209f06be9179",
    "a3d2de7675556553a5f08e4c88d2c228",
    "9b2d5b4678781e53038e91ea5324530a03f27dc1d0e5f6c9bc9d493a23be9de0",
    "5cad09da98284712063c418e670a9f81bc349e6b3d3c0245ece25b4084928d11",
    "7ecfb3bf076a6a9635f975fe96ac97fd",
    "d5b592c05dc25b5032553f1b27f4139be95e881f73db33b02b05ab20c3f9981e",
    "e8038456aaac84fa818702a13c0f62bd4e2376fec78de4d87b4086389459ec38",
    "44d0dc437936b13f7cea2f77053806bd",
    "b582d3167c70c098fdfefc2c847a1aae83150febc4602a51ef83a84a175d417c",
    "b2ba96ed485b5b916926ddbd2e4a6eb1855f7298b7a22e35ea18697ed5b3db7b",
    "382b0f5185773fa0f67a8ed8056c7759",
    "e2f79e5b60330bba4c289962231b6ba2957d0b14e7deb3110417003c79dea635",
    "fca03642eea0e9ba4ef3405e65e272bba3b20b05c5cb2065fcf1e3ce2a0b6023",
    "274b68192b056e268f128ff63bfcd4a4",
    "a683c5c5349f6f7fb903ba8a9e7e55d0ba1b8f03579f95be83f4954c33e81098",
    "0211ee278e212473e5eddc0098b73af2d62b57c55ed44aa13c34a092c34ec62f",
    "336d5ebc5436534e61d16e63ddfca327",
    "3973e022e93220f9212c18d0d0c543ae7c309e46640da93a4a0314de999f5112",
    "22c248e4ba473e55202eba0ead7072491fc9154f517a10b29b880fd7d5101d07",
    "5e543256c480ac577d30f76f9120eb74",
    "eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c",
    "2c129119d08dd080559ad1a28e4e741beac66bb1ffa97bd551cc3868e48a6a1c",
];

/// What is doubtful about a cell of a key; `normal` is its one spelling, if its profile takes it.
pub(super) fn doubt(profile: Profile, cell: &[u8], normal: Option<&[u8]>) -> Option<Doubt> {
    if profile == Profile::CnId18 {
        let cell = cell.trim_ascii();
        return (cell.len() == 18 && cell.ends_with(b"000")).then_some(Doubt::Rounded);
    }
    let normal = normal?;
    match profile {
        Profile::Raw | Profile::TrimCasefold => {
            if is_nothing(normal) {
                return Some(Doubt::Nothing);
            }
            let hides = |text: &str| text.chars().any(|c| is_invisible(c) || (c.is_whitespace() && !c.is_ascii()));
            let has_hidden = !normal.is_ascii() && std::str::from_utf8(normal).is_ok_and(hides);
            has_hidden.then_some(Doubt::Invisible)
        }
        Profile::CnMobile | Profile::E164 => is_typed_blindly(normal).then_some(Doubt::Placeholder),
        Profile::Email => {
            let local = normal.split(|&byte| byte == b'@').next().unwrap_or_default();
            let is_placeholder = is_nothing(local) || [&b"test"[..], b"xxx", b"a", b"noreply", b"no"].contains(&local);
            is_placeholder.then_some(Doubt::Placeholder)
        }
        Profile::Md5Hex | Profile::Sha256Hex | Profile::Sm3Hex => {
            DIGESTS_OF_NOTHING.iter().any(|digest| digest.as_bytes() == normal).then_some(Doubt::DigestOfNothing)
        }
        Profile::CnId18 => None,
    }
}

fn is_nothing(text: &[u8]) -> bool {
    // The longest of them has nine bytes.
    text.len() < 10 && NOTHING.iter().any(|nothing| text.trim_ascii().eq_ignore_ascii_case(nothing))
}

/// A telephone number whose last digits are all the same or count up or down, or the one that stands in every example.
fn is_typed_blindly(number: &[u8]) -> bool {
    let last = &number[number.len().saturating_sub(8)..];
    let goes = |step: i16| last.windows(2).all(|two| i16::from(two[1]) - i16::from(two[0]) == step);
    goes(0) || goes(1) || goes(-1) || number.ends_with(b"13800138000")
}

/// The most keys that are counted at a time.
const COUNTED: usize = 64;

/// In how many rows the most frequent key stands, at the least: a key of more than one row in 65 is found, in little
/// memory.
#[derive(Default)]
pub(super) struct Frequent(Vec<(u64, u64)>);

impl Frequent {
    /// One more row with the key that has this hash.
    pub(super) fn count(&mut self, hash: u64) {
        if let Some((_, rows)) = self.0.iter_mut().find(|(known, _)| *known == hash) {
            *rows += 1;
        } else if self.0.len() < COUNTED {
            self.0.push((hash, 1));
        } else {
            // Each of them gives one row against this one.
            self.0.iter_mut().for_each(|(_, rows)| *rows -= 1);
            self.0.retain(|(_, rows)| *rows > 0);
        }
    }

    /// Rows of the most frequent key of `rows`, if it stands in so many that it is hardly a person.
    pub(super) fn most(&self, rows: u64) -> Option<u64> {
        let most = self.0.iter().map(|(_, rows)| *rows).max()?;
        (most >= 10 && most >= rows / 50).then_some(most)
    }
}
