//! Result rows from CSV files.

use std::io;

use super::*;

const CSV: OutputFormat = OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true };

fn write(file: &TestFile, selection: &Selection, columns: &[&str], memory: usize) -> Result<String, IntakeError> {
    let output = Output { columns: columns.iter().map(|&name| name.into()).collect(), format: CSV };
    let digest = file.inspect()?.digest;
    let mut written = Vec::new();
    write_rows(&file.source, Some(&digest), selection, &output, &Budget::of_bytes(memory), &mut written)?;
    Ok(String::from_utf8(written).unwrap())
}

fn in_order(rows: &[u32]) -> Selection {
    Selection::InputOrder(rows.to_vec())
}

fn ordered(rows: &[u32]) -> Selection {
    Selection::Ordered(rows.to_vec())
}

#[test]
fn rows_come_in_input_order_with_the_chosen_columns_and_correct_quoting() {
    let text = "id,名称,note\n1,张三,plain\n2,\"a,b\",\"say \"\"hi\"\"\"\n3,\"two\nlines\",\n4,x,\"\"\n";
    let file = TestFile::csv(text);
    assert_eq!(write(&file, &in_order(&[0, 1, 2]), &[], MEMORY).unwrap(), {
        "id,名称,note\n1,张三,plain\n2,\"a,b\",\"say \"\"hi\"\"\"\n3,\"two\nlines\",\n"
    });
    assert_eq!(write(&file, &in_order(&[0, 3]), &["note", "id"], MEMORY).unwrap(), "note,id\nplain,1\n,4\n");
    assert_eq!(write(&file, &in_order(&[3]), &["note"], MEMORY).unwrap(), "note\n\"\"\n");
    assert_eq!(write(&file, &in_order(&[]), &["id"], MEMORY).unwrap(), "id\n");
    assert_eq!(write(&file, &ordered(&[]), &["id"], MEMORY).unwrap(), "id\n");
    assert_eq!(write(&file, &ordered(&[2, 0, 3]), &["id"], MEMORY).unwrap(), "id\n3\n1\n4\n");
}

#[test]
fn a_gbk_file_is_written_as_utf_8_with_another_delimiter_and_no_header() {
    let (bytes, ..) = encoding_rs::GBK.encode("id|名称\n1|张三\n2|李;四\n");
    let format = Format::Csv { encoding: Encoding::Gbk, delimiter: '|'.try_into().unwrap(), header: true };
    let file = TestFile::new(&bytes, format);
    let format = OutputFormat::Csv { delimiter: ';'.try_into().unwrap(), header: false };
    let output = Output { columns: vec![], format };
    let mut written = Vec::new();
    let budget = Budget::of_bytes(MEMORY);
    let rows = write_rows(&file.source, None, &in_order(&[0, 1]), &output, &budget, &mut written).unwrap();
    assert_eq!((rows, written.as_slice()), (2, "1;张三\n2;\"李;四\"\n".as_bytes()));
}

#[test]
fn every_row_of_a_repeated_key_is_written_in_input_order() {
    let file = TestFile::csv("id,n\na,1\nb,2\na,3\nc,4\nb,5\n");
    let keys = file.keys(&with(raw("id"), Duplicates::All, Invalid::Error)).unwrap();
    assert_eq!(write(&file, &keys.select([1, 0]), &[], MEMORY).unwrap(), "id,n\na,1\nb,2\na,3\nb,5\n");
    let keys = file.keys(&with(raw("id"), Duplicates::First, Invalid::Error)).unwrap();
    assert_eq!(write(&file, &keys.select([1, 0]), &[], MEMORY).unwrap(), "id,n\na,1\nb,2\n");
}

#[test]
fn an_order_that_does_not_fit_into_memory_takes_more_readings_and_comes_out_the_same() {
    let rows = 3_000u32;
    let text: String = (0..rows).map(|row| format!("{row},{}\n", "y".repeat(row as usize % 50))).collect();
    let file = TestFile::csv(format!("id,x\n{text}"));
    let order: Vec<u32> = (0..rows).map(|at| at * 1_409 % rows).collect();
    let expected: String = order.iter().map(|&row| format!("{row},{}\n", "y".repeat(row as usize % 50))).collect();
    let expected = format!("id,x\n{expected}");
    for memory in [0, 5_000, 60_000, MEMORY] {
        // With no memory at all every row takes a reading of its own, so fewer do.
        let shown = if memory == 0 { 20 } else { order.len() };
        let written = write(&file, &ordered(&order[..shown]), &[], memory).unwrap();
        let lines = expected.split_inclusive('\n').take(shown + 1).collect::<String>();
        assert!(written == lines, "{memory} bytes");
    }
    // A row may be asked for twice.
    assert_eq!(write(&file, &ordered(&[2, 1, 2]), &["id"], 0).unwrap(), "id\n2\n1\n2\n");
}

#[test]
fn what_was_asked_wrongly_is_refused_by_name() {
    let file = TestFile::csv("id,name\n1,a\n2,b\n");
    let problem = |selection, columns| write(&file, &selection, columns, MEMORY).unwrap_err().problem;
    let error = write(&file, &in_order(&[0]), &["nome"], MEMORY).unwrap_err();
    assert_eq!(file.told(&error), "column \"nome\": there is no such column; the file has \"id\", \"name\"");
    assert_eq!(problem(in_order(&[0]), &["id", "id"]), Problem::TwoColumns);
    assert_eq!(problem(in_order(&[1, 0]), &[]), Problem::UnsortedSelection);
    assert_eq!(problem(in_order(&[1, 1]), &[]), Problem::UnsortedSelection);
    assert_eq!(problem(in_order(&[1, 2]), &[]), Problem::NoSuchRow { row: 3, rows: 2 });
    assert_eq!(problem(ordered(&[2, 0]), &[]), Problem::NoSuchRow { row: 3, rows: 2 });
}

#[test]
fn a_full_disk_and_a_changed_file_are_told_apart() {
    struct Full(usize);
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let text: String = (0..100_000).map(|row| format!("{row}\n")).collect();
    let file = TestFile::csv(format!("id\n{text}"));
    let digest = file.inspect().unwrap().digest;
    let budget = Budget::of_bytes(MEMORY);
    let rows: Vec<u32> = (0..100_000).collect();
    for format in [CSV, OutputFormat::Parquet] {
        let output = Output { columns: vec![], format };
        for selection in [in_order(&rows), ordered(&rows)] {
            let write = |room| write_rows(&file.source, Some(&digest), &selection, &output, &budget, Full(room));
            for room in [0, 100, 100_000] {
                let error = write(room).unwrap_err();
                assert_eq!(error.problem, Problem::Writing(io::ErrorKind::StorageFull));
                assert_eq!((error.place, error.column), (None, None));
            }
            assert_eq!(write(10_000_000), Ok(100_000));
        }
    }
    std::fs::write(&file.source.path, format!("id\n{text}").replace("777", "778")).unwrap();
    assert_eq!(write_result(&file, &digest), Problem::Changed);
}

fn write_result(file: &TestFile, digest: &FileDigest) -> Problem {
    let output = Output { columns: vec![], format: CSV };
    let budget = Budget::of_bytes(MEMORY);
    write_rows(&file.source, Some(digest), &in_order(&[1]), &output, &budget, io::sink()).unwrap_err().problem
}
