//! Base64, hexadecimal and decimal with exactly one spelling for every value.

use data_encoding::{BASE64, HEXLOWER};

/// Standard base64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads standard base64 and refuses every spelling but the one that [`base64`] writes.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    // The decoder also takes encodings that were glued together, padding and all.
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

/// Reads the base64 of exactly `N` bytes.
pub(crate) fn from_base64_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Longer text is refused before anything is allocated for it.
    if text.len() > N.div_ceil(3) * 4 {
        return None;
    }
    from_base64(text)?.try_into().ok()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Reads the lower-case hexadecimal of exactly `N` bytes.
pub(crate) fn from_hex_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Reads a whole number in ASCII decimals without a sign and without leading zeros.
pub(crate) fn from_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_spelling() {
        assert_eq!(from_base64("Zm9v").as_deref(), Some(&b"foo"[..]));
        for other in ["Zm9", "Zm9v\n", "Zg==Zg==", "Zh==", "Zm9-", " Zm9v"] {
            assert_eq!(from_base64(other), None, "{other}");
        }
        assert_eq!(from_base64_exact::<3>("Zm9v"), Some(*b"foo"));
        assert_eq!(from_base64_exact::<2>("Zm9v"), None);
        assert_eq!(from_hex_exact::<2>("0aff"), Some([0x0a, 0xff]));
        for other in ["0AFF", "0af", "0aff0", "0x0a"] {
            assert_eq!(from_hex_exact::<2>(other), None, "{other}");
        }
        assert_eq!(from_decimal("0"), Some(0));
        assert_eq!(from_decimal("18446744073709551615"), Some(u64::MAX));
        for other in ["", "00", "01", "+1", "-1", "1 ", "18446744073709551616", "1e3"] {
            assert_eq!(from_decimal(other), None, "{other}");
        }
    }
}
