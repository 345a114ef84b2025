//! `raw` and `trim-casefold`.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

use super::Rule;
use super::width::seen;

pub(super) fn raw(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    if cell.is_empty() {
        return Err(Rule::Empty);
    }
    out.extend_from_slice(cell);
    Ok(())
}

pub(super) fn trim_casefold(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    let seen = seen(std::str::from_utf8(cell).map_err(|_| Rule::Text)?);
    let text = seen.trim();
    if text.is_empty() {
        return Err(Rule::Empty);
    }
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        return Ok(());
    }
    // Decomposed first (Unicode 3.13, D145), since folding a composed character can differ from folding its parts.
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let folded = CaseMapper::new().fold_string(&decomposed);
    out.extend_from_slice(ComposingNormalizerBorrowed::new_nfc().normalize(&folded).as_bytes());
    Ok(())
}
