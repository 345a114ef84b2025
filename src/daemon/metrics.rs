//! `/metrics` for a Prometheus server. Labels are states, codes and the names of pinned peers, so their number is
//! bounded by what operators do.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus::core::Collector;
use prometheus::{Counter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::counters::Counters;
use crate::rpc::admin::Admin;

/// Connections served at the same time, and how long each may take.
const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers on this port until the process ends.
pub(super) async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let _gone_or_slow = tokio::time::timeout(PATIENCE, answer(stream, admin)).await;
        });
    }
}

async fn answer(stream: TcpStream, admin: Arc<Admin>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = admin.clone();
        async move { Ok::<_, std::convert::Infallible>(respond(&request, &admin).await) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}

async fn respond(request: &Request<Incoming>, admin: &Admin) -> Response<String> {
    let mut response = Response::new(String::new());
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    match render(admin).await {
        Ok(text) => {
            let kind = hyper::header::HeaderValue::from_static(prometheus::TEXT_FORMAT);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            *response.body_mut() = text;
        }
        Err(error) => {
            tracing::warn!(%error, "the figures could not be given");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    response
}

async fn render(admin: &Admin) -> prometheus::Result<String> {
    let registry = Registry::new();
    if let Ok(figures) = admin.figures().await {
        let by_state = gauges(&registry, "tacitly_jobs", "Jobs in the ledger, by state.", "state")?;
        for (state, count) in figures.jobs {
            by_state.with_label_values(&[state]).set(signed(count));
        }
        let links = gauges(&registry, "tacitly_link_up", "Whether the link with a peer is up.", "peer")?;
        for (peer, up) in figures.links {
            links.with_label_values(&[peer.as_str()]).set(up.into());
        }
        let material = gauges(
            &registry,
            "tacitly_material_units",
            "Prepared material that is left, by job and stream.",
            "stream",
        )?;
        for (stream, left) in figures.material {
            material.with_label_values(&[stream.as_str()]).set(signed(left));
        }
        let at_work = IntGauge::new("tacitly_jobs_at_work", "Jobs at work in this process.")?;
        at_work.set(signed(figures.at_work));
        register(&registry, at_work)?;
        let expires =
            IntGauge::new("tacitly_certificate_expires_seconds", "When our certificate expires, as a Unix time.")?;
        expires.set(figures.certificate_expires);
        register(&registry, expires)?;
    }
    let process = Counters::of_process();
    let (sent, received) = process.traffic();
    let text = "Application bytes of protocol sessions that are over.";
    let bytes = counters(&registry, "tacitly_session_bytes_total", text, "direction")?;
    bytes.with_label_values(&["out"]).inc_by(sent);
    bytes.with_label_values(&["in"]).inc_by(received);
    let endings = counters(&registry, "tacitly_sessions_total", "Protocol sessions that are over, by ending.", "code")?;
    for (code, count) in process.endings() {
        endings.with_label_values(&[code.as_str()]).inc_by(count);
    }
    let errors = counters(&registry, "tacitly_store_errors_total", "Errors of the store, by code.", "code")?;
    for (code, count) in process.store_errors() {
        errors.with_label_values(&[code]).inc_by(count);
    }
    let (answered, refused, took) = process.questions();
    let text = "Questions under standing jobs that were decided here, by what became of them.";
    let questions = counters(&registry, "tacitly_questions_total", text, "ending")?;
    questions.with_label_values(&["answered"]).inc_by(answered);
    questions.with_label_values(&["refused"]).inc_by(refused);
    let text = "Seconds from a question to its durable answer, added up.";
    let seconds = register(&registry, Counter::new("tacitly_question_seconds_total", text)?)?;
    seconds.inc_by(took.as_secs_f64());
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
}

fn register<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
