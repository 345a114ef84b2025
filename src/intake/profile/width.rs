//! Characters that look like others, or like nothing: full-width forms, which an input method for Chinese writes when it was
//! not switched to half width, and marks that nobody sees.

use std::borrow::Cow;

/// The ASCII character that a full-width form stands for; every other character as it is.
pub(super) fn half_width(c: char) -> char {
    match c {
        // The block FF01..FF5E repeats 21..7E in order.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// A text as it is seen: without marks that nobody sees, and with a space for any other white space.
pub(super) fn seen(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let as_seen = |c: char| if c.is_whitespace() && !c.is_ascii() { ' ' } else { c };
    text.chars().filter(|c| !is_invisible(*c)).map(as_seen).collect::<String>().into()
}

/// Marks that nobody sees, and that come along with copied text: joiners, direction marks, byte order marks, soft hyphens,
/// fillers, variation selectors, tags. They are those with the property `Default_Ignorable_Code_Point` in Unicode 16, of
/// what is assigned and of what is kept free for more.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}'
            | '\u{34F}'
            | '\u{61C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}
