//! Text of somebody else in front of a person: nothing in it commands a terminal, turns a line around or hides.

/// Whether a character shows as itself and changes nothing around it. Characters that end a line, command a terminal, turn
/// the direction of what follows, or cannot be seen do not.
#[must_use]
pub fn is_printable(character: char) -> bool {
    // Soft hyphen, combining grapheme joiner, Hangul fillers, vowel separator; zero-width, bidirectional and invisible
    // marks; line and paragraph ends; the byte order mark; annotations; tags.
    let hidden = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !character.is_control() && !hidden
}

/// Whether a text is one line that shows as it is.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// A text as a person may read it: what is not printable stands as its number (`\u{1b}`), and behind `most` characters
/// there is no more.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * most));
    let mut characters = text.chars();
    for character in characters.by_ref().take(most) {
        if is_printable(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script_stay_as_they_are() {
        for text in
            ["fraud pilot", "联合风控 (试点)", "données: 50 %", "données", "الموافقة", "ประมวลผล", "\u{1f600} \\ \"'"]
        {
            assert!(is_plain(text), "{text}");
            assert_eq!(printable(text, 100), text);
        }
    }

    #[test]
    fn what_commands_a_terminal_turns_a_line_or_hides_is_shown_as_a_number() {
        let hostile = "a\nb\r\x1b[8m\u{9b}\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{ad}\u{e0041}";
        let shown = printable(hostile, 100);
        assert!(shown.is_ascii() && is_plain(&shown), "{shown}");
        assert!(shown.starts_with("a\\u{a}b\\u{d}\\u{1b}[8m\\u{9b}"), "{shown}");
        for character in hostile.chars().filter(|character| !character.is_ascii_graphic()) {
            assert!(!is_plain(&character.to_string()), "{character:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(printable("银行银行", 4), "银行银行");
        assert_eq!(printable("银行银行", 3), "银行银…");
        assert_eq!(printable(&"\0".repeat(1000), 2), "\\u{0}\\u{0}…");
    }
}
