//! A service of two daemons, asked over HTTP and JSON on the control port: by whom, with which body, once for a key.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, Version};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tacitly::codes;
use tacitly::test_bed::{Party, free_address};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::consortium::{Consortium, impatient, patient};
use super::services::serving;
use crate::support::run;

/// An application that asks one daemon, a connection for each call.
#[derive(Clone)]
struct Application {
    port: SocketAddr,
    token: Option<String>,
    version: Version,
}

/// What it is answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Application {
    async fn send(&self, request: Request<Body>) -> Answer {
        exchange(TcpStream::connect(self.port).await.unwrap(), self.version, request).await
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.port));
        request = request.header("host", self.port.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.into()).unwrap()
    }

    /// Asks under a key.
    async fn ask(&self, job: &str, key: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.send(self.request(Method::POST, &format!("/v1/{job}"), &headers, body.to_string())).await
    }

    /// The same without a key.
    async fn post(&self, path: &str, media: &str, body: impl Into<Body>) -> Answer {
        self.send(self.request(Method::POST, path, &[("content-type", media)], body)).await
    }

    async fn describe(&self) -> Answer {
        self.send(self.request(Method::GET, "/v1/openapi.json", &[], "")).await
    }
}

/// One request and its answer over a fresh connection.
async fn exchange<S>(stream: S, version: Version, request: Request<Body>) -> Answer
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(stream);
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    assert_eq!(response.version(), version);
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), 1 << 24).await.unwrap();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| panic!("no JSON: {parts:?} {}", String::from_utf8_lossy(&body)));
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Answer {
    /// The body of an answer to a question.
    #[track_caller]
    fn answered(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        &self.body
    }

    /// That it is a problem of this status and code, with text and hint, and repeats nothing of the question.
    #[track_caller]
    fn is(&self, status: u16, code: &codes::Code) {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code.name)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!((&self.body["status"], &self.body["hint"]), (&json!(status), &json!(code.hint)));
        assert!(!self.body["detail"].as_str().unwrap().is_empty() && !self.body["title"].is_null(), "{self:?}");
        assert!(!self.body.to_string().contains("13800138000"), "{self:?}");
    }
}

/// Opens the control port of a party that serves, which is started again for it, and gives a token of this role.
fn open_port(party: &mut Party, role: &str) -> Application {
    let port = free_address().unwrap();
    party.set("TACITLY_CONTROL__LISTEN", port);
    party.stop();
    party.serve().unwrap();
    Application { port, token: Some(token(party, role)), version: Version::HTTP_11 }
}

fn token(party: &Party, role: &str) -> String {
    let made = party.tacitly(&["token", "create", "--role", role, &format!("{role}-1")]).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

fn text(text: &str) -> Value {
    json!({ "purpose": "pilot", "question": { "text": text } })
}

/// Waits until a service that was started again answers.
async fn answers(application: &Application, job: &str, key: &str, body: &Value) -> Answer {
    for _ in 0..200 {
        let answer = application.ask(job, key, body).await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_asked_over_http_once_for_a_key_and_its_entries_have_evidence() {
    let (mut consortium, id) = serving(&patient(), "");
    let one = open_port(&mut consortium.parties[0], "operator");
    let first = answers(&one, &id, "app-4711", &text("who is there?")).await;
    assert_eq!(first.answered()["answer"]["text"], "who is there?");
    assert_eq!(first.headers["idempotency-key"], "app-4711");
    let two = Application { version: Version::HTTP_2, ..one.clone() };
    assert_eq!(two.ask(&id, "app-4711", &text("who is there?")).await.answered(), &first.body);
    one.ask(&id, "app-4711", &text("who else?")).await.is(409, codes::REQUEST_KEY);
    // A key is chosen for whoever brings none, and tells what it was.
    let fresh =
        one.post(&format!("/v1/{id}"), "application/json; charset=utf-8", text("who is there?").to_string()).await;
    assert_ne!(fresh.answered()["answer"]["pad"], first.body["answer"]["pad"]);
    let key = fresh.headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(one.ask(&id, &key, &text("who is there?")).await.answered(), &fresh.body);
    // Many at once are one question on record.
    let many = json!({ "purpose": "pilot", "questions": [{ "text": "one" }, { "text": "two" }] });
    let batch = two.ask(&id, "batch", &many).await;
    let told: Vec<&Value> = batch.answered()["answers"].as_array().unwrap().iter().map(|told| &told["text"]).collect();
    assert_eq!(told, ["one", "two"]);
    assert_eq!(batch.body["entries"].as_array().unwrap().len(), 1);
    assert_eq!(one.ask(&id, "batch", &many).await.answered(), &batch.body);
    // gRPC is on the same port, and the same question is the same one.
    let home = consortium.parties[0].home.clone();
    let (question, shown) = (home.join("question"), home.join("token"));
    std::fs::write(&question, "who is there?").unwrap();
    std::fs::write(&shown, one.token.as_ref().unwrap()).unwrap();
    std::fs::set_permissions(&shown, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (port, question, shown) = (one.port.to_string(), question.display().to_string(), shown.display().to_string());
    let words = ["ask", &id, &question, "--purpose", "pilot", "--key", "app-4711", "--json"];
    let asked = run(Path::new("/nowhere"), &[&words[..], &["--connect", &port, "--token-file", &shown]].concat());
    let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked["entries"][0]["query"], first.body["entries"][0]["query"]);
    // Whoever may use the socket needs no token.
    let request = Application { token: None, ..one.clone() }.request(Method::GET, "/v1/openapi.json", &[], "");
    let socket = UnixStream::connect(home.join("control.sock")).await.unwrap();
    assert_eq!(exchange(socket, Version::HTTP_11, request).await.answered()["openapi"], "3.1.0");
    let request = one.request(Method::POST, &format!("/v2/{id}"), &[], "");
    let socket = UnixStream::connect(home.join("control.sock")).await.unwrap();
    exchange(socket, Version::HTTP_11, request).await.is(404, codes::BAD_REQUEST);
    // On record at both, where it verifies, and no line of the audit trail is written for it.
    let query = first.body["entries"][0]["query"].as_str().unwrap();
    for party in &consortium.parties {
        let file = party.home.join("question.evidence").display().to_string();
        party.tacitly(&["evidence", "--query", query, "--out", &file]).unwrap();
        party.tacitly(&["evidence", "verify", &file]).unwrap();
    }
    let events = consortium.parties[0].tacitly(&["events"]).unwrap();
    assert!(!events.to_string().contains("AskJob"), "{events}");
    // The asker's daemon is another one now, and says the same.
    consortium.parties[0].kill();
    consortium.parties[0].serve().unwrap();
    assert_eq!(answers(&one, &id, "app-4711", &text("who is there?")).await.answered(), &first.body);
    one.ask(&id, "app-4711", &text("who else?")).await.is(409, codes::REQUEST_KEY);
    let shown = consortium.parties[1].tacitly(&["job", "show", &id]).unwrap();
    assert_eq!(shown["service"]["answered"], 4, "one of each: {shown}");
    describes_itself(&one, &consortium.parties[0], &id).await;
}

/// The document has a path for the service, with the schemas of its kind, and every reference in it leads somewhere.
async fn describes_itself(application: &Application, party: &Party, id: &str) {
    let reader = Application { token: Some(token(party, "auditor")), ..application.clone() };
    let described = reader.describe().await;
    let document = described.answered();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut names = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/v1/"), "{path}");
        for operation in ["get", "post"].iter().filter_map(|method| item.get(method)) {
            assert!(operation["responses"].as_object().unwrap().len() > 1, "{path}");
            names.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["ask".to_owned(), format!("ask-{id}"), "describe".to_owned()]);
    let post = &document["paths"][format!("/v1/{id}")]["post"];
    let asked = &post["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(asked["properties"]["question"]["properties"]["text"]["maxLength"], 1000);
    assert_eq!(asked["properties"]["questions"]["items"], asked["properties"]["question"]);
    let replied = &post["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(replied["properties"]["answer"]["required"], json!(["pad", "text"]));
    references(document).iter().for_each(|to| {
        assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to}");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_ask_or_asks_what_is_no_question_is_told_by_code_and_hint() {
    let (mut consortium, id) = serving(&impatient(), "");
    let one = open_port(&mut consortium.parties[0], "operator");
    let body = text("13800138000");
    answers(&one, &id, "first", &body).await.answered();
    let with = |token: Option<String>| Application { token, ..one.clone() };
    for nobody in [with(None), with(Some("tacitly-token-13800138000".to_owned()))] {
        for nobody in [nobody.clone(), Application { version: Version::HTTP_2, ..nobody }] {
            let refused = nobody.ask(&id, "key", &body).await;
            refused.is(401, codes::PERMISSION);
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            nobody.describe().await.is(401, codes::PERMISSION);
        }
    }
    for role in ["auditor", "approver"] {
        let reader = with(Some(token(&consortium.parties[0], role)));
        reader.ask(&id, "key", &body).await.is(403, codes::PERMISSION);
        reader.describe().await.answered();
    }
    let (path, json) = (format!("/v1/{id}"), "application/json");
    one.post("/v1/01ARZ3NDEKTSV4RRFFQ69G5FAV", json, body.to_string()).await.is(404, codes::JOB_UNKNOWN);
    one.post("/v1/13800138000%FF", json, body.to_string()).await.is(404, codes::JOB_UNKNOWN);
    for nowhere in ["/", "/v1", "/v1/", "/v1/a/b", "/v2/13800138000"] {
        one.post(nowhere, json, body.to_string()).await.is(404, codes::BAD_REQUEST);
    }
    let got = one.send(one.request(Method::GET, &path, &[], "")).await;
    got.is(405, codes::BAD_REQUEST);
    assert_eq!(got.headers["allow"], "POST");
    one.post(&path, "text/plain", body.to_string()).await.is(415, codes::BAD_REQUEST);
    one.send(one.request(Method::POST, &path, &[], body.to_string())).await.is(415, codes::BAD_REQUEST);
    one.post(&path, json, vec![b' '; (4 << 20) + 1]).await.is(413, codes::BAD_REQUEST);
    for malformed in [
        r#"{"purpose": "pilot", "question": {"text": "13800138000"}"#,
        r#"{"purpose": "pilot", "question": {"text": "x"}, "13800138000": 1}"#,
        r#"{"purpose": "pilot", "question": {"text": "x", "13800138000": 1}}"#,
        r#"{"purpose": "pilot", "question": "13800138000"}"#,
        r#"{"purpose": "pilot", "question": {"text": "x"}, "questions": []}"#,
        r#"{"purpose": "pilot", "questions": []}"#,
        r#"{"purpose": "pilot"}"#,
        r#"{"question": {"text": "13800138000"}}"#,
        r#"{"purpose": "No Code", "question": {"text": "13800138000"}}"#,
    ] {
        one.post(&path, json, malformed).await.is(400, codes::BAD_REQUEST);
    }
    let many = json!({ "purpose": "pilot", "questions": vec![json!({ "text": "x" }); 4097] });
    one.ask(&id, "many", &many).await.is(400, codes::BAD_REQUEST);
    let twice = [("content-type", json), ("idempotency-key", "a"), ("idempotency-key", "b")];
    one.send(one.request(Method::POST, &path, &twice, body.to_string())).await.is(400, codes::BAD_REQUEST);
    for key in ["", "é", &"k".repeat(129)] {
        one.ask(&id, key, &body).await.is(400, codes::BAD_REQUEST);
    }
    consortium.parties[1].tacitly(&["job", "pause", &id]).unwrap();
    one.ask(&id, "second", &body).await.is(503, codes::NOT_SERVING);
    consortium.parties[1].tacitly(&["job", "unpause", &id]).unwrap();
    answers(&one, &id, "second", &body).await.answered();
    consortium.parties[1].stop();
    let lost = one.ask(&id, "third", &body).await;
    lost.is(503, codes::PEER_LOST);
    assert_eq!(lost.headers["idempotency-key"], "third");
    consortium.parties[1].serve().unwrap();
    answers(&one, &id, "third", &body).await.answered();
    consortium.parties[0].tacitly(&["job", "revoke", &id]).unwrap();
    one.ask(&id, "fourth", &body).await.is(410, codes::REVOKED);
    for party in &consortium.parties {
        assert!(!party.log().contains("13800138000"), "a question stands in the log of {}", party.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_uses_up_one_question_of_a_day_and_one_more_than_allowed_is_too_many() {
    let mut consortium = Consortium::of(2, &patient());
    let words = ["dataset", "allow", "amounts", "party-0", "--kinds", "echo", "--limit", "questions_per_day=2"];
    consortium.parties[1].tacitly(&words).unwrap();
    let id = consortium.submit("echo", "amounts", &json!({})).unwrap();
    for party in &consortium.parties {
        consortium.await_state(party, &id, "serving");
    }
    let one = open_port(&mut consortium.parties[0], "operator");
    let first = answers(&one, &id, "one", &text("hello")).await;
    for _ in 0..5 {
        assert_eq!(one.ask(&id, "one", &text("hello")).await.answered(), first.answered(), "asked once");
    }
    answers(&one, &id, "two", &text("hello")).await.answered();
    let refused = one.ask(&id, "three", &text("hello")).await;
    refused.is(429, codes::OVER_QUOTA);
    assert_eq!(refused.body["party"], "party-1");
    assert_eq!(one.ask(&id, "one", &text("hello")).await.answered(), first.answered(), "what was answered stays so");
}

/// Every reference in a document.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(|to| to.as_str()).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
