//! The control API of a daemon, call by call. Answers are JSON texts; the package makes objects of them.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use tacitly::codes::{CANCELLED, Error};
use tacitly::rpc::client::{self, Connection};
use tacitly::rpc::control::{self, add_frame_request::Part};
use tokio::sync::{Mutex, watch};
use tonic::{Response, Status, Streaming};

use crate::failure::Failure;
use crate::frame::Frame;
use crate::runtime::wait;

/// A daemon's control API.
#[pyclass(frozen, module = "tacitly._core")]
pub(crate) struct Client {
    api: client::Client,
    interrupts: Interrupts,
}

/// A job's updates.
#[pyclass(frozen, module = "tacitly._core")]
pub(crate) struct Watch {
    updates: Arc<Mutex<Streaming<control::Job>>>,
    interrupts: Interrupts,
}

/// Ends what waits, from another thread: only the main thread of a Python program hears Ctrl-C.
#[derive(Clone)]
struct Interrupts(Arc<watch::Sender<u64>>);

impl Interrupts {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Waits for a call, or until somebody interrupts it.
    fn wait<T: Send + 'static>(
        &self,
        py: Python<'_>,
        call: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> PyResult<T> {
        let mut interrupts = self.0.subscribe();
        let waited = wait(py, async move {
            tokio::select! {
                answer = call => answer.map_err(Failure::from),
                _ = interrupts.changed() => Err((&Error::new(CANCELLED, "the call was given up")).into()),
            }
        });
        Ok(waited??)
    }
}

/// One call: the method, its request, and what is made of its reply.
macro_rules! call {
    ($self:ident, $py:ident, $method:ident($request:expr), $reply:ident => $made:expr) => {{
        let mut api = $self.api.clone();
        let request = $request;
        let call = async move { api.$method(request).await.map(Response::into_inner) };
        let $reply = $self.interrupts.wait($py, call)?;
        Ok($made)
    }};
}

fn text(value: &impl serde::Serialize) -> String {
    json!(value).to_string()
}

fn job(id: String) -> control::JobRequest {
    control::JobRequest { job: id }
}

/// A party as Python gives it: its name, its role, its dataset, and whether it receives. An empty text says nothing.
type GivenParty = (String, String, String, bool);

fn asked(parties: Vec<GivenParty>) -> Vec<control::AskedParty> {
    let asked = |(party, role, dataset, receives)| control::AskedParty { party, role, dataset, receives };
    parties.into_iter().map(asked).collect()
}

fn key_columns(keys: Vec<(String, String)>) -> Vec<control::KeyColumn> {
    keys.into_iter().map(|(column, profile)| control::KeyColumn { column, profile }).collect()
}

fn registered(reply: control::AddDatasetReply) -> (String, String) {
    (text(&reply.dataset.unwrap_or_default()), reply.report)
}

#[pymethods]
impl Client {
    /// Connects to the control socket at this path.
    #[staticmethod]
    fn through_socket(py: Python<'_>, socket: PathBuf) -> PyResult<Self> {
        let opened = wait(py, async move { Connection::through_socket(&socket).await })?;
        let hint = "start the daemon with `tacitly serve --home FOLDER`, or use Party.from_config";
        let api = opened.map_err(|error| Failure::plain(error, hint))?.control();
        Ok(Self { api, interrupts: Interrupts::new() })
    }

    /// Connects to a loopback port with the token in a file.
    #[staticmethod]
    fn through_port(py: Python<'_>, address: &str, token_file: PathBuf) -> PyResult<Self> {
        let malformed = |_| PyValueError::new_err("the address is an IP address and a port, such as 127.0.0.1:7101");
        let address: SocketAddr = address.parse().map_err(malformed)?;
        let opened = wait(py, async move { Connection::through_port(address, &token_file).await })?;
        let hint = "check control.listen in the party.toml of the daemon and the file of the token";
        let api = opened.map_err(|error| Failure::plain(error, hint))?.control();
        Ok(Self { api, interrupts: Interrupts::new() })
    }

    /// Ends every call that waits at the moment, in whatever thread.
    fn interrupt(&self) {
        self.interrupts.0.send_modify(|count| *count += 1);
    }

    fn status(&self, py: Python<'_>) -> PyResult<String> {
        call!(self, py, status(control::StatusRequest {}), reply => text(&reply))
    }

    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        call!(self, py, shutdown(control::ShutdownRequest {}), _reply => ())
    }

    fn rotate_identity(&self, py: Python<'_>, force: bool, grace_seconds: u64) -> PyResult<String> {
        let request = control::RotateIdentityRequest { force, grace_seconds };
        call!(self, py, rotate_identity(request), reply => text(&reply))
    }

    fn revoke_identity(&self, py: Python<'_>, since: String) -> PyResult<String> {
        call!(self, py, revoke_identity(control::RevokeIdentityRequest { since }), reply => text(&reply))
    }

    fn backup(&self, py: Python<'_>, path: String) -> PyResult<u64> {
        call!(self, py, backup(control::BackupRequest { path }), reply => reply.size_bytes)
    }

    fn invite(&self, py: Python<'_>, party: String, valid_seconds: u64) -> PyResult<String> {
        call!(self, py, invite(control::InviteRequest { valid_seconds, party }), reply => text(&reply))
    }

    fn join(&self, py: Python<'_>, code: String) -> PyResult<String> {
        call!(self, py, join(control::JoinRequest { code }), reply => text(&reply))
    }

    fn set_peer_address(&self, py: Python<'_>, party: String, address: String) -> PyResult<String> {
        call!(self, py, set_peer_address(control::SetPeerAddressRequest { party, address }), reply => text(&reply))
    }

    fn list_peers(&self, py: Python<'_>) -> PyResult<String> {
        call!(self, py, list_peers(control::ListPeersRequest {}), reply => text(&reply.peers))
    }

    fn init_consortium(&self, py: Python<'_>, name: String, members: Vec<String>) -> PyResult<String> {
        call!(self, py, init_consortium(control::InitConsortiumRequest { name, members }), reply => text(&reply))
    }

    fn join_consortium(&self, py: Python<'_>, roster: String, fingerprint: String) -> PyResult<String> {
        let request = control::JoinConsortiumRequest { roster, fingerprint };
        call!(self, py, join_consortium(request), reply => text(&reply))
    }

    fn list_consortia(&self, py: Python<'_>) -> PyResult<String> {
        call!(self, py, list_consortia(control::ListConsortiaRequest {}), reply => text(&reply.consortia))
    }

    fn leave_consortium(&self, py: Python<'_>, name: String) -> PyResult<()> {
        call!(self, py, leave_consortium(control::LeaveConsortiumRequest { name }), _reply => ())
    }

    fn remove_peer(&self, py: Python<'_>, party: String) -> PyResult<()> {
        call!(self, py, remove_peer(control::RemovePeerRequest { party }), _reply => ())
    }

    #[pyo3(signature = (*, name, path, format, encoding, delimiter, keys, duplicates, invalid, replace, allow, period, basis, no_header))]
    #[allow(clippy::too_many_arguments)]
    fn add_dataset(
        &self,
        py: Python<'_>,
        name: String,
        path: String,
        format: String,
        encoding: String,
        delimiter: String,
        keys: Vec<(String, String)>,
        duplicates: String,
        invalid: String,
        replace: bool,
        allow: Vec<String>,
        period: String,
        basis: String,
        no_header: bool,
    ) -> PyResult<(String, String)> {
        let keys = key_columns(keys);
        let request = control::AddDatasetRequest {
            name,
            path,
            format,
            encoding,
            delimiter,
            keys,
            duplicates,
            invalid,
            replace,
            allow,
            period,
            basis,
            no_header,
        };
        call!(self, py, add_dataset(request), reply => registered(reply))
    }

    /// A page of datasets, by name, and after which name the next begins: nothing if there is none.
    fn list_datasets(&self, py: Python<'_>, after: String) -> PyResult<(String, String)> {
        let request = control::ListDatasetsRequest { after };
        call!(self, py, list_datasets(request), reply => (text(&reply.datasets), reply.next))
    }

    fn remove_dataset(&self, py: Python<'_>, name: String) -> PyResult<()> {
        call!(self, py, remove_dataset(control::RemoveDatasetRequest { name }), _reply => ())
    }

    /// Sets a rule, or takes it away with an empty text. Returns the rule in full and what has changed in it.
    fn set_rule(&self, py: Python<'_>, dataset: String, peer: String, json: String) -> PyResult<(String, Vec<String>)> {
        let request = control::SetRuleRequest { dataset, peer, json };
        call!(self, py, set_rule(request), reply => (reply.json, reply.difference))
    }

    /// Hands a frame over as a dataset for one job. Returns the dataset and a report of counts.
    #[pyo3(signature = (frame, *, profiles, duplicates, invalid, peers, kind, receivers))]
    #[allow(clippy::too_many_arguments)]
    fn add_frame(
        &self,
        py: Python<'_>,
        frame: &Frame,
        profiles: Vec<String>,
        duplicates: String,
        invalid: String,
        peers: Vec<String>,
        kind: String,
        receivers: Vec<String>,
    ) -> PyResult<(String, String)> {
        let keys = key_columns(frame.columns().iter().cloned().zip(profiles).collect());
        let header = control::FrameHeader { keys, duplicates, invalid, peers, kind, receivers };
        let parts = std::iter::once(Part::Header(header)).chain(frame.batches().into_iter().map(Part::Batch));
        let parts = parts.map(|part| control::AddFrameRequest { part: Some(part) });
        call!(self, py, add_frame(tokio_stream::iter(parts)), reply => registered(reply))
    }

    /// Proposes a job. `params` is one canonical JSON object.
    #[pyo3(signature = (*, kind, parties, params, purpose, request_key))]
    fn submit_job(
        &self,
        py: Python<'_>,
        kind: String,
        parties: Vec<GivenParty>,
        params: String,
        purpose: String,
        request_key: String,
    ) -> PyResult<String> {
        let (parties, expires) = (asked(parties), String::new());
        let request = control::SubmitJobRequest { kind, parties, params, purpose, request_key, expires };
        call!(self, py, submit_job(request), reply => text(&reply))
    }

    /// Asks for a job together with the programs of all other parties. `params` is one canonical JSON object.
    #[pyo3(signature = (*, meeting, kind, parties, params, purpose, wait_seconds))]
    #[allow(clippy::too_many_arguments)]
    fn meet_job(
        &self,
        py: Python<'_>,
        meeting: String,
        kind: String,
        parties: Vec<GivenParty>,
        params: String,
        purpose: String,
        wait_seconds: u64,
    ) -> PyResult<String> {
        let parties = asked(parties);
        let request = control::MeetJobRequest { meeting, kind, parties, params, purpose, wait_seconds };
        call!(self, py, meet_job(request), reply => text(&reply))
    }

    /// A page of jobs, oldest first: the newest, or those before the job `before`; `limit` 0 gives as many as one page has.
    /// With it the job before which the next page ends: nothing if there are no older ones.
    fn list_jobs(&self, py: Python<'_>, state: String, before: String, limit: u32) -> PyResult<(String, String)> {
        let request = control::ListJobsRequest { state, before, limit };
        call!(self, py, list_jobs(request), reply => (text(&reply.jobs), reply.older))
    }

    fn get_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, get_job(job(id)), reply => text(&reply))
    }

    /// A job's updates, until it is at rest.
    fn watch_job(&self, py: Python<'_>, id: String) -> PyResult<Watch> {
        call!(self, py, watch_job(job(id)), reply => Watch {
            updates: Arc::new(Mutex::new(reply)),
            interrupts: self.interrupts.clone(),
        })
    }

    fn explain_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, explain_job(job(id)), reply => reply.text)
    }

    fn approve_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, approve_job(job(id)), reply => text(&reply))
    }

    fn refuse_job(&self, py: Python<'_>, id: String, reason: String) -> PyResult<String> {
        call!(self, py, refuse_job(control::RefuseJobRequest { job: id, reason }), reply => text(&reply))
    }

    fn cancel_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, cancel_job(job(id)), reply => text(&reply))
    }

    fn resume_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, resume_job(job(id)), reply => text(&reply))
    }

    fn purge_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, purge_job(job(id)), reply => text(&reply))
    }

    /// The answers to questions that are asked as one, and what is on record of them.
    #[pyo3(signature = (*, id, questions, purpose, key))]
    fn ask_job<'py>(
        &self,
        py: Python<'py>,
        id: String,
        questions: Vec<Vec<u8>>,
        purpose: String,
        key: String,
    ) -> PyResult<(Vec<Bound<'py, PyBytes>>, String)> {
        let questions = questions.into_iter().map(Into::into).collect();
        let request = control::AskJobRequest { job: id, questions, purpose, idempotency_key: key };
        call!(self, py, ask_job(request), reply => {
            (reply.answers.iter().map(|answer| PyBytes::new(py, answer)).collect(), text(&reply.entries))
        })
    }

    fn pause_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, pause_job(job(id)), reply => text(&reply))
    }

    fn unpause_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, unpause_job(job(id)), reply => text(&reply))
    }

    fn revoke_job(&self, py: Python<'_>, id: String) -> PyResult<String> {
        call!(self, py, revoke_job(job(id)), reply => text(&reply))
    }

    /// Our rows of a result as 32-bit numbers in the order of this machine.
    fn job_rows<'py>(&self, py: Python<'py>, id: String) -> PyResult<Bound<'py, PyBytes>> {
        let mut api = self.api.clone();
        let read = async move {
            let mut pieces = api.job_rows(job(id)).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.message().await? {
                piece.rows.iter().for_each(|row| bytes.extend_from_slice(&row.to_ne_bytes()));
            }
            Ok::<_, Status>(bytes)
        };
        Ok(PyBytes::new(py, &self.interrupts.wait(py, read)?))
    }

    /// Our rows of a result as a file of this format, or a result that is a document as it is.
    fn job_result<'py>(
        &self,
        py: Python<'py>,
        id: String,
        columns: Vec<String>,
        format: String,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut api = self.api.clone();
        let read = async move {
            let request = control::JobResultRequest { job: id, columns, format };
            let mut pieces = api.job_result(request).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.message().await? {
                bytes.extend_from_slice(&piece.data);
            }
            Ok::<_, Status>(bytes)
        };
        Ok(PyBytes::new(py, &self.interrupts.wait(py, read)?))
    }

    /// The evidence of a job, or of a question.
    #[pyo3(signature = (*, job, query))]
    fn evidence<'py>(&self, py: Python<'py>, job: String, query: String) -> PyResult<Bound<'py, PyBytes>> {
        let request = control::EvidenceRequest { job, query };
        call!(self, py, evidence(request), reply => PyBytes::new(py, &reply.certificate))
    }

    fn reconcile(&self, py: Python<'_>, peer: String, grace_seconds: u64) -> PyResult<String> {
        call!(self, py, reconcile(control::ReconcileRequest { peer, grace_seconds }), reply => text(&reply))
    }

    /// One record opened: the opening's bytes, which hold personal data.
    #[pyo3(signature = (*, dataset, row, fingerprint, file, to, purpose))]
    #[allow(clippy::too_many_arguments)]
    fn open_record<'py>(
        &self,
        py: Python<'py>,
        dataset: String,
        row: u64,
        fingerprint: String,
        file: String,
        to: String,
        purpose: String,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let request = control::OpenRecordRequest { dataset, row, fingerprint, file, to, purpose };
        call!(self, py, open_record(request), reply => PyBytes::new(py, &reply.opening))
    }

    /// The salt under the commitment to a dataset's lawful basis.
    #[pyo3(signature = (*, dataset, fingerprint, to, purpose))]
    fn open_basis<'py>(
        &self,
        py: Python<'py>,
        dataset: String,
        fingerprint: String,
        to: String,
        purpose: String,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let request = control::OpenBasisRequest { dataset, fingerprint, to, purpose };
        call!(self, py, open_basis(request), reply => PyBytes::new(py, &reply.salt))
    }

    /// The salt under the commitment to our output of a job, and behind it the digest that is committed to.
    #[pyo3(signature = (*, id, to, purpose))]
    fn open_output<'py>(
        &self,
        py: Python<'py>,
        id: String,
        to: String,
        purpose: String,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let request = control::OpenOutputRequest { job: id, to, purpose };
        call!(self, py, open_output(request), reply => PyBytes::new(py, &[&reply.salt[..], &reply.digest[..]].concat()))
    }

    /// A page of the audit trail, and after which line the next begins: 0 if there is none.
    fn list_events(&self, py: Python<'_>, since: u64, job: String) -> PyResult<(String, u64)> {
        let request = control::ListEventsRequest { since, job, limit: 0 };
        call!(self, py, list_events(request), reply => (text(&reply.events), reply.next))
    }
}

#[pymethods]
impl Watch {
    /// Waits for the next update; none after the last.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let updates = self.updates.clone();
        let update = self.interrupts.wait(py, async move { updates.lock().await.message().await })?;
        Ok(update.map(|job| text(&job)))
    }
}
