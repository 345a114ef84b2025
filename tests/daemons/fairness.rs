//! A peer that is dead or silent holds up nobody else: jobs with others come to their end while those with it wait.
//! `benches/fairness` measures how long they take.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tacitly::test_bed::{PATIENCE, Party, Setup, connect, until, until_within};

use crate::support::liar::NAME;
use crate::support::script::Script;
use crate::support::stage::Stage;
use crate::support::{Pair, mobiles, setup};
use crate::toys::set_up_and_introduced_by_the_first;

/// Jobs with the lender in one round, and jobs with the shop beside the one at work.
const ROUND: usize = 8;
const WAITING: usize = 20;

/// A daemon with so many places for jobs, which waits for a link for longer than any of these tests: whatever ends beside
/// a job that waits has not waited for it.
fn patient(places: usize) -> Setup {
    setup()
        .set("TACITLY_LIMITS__RUNNING_JOBS", places)
        .set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 3600)
        .set("TACITLY_LOG__LEVEL", "info")
}

/// A bank and its two partners.
struct Market {
    pair: Pair,
    lender: Party,
}

fn submit(bank: &Party, dataset: &str, with: &str) -> String {
    let (ours, theirs) = (format!("bank/{dataset}"), format!("{with}/{dataset}"));
    let words = ["job", "submit", "--kind", "intersect", "--party", &ours, "--party", &theirs, "--receive", "bank"];
    bank.tacitly(&words).unwrap()["id"].as_str().unwrap().to_owned()
}

impl Market {
    fn open(places: usize) -> Self {
        let mut pair = Pair::with(patient(places), patient(places));
        pair.datasets(&mobiles(0..200), &mobiles(100..300));
        let lender = Party::start(pair.folder.path(), "lender", patient(places)).unwrap();
        connect(&pair.bank, &lender).unwrap();
        let add = |party: &Party, name: &str, file: &str, column: &str, peer: &str| {
            let (path, key) = (pair.file(file).display().to_string(), format!("{column}=cn-mobile"));
            party.tacitly(&["dataset", "add", name, &path, "--key", &key, "--allow", peer]).unwrap();
        };
        add(&lender, "ids", "bank.csv", "mobile", "bank");
        pair.bank.tacitly(&["dataset", "allow", "ids", "lender"]).unwrap();
        // Enough that a job is met at work.
        let rows: String = mobiles(0..50_000).iter().map(|id| format!("{id},1\n")).collect();
        std::fs::write(pair.file("many.csv"), format!("mobile,n\n{rows}")).unwrap();
        add(&pair.bank, "many", "many.csv", "mobile", "shop");
        add(&pair.shop, "many", "many.csv", "mobile", "bank");
        Self { pair, lender }
    }

    fn job(&self, id: &str) -> Value {
        self.pair.bank.tacitly(&["job", "show", id]).unwrap()
    }

    fn state(&self, id: &str) -> String {
        self.job(id)["state"].as_str().unwrap().to_owned()
    }

    /// Jobs with the shop: one is at work when this returns.
    fn work_with_shop(&self) -> Vec<String> {
        let first = submit(&self.pair.bank, "many", "shop");
        let at_work = until(|| (self.state(&first) == "running").then_some(()));
        at_work.unwrap_or_else(|| panic!("{}", self.job(&first)));
        vec![first]
    }

    /// Runs a round of jobs with the lender to their end, while the first of these jobs with the shop computes as far as it
    /// can and the others wait.
    fn round_while_shop_is_away(&self, with_shop: &[String]) {
        let jobs: Vec<String> = (0..ROUND).map(|_| submit(&self.pair.bank, "ids", "lender")).collect();
        for id in &jobs {
            let over = until_within(4 * PATIENCE, || (self.state(id) == "done").then_some(()));
            over.unwrap_or_else(|| panic!("{}\n{}", self.job(id), self.pair.bank.log()));
            assert_eq!(self.job(id)["result_items"], 200);
            let there =
                || Some(self.lender.tacitly(&["job", "show", id]).ok()?["state"] == "done").filter(|done| *done);
            assert!(until(there).is_some(), "the lender does not know that {id} is over");
        }
        assert_eq!(self.state(&with_shop[0]), "running", "{}", self.job(&with_shop[0]));
        for id in &with_shop[1..] {
            assert!(["proposed", "approved"].contains(&self.state(id).as_str()), "{}", self.job(id));
        }
    }

    /// The shop is back: its jobs come to their end, too.
    fn await_shop(&self, with_shop: &[String]) {
        for id in with_shop {
            let done = until_within(4 * PATIENCE, || match self.state(id).as_str() {
                "done" => Some(()),
                "suspended" => {
                    let _the_other_side_may_have_resumed = self.pair.bank.tacitly(&["job", "resume", id]);
                    None
                }
                _ => None,
            });
            done.unwrap_or_else(|| panic!("{}\n{}", self.job(id), self.pair.bank.log()));
        }
    }
}

fn jobs_with_one_peer_go_on_beside_jobs_with_another_that_is_away(places: usize) {
    let mut market = Market::open(places);

    // Silent: its connections stay open, and nothing comes.
    let mut with_shop = market.work_with_shop();
    market.pair.shop.freeze(true);
    with_shop.extend((0..WAITING).map(|_| submit(&market.pair.bank, "ids", "shop")));
    market.round_while_shop_is_away(&with_shop);
    market.pair.shop.freeze(false);
    market.await_shop(&with_shop);

    // Dead, in the middle of a job.
    let mut with_shop = market.work_with_shop();
    market.pair.shop.kill();
    with_shop.extend((0..WAITING).map(|_| submit(&market.pair.bank, "ids", "shop")));
    market.round_while_shop_is_away(&with_shop);
    market.pair.shop.serve().unwrap();
    market.await_shop(&with_shop);
}

#[test]
fn jobs_with_one_peer_come_to_their_end_while_a_job_with_another_waits_for_its_daemon() {
    jobs_with_one_peer_go_on_beside_jobs_with_another_that_is_away(2);
}

#[test]
fn a_single_place_is_not_kept_by_a_job_that_waits_for_a_daemon() {
    jobs_with_one_peer_go_on_beside_jobs_with_another_that_is_away(1);
}

/// Whatever a peer does not do, jobs with others go on beside it, while its own wait for it.
#[test]
fn two_hogs_keep_no_job_with_somebody_else_waiting() {
    let stage = Stage::with(patient(2), mobiles(0..40), mobiles(20..60));
    let shop = Party::start(stage.folder.path(), "shop", patient(2)).unwrap();
    connect(&stage.bank, &shop).unwrap();
    let path = stage.folder.path().join("bank.csv").display().to_string();
    shop.tacitly(&["dataset", "add", "ids", &path, "--key", "mobile=cn-mobile", "--allow", "bank"]).unwrap();
    stage.bank.tacitly(&["dataset", "allow", "ids", "shop"]).unwrap();
    let hogs: [(&str, Script); 5] = [
        ("says yes and no more", Script { dawdles: true, ..stage.honest() }),
        ("says that it works", Script { dawdles: true, says_it_works: true, ..stage.honest() }),
        ("is always busy", Script { always_busy: true, ..stage.honest() }),
        ("opens no session", Script { opens_nothing: true, ..stage.honest() }),
        ("never ends", Script { never_ends: true, ..stage.honest() }),
    ];
    for (what, hog) in hogs {
        let play = stage.liar.play(hog, Arc::default());
        let held: Vec<String> = (0..2).map(|_| submit(&stage.bank, "ids", NAME)).collect();
        let state = |id: &str| stage.bank.tacitly(&["job", "show", id]).unwrap()["state"].as_str().unwrap().to_owned();
        let begun = || held.iter().any(|id| ["running", "approved"].contains(&state(id).as_str())).then_some(());
        assert!(until(begun).is_some(), "{what}");
        // Time for it to hold whatever it can.
        std::thread::sleep(Duration::from_millis(500));
        let out = stage.folder.path().join("honest.csv").display().to_string();
        let words = ["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &out, "--force"];
        let job = stage.bank.tacitly(&words).unwrap();
        assert_eq!((&job["state"], &job["result_items"]), (&"done".into(), &40.into()), "{what}");
        let over = held.iter().filter(|id| state(id) == "done").count();
        assert_eq!(over, 0, "{what}: the hog came to an end");
        for id in &held {
            stage.bank.tacitly(&["job", "cancel", id]).unwrap();
        }
        play.abort();
        let _aborted = stage.liar.runtime.block_on(play);
    }
}

#[test]
fn two_of_three_parties_whose_job_waits_for_the_third_do_another_one_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let parties = set_up_and_introduced_by_the_first(folder.path(), ["bank", "shop", "lender"], patient(1));
    let [bank, shop, lender] = &parties;
    let roster = at("east.roster");
    let members = ["--member", "shop", "--member", "lender"];
    let founded = bank.tacitly(&[&["consortium", "init", "east", "--out", &roster], &members[..]].concat()).unwrap();
    for member in [shop, lender] {
        let fingerprint = founded["fingerprint"].as_str().unwrap();
        member.tacitly(&["consortium", "join", &roster, "--fingerprint", fingerprint]).unwrap();
    }
    for party in &parties {
        fs::write(Path::new(&at("amounts.csv")), "id,amount\na,1\nb,2\n").unwrap();
        party.tacitly(&["dataset", "add", "amounts", &at("amounts.csv"), "--key", "id=raw"]).unwrap();
        for other in ["bank", "shop", "lender"].into_iter().filter(|other| *other != party.name) {
            party.tacitly(&["dataset", "allow", "amounts", other]).unwrap();
        }
    }
    let submit = |names: &[&str], parts: u32| {
        let params = json!({ "parts": parts }).to_string();
        let named: Vec<String> = names.iter().map(|name| format!("{name}/amounts")).collect();
        let mut words = vec!["job", "submit", "--kind", "add", "--purpose", "test", "--params", &params];
        named.iter().for_each(|party| words.extend(["--party", party]));
        names.iter().for_each(|party| words.extend(["--receive", party]));
        bank.tacitly(&words).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let job = |id: &str| bank.tacitly(&["job", "show", id]).unwrap();
    let all = submit(&["bank", "shop", "lender"], 2_000);
    // Some parts are through.
    let at_work = until(|| (job(&all)["bytes_in"].as_u64() > Some(1_000)).then_some(()));
    assert!(at_work.is_some(), "{}", job(&all));
    shop.freeze(true);
    for _ in 0..2 {
        let two = submit(&["bank", "lender"], 3);
        for party in [bank, lender] {
            let shown = || party.tacitly(&["job", "show", &two]).unwrap();
            let done = until_within(4 * PATIENCE, || (shown()["state"] == "done").then_some(()));
            assert!(done.is_some(), "{}\n{}", shown(), party.log());
            assert_eq!(shown()["summary"], json!({ "sum": 6, "parties": 2 }));
        }
    }
    assert_eq!(job(&all)["state"], "running", "{}", job(&all));
    shop.freeze(false);
    bank.tacitly(&["job", "cancel", &all]).unwrap();
}
