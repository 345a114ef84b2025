//! `email`: an address as RFC 5321 writes it, without quoting.

use super::Rule;
use super::width::seen;

pub(super) fn normalise(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    let seen = seen(std::str::from_utf8(cell).map_err(|_| Rule::Text)?);
    let text = seen.trim();
    if text.is_empty() {
        return Err(Rule::Empty);
    }
    let (local, domain) = text.split_once('@').ok_or(Rule::Form)?;
    if local.is_empty() || domain.is_empty() {
        return Err(Rule::Form);
    }
    if !local.bytes().all(is_local) || !domain.bytes().all(|byte| is_label(byte) || byte == b'.') {
        return Err(Rule::Alphabet);
    }
    if local.len() > 64 || domain.len() > 253 {
        return Err(Rule::Length);
    }
    if !domain.contains('.') {
        return Err(Rule::Form);
    }
    for label in domain.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(Rule::Form);
        }
        if label.len() > 63 {
            return Err(Rule::Length);
        }
    }
    out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    Ok(())
}

/// `atext` of RFC 5322, and dots wherever they stand: some providers give addresses with two in a row.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
