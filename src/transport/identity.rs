//! A party's TLS certificate and key, and the pin by which its peers know it.
//!
//! The certificate is self-signed (ECDSA on P-256) and names the party in one DNS subject alternative name,
//! `<party>.party.tacitly`: a reserved-looking name that no resolver answers, fit for SNI routing in front of a daemon.
//! Peers do not trust the signature on it; they pin its public key.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tacitly_core::PartyId;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

/// What follows the party's name in its certificate.
const SUFFIX: &str = ".party.tacitly";

/// What a [`Pin`] starts with as text: what is hashed, and how.
const PIN_TAG: &str = "spki-sha256:";

/// The SHA-256 of a certificate's public key (its SubjectPublicKeyInfo), as `spki-sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

/// The text is not a [`Pin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin is `spki-sha256:` and 64 lower-case hexadecimal digits")]
pub struct MalformedPin;

impl Pin {
    fn of(public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(public_key_info).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIN_TAG}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = MalformedPin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PIN_TAG).ok_or(MalformedPin)?;
        let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| MalformedPin)?;
        bytes.try_into().map(Self).map_err(|_| MalformedPin)
    }
}

impl TryFrom<String> for Pin {
    type Error = MalformedPin;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

/// A certificate and its private key. The key is wiped on drop; neither `Clone` nor `Debug`.
pub struct TlsIdentity {
    certificate: Certificate,
    certificate_der: CertificateDer<'static>,
    certificate_pem: String,
    key: Zeroizing<Vec<u8>>,
    key_pem: Zeroizing<String>,
}

/// Why there is no [`TlsIdentity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate would never be valid, or its dates do not fit a certificate.
    #[error("a certificate cannot be valid from {from} to {to}")]
    Dates {
        /// From when.
        from: Timestamp,
        /// Until when.
        to: Timestamp,
    },
    /// No certificate came about.
    #[error("cannot make a certificate: {0}")]
    Generation(String),
    /// The text holds no certificate of a party.
    #[error("cannot read the certificate: {0}")]
    Certificate(&'static str),
    /// The text holds no private key.
    #[error("cannot read the private key: it is not one PKCS #8 key in PEM form")]
    Key,
    /// The certificate is good, and another party's.
    #[error("this is {ours}, and the certificate is one for {found}")]
    OtherParty {
        /// Who we are.
        ours: PartyId,
        /// Whose certificate it is.
        found: PartyId,
    },
    /// Certificate and key do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl TlsIdentity {
    /// Makes a fresh key and a certificate for `party`.
    ///
    /// # Errors
    /// [`IdentityError::Dates`] for dates that no certificate can carry, and [`IdentityError::Generation`] if the system gives
    /// no randomness.
    pub fn generate(party: PartyId, not_before: Timestamp, not_after: Timestamp) -> Result<Self, IdentityError> {
        let dates = IdentityError::Dates { from: not_before, to: not_after };
        let since_epoch =
            |time: Timestamp| u64::try_from(time.as_second()).map(Duration::from_secs).map_err(|_| dates.clone());
        if not_before >= not_after {
            return Err(dates);
        }
        let failed = |error: rcgen::Error| IdentityError::Generation(error.to_string());
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_before)?;
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_after)?;
        params.subject_alt_names = vec![SanType::DnsName(dns_name(party).try_into().map_err(failed)?)];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, party.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let key_pem = Zeroizing::new(key.serialize_pem());
        key.zeroize();
        Self::from_pem(&certificate, &key_pem)
    }

    /// Reads what [`TlsIdentity::certificate_pem`] and [`TlsIdentity::key_pem`] gave.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`] or [`IdentityError::Key`] for texts of another kind, and
    /// [`IdentityError::Mismatch`] if the two do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| IdentityError::Certificate("it is not one certificate in PEM form"))?;
        let parsed = Certificate::parse(&der).map_err(IdentityError::Certificate)?;
        let mut secret = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| IdentityError::Key)?;
        let kept = Zeroizing::new(secret.secret_pkcs8_der().to_vec());
        secret.zeroize();
        let mut pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(kept.as_slice())).map_err(|_| IdentityError::Key)?;
        let pin = Pin::of(&rcgen::PublicKeyData::subject_public_key_info(&pair));
        pair.zeroize();
        if pin != parsed.pin {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self {
            certificate: parsed,
            certificate_der: der,
            certificate_pem: certificate.to_owned(),
            key: kept,
            key_pem: Zeroizing::new(key.to_owned()),
        })
    }

    /// Whose it is.
    #[must_use]
    pub fn party(&self) -> PartyId {
        self.certificate.party
    }

    /// How peers know its key.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.certificate.pin
    }

    /// From when the certificate is valid.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.certificate.not_before
    }

    /// Until when the certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.certificate.not_after
    }

    /// The certificate, public.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, for sealing it at rest.
    #[must_use]
    pub fn key_pem(&self) -> &Zeroizing<String> {
        &self.key_pem
    }

    pub(super) fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate_der
    }

    /// A copy of the key for the TLS library, which wipes it.
    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

/// What a certificate says, before anybody believes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate {
    pub(super) party: PartyId,
    pub(super) pin: Pin,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Certificate {
    /// Reads a certificate in DER form; the reason if it is not one of a party.
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, &'static str> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| "it cannot be decoded")?;
        if !rest.is_empty() {
            return Err("something follows it");
        }
        let time = |at: x509_parser::time::ASN1Time| {
            Timestamp::from_second(at.timestamp()).map_err(|_| "its dates are out of range")
        };
        let names = certificate.subject_alternative_name().ok().flatten().ok_or("it has no alternative name")?;
        let [GeneralName::DNSName(name)] = names.value.general_names.as_slice() else {
            return Err("it has not exactly one alternative name, a DNS name");
        };
        let party = name.strip_suffix(SUFFIX).ok_or("its name does not end with `.party.tacitly`")?;
        Ok(Self {
            party: party.parse().map_err(|_| "its name is not that of a party")?,
            pin: Pin::of(certificate.public_key().raw),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
        })
    }
}

/// The name of `party` in its certificate.
pub(super) fn dns_name(party: PartyId) -> String {
    format!("{party}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn identity(name: &str) -> Result<TlsIdentity, IdentityError> {
        TlsIdentity::generate(name.parse().unwrap(), at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
    }

    #[test]
    fn an_identity_survives_its_pem_form() {
        let made = identity("bank-a").unwrap();
        let read = TlsIdentity::from_pem(made.certificate_pem(), made.key_pem()).unwrap();
        assert_eq!((read.party(), read.pin()), (made.party(), made.pin()));
        assert_eq!(read.party().as_str(), "bank-a");
        assert_eq!(read.not_before(), at("2026-01-01T00:00:00Z"));
        assert_eq!(read.not_after(), at("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn a_pin_survives_its_text_and_other_texts_are_refused() {
        let pin = identity("bank-a").unwrap().pin();
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for text in ["", "spki-sha256:", "spki-sha256:00", &pin.to_string().to_uppercase()] {
            assert_eq!(text.parse::<Pin>(), Err(MalformedPin), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_identity_is_refused_with_its_reason() {
        let (one, other) = (identity("bank-a").unwrap(), identity("bank-a").unwrap());
        let read = |certificate: &str, key: &str| TlsIdentity::from_pem(certificate, key).map(|_| ()).unwrap_err();
        assert_eq!(read(one.certificate_pem(), other.key_pem()), IdentityError::Mismatch);
        assert_eq!(read(one.certificate_pem(), "no key"), IdentityError::Key);
        assert!(matches!(read("no certificate", one.key_pem()), IdentityError::Certificate(_)));
        let foreign = rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
        assert!(
            matches!(read(&foreign.cert.pem(), one.key_pem()), IdentityError::Certificate(why) if why.contains(".party.tacitly"))
        );
        let (from, to) = (at("2027-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        let party = "bank-a".parse().unwrap();
        assert!(matches!(TlsIdentity::generate(party, from, to), Err(IdentityError::Dates { .. })));
    }
}
