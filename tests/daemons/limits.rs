//! What one peer may use of a daemon: its patience, its messages, its line; and clocks that disagree.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::SignedDuration;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::test_bed::{Party, Setup, until};
use tacitly::transport::{Envelope, Notice, Settings};
use tacitly_core::SessionTag;

use crate::support::liar::NAME;
use crate::support::script::{Script, Seen};
use crate::support::stage::Stage;
use crate::support::words::asked;
use crate::support::{Pair, mobiles, semi_join, setup};

fn stage(setup: Setup) -> Stage {
    Stage::with(setup, mobiles(0..40), mobiles(20..60))
}

#[test]
fn a_peer_that_says_yes_and_then_nothing_does_not_hold_a_job_beyond_its_deadline() {
    // 10.8 s, which an honest job has as well.
    let stage = stage(setup().set("TACITLY_LIMITS__JOB_DEADLINE_HOURS", 0.003));
    let (job, seen) = stage.run(Script { dawdles: true, ..stage.honest() });
    assert_eq!((&job["state"], &job["failure"]["code"]), (&"failed".into(), &"deadline".into()), "{job}");
    assert!(job["failure"]["text"].as_str().unwrap().contains("waiting for the others to read their data"), "{job}");
    assert!(seen.received.is_empty(), "something of our set went out");
    stage.goes_on();
}

#[test]
fn a_peer_that_says_yes_and_then_nothing_is_lost_although_its_link_is_up() {
    // 6 s.
    let stage = stage(setup().set("TACITLY_LIMITS__IDLE_MINUTES", 0.1));
    let script = Script { dawdles: true, ..stage.honest() };
    let (job, seen) = stage.run_until(script, &["suspended", "failed"]);
    assert_eq!((&job["state"], &job["failure"]["code"]), (&"suspended".into(), &"peer-lost".into()), "{job}");
    assert_eq!(job["failure"]["who"], NAME);
    let text = job["failure"]["text"].as_str().unwrap();
    assert!(text.contains("nothing moved for") && text.contains(NAME), "{job}");
    assert!(seen.received.is_empty(), "something of our set went out");
    stage.bank.tacitly(&["job", "cancel", job["id"].as_str().unwrap()]).unwrap();
    stage.goes_on();
}

#[test]
fn a_peer_that_says_that_it_is_at_work_is_waited_for() {
    // 6 s.
    let stage = stage(setup().set("TACITLY_LIMITS__IDLE_MINUTES", 0.1));
    let script = Script { dawdles: true, says_it_works: true, ..stage.honest() };
    let play = stage.liar.play(script, Arc::default());
    let mut submitted = stage.submit();
    let job = || stage.jobs().first().cloned().unwrap_or_default();
    assert!(until(|| (job()["state"] == "running").then_some(())).is_some());
    std::thread::sleep(Duration::from_secs(18));
    assert_eq!(job()["state"], "running", "{}", job());
    stage.bank.tacitly(&["job", "cancel", job()["id"].as_str().unwrap()]).unwrap();
    submitted.wait().unwrap();
    play.abort();
    stage.goes_on();
}

#[test]
fn a_peer_that_abandons_every_attempt_at_once_leaves_the_job_waiting_for_a_person() {
    let stage = Stage::set();
    let script = || Script { abandons: true, ..stage.honest() };
    let (job, _) = stage.run_until(script(), &["suspended", "failed"]);
    assert_eq!((&job["state"], &job["failure"]["code"]), (&"suspended".into(), &"peer-lost".into()), "{job}");
    assert_eq!(job["failure"]["who"], NAME);
    assert!(job["failure"]["text"].as_str().unwrap().contains("attempts in a row"), "{job}");
    stage.bank.tacitly(&["job", "cancel", job["id"].as_str().unwrap()]).unwrap();
    stage.goes_on();
}

#[test]
fn a_witness_that_tells_another_size_every_time_is_not_asked_without_a_pause() {
    let stage = Stage::set();
    let seen = Arc::<Mutex<Seen>>::default();
    let play = stage.liar.play(Script { contradicts: true, ..stage.honest() }, seen.clone());
    let asked = || seen.lock().unwrap().asked_to_cosign;
    assert!(until(|| (asked() > 0).then_some(())).is_some(), "the log is to be witnessed");
    std::thread::sleep(Duration::from_secs(3));
    // Two words of a size, and then it is left alone for longer than this.
    assert!(asked() <= 4, "asked {} times", asked());
    play.abort();
    stage.goes_on();
}

#[test]
fn proposals_beyond_the_hours_limit_are_refused_with_the_limit_and_leave_no_trace() {
    let stage = stage(setup().set("TACITLY_LIMITS__PROPOSALS_PER_HOUR", 3));
    let refusals: Vec<String> = (0..5)
        .map(|_| match stage.liar.ask(stage.liar.proposal("nothing-here")) {
            Answer::Decided(pb::Decided { refused: Some(reason), .. }) => reason.code,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(refusals, ["refused-no-rule", "refused-no-rule", "refused-no-rule", "limit", "limit"]);
    assert_eq!(stage.jobs().len(), 3);
    // What we ask of the peer is not counted against it.
    stage.goes_on();
}

#[test]
fn proposals_that_come_at_once_are_counted_one_by_one() {
    let stage = Stage::set();
    stage.bank.tacitly(&["dataset", "allow", "ids", NAME, "--per-day", "3"]).unwrap();
    let answers = stage.liar.ask_at_once((0..20).map(|_| stage.liar.proposal("ids")).collect());
    let approved = |answer: &&Answer| matches!(answer, Answer::Decided(pb::Decided { refused: None, .. }));
    assert_eq!(answers.iter().filter(approved).count(), 3);
    let states: Vec<_> = stage.jobs().iter().map(|job| job["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states.iter().filter(|state| *state == "refused").count(), 17, "{states:?}");
}

#[test]
fn what_a_peer_asks_is_read_at_a_rate_and_its_log_lines_with_it() {
    let stage = stage(setup().set("TACITLY_LIMITS__REQUESTS_PER_SECOND", 20).set("TACITLY_LOG__LEVEL", "info"));
    let before = stage.bank.log().lines().count();
    let stop = pb::Stop { job: "01J00000000000000000000000".to_owned(), attempt: 1 };
    let question = asked(Ask::Stop(stop));
    let answered = stage.liar.runtime.block_on(async {
        let mut connection = stage.liar.call().await.unwrap();
        let end = tokio::time::Instant::now() + Duration::from_secs(4);
        let mut answered = 0;
        for id in 1.. {
            let envelope = question.clone().request(id);
            match tokio::time::timeout_at(end, connection.send(envelope)).await {
                Ok(sent) => sent.expect("a peer that asks too fast is held back, not cut off"),
                Err(_) => break,
            }
            if tokio::time::Instant::now() > end {
                break;
            }
            while let Ok(Ok(heard)) = tokio::time::timeout(Duration::ZERO, connection.receive()).await {
                answered += u64::from(matches!(heard, Envelope::Response { outcome: Ok(_), .. }));
            }
        }
        answered
    });
    // 20 a second, and a second's worth at once; a slow machine may be late in noticing the end.
    assert!((20..=20 * 8).contains(&answered), "{answered} requests were answered");
    let lines = stage.bank.log().lines().count() - before;
    assert!(lines <= 20 * 8, "{lines} lines of log about one peer's nonsense");
    stage.goes_on();
}

/// What became of a flood.
#[derive(Debug, PartialEq)]
enum Flooded {
    /// Nothing more was taken for a while.
    Throttled,
    /// The daemon hung up.
    HungUp,
    /// Everything was taken, as long as it lasted.
    Taken,
}

/// How long a flood lasts if nobody stops it.
enum Lasts {
    Seconds(u64),
    /// More than the windows of a connection hold at both ends, 9 MiB each, with what a daemon reads at its pace.
    BeyondAllWindows,
}

impl Lasts {
    fn is_over(&self, begun: Instant, bytes: usize) -> bool {
        match self {
            Self::Seconds(seconds) => begun.elapsed() > Duration::from_secs(*seconds),
            Self::BeyondAllWindows => bytes > 32 << 20,
        }
    }
}

/// What an envelope weighs on the wire, or a little less.
fn weight(envelope: &Envelope) -> usize {
    24 + if let Envelope::Request { body, .. } = envelope { body.len() } else { 0 }
}

/// Sends as fast as it can. What comes back is read or not.
fn flood(stage: &Stage, lasts: Lasts, reads: bool, envelope: impl Fn(u64) -> Envelope) -> Flooded {
    stage.liar.runtime.block_on(async {
        let mut connection = stage.liar.call().await.unwrap();
        let (begun, mut bytes) = (Instant::now(), 0);
        for number in 1.. {
            let envelope = envelope(number);
            bytes += weight(&envelope);
            match tokio::time::timeout(Duration::from_millis(500), connection.send(envelope)).await {
                Err(_) => return Flooded::Throttled,
                Ok(Err(_)) => return Flooded::HungUp,
                Ok(Ok(())) => {}
            }
            if reads {
                while let Ok(heard) = tokio::time::timeout(Duration::ZERO, connection.receive()).await {
                    if matches!(heard, Ok(Envelope::Bye(_)) | Err(_)) {
                        return Flooded::HungUp;
                    }
                }
            }
            if lasts.is_over(begun, bytes) {
                break;
            }
        }
        Flooded::Taken
    })
}

#[test]
fn a_flood_of_requests_is_answered_or_cut_off_and_takes_no_memory() {
    // One large request uses up more than a second of this.
    let slow = setup().set("TACITLY_LIMITS__REQUESTS_PER_SECOND", 50);
    let stage = Stage::with(slow, mobiles(0..40), mobiles(20..60));
    let before = stage.peak_kib();
    let request = |id, body: &Bytes| Envelope::Request { id, service: "jobs".to_owned(), body: body.clone() };
    let [small, large] = [10, 900_000].map(|size| Bytes::from(vec![0xff; size]));
    for body in [small, large.clone()] {
        flood(&stage, Lasts::Seconds(2), true, |id| request(id, &body));
        stage.took_little(before);
    }
    let unread = flood(&stage, Lasts::BeyondAllWindows, false, |id| request(id, &large));
    assert_ne!(unread, Flooded::Taken, "a peer that reads no answer may ask without end");
    stage.took_little(before);
    stage.goes_on();
}

#[test]
fn a_flood_of_session_openings_and_endings_is_cut_off_and_takes_no_memory() {
    let stage = Stage::set();
    let before = stage.peak_kib();
    let session = |number: u64| {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&number.to_be_bytes());
        SessionTag(tag)
    };
    let open =
        |channel| Envelope::SessionOpen { session: session(channel), channel, window: Settings::default().window };
    let notice = Notice::new(Notice::ABANDONED, "");
    let end = |channel| Envelope::SessionEnd { session: session(channel), channel, notice: notice.clone() };
    flood(&stage, Lasts::Seconds(2), true, open);
    flood(&stage, Lasts::Seconds(2), false, end);
    let unread = flood(&stage, Lasts::BeyondAllWindows, false, open);
    assert_ne!(unread, Flooded::Taken, "a peer that reads no refusal may open without end");
    stage.took_little(before);
    stage.goes_on();
}

/// The review's third finding: 25 kB took 10.8 GB.
#[test]
fn a_file_that_unpacks_to_gigabytes_is_refused_at_once_and_takes_no_more_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let bank = Party::start(folder.path(), "bank", setup().set("TACITLY_LIMITS__MEMORY_MIB", 64)).unwrap();
    let add = |name: &str| {
        let (path, begun) = (folder.path().join(name).display().to_string(), Instant::now());
        let added = bank.tacitly(&["dataset", "add", "ids", &path, "--key", "mobile=raw", "--replace"]);
        let peak = bank.usage().unwrap().peak_rss_kib / 1024;
        assert!(peak <= 64 + 64, "{name}: {peak} MiB");
        (added, begun.elapsed())
    };
    let zeros = ByteArray::from(vec![0; 64 << 20]);
    parquet(&folder.path().join("zeros.parquet"), Encoding::PLAIN, &["a", "b", "c"], &[zeros]);
    let size = std::fs::metadata(folder.path().join("zeros.parquet")).unwrap().len();
    assert!(size < 25_000, "{size}");
    let (added, took) = add("zeros.parquet");
    let error = added.unwrap_err().to_string();
    assert!(error.contains("column \"a\"") && error.contains("`limits.memory_mib`"), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // A thousand values that each repeat the one before: 100 kB in the file, 100 MB side by side.
    let ids: Vec<_> = (0..1100).map(|row| ByteArray::from(format!("{}{row}", "x".repeat(100_000)).as_str())).collect();
    parquet(&folder.path().join("repeats.parquet"), Encoding::DELTA_BYTE_ARRAY, &["a"], &ids);
    let (added, _) = add("repeats.parquet");
    assert_eq!(added.unwrap()["rows"], 1100);
    // Footers that say nothing but names.
    let names: Vec<_> = (0..40_000).map(|at| format!("c{at}")).collect();
    for (columns, told) in [(14_000, None), (17_000, Some("more than 16384 columns")), (40_000, Some("footer"))] {
        parquet(&folder.path().join("wide.parquet"), Encoding::PLAIN, &names[..columns], &[]);
        let error = add("wide.parquet").0.err().map(|error| error.to_string());
        assert_eq!(error.is_some(), told.is_some(), "{error:?}");
        assert!(error.unwrap_or_default().contains(told.unwrap_or_default()));
    }
}

/// A Parquet file of text columns with the same values in each, and a column `mobile` of numbers.
fn parquet<N: AsRef<str>>(path: &Path, encoding: Encoding, names: &[N], values: &[ByteArray]) {
    let texts: String = names.iter().map(|name| format!("required binary {} (string); ", name.as_ref())).collect();
    let schema = parse_message_type(&format!("message rows {{ required int32 mobile; {texts} }}")).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .build();
    let properties = names.iter().fold(properties.into_builder(), |properties, name| {
        properties.set_column_encoding(name.as_ref().into(), encoding)
    });
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let numbers: Vec<_> = (0..values.len() as i32).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&numbers, None, None).unwrap();
    column.close().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        column.typed::<ByteArrayType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn a_limited_line_slows_a_job_and_changes_nothing_else() {
    // 1 MB a second each way, for 3 MB one way: the first second's worth goes at once.
    let slow = || setup().set("TACITLY_LIMITS__MEGABITS_PER_SECOND", 8);
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    for (bank, shop) in [(slow(), setup()), (setup(), slow())] {
        let mut pair = Pair::with(bank, shop);
        pair.datasets(&ours, &theirs);
        let began = Instant::now();
        let (job, rows) = pair.intersect().unwrap();
        assert_eq!(rows, semi_join(&ours, &theirs));
        assert_eq!(job["attempt"], 1, "the link stayed up");
        assert!(began.elapsed() > Duration::from_secs(1), "the limit was not kept: {:?}", began.elapsed());
    }
}

#[test]
fn a_peer_whose_clock_is_wrong_is_named_by_doctor_and_the_link_holds() {
    let stage = Stage::set();
    for (hours, words) in [(2, "s ahead of ours"), (-2, "s behind ours")] {
        let connected = stage.liar.stays(SignedDuration::from_hours(hours));
        let found = until(|| {
            let found = stage.bank.tacitly(&["doctor"]).ok()?;
            let clock = |found: &&Value| found["what"] == "clock" && found["level"] == "warn";
            found
                .as_array()?
                .iter()
                .filter(clock)
                .find(|found| found["text"].as_str().unwrap().contains(words))
                .cloned()
        });
        let found = found.expect("doctor did not see the clock");
        let text = found["text"].as_str().unwrap();
        let seconds = text.split(' ').find_map(|word| word.parse::<u64>().ok());
        // The greeting takes a moment.
        assert!(text.contains(NAME) && seconds.is_some_and(|seconds| (7190..=7210).contains(&seconds)), "{found}");
        assert!(!found["hint"].as_str().unwrap().is_empty());
        assert_eq!(stage.bank.tacitly(&["peer", "list"]).unwrap()[0]["link_up"], true);
        connected.abort();
    }
    stage.goes_on();
}
