//! `md5hex`, `sha256hex` and `sm3hex`: digests that a party computed before.

use super::Rule;
use super::width::is_invisible;

/// Exactly `length` hexadecimal digits with white space around them, and marks that nobody sees.
pub(super) fn digits(cell: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), Rule> {
    let seen: Vec<u8>;
    let cell = match std::str::from_utf8(cell) {
        Ok(text) if !text.is_ascii() => {
            let is_seen = |c: &char| !is_invisible(*c) && (c.is_ascii() || !c.is_whitespace());
            seen = text.chars().filter(is_seen).collect::<String>().into_bytes();
            seen.trim_ascii()
        }
        _ => cell.trim_ascii(),
    };
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
