//! Files that are not there, not files, not readable, or no longer the same.

use std::ops::ControlFlow;
use std::path::Path;

use super::*;

fn at(path: &Path, format: Format) -> IntakeError {
    inspect(&Source { path: path.into(), format }, &Budget::of_bytes(MEMORY)).unwrap_err()
}

#[test]
fn a_missing_file_and_a_directory_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    for format in [Format::CSV, Format::Parquet] {
        assert_eq!(at(&directory.path().join("none.csv"), format.clone()).problem, Problem::Missing);
        assert_eq!(at(directory.path(), format).problem, Problem::NotAFile);
    }
    let missing = at(Path::new("/none/none.csv"), Format::CSV);
    assert_eq!(missing.to_string(), "/none/none.csv: there is no such file; check the path");
}

#[test]
fn a_pipe_is_refused_instead_of_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe.csv");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    assert_eq!(at(&pipe, Format::CSV).problem, Problem::NotAFile);
}

#[test]
fn what_the_kernel_shows_as_a_file_is_refused_before_it_is_read() {
    // One that answers, and one whose readers may wait for ever.
    for path in ["/proc/version", "/proc/kmsg"] {
        let found = at(Path::new(path), Format::CSV).problem;
        // A container may hide the second one, or keep it from this account.
        assert!(matches!(found, Problem::NotAFile | Problem::Missing) || path.ends_with("kmsg"), "{path}: {found:?}");
    }
}

#[test]
fn what_the_system_has_no_more_of_is_named_with_its_limit() {
    for (errno, named) in [(24, "`ulimit -n`"), (23, "the whole machine"), (12, "memory"), (11, "`ulimit -u`")] {
        let error = std::io::Error::from_raw_os_error(errno);
        for problem in [Problem::reading(&error), Problem::spilling(&error)] {
            assert!(problem.to_string().contains(named) && problem.code() == "system-exhausted", "{problem}");
            let error = crate::codes::Error::from(IntakeError::of(Path::new("x.csv"), problem));
            assert_eq!(error.code.name, "system");
        }
    }
}

#[test]
fn a_file_without_the_right_to_read_it_is_told_as_such() {
    let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(Problem::reading(&refused), Problem::Forbidden);
    // The administrator may read everything, so only others can see the real thing.
    if !rustix::process::geteuid().is_root() {
        let file = TestFile::csv("id\n1\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(&file.source.path, mode).unwrap();
        assert_eq!(file.inspect().unwrap_err().problem, Problem::Forbidden);
    }
}

#[test]
fn inspection_tells_columns_rows_and_the_digest_of_the_bytes() {
    let inspection = TestFile::csv("id,名称\n1,a\n2,b\n").inspect().unwrap();
    assert_eq!((inspection.rows, inspection.columns.len()), (2, 2));
    assert_eq!(inspection.columns[1], ColumnInfo { name: "名称".into(), type_name: "text".into() });
    assert_eq!(inspection.digest.size, 18);
    let json = serde_json::to_value(inspection.digest).unwrap();
    // printf 'id,名称\n1,a\n2,b\n' | sha256sum
    assert_eq!(json["sha256"], "97f651fc9621b6b8c9d0cfd3b7d51f99483fc6bfcc916c26f3f517113bb6d32a");
    assert_eq!(serde_json::from_value::<FileDigest>(json).unwrap(), inspection.digest);
}

#[test]
fn a_changed_file_is_refused_whatever_else_is_wrong_with_it() {
    let file = TestFile::csv("id\n1\n2\n");
    let digest = file.inspect().unwrap().digest;
    let read = |file: &TestFile| {
        read_keys(&file.source, &raw("id"), Some(&digest), &Budget::of_bytes(MEMORY)).map(|keys| keys.len())
    };
    assert_eq!(read(&file), Ok(2));
    // Another value, a broken row, another header, another size.
    for changed in ["id\n1\n3\n", "id\n1\n2,", "ix\n1\n2\n", "id\n1\n2\n3\n", "id\n1\n"] {
        std::fs::write(&file.source.path, changed).unwrap();
        let error = read(&file).unwrap_err();
        assert_eq!(
            file.told(&error),
            ": the file has changed since it was registered; \
             register it again with `tacitly dataset add --replace`",
            "{changed:?}"
        );
    }
}

#[test]
fn a_watch_sees_progress_and_can_stop_the_reading() {
    let rows: String = (0..400_000).map(|row| format!("{row}\n")).collect();
    let file = TestFile::csv(format!("id\n{rows}"));
    let size = std::fs::metadata(&file.source.path).unwrap().len();

    let seen = std::cell::RefCell::new(Vec::new());
    let note = |done, total| {
        seen.borrow_mut().push((done, total));
        ControlFlow::Continue(())
    };
    let budget = Budget::of_bytes(MEMORY).watched(&note);
    read_keys(&file.source, &raw("id"), None, &budget).unwrap();
    assert!(seen.borrow().len() > 2 && seen.borrow().is_sorted());
    assert_eq!(seen.borrow().last(), Some(&(size, size)));

    let stop = |done, _| if done > 1 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let budget = Budget::of_bytes(MEMORY).watched(&stop);
    let error = read_keys(&file.source, &raw("id"), None, &budget).unwrap_err();
    assert_eq!(error.problem, Problem::Stopped);
}

#[test]
fn text_that_is_packed_is_read_as_the_text_and_a_damaged_pack_is_told() {
    let text: String =
        std::iter::once("id,n\n".to_owned()).chain((0..50_000).map(|row| format!("m{row},{row}\n"))).collect();
    let gzip = |text: &str| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut to, text.as_bytes()).unwrap();
        to.finish().unwrap()
    };
    // With a checksum, as `zstd` writes it.
    let zstd = {
        let mut to = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        to.include_checksum(true).unwrap();
        std::io::Write::write_all(&mut to, text.as_bytes()).unwrap();
        to.finish().unwrap()
    };
    // Two members, as parallel packers write them.
    let (first, second) = text.split_at(text.len() / 2);
    let plain = TestFile::csv(&text);
    let expected = plain.inspect().unwrap();
    for packed in [gzip(&text), [gzip(first), gzip(second)].concat(), zstd] {
        let file = TestFile::csv(&packed);
        assert_eq!(file.inspect().unwrap(), expected);
        let keys = file.keys(&raw("id")).unwrap();
        assert_eq!(keys.len(), 50_000);
        let again = read_keys(&file.source, &raw("id"), Some(&expected.digest), &Budget::of_bytes(MEMORY));
        assert_eq!(again.unwrap().len(), 50_000, "it is as it was registered");
        for damaged in [
            packed[..packed.len() - 9].to_vec(),
            [&packed[..packed.len() / 2], &[0x55; 64], &packed[packed.len() / 2 + 64..]].concat(),
        ] {
            let problem = TestFile::csv(damaged).inspect().unwrap_err().problem;
            assert_eq!(problem, Problem::DamagedPacking);
        }
    }
}

#[test]
fn a_file_of_another_kind_is_called_by_its_name_whatever_it_is_called() {
    for (begins, named) in [
        (&b"PK\x03\x04\x14\0"[..], "an Excel workbook (.xlsx) or another zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"ARROW1\0\0", "an Arrow file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"BZh91AY", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
    ] {
        let file = TestFile::csv([begins, &[0; 100]].concat());
        let told = file.told(&file.inspect().unwrap_err());
        assert!(told.starts_with(&format!(": this is {named} and no text; ")), "{told}");
    }
}
