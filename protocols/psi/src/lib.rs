//! Two institutions learn which identifiers both hold, and nothing about the rest.
//!
//! Each party hashes its items to points of Curve25519 and multiplies them with a secret scalar; the other multiplies
//! once more. Points masked by both are equal exactly where the items are, and say nothing else to a party that follows
//! the protocol. The README beside this crate is the specification: who learns what, the rounds and the messages.
//!
//! | module | holds |
//! |---|---|
//! | [`PsiTerms`] | what both sides agree before anything leaves |
//! | [`Items`] | one party's items in one piece of memory |
//! | [`Asker`] | the role for one's own set, as typestates |
//! | [`Answerer`] | the role for the peer's set, as typestates |
//! | [`PsiParty`] | both roles behind [`tacitly_core::Party`], for every driver |
//! | [`Buckets`], [`BucketHash`], [`Histogram`] | jobs larger than one session |
//! | [`violation`] | how a peer can break the rules |
//!
//! A whole session, in memory:
//!
//! ```
//! use tacitly_core::simulate::Network;
//! use tacitly_core::{Party, PartyId, Seed};
//! use tacitly_psi::{Flow, Items, Member, PsiAnswer, PsiOutcome, PsiParty, PsiTerms};
//!
//! let (bank, shop): (PartyId, PartyId) = ("bank".parse()?, "shop".parse()?);
//! let members = [Member::new(bank, 3), Member::new(shop, 2)];
//! let terms = PsiTerms::new(Flow::Intersect, members, &[bank], &["cn-mobile"], "spring-campaign")?;
//!
//! let party = |id, items: Items, seed| -> Box<dyn Party<Output = PsiOutcome>> {
//!     Box::new(PsiParty::new(terms.clone(), id, "all", items, Seed::from_bytes(seed), None).unwrap())
//! };
//! let banks = ["13800000001", "13800000002", "13800000003"].into_iter().collect();
//! let shops = ["13800000003", "13800000004"].into_iter().collect();
//! let network = Network::new(vec![(bank, party(bank, banks, [1; 32])), (shop, party(shop, shops, [2; 32]))]);
//!
//! let report = network.run(Seed::from_bytes([3; 32]));
//! assert_eq!(report.ending(bank).answer().unwrap().answer, PsiAnswer::Matched(vec![2]));
//! assert_eq!(report.ending(shop).answer().unwrap().answer, PsiAnswer::Served);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answerer;
mod asker;
mod buckets;
mod checkpoint;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(any(test, fuzzing, feature = "ideal"))]
pub mod ideal;
mod items;
mod matching;
mod message;
mod order;
mod party;
mod session;
mod terms;
pub mod violation;
mod wire;

pub use answerer::{Absorbing, Answered, Answerer, Answering, Complete, PeerTags};
pub use asker::{Asker, AwaitAnswers, Blinded, Blinding};
pub use buckets::{BUCKET_ITEMS, BucketHash, Buckets, Histogram, MAX_BUCKETS, MAX_REHASH, MIN_BUCKET_ITEMS};
pub use items::Items;
pub use matching::{Matched, OwnTags};
pub use message::{BlindedPoints, ListDigest, OrderDigest, POINT_BYTES, Tags};
pub use party::{PsiAnswer, PsiOutcome, PsiParty};
pub use session::{AnswererSecrets, AskerSecrets, Session};
pub use terms::{DEFAULT_CHUNK, Flow, MAX_CHUNK, MAX_ITEMS, MAX_ROWS, Member, PsiTerms, PsiTermsError};
