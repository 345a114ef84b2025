use std::collections::BTreeSet;

use proptest::prelude::*;
use tacitly_core::PartyId;

use super::*;

const LIMITS: [LimitName; 4] = [
    LimitName { name: "cap", form: LimitForm::Cap, what: "the largest set" },
    LimitName { name: "floor", form: LimitForm::Floor, what: "the smallest result" },
    LimitName { name: "methods", form: LimitForm::Words(&["ecdh", "oprf"]), what: "the methods accepted" },
    LimitName { name: "dealers", form: LimitForm::Names, what: "the dealers accepted" },
];
const KNOWN: Known<'_> = Known { kinds: &["intersect", "align"], columns: &["city", "age"], limits: &LIMITS };

fn party(name: &str) -> PartyId {
    name.parse().unwrap()
}

/// Asks the rule of `bank` for `shop` about a job of that kind, purpose and receivers.
fn ask(rule: Option<&Rule>, kind: &str, purpose: &str, receivers: &[&str]) -> Result<Decision, Error> {
    let receivers: BTreeSet<_> = receivers.iter().map(|name| party(name)).collect();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let asked = Asked { kind, purpose, receivers: &receivers, me: party("bank"), now };
    decide(&Other { party: party("shop"), rule, jobs_today: 3 }, &asked)
}

fn changed(rule: &Rule, json: &str) -> Rule {
    Change::read(json, &KNOWN).unwrap().merge(rule)
}

#[test]
fn without_a_rule_and_by_a_rule_that_names_nothing_everything_is_refused() {
    let refused = ask(None, "intersect", "pilot", &["shop"]).unwrap_err();
    assert_eq!(refused.code, codes::REFUSED_NO_RULE);
    let refused = ask(Some(&Rule::default()), "intersect", "pilot", &["shop"]).unwrap_err();
    assert_eq!(refused.code, codes::REFUSED_BY_RULE);
    assert_eq!(Rule::default().to_string(), "no kind of job; none of our columns");
}

#[test]
fn a_rule_stored_before_a_kind_a_column_or_a_word_existed_does_not_allow_it() {
    let old = Known { kinds: &["intersect"], columns: &["city"], limits: &[] };
    for rule in
        [Rule::open(&old), Change::read(r#"{"kinds":"all","columns":"all"}"#, &old).unwrap().merge(&Rule::default())]
    {
        let stored = serde_json::to_string(&rule).unwrap();
        let rule: Rule = serde_json::from_str(&stored).unwrap();
        assert!(ask(Some(&rule), "intersect", "pilot", &["shop"]).is_ok());
        assert_eq!(ask(Some(&rule), "align", "pilot", &["shop"]).unwrap_err().code, codes::REFUSED_BY_RULE);
        assert_eq!(rule.columns, ["city"]);
        assert_eq!(Limits::strictest(&[&rule.limits], &LIMITS).words("methods"), Some(&[][..]));
    }
}

#[test]
fn each_field_refuses_what_passes_it_and_nothing_else() {
    let open = Rule::open(&KNOWN);
    let allowed = |json: &str| ask(Some(&changed(&open, json)), "intersect", "pilot", &["shop"]);
    assert_eq!(allowed(r#"{"approval":"manual"}"#), Ok(Decision::AskAPerson));
    for json in [
        r#"{}"#,
        r#"{"kinds":["intersect"]}"#,
        r#"{"receivers":"peer"}"#,
        r#"{"purposes":["pilot"]}"#,
        r#"{"purposes":null}"#,
        r#"{"per_day":4}"#,
        r#"{"per_day":0}"#,
        r#"{"expires":"2026-11-22T12:00:01Z"}"#,
    ] {
        assert_eq!(allowed(json), Ok(Decision::Approve), "{json}");
    }
    for json in [
        r#"{"kinds":["align"]}"#,
        r#"{"kinds":[]}"#,
        r#"{"receivers":"us"}"#,
        r#"{"purposes":["research"]}"#,
        r#"{"purposes":[]}"#,
        r#"{"per_day":3}"#,
        r#"{"expires":"2026-11-22T12:00:00Z"}"#,
    ] {
        let refused = allowed(json).unwrap_err();
        assert_eq!(refused.code, codes::REFUSED_BY_RULE, "{json}");
        assert!(refused.text.starts_with("the rule of bank for shop: "), "{}", refused.text);
    }
}

#[test]
fn who_receives_is_asked_of_every_party_of_the_job() {
    let open = Rule::open(&KNOWN);
    let (us, peer) = (changed(&open, r#"{"receivers":"us"}"#), changed(&open, r#"{"receivers":"peer"}"#));
    for (rule, receivers, fine) in [
        (&us, &["bank"][..], true),
        (&us, &["bank", "shop"], false),
        (&us, &["lender"], false),
        (&peer, &["shop"], true),
        (&peer, &["shop", "lender"], false),
        (&peer, &["bank"], false),
        (&open, &["bank", "shop", "lender"], true),
        (&us, &[], true),
    ] {
        assert_eq!(ask(Some(rule), "intersect", "", receivers).is_ok(), fine, "{rule}: {receivers:?}");
    }
}

#[test]
fn of_several_rules_one_that_refuses_or_asks_a_person_is_enough_and_the_party_is_named() {
    let open = Rule::open(&KNOWN);
    let (manual, narrow) = (changed(&open, r#"{"approval":"manual"}"#), changed(&open, r#"{"kinds":["align"]}"#));
    let receivers = BTreeSet::new();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let asked = Asked { kind: "intersect", purpose: "", receivers: &receivers, me: party("bank"), now };
    let told = |rules: &[(&str, Option<&Rule>)]| {
        let others: Vec<_> =
            rules.iter().map(|(name, rule)| Other { party: party(name), rule: *rule, jobs_today: 0 }).collect();
        decide_all(&others, &asked)
    };
    assert_eq!(told(&[("shop", Some(&open)), ("lender", Some(&open))]), Ok(Decision::Approve));
    assert_eq!(told(&[("shop", Some(&manual)), ("lender", Some(&open))]), Ok(Decision::AskAPerson));
    assert_eq!(told(&[("shop", Some(&open)), ("lender", Some(&manual))]), Ok(Decision::AskAPerson));
    let refused = told(&[("shop", Some(&manual)), ("lender", Some(&narrow))]).unwrap_err();
    assert!(refused.text.contains("for lender") && refused.code == codes::REFUSED_BY_RULE, "{}", refused.text);
    let refused = told(&[("shop", Some(&open)), ("lender", None)]).unwrap_err();
    assert!(refused.text.contains("lender") && refused.code == codes::REFUSED_NO_RULE, "{}", refused.text);
    assert_eq!(told(&[]).unwrap_err().code, codes::REFUSED_NO_RULE);
}

#[test]
fn a_change_that_cannot_be_read_is_told_with_the_name_and_what_it_may_be() {
    for (json, told) in [
        (r#"{"receivers":"both"}"#, "receivers of a rule is any, us or peer, not \"both\""),
        (r#"{"per_day":-1}"#, "per_day of a rule is a whole number, 0 for no limit, not -1"),
        (r#"{"per_day":null}"#, "per_day of a rule is a whole number, 0 for no limit, not null"),
        (r#"{"kinds":null}"#, "kinds of a rule is a list of names, or \"all\" for those there are now, not null"),
        (r#"{"kinds":["al"]}"#, "there is no kind of job \"al\"; the kinds are intersect, align"),
        (r#"{"columns":["*"]}"#, "there is no column \"*\"; the columns are city, age"),
        (r#"{"limits":{"caps":5}}"#, "a rule has no limit \"caps\"; its limits are cap, floor, methods, dealers"),
        (r#"{"limits":{"cap":["x"]}}"#, "cap is the largest set: a whole number, 0 for no limit, not [\"x\"]"),
        (
            r#"{"limits":{"dealers":3}}"#,
            "dealers is the dealers accepted: a list of names, or null for any name, not 3",
        ),
        (r#"{"limits":{"methods":["md5"]}}"#, "there is no word for methods, \"md5\"; the words are ecdh, oprf"),
        (r#"{"limits":5}"#, "limits of a rule is an object with a number or a list of words under each name, not 5"),
        ("both", "the rule is not one JSON object"),
    ] {
        assert_eq!(Change::read(json, &KNOWN).unwrap_err(), told);
    }
    let told = Change::read(r#"{"limits":{"methods":null}}"#, &KNOWN).unwrap_err();
    assert!(told.contains("some of ecdh, oprf") && told.contains("not null"), "{told}");
    let told = Change::read(r#"{"max_peer_item":5}"#, &KNOWN).unwrap_err();
    assert!(told.starts_with("a rule has no field \"max_peer_item\"; its fields are kinds, receivers,"), "{told}");
    assert!(
        serde_json::from_str::<Rule>(r#"{"min_intersection":5}"#).is_err(),
        "a stored rule is not read as a wider one"
    );
}

#[test]
fn a_rule_reads_as_words() {
    let rule = changed(
        &Rule::open(&KNOWN),
        r#"{"receivers":"us","approval":"manual","columns":["city"],"purposes":["pilot"],"per_day":1,
            "limits":{"floor":100,"methods":["ecdh"]},"expires":"2027-01-01T00:00:00Z"}"#,
    );
    assert_eq!(
        rule.to_string(),
        "intersect, align; only we receive results; of our columns only city; for pilot; floor 100; methods ecdh; \
         1 job a day; a person decides each; until 2027-01-01T00:00:00Z"
    );
}

#[test]
fn a_difference_names_each_field_that_changed_and_marks_what_is_wider() {
    let old = changed(
        &Rule::open(&KNOWN),
        r#"{"kinds":["intersect"],"per_day":5,"approval":"manual","receivers":"us","purposes":["pilot"],
            "limits":{"cap":10,"floor":5,"methods":["ecdh"],"dealers":["notary"]},"expires":"2027-01-01T00:00:00Z"}"#,
    );
    let new = changed(
        &old,
        r#"{"kinds":"all","per_day":10,"approval":"automatic","receivers":"any","purposes":null,"columns":["age"],
            "limits":{"cap":0,"floor":6,"methods":"all","dealers":null},"expires":null}"#,
    );
    assert_eq!(
        difference(&old, &new, &LIMITS),
        [
            "kinds: + align (wider)",
            "receivers: us → any (wider)",
            "columns: - city",
            "purposes: pilot → any (wider)",
            "per_day: 5 → 10 (wider)",
            "approval: manual → automatic (wider)",
            "expires: 2027-01-01T00:00:00Z → never (wider)",
            "cap: 10 → no limit (wider)",
            "dealers: notary → any (wider)",
            "floor: 5 → 6",
            "methods: + oprf (wider)",
        ]
    );
    let back = difference(&new, &old, &LIMITS);
    let wider: Vec<_> = back.iter().filter(|line| line.ends_with("(wider)")).collect();
    assert_eq!(wider, ["columns: + city (wider)", "floor: 6 → 5 (wider)"], "{back:?}");
    assert!(difference(&new, &new, &LIMITS).is_empty());
}

/// One field of a change as JSON.
fn field() -> impl Strategy<Value = (String, serde_json::Value)> {
    let of = |name: &str, values: &[&str]| {
        let name = name.to_owned();
        let values: Vec<serde_json::Value> = values.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        prop::sample::select(values).prop_map(move |value| (name.clone(), value))
    };
    let lists = [r#"[]"#, r#""all""#];
    prop_oneof![
        of("kinds", &[lists[0], lists[1], r#"["align"]"#, r#"["intersect"]"#]),
        of("columns", &[lists[0], lists[1], r#"["age"]"#]),
        of("receivers", &[r#""any""#, r#""us""#, r#""peer""#]),
        of("approval", &[r#""automatic""#, r#""manual""#]),
        of("purposes", &["null", "[]", r#"["any"]"#, r#"["pilot","audit"]"#]),
        of("per_day", &["0", "1", "7"]),
        of("expires", &["null", r#""2027-01-01T00:00:00Z""#, r#""2028-01-01T00:00:00Z""#]),
        of("limits", &[r#"{"cap":0}"#, r#"{"cap":3}"#, r#"{"cap":9}"#, r#"{"floor":null}"#, r#"{"floor":4}"#]),
        of("limits", &[r#"{"methods":"all"}"#, r#"{"methods":["ecdh"]}"#, r#"{"methods":[]}"#]),
        of("limits", &[r#"{"dealers":null}"#, r#"{"dealers":["a","b"]}"#, r#"{"dealers":["b"]}"#, r#"{"dealers":[]}"#]),
    ]
}

fn rules() -> impl Strategy<Value = Rule> {
    prop::collection::vec(field(), 0..12).prop_map(|fields| {
        fields.into_iter().fold(Rule::open(&KNOWN), |rule, (name, value)| {
            changed(&rule, &serde_json::json!({ name: value }).to_string())
        })
    })
}

/// Whether everything that `inner` lets pass passes `outer`, too.
fn is_within(inner: &Limits, outer: &Limits) -> bool {
    let cap = outer.cap("cap").is_none_or(|outer| inner.cap("cap").is_some_and(|inner| inner <= outer));
    let floor = inner.floor("floor") >= outer.floor("floor");
    let words = |limits: &Limits, name| limits.words(name).unwrap_or_default().to_vec();
    let methods = words(inner, "methods").iter().all(|word| words(outer, "methods").contains(word));
    let dealers = outer
        .words("dealers")
        .is_none_or(|outer| inner.words("dealers").is_some_and(|inner| inner.iter().all(|name| outer.contains(name))));
    cap && floor && methods && dealers
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(rule in rules()) {
        let stored = serde_json::to_value(&rule).unwrap();
        prop_assert_eq!(&serde_json::from_value::<Rule>(stored).unwrap(), &rule);
    }

    #[test]
    fn a_change_touches_and_widens_only_the_field_that_it_names(rule in rules(), fields in prop::collection::vec(field(), 1..6)) {
        let mut now = rule.clone();
        for (name, value) in &fields {
            let next = changed(&now, &serde_json::json!({ name: value }).to_string());
            let named = match value.as_object().filter(|_| name == "limits").and_then(|limits| limits.keys().next()) {
                Some(limit) => limit,
                None => name,
            };
            let lines = difference(&now, &next, &LIMITS);
            prop_assert!(lines.iter().all(|line| line.starts_with(&format!("{named}: "))), "{lines:?} after {name}");
            prop_assert_eq!(lines.is_empty(), now == next, "{:?}", lines);
            now = next;
        }
    }

    #[test]
    fn whatever_a_wider_rule_lets_pass_is_marked(old in rules(), new in rules(), kind in "intersect|align",
            purpose in "pilot|any|other", receivers in prop::sample::subsequence(vec!["bank", "shop", "lender"], 0..=3)) {
        let allows = |rule: &Rule| ask(Some(rule), &kind, &purpose, &receivers).is_ok();
        let marked = difference(&old, &new, &LIMITS).iter().any(|line| line.ends_with("(wider)"));
        prop_assert!(marked || !allows(&new) || allows(&old), "{old} became {new}");
        prop_assert!(marked || is_within(&new.limits, &old.limits), "{old} became {new}");
    }

    #[test]
    fn the_strictest_of_rules_is_no_wider_than_any_and_does_not_depend_on_their_order(a in rules(), b in rules(), c in rules()) {
        let all = [&a.limits, &b.limits, &c.limits];
        let strictest = Limits::strictest(&all, &LIMITS);
        for limits in all {
            prop_assert!(is_within(&strictest, limits), "{strictest:?} {limits:?}");
        }
        prop_assert_eq!(&Limits::strictest(&[all[2], all[0], all[1]], &LIMITS), &strictest);
        prop_assert_eq!(&Limits::strictest(&[&strictest, &strictest], &LIMITS), &strictest);
        prop_assert_eq!(&Limits::strictest(&[&strictest, all[1]], &LIMITS), &strictest);
        // Among the three it is the widest one that is within each.
        let alone = Limits::strictest(&[all[0]], &LIMITS);
        prop_assert!(is_within(&alone, all[0]) && is_within(all[0], &alone));
    }
}
