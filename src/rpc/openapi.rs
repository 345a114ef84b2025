//! The description of the HTTP side, as an OpenAPI 3.1 document: what there is for any service, and a path of its own, with
//! the schemas of its kind, for each that runs. It is written out here because those schemas are JSON Schema already.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::problem::STATUSES;
use crate::attest::queries::MAX_QUESTIONS;
use crate::codes::{self, Code};
use crate::jobs::ServiceForm;

/// The longest key that a question may be asked under.
pub(super) const MOST_KEY_BYTES: usize = 128;
/// Statuses of what HTTP itself refuses, beside those of errors.
const OF_HTTP: [(StatusCode, &[&Code]); 3] = [
    (StatusCode::UNAUTHORIZED, &[codes::PERMISSION]),
    (StatusCode::PAYLOAD_TOO_LARGE, &[codes::BAD_REQUEST]),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, &[codes::BAD_REQUEST]),
];

/// The document, with these services in it.
pub(super) fn document(services: &[ServiceForm]) -> Value {
    let mut paths = Map::new();
    for ServiceForm { job, kind, form } in services {
        let summary = format!("Ask the service {job} of the kind {kind}");
        let operation = operation(&format!("ask-{job}"), &summary, &form.question_schema(), &form.answer_schema());
        paths.insert(format!("/v1/{job}"), json!({ "post": operation }));
    }
    let job = json!({ "name": "job", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "The number of the job that serves." });
    let any = operation("ask", "Ask a service", &json!({}), &json!({}));
    paths.insert("/v1/{job}".to_owned(), json!({ "parameters": [job], "post": any }));
    let described = json!({ "200": { "description": "The document.",
        "content": { "application/json": { "schema": { "type": "object" } } } }, "default": refusal("No document.") });
    paths.insert(
        "/v1/openapi.json".to_owned(),
        json!({ "get": { "operationId": "describe", "summary": "This document", "responses": described } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tacitly: services",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Questions to standing jobs. A question is charged once for its key, whatever happens.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer",
                "description": "A token of the control port; asking needs the role operator." } },
            "schemas": { "Entry": entry(), "Problem": problem() },
        },
    })
}

fn operation(id: &str, summary: &str, question: &Value, answer: &Value) -> Value {
    let purpose = json!({ "type": "string", "pattern": "^[a-z0-9_.-]{1,32}$",
        "description": "What it is asked for; it goes on record." });
    let entries = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Entry" } });
    let asked = one_or_many("question", question, [("purpose", purpose)]);
    let replied = one_or_many("answer", answer, [("entries", entries)]);
    let used = json!({ "description": "The key that was used.", "schema": { "type": "string" } });
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({ "description": "One answer for each question, on record on both sides.",
            "headers": { "Idempotency-Key": used }, "content": { "application/json": { "schema": replied } } }),
    );
    for (status, codes) in STATUSES.iter().chain(&OF_HTTP) {
        let names: Vec<&str> = codes.iter().map(|code| code.name).collect();
        responses.insert(status.as_u16().to_string(), refusal(&names.join(", ")));
    }
    responses.insert("default".to_owned(), refusal("Another error, by its code."));
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": [{
            "name": "Idempotency-Key", "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": MOST_KEY_BYTES },
            "description": "Asked again under it, the same questions give the same answers and entries, and are charged \
                once; other questions are refused. A fresh one is chosen if it is absent.",
        }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": asked } } },
        "responses": responses,
    })
}

/// An object with one thing under its name, or with many under the plural, and with these members.
fn one_or_many<const N: usize>(name: &str, schema: &Value, members: [(&str, Value); N]) -> Value {
    let many = format!("{name}s");
    let mut properties = Map::new();
    properties.insert(name.to_owned(), schema.clone());
    properties
        .insert(many.clone(), json!({ "type": "array", "minItems": 1, "maxItems": MAX_QUESTIONS, "items": schema }));
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    properties.extend(members.map(|(name, schema)| (name.to_owned(), schema)));
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        "oneOf": [{ "required": [name] }, { "required": [many] }] })
}

fn refusal(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
}

fn entry() -> Value {
    json!({
        "type": "object",
        "description": "A question that is on record; `tacitly evidence --query QUERY` makes a certificate of it.",
        "properties": {
            "responder": { "type": "string", "description": "Who was asked." },
            "query": { "type": "string", "description": "The number of the question." },
            "entry": { "type": "string", "description": "The leaf of our entry about it." },
            "units": { "type": "integer", "minimum": 0, "description": "How many units its answer counts as." },
        },
        "required": ["responder", "query", "entry", "units"],
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What exactly happened, and where." },
            "code": { "type": "string", "description": "A code that never changes its meaning." },
            "hint": { "type": "string", "description": "What to do about it." },
            "party": { "type": "string", "description": "Whose doing it is, if it is another party's." },
        },
        "required": ["title", "status", "detail", "code", "hint"],
    })
}
