//! The names that keys have.

/// Whether a key's name is one: not empty, at most 255 bytes, without white space, plus signs and control characters.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
