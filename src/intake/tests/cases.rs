//! Files that people really have (`tests/cases`): what is right for each, and what its owner is told.

use std::path::PathBuf;

use super::*;

fn source(name: &str, delimiter: char) -> Source {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(format!("{name}.csv"));
    let format = Format::Csv { encoding: Encoding::Utf8, delimiter: delimiter.try_into().unwrap(), header: true };
    Source { path, format }
}

fn spec(column: &str, profile: Profile) -> KeySpec {
    KeySpec { duplicates: Duplicates::First, invalid: Invalid::Skip, ..key(&[(column, profile)]) }
}

fn survey_of(name: &str, column: &str, profile: Profile) -> Report {
    let budget = Budget::of_bytes(MEMORY);
    survey(&source(name, ','), &spec(column, profile), None, &budget, |_| {}).unwrap().report
}

/// Keys that two files share.
fn shared((one, column): (&str, &str), (other, theirs): (&str, &str), profile: Profile) -> usize {
    let ids = |name, column| {
        let keys = read_keys(&source(name, ','), &spec(column, profile), None, &Budget::of_bytes(MEMORY)).unwrap();
        (0..keys.len()).map(|at| keys.id(at).to_vec()).collect::<std::collections::BTreeSet<_>>()
    };
    ids(one, column).intersection(&ids(other, theirs)).count()
}

fn refused(report: &Report, rule: Rule) -> u64 {
    report.invalid.iter().filter(|invalid| invalid.rule == rule).map(|invalid| invalid.rows).sum()
}

fn doubted(report: &Report, doubt: Doubt) -> u64 {
    report.doubtful.iter().filter(|rows| rows.doubt == doubt).map(|rows| rows.rows).sum()
}

#[test]
fn identity_numbers_that_a_spreadsheet_rewrote_are_told_as_such() {
    let report = survey_of("01-id18-spreadsheet", "id_no", Profile::CnId18);
    assert_eq!((report.rows, report.distinct, report.invalid_rows()), (14, 3, 11), "{report}");
    assert_eq!(refused(&report, Rule::Spreadsheet), 6, "{report}");

    let report = survey_of("01b-id18-zeroed", "id_no", Profile::CnId18);
    assert_eq!((report.rows, refused(&report, Rule::CheckDigit)), (220, 206), "{report}");
    assert_eq!(doubted(&report, Doubt::Rounded), 220, "{report}");
    assert!(report.to_string().contains("warning: 220 cells of \"id_no\" end in 000: a spreadsheet keeps"), "{report}");
}

#[test]
fn a_number_with_decimals_is_nobodys_mobile() {
    let report = survey_of("02-mobile-spreadsheet", "mobile", Profile::CnMobile);
    assert_eq!(report.distinct, 12, "{report}");
    let both = shared(("02-mobile-spreadsheet", "mobile"), ("02-mobile-peer", "phone"), Profile::CnMobile);
    assert_eq!(both, 12);
}

#[test]
fn what_nobody_sees_costs_no_match_or_is_counted() {
    let (ours, peer) = (("03-invisible-text", "member"), ("03-invisible-text-peer", "member"));
    assert_eq!(shared(ours, peer, Profile::TrimCasefold), 22);
    let report = survey_of("03-invisible-text", "member", Profile::Raw);
    assert_eq!(doubted(&report, Doubt::Invisible), 21, "{report}");
    let marks = ["\u{200b}", "\u{ad}", "\u{fe0f}", "\u{feff}", "\u{202a}", "\u{3164}", "\u{a0}"];
    for (profile, plain) in [
        (Profile::TrimCasefold, "m001"),
        (Profile::CnMobile, "15400000001"),
        (Profile::E164, "+8615400000001"),
        (Profile::CnId18, "11010519491231002X"),
        (Profile::Email, "a1@example.com"),
        (Profile::Md5Hex, "d41d8cd98f00b204e9800998ecf8427e"),
        (Profile::Sha256Hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Profile::Sm3Hex, "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"),
    ] {
        for mark in marks {
            let mut out = Vec::new();
            profile.normalise(format!("{mark}{plain}{mark}").as_bytes(), &mut out).unwrap();
            assert_eq!(out, plain.as_bytes(), "{profile} and U+{:04X}", mark.chars().next().unwrap() as u32);
        }
    }
}

#[test]
fn keys_that_are_no_person_are_counted_by_name() {
    let report = survey_of("05-placeholders", "phone", Profile::CnMobile);
    assert!(doubted(&report, Doubt::Placeholder) >= 4, "{report}");
    assert!(report.to_string().contains("look like placeholders"), "{report}");

    let report = survey_of("06-null-a", "member_no", Profile::TrimCasefold);
    assert!(doubted(&report, Doubt::Nothing) >= 10, "{report}");
    let report = survey_of("06-null-b", "member_no", Profile::TrimCasefold);
    assert_eq!(doubted(&report, Doubt::Nothing), 3, "{report}");

    let report = survey_of("07-sha256", "hash", Profile::Sha256Hex);
    assert_eq!(doubted(&report, Doubt::DigestOfNothing), 7, "{report}");
    // Two people, and two of the digests of nothing, of which both owners are warned.
    assert_eq!(shared(("07-sha256", "hash"), ("07-sha256-peer", "hash"), Profile::Sha256Hex), 4);
    assert_eq!(doubted(&survey_of("07-sha256-peer", "hash", Profile::Sha256Hex), Doubt::DigestOfNothing), 2);
}

#[test]
fn a_key_that_stands_in_many_rows_is_told_with_their_number() {
    let rows: String =
        (0..1000).map(|row| if row % 4 == 0 { "0,x\n".to_owned() } else { format!("m{row},x\n") }).collect();
    let file = TestFile::csv(format!("member,n\n{rows}"));
    let budget = Budget::of_bytes(MEMORY);
    let all = KeySpec { duplicates: Duplicates::All, ..key(&[("member", Profile::Raw)]) };
    let report = survey(&file.source, &all, None, &budget, |_| {}).unwrap().report;
    let most = report.most_frequent.unwrap();
    assert!((200..=250).contains(&most), "{most}");
    assert!(report.to_string().contains("rows or more; if it is a placeholder"), "{report}");
    let few: String = (0..1000).map(|row| format!("m{},x\n", row / 5)).collect();
    let file = TestFile::csv(format!("member,n\n{few}"));
    let report = survey(&file.source, &all, None, &budget, |_| {}).unwrap().report;
    assert_eq!(report.most_frequent, None, "five rows a member are no placeholder");
}

#[test]
fn headers_as_people_have_them_are_read_or_say_the_way_out() {
    let inspected = |name: &str, delimiter| inspect(&source(name, delimiter), &Budget::of_bytes(MEMORY));
    let error = inspected("12-template", ',').unwrap_err().to_string();
    assert!(error.contains("columns 1 and 6, 5 and 7, 8 and 9 have the same name; rename one of each"), "{error}");

    let error = inspected("13-sep-line", ',').unwrap_err().to_string();
    assert!(error.contains("register the file with --delimiter ';'"), "{error}");
    let found = inspected("13-sep-line", ';').unwrap();
    assert_eq!((found.rows, &*found.columns[0].name), (2, "phone"));

    let found = inspected("16-unnamed-and-column_2", ',').unwrap();
    let names: Vec<&str> = found.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["phone", "column_2_unnamed", "column_2"]);

    let found = inspected("22-header-moments", ',').unwrap();
    assert_eq!(found.columns.len(), 4);
}
