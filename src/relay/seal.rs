//! The channel between two members: TLS 1.3 in which each proves the key that it signs the job with (RFC 7250).
//!
//! A key never signs a bare handshake: what it signs begins with a context and names the job, the attempt, the line and
//! both ends. So a signature for one line is worth nothing on another, nor anywhere else.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ServerConfig};
use rustls::sign::{self, CertifiedKey, SigningKey, public_key_to_spki};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureAlgorithm,
    SignatureScheme,
};
use tacitly_core::PartyId;

use super::circle::Circle;
use super::message::LineId;
use crate::store::{PublicKey, Signature, Signer};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// What a signature in a handshake is made for.
const CONTEXT: &str = "tacitly relay handshake 1";

/// One end of a line, as far as the handshake is concerned.
pub(super) struct End<'a> {
    pub(super) circle: &'a Circle,
    pub(super) line: LineId,
    /// Who opened the line, and who was called.
    pub(super) ends: (PartyId, PartyId),
    pub(super) signer: Arc<dyn Signer>,
    /// The key of the other end.
    pub(super) key: PublicKey,
}

impl End<'_> {
    /// The configuration of whoever opens the line.
    pub(super) fn dialling(self) -> Result<Arc<ClientConfig>, Error> {
        let (hand, verifier) = self.split();
        let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(hand.certified())));
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// The configuration of whoever is called.
    pub(super) fn accepting(self) -> Result<Arc<ServerConfig>, Error> {
        let (hand, verifier) = self.split();
        let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(hand.certified())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn split(self) -> (Hand, CertificateVerifier) {
        let (Circle { job, attempt, .. }, (dialler, called)) = (self.circle, self.ends);
        let about: Arc<str> = format!("{job}\n{attempt}\n{}\n{dialler}\n{called}\n", self.line).into();
        (Hand { signer: self.signer, about: about.clone() }, CertificateVerifier { key: self.key, about })
    }
}

/// The name that TLS asks a dialler for; it is sent to nobody.
pub(super) fn name() -> ServerName<'static> {
    const NAME: &str = "relay.party.tacitly";
    ServerName::try_from(NAME).unwrap_or_else(|_| ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()))
}

/// Whether this end of an established channel shows that the other end has put something else than its records into it.
pub(super) fn is_violation(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        tls,
        Some(
            Error::DecryptError
                | Error::InvalidMessage(_)
                | Error::InappropriateMessage { .. }
                | Error::InappropriateHandshakeMessage { .. }
                | Error::PeerMisbehaved(_)
                | Error::PeerSentOversizedRecord
        )
    )
}

fn spki(key: &PublicKey) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ED25519, key.as_bytes())
}

fn signed(about: &str, message: &[u8]) -> Vec<u8> {
    [about.as_bytes(), message].concat()
}

/// What signs for us.
#[derive(Clone)]
struct Hand {
    signer: Arc<dyn Signer>,
    about: Arc<str>,
}

impl Hand {
    fn certified(self) -> Arc<CertifiedKey> {
        let key = CertificateDer::from(spki(&self.signer.public_key()).as_ref().to_vec());
        Arc::new(CertifiedKey::new(vec![key], Arc::new(self)))
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hand")
    }
}

impl SigningKey for Hand {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn sign::Signer>> {
        let fits = offered.contains(&SignatureScheme::ED25519);
        fits.then(|| Box::new(self.clone()) as Box<dyn sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(spki(&self.signer.public_key()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl sign::Signer for Hand {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.signer.sign(CONTEXT, &signed(&self.about, message));
        let Signature::Ed25519(signature) = signature.map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.to_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// What judges the other end.
#[derive(Debug)]
struct CertificateVerifier {
    key: PublicKey,
    about: Arc<str>,
}

impl CertificateVerifier {
    fn verify_certificate(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if shown.as_ref() == spki(&self.key).as_ref() { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }

    fn verify(&self, message: &[u8], shown: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        let signature = <[u8; 64]>::try_from(shown.signature()).map(|bytes| Signature::Ed25519(bytes.into()));
        match signature {
            Ok(signature)
                if shown.scheme == SignatureScheme::ED25519
                    && self.key.verify(CONTEXT, &signed(&self.about, message), &signature).is_ok() =>
            {
                Ok(HandshakeSignatureValid::assertion())
            }
            _ => Err(CertificateError::BadSignature.into()),
        }
    }
}

impl ClientCertVerifier for CertificateVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify_certificate(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        shown: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, shown)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_certificate(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        shown: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, shown)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
