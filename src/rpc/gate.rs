//! The gate of the control port: who shows a token, and whether its role allows the call. The local socket has none.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use tonic::body::Body;
use tonic::codegen::http::header::{AUTHORIZATION, CONTENT_TYPE};
use tonic::codegen::http::{HeaderMap, HeaderName, Method, Request, Response};
use tower::{Layer, Service};

use super::admin::Admin;
use super::problem::Problem;
use super::tokens::{self, Role};
use super::{http, status};
use crate::codes::{self, Error};

use Role::{Approver, Auditor, Operator};

/// Who may make which call. A call that does not stand here is for the local socket only.
const CALLS: [(&[Role], &[&str]); 3] = [
    (
        &[Operator, Approver, Auditor],
        &[
            "Status",
            "ListPeers",
            "ListConsortia",
            "ListDatasets",
            "ListJobs",
            "GetJob",
            "WatchJob",
            "ExplainJob",
            "ListEvents",
            "Reconcile",
            "Evidence",
        ],
    ),
    (
        &[Operator],
        &[
            "Invite",
            "Join",
            "SetPeerAddress",
            "RemovePeer",
            "AddDataset",
            "RemoveDataset",
            "SubmitJob",
            "MeetJob",
            "CancelJob",
            "ResumeJob",
            "PurgeJob",
            "AskJob",
            "PauseJob",
            "UnpauseJob",
            "RevokeJob",
            "JobResult",
            "JobRows",
        ],
    ),
    (&[Approver], &["ApproveJob", "RefuseJob", "SetRule", "InitConsortium", "JoinConsortium", "LeaveConsortium"]),
];

/// The one call that changes something and is no line in the audit trail: every question is an entry in the log, and a
/// service is asked often.
const ASK: &str = "AskJob";
const CONTROL: &str = "/tacitly.control.v1.Control/";
/// What says nothing of the party: any token opens it.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/"];

/// Who makes a call through the control port.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
    /// What it allows.
    pub role: Role,
}

impl Caller {
    /// The refusal of a call that needs one of these roles.
    #[must_use]
    pub fn lacks(&self, needed: &[Role], call: &str) -> Error {
        let needed = match needed {
            [] => "the local control socket".to_owned(),
            roles => format!("the role {}", roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ")),
        };
        let Self { name, role } = self;
        Error::new(codes::PERMISSION, format!("{call} needs {needed}; the token {name} has {}", role.name()))
    }
}

/// Lets callers with a token through, each to the calls of its role.
#[derive(Clone)]
pub struct Gate {
    tokens: PathBuf,
    admin: Arc<Admin>,
}

impl Gate {
    /// A gate for the holders of the tokens in this file, which is read at every call.
    #[must_use]
    pub fn new(tokens: PathBuf, admin: Arc<Admin>) -> Self {
        Self { tokens, admin }
    }

    async fn admit(&self, method: &Method, path: &str, shown: Option<&str>) -> Result<Caller, Problem> {
        let refuse = |text: &str| Problem::new(StatusCode::UNAUTHORIZED, Error::new(codes::PERMISSION, text));
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| {
            refuse("this port needs a token: --token-file FILE, or the header Authorization: Bearer TOKEN")
        })?;
        let token = tokens::find(&self.tokens, token).map_err(|error| {
            tracing::error!(%error, "the file of tokens cannot be used");
            let text = "the daemon cannot read its file of tokens; its log says why";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Error::new(codes::PERMISSION, text))
        })?;
        let token = token.ok_or_else(|| refuse("the token is unknown or revoked"))?;
        let caller = Caller { name: token.name, role: token.role };
        if OPEN.iter().any(|service| path.starts_with(service)) {
            return Ok(caller);
        }
        let call = http::call_of(method, path).or_else(|| path.strip_prefix(CONTROL));
        let call = call.ok_or_else(http::nothing_there)?;
        let needed = needed(call);
        if !needed.contains(&caller.role) {
            tracing::warn!(token = caller.name, role = caller.role.name(), call, "a call was refused");
            return Err(caller.lacks(needed, call).into());
        }
        if !needed.contains(&Auditor) && call != ASK {
            self.admin.record_call(&format!("token:{}", caller.name), caller.role.name(), call).await?;
        }
        Ok(caller)
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn needed(call: &str) -> &'static [Role] {
    CALLS.iter().find(|(_, calls)| calls.contains(&call)).map_or(&[], |(roles, _)| roles)
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// A service behind a [`Gate`].
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let gate = self.gate.clone();
        // The one that was polled ready is used, and a fresh one waits in its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let shown = header(request.headers(), AUTHORIZATION).map(str::to_owned);
            match gate.admit(&method, &path, shown.as_deref()).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => {
                    let media = header(request.headers(), CONTENT_TYPE);
                    Ok(if media.is_some_and(|media| media.starts_with("application/grpc")) {
                        status::of(refusal.error()).into_http()
                    } else {
                        refusal.into_response().map(Body::new)
                    })
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_contract_is_somebodys_or_the_sockets_and_no_name_is_stale() {
        let contract = include_str!("proto/control.proto");
        let calls: Vec<&str> =
            contract.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next()).collect();
        let listed: Vec<&str> = CALLS.iter().flat_map(|(_, calls)| calls.iter().copied()).collect();
        assert!(listed.iter().all(|call| calls.contains(call)), "{listed:?}");
        for call in ["InitConsortium", "JoinConsortium", "LeaveConsortium"] {
            assert_eq!(needed(call), [Approver], "{call} decides whose signature counts");
        }
        assert!(needed("ListConsortia").contains(&Operator));
        let local: Vec<&str> = calls.into_iter().filter(|call| needed(call).is_empty()).collect();
        assert_eq!(
            local,
            [
                "Shutdown",
                "RotateIdentity",
                "RevokeIdentity",
                "Backup",
                "OpenRecord",
                "OpenBasis",
                "OpenOutput",
                "AddFrame"
            ]
        );
    }
}
