//! A daemon and a peer of it that a test plays.

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tacitly::test_bed::{Party, Setup, until, until_within};
use tacitly_psi::PsiAnswer;
use tempfile::TempDir;

use super::liar::{Liar, NAME};
use super::script::{Script, Seen};
use super::{assert_clean_log, mobiles, numbers, semi_join, setup, tacitly};

/// How long a job may take: the longest is left alone after sixteen attempts, with pauses of up to two seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much more memory a daemon may take under attack.
const ROOM_KIB: u64 = 100 << 10;

/// One daemon, `bank`, and a peer of it that this test plays.
pub(crate) struct Stage {
    pub(crate) bank: Party,
    pub(crate) liar: Arc<Liar>,
    pub(crate) folder: TempDir,
    pub(crate) ours: Vec<String>,
    pub(crate) theirs: Vec<String>,
}

impl Stage {
    pub(crate) fn set() -> Self {
        Self::with(setup(), mobiles(0..40), mobiles(20..60))
    }

    /// Connections of the liar end by being closed, which is noticed at once; it is not taken for silent where this
    /// machine is slow.
    pub(crate) fn with(setup: Setup, ours: Vec<String>, theirs: Vec<String>) -> Self {
        let setup = setup.set("TACITLY_NETWORK__HEARTBEAT_SECONDS", 5);
        let folder = tempfile::tempdir().unwrap();
        let bank = Party::start(folder.path(), "bank", setup).unwrap();
        let liar = Arc::new(Liar::join(&bank, folder.path()));
        let path = folder.path().join("bank.csv");
        let rows: Vec<String> = ours.iter().enumerate().map(|(row, id)| format!("{id},{row}\n")).collect();
        std::fs::write(&path, format!("mobile,n\n{}", rows.concat())).unwrap();
        let path = path.display().to_string();
        bank.tacitly(&["dataset", "add", "ids", &path, "--key", "mobile=cn-mobile", "--allow", NAME]).unwrap();
        Self { bank, liar, folder, ours, theirs }
    }

    pub(crate) fn honest(&self) -> Script {
        Script::honest(&self.theirs)
    }

    pub(crate) fn jobs(&self) -> Vec<Value> {
        self.bank.tacitly(&["job", "list"]).unwrap().as_array().unwrap().clone()
    }

    /// Begins an intersection whose result both sides receive.
    pub(crate) fn submit(&self) -> Child {
        let out = self.folder.path().join("out.csv");
        let _leftover = std::fs::remove_file(&out);
        let with = format!("{NAME}/ids");
        tacitly()
            .args(["psi", "--json", "--dataset", "ids", "--receiver", "both", "--with", &with])
            .arg("--out")
            .arg(out)
            .arg("--home")
            .arg(&self.bank.home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs one job by this script and returns how it ended in the daemon's books, and what the liar saw.
    pub(crate) fn run(&self, script: Script) -> (Value, Seen) {
        self.run_until(script, &["done", "failed", "refused", "cancelled"])
    }

    /// The same, until the job is in one of these states.
    pub(crate) fn run_until(&self, script: Script, states: &[&str]) -> (Value, Seen) {
        let before = self.jobs().len();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let play = self.liar.play(script, seen.clone());
        let mut submitted = self.submit();
        let over = until_within(PATIENCE, || {
            let job = self.jobs().get(before)?.clone();
            states.contains(&job["state"].as_str()?).then_some(job)
        });
        let job = over.unwrap_or_else(|| panic!("the job did not end: {:?}", self.jobs().last()));
        submitted.wait().unwrap();
        play.abort();
        let _aborted = self.liar.runtime.block_on(play);
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        (job, seen)
    }

    /// The job ends with the liar's name and this rule, and no word about anybody's data.
    pub(crate) fn accuses(&self, case: &str, script: Script, rule: &str) -> Seen {
        let (job, seen) = self.run(script);
        let failure = &job["failure"];
        assert_eq!(job["state"], "failed", "{case}: {job}");
        assert_eq!(failure["code"], "protocol-violation", "{case}: {failure}");
        assert_eq!(failure["who"], NAME, "{case}: {failure}");
        let text = failure["text"].as_str().unwrap();
        assert!(text.contains(rule), "{case}: {rule} is not in {text:?}");
        let all = job.to_string();
        assert!(!self.identifiers().any(|id| all.contains(id)), "{case}: the job names an identifier");
        assert_eq!(job["result_items"], Value::Null, "{case}");
        seen
    }

    /// The daemon is alive and does an honest job to the exact answer, with the same peer.
    pub(crate) fn goes_on(&self) {
        let (job, seen) = self.run(self.honest());
        assert_eq!(job["state"], "done", "{job}");
        self.is_exact(&seen);
    }

    pub(crate) fn is_exact(&self, seen: &Seen) {
        assert_eq!(numbers(&self.folder.path().join("out.csv")), semi_join(&self.ours, &self.theirs));
        let theirs: Vec<u64> = match &seen.outcome.as_ref().unwrap().answer {
            PsiAnswer::Matched(items) => items.iter().map(|item| u64::from(*item)).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(theirs, semi_join(&self.theirs, &self.ours));
    }

    /// What the daemon shows of its link with the liar, once `wanted` is in it.
    pub(crate) fn link_detail(&self, wanted: &str) -> String {
        let mut last = String::new();
        let found = until(|| {
            let peers = self.bank.tacitly(&["peer", "list"]).ok()?;
            peers[0]["link_detail"].as_str().unwrap_or_default().clone_into(&mut last);
            last.contains(wanted).then_some(())
        });
        assert!(found.is_some(), "{wanted:?} is not in {last:?}");
        last
    }

    pub(crate) fn logs(&self, wanted: &str) {
        let found = until(|| self.bank.log().contains(wanted).then_some(()));
        assert!(found.is_some(), "{wanted:?} is not in the log");
    }

    pub(crate) fn identifiers(&self) -> impl Iterator<Item = &str> {
        self.ours.iter().chain(&self.theirs).map(String::as_str)
    }

    /// The most memory the daemon ever held.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.bank.usage().unwrap().peak_rss_kib
    }

    pub(crate) fn took_little(&self, before: u64) {
        let now = self.peak_kib();
        assert!(now < before + ROOM_KIB, "the daemon took {} KiB more", now - before);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.bank.name, self.bank.log());
            return;
        }
        let secrets: Vec<String> = self.identifiers().map(str::to_owned).collect();
        assert_clean_log(&self.bank, &secrets);
    }
}
