//! What the cells of a column are, and how they read as text.

use std::fmt;
use std::io::Write;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The type of a column's cells. Text is UTF-8; all others are Parquet's plain encoding of their physical type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// UTF-8; the only kind in CSV.
    Text,
    /// Bytes of no declared meaning.
    Bytes,
    Boolean,
    /// 4 or 8 bytes, little-endian.
    Integer {
        bits: u8,
        signed: bool,
    },
    /// A whole number of `10^-scale`: 4 or 8 bytes little-endian if `binary` is false, else big-endian of any length.
    Decimal {
        scale: u32,
        binary: bool,
    },
    Float,
    Double,
    /// Days since 1970-01-01.
    Date,
    /// Since midnight.
    Time(Unit),
    /// Since 1970-01-01T00:00, in UTC or by an unnamed wall clock.
    Timestamp {
        unit: Unit,
        utc: bool,
    },
    /// 8 bytes of nanoseconds and 4 of the Julian day: timestamps of old Hive and Spark files.
    Int96,
    Uuid,
    /// Something that is copied to Parquet but has no text here; its name.
    Other(&'static str),
    /// A group or a list, which is not read.
    Nested,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milli,
    Micro,
    Nano,
}

impl Unit {
    fn nanoseconds(self) -> i128 {
        match self {
            Self::Milli => 1_000_000,
            Self::Micro => 1_000,
            Self::Nano => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Milli => "ms",
            Self::Micro => "us",
            Self::Nano => "ns",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Boolean => f.write_str("boolean"),
            Self::Integer { bits, signed: true } => write!(f, "int{bits}"),
            Self::Integer { bits, signed: false } => write!(f, "uint{bits}"),
            Self::Decimal { scale, .. } => write!(f, "decimal with {scale} places"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Date => f.write_str("date"),
            Self::Time(unit) => write!(f, "time in {}", unit.name()),
            Self::Timestamp { unit, utc: true } => write!(f, "timestamp in {}, UTC", unit.name()),
            Self::Timestamp { unit, utc: false } => write!(f, "timestamp in {}, local", unit.name()),
            Self::Int96 => f.write_str("timestamp (int96)"),
            Self::Uuid => f.write_str("uuid"),
            Self::Other(name) => f.write_str(name),
            Self::Nested => f.write_str("nested"),
        }
    }
}

/// A cell that has no text: its bytes are not what its type promises.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoText;

impl Kind {
    /// Whether such a column can be an identifier.
    pub(super) fn can_be_key(&self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::Integer { .. })
    }

    /// Whether such a column can be read as numbers: if it holds numbers, or text that may be some.
    pub(super) fn can_be_number(&self) -> bool {
        let is_number =
            matches!(self, Self::Boolean | Self::Integer { .. } | Self::Decimal { .. } | Self::Float | Self::Double);
        is_number || matches!(self, Self::Text | Self::Bytes)
    }

    /// The double next to a number that is stored as one in binary; none of other kinds.
    pub(super) fn float(&self, cell: &[u8]) -> Result<Option<f64>, NoText> {
        Ok(match self {
            Self::Boolean => Some(if cell == [1] { 1.0 } else { 0.0 }),
            Self::Integer { signed: true, .. } => Some(signed(cell)? as f64),
            Self::Integer { signed: false, bits } => Some(unsigned(cell, *bits)? as f64),
            Self::Float => Some(f32::from_le_bytes(array(cell)?).into()),
            Self::Double => Some(f64::from_le_bytes(array(cell)?)),
            _ => None,
        })
    }

    /// Whether such a column can be written as text.
    pub(super) fn has_text(&self) -> bool {
        !matches!(self, Self::Other(_) | Self::Nested)
    }

    /// The cell as text; `scratch` holds what has to be written out first.
    pub(super) fn text<'a>(&self, cell: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], NoText> {
        match self {
            Self::Text => return Ok(cell),
            Self::Bytes => return std::str::from_utf8(cell).map(str::as_bytes).map_err(|_| NoText),
            _ => {}
        }
        scratch.clear();
        // Writing to a vector does not fail.
        let _ = match self {
            Self::Text | Self::Bytes | Self::Other(_) | Self::Nested => return Err(NoText),
            Self::Boolean => write!(scratch, "{}", cell == [1]),
            Self::Integer { signed: true, .. } => write!(scratch, "{}", signed(cell)?),
            Self::Integer { signed: false, bits } => write!(scratch, "{}", unsigned(cell, *bits)?),
            Self::Decimal { scale, binary } => {
                let unscaled = if *binary { big_endian(cell)? } else { i128::from(signed(cell)?) };
                decimal(unscaled, *scale, scratch)
            }
            // `Debug` gives the shortest digits that read back to the same number, with an exponent where it is short.
            Self::Float => write!(scratch, "{:?}", f32::from_le_bytes(array(cell)?)),
            Self::Double => write!(scratch, "{:?}", f64::from_le_bytes(array(cell)?)),
            Self::Date => write!(scratch, "{}", days(signed(cell)?)?.date()),
            Self::Time(unit) => write!(scratch, "{}", time(i128::from(signed(cell)?) * unit.nanoseconds())?),
            Self::Timestamp { unit, utc } => {
                let at = timestamp(i128::from(signed(cell)?) * unit.nanoseconds())?;
                if *utc { write!(scratch, "{at}") } else { write!(scratch, "{}", TimeZone::UTC.to_datetime(at)) }
            }
            Self::Int96 => write!(scratch, "{}", TimeZone::UTC.to_datetime(int96(cell)?)),
            Self::Uuid => uuid(cell, scratch),
        };
        Ok(scratch)
    }
}

fn array<const N: usize>(cell: &[u8]) -> Result<[u8; N], NoText> {
    cell.try_into().map_err(|_| NoText)
}

/// 4 or 8 bytes, little-endian.
fn signed(cell: &[u8]) -> Result<i64, NoText> {
    if cell.len() == 4 {
        return Ok(i32::from_le_bytes(array(cell)?).into());
    }
    Ok(i64::from_le_bytes(array(cell)?))
}

fn unsigned(cell: &[u8], bits: u8) -> Result<u64, NoText> {
    // Smaller types are stored in 32 bits.
    let mask = if bits == 64 { u64::MAX } else { u64::from(u32::MAX) };
    Ok(signed(cell)? as u64 & mask)
}

/// Two's complement, big-endian, at most 16 bytes: 38 decimal places, the most that databases offer.
fn big_endian(cell: &[u8]) -> Result<i128, NoText> {
    if cell.is_empty() || cell.len() > 16 {
        return Err(NoText);
    }
    let start = if cell[0] & 0x80 == 0 { 0 } else { -1 };
    Ok(cell.iter().fold(start, |sum, &byte| sum << 8 | i128::from(byte)))
}

fn decimal(unscaled: i128, scale: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
    let scale = scale as usize;
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, places) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    write!(out, "{sign}{whole}{point}{places}")
}

fn days(days: i64) -> Result<DateTime, NoText> {
    let span = Span::new().try_days(days).map_err(|_| NoText)?;
    jiff::civil::date(1970, 1, 1).to_datetime(Time::midnight()).checked_add(span).map_err(|_| NoText)
}

fn time(nanoseconds: i128) -> Result<Time, NoText> {
    const DAY: i128 = 86_400_000_000_000;
    if !(0..DAY).contains(&nanoseconds) {
        return Err(NoText);
    }
    let at = timestamp(nanoseconds)?;
    Ok(TimeZone::UTC.to_datetime(at).time())
}

fn timestamp(nanoseconds: i128) -> Result<Timestamp, NoText> {
    Timestamp::from_nanosecond(nanoseconds).map_err(|_| NoText)
}

fn int96(cell: &[u8]) -> Result<Timestamp, NoText> {
    /// The Julian day of 1970-01-01.
    const EPOCH: i128 = 2_440_588;
    let (nanoseconds, day) = cell.split_at_checked(8).ok_or(NoText)?;
    let nanoseconds = i128::from(u64::from_le_bytes(array(nanoseconds)?));
    let day = i128::from(u32::from_le_bytes(array(day)?)) - EPOCH;
    timestamp(day * 86_400_000_000_000 + nanoseconds)
}

fn uuid(cell: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    for (at, byte) in cell.iter().enumerate() {
        let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(out, "{hyphen}{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, cell: &[u8]) -> Result<String, NoText> {
        let mut scratch = Vec::new();
        kind.text(cell, &mut scratch).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        let int64 = Kind::Integer { bits: 64, signed: true };
        assert_eq!(text(int64.clone(), &13_800_138_000i64.to_le_bytes()), Ok("13800138000".into()));
        assert_eq!(text(int64, &(-1i64).to_le_bytes()), Ok("-1".into()));
        assert_eq!(text(Kind::Integer { bits: 32, signed: false }, &[0xff; 4]), Ok("4294967295".into()));
        assert_eq!(text(Kind::Integer { bits: 64, signed: false }, &[0xff; 8]), Ok("18446744073709551615".into()));
        assert_eq!(text(Kind::Double, &0.1f64.to_le_bytes()), Ok("0.1".into()));
        assert_eq!(text(Kind::Float, &1e30f32.to_le_bytes()), Ok("1e30".into()));
        assert_eq!(text(Kind::Boolean, &[1]), Ok("true".into()));
    }

    #[test]
    fn decimals_keep_their_places() {
        let decimal = |scale, unscaled: i32| text(Kind::Decimal { scale, binary: false }, &unscaled.to_le_bytes());
        assert_eq!(decimal(2, 12345), Ok("123.45".into()));
        assert_eq!(decimal(2, -5), Ok("-0.05".into()));
        assert_eq!(decimal(0, 7), Ok("7".into()));
        let binary = Kind::Decimal { scale: 3, binary: true };
        assert_eq!(text(binary.clone(), &[0xff, 0x85]), Ok("-0.123".into()));
        assert_eq!(text(binary, &[0; 17]), Err(NoText));
    }

    #[test]
    fn dates_and_times_are_in_iso_8601() {
        assert_eq!(text(Kind::Date, &19_782i32.to_le_bytes()), Ok("2024-02-29".into()));
        assert_eq!(text(Kind::Date, &i32::MAX.to_le_bytes()), Err(NoText));
        assert_eq!(text(Kind::Time(Unit::Milli), &3_723_004i32.to_le_bytes()), Ok("01:02:03.004".into()));
        assert_eq!(text(Kind::Time(Unit::Milli), &86_400_000i32.to_le_bytes()), Err(NoText));
        let stamp = |utc, at: i64| text(Kind::Timestamp { unit: Unit::Micro, utc }, &at.to_le_bytes());
        assert_eq!(stamp(true, 1_709_164_800_000_001), Ok("2024-02-29T00:00:00.000001Z".into()));
        assert_eq!(stamp(false, 1_709_164_800_000_000), Ok("2024-02-29T00:00:00".into()));
        assert_eq!(stamp(true, i64::MAX), Err(NoText));
        // 2024-02-29 is the Julian day 2460370.
        let int96: Vec<u8> = [1_000_000_000u64.to_le_bytes().as_slice(), &2_460_370u32.to_le_bytes()].concat();
        assert_eq!(text(Kind::Int96, &int96), Ok("2024-02-29T00:00:01".into()));
    }

    #[test]
    fn bytes_are_text_only_if_they_are_utf_8() {
        assert_eq!(text(Kind::Bytes, "张".as_bytes()), Ok("张".into()));
        assert_eq!(text(Kind::Bytes, &[0xff]), Err(NoText));
        let uuid: Vec<u8> = (0..16).collect();
        assert_eq!(text(Kind::Uuid, &uuid), Ok("00010203-0405-0607-0809-0a0b0c0d0e0f".into()));
    }
}
