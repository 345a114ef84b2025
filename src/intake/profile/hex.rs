//! `md5hex`, `sha256hex` and `sm3hex`: digests that a party computed before.

use super::Rule;

/// Exactly `length` hexadecimal digits with ASCII white space around them.
pub(super) fn digits(cell: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), Rule> {
    let cell = cell.trim_ascii();
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
