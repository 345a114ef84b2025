//! Every way in which a CSV file can be strange, with its exact ending.

use super::*;

fn csv(encoding: Encoding, delimiter: char, header: bool) -> Format {
    Format::Csv { encoding, delimiter: delimiter.try_into().unwrap(), header }
}

/// Reads column `id` of a file that is all right.
fn ids(bytes: &[u8]) -> Vec<String> {
    texts(&TestFile::csv(bytes).keys(&raw("id")).unwrap())
}

/// What a reader of column `id` is told about a file that is not, and the same from [`visit_rows`].
fn refusal(bytes: &[u8], format: Format) -> (Problem, Option<Place>, Option<String>, String) {
    let file = TestFile::new(bytes, format);
    let error = file.keys(&with(raw("id"), Duplicates::First, Invalid::Skip)).unwrap_err();
    let budget = Budget::of_bytes(MEMORY);
    assert_eq!(visit_rows(&file.source, Some(&raw("id")), None, &budget, |_| {}).unwrap_err(), error);
    let told = file.told(&error);
    (error.problem, error.place, error.column, told)
}

fn refused(bytes: &[u8]) -> (Problem, Option<Place>, Option<String>) {
    let (problem, place, column, _) = refusal(bytes, Format::CSV);
    (problem, place, column)
}

fn line(line: u64) -> Option<Place> {
    Some(Place::Line(line))
}

fn column(name: &str) -> Option<String> {
    Some(name.into())
}

#[test]
fn commas_quotes_and_line_ends_inside_quotes_belong_to_the_cell() {
    let text = b"id,name\n\"a,b\",1\n\"say \"\"hi\"\"\",2\n\"two\nlines\",3\n\"dos\r\nlines\",4\n\"\",5\n";
    let file = TestFile::csv(text);
    let keys = file.keys(&with(raw("id"), Duplicates::Error, Invalid::Skip)).unwrap();
    assert_eq!(texts(&keys), ["a,b", "say \"hi\"", "two\nlines", "dos\r\nlines"]);
    assert_eq!(keys.report().empty, 1);
}

#[test]
fn a_quote_inside_an_unquoted_cell_is_a_character() {
    assert_eq!(ids(b"id\n5\" pipe\na\"b\"\n"), ["5\" pipe", "a\"b\""]);
}

#[test]
fn lines_may_end_in_any_of_three_ways_and_the_last_need_not_end() {
    let expected = ["1", "2"];
    for text in
        ["id,x\n1,a\n2,b\n", "id,x\r\n1,a\r\n2,b\r\n", "id,x\r1,a\r2,b\r", "id,x\n1,a\n2,b", "id,x\r\n1,a\n2,b\r"]
    {
        assert_eq!(ids(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn blank_lines_are_no_rows_but_count_as_lines() {
    assert_eq!(ids(b"\n\nid,x\n\n1,a\n\r\n2,b\n\n"), ["1", "2"]);
    assert_eq!(refused(b"\nid,x\r\n\r\n1,a\r\n\r\n2\r\n").1, line(6));
}

#[test]
fn the_mark_of_utf_8_is_not_part_of_the_first_name() {
    assert_eq!(ids("\u{feff}id,x\n1,a\n".as_bytes()), ["1"]);
    assert_eq!(ids("\u{feff}\"id\",x\n1,a\n".as_bytes()), ["1"]);
}

#[test]
fn the_mark_of_another_encoding_is_named() {
    let (problem, _, _, told) = refusal("\u{feff}id\n1\n".as_bytes(), csv(Encoding::Gbk, ',', true));
    assert_eq!(problem, Problem::OtherEncoding { declared: Encoding::Gbk, found: "UTF-8" });
    assert_eq!(told, ": the file is declared as GBK but begins with the mark of UTF-8; declare it as utf-8");
    let (problem, _, _) = refused(b"\xff\xfei\0d\0\n\0");
    assert_eq!(problem, Problem::OtherEncoding { declared: Encoding::Utf8, found: "UTF-16" });
}

#[test]
fn an_empty_file_has_no_header() {
    let (problem, place, _, told) = refusal(b"", Format::CSV);
    assert_eq!((problem, place), (Problem::Empty, None));
    assert_eq!(told, ": the file is empty; a CSV file needs at least its header line");
    assert_eq!(refused(b"\r\n\n").0, Problem::Empty);
    assert_eq!(refused("\u{feff}".as_bytes()).0, Problem::Empty);
}

#[test]
fn a_header_alone_is_a_file_of_no_rows() {
    for text in ["id,x\n", "id,x"] {
        let file = TestFile::csv(text);
        assert!(file.keys(&raw("id")).unwrap().is_empty());
        assert_eq!(file.inspect().unwrap().rows, 0);
    }
}

#[test]
fn a_missing_column_is_told_with_the_name_that_was_nearly_asked_for() {
    let told = |header: &str, name: &str| {
        let file = TestFile::csv(format!("{header}\n1,2\n"));
        file.told(&file.keys(&raw(name)).unwrap_err())
    };
    let near = |name: &str, there: &str| {
        format!("column {name:?}: there is no such column; the file has 2 columns, one of them is {there:?}")
    };
    for (header, name, there) in [
        (" id,手机 ", "id", " id"),
        ("id,Mobile", "mobile", "Mobile"),
        ("id,mobil", "mobile", "mobil"),
        ("id,mobile", "mobille", "mobile"),
        ("id,\u{feff}phone", "phone", "\u{feff}phone"),
    ] {
        assert_eq!(told(header, name), near(name, there));
    }
}

#[test]
fn the_first_row_of_a_file_without_a_header_is_in_no_error() {
    for first in ["C000123,张三,8000", "E12345678,Zhang San,1", "\"138,0013,8000\",x", "138 0013 8000;张三;x"] {
        let file = TestFile::csv(format!("{first}\n{first}\n"));
        let told = file.told(&file.keys(&key(&[("mobile", Profile::CnMobile)])).unwrap_err());
        assert!(told.starts_with("column \"mobile\": there is no such column; the file has "), "{told}");
        for cell in first.split([',', ';', '"']).filter(|cell| cell.len() > 1) {
            assert!(!told.contains(cell), "{told}");
        }
    }
    // One column only: the delimiter is another.
    let file = TestFile::csv("mobile;name\n13800138000;x\n");
    let told = file.told(&file.keys(&raw("mobile")).unwrap_err());
    assert_eq!(
        told,
        "column \"mobile\": there is no such column; the file has 1 column: check the delimiter, the spelling, and that \
         the first line holds the names"
    );
}

#[test]
fn the_names_of_a_registered_file_are_told_in_full() {
    let file = TestFile::csv("id,amount\n1,2\n");
    let digest = file.inspect().unwrap().digest;
    let error = read_keys(&file.source, &raw("phone"), Some(&digest), &Budget::of_bytes(MEMORY)).unwrap_err();
    assert_eq!(file.told(&error), "column \"phone\": there is no such column; the file has \"id\", \"amount\"");
}

#[test]
fn before_a_key_is_found_a_column_is_called_by_its_position() {
    let file = TestFile::csv("id,x\n1,a\n2,\0\n");
    assert_eq!(file.inspect().unwrap_err().column, column("column_2"));
    let shown = visit_rows(&file.source, Some(&raw("id")), None, &Budget::of_bytes(MEMORY), |_| {});
    assert_eq!(shown.unwrap_err().column, column("x"));
}

#[test]
fn two_columns_of_one_name_are_refused_and_counted() {
    let (problem, place, name, told) = refusal(b"id,x,id\n1,2,3\n", Format::CSV);
    assert_eq!((problem, place, name), (Problem::SameName { twins: vec![(1, 3)] }, line(1), None));
    assert!(told.starts_with("line 1: columns 1 and 3 have the same name; rename one of each, or"), "{told}");
}

#[test]
fn columns_without_a_name_are_called_by_their_position() {
    let file = TestFile::csv("id,,\n1,2,3\n");
    let names: Vec<_> = file.inspect().unwrap().columns.into_iter().map(|column| column.name).collect();
    assert_eq!(names, ["id", "column_2", "column_3"]);
}

#[test]
fn a_file_without_a_header_has_positions_for_names_and_loses_no_row() {
    let file = TestFile::new(b"1;a\n2;b\n", csv(Encoding::Utf8, ';', false));
    assert_eq!(texts(&file.keys(&raw("column_1")).unwrap()), ["1", "2"]);
    assert_eq!(texts(&file.keys(&raw("column_2")).unwrap()), ["a", "b"]);
    assert_eq!(file.inspect().unwrap().rows, 2);
}

#[test]
fn a_row_taken_for_a_header_is_refused_and_not_printed() {
    for first in ["张三,13800138000", "x,6222021234567890", "a,zhang@example.com", "a,11010519491231002X"] {
        let file = TestFile::csv(format!("{first}\nb,2\n"));
        let error = file.keys(&raw("id")).unwrap_err();
        assert_eq!(
            file.told(&error),
            "line 1, column \"column_2\": the header line holds an identifier, so it seems to be a row; \
             register the file with --no-header, or write a line with the names of the columns above it"
        );
    }
    assert_eq!(ids(b"id,20240131,user@host\n1,2,3\n"), ["1"]);
}

#[test]
fn a_ragged_row_is_told_with_its_line_and_both_counts() {
    let (problem, place, _, told) = refusal(b"id,x\n1,a\n\"2\n\n\",b,c\n", Format::CSV);
    assert_eq!((problem, place), (Problem::Ragged { found: 3, expected: 2 }, line(3)));
    assert_eq!(
        told,
        "line 3: the row has 3 cells where the file has 2 columns; check delimiter and quoting of the row"
    );
    assert!(refusal(b"id,x\n1\n", Format::CSV).3.contains("the row has 1 cell where the file has 2 columns"));
    assert_eq!(refused(b"id,x\r\n1,a\r\n2").0, Problem::Ragged { found: 1, expected: 2 });
    assert_eq!(refused(b"id,x\r\n1,a\r\n2").1, line(3));
}

#[test]
fn a_quote_left_open_is_told_with_the_line_where_it_opened() {
    let (problem, place, _, told) = refusal(b"id,x\n\"a\nb\",1\nc,\"d\ne,2\nf,3\n", Format::CSV);
    assert_eq!((problem, place), (Problem::OpenQuote, line(4)));
    assert_eq!(
        told,
        "line 4: the quote that opens here is never closed; close it, or double every quote inside the cell"
    );
    assert_eq!(refused(b"id\r\n1\r\n\"2\r\n").1, line(3));
    assert_eq!(refused(b"\"id\n").0, Problem::OpenQuote);
}

#[test]
fn a_quote_left_open_that_meets_the_next_quote_does_not_swallow_rows() {
    // To csv-core these are two good rows, the first with the second inside.
    let (problem, place, _, told) = refusal(b"id,x\n1,\"abc\n2,\"def\"\n3,g\n", Format::CSV);
    assert_eq!((problem, place), (Problem::TextAfterQuote, line(2)));
    assert!(told.starts_with("line 2: text follows the closing quote"), "{told}");
    assert_eq!(refused(b"id,x\n1,a\n\"2\"b,c\n").1, line(3));
}

#[test]
fn a_nul_byte_is_told_with_line_and_column() {
    assert_eq!(refused(b"id,x\n1,a\n2,\0\n"), (Problem::NulByte, line(3), column("x")));
}

#[test]
fn invalid_utf_8_is_told_with_line_and_column() {
    let (problem, place, name, told) = refusal(b"id,x\n\"1\n2\",\"a\n\xd5\xc5\"\n", Format::CSV);
    assert_eq!((problem, place, name), (Problem::NotText(Encoding::Utf8), line(4), column("x")));
    assert_eq!(
        told,
        "line 4, column \"x\": the bytes are not valid UTF-8; \
         mend the cell or, for CSV, declare the encoding the file was written in"
    );
    // Two halves of a character on both sides of a comma are no character.
    assert_eq!(refused(b"id,x\n\xc3,\xa9\n").2, column("id"));
    assert_eq!(refused(b"id,\xff\n1,2\n"), (Problem::NotText(Encoding::Utf8), line(1), column("column_2")));
}

#[test]
fn gbk_is_decoded_before_cells_are_found() {
    // The second byte of 寍 is a bar, that of 乗 a backslash; 张三 and 李四 are everyday GBK.
    let text = "id|名称\n张三|寍\n李四|乗\n";
    for encoding in [Encoding::Gbk, Encoding::Gb18030] {
        let (bytes, _, replaced) = encoding_rs::GB18030.encode(text);
        assert!(!replaced && bytes.iter().filter(|&&byte| byte == b'|').count() > 3);
        let file = TestFile::new(&bytes, csv(encoding, '|', true));
        assert_eq!(texts(&file.keys(&raw("id")).unwrap()), ["张三", "李四"]);
        assert_eq!(texts(&file.keys(&raw("名称")).unwrap()), ["寍", "乗"]);
    }
    let marked = [b"\x84\x31\x95\x33".as_slice(), b"id\n1\n"].concat();
    assert_eq!(texts(&TestFile::new(&marked, csv(Encoding::Gb18030, ',', true)).keys(&raw("id")).unwrap()), ["1"]);
}

#[test]
fn invalid_gbk_is_told_with_line_and_column() {
    for (bytes, at, name) in [
        (b"id,x\r\n1,\xd5\xc5\r\n2,\xff\xff\r\n3,c\r\n".as_slice(), 3, "x"),
        (b"id,x\n\"1\n2\",\"\n\n\xd5\"\n", 5, "x"),
        (b"id,x\n1,a\n\xd5", 3, "id"),
    ] {
        let (problem, place, column, _) = refusal(bytes, csv(Encoding::Gbk, ',', true));
        assert_eq!((problem, place, column.as_deref()), (Problem::NotText(Encoding::Gbk), line(at), Some(name)));
    }
}

#[test]
fn gbk_and_utf_8_give_the_same_keys_across_blocks() {
    // More than two blocks, with characters of two and four bytes across their borders.
    let text: String = (0..200_000).map(|row| format!("{row}客户𠀀\n")).collect();
    let text = format!("id\n{text}");
    let utf8 = TestFile::csv(&text).keys(&raw("id")).unwrap();
    let (bytes, ..) = encoding_rs::GB18030.encode(&text);
    let gb18030 = TestFile::new(&bytes, csv(Encoding::Gb18030, ',', true)).keys(&raw("id")).unwrap();
    assert_eq!(utf8.len(), 200_000);
    assert!(utf8.ids().eq(gb18030.ids()));
}

#[test]
fn a_record_across_blocks_reads_as_one() {
    // Quoted cells of every phase over the border of two blocks of a megabyte.
    let cell = "\"a\"\"b,\nc\"";
    let text: String = std::iter::repeat_n(format!("{cell},{cell}\n"), 100_000).collect();
    let file = TestFile::csv(format!("id,x\n{text}"));
    let keys = file.keys(&with(raw("id"), Duplicates::First, Invalid::Error)).unwrap();
    assert_eq!(texts(&keys), ["a\"b,\nc"]);
    assert_eq!((keys.report().rows, keys.report().duplicates), (100_000, 99_999));
}

#[test]
fn lines_count_right_behind_quoted_line_ends_in_a_large_file() {
    let rows = "\"x\r\ny\",2\r\n\r\n".repeat(150_000);
    let bytes = format!("id,x\r\n{rows}z\r\n");
    let lines = bytes.lines().count() as u64;
    assert_eq!(refused(bytes.as_bytes()), (Problem::Ragged { found: 1, expected: 2 }, line(lines), None));
}

#[test]
fn a_long_cell_reads_until_the_limit_of_a_record() {
    let long = "7".repeat(MAX_RECORD - 1);
    assert_eq!(ids(format!("id\n{long}\n").as_bytes()), [long.as_str()]);
    let (problem, place, _) = refused(format!("id\n1\n{long}77\n").as_bytes());
    assert_eq!((problem, place), (Problem::RecordTooLong { limit: MAX_RECORD }, line(3)));
}

#[test]
fn a_gigabyte_without_a_line_end_is_refused_at_once() {
    // A sparse file: a header, then holes, which read as NUL.
    let file = TestFile::csv("id\n1\n");
    file.file.as_file().set_len(1 << 30).unwrap();
    let error = file.keys(&raw("id")).unwrap_err();
    assert_eq!(error.problem, Problem::RecordTooLong { limit: MAX_RECORD });
    assert_eq!(error.place, line(3));
}

#[test]
fn a_delimiter_is_one_sensible_character() {
    for c in [',', ';', '|', '\t', ' ', '\u{1}'] {
        assert!(Delimiter::try_from(c).is_ok(), "{c:?}");
    }
    for c in ['"', '\n', '\r', '\0', 'a', '0', '，', 'é'] {
        assert_eq!(Delimiter::try_from(c), Err(BadDelimiter(c)));
    }
    let json = r#"{"path": "a.csv", "format": {"kind": "csv", "encoding": "gbk", "delimiter": "|"}}"#;
    let source: Source = serde_json::from_str(json).unwrap();
    assert_eq!(source.format, csv(Encoding::Gbk, '|', true));
    assert!(serde_json::from_str::<Source>(&json.replace('|', "||")).is_err());
}
