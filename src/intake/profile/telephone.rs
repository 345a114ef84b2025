//! `cn-mobile` and `e164`: one reading of a written telephone number, two judgements of it.

use super::Rule;
use super::spreadsheet::{decimals, is_rewritten};
use super::width::{half_width, is_invisible};

/// Country code, number and all separators that mean something fit into this; a longer cell is no telephone number.
const MAX_MARKS: usize = 48;
/// E.164 allows 15 digits; `00` may stand before them.
const MAX_DIGITS: usize = 17;

/// A telephone number as it was written: whether a `+` led it, and its digits.
struct Dialled {
    plus: bool,
    digits: [u8; MAX_DIGITS],
    count: usize,
}

impl Dialled {
    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }
}

pub(super) fn cn_mobile(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    if cell.len() == 11 && cell.iter().all(u8::is_ascii_digit) && is_mobile(cell) {
        out.extend_from_slice(cell);
        return Ok(());
    }
    let dialled = read(cell)?;
    let digits = dialled.digits();
    let number = if dialled.plus {
        digits.strip_prefix(b"86").ok_or(Rule::Prefix)?
    } else if digits.len() == 13 {
        // Without + or 00, only the length tells the country code from the number.
        digits.strip_prefix(b"86").unwrap_or(digits)
    } else {
        digits.strip_prefix(b"0086").unwrap_or(digits)
    };
    if number.len() != 11 {
        return Err(Rule::Length);
    }
    if !is_mobile(number) {
        return Err(Rule::Prefix);
    }
    out.extend_from_slice(number);
    Ok(())
}

pub(super) fn e164(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    let dialled = read(cell)?;
    let digits = dialled.digits();
    let number = if dialled.plus { digits } else { digits.strip_prefix(b"00").ok_or(Rule::Prefix)? };
    if !(8..=15).contains(&number.len()) {
        return Err(Rule::Length);
    }
    // No country code begins with 0.
    if number.starts_with(b"0") {
        return Err(Rule::Prefix);
    }
    out.push(b'+');
    out.extend_from_slice(number);
    Ok(())
}

/// Mobile numbers begin with 13 to 19; a landline begins with 0 or has fewer digits.
fn is_mobile(digits: &[u8]) -> bool {
    digits[0] == b'1' && (b'3'..=b'9').contains(&digits[1])
}

fn read(cell: &[u8]) -> Result<Dialled, Rule> {
    let mut buffer = [0; MAX_MARKS];
    let marks = marks(cell, &mut buffer)?;
    // A column that was once floating point, also in places where a shorter number with its decimals would pass. People
    // write dots between all groups, or behind a country code with its plus.
    if is_rewritten(marks) || decimals(marks).is_some() || marks.strip_prefix(b"+").is_some_and(is_rewritten) {
        return Err(Rule::Spreadsheet);
    }
    if marks.iter().any(u8::is_ascii_alphabetic) {
        return Err(Rule::Alphabet);
    }
    // In +44 (0)20 the zero is not dialled with the country code.
    if marks.windows(3).any(|three| three == b"(0)") {
        return Err(Rule::Form);
    }
    let mut dialled = Dialled { plus: false, digits: [0; MAX_DIGITS], count: 0 };
    for &mark in marks {
        match mark {
            b'+' if dialled.plus || dialled.count > 0 => return Err(Rule::Form),
            b'+' => dialled.plus = true,
            b'0'..=b'9' => {
                *dialled.digits.get_mut(dialled.count).ok_or(Rule::Length)? = mark;
                dialled.count += 1;
            }
            _ => {}
        }
    }
    match dialled.count {
        0 if dialled.plus => Err(Rule::Length),
        0 => Err(Rule::Empty),
        _ => Ok(dialled),
    }
}

/// The marks of a cell that can mean something, in ASCII: spaces, hyphens and invisible marks are gone.
fn marks<'a>(cell: &[u8], buffer: &'a mut [u8; MAX_MARKS]) -> Result<&'a [u8], Rule> {
    let text = std::str::from_utf8(cell).map_err(|_| Rule::Text)?;
    let mut count = 0;
    for c in text.chars().map(half_width) {
        let mark = match c {
            '0'..='9' | '+' | '(' | ')' | '.' | 'e' | 'E' => c as u8,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => continue,
            _ if c.is_whitespace() || is_invisible(c) => continue,
            _ => return Err(Rule::Alphabet),
        };
        *buffer.get_mut(count).ok_or(Rule::Length)? = mark;
        count += 1;
    }
    Ok(&buffer[..count])
}
