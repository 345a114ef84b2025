//! Keys: which columns make one, and the canonical bytes that stand for a row.
//!
//! Each cell comes behind its length, so no two different tuples have the same bytes and no cell needs an escape.

use serde::{Deserialize, Serialize};

use super::{Profile, Rule};

/// Which columns identify a row, how they are normalised, and what to do with rows that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// The columns of the key, in the order both parties agreed on.
    pub columns: Vec<KeyColumn>,
    /// What to do with rows whose key another row has.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// What to do with rows whose key a profile refuses.
    #[serde(default)]
    pub invalid: Invalid,
}

/// One column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyColumn {
    /// Its name in the file.
    pub column: String,
    /// How its cells are normalised.
    pub profile: Profile,
}

/// What to do with several rows of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Refuse the file at the first repetition.
    #[default]
    Error,
    /// Keep the first row of each key.
    First,
    /// Keep every row; the key takes part once.
    All,
}

/// What to do with a row whose key is empty or refused by its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invalid {
    /// Refuse the file at the first such row.
    #[default]
    Error,
    /// Leave the row out and count it.
    Skip,
}

/// A cell of a key that its profile refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which column of the key, from 0.
    pub column: usize,
    /// The rule that the cell breaks.
    pub rule: Rule,
}

impl KeySpec {
    /// Appends the canonical id of one row to `id`, from its cells in the order of the key.
    ///
    /// It is, column by column, the length of the normalised cell in unsigned LEB128 (seven bits a byte, least
    /// significant first, as short as possible) and then the cell; for a key of one column, too.
    ///
    /// # Errors
    /// The first cell that is [`Refused`]; `id` is then as it was. Cells that are missing count as empty.
    pub fn canonical_id(&self, cells: &[&[u8]], id: &mut Vec<u8>) -> Result<(), Refused> {
        let start = id.len();
        for (column, of) in self.columns.iter().enumerate() {
            let cell = cells.get(column).copied().unwrap_or_default();
            if let Err(rule) = push_cell(of.profile, cell, id) {
                id.truncate(start);
                return Err(Refused { column, rule });
            }
        }
        Ok(())
    }
}

/// Appends one cell of a canonical id. On an error `id` keeps a piece of it, which the caller removes.
pub(super) fn push_cell(profile: Profile, cell: &[u8], id: &mut Vec<u8>) -> Result<(), Rule> {
    let start = id.len();
    id.push(0);
    profile.normalise(cell, id)?;
    let length = id.len() - start - 1;
    if length < 0x80 {
        id[start] = length as u8;
    } else {
        id.splice(start..=start, leb128(length));
    }
    Ok(())
}

fn leb128(mut value: usize) -> impl Iterator<Item = u8> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        done = value == 0;
        Some(if done { byte } else { byte | 0x80 })
    })
}

/// The cells of a canonical id, in the order of the key.
pub(super) fn cells(mut id: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let mut length = 0;
        let mut shift = 0;
        loop {
            let (&byte, rest) = id.split_first()?;
            id = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (cell, rest) = id.split_at_checked(length)?;
        id = rest;
        Some(cell)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(columns: usize) -> KeySpec {
        let column = KeyColumn { column: "any".into(), profile: Profile::Raw };
        KeySpec { columns: vec![column; columns], duplicates: Duplicates::First, invalid: Invalid::Skip }
    }

    fn id(cells: &[&[u8]]) -> Vec<u8> {
        let mut id = Vec::new();
        raw(cells.len()).canonical_id(cells, &mut id).unwrap();
        id
    }

    #[test]
    fn an_id_is_length_then_cell() {
        assert_eq!(id(&[b"13800138000"]), b"\x0b13800138000");
        assert_eq!(id(&[b"a", b"bc"]), b"\x01a\x02bc");
        let long = [b'x'; 300];
        let long_id = id(&[&long, b"y"]);
        assert_eq!((&long_id[..2], &long_id[302..]), (&[0xac, 0x02][..], &b"\x01y"[..]));
    }

    #[test]
    fn cells_do_not_run_into_each_other() {
        assert_ne!(id(&[b"ab", b"c"]), id(&[b"a", b"bc"]));
        assert_ne!(id(&[b"a,b", b"c"]), id(&[b"a", b"b,c"]));
    }

    #[test]
    fn a_refused_cell_is_named_and_leaves_nothing() {
        let mut id = b"before".to_vec();
        let refused = raw(2).canonical_id(&[b"a"], &mut id).unwrap_err();
        assert_eq!((refused, id.as_slice()), (Refused { column: 1, rule: Rule::Empty }, &b"before"[..]));
    }

    #[test]
    fn a_key_reads_from_json_with_the_strict_policies_by_default() {
        let spec: KeySpec =
            serde_json::from_str(r#"{"columns": [{"column": "手机", "profile": "cn-mobile"}]}"#).unwrap();
        assert_eq!((spec.duplicates, spec.invalid), (Duplicates::Error, Invalid::Error));
        assert_eq!(spec.columns[0].profile, Profile::CnMobile);
    }

    proptest! {
        #[test]
        fn the_cells_of_an_id_are_the_cells_it_was_made_of(
            tuple in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..400), 1..5)
        ) {
            let tuple: Vec<&[u8]> = tuple.iter().map(Vec::as_slice).collect();
            let id = id(&tuple);
            prop_assert_eq!(cells(&id).collect::<Vec<_>>(), tuple);
        }
    }
}
