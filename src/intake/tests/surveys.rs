//! One reading of a file finds what several find.

use super::*;

/// What [`survey`] found, and the rows it showed.
fn surveyed(file: &TestFile, spec: &KeySpec, memory: usize) -> (Result<Survey, IntakeError>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    let found =
        survey(&file.source, spec, Some(folder.path()), &Budget::of_bytes(memory), |line| lines.push(line.to_vec()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    (found, lines)
}

fn many_rows() -> TestFile {
    // Keys repeat after a while, some are empty, and some are refused.
    let row = |row: u32| match row % 11 {
        3 => "\"\",x\n".to_owned(),
        7 => format!("1{row},y\n"),
        _ => format!("138{:08},\"row {row}\"\n", row * 7919 % 9_973),
    };
    TestFile::csv(format!("mobile,note\n{}", (0..20_000).map(row).collect::<String>()))
}

#[test]
fn a_survey_counts_and_shows_what_separate_readings_do_in_any_memory() {
    let file = many_rows();
    let mut visited = Vec::new();
    visit_rows(&file.source, None, None, &Budget::of_bytes(MEMORY), |line| visited.push(line.to_vec())).unwrap();
    for duplicates in [Duplicates::First, Duplicates::All] {
        let spec = with(key(&[("mobile", Profile::CnMobile)]), duplicates, Invalid::Skip);
        let report = dry_run(&file.source, &spec, &Budget::of_bytes(MEMORY)).unwrap();
        assert!(report.duplicates > 0 && report.empty > 0 && report.invalid_rows() > 0);
        for memory in [0, 30_000, 200_000, MEMORY] {
            let (found, lines) = surveyed(&file, &spec, memory);
            let expected = Survey { inspection: file.inspect().unwrap(), report: report.clone() };
            assert_eq!(found.unwrap(), expected, "{memory} bytes");
            assert!(lines == visited);
        }
        let without = survey(&file.source, &spec, None, &Budget::of_bytes(30_000), |_| {});
        assert!(matches!(without.unwrap_err().problem, Problem::OverBudget { budget: 30_000, .. }));
    }
}

#[test]
fn what_a_key_refuses_a_survey_refuses_at_the_same_line_in_any_memory() {
    let file = many_rows();
    let strict = key(&[("mobile", Profile::CnMobile)]);
    for spec in [with(strict.clone(), Duplicates::Error, Invalid::Skip), strict, raw("none")] {
        let error = file.keys(&spec).unwrap_err();
        for memory in [0, 30_000, MEMORY] {
            assert_eq!(surveyed(&file, &spec, memory).0.unwrap_err(), error, "{memory} bytes");
        }
    }
}

#[test]
fn a_survey_reads_columns_of_the_key_wherever_they_stand() {
    let file = super::parquet::every_type();
    let spec = with(key(&[("last", Profile::Raw), ("name", Profile::Raw)]), Duplicates::Error, Invalid::Skip);
    let report = file.keys(&spec).unwrap().report().clone();
    let (found, _) = surveyed(&file, &spec, MEMORY);
    assert_eq!(found.unwrap(), Survey { inspection: file.inspect().unwrap(), report });
}
