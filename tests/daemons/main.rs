//! Real daemons: processes over loopback TLS, with honest peers, peers that a test plays, and everything that may befall
//! either.

mod buckets;
mod changes;
mod configuration;
mod consortium;
mod endings;
mod evidence;
mod expiry;
mod fairness;
mod faults;
mod flows;
mod frames;
mod hostile;
mod kills;
mod ledger;
mod limits;
mod names;
mod openings;
mod operations;
mod relayed;
mod stated;
mod strangers;
mod support;
mod texts;
mod toys;
mod two_faces;
