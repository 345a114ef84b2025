//! Parquet files: keys of several types, rows in and out, and files that are none.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
    Int96, Int96Type,
};
use ::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use sha2::{Digest, Sha256};

use super::*;

/// Writes row groups with `group`, which is told their number.
pub(super) fn parquet_with(
    schema: &str,
    properties: WriterPropertiesBuilder,
    groups: usize,
    group: impl Fn(usize, &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>),
) -> TestFile {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build())).unwrap();
    for number in 0..groups {
        let mut row_group = writer.next_row_group().unwrap();
        group(number, &mut row_group);
        row_group.close().unwrap();
    }
    writer.close().unwrap();
    TestFile::new(&bytes, Format::Parquet)
}

fn texts_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<ByteArray> {
    texts.into_iter().map(ByteArray::from).collect()
}

/// Writes the next column of a row group.
macro_rules! column {
    ($group:ident, $type:ty, $values:expr, $levels:expr) => {{
        let mut column = $group.next_column().unwrap().unwrap();
        let levels: Option<&[i16]> = $levels;
        column.typed::<$type>().write_batch(&$values, levels, None).unwrap();
        column.close().unwrap();
    }};
}

pub(super) use column;

/// Four rows with a column of every type; the third row is null where it can be.
pub(super) fn every_type() -> TestFile {
    let schema = "message rows {
        optional binary name (string);
        required int64 phone;
        optional int32 small (integer(32, false));
        optional double score;
        optional boolean member;
        optional int32 born (date);
        optional int64 seen (timestamp(micros, true));
        optional int64 money (decimal(18, 2));
        optional int96 old;
        optional fixed_len_byte_array(16) id (uuid);
        optional binary blob;
        optional group tags (list) { repeated group list { required binary element (string); } }
        required int64 last;
    }";
    parquet_with(schema, WriterProperties::builder(), 1, |_, group| {
        let present: Option<&[i16]> = Some(&[1, 1, 0, 1]);
        let uuid = |byte| FixedLenByteArray::from(vec![byte; 16]);
        let mut old = Int96::new();
        old.set_data(0, 0, 2_440_589);
        column!(group, ByteArrayType, texts_of(["张三", "a,\"b\"", ""]), present);
        column!(group, Int64Type, [13_800_138_000, 13_900_139_000, 13_700_137_000, 13_800_138_000], None);
        column!(group, Int32Type, [1, -1, 7], present);
        column!(group, DoubleType, [0.5, -0.0, 1e300], present);
        column!(group, BoolType, [true, false, true], present);
        column!(group, Int32Type, [0, 19_782, -1], present);
        column!(group, Int64Type, [0, 1, -1], present);
        column!(group, Int64Type, [100, -5, 0], present);
        column!(group, Int96Type, [old, old, old], present);
        column!(group, FixedLenByteArrayType, [uuid(1), uuid(0xab), uuid(0)], present);
        column!(group, ByteArrayType, texts_of(["x", "y", "z"]), present);
        let mut list = group.next_column().unwrap().unwrap();
        let tags = texts_of(["t", "u"]);
        list.typed::<ByteArrayType>().write_batch(&tags, Some(&[2, 2, 0, 1, 0]), Some(&[0, 1, 0, 0, 0])).unwrap();
        list.close().unwrap();
        column!(group, Int64Type, [1, 2, 3, 4], None);
    })
}

fn write(
    file: &TestFile,
    selection: &Selection,
    columns: &[&str],
    format: OutputFormat,
) -> Result<Vec<u8>, IntakeError> {
    let output = Output { columns: columns.iter().map(|&name| name.into()).collect(), format };
    let mut written = Vec::new();
    let digest = file.inspect()?.digest;
    write_rows(&file.source, Some(&digest), selection, &output, &Budget::of_bytes(MEMORY), &mut written)?;
    Ok(written)
}

const CSV: OutputFormat = OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true };
const FLAT: [&str; 12] =
    ["name", "phone", "small", "score", "member", "born", "seen", "money", "old", "id", "blob", "last"];
const FLAT_CSV: [&str; 4] = [
    "张三,13800138000,1,0.5,true,1970-01-01,1970-01-01T00:00:00Z,1.00,1970-01-02T00:00:00,\
     01010101-0101-0101-0101-010101010101,x,1\n",
    "\"a,\"\"b\"\"\",13900139000,4294967295,-0.0,false,2024-02-29,1970-01-01T00:00:00.000001Z,-0.05,\
     1970-01-02T00:00:00,abababab-abab-abab-abab-abababababab,y,2\n",
    ",13700137000,,,,,,,,,,3\n",
    ",13800138000,7,1e300,true,1969-12-31,1969-12-31T23:59:59.999999Z,0.00,1970-01-02T00:00:00,\
     00000000-0000-0000-0000-000000000000,z,4\n",
];

#[test]
fn inspection_tells_every_column_with_its_type() {
    let inspection = every_type().inspect().unwrap();
    let types: Vec<_> = inspection.columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(
        types,
        [
            "text",
            "int64",
            "uint32",
            "double",
            "boolean",
            "date",
            "timestamp in us, UTC",
            "decimal with 2 places",
            "timestamp (int96)",
            "uuid",
            "bytes",
            "nested",
            "int64"
        ]
    );
    assert_eq!((inspection.rows, inspection.columns[11].name.as_str()), (4, "tags"));
}

#[test]
fn the_digest_is_that_of_the_bytes_and_a_changed_file_is_refused() {
    let file = every_type();
    let bytes = std::fs::read(&file.source.path).unwrap();
    let digest = file.inspect().unwrap().digest;
    assert_eq!(digest, FileDigest { size: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() });
    let spec = with(raw("phone"), Duplicates::First, Invalid::Error);
    let read = || read_keys(&file.source, &spec, Some(&digest), &Budget::of_bytes(MEMORY)).map(|keys| keys.len());
    assert_eq!(read(), Ok(3));
    // In the middle of the footer's free text, or right through the rows: both are first of all a change.
    for at in [bytes.len() - 12, 60] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&file.source.path, changed).unwrap();
        assert_eq!(read().unwrap_err().problem, Problem::Changed, "byte {at}");
    }
}

#[test]
fn text_bytes_and_whole_numbers_can_be_keys_and_null_is_empty() {
    let file = every_type();
    let spec = |name, profile| with(key(&[(name, profile)]), Duplicates::All, Invalid::Skip);
    let keys = file.keys(&spec("phone", Profile::CnMobile)).unwrap();
    assert_eq!(texts(&keys), ["13800138000", "13900139000", "13700137000"]);
    assert_eq!(keys.rows_of(0).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(texts(&file.keys(&spec("small", Profile::Raw)).unwrap()), ["1", "4294967295", "7"]);
    assert_eq!(texts(&file.keys(&spec("blob", Profile::Raw)).unwrap()), ["x", "y", "z"]);
    let names = file.keys(&spec("name", Profile::TrimCasefold)).unwrap();
    assert_eq!((texts(&names).as_slice(), names.report().empty), (&["张三".into(), "a,\"b\"".into()][..], 2));
    // The same file as CSV gives the same keys.
    let csv = TestFile::csv(write(&file, &Selection::InputOrder(vec![0, 1, 2, 3]), &["phone", "name"], CSV).unwrap());
    assert!(csv.keys(&spec("phone", Profile::CnMobile)).unwrap().ids().eq(keys.ids()));
    let error = file.keys(&key(&[("name", Profile::Raw)])).unwrap_err();
    assert_eq!((error.place, error.column.as_deref()), (Some(Place::Row(3)), Some("name")));
}

#[test]
fn other_types_cannot_be_keys_and_are_told_by_name() {
    let file = every_type();
    for name in ["score", "member", "born", "seen", "money", "old", "id", "tags"] {
        let error = file.keys(&raw(name)).unwrap_err();
        assert_eq!((error.code(), error.column.as_deref()), ("column-not-a-key", Some(name)));
    }
    let error = file.keys(&raw("score")).unwrap_err();
    assert_eq!(
        file.told(&error),
        "column \"score\": a column of type double cannot be a key; \
         store the identifier as text or as a whole number"
    );
    let error = file.keys(&raw("element")).unwrap_err();
    assert!(matches!(error.problem, Problem::NoSuchColumn { columns: 13, near: None, known } if known.is_empty()));
}

#[test]
fn every_type_is_written_to_csv_as_people_write_it() {
    let file = every_type();
    let header = format!("{}\n", FLAT.join(","));
    let written = write(&file, &Selection::InputOrder(vec![0, 1, 2, 3]), &FLAT, CSV).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), header.clone() + &FLAT_CSV.concat());
    let written = write(&file, &Selection::Ordered(vec![2, 0]), &FLAT, CSV).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), header + FLAT_CSV[2] + FLAT_CSV[0]);
}

#[test]
fn parquet_to_parquet_keeps_types_and_nulls() {
    let file = every_type();
    let original = file.inspect().unwrap();
    for (selection, rows) in [(Selection::InputOrder(vec![1, 2]), [1, 2]), (Selection::Ordered(vec![3, 2]), [3, 2])] {
        let bytes = write(&file, &selection, &FLAT, OutputFormat::Parquet).unwrap();
        let copy = TestFile::new(&bytes, Format::Parquet);
        let inspection = copy.inspect().unwrap();
        assert_eq!(inspection.rows, 2);
        for column in &inspection.columns {
            assert!(original.columns.contains(column), "{column:?}");
        }
        let csv = write(&copy, &Selection::InputOrder(vec![0, 1]), &FLAT[..], CSV).unwrap();
        assert!(String::from_utf8(csv).unwrap().ends_with(&rows.map(|row| FLAT_CSV[row]).concat()));
        // Nulls are nulls, not empty values.
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let null = |row: &::parquet::record::Row| row.get_column_iter().any(|(_, field)| field.to_string() == "null");
        assert_eq!(reader.get_row_iter(None).unwrap().filter(|row| null(row.as_ref().unwrap())).count(), 1);
    }
    let error = write(&file, &Selection::InputOrder(vec![]), &[], OutputFormat::Parquet).unwrap_err();
    assert_eq!((error.code(), error.column.as_deref()), ("column-not-writable", Some("tags")));
}

#[test]
fn csv_to_parquet_is_text_of_any_number_of_row_groups() {
    let rows = 300_000u32;
    let text: String = (0..rows).map(|row| format!("{row},客户\n")).collect();
    let file = TestFile::csv(format!("id,名称\n{text}"));
    let all = Selection::InputOrder((0..rows).collect());
    let parquet = TestFile::new(&write(&file, &all, &[], OutputFormat::Parquet).unwrap(), Format::Parquet);
    let inspection = parquet.inspect().unwrap();
    assert_eq!(inspection.rows, u64::from(rows));
    assert!(inspection.columns.iter().all(|column| column.type_name == "text"));
    assert!(parquet.keys(&raw("id")).unwrap().ids().eq(file.keys(&raw("id")).unwrap().ids()));
    assert_eq!(write(&parquet, &all, &[], CSV).unwrap(), std::fs::read(&file.source.path).unwrap());
    let none = write(&file, &Selection::InputOrder(vec![]), &[], OutputFormat::Parquet).unwrap();
    assert_eq!(TestFile::new(&none, Format::Parquet).inspect().unwrap().rows, 0);
}

#[test]
fn rows_are_numbered_across_row_groups() {
    let file = parquet_with("message rows { required int32 id; }", WriterProperties::builder(), 3, |number, group| {
        let values: Vec<i32> = (0..1_500).map(|row| number as i32 * 10_000 + row).collect();
        column!(group, Int32Type, values, None);
    });
    let keys = file.keys(&raw("id")).unwrap();
    assert_eq!((keys.len(), keys.first_rows()[3_700]), (4_500, 3_700));
    assert_eq!(texts(&keys)[3_700], "20700");
    let written = write(&file, &Selection::InputOrder(vec![1_499, 1_500, 4_499]), &[], CSV).unwrap();
    assert_eq!(written, b"id\n1499\n10000\n21499\n");
}

#[test]
fn text_that_is_no_text_is_told_with_row_and_column() {
    let invalid = || [ByteArray::from("a"), ByteArray::from(b"\xff".as_slice())];
    let file =
        parquet_with("message rows { required binary id (string); }", WriterProperties::builder(), 1, |_, group| {
            column!(group, ByteArrayType, invalid(), None);
        });
    let error = file.keys(&raw("id")).unwrap_err();
    assert_eq!(
        file.told(&error),
        "row 2, column \"id\": the bytes are not valid UTF-8; \
         mend the cell or, for CSV, declare the encoding the file was written in"
    );
    // Bytes that claim to be nothing else can be a key, but not a cell of CSV.
    let file = parquet_with("message rows { required binary id; }", WriterProperties::builder(), 1, |_, group| {
        column!(group, ByteArrayType, invalid(), None);
    });
    assert_eq!(file.keys(&raw("id")).unwrap().len(), 2);
    for selection in [Selection::InputOrder(vec![0, 1]), Selection::Ordered(vec![0, 1])] {
        let error = write(&file, &selection, &[], CSV).unwrap_err();
        assert_eq!((error.code(), error.place), ("cell-unprintable", Some(Place::Row(2))));
        assert_eq!(error.column.as_deref(), Some("id"));
    }
}

#[test]
fn what_is_no_parquet_file_or_only_a_piece_of_one_is_told_apart() {
    let problem = |bytes: &[u8]| TestFile::new(bytes, Format::Parquet).inspect().unwrap_err().problem;
    assert_eq!(problem(b""), Problem::NotParquet);
    assert_eq!(problem(b"id,name\n1,a\n"), Problem::NotParquet);
    assert_eq!(problem(b"PAR1"), Problem::Damaged);
    assert_eq!(problem(b"PARE1234"), Problem::Unsupported("an encrypted Parquet file".into()));
    let whole = std::fs::read(&every_type().source.path).unwrap();
    for length in (5..whole.len()).step_by(37) {
        assert_eq!(problem(&whole[..length]), Problem::Damaged, "{length} bytes");
    }
    // A CSV reader given a Parquet file ends as well.
    assert!(TestFile::csv(&whole).inspect().is_err());
}

#[test]
fn compression_is_read_or_named() {
    let ids = |number: usize| (0..500).map(|row| format!("{number}-{row}")).collect::<Vec<_>>();
    let file = |compression| {
        let properties = WriterProperties::builder().set_compression(compression);
        parquet_with("message rows { required binary id (string); }", properties, 2, |number, group| {
            column!(group, ByteArrayType, texts_of(ids(number).iter().map(String::as_str)), None);
        })
    };
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        assert_eq!(texts(&file(compression).keys(&raw("id")).unwrap()), [ids(0), ids(1)].concat());
    }
}

#[test]
fn compression_that_is_not_read_is_named() {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let file = parquet_with("message rows { required int64 id; }", properties, 1, |_, group| {
        column!(group, Int64Type, [1, 2, 3], None);
    });
    let whole = std::fs::read(&file.source.path).unwrap();
    // This build writes no gzip. In the footer the codec is one byte, 2 for snappy and 4 for gzip.
    let told = (0..whole.len()).filter(|&at| whole[at] == 2).filter_map(|at| {
        let mut bytes = whole.clone();
        bytes[at] = 4;
        let other = TestFile::new(&bytes, Format::Parquet);
        other.keys(&raw("id")).err().map(|error| other.told(&error))
    });
    let expected = "column \"id\": GZIP compression is not read here; \
                    write the file again with snappy, zstd or no compression";
    assert!(told.collect::<Vec<_>>().contains(&expected.to_owned()));
}

/// Flips every byte of a file in turn. Whatever that does to it, nothing panics, and what is read without a
/// complaint is as many rows as the file says.
#[test]
fn a_damaged_byte_anywhere_ends_in_rows_or_an_error() {
    let file = parquet_with(
        "message rows { optional binary id (string); required int64 n; }",
        WriterProperties::builder().set_compression(Compression::SNAPPY),
        1,
        |_, group| {
            column!(group, ByteArrayType, texts_of(["a", "bb", "a"]), Some(&[1, 0, 1, 1]));
            column!(group, Int64Type, [1, 2, 3, 4], None);
        },
    );
    let whole = std::fs::read(&file.source.path).unwrap();
    let mut endings = std::collections::BTreeMap::<_, u32>::new();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let damaged = TestFile::new(&bytes, Format::Parquet);
            let ending = match damaged.inspect() {
                Ok(_) => "rows",
                Err(error) => error.code(),
            };
            *endings.entry(ending).or_default() += 1;
        }
    }
    assert!(endings["parquet-damaged"] > 100, "{endings:?}");
}

/// What the decoder panics with may quote the file, so it is in no log: not even as the process's panic message.
#[test]
fn a_panic_of_the_decoder_is_not_printed() {
    let flips = "intake::tests::parquet::a_damaged_byte_anywhere_ends_in_rows_or_an_error";
    let mut run = std::process::Command::new(std::env::current_exe().unwrap());
    let ran = run.args(["--exact", flips, "--nocapture"]).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{ran:?}");
    let printed = String::from_utf8_lossy(&ran.stderr);
    assert!(!printed.contains("panicked"), "{printed}");
}
