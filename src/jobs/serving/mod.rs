//! Services: standing jobs that answer questions for months, after their set-up and after every start.
//!
//! | file | holds |
//! |---|---|
//! | `service.rs`, `run.rs` | [`Service`]: what a kind that serves tells the engine; [`ServiceRun`]: what it may touch of the world |
//! | `services.rs`, `begin.rs` | the services that run in this process; how one begins and ends |
//! | `asking.rs`, `answering.rs`, `quota.rs` | a question, from the asker to the record of both sides and back; how many there may be |
//! | `control.rs`, `handler.rs` | what our operators and applications ask of services; what other parties do |
//! | `json.rs` | [`JsonForm`]: how questions and answers stand in JSON |
//! | `sessions.rs` | sessions of a service, which another party opens |
//! | `message.rs` | bytes ↔ messages |

mod answering;
mod asking;
mod begin;
mod control;
mod handler;
mod json;
mod message;
mod quota;
mod run;
mod service;
mod services;
mod sessions;

pub use asking::{AskedEntry, Draft, Questions, Told};
pub use control::{Ask, Reply, ServiceControl, ServiceForm, ServiceView};
pub use json::{Base64, JsonForm};
pub use quota::{Budget, QUESTIONS_PER_DAY};
pub use run::ServiceRun;
pub use service::{Admission, Keep, Opened, Put, Service, Serving, Session};

pub(super) use begin::serve;
pub(super) use handler::QuestionsHandler;
pub(super) use services::Services;
