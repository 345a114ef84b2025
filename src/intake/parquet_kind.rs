//! From Parquet's types to [`Kind`].

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::ColumnDescriptor;

use super::kind::{Kind, Unit};

/// What a flat column holds. Parquet tells it twice, as a logical and as an older converted type; either may be missing.
pub(super) fn kind(column: &ColumnDescriptor) -> Kind {
    let logical = column.logical_type_ref();
    match logical {
        Some(LogicalType::Timestamp(of)) => Kind::Timestamp { unit: unit(of.unit), utc: of.is_adjusted_to_u_t_c },
        Some(LogicalType::Time(of)) => Kind::Time(unit(of.unit)),
        Some(LogicalType::Uuid) => Kind::Uuid,
        Some(LogicalType::Float16) => Kind::Other("float16"),
        Some(LogicalType::Unknown) => Kind::Other("null"),
        Some(LogicalType::Variant(_)) => Kind::Other("variant"),
        Some(LogicalType::Geometry(_) | LogicalType::Geography(_)) => Kind::Other("geography"),
        Some(LogicalType::File | LogicalType::_Unknown { .. }) => Kind::Other("unknown"),
        Some(known) => by_converted(column, ConvertedType::from(Some(known.clone()))),
        None => by_converted(column, column.converted_type()),
    }
}

fn by_converted(column: &ColumnDescriptor, converted: ConvertedType) -> Kind {
    let physical = column.physical_type();
    match converted {
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Kind::Text,
        ConvertedType::BSON => Kind::Other("bson"),
        ConvertedType::INTERVAL => Kind::Other("interval"),
        ConvertedType::DECIMAL => match u32::try_from(column.type_scale()) {
            Ok(scale) => Kind::Decimal {
                scale,
                binary: matches!(physical, Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY),
            },
            Err(_) => Kind::Other("decimal"),
        },
        ConvertedType::DATE => Kind::Date,
        ConvertedType::TIME_MILLIS => Kind::Time(Unit::Milli),
        ConvertedType::TIME_MICROS => Kind::Time(Unit::Micro),
        ConvertedType::TIMESTAMP_MILLIS => Kind::Timestamp { unit: Unit::Milli, utc: true },
        ConvertedType::TIMESTAMP_MICROS => Kind::Timestamp { unit: Unit::Micro, utc: true },
        ConvertedType::UINT_8 => Kind::Integer { bits: 8, signed: false },
        ConvertedType::UINT_16 => Kind::Integer { bits: 16, signed: false },
        ConvertedType::UINT_32 => Kind::Integer { bits: 32, signed: false },
        ConvertedType::UINT_64 => Kind::Integer { bits: 64, signed: false },
        ConvertedType::INT_8 => Kind::Integer { bits: 8, signed: true },
        ConvertedType::INT_16 => Kind::Integer { bits: 16, signed: true },
        // INT_32 and INT_64 say no more than the physical type; the rest belongs to groups.
        _ => match physical {
            Physical::BOOLEAN => Kind::Boolean,
            Physical::INT32 => Kind::Integer { bits: 32, signed: true },
            Physical::INT64 => Kind::Integer { bits: 64, signed: true },
            Physical::INT96 => Kind::Int96,
            Physical::FLOAT => Kind::Float,
            Physical::DOUBLE => Kind::Double,
            Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => Kind::Bytes,
        },
    }
}

fn unit(unit: TimeUnit) -> Unit {
    match unit {
        TimeUnit::MILLIS => Unit::Milli,
        TimeUnit::MICROS => Unit::Micro,
        TimeUnit::NANOS => Unit::Nano,
    }
}
