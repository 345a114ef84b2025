//! TLS 1.3 and nothing older, both sides with certificates, peers known by pinned keys.
//!
//! The signature on a certificate is not checked, because nobody is trusted to make it: possession of the pinned key
//! is proved by the handshake itself, and name and dates are the key holder's own statement either way. Sessions are
//! never resumed: a resumed session would skip the check of pin and dates.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, OnceLock};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};
use tacitly_core::PartyId;

use super::directory::PeerDirectory;
use super::error::{Refusal, TlsAlert};
use super::identity::{Certificate, Pin, TlsIdentity};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The one application protocol spoken inside.
const ALPN: &[u8] = b"h2";

/// The application protocol towards those who are no peers.
const HTTP_1: &[u8] = b"http/1.1";

/// Who is at the other end, as its certificate proves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) party: PartyId,
    pub(super) pin: Pin,
    /// Whether the key is pinned; a stranger's is not.
    pub(super) known: bool,
}

/// Where the judgement on the other side's certificate is left for whoever asked for the handshake.
pub(super) type Verdict = Arc<OnceLock<Result<Caller, Refusal>>>;

/// The configuration for one incoming connection.
pub(super) fn accepting(
    identity: &TlsIdentity,
    directory: Arc<dyn PeerDirectory>,
) -> Result<(Arc<ServerConfig>, Verdict), rustls::Error> {
    let verdict = Verdict::default();
    let verifier = CertificateVerifier { whom: Whom::Anyone(directory), verdict: verdict.clone() };
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![identity.certificate_der().clone()], identity.key_der())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((Arc::new(config), verdict))
}

/// The configuration for one connection that we dial.
pub(super) fn dialling(
    identity: &TlsIdentity,
    peer: PartyId,
    pins: Vec<Pin>,
) -> Result<(Arc<ClientConfig>, Verdict), rustls::Error> {
    let verdict = Verdict::default();
    let verifier = CertificateVerifier { whom: Whom::One(peer, pins), verdict: verdict.clone() };
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![identity.certificate_der().clone()], identity.key_der())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), verdict))
}

/// The configuration for asking `party` over HTTPS, who proves itself with the key of `pin`. We show no certificate.
pub(super) fn asking(party: PartyId, pin: Pin) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier = CertificateVerifier { whom: Whom::One(party, vec![pin]), verdict: Verdict::default() };
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The configuration for answering over HTTPS whoever asks.
pub(super) fn answering(identity: &TlsIdentity) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate_der().clone()], identity.key_der())?;
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Whose certificate is awaited.
enum Whom {
    /// Any peer's, or a stranger's while strangers are admitted.
    Anyone(Arc<dyn PeerDirectory>),
    /// That of the party we dialled, with one of these keys.
    One(PartyId, Vec<Pin>),
}

struct CertificateVerifier {
    whom: Whom,
    verdict: Verdict,
}

impl CertificateVerifier {
    fn verify(&self, der: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
        let verdict = self.decide(der, now);
        let answer = verdict.as_ref().map(|_| ()).map_err(|refusal| as_tls(refusal).into());
        // A handshake has one certificate per side, so the place is empty.
        let _ = self.verdict.set(verdict);
        answer
    }

    fn decide(&self, der: &CertificateDer<'_>, now: UnixTime) -> Result<Caller, Refusal> {
        let certificate = Certificate::parse(der).map_err(Refusal::NotAParty)?;
        let Certificate { party, pin, .. } = certificate;
        let known = match &self.whom {
            Whom::Anyone(directory) => {
                let known = directory.pins(party).contains(&pin);
                if !known && let Some(expected) = owner(directory.as_ref(), pin) {
                    return Err(Refusal::WrongName { expected, found: party });
                }
                if !known && !directory.admits_strangers() {
                    return Err(Refusal::UnknownPin { party, pin });
                }
                known
            }
            Whom::One(expected, _) if *expected != party => {
                return Err(Refusal::WrongName { expected: *expected, found: party });
            }
            Whom::One(_, pins) if !pins.contains(&pin) => return Err(Refusal::UnknownPin { party, pin }),
            Whom::One(..) => true,
        };
        let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        if now.is_none_or(|now| now > certificate.not_after) {
            return Err(Refusal::Expired { party, on: certificate.not_after });
        }
        if now.is_none_or(|now| now < certificate.not_before) {
            return Err(Refusal::NotYetValid { party, from: certificate.not_before });
        }
        Ok(Caller { party, pin, known })
    }
}

fn owner(directory: &dyn PeerDirectory, pin: Pin) -> Option<PartyId> {
    directory.peers().into_iter().find(|peer| directory.pins(*peer).contains(&pin))
}

/// The TLS error whose alert tells the other side most; [`alert`] is its inverse over there.
fn as_tls(refusal: &Refusal) -> CertificateError {
    match refusal {
        Refusal::Expired { .. } => CertificateError::Expired,
        Refusal::NotYetValid { .. } => CertificateError::NotValidYet,
        Refusal::UnknownPin { .. } => CertificateError::UnknownIssuer,
        Refusal::WrongName { .. } => CertificateError::NotValidForName,
        Refusal::NotAParty(_) => CertificateError::BadEncoding,
    }
}

/// What the other side has against our certificate, if that is why the handshake failed.
pub(super) fn alert(error: &io::Error) -> Option<TlsAlert> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => Some(TlsAlert::OutOfTime),
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => Some(TlsAlert::UnknownPin),
        rustls::Error::AlertReceived(AlertDescription::BadCertificate) => Some(TlsAlert::WrongName),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => Some(TlsAlert::Other),
        _ => None,
    }
}

/// A failed handshake in words.
pub(super) fn explain(error: &io::Error) -> String {
    match tls_error(error) {
        Some(rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled)) => {
            "it offers no TLS 1.3".to_owned()
        }
        Some(rustls::Error::NoCertificatesPresented) => "it showed no certificate".to_owned(),
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

impl fmt::Debug for CertificateVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateVerifier")
    }
}

impl ClientCertVerifier for CertificateVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        possession(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        possession(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks that the other side holds the private key of its certificate.
fn possession(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    rustls::crypto::verify_tls13_signature(message, certificate, signature, &PROVIDER.signature_verification_algorithms)
}
