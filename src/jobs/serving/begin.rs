//! A service from its beginning in this process to its end: begun by the machine's effect, kept up beside, ended with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::core::{Core, about_job, terms_of};
use super::super::kind::Kinds;
use super::super::part::Stop;
use super::asking;
use super::quota::Quota;
use super::run::ServiceRun;
use super::service::Serving;
use super::services::{Counts, RunningService, Services};
use crate::attest::queries::{Code, Under};
use crate::codes::{self, Error};
use crate::store::Job;
use crate::transport::Pending;

/// The pause before a service is begun anew that could not begin, or whose upkeep has lost a party.
const AGAIN: Duration = Duration::from_secs(5);

/// Serves a job until this is dropped, or until the service fails: then the job is over.
pub(in crate::jobs) async fn serve(core: Arc<Core>, services: Arc<Services>, kinds: Kinds, row: Job) {
    let id = row.id;
    loop {
        let why = match begin(&core, &kinds, &row).await {
            Ok((running, upkeep)) => {
                let _found = services.register(id, running.clone());
                let _settled = AbortOnDropHandle::new(tokio::spawn(settle(running)));
                tracing::info!(job = %id, "the service runs");
                core.running.notify();
                // On a task of its own, so that a panic in it ends this service and no other.
                let unexpected = |_| Stop::Failed(Error::internal("the upkeep of the service ended unexpectedly"));
                AbortOnDropHandle::new(tokio::spawn(upkeep)).await.unwrap_or_else(unexpected)
            }
            Err(stop) => stop,
        };
        match why {
            Stop::Failed(why) if ![codes::DISK_FULL, codes::STORE, codes::LOG].contains(&why.code) => {
                tracing::warn!(job = %id, code = why.code.name, text = why.text, "the service failed");
                core.blame(id, why);
                return;
            }
            Stop::Failed(why) | Stop::Lost(why) => {
                tracing::warn!(job = %id, code = why.code.name, text = why.text, "the service begins anew");
            }
            Stop::Stopped | Stop::Restarted => {}
        }
        sleep(AGAIN).await;
    }
}

async fn begin(
    core: &Arc<Core>,
    kinds: &Kinds,
    row: &Job,
) -> Result<(Arc<RunningService>, Pending<'static, Stop>), Stop> {
    let terms = terms_of(row)?;
    let kind = kinds.find(&terms.kind)?.clone();
    let run = ServiceRun::new(core.clone(), row.clone(), terms);
    run.rules().await?;
    let agreement = core.recorder.recorded(&about_job(row.id), "agreement").await?;
    let agreement = agreement.ok_or_else(|| Error::internal("the agreement on the service is not on record"))?;
    let serving = kind.serve(run.clone());
    let unexpected = |_| Error::internal("the service could not begin: its kind ended unexpectedly");
    let Serving { service, upkeep } = AbortOnDropHandle::new(tokio::spawn(serving)).await.map_err(unexpected)??;
    let unit = Code::parse(service.unit()).map_err(|error| Error::internal(error.to_string()))?;
    let under = Under { job: row.id, agreement: agreement.entry.leaf(), unit };
    let (quota, stop, sessions) = (Quota::default(), CancellationToken::new(), Mutex::default());
    Ok((Arc::new(RunningService { run, service, under, quota, counts: Counts::default(), stop, sessions }), upkeep))
}

/// Questions that were open when this process was another one are answered, so that both sides' logs say the same.
async fn settle(service: Arc<RunningService>) {
    if let Err(error) = asking::settle(&service).await {
        tracing::warn!(job = %service.run.job().id, %error, "questions from before the start are still open");
    }
}
