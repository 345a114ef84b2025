//! What the relays of two daemons say to each other: bytes ↔ pieces, and what their origins sign.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use prost::Message as _;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use tacitly_core::PartyId;

use crate::store::{JobId, PublicKey, Signature, Signer, SigningFailed};

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("generated/tacitly.relay.v1.rs");
}

use generated as pb;

pub(super) use pb::Outcome;

/// The name under which other parties ask for this service.
pub(super) const SERVICE: &str = "relay";
/// The most bytes of a line in one piece.
pub(super) const MAX_BODY: usize = 128 << 10;
/// What the signature under a piece is made for.
const CONTEXT: &str = "tacitly relay piece 1";

/// Names a line among all lines of a job. Whoever opens one draws it at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineId([u8; 16]);

impl LineId {
    /// A name that no line has; `None` if the system gives no randomness.
    pub(super) fn fresh() -> Option<Self> {
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).ok().map(|()| Self(id))
    }
}

impl std::fmt::Display for LineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Where a piece belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) from: PartyId,
    pub(super) to: PartyId,
    pub(super) line: LineId,
    /// The first piece of whoever opens the line.
    pub(super) opens: bool,
    pub(super) number: u64,
}

/// A part of what goes one way on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) body: Bytes,
    signature: Signature,
}

impl Piece {
    /// Signs a piece of ours. May block.
    pub(super) fn sign(place: Place, body: Bytes, signer: &dyn Signer) -> Result<Self, SigningFailed> {
        let signature = signer.sign(CONTEXT, &words(&place, &body))?;
        Ok(Self { place, body, signature })
    }

    /// Whether its origin, whose key this is, has made exactly this piece.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(CONTEXT, &words(&self.place, &self.body), &self.signature).is_ok()
    }

    pub(super) fn encode(self) -> Bytes {
        let Place { job, attempt, from, to, line, opens, number } = self.place;
        let piece = pb::Piece {
            job: job.to_string(),
            attempt,
            from: from.to_string(),
            to: to.to_string(),
            line: Bytes::copy_from_slice(&line.0),
            opens,
            number,
            body: self.body,
            signature: self.signature.to_string(),
        };
        piece.encode_to_vec().into()
    }

    /// `None` if the bytes are no piece within the bounds.
    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let pb::Piece { job, attempt, from, to, line, opens, number, body, signature } =
            pb::Piece::decode(bytes).ok()?;
        let place = Place {
            job: job.parse().ok()?,
            attempt,
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            line: LineId(line.as_ref().try_into().ok()?),
            opens,
            number,
        };
        let fits = body.len() <= MAX_BODY && (!opens || number == 0 && !body.is_empty());
        fits.then_some(Self { place, body, signature: signature.parse().ok()? })
    }
}

/// The bytes under the signature: the place and the digest of the body.
pub(super) fn words(place: &Place, body: &[u8]) -> Vec<u8> {
    let Place { job, attempt, from, to, line, opens, number } = place;
    let digest = HEXLOWER.encode(&Sha256::digest(body));
    format!("{job}\n{attempt}\n{from}\n{to}\n{line}\n{opens}\n{number}\n{digest}").into_bytes()
}

pub(super) fn encode_outcome(outcome: Outcome) -> Bytes {
    pb::Answer { outcome: outcome.into() }.encode_to_vec().into()
}

/// `None` if the bytes are no answer.
pub(super) fn decode_outcome(bytes: Bytes) -> Option<Outcome> {
    let outcome = pb::Answer::decode(bytes).ok()?.outcome();
    (outcome != Outcome::Unspecified).then_some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::tests::key;

    fn place() -> Place {
        let [from, to] = ["bank", "shop"].map(|name| name.parse().unwrap());
        let line = LineId::fresh().unwrap();
        Place { job: JobId::from_bytes([7; 16]), attempt: 3, from, to, line, opens: false, number: 5 }
    }

    #[test]
    fn a_piece_comes_out_as_it_went_in_and_holds_for_its_place_and_body_only() {
        let (ours, theirs) = (key(), key());
        let piece = Piece::sign(place(), Bytes::from_static(b"body"), &*ours).unwrap();
        let read = Piece::decode(piece.clone().encode()).unwrap();
        assert_eq!(read, piece);
        assert!(read.is_signed_by(&ours.public_key()) && !read.is_signed_by(&theirs.public_key()));
        let Place { job, attempt, from, to, line, opens, number } = piece.place.clone();
        let other = |place| Piece { place, ..piece.clone() };
        for changed in [
            Piece { body: Bytes::from_static(b"bodi"), ..piece.clone() },
            other(Place { job: JobId::from_bytes([8; 16]), ..place() }),
            other(Place { job, attempt: attempt + 1, from, to, line, opens, number }),
            other(Place { job, attempt, from: to, to: from, line, opens, number }),
            other(Place { job, attempt, from, to: from, line, opens, number }),
            other(Place { job, attempt, from, to, line: LineId::fresh().unwrap(), opens, number }),
            other(Place { job, attempt, from, to, line, opens: true, number }),
            other(Place { job, attempt, from, to, line, opens, number: number + 1 }),
        ] {
            assert!(!changed.is_signed_by(&ours.public_key()), "{changed:?}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_no_piece() {
        let ours = key();
        let piece = |place, body: usize| Piece::sign(place, vec![0; body].into(), &*ours).unwrap().encode();
        assert!(Piece::decode(piece(place(), MAX_BODY)).is_some());
        assert!(Piece::decode(piece(place(), MAX_BODY + 1)).is_none());
        let opening = Place { opens: true, number: 0, ..place() };
        assert!(Piece::decode(piece(opening.clone(), 1)).is_some());
        assert!(Piece::decode(piece(opening.clone(), 0)).is_none(), "a line that opens with nothing");
        assert!(Piece::decode(piece(Place { number: 1, ..opening }, 1)).is_none(), "a line that opens in the middle");
        assert!(Piece::decode(Bytes::from_static(&[0xff; 9])).is_none());
        assert_eq!(decode_outcome(encode_outcome(Outcome::Later)), Some(Outcome::Later));
        assert_eq!(decode_outcome(Bytes::new()), None);
    }
}
