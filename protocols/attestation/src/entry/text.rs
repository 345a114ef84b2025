//! Texts in entries: closed forms, so that there is no room for prose.

use std::fmt;

use super::field::{impersonal, text_field};
use super::refusal::Reason;
use crate::encoding::{from_hex_exact, hex};
use crate::lint;

/// Declares 16 random bytes, written as hexadecimal.
macro_rules! random_field {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Reads 32 lower-case hexadecimal digits.
            ///
            /// # Errors
            /// [`Reason::Form`].
            pub fn parse(text: &str) -> Result<Self, Reason> {
                from_hex_exact(text).map(Self).ok_or(Reason::Form("32 lower-case hexadecimal digits"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        text_field!($name, "32 lower-case hexadecimal digits");
    };
}

random_field!(
    /// Names an entry, a job, a query, a data set or a certificate: 128 random bits, given by the caller.
    Id
);
random_field!(
    /// 128 random bits that nobody else knows, so that an entry cannot be guessed from its leaf hash.
    Nonce
);

/// Declares a text of one form, checked on the way in.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $form:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Reads the text.
            ///
            /// # Errors
            /// [`Reason::Form`], or [`Reason::Personal`] if it looks like something that must never be logged.
            pub fn parse(text: &str) -> Result<Self, Reason> {
                let fits: fn(&str) -> bool = $fits;
                if !fits(text) {
                    return Err(Reason::Form($form));
                }
                impersonal(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        text_field!($name, $form);
    };
}

text!(
    /// A word from an agreed list: a purpose, a role, a unit, a claim, a protocol.
    Code,
    "a code (1 to 32 of a-z, 0-9, '-', '_' and '.', beginning with a letter)",
    |text| {
        let rest = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(rest)
    }
);
text!(
    /// The name of a log, as it stands in its checkpoints.
    Origin,
    "a log's origin (a host and path of 1 to 128 lower-case letters, digits, '.', '-', '/' and ':')",
    |text| {
        let rest = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'/' | b':');
        text.len() <= 128 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(rest)
    }
);
text!(
    /// The registered name of an institution, in any script.
    LegalName,
    "a registered name (2 to 80 letters and digits, with single spaces and name punctuation)",
    |text| {
        // Digits of other scripts would pass the lint unread.
        let digit = |c: char| c.is_ascii_digit() || ('０'..='９').contains(&c);
        let mark = |c: char| matches!(c, ' ' | '(' | ')' | '（' | '）' | '&' | '.' | ',' | '\'' | '’' | '·' | '-');
        let part = |c: char| c.is_alphabetic() || digit(c) || mark(c);
        let spaces = text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
        (2..=80).contains(&text.chars().count()) && !spaces && text.chars().all(part)
    }
);
text!(
    /// A country, or a country and its province: `CN`, `CN-BJ` (ISO 3166).
    Region,
    "a region (two capital letters, with a hyphen and up to three letters or digits behind them)",
    |text| {
        let (country, province) = text.split_once('-').map_or((text, None), |(a, b)| (a, Some(b)));
        let capital = |byte: u8| byte.is_ascii_uppercase();
        country.len() == 2
            && country.bytes().all(capital)
            && province.is_none_or(|part| {
                (1..=3).contains(&part.len()) && part.bytes().all(|byte| capital(byte) || byte.is_ascii_digit())
            })
    }
);
text!(
    /// A currency: `CNY` (ISO 4217).
    Currency,
    "a currency (three capital letters)",
    |text| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
);
text!(
    /// A program and its version: `tacitly 0.1.0`.
    Software,
    "a program and its version (name, space, numbers with dots)",
    |text| {
        let Some((name, version)) = text.split_once(' ') else { return false };
        let part = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'+');
        (1..=32).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'))
            && (1..=32).contains(&version.len())
            && version.starts_with(|c: char| c.is_ascii_digit())
            && version.bytes().all(part)
    }
);

/// The register number of an institution: `uscc:` and a unified social credit code (GB 32100), or `lei:` and a legal
/// entity identifier (ISO 17442), each with its check characters right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registration(String);

impl Registration {
    const FORM: &str = "a register number (uscc: or lei: and the number, with right check characters)";

    /// Reads the text.
    ///
    /// # Errors
    /// [`Reason::Form`], or [`Reason::Personal`] if it is a person's identity number.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let right = match text.split_once(':') {
            Some(("uscc", code)) if lint::is_identity_number(code) => {
                return Err(Reason::Personal(lint::Shape::IdentityNumber));
            }
            Some(("uscc", code)) => is_credit_code(code),
            Some(("lei", code)) => is_legal_entity_identifier(code),
            _ => false,
        };
        if right { Ok(Self(text.to_owned())) } else { Err(Reason::Form(Self::FORM)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_field!(Registration, Registration::FORM);

/// GB 32100: 18 characters of an alphabet without I, O, S, V and Z; the last makes the weighted sum divisible by 31.
fn is_credit_code(code: &str) -> bool {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let values: Option<Vec<usize>> = code.bytes().map(|byte| ALPHABET.iter().position(|c| *c == byte)).collect();
    let Some(values) = values.filter(|values| values.len() == 18) else { return false };
    let weights = std::iter::successors(Some(1), |weight| Some(weight * 3 % 31));
    let sum: usize = values[..17].iter().zip(weights).map(|(value, weight)| value * weight).sum();
    (sum + values[17]).is_multiple_of(31)
}

/// ISO 17442: 20 digits and capitals that, with A to Z read as 10 to 35, leave 1 when divided by 97.
fn is_legal_entity_identifier(code: &str) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(36).filter(|_| !byte.is_ascii_lowercase());
    let remainder = code.bytes().try_fold(0, |sum: u32, byte| {
        let digit = digit(byte)?;
        Some((sum * if digit < 10 { 10 } else { 100 } + digit) % 97)
    });
    code.len() == 20 && remainder == Some(1)
}

/// Two dates, first and last day: `2026-01-01/2026-03-31`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(String);

impl Period {
    const FORM: &str = "a period (YYYY-MM-DD/YYYY-MM-DD, the first day not after the last)";

    /// Reads the text.
    ///
    /// # Errors
    /// [`Reason::Form`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let ordered = text.split_once('/').filter(|(first, last)| is_day(first) && is_day(last) && first <= last);
        if ordered.is_some() { Ok(Self(text.to_owned())) } else { Err(Reason::Form(Self::FORM)) }
    }

    /// The first and the last day.
    #[must_use]
    pub fn days(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, &self.0))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_field!(Period, Period::FORM);

fn is_day(text: &str) -> bool {
    let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<u32>().ok());
    let plain = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    plain && (1900..2100).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_numbers_are_checked_by_their_check_characters() {
        // The first is the example of GB 32100-2015, the second that of ISO 17442.
        for right in ["uscc:91350100M000100Y43", "lei:529900T8BM49AURSDO55"] {
            assert!(Registration::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "uscc:91350100M000100Y44",
            "uscc:91350100m000100y43",
            "lei:529900T8BM49AURSDO56",
            "91350100M000100Y43",
            "uscc:",
            "lei:",
        ] {
            assert_eq!(Registration::parse(wrong), Err(Reason::Form(Registration::FORM)), "{wrong}");
        }
        let person = Registration::parse("uscc:11010519491231002X");
        assert_eq!(person, Err(Reason::Personal(lint::Shape::IdentityNumber)));
    }

    #[test]
    fn a_period_has_two_days_that_exist_in_order() {
        assert_eq!(Period::parse("2024-02-29/2024-02-29").unwrap().days(), ("2024-02-29", "2024-02-29"));
        for wrong in [
            "2023-02-29/2023-03-01",
            "2024-03-01/2024-02-01",
            "2024-13-01/2025-01-01",
            "2024-01-01",
            "2024-1-1/2024-1-2",
        ] {
            assert!(Period::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_have_no_room_for_prose() {
        assert!(LegalName::parse("示例银行股份有限公司（上海）").is_ok());
        assert!(LegalName::parse("Müller & Söhne Bank AG").is_ok());
        for wrong in ["A", " Bank", "Bank ", "Big  Bank", "Bank!", "Bank\nAG", "someone@bank.example", "١٣٨١٢٣٤٥٦٧٨"]
        {
            assert!(LegalName::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Code::parse("joint-marketing").is_ok());
        for wrong in ["", "Marketing", "a b", "1st", "a-code-that-is-longer-than-thirty-two"] {
            assert!(Code::parse(wrong).is_err(), "{wrong}");
        }
    }
}
