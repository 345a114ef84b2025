//! Numbers that a spreadsheet has rewritten: it keeps fifteen digits, and shows them as it likes.

/// Whether the marks are a number as a spreadsheet writes one: in scientific notation of any width, such as 1.38E+10, or
/// with decimals that are all zero, such as 13800138000.00.
pub(super) fn is_rewritten(marks: &[u8]) -> bool {
    is_scientific(marks) || decimals(marks).is_some_and(|decimals| decimals.iter().all(|&digit| digit == b'0'))
}

/// The decimals of a number that has some: digits, one point, digits, and nothing else.
pub(super) fn decimals(marks: &[u8]) -> Option<&[u8]> {
    let point = marks.iter().position(|&mark| mark == b'.')?;
    let (whole, decimals) = (&marks[..point], &marks[point + 1..]);
    (is_digits(whole) && is_digits(decimals)).then_some(decimals)
}

/// A number in scientific notation.
fn is_scientific(marks: &[u8]) -> bool {
    let mut halves = marks.splitn(2, |mark| mark.eq_ignore_ascii_case(&b'e'));
    let (Some(mantissa), Some(exponent)) = (halves.next(), halves.next()) else { return false };
    let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
    (is_digits(mantissa) || decimals(mantissa).is_some()) && is_digits(exponent)
}

fn is_digits(marks: &[u8]) -> bool {
    !marks.is_empty() && marks.iter().all(u8::is_ascii_digit)
}
