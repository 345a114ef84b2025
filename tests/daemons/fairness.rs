//! A peer that is dead or silent holds up nobody else: jobs with others go on while those with it wait.

use std::time::{Duration, Instant};

use serde_json::Value;
use tacitly::test_bed::{PATIENCE, Party, connect, until, until_within};

use crate::support::{Pair, mobiles, setup};

/// Jobs with the lender in one round, and jobs with the shop beside the one at work.
const ROUND: usize = 8;
const WAITING: usize = 4;

/// A bank with two places for jobs, and its two partners.
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
    fn open() -> Self {
        let two = || setup().set("TACITLY_LIMITS__RUNNING_JOBS", 2).set("TACITLY_LOG__LEVEL", "info");
        let mut pair = Pair::with(two(), two());
        pair.datasets(&mobiles(0..200), &mobiles(100..300));
        let lender = Party::start(pair.folder.path(), "lender", two()).unwrap();
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

    /// Runs a round of jobs with the lender to their end. Returns how long it took.
    fn round_with_lender(&self) -> Duration {
        let start = Instant::now();
        let jobs: Vec<String> = (0..ROUND).map(|_| submit(&self.pair.bank, "ids", "lender")).collect();
        for id in &jobs {
            let over = until_within(4 * PATIENCE, || (self.state(id) == "done").then_some(()));
            over.unwrap_or_else(|| panic!("{}\n{}", self.job(id), self.pair.bank.log()));
            assert_eq!(self.job(id)["result_items"], 200);
            let there =
                || Some(self.lender.tacitly(&["job", "show", id]).ok()?["state"] == "done").filter(|done| *done);
            assert!(until(there).is_some(), "the lender does not know that {id} is over");
        }
        start.elapsed()
    }

    /// A round with the lender while all these jobs with the shop wait.
    fn round_while_shop_is_away(&self, with_shop: &[String]) -> Duration {
        let took = self.round_with_lender();
        for id in with_shop {
            let job = self.job(id);
            let waits = ["proposed", "approved", "running", "suspended"].contains(&job["state"].as_str().unwrap());
            assert!(waits, "a job with the shop came to an end that the shop cannot have seen: {job}");
        }
        took
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

#[test]
fn jobs_with_one_peer_go_on_while_all_jobs_with_another_wait_for_its_daemon() {
    let mut market = Market::open();
    market.round_with_lender();
    let alone = market.round_with_lender();

    // Silent: its connections stay open, and nothing comes.
    let mut with_shop = market.work_with_shop();
    market.pair.shop.freeze(true);
    with_shop.extend((0..WAITING).map(|_| submit(&market.pair.bank, "ids", "shop")));
    let silent = market.round_while_shop_is_away(&with_shop);
    market.pair.shop.freeze(false);
    market.await_shop(&with_shop);

    // Dead, in the middle of a job.
    let mut with_shop = market.work_with_shop();
    market.pair.shop.kill();
    with_shop.extend((0..WAITING).map(|_| submit(&market.pair.bank, "ids", "shop")));
    let dead = market.round_while_shop_is_away(&with_shop);
    market.pair.shop.serve().unwrap();
    market.await_shop(&with_shop);

    let ratio = |took: Duration| took.as_secs_f64() / alone.as_secs_f64();
    println!(
        "{ROUND} jobs with the lender took {alone:?}; {:.2} times that beside a silent peer, {:.2} beside a dead one",
        ratio(silent),
        ratio(dead),
    );
}
