//! What one's own keys look like, for the day when two sets that should meet meet in nothing.
//!
//! Both owners read their own hint and compare by telephone: "mine have 11 digits", "mine are 64 hexadecimal digits".
//! It is made of counts over a party's own column and holds no value.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::canonical::{KeyColumn, KeySpec, cells};
use super::{Keys, Profile};

/// Lengths from here on are counted together.
const LONG: u32 = 100;

/// The shape of a set of keys, column by column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Keys looked at.
    pub keys: u64,
    /// One entry for each column of the key, in its order.
    pub columns: Vec<ColumnHint>,
}

/// The shape of one column of a set of keys, after normalisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnHint {
    /// The column.
    pub column: String,
    /// Its profile.
    pub profile: Profile,
    /// How many keys have so many characters; 100 stands for 100 and more.
    pub lengths: BTreeMap<u32, u64>,
    /// How many keys have characters of which kind.
    pub classes: CharacterClasses,
}

/// In how many keys each kind of character occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharacterClasses {
    /// Nothing but the digits 0 to 9.
    pub digits_only: u64,
    /// Nothing but hexadecimal digits, with a letter among them.
    pub hexadecimal: u64,
    /// A Latin letter, and not hexadecimal.
    pub letters: u64,
    /// A capital among them.
    pub capitals: u64,
    /// A `+`.
    pub plus: u64,
    /// An `@`.
    pub at_sign: u64,
    /// White space.
    pub white_space: u64,
    /// A character beyond ASCII.
    pub non_ascii: u64,
}

/// Looks at the keys of a set.
#[must_use]
pub fn hint(keys: &Keys) -> Hint {
    let mut sketch = Sketch::new(keys.spec());
    keys.ids().for_each(|id| sketch.add(id));
    sketch.finish()
}

/// Makes a [`Hint`] of canonical ids that come one by one, as [`visit_keys`](super::visit_keys) shows them.
pub struct Sketch(Hint);

impl Sketch {
    /// A sketch of no keys.
    #[must_use]
    pub fn new(spec: &KeySpec) -> Self {
        let column = |KeyColumn { column, profile }: &KeyColumn| ColumnHint {
            column: column.clone(),
            profile: *profile,
            lengths: BTreeMap::new(),
            classes: CharacterClasses::default(),
        };
        Self(Hint { keys: 0, columns: spec.columns.iter().map(column).collect() })
    }

    /// Looks at one canonical id.
    pub fn add(&mut self, id: &[u8]) {
        self.0.keys += 1;
        for (column, cell) in self.0.columns.iter_mut().zip(cells(id)) {
            let text = std::str::from_utf8(cell);
            let length = text.map_or(cell.len(), |text| text.chars().count());
            *column.lengths.entry((length as u32).min(LONG)).or_default() += 1;
            let has_space = text.is_ok_and(|text| text.contains(char::is_whitespace));
            column.classes.add(cell, has_space);
        }
    }

    /// The hint.
    #[must_use]
    pub fn finish(self) -> Hint {
        self.0
    }
}

impl CharacterClasses {
    fn add(&mut self, cell: &[u8], has_space: bool) {
        let any = |is: fn(&u8) -> bool| cell.iter().any(is);
        let is_hexadecimal = cell.iter().all(u8::is_ascii_hexdigit);
        let has_letter = any(u8::is_ascii_alphabetic);
        self.digits_only += u64::from(is_hexadecimal && !has_letter);
        self.hexadecimal += u64::from(is_hexadecimal && has_letter);
        self.letters += u64::from(has_letter && !is_hexadecimal);
        self.capitals += u64::from(any(u8::is_ascii_uppercase));
        self.plus += u64::from(any(|&byte| byte == b'+'));
        self.at_sign += u64::from(any(|&byte| byte == b'@'));
        self.white_space += u64::from(has_space);
        self.non_ascii += u64::from(any(|byte| !byte.is_ascii()));
    }

    /// The counts with their words.
    fn described(&self) -> [(u64, &'static str); 8] {
        [
            (self.digits_only, "digits only"),
            (self.hexadecimal, "hexadecimal"),
            (self.letters, "with Latin letters"),
            (self.capitals, "with capitals"),
            (self.plus, "with a +"),
            (self.at_sign, "with an @"),
            (self.white_space, "with white space"),
            (self.non_ascii, "beyond ASCII"),
        ]
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Your {} keys look like this; no value is shown:", self.keys)?;
        for column in &self.columns {
            writeln!(f, "{column}")?;
        }
        write!(f, "Ask the peer for the same lines: lengths and characters of one kind of identifier agree.")
    }
}

impl fmt::Display for ColumnHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: u64 = self.lengths.values().sum();
        let share = |count: u64| if count == keys { "all".to_owned() } else { count.to_string() };
        write!(f, "column {:?} by profile {}: ", self.column, self.profile)?;
        if keys == 0 {
            return write!(f, "no keys at all.");
        }
        for (at, (length, count)) in self.lengths.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let more = if *length == LONG { " or more" } else { "" };
            write!(f, "{comma}{} of {length}{more} characters", share(*count))?;
        }
        let mut mark = "; ";
        for (count, words) in self.classes.described() {
            if count > 0 {
                write!(f, "{mark}{} {words}", share(count))?;
                mark = ", ";
            }
        }
        write!(f, ".")?;
        self.advice(keys).map_or(Ok(()), |advice| write!(f, " {advice}"))
    }
}

impl ColumnHint {
    /// The most likely reason why nothing matches, if the shape shows one.
    fn advice(&self, keys: u64) -> Option<&'static str> {
        let classes = &self.classes;
        let is_untouched = matches!(self.profile, Profile::Raw | Profile::TrimCasefold);
        let hexadecimal = classes.hexadecimal + classes.digits_only;
        let only_length = (self.lengths.len() == 1).then(|| self.lengths.keys().copied().next()).flatten();
        match (self.profile, only_length) {
            (Profile::Md5Hex | Profile::Sha256Hex | Profile::Sm3Hex, _) => {
                Some("Digests meet only if both sides hashed the same spelling, with the same salt or none.")
            }
            (_, Some(32 | 64)) if is_untouched && hexadecimal == keys && classes.hexadecimal > 0 => {
                Some("They look like digests: a peer with plain values meets none of them. Agree on a digest profile.")
            }
            _ if is_untouched && classes.plus > 0 && classes.letters == 0 => {
                Some("They look like telephone numbers. Agree on profile cn-mobile or e164.")
            }
            _ if is_untouched && classes.at_sign == keys => Some("They look like addresses. Agree on profile email."),
            (Profile::Raw, _) if classes.capitals + classes.white_space > 0 => {
                Some("Case or white space may differ at the peer. Agree on profile trim-casefold or a stricter one.")
            }
            (_, Some(11 | 18)) if is_untouched && classes.digits_only > 0 => {
                Some("They may be mobile or identity numbers. Agree on profile cn-mobile or cn-id18.")
            }
            _ => None,
        }
    }
}
