//! `cn-id18`: the identity number of GB 11643.

use super::Rule;
use super::spreadsheet::is_rewritten;
use super::width::{half_width, is_invisible};

/// Weights of the first 17 digits, from the left (ISO 7064 MOD 11-2).
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check character for each remainder modulo 11.
const CHECKS: &[u8; 11] = b"10X98765432";

/// The most characters that are looked at: a number as a spreadsheet writes it is longer than an identity number.
const WRITTEN: usize = 32;

pub(super) fn normalise(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    let mut buffer = [0; WRITTEN];
    let number = characters(cell, &mut buffer)?;
    if is_rewritten(number) {
        return Err(Rule::Spreadsheet);
    }
    match number.len() {
        0 => return Err(Rule::Empty),
        15 | 18 => {}
        _ => return Err(Rule::Length),
    }
    let (digits, check) = number.split_at(number.len().min(17));
    if !digits.iter().all(u8::is_ascii_digit) || !check.iter().all(|&c| c.is_ascii_digit() || c == b'X') {
        return Err(Rule::Alphabet);
    }

    let mut body = [0; 17];
    if digits.len() == 15 {
        if matches!(&digits[12..], b"996" | b"997" | b"998" | b"999") {
            return Err(Rule::Century);
        }
        body[..6].copy_from_slice(&digits[..6]);
        body[6..8].copy_from_slice(b"19");
        body[8..].copy_from_slice(&digits[6..]);
    } else {
        body.copy_from_slice(digits);
    }
    if !is_date(&body[6..14]) {
        return Err(Rule::Date);
    }
    let expected = check_character(&body);
    if check.iter().any(|&given| given != expected) {
        return Err(Rule::CheckDigit);
    }
    out.extend_from_slice(&body);
    out.push(expected);
    Ok(())
}

/// The characters in ASCII and upper case, without white space around them.
fn characters<'a>(cell: &[u8], buffer: &'a mut [u8; WRITTEN]) -> Result<&'a [u8], Rule> {
    let text = std::str::from_utf8(cell).map_err(|_| Rule::Text)?;
    let mut count = 0;
    for c in text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c)).chars().map(half_width) {
        if is_invisible(c) {
            continue;
        }
        if !c.is_ascii_alphanumeric() && !matches!(c, '.' | '+') {
            return Err(Rule::Alphabet);
        }
        *buffer.get_mut(count).ok_or(Rule::Length)? = (c as u8).to_ascii_uppercase();
        count += 1;
    }
    Ok(&buffer[..count])
}

fn check_character(body: &[u8; 17]) -> u8 {
    let sum: u32 = body.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    CHECKS[(sum % 11) as usize]
}

/// Eight digits as a day of the Gregorian calendar between 1800 and 2099. A day in the future passes: intake has no
/// clock, and the same file must read the same tomorrow.
pub(crate) fn is_date(digits: &[u8]) -> bool {
    let number = |part: &[u8]| part.iter().fold(0i16, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let (year, month, day) = (number(&digits[..4]), number(&digits[4..6]), number(&digits[6..]));
    // Two digits each, so month and day fit an i8.
    (1800..2100).contains(&year) && jiff::civil::Date::new(year, month as i8, day as i8).is_ok()
}
