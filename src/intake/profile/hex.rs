//! `md5hex`, `sha256hex` and `sm3hex`: digests that a party computed before.

use super::Rule;
use super::width::seen;

/// Exactly `length` hexadecimal digits with white space around them, and marks that nobody sees.
pub(super) fn digits(cell: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), Rule> {
    let seen = std::str::from_utf8(cell).map(seen);
    let cell = seen.as_ref().map_or(cell, |text| text.as_bytes()).trim_ascii();
    if cell.is_empty() {
        return Err(Rule::Empty);
    }
    if !cell.iter().all(u8::is_ascii_hexdigit) {
        return Err(Rule::Alphabet);
    }
    if cell.len() != length {
        return Err(Rule::Length);
    }
    out.extend(cell.iter().map(u8::to_ascii_lowercase));
    Ok(())
}
