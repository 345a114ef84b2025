//! The control service: each call is a few lines around a room below.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::{PartyId, Terms};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::admin::Admin;
use super::control::control_server::Control;
use super::gate::Caller;
use super::tokens::Role;
use super::{control, frames, pages, status};
use crate::attest::{Attestation, Revoked};
use crate::codes::{self, Error};
use crate::datasets::{Datasets, NewDataset, OpenBasis, OpenRecord, RuleChange};
use crate::jobs::{Ask, Asked, AskedParty, Jobs, OpenOutput, RendezvousRequest, Reply, Submission};
use crate::peers::{IdentityFiles, Peers, RosterView, Rosters, Rotation};

/// The control service of one daemon.
pub struct Service {
    admin: Arc<Admin>,
    jobs: Arc<Jobs>,
    datasets: Arc<Datasets>,
    peers: Arc<Peers>,
    rosters: Arc<Rosters>,
    rotation: Arc<Rotation>,
    attestation: Arc<Attestation>,
    files: Arc<dyn IdentityFiles>,
    shutdown: watch::Sender<bool>,
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The rooms that a control service stands on.
pub struct Rooms {
    /// The daemon itself.
    pub admin: Arc<Admin>,
    /// Jobs.
    pub jobs: Arc<Jobs>,
    /// Data.
    pub datasets: Arc<Datasets>,
    /// Partners.
    pub peers: Arc<Peers>,
    /// Consortia.
    pub rosters: Arc<Rosters>,
    /// The TLS key.
    pub rotation: Arc<Rotation>,
    /// The attestation log.
    pub attestation: Arc<Attestation>,
    /// Where the party's certificate is.
    pub files: Arc<dyn IdentityFiles>,
}

impl Service {
    /// A service over these rooms; `shutdown` becomes true when an operator asks for it.
    #[must_use]
    pub fn new(rooms: Rooms, shutdown: watch::Sender<bool>) -> Self {
        let Rooms { admin, jobs, datasets, peers, rosters, rotation, attestation, files } = rooms;
        Self { admin, jobs, datasets, peers, rosters, rotation, attestation, files, shutdown }
    }

    /// Whom we trust is put on record after a roster was pinned or forgotten.
    fn after_pinning(&self, pinned: Result<RosterView, Error>) -> Answer<control::Consortium> {
        self.attestation.profile().renew_policy();
        answer(pinned)
    }
}

/// What an operator asks of parties, as the API says it.
pub(super) fn asked(parties: Vec<control::AskedParty>, params: &str) -> Result<Asked, Error> {
    let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
    let mut asked = Asked::default();
    for control::AskedParty { party, role, dataset, receives } in parties {
        let id = party.parse().map_err(|_| bad(format!("{party:?} is no party name")))?;
        let dataset = Some(dataset).filter(|dataset| !dataset.is_empty());
        if asked.parties.insert(id, AskedParty { role, dataset, receives }).is_some() {
            return Err(bad(format!("{id} stands among the parties twice")));
        }
    }
    if !params.is_empty() {
        asked.params = Terms::parse(params.as_bytes()).map_err(|error| bad(format!("params: {error}")))?;
    }
    Ok(asked)
}

/// Who asks, for the audit trail: the holder of a token by its name, or whoever may use the local socket.
fn actor<T>(request: &Request<T>) -> String {
    request
        .extensions()
        .get::<Caller>()
        .map_or_else(|| "operator".to_owned(), |caller| format!("token:{}", caller.name))
}

fn answer<T, U: From<T>>(outcome: Result<T, Error>) -> Answer<U> {
    outcome.map(|value| Response::new(value.into())).map_err(|error| status::of(&error))
}

#[tonic::async_trait]
impl Control for Service {
    type WatchJobStream = Streamed<control::Job>;
    type JobResultStream = Streamed<control::ResultChunk>;
    type JobRowsStream = Streamed<control::RowNumbers>;

    async fn status(&self, _: Request<control::StatusRequest>) -> Answer<control::StatusReply> {
        let view = self.admin.status().await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::StatusReply {
            party: view.party.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: view.listen.map(|address| address.to_string()).unwrap_or_default(),
            peers: view.peers.into_iter().map(Into::into).collect(),
            backend: crate::kernel::backend().to_owned(),
            running_jobs: view.running_jobs,
            certificate_expires: view.certificate_expires,
            warnings: view.warnings,
            pin: view.pin,
        }))
    }

    async fn shutdown(&self, _: Request<control::ShutdownRequest>) -> Answer<control::ShutdownReply> {
        self.shutdown.send_replace(true);
        Ok(Response::new(control::ShutdownReply {}))
    }

    async fn rotate_identity(
        &self,
        request: Request<control::RotateIdentityRequest>,
    ) -> Answer<control::RotateIdentityReply> {
        let asked = request.into_inner();
        let grace = Duration::from_secs(asked.grace_seconds);
        let rotated = self.rotation.rotate(&*self.files, asked.force, grace).await;
        let rotated = rotated.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::RotateIdentityReply {
            pin: rotated.pin,
            certificate_expires: rotated.certificate_expires,
            untold: rotated.untold.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn revoke_identity(
        &self,
        request: Request<control::RevokeIdentityRequest>,
    ) -> Answer<control::RevokeIdentityReply> {
        let by = actor(&request);
        let revoked = self.attestation.revocations().revoke(&request.into_inner().since, &by).await;
        let Revoked { leaf, since, told, untold } = revoked.map_err(|error| status::of(&error))?;
        let names = |parties: Vec<PartyId>| parties.iter().map(ToString::to_string).collect();
        Ok(Response::new(control::RevokeIdentityReply { leaf, since, told: names(told), untold: names(untold) }))
    }

    async fn backup(&self, request: Request<control::BackupRequest>) -> Answer<control::BackupReply> {
        let size = self.admin.backup(&request.into_inner().path).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::BackupReply { size_bytes: size }))
    }

    async fn reconcile(&self, request: Request<control::ReconcileRequest>) -> Answer<control::ReconcileReply> {
        let asked = request.into_inner();
        let found = self.attestation.reconciliation();
        let found = found.reconcile(&asked.peer, Duration::from_secs(asked.grace_seconds)).await;
        let found = found.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::ReconcileReply {
            ours: found.ours,
            theirs: found.theirs,
            mismatches: found.mismatches.into_iter().map(Into::into).collect(),
        }))
    }

    async fn invite(&self, request: Request<control::InviteRequest>) -> Answer<control::InviteReply> {
        let by = actor(&request);
        let control::InviteRequest { valid_seconds, party } = request.into_inner();
        let invitation = self.peers.invite(&party, Duration::from_secs(valid_seconds), &by).await;
        let invitation = invitation.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::InviteReply { code: invitation.code, expires: invitation.expires.to_string() }))
    }

    async fn join(&self, request: Request<control::JoinRequest>) -> Answer<control::Peer> {
        let by = actor(&request);
        answer(self.peers.join(&request.into_inner().code, &by).await)
    }

    async fn list_peers(&self, _: Request<control::ListPeersRequest>) -> Answer<control::ListPeersReply> {
        let peers = self.peers.list().await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::ListPeersReply { peers: peers.into_iter().map(Into::into).collect() }))
    }

    async fn set_peer_address(&self, request: Request<control::SetPeerAddressRequest>) -> Answer<control::Peer> {
        let by = actor(&request);
        let control::SetPeerAddressRequest { party, address } = request.into_inner();
        let address = Some(address.as_str()).filter(|address| !address.is_empty());
        answer(self.peers.set_address(&party, address, &by).await)
    }

    async fn remove_peer(&self, request: Request<control::RemovePeerRequest>) -> Answer<control::RemovePeerReply> {
        let by = actor(&request);
        self.peers.remove(&request.into_inner().party, &by).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::RemovePeerReply {}))
    }

    async fn init_consortium(&self, request: Request<control::InitConsortiumRequest>) -> Answer<control::Consortium> {
        let by = actor(&request);
        let control::InitConsortiumRequest { name, members } = request.into_inner();
        self.after_pinning(self.rosters.init(&name, &members, &by).await)
    }

    async fn join_consortium(&self, request: Request<control::JoinConsortiumRequest>) -> Answer<control::Consortium> {
        let by = actor(&request);
        let control::JoinConsortiumRequest { roster, fingerprint } = request.into_inner();
        self.after_pinning(self.rosters.join(roster.as_bytes(), &fingerprint, &by).await)
    }

    async fn list_consortia(&self, _: Request<control::ListConsortiaRequest>) -> Answer<control::ListConsortiaReply> {
        let consortia = self.rosters.list().await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::ListConsortiaReply { consortia: consortia.into_iter().map(Into::into).collect() }))
    }

    async fn leave_consortium(
        &self,
        request: Request<control::LeaveConsortiumRequest>,
    ) -> Answer<control::LeaveConsortiumReply> {
        let by = actor(&request);
        self.rosters.leave(&request.into_inner().name, &by).await.map_err(|error| status::of(&error))?;
        self.attestation.profile().renew_policy();
        Ok(Response::new(control::LeaveConsortiumReply {}))
    }

    async fn add_dataset(&self, request: Request<control::AddDatasetRequest>) -> Answer<control::AddDatasetReply> {
        let (caller, by) = (request.extensions().get::<Caller>().cloned(), actor(&request));
        let asked = request.into_inner();
        if let Some(caller) = caller.as_ref().filter(|caller| !asked.allow.is_empty() && caller.role != Role::Approver)
        {
            return Err(status::of(&caller.lacks(&[Role::Approver], "AddDataset with --allow")));
        }
        let new = NewDataset {
            name: asked.name,
            path: asked.path.into(),
            format: asked.format,
            encoding: asked.encoding,
            delimiter: asked.delimiter,
            keys: asked.keys.into_iter().map(|key| (key.column, key.profile)).collect(),
            duplicates: asked.duplicates,
            invalid: asked.invalid,
            replace: asked.replace,
            // Whoever is at the daemon's own socket may do all that an approver may.
            confirms_rules: caller.is_none(),
            allow: asked.allow,
            period: asked.period,
            basis: asked.basis.into(),
            no_header: asked.no_header,
        };
        let (dataset, report) = self.datasets.add(new, &by).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::AddDatasetReply { dataset: Some(dataset.into()), report }))
    }

    async fn list_datasets(
        &self,
        request: Request<control::ListDatasetsRequest>,
    ) -> Answer<control::ListDatasetsReply> {
        let page = pages::datasets(&self.datasets, request.into_inner()).await;
        page.map(Response::new).map_err(|error| status::of(&error))
    }

    async fn remove_dataset(
        &self,
        request: Request<control::RemoveDatasetRequest>,
    ) -> Answer<control::RemoveDatasetReply> {
        let by = actor(&request);
        self.datasets.remove(&request.into_inner().name, &by).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::RemoveDatasetReply {}))
    }

    async fn open_record(&self, request: Request<control::OpenRecordRequest>) -> Answer<control::OpenRecordReply> {
        let by = actor(&request);
        let control::OpenRecordRequest { dataset, row, fingerprint, file, to, purpose } = request.into_inner();
        let asked = OpenRecord { dataset, row, fingerprint, file: file.into(), to, purpose };
        let opened = self.datasets.openings().record(asked, &by).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::OpenRecordReply {
            opening: opened.opening.to_vec().into(),
            fingerprint: opened.fingerprint,
            rows: opened.rows,
            columns: opened.columns,
            entry: opened.entry,
        }))
    }

    async fn open_basis(&self, request: Request<control::OpenBasisRequest>) -> Answer<control::OpenBasisReply> {
        let by = actor(&request);
        let control::OpenBasisRequest { dataset, fingerprint, to, purpose } = request.into_inner();
        let asked = OpenBasis { dataset, fingerprint, to, purpose };
        let opened = self.datasets.openings().basis(asked, &by).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::OpenBasisReply {
            salt: opened.salt.to_vec().into(),
            basis: opened.commitment,
            fingerprint: opened.fingerprint,
            entry: opened.entry,
        }))
    }

    async fn open_output(&self, request: Request<control::OpenOutputRequest>) -> Answer<control::OpenOutputReply> {
        let by = actor(&request);
        let control::OpenOutputRequest { job, to, purpose } = request.into_inner();
        let opened = self.jobs.open_output(OpenOutput { job, to, purpose }, &by).await;
        let opened = opened.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::OpenOutputReply {
            salt: opened.salt.to_vec().into(),
            digest: opened.digest.to_vec().into(),
            output: opened.commitment,
            entry: opened.entry,
        }))
    }

    async fn set_rule(&self, request: Request<control::SetRuleRequest>) -> Answer<control::SetRuleReply> {
        let by = actor(&request);
        let asked = request.into_inner();
        let rule = self.jobs.set_rule(&asked.dataset, &asked.peer, &asked.json, &by).await;
        let reply = match rule.map_err(|error| status::of(&error))? {
            RuleChange::Set { json, difference } => control::SetRuleReply { json, difference, removed: false },
            RuleChange::Removed => control::SetRuleReply { removed: true, ..Default::default() },
            RuleChange::None => control::SetRuleReply::default(),
        };
        Ok(Response::new(reply))
    }

    async fn submit_job(&self, request: Request<control::SubmitJobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        let asked = request.into_inner();
        let parties = self::asked(asked.parties, &asked.params).map_err(|error| status::of(&error))?;
        let submission = Submission {
            kind: asked.kind,
            asked: parties,
            purpose: asked.purpose,
            expires: asked.expires,
            request_key: asked.request_key,
        };
        answer(self.jobs.submit(submission, &by).await)
    }

    async fn add_frame(
        &self,
        request: Request<Streaming<control::AddFrameRequest>>,
    ) -> Answer<control::AddDatasetReply> {
        frames::add(&self.jobs, &self.datasets, request.into_inner()).await.map(Response::new)
    }

    async fn meet_job(&self, request: Request<control::MeetJobRequest>) -> Answer<control::Job> {
        let asked = request.into_inner();
        let parties = self::asked(asked.parties, &asked.params).map_err(|error| status::of(&error))?;
        let meeting = RendezvousRequest {
            name: asked.meeting,
            kind: asked.kind,
            asked: parties,
            purpose: asked.purpose,
            wait: Duration::from_secs(asked.wait_seconds),
        };
        answer(self.jobs.rendezvous(meeting).await)
    }

    async fn job_rows(&self, request: Request<control::JobRequest>) -> Answer<Self::JobRowsStream> {
        let rows = self.jobs.rows(&request.into_inner().job).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(Box::pin(tokio_stream::iter(frames::in_pieces(rows)))))
    }

    async fn list_jobs(&self, request: Request<control::ListJobsRequest>) -> Answer<control::ListJobsReply> {
        let page = pages::jobs(&self.jobs, request.into_inner()).await;
        page.map(Response::new).map_err(|error| status::of(&error))
    }

    async fn get_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let id = request.into_inner().job;
        let view = self.jobs.get(&id).await.map_err(|error| status::of(&error))?;
        let service = self.jobs.services().view(&id).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::Job { service: service.map(Into::into), ..view.into() }))
    }

    async fn watch_job(&self, request: Request<control::JobRequest>) -> Answer<Self::WatchJobStream> {
        let views = self.jobs.watch(&request.into_inner().job).await.map_err(|error| status::of(&error))?;
        let views = views.map(|view| view.map(Into::into).map_err(|error| status::of(&error)));
        Ok(Response::new(Box::pin(views)))
    }

    async fn explain_job(&self, request: Request<control::JobRequest>) -> Answer<control::ExplainReply> {
        let text = self.jobs.explain(&request.into_inner().job).await.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::ExplainReply { text }))
    }

    async fn approve_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        answer(self.jobs.approve(&request.into_inner().job, &by).await)
    }

    async fn refuse_job(&self, request: Request<control::RefuseJobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        let asked = request.into_inner();
        answer(self.jobs.refuse(&asked.job, &asked.reason, &by).await)
    }

    async fn cancel_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        answer(self.jobs.cancel(&request.into_inner().job, &by).await)
    }

    async fn resume_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        answer(self.jobs.resume(&request.into_inner().job, &by).await)
    }

    async fn purge_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let by = actor(&request);
        answer(self.jobs.purge(&request.into_inner().job, &by).await)
    }

    async fn ask_job(&self, request: Request<control::AskJobRequest>) -> Answer<control::AskJobReply> {
        let control::AskJobRequest { job, questions, purpose, idempotency_key } = request.into_inner();
        let asked = self.jobs.services().ask(Ask { job, questions, purpose, key: idempotency_key }).await;
        let Reply { answers, entries } = asked.map_err(|error| status::of(&error))?;
        Ok(Response::new(control::AskJobReply { answers, entries: entries.into_iter().map(Into::into).collect() }))
    }

    async fn pause_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let (by, job) = (actor(&request), request.into_inner().job);
        self.jobs.services().pause(&job, &by).await.map_err(|error| status::of(&error))?;
        answer(self.jobs.get(&job).await)
    }

    async fn unpause_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let (by, job) = (actor(&request), request.into_inner().job);
        self.jobs.services().unpause(&job, &by).await.map_err(|error| status::of(&error))?;
        answer(self.jobs.get(&job).await)
    }

    async fn revoke_job(&self, request: Request<control::JobRequest>) -> Answer<control::Job> {
        let (by, job) = (actor(&request), request.into_inner().job);
        self.jobs.services().revoke(&job, &by).await.map_err(|error| status::of(&error))?;
        answer(self.jobs.get(&job).await)
    }

    async fn job_result(&self, request: Request<control::JobResultRequest>) -> Answer<Self::JobResultStream> {
        let asked = request.into_inner();
        let chunks = self.jobs.result(&asked.job, asked.columns, &asked.format).await;
        let chunks = chunks.map_err(|error| status::of(&error))?;
        let chunks =
            chunks.map(|chunk| chunk.map(|data| control::ResultChunk { data }).map_err(|error| status::of(&error)));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn evidence(&self, request: Request<control::EvidenceRequest>) -> Answer<control::EvidenceReply> {
        let control::EvidenceRequest { job, query } = request.into_inner();
        let certificate = match (job.is_empty(), query.is_empty()) {
            (true, false) => self.attestation.evidence_of_query(&query).await,
            (_, true) => self.jobs.evidence(&job).await,
            (false, false) => Err(Error::new(codes::BAD_REQUEST, "evidence is of a job or of a question, not of both")),
        };
        let certificate = certificate.map_err(|error| status::of(&error))?.into();
        Ok(Response::new(control::EvidenceReply { certificate }))
    }

    async fn list_events(&self, request: Request<control::ListEventsRequest>) -> Answer<control::ListEventsReply> {
        let page = pages::events(&self.jobs, request.into_inner()).await;
        page.map(Response::new).map_err(|error| status::of(&error))
    }
}
