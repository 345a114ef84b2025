//! Spots values that must never enter a log: an entry is kept for years, by several parties, and nothing takes it back.
//!
//! The first guard is the schema: every field has a declared form and there is no free text. This is the second: in
//! the forms that leave a choice of words, such as names and codes, whatever has the shape of a person's number, of a
//! card or of a hash is refused. It catches mistakes, not malice: who wants to betray a record can spell it.

use std::fmt;

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A resident identity number of 18 or 15 characters with a possible date of birth.
    IdentityNumber,
    /// A Chinese mobile number, or a number in international form.
    PhoneNumber,
    /// 13 to 19 digits that satisfy the check digit of payment cards.
    CardNumber,
    /// A mail address.
    MailAddress,
    /// Eleven digits or more in a row.
    LongNumber,
    /// A hash outside the fields that are declared as commitments or digests.
    Hash,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdentityNumber => "an identity number",
            Self::PhoneNumber => "a phone number",
            Self::CardNumber => "a card number",
            Self::MailAddress => "a mail address",
            Self::LongNumber => "a number of eleven digits or more",
            Self::Hash => "a hash, and this field is not declared to hold a commitment",
        })
    }
}

/// The first personal shape in a text, if there is one.
///
/// Digits that single spaces, hyphens, underscores or brackets set apart are read as one number as well.
#[must_use]
pub fn find(text: &str) -> Option<Shape> {
    if is_mail_address(text) {
        return Some(Shape::MailAddress);
    }
    if holds_hash(text) {
        return Some(Shape::Hash);
    }
    let apart = numbers(text, |_| false)
        .into_iter()
        .find_map(|number| personal(&number).or_else(|| (number.digits.len() >= 11).then_some(Shape::LongNumber)));
    apart.or_else(|| numbers(text, |c| matches!(c, ' ' | '-' | '_' | '(' | ')')).iter().find_map(personal))
}

/// Whether 18 characters are a resident identity number with a right check character (GB 11643).
pub(crate) fn is_identity_number(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let bytes = text.as_bytes();
    if bytes.len() != 18 || !bytes[..17].iter().all(u8::is_ascii_digit) || !is_date(&bytes[6..14]) {
        return false;
    }
    let sum: u32 = bytes.iter().zip(WEIGHTS).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
    b"10X98765432"[(sum % 11) as usize] == bytes[17].to_ascii_uppercase()
}

/// A run of digits and what stands at its ends.
#[derive(Default)]
struct Number {
    digits: Vec<u8>,
    after_plus: bool,
    before_x: bool,
}

/// The runs of digits in a text; characters that `joins` names may stand singly within a run.
fn numbers(text: &str, joins: impl Fn(char) -> bool) -> Vec<Number> {
    let mut found = Vec::new();
    let mut run = Number::default();
    let mut before = ' ';
    let mut joined = false;
    for c in text.chars() {
        if let Some(digit) = digit(c) {
            if run.digits.is_empty() {
                run.after_plus = before == '+';
            }
            run.digits.push(digit);
            joined = false;
        } else if !run.digits.is_empty() && joins(c) && !joined {
            joined = true;
        } else if !run.digits.is_empty() {
            run.before_x = matches!(c, 'x' | 'X') && !joined;
            found.push(std::mem::take(&mut run));
            joined = false;
        }
        before = c;
    }
    if !run.digits.is_empty() {
        found.push(run);
    }
    found
}

/// A digit as an ASCII byte: ASCII, full-width or Chinese.
fn digit(c: char) -> Option<u8> {
    const CHINESE: [char; 10] = ['〇', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
    let value = match c {
        '0'..='9' => u32::from(c) - u32::from('0'),
        '\u{ff10}'..='\u{ff19}' => u32::from(c) - 0xff10,
        '零' => 0,
        _ => CHINESE.iter().position(|digit| *digit == c)? as u32,
    };
    Some(b'0' + value as u8)
}

fn personal(number: &Number) -> Option<Shape> {
    let digits = number.digits.as_slice();
    let identity = match digits.len() {
        18 => is_date(&digits[6..14]),
        17 if number.before_x => is_date(&digits[6..14]),
        15 => is_date(&[b"19", &digits[6..12]].concat()),
        _ => false,
    };
    if identity {
        return Some(Shape::IdentityNumber);
    }
    let national = digits.strip_prefix(b"0086").or(digits.strip_prefix(b"86")).unwrap_or(digits);
    let mobile = |digits: &[u8]| digits.len() == 11 && matches!(digits, [b'1', b'3'..=b'9', ..]);
    if mobile(digits) || mobile(national) || number.after_plus && (7..=15).contains(&digits.len()) {
        return Some(Shape::PhoneNumber);
    }
    let card = (13..=19).contains(&digits.len()) && matches!(digits[0], b'2'..=b'6') && is_luhn(digits);
    card.then_some(Shape::CardNumber)
}

/// Whether eight digits can be a date of birth, year first.
fn is_date(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| digits.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    (1850..2100).contains(&number(&digits[..4]))
        && (1..=12).contains(&number(&digits[4..6]))
        && (1..=31).contains(&number(&digits[6..8]))
}

fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => 2 * digit,
            (_, digit) => 2 * digit - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_mail_address(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace()).any(|word| {
        word.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.trim_matches('.').contains('.'))
    })
}

/// Whether 32 hexadecimal digits stand in a row (MD5 and every longer hash), or 43 characters of mixed base64.
fn holds_hash(text: &str) -> bool {
    let longest = |fits: fn(&u8) -> bool| {
        let runs = text.as_bytes().split(move |byte| !fits(byte));
        runs.max_by_key(|run| run.len()).unwrap_or_default()
    };
    let base64 = longest(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'));
    let mixed = base64.iter().any(u8::is_ascii_uppercase)
        && base64.iter().any(u8::is_ascii_lowercase)
        && base64.iter().any(u8::is_ascii_digit);
    longest(u8::is_ascii_hexdigit).len() >= 32 || base64.len() >= 43 && mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    // The numbers below are made up: region 110105, born in 1949, with a right check character.
    const IDENTITY: &str = "11010519491231002X";

    #[test]
    fn every_personal_shape_is_found_also_within_words_and_apart() {
        for (text, shape) in [
            (IDENTITY, Shape::IdentityNumber),
            ("id-110105194912310020", Shape::IdentityNumber),
            ("110105491231002", Shape::IdentityNumber),
            ("110105 19491231 0020", Shape::IdentityNumber),
            ("job13812345678", Shape::PhoneNumber),
            ("138-1234-5678", Shape::PhoneNumber),
            ("8613812345678", Shape::PhoneNumber),
            ("008613812345678", Shape::PhoneNumber),
            ("１３８１２３４５６７８", Shape::PhoneNumber),
            ("一三八一二三四五六七八", Shape::PhoneNumber),
            ("+4915112345678", Shape::PhoneNumber),
            ("4111111111111111", Shape::CardNumber),
            ("4111 1111 1111 1111", Shape::CardNumber),
            ("6222021234567890128", Shape::CardNumber),
            ("someone@bank.example", Shape::MailAddress),
            ("20261122133000", Shape::LongNumber),
            ("d41d8cd98f00b204e9800998ecf8427e", Shape::Hash),
            ("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", Shape::Hash),
            ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Shape::Hash),
        ] {
            assert_eq!(find(text), Some(shape), "{text}");
        }
    }

    #[test]
    fn names_codes_and_addresses_of_machines_pass() {
        for text in [
            "bank-a",
            "bank-a.example/tacitly/2026-11",
            "192.168.100.200:8443/log",
            "tacitly.psi",
            "3rd-party-2026",
            "360数科（北京）有限公司",
            "三一重工股份有限公司",
            "intersection",
            "deadbeef",
            "",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn the_check_character_of_an_identity_number_is_checked() {
        assert!(is_identity_number(IDENTITY));
        assert!(!is_identity_number("110105194912310021"));
        assert!(!is_identity_number("11010519491331002X"));
        assert!(!is_identity_number("91350100M000100Y43"));
    }
}
