//! How questions and answers stand in JSON, for callers that speak HTTP.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::codes::{self, Error};

/// How the questions and answers of one service stand in JSON. The same question in JSON is always the same bytes, so
/// that asking again under one key finds it.
pub trait JsonForm: Send + Sync {
    /// What a question is, as JSON Schema 2020-12.
    fn question_schema(&self) -> Value;

    /// What an answer is, as JSON Schema 2020-12.
    fn answer_schema(&self) -> Value;

    /// The bytes of a question.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for what is no question, in words that do not repeat it.
    fn question(&self, said: &Value) -> Result<Bytes, Error>;

    /// An answer, of bytes that the asker's half of the kind has made.
    ///
    /// # Errors
    /// [`codes::INTERNAL`] for bytes that are no answer of this service.
    fn answer(&self, answer: &[u8]) -> Result<Value, Error>;
}

/// The form of a kind that says nothing of JSON: a question or an answer is a string, its bytes in Base64 with padding.
pub struct Base64;

impl JsonForm for Base64 {
    fn question_schema(&self) -> Value {
        json!({ "type": "string", "contentEncoding": "base64" })
    }

    fn answer_schema(&self) -> Value {
        self.question_schema()
    }

    fn question(&self, said: &Value) -> Result<Bytes, Error> {
        let bytes = said.as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let bytes = bytes.ok_or_else(|| {
            Error::new(codes::BAD_REQUEST, "a question to this service is a string of Base64 with padding")
        })?;
        Ok(bytes.into())
    }

    fn answer(&self, answer: &[u8]) -> Result<Value, Error> {
        Ok(BASE64.encode(answer).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_base64_and_come_back_and_nothing_else_is_a_question() {
        for bytes in [&b""[..], b"who is there?", b"\x00\xff\xfe"] {
            let text = Base64.answer(bytes).unwrap();
            assert_eq!(Base64.question(&text).unwrap(), bytes);
        }
        for said in [json!("who is there?"), json!("QQ"), json!("QR=="), json!(1), json!(null), json!(["QQ=="])] {
            let refused = Base64.question(&said).unwrap_err();
            assert_eq!(refused.code, codes::BAD_REQUEST);
            assert!(!refused.text.contains("QQ") && !refused.text.contains("who"), "{refused}");
        }
    }
}
