//! Hints: what an owner reads when two sets meet in nothing.

use super::*;

fn told(profile: Profile, cells: &[&str]) -> String {
    let text: String = cells.iter().map(|cell| format!("\"{cell}\"\n")).collect();
    let file = TestFile::csv(format!("id\n{text}"));
    hint(&file.keys(&key(&[("id", profile)])).unwrap()).to_string()
}

#[test]
fn a_hint_tells_lengths_and_characters_in_plain_words() {
    assert_eq!(
        told(Profile::CnMobile, &["13800138000", "+86 13900139000"]),
        "Your 2 keys look like this; no value is shown:\n\
         column \"id\" by profile cn-mobile: all of 11 characters; all digits only.\n\
         Ask the peer for the same lines: lengths and characters of one kind of identifier agree."
    );
    let raw = told(Profile::Raw, &["13800138000", "+86 13900139000"]);
    assert!(raw.contains("1 of 11 characters, 1 of 15 characters; 1 digits only, 1 with a +, 1 with white space."));
    assert!(raw.contains("Agree on profile cn-mobile or e164."));
}

#[test]
fn the_usual_reasons_for_no_match_are_named() {
    let digests = ["d41d8cd98f00b204e9800998ecf8427e", "9e107d9d372bb6826bd81d3542a419d6"];
    assert!(told(Profile::Raw, &digests).contains("They look like digests"));
    assert!(told(Profile::Md5Hex, &digests).contains("the same salt"));
    assert!(told(Profile::Raw, &["a@example.com", "b@example.com"]).contains("profile email"));
    assert!(told(Profile::Raw, &["A1", "a2"]).contains("trim-casefold"));
    assert!(told(Profile::Raw, &["13800138000"]).contains("cn-mobile or cn-id18"));
    assert!(told(Profile::TrimCasefold, &["张三", "李四"]).contains("all of 2 characters; all beyond ASCII."));
}

#[test]
fn an_empty_set_is_told_as_such() {
    assert!(told(Profile::Md5Hex, &[]).contains("column \"id\" by profile md5hex: no keys at all."));
}

#[test]
fn long_cells_are_counted_together_and_columns_apart() {
    let long = "x".repeat(250);
    let file = TestFile::csv(format!("id,x\n{long},1\n{long}x,1\n"));
    let spec = key(&[("id", Profile::Raw), ("x", Profile::Raw)]);
    let hint = hint(&file.keys(&spec).unwrap());
    assert_eq!(hint.keys, 2);
    assert_eq!(hint.columns[0].lengths.iter().collect::<Vec<_>>(), [(&100, &2)]);
    assert_eq!(hint.columns[1].classes, CharacterClasses { digits_only: 2, ..Default::default() });
    assert!(hint.to_string().contains("all of 100 or more characters"));
}

#[test]
fn a_sketch_of_a_stream_is_the_hint_of_the_set() {
    let file = TestFile::csv("id\nA1\n张三\n");
    let mut sketch = Sketch::new(&raw("id"));
    visit_keys(&file.source, &raw("id"), None, &Budget::of_bytes(MEMORY), |_, id| {
        sketch.add(id);
        Ok::<_, IntakeError>(())
    })
    .unwrap();
    assert_eq!(sketch.finish(), hint(&file.keys(&raw("id")).unwrap()));
}
