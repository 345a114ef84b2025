//! Services over HTTP and JSON, for applications that speak nothing else: on the ports of the control service and behind
//! the same gate. `POST /v1/JOB` asks, `GET /v1/openapi.json` describes.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Value, json};
use tonic::service::Routes;

use super::openapi::{self, MOST_KEY_BYTES};
use super::problem::{self, Problem};
use crate::attest::random;
use crate::codes::{self, Error};
use crate::jobs::{Ask, AskedEntry, Jobs, Reply};

/// Where it stands on a port.
const ROOT: &str = "/v1";
/// The caller's key for its questions, in the request, and in every answer.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest body, as of a gRPC message.
const MOST_BODY_BYTES: usize = 4 << 20;
const JSON: &str = "application/json";

/// Questions of one caller, as they stand in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    purpose: String,
    question: Option<Value>,
    questions: Option<Vec<Value>>,
}

/// The routes of a control port, with those of its HTTP side.
#[must_use]
pub fn beside(control: Routes, jobs: Arc<Jobs>) -> Routes {
    let calls = Router::new()
        .route("/openapi.json", get(describe))
        .route("/{job}", post(ask))
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .with_state(jobs);
    control.into_axum_router().fallback(async || nothing_there()).nest(ROOT, calls).into()
}

/// The call of the control service whose rules hold for a request, if it is of the HTTP side: a question is a question,
/// and whoever only reads is told what services there are.
pub(super) fn call_of(method: &Method, path: &str) -> Option<&'static str> {
    let below = path.strip_prefix(ROOT)?;
    if !(below.is_empty() || below.starts_with('/')) {
        return None;
    }
    Some(if [Method::GET, Method::HEAD].contains(method) { "ListJobs" } else { "AskJob" })
}

async fn ask(
    State(jobs): State<Arc<Jobs>>,
    job: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let key = match key(&headers) {
        Ok(key) => key,
        Err(error) => return Problem::from(error).into_response(),
    };
    let mut response = match answer(&jobs, job, &headers, body, &key).await {
        Ok(reply) => problem::json(StatusCode::OK, JSON, &reply),
        Err(problem) => problem.into_response(),
    };
    // Also where there is no answer: asking again under it is charged once.
    if let Ok(key) = HeaderValue::try_from(key) {
        response.headers_mut().insert(KEY, key);
    }
    response
}

async fn answer(
    jobs: &Jobs,
    job: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    key: &str,
) -> Result<Value, Problem> {
    let Path(job) = job.map_err(|_| Error::new(codes::JOB_UNKNOWN, "a job's number has 26 letters and digits"))?;
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()?.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case(JSON)) {
        let text = format!("a question comes with the content type {JSON}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, bad(text)));
    }
    let body = body.map_err(|refused| {
        let text = match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => format!("a body has {MOST_BODY_BYTES} bytes at most"),
            _ => "the body did not come to its end".to_owned(),
        };
        Problem::new(refused.status(), bad(text))
    })?;
    let Asked { purpose, question, questions } = read(&body)?;
    let (said, one) = match (question, questions) {
        (Some(question), None) => (vec![question], true),
        (None, Some(questions)) => (questions, false),
        _ => return Err(bad("a body has a question, or questions, and not both").into()),
    };
    let services = jobs.services();
    let form = services.form(&job).await?.form;
    let questions = said.iter().map(|said| form.question(said)).collect::<Result<_, _>>()?;
    let Reply { answers, entries } = services.ask(Ask { job, questions, purpose, key: key.to_owned() }).await?;
    let mut answers = answers.iter().map(|answer| form.answer(answer)).collect::<Result<Vec<_>, _>>()?;
    let entries: Vec<Value> = entries.into_iter().map(told).collect();
    Ok(match answers.pop() {
        Some(answer) if one => json!({ "answer": answer, "entries": entries }),
        last => {
            answers.extend(last);
            json!({ "answers": answers, "entries": entries })
        }
    })
}

async fn describe(State(jobs): State<Arc<Jobs>>) -> Response {
    match jobs.services().forms() {
        Ok(services) => problem::json(StatusCode::OK, JSON, &openapi::document(&services)),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The answer to a path that leads nowhere; for gRPC its status says as much.
pub(super) fn nothing_there() -> Problem {
    let text = "nothing is here; POST /v1/JOB asks a service, GET /v1/openapi.json describes them";
    Problem::new(StatusCode::NOT_FOUND, bad(text))
}

async fn other_method() -> Problem {
    let text = "a service is asked with POST; /v1/openapi.json is read with GET";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, bad(text))
}

/// The key that a caller asks under, or a fresh one.
fn key(headers: &HeaderMap) -> Result<String, Error> {
    let mut keys = headers.get_all(KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(HEXLOWER.encode(&random::<16>()?)),
        (Some(key), None) => {
            let key = key.to_str().ok().filter(|key| (1..=MOST_KEY_BYTES).contains(&key.len()));
            let text = || bad(format!("{KEY} has 1 to {MOST_KEY_BYTES} characters of ASCII that can be seen"));
            Ok(key.ok_or_else(text)?.to_owned())
        }
        (Some(_), Some(_)) => Err(bad(format!("{KEY} stands in a request once"))),
    }
}

/// A body, with an error that says where it is none and repeats nothing of it.
fn read(body: &[u8]) -> Result<Asked, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            Category::Data => {
                "the body has purpose, a string, question or questions, a list, each once, and no other member"
            }
            Category::Syntax | Category::Eof | Category::Io => "the body is no JSON",
        };
        bad(format!("line {}, column {}: {what}", error.line(), error.column()))
    })
}

fn told(entry: AskedEntry) -> Value {
    let AskedEntry { responder, query, entry, units } = entry;
    json!({ "responder": responder.as_str(), "query": query, "entry": entry, "units": units })
}

fn bad(text: impl Into<String>) -> Error {
    Error::new(codes::BAD_REQUEST, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_none_is_told_by_its_place_and_never_repeated() {
        let bodies = [
            r#"{"purpose": "p", "question": "secret""#,
            r#"{"purpose": "p", "secret": 1}"#,
            r#"{"purpose": 77001, "question": "secret"}"#,
            r#"{"question": "secret"}"#,
            r#"{"purpose": "p", "purpose": "secret"}"#,
            r#"{"purpose": "p", "questions": "secret"}"#,
            r#"["secret"]"#,
            "secret",
            "",
        ];
        for body in bodies {
            let refused = read(body.as_bytes()).err().unwrap();
            assert_eq!(refused.code, codes::BAD_REQUEST);
            assert!(refused.text.starts_with("line "), "{refused}");
            assert!(!refused.text.contains("secret") && !refused.text.contains("77001"), "{refused}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(format!(r#"{{"purpose": "p", "question": {deep}"#).as_bytes()).is_err());
    }

    #[test]
    fn a_request_keeps_to_the_rules_of_the_call_that_it_is() {
        assert_eq!(call_of(&Method::POST, "/v1/01H"), Some("AskJob"));
        assert_eq!(call_of(&Method::DELETE, "/v1/openapi.json"), Some("AskJob"));
        assert_eq!(call_of(&Method::GET, "/v1/openapi.json"), Some("ListJobs"));
        for other in ["/v11/x", "/tacitly.control.v1.Control/Status", "/", ""] {
            assert_eq!(call_of(&Method::POST, other), None);
        }
    }
}
