use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

fn apply(profile: Profile, cell: &[u8]) -> Result<Vec<u8>, Rule> {
    let mut out = b"before".to_vec();
    let result = profile.normalise(cell, &mut out);
    assert!(out.starts_with(b"before"), "{profile} destroyed what was there");
    if result.is_err() {
        assert_eq!(out, b"before", "{profile} left a piece behind");
    }
    result.map(|()| out.split_off(6))
}

/// Checks a profile's whole table: spellings that become one, and cells that are refused with the rule.
fn table(profile: Profile, accepted: &[(&str, &str)], refused: &[(&str, Rule)]) {
    for (cell, expected) in accepted {
        let got = apply(profile, cell.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(got.as_deref(), Ok(*expected), "{profile} on {cell:?}");
    }
    for (cell, rule) in refused {
        assert_eq!(apply(profile, cell.as_bytes()), Err(*rule), "{profile} on {cell:?}");
    }
}

#[test]
fn raw_keeps_everything_but_refuses_the_empty_cell() {
    table(Profile::Raw, &[(" A1 ", " A1 "), ("张三", "张三"), ("\u{feff}", "\u{feff}")], &[("", Rule::Empty)]);
    assert_eq!(apply(Profile::Raw, &[0xff, 0x00]), Ok(vec![0xff, 0x00]));
}

#[test]
fn trim_casefold_makes_case_white_space_and_composition_one() {
    table(
        Profile::TrimCasefold,
        &[
            ("A1", "a1"),
            ("\t a1\u{3000}\u{a0}\r\n", "a1"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("\u{c9}t\u{e9}", "\u{e9}t\u{e9}"),
            ("E\u{301}te\u{301}", "\u{e9}t\u{e9}"),
            ("  张三  ", "张三"),
            ("ＡＢＣ", "ａｂｃ"),
            ("two  words", "two  words"),
            ("two\u{a0}words", "two words"),
            ("A\u{200b}1\u{ad}\u{fe0f}\u{2062}", "a1"),
            ("\u{202d}\u{3164}a1\u{feff} ", "a1"),
        ],
        &[("", Rule::Empty), (" \u{3000}\t", Rule::Empty), ("\u{200b}\u{feff}", Rule::Empty)],
    );
    assert_eq!(apply(Profile::TrimCasefold, b"\xff"), Err(Rule::Text));
}

/// The profile is part of signed terms, and two parties may run different builds: a new Unicode table that folds an
/// assigned character differently must be noticed here and get a new profile name.
#[test]
fn the_folding_of_every_character_is_pinned() {
    let mut hash = Sha256::new();
    for c in char::MIN..='\u{2FA1F}' {
        let folded = apply(Profile::TrimCasefold, c.to_string().as_bytes());
        hash.update(folded.unwrap_or_default());
        hash.update([0xff]);
    }
    assert_eq!(data_encoding::HEXLOWER.encode(&hash.finalize()), PINNED_FOLDING);
}
const PINNED_FOLDING: &str = "5ccac2c9127ff5847cb8d9e1bc4c812e6285c18b22832870659800eb75bcfdae";

#[test]
fn folding_any_character_twice_changes_nothing() {
    for c in char::MIN..=char::MAX {
        if let Ok(once) = apply(Profile::TrimCasefold, c.to_string().as_bytes()) {
            assert_eq!(apply(Profile::TrimCasefold, &once).as_ref(), Ok(&once), "U+{:04X}", c as u32);
        }
    }
}

#[test]
fn cn_mobile_takes_every_usual_spelling_and_refuses_the_rest() {
    let one = "13800138000";
    table(
        Profile::CnMobile,
        &[
            ("13800138000", one),
            ("+8613800138000", one),
            ("+86 138 0013 8000", one),
            ("0086-138-0013-8000", one),
            ("86 13800138000", one),
            ("8613800138000", one),
            ("(+86)138.0013.8000", one),
            (" +86138\u{a0}0013\u{2013}8000 ", one),
            ("１３８００１３８０００", one),
            ("＋８６（１３８）００１３　８０００", one),
            ("\u{202d}13800138000\u{202c}", one),
            ("\u{feff}13800138000", one),
            ("19912345678", "19912345678"),
            ("138.0000.0000", "13800000000"),
        ],
        &[
            ("", Rule::Empty),
            (" - ", Rule::Empty),
            ("+", Rule::Length),
            ("+86", Rule::Length),
            ("1380013800", Rule::Length),
            ("138001380001", Rule::Length),
            ("013800138000", Rule::Length),
            ("010-12345678", Rule::Prefix),
            ("0755 8888 8888", Rule::Length),
            ("0755-8888888", Rule::Prefix),
            ("12800138000", Rule::Prefix),
            ("23800138000", Rule::Prefix),
            ("+1 202 555 0123", Rule::Prefix),
            ("+852 9123 4567", Rule::Prefix),
            ("00852 9123 4567", Rule::Length),
            ("138+00138000", Rule::Form),
            ("++8613800138000", Rule::Form),
            ("13800138000.0", Rule::Spreadsheet),
            ("13800138000.00", Rule::Spreadsheet),
            ("154000006.00", Rule::Spreadsheet),
            ("138001.38000", Rule::Spreadsheet),
            ("+8613800138000.0", Rule::Spreadsheet),
            ("1.3800138000E+10", Rule::Spreadsheet),
            ("1380013800.0", Rule::Spreadsheet),
            ("1.38E+10", Rule::Spreadsheet),
            ("1.38001e10", Rule::Spreadsheet),
            ("13800138000e", Rule::Alphabet),
            ("'13800138000", Rule::Alphabet),
            ("13800138000,", Rule::Alphabet),
            ("1380013800O", Rule::Alphabet),
            ("一三八", Rule::Alphabet),
            ("१३८००१३८०००", Rule::Alphabet),
            ("13800138000 13900139000", Rule::Length),
            ("....................................................", Rule::Length),
        ],
    );
    assert_eq!(apply(Profile::CnMobile, b"\xa3\xb1"), Err(Rule::Text));
}

#[test]
fn e164_takes_plus_or_double_zero_and_refuses_national_numbers() {
    table(
        Profile::E164,
        &[
            ("+8613800138000", "+8613800138000"),
            ("0086 138-0013-8000", "+8613800138000"),
            ("+1 (202) 555.0123", "+12025550123"),
            ("＋４４ ２０ ７９４６ ０９５８", "+442079460958"),
            ("+86 010 1234 5678", "+8601012345678"),
            ("+12345678", "+12345678"),
            ("+123456789012345", "+123456789012345"),
            ("00123456789012345", "+123456789012345"),
        ],
        &[
            ("", Rule::Empty),
            ("()", Rule::Empty),
            ("13800138000", Rule::Prefix),
            ("8613800138000", Rule::Prefix),
            ("010-12345678", Rule::Prefix),
            ("+0086138001380", Rule::Prefix),
            ("000123456789", Rule::Prefix),
            ("+1234567", Rule::Length),
            ("+1234567890123456", Rule::Length),
            ("+123456789012345678", Rule::Length),
            ("+44 (0)20 7946 0958", Rule::Form),
            ("44+2079460958", Rule::Form),
            ("+442079460958.0", Rule::Spreadsheet),
            ("+44 20 7946 0958 x3", Rule::Alphabet),
            ("tel:+442079460958", Rule::Alphabet),
        ],
    );
}

#[test]
fn cn_id18_checks_date_and_check_character_and_completes_old_numbers() {
    // 11010519491231002X and 440524188001010014 are the examples of GB 11643-1999 itself.
    table(
        Profile::CnId18,
        &[
            ("11010519491231002X", "11010519491231002X"),
            ("11010519491231002x", "11010519491231002X"),
            (" 440524188001010014\t", "440524188001010014"),
            ("１１０１０５１９４９１２３１００２Ｘ", "11010519491231002X"),
            ("１１０１０５１９４９１２３１００２ｘ", "11010519491231002X"),
            ("110105491231002", "11010519491231002X"),
            ("110105960229001", "110105199602290011"),
            ("110105200002290013", "110105200002290013"),
        ],
        &[
            ("", Rule::Empty),
            ("\u{3000}", Rule::Empty),
            ("1101051949123100", Rule::Length),
            ("11010519491231002", Rule::Length),
            ("11010519491231002X1", Rule::Length),
            ("110105194912310021110105194912310021", Rule::Length),
            ("110105194912310021", Rule::CheckDigit),
            ("110105194912310020", Rule::CheckDigit),
            ("21010519491231002X", Rule::CheckDigit),
            ("11010519490230002X", Rule::Date),
            ("110105194913310021", Rule::Date),
            ("110105190002290011", Rule::Date),
            ("110105179912310021", Rule::Date),
            ("110105210012310021", Rule::Date),
            ("110105000229001", Rule::Date),
            ("110105491231996", Rule::Century),
            ("110105491231999", Rule::Century),
            ("1101051949123100X2", Rule::Alphabet),
            ("11010549123100X", Rule::Alphabet),
            ("11010519491231002Y", Rule::Alphabet),
            ("110105 19491231 002X", Rule::Alphabet),
            ("护照12345678901234567", Rule::Alphabet),
            ("1.10105E+17", Rule::Spreadsheet),
            ("1.10105194912310021E+17", Rule::Spreadsheet),
            ("110105194912310021.0", Rule::Spreadsheet),
            ("110105194912310021.00", Rule::Spreadsheet),
            ("110105491231002.00", Rule::Spreadsheet),
        ],
    );
}

#[test]
fn email_is_lower_case_and_keeps_dots_and_tags() {
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long_label = format!("a@{}.com", "b".repeat(64));
    let long_domain = format!("a@{}com", "abcdefg.".repeat(32));
    table(
        Profile::Email,
        &[
            ("Zhang.San@Example.COM", "zhang.san@example.com"),
            ("\u{3000}a+tag@example.cn ", "a+tag@example.cn"),
            ("a..b@mail.example.co.jp", "a..b@mail.example.co.jp"),
            ("o'neil@xn--fiqs8s.example", "o'neil@xn--fiqs8s.example"),
            ("1_2@3.4.example", "1_2@3.4.example"),
        ],
        &[
            ("", Rule::Empty),
            ("  ", Rule::Empty),
            ("zhang.san", Rule::Form),
            ("@example.com", Rule::Form),
            ("a@", Rule::Form),
            ("a@localhost", Rule::Form),
            ("a@example..com", Rule::Form),
            ("a@example.com.", Rule::Form),
            ("a@-example.com", Rule::Form),
            ("a@example-.com", Rule::Form),
            ("a@b@example.com", Rule::Alphabet),
            ("\"a b\"@example.com", Rule::Alphabet),
            ("a b@example.com", Rule::Alphabet),
            ("a@exa_mple.com", Rule::Alphabet),
            ("张三@example.com", Rule::Alphabet),
            ("a@例子.cn", Rule::Alphabet),
            ("a＠example.com", Rule::Form),
            (&long_local, Rule::Length),
            (&long_label, Rule::Length),
            (&long_domain, Rule::Length),
        ],
    );
}

#[test]
fn digests_are_hexadecimal_of_their_length_in_lower_case() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let upper = sha256.to_uppercase();
    table(
        Profile::Md5Hex,
        &[(md5, md5), ("D41D8CD98F00B204E9800998ECF8427E\r\n", md5)],
        &[
            ("", Rule::Empty),
            (" ", Rule::Empty),
            (sha256, Rule::Length),
            (&md5[1..], Rule::Length),
            ("0xd41d8cd98f00b204e9800998ecf8427e", Rule::Alphabet),
            ("g41d8cd98f00b204e9800998ecf8427e", Rule::Alphabet),
            ("d41d8cd9-8f00b204e9800998ecf8427e", Rule::Alphabet),
        ],
    );
    for profile in [Profile::Sha256Hex, Profile::Sm3Hex] {
        table(
            profile,
            &[(sha256, sha256), (&upper, sha256)],
            &[("", Rule::Empty), (md5, Rule::Length), ("１２", Rule::Alphabet)],
        );
    }
}

#[test]
fn names_parse_back_and_unknown_names_list_the_known_ones() {
    for profile in Profile::ALL {
        assert_eq!(profile.name().parse(), Ok(profile));
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(json, format!("{:?}", profile.name()));
        assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile);
    }
    let message = "mobile".parse::<Profile>().unwrap_err().to_string();
    assert!(message.contains("\"mobile\"") && message.contains("cn-mobile"), "{message}");
}

/// Cells near the borders of the profiles: digits with separators, letters, hexadecimal, any text.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[+]?[0-9]{8,15}",
        r"[+＋]?(86|0086)?[ (（-]?1[3-9][0-9][ )）.-]?[0-9]{4}[ -]?[0-9]{4}",
        "[1-9][0-9]{5}(19|20)?[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9])[0-9]{3}",
        "[A-Za-z0-9.+]{1,12}@[A-Za-z0-9-]{1,8}[.][A-Za-z]{2,4}",
        "[0-9a-fA-F]{32}",
        "[0-9a-fA-F]{64}",
        r"\PC{0,24}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn every_profile_is_idempotent(cell in cell()) {
        for profile in Profile::ALL {
            if let Ok(once) = apply(profile, cell.as_bytes()) {
                prop_assert!(!once.is_empty());
                prop_assert_eq!(apply(profile, &once), Ok(once), "{}", profile);
            }
        }
    }

    #[test]
    fn no_profile_panics_on_any_bytes(cell in proptest::collection::vec(any::<u8>(), 0..80)) {
        for profile in Profile::ALL {
            let _ = apply(profile, &cell);
        }
    }

    #[test]
    fn cn_mobile_and_e164_agree_on_mobiles(number in "1[3-9][0-9]{9}") {
        let international = apply(Profile::E164, format!("+86{number}").as_bytes()).unwrap();
        prop_assert_eq!(apply(Profile::CnMobile, &international), Ok(number.into_bytes()));
    }
}
