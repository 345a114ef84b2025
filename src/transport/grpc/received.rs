//! What comes out of gRPC, as what it means for the link.

use tacitly_core::PartyId;
use tacitly_core::text::printable;
use tonic::{Code, Status};

use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;
use crate::transport::generated as pb;
use crate::transport::wire;

/// An item of a gRPC stream as an envelope.
pub(super) fn received(peer: PartyId, item: Result<pb::Envelope, Status>) -> Result<Envelope, LinkError> {
    item.map_err(|status| broken(peer, &status))
        .and_then(|envelope| wire::from_wire(envelope).map_err(|rule| LinkError::Violation { peer, rule }))
}

/// A gRPC status as what it means for the link.
pub(super) fn broken(peer: PartyId, status: &Status) -> LinkError {
    match status.code() {
        Code::OutOfRange => LinkError::Violation { peer, rule: "envelope-size" },
        _ => LinkError::Broken { peer, detail: in_one_line(status) },
    }
}

/// The innermost cause is what a person can act on; the layers above it only say that there was one.
fn in_one_line(status: &Status) -> String {
    let first = std::error::Error::source(status);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    let ended = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    let text = match causes.clone().last() {
        _ if causes.any(ended) => "it ended without a word, as when a process is killed".to_owned(),
        Some(cause) => cause.to_string(),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    printable(&text, 200)
}
