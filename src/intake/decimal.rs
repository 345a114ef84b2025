//! Numbers in decimal digits, by one grammar wherever they were written: `[+-] digits [. digits] [e [+-] digits]`, with at
//! least one digit on either side of the point. Spaces and tabs around the number do not count.
//!
//! There is no guess about a locale: no comma, no separator of thousands, no currency, no per cent, no other digits than
//! 0 to 9, no `inf` and no `nan`.

use super::Problem;

/// What a cell holds if it is a number.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// A cell without the spaces and tabs around what it holds.
pub(super) fn trimmed(cell: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = cell.iter().take_while(|byte| is_space(byte)).count();
    let end = cell.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &cell[start..end]
}

/// The double next to the number, of two equally near the even one. Zero has no sign.
pub(super) fn number(cell: &[u8]) -> Result<f64, Problem> {
    let cell = trimmed(cell);
    read(cell).ok_or(Problem::NotANumber)?;
    // Whatever the grammar takes, the standard library reads, correctly rounded.
    let value: f64 = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok()).ok_or(Problem::NotANumber)?;
    finite(value)
}

/// A number that is no infinity, and zero without a sign.
pub(super) fn finite(value: f64) -> Result<f64, Problem> {
    if value.is_finite() { Ok(value + 0.0) } else { Err(Problem::NumberTooLarge) }
}

/// The number in units of `10^-places`, exactly.
pub(super) fn scaled(cell: &[u8], places: u8) -> Result<i64, Problem> {
    let Decimal { negative, whole, fraction, exponent } = read(trimmed(cell)).ok_or(Problem::NotANumber)?;
    let digits = || whole.iter().chain(fraction);
    let zeros_behind = digits().rev().take_while(|&&digit| digit == b'0').count();
    let zeros_before = digits().take_while(|&&digit| digit == b'0').count();
    let all = whole.len() + fraction.len();
    if zeros_before == all {
        return Ok(0);
    }
    let shift = exponent
        .saturating_sub(fraction.len() as i64)
        .saturating_add(i64::from(places))
        .saturating_add(zeros_behind as i64);
    let shift = u32::try_from(shift.min(i64::from(u32::MAX))).map_err(|_| Problem::TooManyPlaces { places })?;
    let mut value = 0_i64;
    for digit in digits().take(all - zeros_behind).skip(zeros_before) {
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(Problem::NumberTooLarge)?;
    }
    let value = 10_i64.checked_pow(shift).and_then(|unit| value.checked_mul(unit)).ok_or(Problem::NumberTooLarge)?;
    Ok(if negative { -value } else { value })
}

fn read(cell: &[u8]) -> Option<Decimal<'_>> {
    let (negative, rest) = signed(cell);
    let (whole, rest) = digits(rest);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest),
        None => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => {
            let (negative, rest) = signed(rest);
            let (digits, []) = digits(rest) else { return None };
            if digits.is_empty() {
                return None;
            }
            let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
            let exponent = digits.iter().fold(0, add);
            if negative { -exponent } else { exponent }
        }
        _ => return None,
    };
    Some(Decimal { negative, whole, fraction, exponent })
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_by_one_grammar_and_nothing_is_guessed() {
        for (text, value) in [
            ("0", 0.0_f64),
            ("-0.0", 0.0),
            ("+7", 7.0),
            (" 1.50\t", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1.25e2", -125.0),
            ("1E-3", 0.001),
            ("0.1", 0.1),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("1e-400", 0.0),
        ] {
            assert_eq!(number(text.as_bytes()).map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
        for text in [
            "", " ", ".", "-", "e5", "1e", "1e+", "1 000", "1,5", "1.2.3", "0x10", "inf", "nan", "１", "50%", "$1",
            "--1", "1_000", "1e1.5",
        ] {
            assert_eq!(number(text.as_bytes()), Err(Problem::NotANumber), "{text:?}");
            assert_eq!(scaled(text.as_bytes(), 2), Err(Problem::NotANumber), "{text:?}");
        }
        assert_eq!(number(b"-1e309"), Err(Problem::NumberTooLarge));
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        let places = Problem::TooManyPlaces { places: 2 };
        for (text, value) in [
            ("12.34", Ok(1234)),
            ("-0.05", Ok(-5)),
            ("1e3", Ok(100_000)),
            ("1.2300", Ok(123)),
            ("000.00", Ok(0)),
            ("-0", Ok(0)),
            ("0e999999999999999999999", Ok(0)),
            ("92233720368547758.07", Ok(i64::MAX)),
            ("-92233720368547758.07", Ok(-i64::MAX)),
            ("92233720368547758.08", Err(Problem::NumberTooLarge)),
            ("1e99999999999999999999", Err(Problem::NumberTooLarge)),
            ("1.234", Err(places.clone())),
            ("1e-99999999999999999999", Err(places)),
        ] {
            assert_eq!(scaled(text.as_bytes(), 2), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any::<i64>(), places in 0_u8..=18, double in any::<f64>()) {
            prop_assume!(value != i64::MIN && double.is_finite());
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(places) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(places));
            let sign = if value < 0 { "-" } else { "" };
            prop_assert_eq!(scaled(format!("{sign}{whole}.{fraction}").as_bytes(), places), Ok(value));
            prop_assert_eq!(scaled(format!("{value}e-{places}").as_bytes(), places), Ok(value));
            prop_assert_eq!(number(format!("{double:?}").as_bytes()), Ok(double));
            prop_assert_eq!(number(format!("{double}").as_bytes()), Ok(double));
        }
    }
}
