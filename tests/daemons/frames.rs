//! Two parties in one process, asked through the control API: frames, and jobs that both sides ask for under one name.

use std::path::Path;
use std::time::Duration;

use tacitly::codes::{self, Code};
use tacitly::daemon::{Config, Daemon, home};
use tacitly::rpc::client::{Client, Connection};
use tacitly::rpc::control::{self, add_frame_request::Part};
use tacitly::rpc::status::code_of;
use tempfile::TempDir;
use tonic::Status;

/// How long a job may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// A party whose daemon runs in this process.
struct Party {
    name: &'static str,
    daemon: Option<Daemon>,
    client: Client,
}

async fn serve(folder: &Path, name: &'static str, frame_mib: u64) -> Party {
    serve_with(folder, name, frame_mib, 50).await
}

/// One that has no more than so many jobs with one peer.
async fn serve_with(folder: &Path, name: &'static str, frame_mib: u64, jobs: usize) -> Party {
    let home = folder.join(name);
    let mut config = Config::new(name.parse().unwrap(), Some("127.0.0.1:0".parse().unwrap()), None);
    config.network.heartbeat_seconds = 1.0;
    config.limits.frame_mib = frame_mib;
    config.limits.jobs_per_peer = jobs;
    config.limits.drain_seconds = 2;
    if !home.exists() {
        home::create(&home, &config).unwrap();
    }
    let daemon = Daemon::start(&home, config).await.unwrap();
    let client = Connection::through_socket(daemon.socket()).await.unwrap().control();
    Party { name, daemon: Some(daemon), client }
}

async fn pair() -> (TempDir, Party, Party) {
    pair_with(50, 50).await
}

async fn pair_with(bank: usize, shop: usize) -> (TempDir, Party, Party) {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = serve_with(folder.path(), "bank", 64, bank).await;
    let mut shop = serve_with(folder.path(), "shop", 64, shop).await;
    let invitation = control::InviteRequest { valid_seconds: 60, party: "shop".to_owned() };
    let code = bank.client.invite(invitation).await.unwrap().into_inner().code;
    shop.client.join(control::JoinRequest { code }).await.unwrap();
    (folder, bank, shop)
}

/// What one side asks for.
#[derive(Clone)]
struct Asked {
    meeting: &'static str,
    kind: &'static str,
    profile: &'static str,
    purpose: &'static str,
    wait: u64,
}

const ASKED: Asked = Asked { meeting: "pilot/1", kind: "align", profile: "cn-mobile", purpose: "", wait: 20 };

/// A party that brings this dataset and receives the result.
fn asked_party(party: &str, dataset: String) -> control::AskedParty {
    control::AskedParty { party: party.into(), role: String::new(), dataset, receives: true }
}

/// What a party of a job brings to it.
fn dataset_of(job: &control::Job, party: &str) -> String {
    let found = job.parties.iter().find(|one| one.party == party);
    found.unwrap_or_else(|| panic!("{party} takes no part in {job:?}")).dataset.clone()
}

fn code(status: &Status) -> &'static Code {
    code_of(status).unwrap_or_else(|| panic!("{status}"))
}

impl Party {
    fn peer(&self) -> String {
        if self.name == "bank" { "shop" } else { "bank" }.to_owned()
    }

    async fn hand_over(&mut self, asked: &Asked, keys: &[&str]) -> Result<String, Status> {
        let header = control::FrameHeader {
            keys: vec![control::KeyColumn { column: "mobile".into(), profile: asked.profile.into() }],
            duplicates: String::new(),
            invalid: String::new(),
            peers: vec![self.peer()],
            kind: asked.kind.into(),
            receivers: vec!["bank".into(), "shop".into()],
        };
        let lengths = keys.iter().map(|key| key.len() as u32 + 1).collect();
        let batch = control::FrameBatch { columns: vec![control::FrameCells { cells: keys.concat().into(), lengths }] };
        let parts =
            [Part::Header(header), Part::Batch(batch)].map(|part| control::AddFrameRequest { part: Some(part) });
        let reply = self.client.add_frame(tokio_stream::iter(parts)).await?.into_inner();
        Ok(reply.dataset.unwrap().name)
    }

    async fn meet(&mut self, asked: &Asked, dataset: String) -> Result<control::Job, Status> {
        let request = control::MeetJobRequest {
            meeting: asked.meeting.into(),
            kind: asked.kind.into(),
            parties: vec![asked_party(self.name, dataset), asked_party(&self.peer(), String::new())],
            params: String::new(),
            purpose: asked.purpose.into(),
            wait_seconds: asked.wait,
        };
        Ok(self.client.meet_job(request).await?.into_inner())
    }

    /// Hands a frame over, meets the peer and sees the job to its end.
    async fn run(&mut self, asked: &Asked, keys: &[&str]) -> Result<control::Job, Status> {
        let dataset = self.hand_over(asked, keys).await?;
        let job = self.meet(asked, dataset).await?.id;
        self.end_of(job).await
    }

    async fn end_of(&mut self, job: String) -> Result<control::Job, Status> {
        let mut updates = self.client.watch_job(control::JobRequest { job }).await?.into_inner();
        let mut last = control::Job::default();
        while let Some(update) =
            tokio::time::timeout(PATIENCE, updates.message()).await.expect("the job stands still")?
        {
            last = update;
        }
        Ok(last)
    }

    async fn rows(&mut self, job: String) -> Vec<u32> {
        let mut pieces = self.client.job_rows(control::JobRequest { job }).await.unwrap().into_inner();
        let mut rows = Vec::new();
        while let Some(piece) = pieces.message().await.unwrap() {
            rows.extend(piece.rows);
        }
        rows
    }

    async fn datasets(&mut self) -> usize {
        self.client.list_datasets(control::ListDatasetsRequest::default()).await.unwrap().into_inner().datasets.len()
    }

    async fn await_no_dataset(&mut self) {
        for _ in 0..200 {
            if self.datasets().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} keeps a frame that nobody uses", self.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_frames_meet_under_one_name_and_leave_nothing_on_the_disk() {
    let (folder, mut bank, mut shop) = pair().await;
    let (ours, theirs) = (["138-0013-8000", "13900000001", "13900000002"], ["+86 13900000002", "13800138000"]);
    let (one, other) = tokio::join!(bank.run(&ASKED, &ours), shop.run(&ASKED, &theirs));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.state.as_str(), other.state.as_str(), &one.id), ("done", "done", &other.id));
    let (ours_shared, theirs_shared) = (bank.rows(one.id.clone()).await, shop.rows(one.id.clone()).await);
    let pairs: std::collections::BTreeSet<_> = ours_shared.into_iter().zip(theirs_shared).collect();
    assert_eq!(pairs, [(0, 1), (2, 0)].into());

    // The approval was for one job: the frame is no dataset that the peer may use again.
    let again = control::SubmitJobRequest {
        kind: "align".into(),
        parties: vec![asked_party("shop", dataset_of(&other, "shop")), asked_party("bank", dataset_of(&one, "bank"))],
        ..Default::default()
    };
    assert_eq!(code(&shop.client.submit_job(again).await.unwrap_err()), codes::REFUSED_BY_RULE);

    for party in [bank, shop] {
        party.daemon.unwrap().stop().await.unwrap();
        for file in std::fs::read_dir(folder.path().join(party.name)).unwrap() {
            let file = file.unwrap().path();
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!bytes.windows(9).any(|window| window == b"139000000"), "{} holds a key", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sides_that_ask_for_different_things_are_both_told_the_field_and_both_values() {
    let (_folder, mut bank, mut shop) = pair().await;
    for (other, words) in [
        (Asked { profile: "e164", ..ASKED }, ["key", "cn-mobile", "e164"]),
        (Asked { kind: "intersect", ..ASKED }, ["kind", "align", "intersect"]),
        (Asked { purpose: "fraud", ..ASKED }, ["purpose", "bank", "fraud"]),
    ] {
        let keys = ["+8613800138000"];
        let both = tokio::join!(bank.run(&ASKED, &keys), shop.run(&other, &keys));
        for status in [both.0.unwrap_err(), both.1.unwrap_err()] {
            assert_eq!(code(&status), codes::TERMS_DIFFER);
            assert!(words.iter().all(|word| status.message().contains(word)), "{status}");
        }
    }
    bank.await_no_dataset().await;
    shop.await_no_dataset().await;
    // Having differed does not stand in the way of the next try.
    let both = tokio::join!(bank.run(&ASKED, &["13800138000"]), shop.run(&ASKED, &["13800138000"]));
    assert_eq!((both.0.unwrap().result_items, both.1.unwrap().result_items), (Some(1), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_one_side_refuses_ends_on_both_with_the_reason() {
    // The bank's name sorts first, so it proposes: it refuses before that, the shop when it is asked.
    for (bank, shop, what) in [(0, 50, "0 jobs between bank and shop"), (50, 0, "0 jobs between shop and bank")] {
        let (_folder, mut bank, mut shop) = pair_with(bank, shop).await;
        let patient = Asked { wait: 3600, ..ASKED };
        let both = async { tokio::join!(bank.run(&patient, &["13800138000"]), shop.run(&patient, &["13800138000"])) };
        let both = tokio::time::timeout(Duration::from_secs(60), both).await;
        let (one, other) = both.expect("a side waits for a job that will never be");
        let refused = |ended: Result<control::Job, Status>| match ended {
            Err(status) => {
                assert_eq!(code(&status), codes::LIMIT);
                status.message().to_owned()
            }
            // The proposer has its job from before it asked, and reads there how it ended.
            Ok(job) => {
                let failure = job.failure.unwrap();
                assert_eq!((job.state.as_str(), failure.code.as_str()), ("refused", "limit"));
                failure.text
            }
        };
        for said in [refused(one), refused(other)] {
            assert!(said.contains(what), "{said}");
        }
        // Whoever has no job has withdrawn its frame.
        shop.await_no_dataset().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_waits_in_vain_withdraws_its_frame_and_its_approval() {
    let (_folder, mut bank, mut shop) = pair().await;
    let hasty = Asked { wait: 1, ..ASKED };
    let status = bank.run(&hasty, &["13800138000"]).await.unwrap_err();
    assert_eq!(code(&status), codes::NOT_MET);
    bank.await_no_dataset().await;

    // A caller that hangs up withdraws as well.
    let dataset = bank.hand_over(&ASKED, &["13800138000"]).await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(300), bank.meet(&ASKED, dataset)).await;
    assert!(given_up.is_err());
    bank.await_no_dataset().await;
    let status = shop.run(&hasty, &["13800138000"]).await.unwrap_err();
    assert_eq!(code(&status), codes::NOT_MET);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_of_one_party_do_not_wait_under_one_name() {
    let (_folder, mut bank, _shop) = pair().await;
    let (one, other) = (bank.hand_over(&ASKED, &["13800138000"]).await, bank.hand_over(&ASKED, &["13800138000"]).await);
    let mut second = Party { name: "bank", daemon: None, client: bank.client.clone() };
    let first = async { bank.meet(&Asked { wait: 2, ..ASKED }, one.unwrap()).await.unwrap_err() };
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        second.meet(&ASKED, other.unwrap()).await.unwrap_err()
    };
    let (first, later) = tokio::join!(first, later);
    assert_eq!((code(&first), code(&later)), (codes::NOT_MET, codes::BAD_REQUEST));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_takes_frames_only_where_its_configuration_allows_them_and_as_many() {
    let (folder, mut bank, mut shop) = pair().await;
    let large = "x".repeat(1 << 20);
    let raw = Asked { profile: "raw", ..ASKED };
    shop.daemon.take().unwrap().stop().await.unwrap();
    shop = serve(folder.path(), "shop", 0).await;
    assert_eq!(code(&shop.hand_over(&raw, &["a"]).await.unwrap_err()), codes::FRAMES_OFF);
    shop.daemon.take().unwrap().stop().await.unwrap();
    shop = serve(folder.path(), "shop", 1).await;
    assert_eq!(code(&shop.hand_over(&raw, &["a", &large[1..]]).await.unwrap_err()), codes::FRAMES_OFF);
    shop.hand_over(&raw, &[&large[1 << 19..]]).await.unwrap();
    let status = shop.hand_over(&raw, &[&large[1 << 19..]]).await.unwrap_err();
    assert_eq!(code(&status), codes::FRAMES_OFF);
    assert!(status.message().contains("limits.frame_mib"), "{status}");

    // What is no frame is refused, and holds nothing up.
    let header = control::FrameHeader { peers: vec!["shop".into()], kind: "align".into(), ..Default::default() };
    let parts = [vec![], vec![Part::Header(header)], vec![Part::Batch(control::FrameBatch::default())]];
    for parts in parts {
        let parts = parts.into_iter().map(|part| control::AddFrameRequest { part: Some(part) });
        let parts: Vec<_> = parts.collect();
        let status = bank.client.add_frame(tokio_stream::iter(parts)).await.unwrap_err();
        assert_eq!(code(&status), codes::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_gone_with_the_process_that_held_it_and_its_job_says_so() {
    let (folder, mut bank, mut shop) = pair().await;
    let dataset = bank.hand_over(&ASKED, &["13800138000"]).await.unwrap();
    // The peer's own rule asks a person, so that the job is open while our process ends.
    let path = folder.path().join("members.csv");
    std::fs::write(&path, "mobile\n13800138000\n").unwrap();
    let members = control::AddDatasetRequest {
        name: "members".into(),
        path: path.display().to_string(),
        keys: vec![control::KeyColumn { column: "mobile".into(), profile: "cn-mobile".into() }],
        ..Default::default()
    };
    shop.client.add_dataset(members).await.unwrap();
    let rule = control::SetRuleRequest {
        dataset: "members".into(),
        peer: "bank".into(),
        json: r#"{"approval":"manual"}"#.into(),
    };
    shop.client.set_rule(rule).await.unwrap();
    let submission = control::SubmitJobRequest {
        kind: "align".into(),
        parties: vec![asked_party("bank", dataset), asked_party("shop", "members".into())],
        ..Default::default()
    };
    let job = bank.client.submit_job(submission).await.unwrap().into_inner().id;
    let proposed = async {
        while shop.client.list_jobs(control::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, proposed).await.expect("the job was not proposed");
    bank.daemon.take().unwrap().stop().await.unwrap();
    bank = serve(folder.path(), "bank", 64).await;
    shop.client.approve_job(control::JobRequest { job: job.clone() }).await.unwrap();
    let last = bank.end_of(job).await.unwrap();
    assert_eq!((last.state.as_str(), last.failure.unwrap().code.as_str()), ("failed", codes::FRAME_GONE.name));
}
