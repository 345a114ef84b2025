//! What this party's operators and applications ask of services.

use std::sync::Arc;

use super::super::core::Core;
use super::super::machine::Event;
use super::super::shell::Shell;
use super::super::state::State;
use crate::codes::{self, Error};
use crate::store::Job;

/// The services of one party, as its operators and applications have them.
#[derive(Clone)]
pub struct ServiceControl {
    core: Arc<Core>,
    shell: Shell,
}

impl ServiceControl {
    pub(in crate::jobs) fn new(core: Arc<Core>, shell: Shell) -> Self {
        Self { core, shell }
    }

    /// Has a service answer and ask nothing here until it is let go on. The others go on.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if the job is no service, [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn pause(&self, id: &str, by: &str) -> Result<(), Error> {
        let job = self.service(id).await?;
        self.shell.happen(job.id, Event::Paused { by: by.to_owned() }).await?;
        Ok(())
    }

    /// Lets a service go on that was paused here.
    ///
    /// # Errors
    /// As [`ServiceControl::pause`].
    pub async fn unpause(&self, id: &str, by: &str) -> Result<(), Error> {
        let job = self.service(id).await?;
        self.shell.happen(job.id, Event::Unpaused { by: by.to_owned() }).await?;
        Ok(())
    }

    /// Ends a service, at once and for all parties.
    ///
    /// # Errors
    /// As [`ServiceControl::pause`].
    pub async fn revoke(&self, id: &str, by: &str) -> Result<(), Error> {
        let (job, me) = (self.service(id).await?, self.core.me());
        let why = Error::new(codes::REVOKED, format!("revoked by an operator of {me}")).with(me);
        self.shell.happen(job.id, Event::Ended { state: State::Revoked, why, by: by.to_owned() }).await?;
        Ok(())
    }

    async fn service(&self, id: &str) -> Result<Job, Error> {
        let job = self.core.find(id).await?;
        if job.state.parse().is_ok_and(State::is_service) {
            return Ok(job);
        }
        Err(Error::new(codes::JOB_STATE, format!("the job is {} and no service", job.state)))
    }
}
