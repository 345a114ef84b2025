//! The one place where an error becomes a gRPC status, and back.

use std::error::Error as _;

use tonic::{Code as Grpc, Status};

use crate::codes::{self, Code, Error};

const CODE_HEADER: &str = "tacitly-code";

/// The status that carries `error` to one of this party's own operators or applications.
#[must_use]
pub fn of(error: &Error) -> Status {
    let grpc = match error.code.name {
        "job-unknown" | "dataset-unknown" | "peer-unknown" | "consortium-unknown" => Grpc::NotFound,
        "dataset-exists" | "request-key" => Grpc::AlreadyExists,
        "limit" | "disk-full" => Grpc::ResourceExhausted,
        "permission" | "refused-no-rule" | "refused-by-rule" | "refused-by-person" => Grpc::PermissionDenied,
        "link-down" | "peer-lost" => Grpc::Unavailable,
        "internal" | "store" => Grpc::Internal,
        "bad-request" | "invitation" | "dataset-input" => Grpc::InvalidArgument,
        _ => Grpc::FailedPrecondition,
    };
    let mut status = Status::new(grpc, error.text.clone());
    if let Ok(value) = error.code.name.parse() {
        status.metadata_mut().insert(CODE_HEADER, value);
    }
    status
}

/// The code of the table that a status carries, if it carries one; [`codes::DAEMON_GONE`] for one that no daemon sent,
/// because the connection to it broke.
#[must_use]
pub fn code_of(status: &Status) -> Option<&'static Code> {
    match status.metadata().get(CODE_HEADER) {
        Some(name) => name.to_str().ok().and_then(codes::by_name),
        // A source does not travel: this status was made on our side of a connection that is no more.
        None => status.source().is_some().then_some(codes::DAEMON_GONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_a_status() {
        for code in codes::ALL {
            let status = of(&Error::new(code, "what and where"));
            assert_eq!(code_of(&status), Some(*code));
            assert_eq!(status.message(), "what and where");
        }
    }

    #[test]
    fn a_broken_connection_is_a_daemon_that_is_gone_and_an_unknown_answer_is_not() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(code_of(&Status::from_error(broken.into())), Some(codes::DAEMON_GONE));
        assert_eq!(code_of(&Status::unimplemented("no such call")), None);
    }
}
