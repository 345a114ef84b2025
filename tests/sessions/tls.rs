//! Parties on loopback, with certificates, over real sockets: who may connect, and what becomes of those who may not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacitly::session::{Absence, Ended, LinkError, Network, Options, Settings, drive};
use tacitly::transport::{
    Application, BootId, EnrolError, Enroller, Entry, Envelope, Grpc, Hello, Inviter, Lane, Pending, Pin, Refusal,
    Roster, TlsAlert, TlsIdentity, Transport, Welcome, WireRange,
};
use tacitly_core::{Frame, PartyId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::site::{PATIENCE, Site, brisk, exchange, exchanges, identity, in_days, pair};
use crate::support::{Bulk, id, link_is, tag, up};

#[tokio::test]
async fn either_side_dials_and_both_can_ask_and_exchange() {
    let (a, b) = pair().await;
    exchanges(&a.network, &b.network, "s").await;
    exchanges(&b.network, &a.network, "t").await;
    for (asker, other) in [(&a, &b), (&b, &a)] {
        let asked = asker.network.request(other.network.me(), "echo", "hello".into(), PATIENCE).await;
        assert_eq!(asked.unwrap(), format!("{}: hello", asker.network.me()));
    }
}

#[tokio::test]
async fn both_sides_dial_at_once_and_settle_on_one_connection() {
    let patient = || Settings { heartbeat: Duration::from_secs(5), ..brisk() };
    let (a, b) = (Site::new(identity("a"), patient()), Site::new(identity("b"), patient()));
    let (at_a, at_b) = (a.listen().await, b.listen().await);
    a.knows("b", &[b.pin], Some(at_b));
    b.knows("a", &[a.pin], Some(at_a));
    exchanges(&a.network, &b.network, "s").await;
    let since = |site: &Site, peer: &str| site.network.links().borrow()[&id(peer)].clone();
    let mut last = (since(&a, "b"), since(&b, "a"));
    let settles = async {
        loop {
            sleep(Duration::from_millis(1500)).await;
            let before = std::mem::replace(&mut last, (since(&a, "b"), since(&b, "a")));
            if before == last && last.0.is_up() && last.1.is_up() {
                break;
            }
        }
    };
    timeout(PATIENCE, settles).await.expect("the link flaps");
}

#[tokio::test]
async fn a_key_that_is_not_pinned_is_refused_by_name_on_both_sides() {
    let (a, b) = (Site::named("a"), Site::named("b"));
    let other = identity("b").pin();
    a.knows("b", &[other], None);
    b.knows("a", &[a.pin], Some(a.listen().await));
    let alert = LinkError::RefusedByPeer { peer: id("a"), alert: TlsAlert::UnknownPin };
    b.is_down("a", |reason| *reason == alert).await;
    let refused = LinkError::Refused(Refusal::UnknownPin { party: id("b"), pin: b.pin }).to_string();
    a.has_refused(&refused).await;

    let c = Site::named("c");
    c.knows("a", &[other], Some(a.listen().await));
    c.is_down("a", |reason| matches!(reason, LinkError::Refused(Refusal::UnknownPin { pin, .. }) if *pin == a.pin))
        .await;
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_by_name_and_date_on_both_sides() {
    let expired = || TlsIdentity::generate(id("b"), in_days(-30), in_days(-10)).unwrap();
    let early = || TlsIdentity::generate(id("b"), in_days(10), in_days(30)).unwrap();
    for (identity, is_expired) in [(expired(), true), (early(), false)] {
        let day = if is_expired { in_days(-10) } else { in_days(10) }.strftime("%Y-%m-%d").to_string();
        let is_named = |reason: &LinkError| match reason {
            LinkError::Refused(Refusal::Expired { party, .. }) => is_expired && *party == id("b"),
            LinkError::Refused(Refusal::NotYetValid { party, .. }) => !is_expired && *party == id("b"),
            _ => false,
        } && reason.to_string().contains(&day);
        // It dials.
        let (a, b) = (Site::named("a"), Site::new(identity, brisk()));
        let at_b = b.listen().await;
        a.knows("b", &[b.pin], None);
        b.knows("a", &[a.pin], Some(a.listen().await));
        a.is_down("b", is_named).await;
        let alert = LinkError::RefusedByPeer { peer: id("a"), alert: TlsAlert::OutOfTime };
        b.is_down("a", |reason| *reason == alert).await;
        // It is dialled.
        let c = Site::named("c");
        c.knows("b", &[b.pin], Some(at_b));
        c.is_down("b", is_named).await;
    }
}

#[tokio::test]
async fn a_certificate_with_another_name_than_its_key_is_pinned_for_is_refused_on_both_sides() {
    let (a, c) = (Site::named("a"), Site::named("c"));
    a.knows("b", &[c.pin], None);
    c.knows("a", &[a.pin], Some(a.listen().await));
    let wrong = LinkError::Refused(Refusal::WrongName { expected: id("b"), found: id("c") });
    a.is_down("b", |reason| *reason == wrong).await;
    let alert = LinkError::RefusedByPeer { peer: id("a"), alert: TlsAlert::WrongName };
    c.is_down("a", |reason| *reason == alert).await;

    let d = Site::named("d");
    d.knows("b", &[c.pin], Some(c.listen().await));
    d.is_down("b", |reason| *reason == wrong).await;
}

/// A TLS client that knows no rules.
async fn knock(address: SocketAddr, version: &'static rustls::SupportedProtocolVersion) -> std::io::Result<Vec<u8>> {
    #[derive(Debug)]
    struct Trusting;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    impl ServerCertVerifier for Trusting {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await?;
    let name = "a.party.tacitly".try_into().unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let mut first = vec![0; 64];
    let count = tls.read(&mut first).await?;
    first.truncate(count);
    Ok(first)
}

#[tokio::test]
async fn tls_1_2_and_callers_without_a_certificate_are_refused() {
    let a = Site::named("a");
    let address = a.listen().await;
    let error = knock(address, &rustls::version::TLS12).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let error = knock(address, &rustls::version::TLS13).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    a.has_refused("it offers no TLS 1.3").await;
}

#[tokio::test]
async fn callers_that_speak_no_tls_or_say_nothing_are_sent_away() {
    let a = Site::new(identity("a"), Settings { greeting_window: Duration::from_secs(1), ..brisk() });
    let address = a.listen().await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    for stream in [&mut plain, &mut silent] {
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it was not sent away");
    }
    a.has_refused("it does not speak TLS").await;
}

#[tokio::test]
async fn wire_versions_that_do_not_meet_are_named_on_both_sides() {
    let (a, b) =
        (Site::named("a"), Site::new(identity("b"), Settings { wire: WireRange { oldest: 7, newest: 9 }, ..brisk() }));
    a.knows("b", &[b.pin], None);
    b.knows("a", &[a.pin], Some(a.listen().await));
    a.is_down("b", |reason| reason.to_string().contains("speaks wire version 7 to 9, we")).await;
    b.is_down("a", |reason| reason.to_string().contains("speaks wire version 1, we")).await;
}

#[tokio::test]
async fn a_process_that_is_killed_and_started_again_ends_its_old_sessions_at_once_and_runs_new_ones() {
    let a = Site::named("a");
    let address = a.listen().await;
    let first = identity("b");
    let (certificate, key) = (first.certificate_pem().to_owned(), first.key_pem().to_string());
    a.knows("b", &[first.pin()], None);
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let a_pin = a.pin;
    let b = process.spawn(async move {
        let b = Site::new(first, brisk());
        b.knows("a", &[a_pin], Some(address));
        b
    });
    let b = b.await.unwrap();
    up(&a.network, "b").await;
    let at_b = b.network.open(id("a"), tag("s")).unwrap();
    let at_a = a.network.open(id("b"), tag("s")).unwrap();
    let party = Bulk::new(id("b"), tag("s"), 1, 1, 10);
    let running = tokio::spawn(drive(Box::new(party), vec![at_a], Options::default()));
    sleep(Duration::from_millis(200)).await;
    process.shutdown_background();
    link_is(&a.network, "b", |state| !state.is_up()).await;
    let again = Site::new(TlsIdentity::from_pem(&certificate, &key).unwrap(), brisk());
    again.knows("a", &[a.pin], Some(address));
    let ended = timeout(PATIENCE, running).await.expect("it did not end").unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Stalled { cause: Absence::PeerRestarted, .. }), "{ended}");
    exchanges(&a.network, &again.network, "t").await;
    drop((b, at_b));
}

#[tokio::test]
async fn an_identity_is_rotated_without_restart_and_the_old_key_is_worth_nothing_afterwards() {
    let (a, b) = pair().await;
    let old = b.pin;
    let next = identity("b");
    let new = next.pin();
    a.knows("b", &[old, new], None);
    assert!(b.grpc.replace_identity(identity("c")).is_err(), "another party's identity");
    b.grpc.replace_identity(next).unwrap();
    exchanges(&a.network, &b.network, "still on the old connection").await;
    a.knows("b", &[new], None);
    a.is_down("b", |reason| matches!(reason, LinkError::Withdrawn { .. })).await;
    up(&a.network, "b").await;
    exchanges(&a.network, &b.network, "on the new key").await;
    a.knows("b", &[old], None);
    b.is_down("a", |reason| matches!(reason, LinkError::RefusedByPeer { alert: TlsAlert::UnknownPin, .. })).await;
}

#[tokio::test]
async fn envelopes_beyond_their_bounds_are_refused_before_they_fill_memory() {
    for (size, rule) in [(Frame::MAX_BODY + 1, "frame-size"), (2 * Frame::MAX_BODY, "envelope-size")] {
        let patient = Settings { heartbeat: Duration::from_secs(5), ..brisk() };
        let (a, mallory) = (Site::new(identity("a"), patient), identity("mallory"));
        a.knows("mallory", &[mallory.pin()], None);
        let roster = Arc::new(Roster::new());
        let address = Some(a.listen().await.to_string());
        roster.set(id("a"), Entry { pins: vec![a.pin], address, proxy: None });
        let transport = Grpc::new(mallory, roster, None, brisk());
        let mut connection = transport.dial(id("a")).await.unwrap();
        let hello = Hello {
            wire: WireRange::OURS,
            features: Default::default(),
            software: String::new(),
            party: id("mallory"),
            boot: BootId([1; 16]),
            connection: 1,
            lost: 0,
            lane: Lane::ONLY,
            clock: None,
        };
        connection.send(Envelope::Hello(hello)).await.unwrap();
        up(&a.network, "mallory").await;
        let frame = Frame { session: tag("s"), sequence: 0, body: vec![0; size].into() };
        connection.send(Envelope::SessionFrame { channel: 1, frame, consumed: 0 }).await.unwrap();
        let wanted = LinkError::Violation { peer: id("mallory"), rule };
        a.is_down("mallory", |reason| *reason == wanted).await;
    }
}

/// Admits whoever knows the word, and remembers the key.
struct Doorkeeper {
    admitted: Mutex<Vec<(PartyId, Pin)>>,
}

impl Enroller for Doorkeeper {
    fn enrol(&self, party: PartyId, pin: Pin, application: Application) -> Pending<'_, Result<Welcome, &'static str>> {
        Box::pin(async move {
            if application.token != "sesame" {
                return Err("unknown-token");
            }
            assert_eq!(application.identity_key, "ed25519:joiner");
            assert_eq!(application.address.as_deref(), Some("joiner:7443"));
            self.admitted.lock().unwrap().push((party, pin));
            Ok(Welcome { identity_key: "ed25519:inviter".into(), signature: "ed25519:welcome".into() })
        })
    }
}

#[tokio::test]
async fn a_stranger_with_an_invitation_enrols_and_may_do_nothing_else() {
    let doorkeeper = Arc::new(Doorkeeper { admitted: Mutex::default() });
    let a = Site::with_enroller(identity("a"), brisk(), Some(doorkeeper.clone()));
    let b = Site::named("b");
    let address = a.listen().await;
    let inviter = Inviter { party: id("a"), address: address.to_string(), proxy: None, pin: a.pin };
    let application = |token: &'static str| Application {
        token: token.into(),
        identity_key: "ed25519:joiner".into(),
        address: Some("joiner:7443".to_owned()),
        signature: "ed25519:signed".into(),
    };
    let closed = b.grpc.enrol(&inviter, application("sesame")).await.unwrap_err();
    let alert = LinkError::RefusedByPeer { peer: id("a"), alert: TlsAlert::UnknownPin };
    assert_eq!(closed, EnrolError::Link(alert), "no invitation is open");

    a.roster.admit_strangers(true);
    let refused = b.grpc.enrol(&inviter, application("guess")).await.unwrap_err();
    assert_eq!(refused, EnrolError::Refused { inviter: id("a"), code: "unknown-token".to_owned() });
    b.knows("a", &[a.pin], Some(address));
    b.is_down("a", |reason| reason.to_string().contains("enrol first")).await;
    assert!(!a.network.links().borrow().contains_key(&id("b")));

    let welcome = b.grpc.enrol(&inviter, application("sesame")).await.unwrap();
    assert_eq!(welcome.identity_key, "ed25519:inviter");
    assert_eq!(*doorkeeper.admitted.lock().unwrap(), [(id("b"), b.pin)]);
    let imposter = Inviter { pin: b.pin, ..inviter };
    let error = b.grpc.enrol(&imposter, application("sesame")).await.unwrap_err();
    assert!(matches!(error, EnrolError::Link(LinkError::Refused(Refusal::UnknownPin { .. }))));

    a.roster.admit_strangers(false);
    a.knows("b", &[b.pin], None);
    up(&b.network, "a").await;
    exchanges(&a.network, &b.network, "s").await;
}

/// Carries bytes to `target`, and can be told to break or to swallow.
struct Relay {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<tokio::task::AbortHandle>>>,
}

impl Relay {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::<tokio::task::AbortHandle>::new()));
        let kept = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let carried = tokio::spawn(async move {
                    let mut callee = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut caller, &mut callee).await;
                });
                kept.lock().unwrap().push(carried.abort_handle());
            }
        });
        Self { address, connections }
    }

    fn cut(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.abort());
    }
}

#[tokio::test]
async fn a_session_survives_connections_that_are_cut_under_it() {
    let (a, b) = (Site::named("a"), Site::named("b"));
    let relay = Relay::to(a.listen().await).await;
    a.knows("b", &[b.pin], None);
    b.knows("a", &[a.pin], Some(relay.address));
    up(&a.network, "b").await;
    let running = exchange(&a.network, &b.network, "s", 300, 200_000);
    let cutting = async {
        for _ in 0..5 {
            sleep(Duration::from_millis(60)).await;
            relay.cut();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcomes = running => {
            for outcome in outcomes {
                assert_eq!(outcome.unwrap(), Bulk::answer(300, 200_000));
            }
        }
        () = cutting => unreachable!(),
    }
}

#[tokio::test]
async fn a_peer_behind_a_proxy_is_reached_by_connect_and_a_proxy_that_refuses_is_named() {
    let (a, b) = (Site::named("a"), Site::named("b"));
    let target = a.listen().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_address = proxy.local_addr().unwrap();
    let refusal_was_seen = Arc::new(Notify::new());
    let was_seen = refusal_was_seen.clone();
    tokio::spawn(async move {
        for refuses in [true, false] {
            if !refuses {
                was_seen.notified().await;
            }
            let (mut caller, _) = proxy.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(caller.read_u8().await.unwrap());
            }
            assert!(request.starts_with(format!("CONNECT {target} HTTP/1.1\r\n").as_bytes()));
            if refuses {
                caller.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
            } else {
                caller.write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n").await.unwrap();
                let mut callee = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut caller, &mut callee).await;
            }
        }
    });
    a.knows("b", &[b.pin], None);
    let entry =
        Entry { pins: vec![a.pin], address: Some(target.to_string()), proxy: Some(format!("http://{proxy_address}")) };
    b.roster.set(id("a"), entry);
    b.network.refresh();
    let refusal = format!("through the proxy {proxy_address}: it answered \"HTTP/1.1 407");
    b.is_down("a", |reason| reason.to_string().contains(&refusal)).await;
    refusal_was_seen.notify_one();
    up(&b.network, "a").await;
    exchanges(&a.network, &b.network, "s").await;
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let b = Site::named("b");
    let nowhere = tacitly::test_bed::free_address().unwrap();
    b.knows("a", &[identity("a").pin()], Some(nowhere));
    b.is_down("a", |reason| reason.to_string().starts_with(&format!("cannot reach a at {nowhere}: "))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_and_rounds_go_at_a_fair_speed() {
    let (a, b) = pair().await;
    let begun = std::time::Instant::now();
    for outcome in exchange(&a.network, &b.network, "bulk", 100, 1_000_000).await {
        outcome.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("200 MB both ways in {seconds:.2} s: {:.0} MB/s, both ends on this machine", 200.0 / seconds);

    let begun = std::time::Instant::now();
    let at = |network: &Network, peer: &str, lead: u64| {
        let link = network.open(id(peer), tag("rounds")).unwrap();
        let mut party = Box::new(Bulk::new(id(peer), tag("rounds"), 500, 500, 100));
        party.lead = Some(lead);
        tokio::spawn(drive(party, vec![link], Options::default()))
    };
    let (at_a, at_b) = (at(&a.network, "b", 1), at(&b.network, "a", 0));
    assert!(at_a.await.unwrap().is_ok() && at_b.await.unwrap().is_ok());
    println!("500 rounds: {:.0} us a round", begun.elapsed().as_secs_f64() * 2000.0);
}
