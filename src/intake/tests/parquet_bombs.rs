//! Parquet files that promise more than they hold: small to send, large to decode.

use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::parquet::{column, parquet_with};
use super::*;

/// Memory that the files below are read with.
const BUDGET: usize = 1 << 26;

fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Fields of 32 bits with the numbers 1, 2, 3 …
fn fields(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|&value| [vec![0x15], number((i64::from(value) as u64) << 1)].concat()).collect()
}

/// A page of the first version: a `kind` (0 data, 2 dictionary), the size it announces, its values and their encoding.
fn page(kind: i32, size: i32, values: i32, encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let details = if kind == 0 {
        fields(&[values, encoding as i32, Encoding::RLE as i32, Encoding::RLE as i32])
    } else {
        fields(&[values, encoding as i32])
    };
    let field = if kind == 0 { 0x2c } else { 0x4c };
    [&fields(&[kind, size, body.len() as i32])[..], &[field], &details, &[0, 0], body].concat()
}

/// A file with one column `id`, made of these pages.
fn file_of(of: &str, codec: Compression, rows: u64, pages: &[Vec<u8>]) -> TestFile {
    let schema = Arc::new(parse_message_type(&format!("message rows {{ required {of} id; }}")).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema.clone(), Arc::default()).unwrap();
    let descriptor = writer.schema_descr().column(0);
    let chunk = pages.concat();
    let length = chunk.len() as i64;
    let metadata = ColumnChunkMetaData::builder(descriptor)
        .set_compression_codec(codec.into())
        .set_num_values(rows as i64)
        .set_total_compressed_size(length)
        .set_total_uncompressed_size(length)
        .set_data_page_offset(0)
        .build()
        .unwrap();
    let close = ColumnCloseResult {
        bytes_written: length as u64,
        rows_written: rows,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    let mut group = writer.next_row_group().unwrap();
    group.append_column(&bytes::Bytes::from(chunk), close).unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    TestFile::new(&bytes, Format::Parquet)
}

fn problem(file: &TestFile) -> Problem {
    inspect(&file.source, &Budget::of_bytes(BUDGET)).unwrap_err().problem
}

/// The beginning of a list of numbers, each the one before, that says it has so many.
fn delta(count: u64, first: u64) -> Vec<u8> {
    // Blocks of 2^30 numbers, so that hardly a byte is needed for any count.
    let mut list = [number(1 << 30), number(1), number(count), number(first << 1)].concat();
    for _ in 0..count.saturating_sub(1).div_ceil(1 << 30) {
        list.extend([0, 0]);
    }
    list
}

const ZSTD: fn() -> Compression = || Compression::ZSTD(Default::default());

#[test]
fn the_pages_made_here_are_read_if_they_are_honest() {
    let values = [&[1, 0, 0, 0, b'a'][..], &[2, 0, 0, 0, b'b', b'c']].concat();
    let plain = page(0, values.len() as i32, 2, Encoding::PLAIN, &values);
    let file = file_of("binary", Compression::UNCOMPRESSED, 2, &[plain]);
    assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ["a", "bc"]);
    let packed = zstd::bulk::compress(&values, 1).unwrap();
    let file = file_of("binary", ZSTD(), 2, &[page(0, values.len() as i32, 2, Encoding::PLAIN, &packed)]);
    assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ["a", "bc"]);
    let deltas = [delta(2, 0), delta(2, 1), b"xy".to_vec()].concat();
    let page = page(0, deltas.len() as i32, 2, Encoding::DELTA_BYTE_ARRAY, &deltas);
    let file = file_of("binary", Compression::UNCOMPRESSED, 2, &[page]);
    assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ["x", "y"]);
}

#[test]
fn a_page_that_announces_more_than_the_memory_is_not_decompressed() {
    for codec in [Compression::SNAPPY, ZSTD()] {
        for size in [i32::MAX, BUDGET as i32] {
            let file = file_of("binary", codec, 1, &[page(0, size, 1, Encoding::PLAIN, &[0; 30])]);
            assert_eq!(problem(&file), Problem::PagesOverBudget { budget: BUDGET as u64 / 2 }, "{codec:?} {size}");
        }
        // What fits is decompressed, and is not as long as it said.
        let file = file_of("binary", codec, 1, &[page(0, 1 << 20, 1, Encoding::PLAIN, &[0; 30])]);
        assert_eq!(problem(&file), Problem::Damaged, "{codec:?}");
    }
    let file = file_of("binary", ZSTD(), 1, &[page(0, -1, 1, Encoding::PLAIN, &[0; 30])]);
    assert_eq!(problem(&file), Problem::Damaged);
}

#[test]
fn pages_that_fit_alone_and_not_together_are_refused() {
    let names: Vec<_> = (0..20).map(|at| format!("required binary c{at}; ")).collect();
    let schema = format!("message rows {{ {} }}", names.concat());
    let cell = [ByteArray::from(vec![0; 1 << 19])];
    let properties = WriterProperties::builder()
        .set_compression(ZSTD())
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 23);
    let file = parquet_with(&schema, properties, 1, |_, group| {
        for _ in 0..20 {
            column!(group, ByteArrayType, vec![cell[0].clone(); 8], None);
        }
    });
    assert!(std::fs::metadata(&file.source.path).unwrap().len() < 100_000);
    assert_eq!(problem(&file), Problem::PagesOverBudget { budget: BUDGET as u64 / 2 });
    let error = inspect(&file.source, &Budget::of_bytes(BUDGET)).unwrap_err();
    assert!(error.to_string().contains("limits.memory_mib"), "{error}");
    assert_eq!(file.keys(&with(raw("c3"), Duplicates::First, Invalid::Error)).map(|keys| keys.len()), Ok(1));
}

#[test]
fn counts_that_no_page_could_hold_are_damage() {
    let most = i32::MAX;
    let text = [1, 0, 0, 0, b'a'];
    for of in ["binary", "int64", "int96", "fixed_len_byte_array(1)", "boolean"] {
        let pages = [page(2, 5, most, Encoding::PLAIN, &text), page(0, 2, 1, Encoding::RLE_DICTIONARY, &[0, 2])];
        assert_eq!(problem(&file_of(of, Compression::UNCOMPRESSED, 1, &pages)), Problem::Damaged, "{of}");
    }
    // More values than the row group has rows.
    let pages = [page(0, 5, most, Encoding::PLAIN, &text)];
    assert_eq!(problem(&file_of("binary", Compression::UNCOMPRESSED, 1, &pages)), Problem::Damaged);
    // Lists of lengths that are longer than the page has values, the first or the second.
    let long = [delta(1 << 31, 0), b"a".to_vec()].concat();
    let pages = [page(0, long.len() as i32, 1, Encoding::DELTA_LENGTH_BYTE_ARRAY, &long)];
    assert_eq!(problem(&file_of("binary", Compression::UNCOMPRESSED, 1, &pages)), Problem::Damaged);
    let second = [delta(1, 0), long].concat();
    let pages = [page(0, second.len() as i32, 1, Encoding::DELTA_BYTE_ARRAY, &second)];
    assert_eq!(problem(&file_of("binary", Compression::UNCOMPRESSED, 1, &pages)), Problem::Damaged);
    // And as long as a page with very many values says.
    let many = [delta(1 << 30, 0)].concat();
    let pages = [page(0, many.len() as i32, 1 << 30, Encoding::DELTA_LENGTH_BYTE_ARRAY, &many)];
    let file = file_of("binary", Compression::UNCOMPRESSED, 1 << 30, &pages);
    assert_eq!(problem(&file), Problem::PagesOverBudget { budget: BUDGET as u64 / 2 });
}

#[test]
fn a_cell_or_row_longer_than_any_record_is_refused_where_it_stands() {
    let cell = |length| ByteArray::from(vec![b'a'; length]);
    let properties = || WriterProperties::builder().set_compression(ZSTD());
    let file = parquet_with("message rows { required binary id; }", properties(), 1, |_, group| {
        column!(group, ByteArrayType, [cell(1), cell(MAX_RECORD + 1)], None);
    });
    let error = file.keys(&raw("id")).unwrap_err();
    assert_eq!(
        (error.problem, error.place, error.column.as_deref()),
        (Problem::RowTooLong { limit: MAX_RECORD }, Some(Place::Row(2)), Some("id"))
    );
    let file = parquet_with("message rows { required binary id; required binary b; }", properties(), 1, |_, group| {
        column!(group, ByteArrayType, [cell(MAX_RECORD / 2)], None);
        column!(group, ByteArrayType, [cell(MAX_RECORD / 2 + 1)], None);
    });
    assert_eq!(problem(&file), Problem::RowTooLong { limit: MAX_RECORD });
}

/// Each value repeats the one before and takes two bytes in the file: a page of a megabyte is a thousand of them.
#[test]
fn values_that_repeat_a_long_one_are_decoded_few_at_a_time() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .set_column_encoding("id".into(), Encoding::DELTA_BYTE_ARRAY);
        let ids: Vec<_> = (0..3000).map(|row| format!("{}{row}", "x".repeat(40_000))).collect();
        let values: Vec<_> = ids.iter().map(|id| ByteArray::from(id.as_str())).collect();
        for (optional, levels) in [("required", None), ("optional", Some(vec![1; ids.len()]))] {
            let schema = format!("message rows {{ {optional} binary id (string); required int32 n; }}");
            let file = parquet_with(&schema, properties.clone(), 1, |_, group| {
                column!(group, ByteArrayType, values, levels.as_deref());
                column!(group, ::parquet::data_type::Int32Type, vec![1; ids.len()], None);
            });
            assert!(std::fs::metadata(&file.source.path).unwrap().len() < 1 << 18);
            assert_eq!(file.inspect().unwrap().rows, 3000);
            let keys = file.keys(&with(raw("n"), Duplicates::First, Invalid::Error)).unwrap();
            assert_eq!(keys.len(), 1);
        }
    }
}

#[test]
fn every_encoding_of_either_version_is_read() {
    let texts_of = |ids: &[String]| ids.iter().map(|id| ByteArray::from(id.as_str())).collect::<Vec<_>>();
    let ids: Vec<_> = (0..5000).map(|row| format!("id-{:06}", row * 7)).collect();
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for encoding in
            [Encoding::PLAIN, Encoding::RLE_DICTIONARY, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
        {
            let mut properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(ZSTD())
                .set_data_page_row_count_limit(700)
                .set_write_batch_size(100)
                .set_dictionary_enabled(encoding == Encoding::RLE_DICTIONARY);
            if encoding != Encoding::RLE_DICTIONARY {
                properties = properties.set_encoding(encoding);
            }
            let file = parquet_with("message rows { optional binary id (string); }", properties, 2, |number, group| {
                let half = &ids[number * 2500..][..2500];
                column!(group, ByteArrayType, texts_of(half), Some(&[1; 2500]));
            });
            assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ids, "{version:?} {encoding}");
        }
    }
    let properties =
        WriterProperties::builder().set_encoding(Encoding::BYTE_STREAM_SPLIT).set_dictionary_enabled(false);
    let file = parquet_with("message rows { required fixed_len_byte_array(9) id; }", properties, 1, |_, group| {
        let values: Vec<_> = ids.iter().map(|id| FixedLenByteArray::from(id.as_bytes().to_vec())).collect();
        column!(group, FixedLenByteArrayType, values, None);
    });
    assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ids);
}

#[test]
fn more_columns_than_any_table_has_and_a_footer_beyond_the_memory_are_refused() {
    let wide = |columns: usize, name: &str| {
        let names: String = (0..columns).map(|at| format!("required int32 {name}{at}; ")).collect();
        let schema = format!("message rows {{ {names} }}");
        parquet_with(&schema, WriterProperties::builder(), 0, |_, _| {})
    };
    assert_eq!(problem(&wide(MAX_COLUMNS + 1, "c")), Problem::TooManyColumns { limit: MAX_COLUMNS });
    assert_eq!(wide(100, "c").inspect().unwrap().columns.len(), 100);
    let long = wide(2000, &"c".repeat(600));
    assert_eq!(problem(&long), Problem::FooterOverBudget { limit: 1 << 20 });
    assert_eq!(inspect(&long.source, &Budget::of_bytes(1 << 30)).unwrap().columns.len(), 2000);
}
