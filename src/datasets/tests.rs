//! The room by itself: what goes on record, what a rule may say, and what becomes of a frame.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tacitly_attestation::entry::{Body, LeafHash, SignedEntry};
use tacitly_attestation::note::KeyUse;
use tacitly_core::PartyId;
use tempfile::TempDir;

use super::register::Names;
use super::*;
use crate::attest::Recorder;
use crate::chain::{Log, NoteKey};
use crate::codes;
use crate::intake::{Frame, FrameBuilder};
use crate::policy::{Approval, LimitForm, LimitName, Rule};
use crate::store::{FileSigner, NewPeer, NoteSigner, Sealer, SealingKey, Signer, Store};

/// What all frames may hold together.
const FRAMES: usize = 1 << 16;

/// A bank with a store, a log and a peer, the shop.
struct World {
    folder: TempDir,
    store: Arc<Store>,
    log: Log,
    recorder: Arc<Recorder>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        let store = Arc::new(Store::open(&folder.path().join("party.db"), sealer).await.unwrap());
        let signer: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.path().join("bank.key")).unwrap());
        let public = *signer.public_key().as_bytes();
        let key = NoteKey::new("tacitly/bank", KeyUse::Text, &public, NoteSigner(signer.clone())).unwrap();
        let log = Log::open(&folder.path().join("log"), key).unwrap();
        let shop = FileSigner::create(&folder.path().join("shop.key")).unwrap();
        let peer = NewPeer { id: shop_id(), address: None, signing_key: shop.public_key(), pins: Vec::new() };
        store.peers().add(peer, "operator").await.unwrap();
        let recorder = Arc::new(Recorder::new("bank".parse().unwrap(), signer, store.clone(), log.clone()));
        Self { folder, store, log, recorder }
    }

    /// The room, as a start of the daemon makes it.
    fn datasets(&self) -> Datasets {
        let most = LimitName { name: "most", form: LimitForm::Cap, what: "the most that may be weighed" };
        let names = Names { kinds: vec!["sort", "weigh"], limits: vec![most] };
        Datasets::new(self.store.clone(), self.recorder.clone(), names, 1 << 20, FRAMES)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("ids.csv");
        fs::write(&path, text).unwrap();
        path
    }

    fn new_dataset(&self, text: &str) -> NewDataset {
        NewDataset {
            name: "ids".to_owned(),
            path: self.file(text),
            keys: vec![("id".to_owned(), "raw".to_owned())],
            ..NewDataset::default()
        }
    }

    /// The entries of the log with their leaves.
    fn entries(&self) -> Vec<(LeafHash, Body)> {
        let entry = |index| SignedEntry::parse(&self.log.entry(index).unwrap()).unwrap();
        (0..self.log.head().size).map(entry).map(|entry| (entry.leaf(), entry.entry().body().clone())).collect()
    }
}

fn shop_id() -> PartyId {
    "shop".parse().unwrap()
}

/// A table of one column with ids from 0; a cell's length is told as one more, 0 is no cell.
fn frame(rows: u32) -> Frame {
    let ids: Vec<String> = (0..rows).map(|row| format!("id-{row}")).collect();
    let lengths = ids.iter().map(|id| id.len() as u32 + 1).collect();
    let mut builder = FrameBuilder::new(vec!["id".to_owned()]).unwrap();
    builder.push(vec![(Bytes::from(ids.concat()), lengths)]).unwrap();
    builder.finish()
}

#[tokio::test]
async fn a_dataset_is_on_record_once_and_its_removal_names_every_version() {
    let world = World::new().await;
    let datasets = world.datasets();
    datasets.add(world.new_dataset("id,amount\n1,5\n2,6\n"), "operator").await.unwrap();
    for _ in 0..2 {
        assert_eq!(datasets.attest("ids").await.unwrap().unwrap().index, 0);
    }
    let again = datasets.add(world.new_dataset("id\n1\n"), "operator").await.unwrap_err();
    assert_eq!(again.code, codes::DATASET_EXISTS);
    let replaced = NewDataset { replace: true, ..world.new_dataset("id\n1\n2\n3\n") };
    let (view, _) = datasets.add(replaced, "operator").await.unwrap();
    assert_eq!((view.rows, view.columns), (3, vec!["id".to_owned()]));
    let [(first, Body::Dataset(_)), (second, Body::Dataset(now))] = &world.entries()[..] else { panic!("two entries") };
    assert_eq!(now.supersedes, Some(*first));

    datasets.remove("ids", "operator").await.unwrap();
    let Some((_, Body::Erasure(erasure))) = world.entries().pop() else { panic!("an erasure comes last") };
    let mut named = erasure.targets.clone();
    named.sort_unstable_by_key(|leaf| leaf.0.0);
    let mut both = vec![*first, *second];
    both.sort_unstable_by_key(|leaf| leaf.0.0);
    assert_eq!(named, both);
    assert_eq!(datasets.attest("ids").await.unwrap_err().code, codes::DATASET_UNKNOWN);
    assert_eq!(datasets.remove("ids", "operator").await.unwrap_err().code, codes::DATASET_UNKNOWN);
    assert_eq!(world.entries().len(), 3, "nothing else was erased");
}

#[tokio::test]
async fn a_log_that_takes_nothing_hands_out_nothing_and_leaves_the_dataset_there() {
    let world = World::new().await;
    let datasets = world.datasets();
    fs::write(world.folder.path().join("consent"), "they agreed").unwrap();
    let basis = world.folder.path().join("consent");
    datasets.add(NewDataset { basis, ..world.new_dataset("id\n1\n2\n") }, "operator").await.unwrap();
    world.log.refuse_as_lost(9);
    let spare = NewDataset { name: "spare".to_owned(), ..world.new_dataset("id\n1\n2\n") };
    assert_eq!(datasets.add(spare, "operator").await.unwrap_err().code, codes::LOG_OLD);
    assert_eq!(datasets.list().await.unwrap().len(), 2);
    let (dataset, to) = ("ids".to_owned(), "court".to_owned());
    let record = OpenRecord { dataset: dataset.clone(), row: 1, to: to.clone(), ..OpenRecord::default() };
    let refused = datasets.openings().record(record, "operator").await.err().unwrap();
    assert_eq!(refused.code, codes::LOG_OLD);
    let basis = OpenBasis { dataset, to, ..OpenBasis::default() };
    assert_eq!(datasets.openings().basis(basis, "operator").await.err().unwrap().code, codes::LOG_OLD);
    assert!(world.recorder.all_known("dataset:ids", "opening").await.unwrap().is_empty(), "nothing waits either");
}

#[tokio::test]
async fn a_rule_names_the_kinds_and_limits_that_the_room_was_told_of_and_no_others() {
    let world = World::new().await;
    let datasets = world.datasets();
    let open = NewDataset { allow: vec!["shop".to_owned()], ..world.new_dataset("id,amount\n1,5\n") };
    datasets.add(open, "operator").await.unwrap();
    let rule = datasets.rule("ids", shop_id()).await.unwrap().unwrap();
    assert_eq!((rule.kinds, rule.columns), (vec!["sort".into(), "weigh".into()], vec!["id".into(), "amount".into()]));
    for unknown in [r#"{"kinds":["intersect"]}"#, r#"{"limits":{"least":5}}"#, r#"{"columns":["name"]}"#, "no JSON"] {
        let refused = datasets.set_rule("ids", "shop", unknown, "operator").await.unwrap_err();
        assert_eq!(refused.code, codes::BAD_REQUEST, "{unknown}");
    }
    let narrower = r#"{"kinds":["weigh"],"columns":["id"],"limits":{"most":5}}"#;
    let changed = datasets.set_rule("ids", "shop", narrower, "operator").await.unwrap();
    let RuleChange::Set { difference, .. } = changed else { panic!("{changed:?}") };
    assert_eq!(difference.len(), 3, "{difference:?}");

    let dataset = world.store.datasets().get("ids").await.unwrap();
    let both = ["id", "amount"].map(str::to_owned);
    let out = |agreed, asked: &[String]| {
        let (datasets, dataset, asked) = (&datasets, &dataset, asked.to_vec());
        async move { datasets.columns_out(dataset, &[shop_id()], agreed, asked).await }
    };
    assert_eq!(out(&both, &[]).await.unwrap(), ["id"]);
    assert_eq!(out(&both, &both[1..]).await.unwrap_err().code, codes::REFUSED_BY_RULE);
    assert_eq!(datasets.columns_allowed(&dataset, &[shop_id()]).await.unwrap(), ["id"]);
    // What was agreed stays with the job: a wider rule of today lets no more out of it.
    datasets.set_rule("ids", "shop", r#"{"columns":"all"}"#, "operator").await.unwrap();
    assert_eq!(out(&both, &both).await.unwrap(), both);
    assert_eq!(out(&both[..1], &[]).await.unwrap(), ["id"]);
    assert_eq!(out(&both[..1], &both).await.unwrap_err().code, codes::REFUSED_BY_RULE);
    for gone in [RuleChange::Removed, RuleChange::None] {
        assert_eq!(datasets.set_rule("ids", "shop", "", "operator").await.unwrap(), gone);
    }
    assert_eq!(out(&both, &[]).await.unwrap_err().code, codes::REFUSED_BY_RULE, "without a rule nothing gets out");
}

#[tokio::test]
async fn to_allow_a_peer_again_widens_no_rule_and_opens_only_where_there_is_none() {
    let world = World::new().await;
    let datasets = world.datasets();
    let opened = |replace| NewDataset {
        replace,
        confirms_rules: true,
        allow: vec!["shop".to_owned(), "shop".to_owned()],
        ..world.new_dataset("id,amount\n1,5\n")
    };
    let (_, report) = datasets.add(opened(false), "operator").await.unwrap();
    assert!(!report.contains("keeps it"), "{report}");
    let narrow = r#"{"kinds":["weigh"],"columns":["id"],"limits":{"most":5},"per_day":3,"approval":"manual"}"#;
    datasets.set_rule("ids", "shop", narrow, "operator").await.unwrap();
    let before = datasets.rule("ids", shop_id()).await.unwrap();
    let (_, report) = datasets.add(opened(true), "operator").await.unwrap();
    assert_eq!(datasets.rule("ids", shop_id()).await.unwrap(), before);
    assert!(report.contains("shop has a rule, and keeps it: weigh; of our columns only id; most 5; 3 jobs a day"));
    assert!(report.contains("`tacitly dataset allow ids PEER` changes one"), "{report}");

    datasets.set_rule("ids", "shop", "", "operator").await.unwrap();
    let (_, report) = datasets.add(opened(true), "operator").await.unwrap();
    assert!(!report.contains("the rules stay"), "{report}");
    assert_eq!(datasets.rule("ids", shop_id()).await.unwrap().unwrap().kinds, ["sort", "weigh"]);
}

#[tokio::test]
async fn a_file_that_is_replaced_by_somebody_who_sets_no_rules_suspends_them_until_one_is_set_again() {
    let world = World::new().await;
    let datasets = world.datasets();
    let add = |text, replace, confirms_rules| NewDataset { replace, confirms_rules, ..world.new_dataset(text) };
    let approval = || async { datasets.rule("ids", shop_id()).await.unwrap().unwrap().approval };
    let may_propose = || async { datasets.require_confirmed("ids", &[shop_id()].into()).await };
    datasets.add(add("id,amount\n1,5\n", false, false), "token:ops").await.unwrap();
    datasets.set_rule("ids", "shop", "{}", "token:boss").await.unwrap();
    assert_eq!((approval().await, may_propose().await), (Approval::Automatic, Ok(())));

    let (view, report) = datasets.add(add("id,amount\n1,9\n", true, false), "token:ops").await.unwrap();
    assert!(report.contains("until an approver has looked") && view.rules[0].is_of_another_file, "{report}");
    assert_eq!(approval().await, Approval::Manual);
    assert_eq!(may_propose().await.unwrap_err().code, codes::REFUSED_BY_RULE);
    // Somebody who sets rules has looked.
    datasets.set_rule("ids", "shop", "{}", "token:boss").await.unwrap();
    assert_eq!((approval().await, may_propose().await), (Approval::Automatic, Ok(())));
    let (view, report) = datasets.add(add("id,amount\n1,7\n", true, true), "operator").await.unwrap();
    assert!(report.contains("the rules stay") && !view.rules[0].is_of_another_file, "{report}");
    assert_eq!((approval().await, may_propose().await), (Approval::Automatic, Ok(())));
}

#[tokio::test]
async fn a_frame_is_there_for_its_process_and_is_erased_on_record_by_the_next() {
    let world = World::new().await;
    let datasets = world.datasets();
    let spec = || key_spec(&[("id".to_owned(), "raw".to_owned())], "", "").unwrap();
    let rule = || Rule { kinds: vec!["weigh".to_owned()], per_day: 1, ..Rule::default() };
    let room = datasets.frames().room().await.unwrap();
    let large = datasets.add_frame(frame(50_000), spec(), &[shop_id()], rule()).await.unwrap_err();
    assert_eq!((large.code, datasets.frames().room().await.unwrap()), (codes::FRAMES_OFF, room));
    let stranger = datasets.add_frame(frame(3), spec(), &["mill".parse().unwrap()], rule()).await.unwrap_err();
    assert_eq!((stranger.code, datasets.frames().room().await.unwrap()), (codes::PEER_UNKNOWN, room));
    datasets.frames().sweep().await.unwrap();

    let (view, _) = datasets.add_frame(frame(100), spec(), &[shop_id()], rule()).await.unwrap();
    assert!(datasets.frames().room().await.unwrap() < room);
    let rule = datasets.rule(&view.name, shop_id()).await.unwrap().unwrap();
    assert_eq!((rule.per_day, rule.columns), (1, vec!["id".to_owned()]));
    let dataset = world.store.datasets().get(&view.name).await.unwrap();
    assert!(Frames::is_frame(&dataset));
    let input = datasets.input(&dataset).unwrap();
    let (progress, _goes_on) = Progress::of("reading", tokio::sync::watch::Sender::default());
    assert_eq!(input.keys(&progress).unwrap().len(), 100);

    let next = world.datasets();
    assert_eq!(next.input(&dataset).err().unwrap().code, codes::FRAME_GONE);
    next.frames().sweep().await.unwrap();
    assert!(next.list().await.unwrap().is_empty());
    assert!(matches!(world.entries().pop(), Some((_, Body::Erasure(_)))));
}
