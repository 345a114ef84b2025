//! What changes under running work: a rule, a certificate, a peer's key.

use std::fs;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tacitly::peers::{ReadInvitation, read_invitation};
use tacitly::store::{FileSigner, Signer};
use tacitly::test_bed::{Party, await_link, until};
use tacitly::transport::{
    Application, Enroller, Grpc, Pending, Pin, Roster, Settings, TlsIdentity, Transport, Welcome,
};
use tacitly_core::PartyId;

use crate::support::heard::fresh_identity;
use crate::support::liar::{Liar, NAME};
use crate::support::stage::Stage;
use crate::support::{Pair, SUBMIT, mobiles, numbers, semi_join, setup};

#[test]
fn a_rule_taken_away_in_the_middle_of_a_job_ends_it_on_both_sides_and_nothing_is_received() {
    let patient = || setup().set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 60);
    let (mut pair, cable) = Pair::with_cable(patient(), patient());
    pair.datasets(&mobiles(0..30_000), &mobiles(15_000..45_000));
    cable.cut_after(300_000);
    std::thread::scope(|scope| {
        let job = scope.spawn(|| pair.intersect());
        until(|| cable.is_cut().then_some(())).expect("the job did not get as far as the cut");
        pair.shop.tacitly(&["dataset", "deny", "ids", "bank"]).unwrap();
        let there = Pair::await_state(&pair.shop, &["failed"]);
        assert_eq!(there["failure"]["code"], "refused-no-rule", "{there}");
        cable.mend();
        assert!(job.join().unwrap().is_err(), "a result was written");
    });
    let here = Pair::await_state(&pair.bank, &["failed"]);
    assert_eq!(here["failure"]["code"], "refused-no-rule", "{here}");
    assert_eq!(here["failure"]["who"], "shop", "{here}");
    assert_eq!(here["result_items"], serde_json::Value::Null, "{here}");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank"]).unwrap();
    assert_eq!(pair.intersect().unwrap().1.len(), 15_000, "the next job is a job like any other");
}

#[test]
fn a_rule_that_still_allows_a_job_leaves_it_alone_and_one_that_does_not_ends_what_waits_for_approval() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    let submit = || pair.bank.tacitly(&SUBMIT).unwrap();
    let (kept, ended) = (submit(), submit());
    until(|| (pair.shop.tacitly(&["job", "list"]).ok()?.as_array()?.len() == 2).then_some(())).unwrap();
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual", "--per-day", "1"]).unwrap();
    let id = kept["id"].as_str().unwrap();
    pair.shop.tacitly(&["approve", id]).unwrap();
    let done = until(|| {
        let job = pair.bank.tacitly(&["job", "show", id]).ok()?;
        (job["state"] == "done").then_some(job)
    });
    assert_eq!(done.expect("the approved job is done")["result_items"], 100);
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual", "--kinds", "cardinality"]).unwrap();
    let id = ended["id"].as_str().unwrap();
    let refused = until(|| {
        let job = pair.bank.tacitly(&["job", "show", id]).ok()?;
        (job["state"] == "refused").then_some(job)
    });
    assert_eq!(refused.expect("the waiting job is refused")["failure"]["code"], "refused-by-rule");
}

#[test]
fn what_waits_for_approval_keeps_its_data_and_jobs_whose_keys_differ_are_nobodys_to_approve() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    let path = pair.file("shop.csv").display().to_string();
    let register_raw = || pair.shop.tacitly(&["dataset", "add", "ids", &path, "--key", "phone=raw", "--replace"]);
    let submit = || pair.bank.tacitly(&SUBMIT).unwrap()["id"].as_str().unwrap().to_owned();
    let id = submit();
    Pair::await_state(&pair.shop, &["proposed"]);
    assert_eq!(register_raw().unwrap_err().code(), "dataset-in-use");
    pair.shop.tacitly(&["approve", &id]).unwrap();
    assert_eq!(Pair::await_state(&pair.bank, &["done"])["result_items"], 100);
    Pair::await_state(&pair.shop, &["done"]);

    register_raw().unwrap();
    let id = submit();
    let refused = until(|| {
        let job = pair.shop.tacitly(&["job", "show", &id]).ok()?;
        (job["state"] == "refused").then_some(job)
    });
    assert_eq!(refused.expect("the job is refused")["failure"]["code"], "terms-differ");
    assert_eq!(pair.shop.tacitly(&["approve", &id]).unwrap_err().code(), "job-state");
}

#[test]
fn a_certificate_swapped_under_a_running_daemon_is_seen_by_doctor_and_refused_by_name_after_the_restart() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    let files = ["tls.key", "tls.crt"];
    for name in files {
        fs::rename(pair.bank.home.join(name), pair.file(name)).unwrap();
    }
    write_identity(&pair.bank, &fresh_identity("bank".parse().unwrap()));
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs), "work goes on with the certificate in use");
    let found = pair.bank.tacitly(&["doctor"]).unwrap();
    let swapped = |found: &serde_json::Value| {
        let text = found["text"].as_str().unwrap_or_default();
        found["level"] == "warn" && text.contains("not the one the daemon uses")
    };
    assert!(found.as_array().unwrap().iter().any(swapped), "doctor did not see the swap: {found}");

    pair.bank.stop();
    pair.bank.serve().unwrap();
    let refused = until(|| {
        let detail = pair.bank.tacitly(&["peer", "list"]).ok()?[0]["link_detail"].as_str()?.to_owned();
        detail.contains("shop refused our certificate").then_some(())
    });
    assert!(refused.is_some(), "{}", pair.bank.tacitly(&["peer", "list"]).unwrap());
    pair.bank.stop();
    for name in files {
        fs::rename(pair.file(name), pair.bank.home.join(name)).unwrap();
    }
    pair.bank.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));
}

fn write_identity(party: &Party, identity: &TlsIdentity) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let private = |name: &str, text: &str| {
        let path = party.home.join(name);
        let _replaced = fs::remove_file(&path);
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    private("tls.key", identity.key_pem());
    private("tls.crt", identity.certificate_pem());
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning_in_status_and_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let no_warnings = bank.tacitly(&["status"]).unwrap()["warnings"].clone();
    assert_eq!(no_warnings.as_array().unwrap().len(), 0, "{no_warnings}");
    bank.stop();
    let now = Timestamp::now();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let soon =
        TlsIdentity::generate("bank".parse().unwrap(), now - days(1), now + days(20) + SignedDuration::from_hours(12))
            .unwrap();
    write_identity(&bank, &soon);
    bank.serve().unwrap();
    let status = bank.tacitly(&["status"]).unwrap();
    let warning = status["warnings"][0].as_str().unwrap();
    assert!(warning.contains("expires in 20 days") && warning.contains("identity rotate"), "{warning}");
    let found = bank.tacitly(&["doctor"]).unwrap();
    let found = found.as_array().unwrap().iter().find(|found| found["what"] == "certificate").unwrap();
    assert_eq!(found["level"], "warn", "{found}");
}

#[test]
fn a_forced_rotation_locks_out_whom_it_could_not_tell_until_it_joins_again() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    pair.shop.stop();
    let rotated = pair.bank.tacitly(&["identity", "rotate", "--force"]).unwrap();
    assert_eq!(rotated["untold"], serde_json::json!(["shop"]));
    pair.shop.serve().unwrap();
    let locked_out = until(|| {
        let peers = pair.shop.tacitly(&["peer", "list"]).ok()?;
        let detail = peers[0]["link_detail"].as_str()?;
        (peers[0]["link_up"] == false && detail.contains("not pinned for bank")).then_some(())
    });
    assert!(locked_out.is_some(), "{}", pair.shop.tacitly(&["peer", "list"]).unwrap());
    let code = pair.bank.invite("shop").unwrap();
    pair.shop.tacitly(&["peer", "join", &code]).unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));
}

#[test]
fn an_invitation_makes_a_new_peer_and_never_another_one_in_the_place_of_a_peer() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    let liar = Liar::join(&pair.bank, pair.folder.path());
    let shop = "shop".parse().unwrap();
    let invitation = |name: &str| read_invitation(&pair.bank.invite(name).unwrap()).unwrap();
    let ReadInvitation { inviter, token, .. } = invitation("shop");
    let identity = fresh_identity(shop);
    let application = liar.application(shop, token, identity.pin());
    let refused = liar.runtime.block_on(liar.transport(identity).enrol(&inviter, application)).unwrap_err();
    assert!(refused.to_string().contains("invitation"), "{refused}");
    // Nor with a signing key that is somebody else's.
    let identity = fresh_identity(liar.me);
    let token = invitation(liar.me.as_str()).token;
    let mut application = liar.application(liar.me, token, identity.pin());
    let key = pair.shop.tacitly(&["identity", "show"]).unwrap()["key"].as_str().unwrap().to_owned();
    application.identity_key = key.into();
    let refused = liar.runtime.block_on(liar.transport(identity).enrol(&inviter, application)).unwrap_err();
    assert!(refused.to_string().contains("invitation"), "{refused}");
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));
}

#[test]
fn a_code_of_somebody_else_with_a_peers_name_is_refused_until_the_peer_is_removed() {
    let pair = Pair::start();
    let elsewhere = pair.folder.path().join("elsewhere");
    let other = Party::start(&elsewhere, "shop", setup()).unwrap();
    let pinned = |key: &str| {
        let peers = pair.bank.tacitly(&["peer", "list"]).unwrap();
        peers.as_array().unwrap().iter().any(|peer| peer["party"] == "shop" && peer["key"] == key)
    };
    let key = |party: &Party| party.tacitly(&["identity", "show"]).unwrap()["key"].as_str().unwrap().to_owned();
    let code = || other.invite("bank").unwrap();
    let refused = pair.bank.tacitly(&["peer", "join", &code()]).unwrap_err();
    assert_eq!(refused.code(), "invitation", "{refused}");
    assert!(refused.to_string().contains("tacitly peer remove shop"), "{refused}");
    assert!(pinned(&key(&pair.shop)), "the peer keeps its key");
    await_link(&pair.bank, &pair.shop).unwrap();
    // The peer itself comes back with a code of its own, as ever.
    let again = pair.shop.invite("bank").unwrap();
    pair.bank.tacitly(&["peer", "join", &again]).unwrap();

    pair.bank.tacitly(&["peer", "remove", "shop"]).unwrap();
    pair.bank.tacitly(&["peer", "join", &code()]).unwrap();
    assert!(pinned(&key(&other)));
    await_link(&pair.bank, &other).unwrap();
}

/// Says to whoever joins that its signing key is this one, and signs with another.
struct Pretender {
    key: String,
    signer: FileSigner,
}

impl Enroller for Pretender {
    fn enrol(&self, _: PartyId, _: Pin, _: Application) -> Pending<'_, Result<Welcome, &'static str>> {
        let signature = self.signer.sign("tacitly welcome 1", b"anything").unwrap().to_string();
        let welcome = Welcome { identity_key: self.key.clone().into(), signature: signature.into() };
        Box::pin(async move { Ok(welcome) })
    }
}

#[test]
fn a_code_of_somebody_who_only_names_the_peers_signing_key_pins_nothing() {
    let pair = Pair::start();
    let shop: PartyId = "shop".parse().unwrap();
    let key = pair.shop.tacitly(&["identity", "show"]).unwrap()["key"].as_str().unwrap().to_owned();
    let signer = FileSigner::create(&pair.folder.path().join("pretender.key")).unwrap();
    let (identity, roster) = (fresh_identity(shop), Arc::new(Roster::new()));
    let pin = identity.pin();
    roster.admit_strangers(true);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pretender = Grpc::new(identity, roster, Some(Arc::new(Pretender { key, signer })), Settings::default());
    let address = runtime.block_on(pretender.listen("127.0.0.1:0".parse().unwrap())).unwrap();
    let code = serde_json::json!({
        "party": "shop", "invited": "bank", "address": address.to_string(), "pin": pin.to_string(),
        "token": BASE64URL_NOPAD.encode(&[7; 16]),
    });
    let code = code.to_string().into_bytes();
    let code = [&code[..], &Sha256::digest(&code)[..4]].concat();
    let code = format!("tacitly2-{}", BASE64URL_NOPAD.encode(&code));
    let refused = pair.bank.tacitly(&["peer", "join", &code]).unwrap_err();
    assert_eq!(refused.code(), "invitation", "{refused}");
    assert!(refused.to_string().contains("does not hold the signing key"), "{refused}");
    await_link(&pair.bank, &pair.shop).unwrap();
}

#[test]
fn a_new_pin_counts_only_with_the_peers_signature_and_an_ended_one_never_again() {
    let stage = Stage::set();
    let (first, second) = (stage.liar.identity(), fresh_identity(stage.liar.me));
    let enters = |identity: TlsIdentity| {
        let transport = stage.liar.transport(identity);
        stage.liar.runtime.block_on(transport.dial(stage.liar.victim)).is_ok()
    };
    let copy = |identity: &TlsIdentity| TlsIdentity::from_pem(identity.certificate_pem(), identity.key_pem()).unwrap();
    let pin = second.pin().to_string();
    let says = |identity: &TlsIdentity, context: &str, pin: &str, replaces: bool| {
        stage.liar.put(copy(identity), [stage.liar.rotation(context, pin, replaces)]).remove(0)
    };

    assert_eq!(says(&first, "something else", &pin, false), None, "a signature for other words");
    assert_eq!(says(&first, PIN, "spki-sha256:00", false), None, "no pin at all");
    assert!(!enters(copy(&second)), "a pin was noted without a good signature");

    assert!(says(&first, PIN, &pin, true).is_some());
    assert!(enters(copy(&second)));
    // The grace of the first pin is none: it has ended.
    let ended = until(|| (!enters(copy(&first))).then_some(()));
    assert!(ended.is_some(), "the old pin still opens");
    assert_eq!(says(&second, PIN, &first.pin().to_string(), true), None, "an ended pin came back");
    assert!(!enters(copy(&first)));

    let many = (0..=MOST_PINS).map(|at| stage.liar.rotation(PIN, &format!("spki-sha256:{at:064x}"), false));
    let answers = stage.liar.put(copy(&second), many);
    assert!(answers.iter().any(Option::is_none), "{NAME} may pin without end");
}

/// What a signature under a pin is made for.
const PIN: &str = "tacitly tls pin 1";
/// More pins than a peer may have.
const MOST_PINS: usize = 256;

#[test]
fn a_cancelled_job_ends_on_both_sides_and_one_that_a_stop_cuts_off_is_done_after_the_next_start() {
    let (mut pair, cable) = Pair::with_cable(setup().set("TACITLY_LIMITS__DRAIN_SECONDS", 1), setup());
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    pair.datasets(&ours, &theirs);
    let begin = || {
        cable.hold_after(200_000);
        let job = pair.bank.tacitly(&SUBMIT).unwrap();
        cable.await_hold();
        job["id"].as_str().unwrap().to_owned()
    };
    let id = begin();
    pair.shop.tacitly(&["job", "cancel", &id]).unwrap();
    cable.release();
    for party in [&pair.shop, &pair.bank] {
        let over = until(|| (party.tacitly(&["job", "show", &id]).ok()?["state"] == "cancelled").then_some(()));
        assert!(over.is_some(), "{}: {}", party.name, party.tacitly(&["job", "show", &id]).unwrap());
    }

    let id = begin();
    assert_eq!(pair.bank.stop(), Some(0), "it waits for no job longer than it was told to");
    cable.release();
    pair.bank.serve().unwrap();
    let done = until(|| {
        let job = pair.bank.tacitly(&["job", "show", &id]).ok()?;
        match job["state"].as_str()? {
            "done" => Some(()),
            "suspended" => {
                let _another_side_may_have_resumed = pair.bank.tacitly(&["job", "resume", &id]);
                None
            }
            _ => None,
        }
    });
    done.expect("the job that was drained is taken up and done");
    let out = pair.file("out.csv").display().to_string();
    pair.bank.tacitly(&["job", "result", &id, "--out", &out]).unwrap();
    assert_eq!(numbers(&pair.file("out.csv")), semi_join(&ours, &theirs));
}
