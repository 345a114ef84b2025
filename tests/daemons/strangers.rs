//! Who comes to a daemon's port: strangers, expired certificates, other versions, other protocols. Each is sent away by
//! name, and the daemon does the next job as if nothing had been.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tacitly::session::{LinkError, LinkState, Network};
use tacitly::test_bed::{PATIENCE, Party, await_link};
use tacitly::transport::{
    Application, Inbox, Inviter, Pace, PeerDirectory as _, Pending, Refusal, Settings, TlsAlert, TlsIdentity,
    Transport, WireRange,
};
use tacitly_core::PartyId;
use tokio::io::AsyncReadExt as _;

use crate::support::heard::fresh_identity;
use crate::support::liar::{Liar, NAME};
use crate::support::setup;
use crate::support::stage::Stage;

#[test]
fn a_stranger_is_refused_by_name_also_while_an_invitation_is_open() {
    let stage = Stage::set();
    let stranger: PartyId = "stranger".parse().unwrap();
    for claimed in [stranger, stage.liar.me] {
        let transport = stage.liar.transport(fresh_identity(claimed));
        let refused = stage.liar.runtime.block_on(transport.dial(stage.liar.victim)).err().unwrap();
        let alert = LinkError::RefusedByPeer { peer: stage.liar.victim, alert: TlsAlert::UnknownPin };
        assert_eq!(refused, alert);
        stage.logs(&format!("is not pinned for {claimed}"));
    }
    // Whoever holds an invitation may enrol, and do nothing else.
    stage.bank.invite("stranger").unwrap();
    let transport = stage.liar.transport(fresh_identity(stranger));
    stage.liar.runtime.block_on(async {
        match transport.dial(stage.liar.victim).await {
            Err(_) => {}
            Ok(mut connection) => assert!(connection.receive().await.is_err(), "a stranger was let in"),
        }
    });
    assert_eq!(stage.bank.tacitly(&["peer", "list"]).unwrap().as_array().unwrap().len(), 1);
    stage.goes_on();
}

/// The review's thirteenth finding.
#[test]
fn silent_sockets_of_one_address_keep_nobody_else_waiting() {
    let stage = Stage::set();
    let to = stage.liar.address;
    stage.liar.runtime.block_on(async {
        let mut silent = Vec::new();
        for _ in 0..400 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            silent.push(socket.connect(to).await.unwrap());
        }
        // All but a few are sent away at once, and those that stay say nothing for three seconds at most.
        let begun = Instant::now();
        for socket in &mut silent {
            let closed = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 1])).await;
            assert!(!matches!(closed, Ok(Ok(1..)) | Err(_)), "{closed:?} after {:?}", begun.elapsed());
        }
    });
    stage.goes_on();
}

/// Calls that go to `to` from another address of this machine, and of which that end is kept open for ever.
async fn hog(to: SocketAddr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let far = socket.connect(to).await.unwrap();
            tokio::spawn(async move {
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
                let there = async { tokio::io::copy(&mut near_in, &mut far_out).await };
                let back = async { tokio::io::copy(&mut far_in, &mut near_out).await };
                let _both = tokio::join!(there, back);
                std::future::pending::<()>().await;
                drop((far_in, far_out));
            });
        }
    });
    address
}

/// The seventh of the faults that a chaos run found, with an invitation open.
#[test]
fn a_stranger_that_holds_places_and_guesses_tokens_keeps_nobody_from_joining_and_fills_no_log() {
    let stage = Stage::set();
    let code = stage.bank.invite("shop").unwrap();
    let stranger: PartyId = "stranger".parse().unwrap();
    let identity = fresh_identity(stranger);
    let transport = stage.liar.transport(identity);
    stage.liar.runtime.block_on(async {
        let address = hog(stage.liar.address).await.to_string();
        let pin = stage.liar.roster.pins(stage.liar.victim)[0];
        let inviter = Inviter { party: stage.liar.victim, address, pin, proxy: None };
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (transport, inviter) = (transport.clone(), inviter.clone());
            let [identity_key, signature] = [Bytes::new(), Bytes::new()];
            let application = Application { token: vec![7; 32].into(), identity_key, address: None, signature };
            guesses.spawn(async move { transport.enrol(&inviter, application).await });
        }
        assert!(guesses.join_all().await.iter().all(Result::is_err), "a guess was let in");
    });
    let shop = Party::start(stage.folder.path(), "shop", setup()).unwrap();
    shop.tacitly(&["peer", "join", &code]).unwrap();
    await_link(&stage.bank, &shop).unwrap();
    let log = stage.bank.log();
    let lines = log.lines().filter(|line| line.contains(" WARN ") && line.contains("127.0.0.2")).count();
    assert!((1..=8).contains(&lines), "{lines} lines:\n{log}");
    stage.goes_on();
}

#[test]
fn an_expired_certificate_of_a_pinned_key_is_refused_by_name_and_date() {
    let stage = Stage::set();
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let transport = stage.liar.transport(expired(&stage.liar, yesterday));
    let refused = stage.liar.runtime.block_on(transport.dial(stage.liar.victim)).err().unwrap();
    let alert = LinkError::RefusedByPeer { peer: stage.liar.victim, alert: TlsAlert::OutOfTime };
    assert_eq!(refused, alert);
    let on = jiff::Timestamp::from_second(yesterday.as_second()).unwrap();
    let words = Refusal::Expired { party: stage.liar.me, on }.to_string();
    assert!(words.contains("expired on") && words.contains(NAME), "{words}");
    assert_eq!(stage.link_detail("expired"), words);
    stage.logs(&words);
    stage.goes_on();
}

/// A certificate over the liar's pinned key whose time is over.
fn expired(liar: &Liar, not_after: jiff::Timestamp) -> TlsIdentity {
    let key = rcgen::KeyPair::from_pem(&liar.key).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![format!("{NAME}.party.tacitly")]).unwrap();
    let at = |second: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(second).unwrap());
    params.not_before = at(not_after.as_second() - 86_400);
    params.not_after = at(not_after.as_second());
    let certificate = params.self_signed(&key).unwrap().pem();
    TlsIdentity::from_pem(&certificate, &liar.key).unwrap()
}

/// An inbox that nobody needs.
struct Nobody;

impl Inbox for Nobody {
    fn pace(&self, _: &str) -> Option<Pace> {
        None
    }

    fn request(&self, _: PartyId, _: &str, _: Bytes) -> Pending<'_, Bytes> {
        Box::pin(async { Bytes::new() })
    }
}

#[test]
fn a_wire_version_that_is_not_ours_is_named_with_both_versions_on_both_sides() {
    let stage = Stage::set();
    let (network, theirs) = stage.liar.runtime.block_on(async {
        let settings = Settings {
            wire: WireRange { oldest: 9, newest: 9 },
            software: "mallory 9.0.0".to_owned(),
            ..Settings::default()
        };
        let transport = Arc::new(stage.liar.transport(stage.liar.identity()));
        let network = Network::start(transport, stage.liar.roster.clone(), Arc::new(Nobody), settings).unwrap();
        let mut links = network.links();
        let refused = |state: &LinkState| matches!(state, LinkState::Down { reason: LinkError::Version { .. }, .. });
        let down = links.wait_for(|links| links.get(&stage.liar.victim).is_some_and(refused));
        let links = tokio::time::timeout(PATIENCE, down).await.expect("no word of versions").unwrap();
        let LinkState::Down { reason, .. } = links[&stage.liar.victim].clone() else { unreachable!() };
        drop(links);
        (network, reason.to_string())
    });
    assert!(theirs.contains("speaks wire version 1, we") && theirs.contains("speak 9;"), "{theirs}");
    let ours = stage.link_detail("wire version");
    assert!(ours.contains("speaks wire version 9, we") && ours.contains("speak 1;"), "{ours}");
    assert!(ours.contains("mallory 9.0.0"), "{ours}");
    // Not earlier: a call that is broken off would be shown in its place.
    stage.liar.runtime.block_on(network.shutdown(Duration::ZERO));
    stage.goes_on();
}

#[test]
fn a_caller_with_tls_1_2_is_refused() {
    let stage = Stage::set();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "bank.party.tacitly".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = TcpStream::connect(stage.liar.address).unwrap();
    let error = tls.complete_io(&mut tcp).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    stage.logs("it offers no TLS 1.3");
    stage.goes_on();
}

#[test]
fn garbage_on_the_port_is_sent_away() {
    let stage = Stage::set();
    let noise: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // A record of TLS that announces more than it holds.
    let torn = [&[0x16, 3, 1, 0x3f, 0xff, 1][..], &[0; 64]].concat();
    for garbage in [&noise[..], b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n", &[0; 5000], &torn] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(stage.liar.address).unwrap();
            // It may hang up before it has all of it.
            let _sent = stream.write_all(garbage).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut rest = Vec::new();
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was not sent away: {error}");
            }
        }
    }
    stage.logs("it does not speak TLS");
    stage.goes_on();
}
