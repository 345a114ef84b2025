//! The one place where an error becomes an HTTP answer: `application/problem+json` (RFC 9457) with the stable code, what
//! exactly happened and how to mend it.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::codes::{self, Code, Error};

/// The status of an answer by the code of its error. Where a party has failed that the error names, it is 502; every other
/// error is ours.
pub(super) const STATUSES: [(StatusCode, &[&Code]); 8] = [
    (StatusCode::BAD_REQUEST, &[codes::BAD_REQUEST]),
    (
        StatusCode::FORBIDDEN,
        &[codes::PERMISSION, codes::REFUSED_NO_RULE, codes::REFUSED_BY_RULE, codes::REFUSED_BY_PERSON],
    ),
    (StatusCode::NOT_FOUND, &[codes::JOB_UNKNOWN]),
    (StatusCode::CONFLICT, &[codes::REQUEST_KEY]),
    (StatusCode::GONE, &[codes::REVOKED, codes::TERMS_EXPIRED]),
    (StatusCode::TOO_MANY_REQUESTS, &[codes::OVER_QUOTA, codes::LIMIT]),
    (StatusCode::BAD_GATEWAY, &[codes::PROTOCOL_VIOLATION, codes::PROTOCOL_DISPUTE, codes::PEER_FAILED]),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        &[codes::NOT_SERVING, codes::MATERIAL_NONE, codes::PEER_LOST, codes::PEER_RESTARTED, codes::LINK_DOWN],
    ),
];

/// An error and the status that it is answered with.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: Error,
}

impl Problem {
    /// An error that HTTP has a status of its own for.
    pub(super) fn new(status: StatusCode, error: Error) -> Self {
        Self { status, error }
    }

    /// The error.
    pub(super) fn error(&self) -> &Error {
        &self.error
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let found = STATUSES.iter().find(|(_, codes)| codes.contains(&error.code)).map(|(status, _)| *status);
        let otherwise = if error.who.is_some() { StatusCode::BAD_GATEWAY } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self { status: found.unwrap_or(otherwise), error }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, error } = self;
        let mut said = json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": error.text,
            "code": error.code.name,
            "hint": error.code.hint,
        });
        if let Some(who) = error.who {
            said["party"] = who.as_str().into();
        }
        let mut response = json(status, "application/problem+json", &said);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An answer in JSON, of this media type.
pub(super) fn json(status: StatusCode, media: &'static str, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_status_and_only_what_a_named_party_does_is_a_bad_gateway() {
        for code in codes::ALL {
            let statuses = STATUSES.iter().filter(|(_, codes)| codes.contains(code)).count();
            assert!(statuses <= 1, "{}", code.name);
            let ours = Problem::from(Error::new(code, "what and where")).status;
            let theirs = Problem::from(Error::new(code, "what and where").with("shop".parse().unwrap())).status;
            assert!(ours.is_client_error() || ours.is_server_error());
            assert!(ours == theirs || (ours, theirs) == (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY));
        }
    }
}
