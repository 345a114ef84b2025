//! Full-width forms: what an input method for Chinese writes when it was not switched to half width.

/// The ASCII character that a full-width form stands for; every other character as it is.
pub(super) fn half_width(c: char) -> char {
    match c {
        // The block FF01..FF5E repeats 21..7E in order.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// Marks of no width: joiners, direction marks and byte order marks, which come along with copied text.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}
