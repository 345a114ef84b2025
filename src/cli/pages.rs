//! Lists of the control API, which come in pages, whole.

use super::Failure;
use super::connect::Daemon;
use crate::rpc::control::{Dataset, Event, Job, ListDatasetsRequest, ListEventsRequest, ListJobsRequest};

/// Jobs, oldest first: the newest `limit` of them, or those before one.
///
/// # Errors
/// What the daemon says.
pub(crate) async fn jobs(
    daemon: &mut Daemon,
    state: &str,
    mut before: String,
    limit: u32,
) -> Result<Vec<Job>, Failure> {
    let (state, limit) = (state.to_owned(), limit as usize);
    let mut newest_first = Vec::new();
    loop {
        let still = u32::try_from(limit - newest_first.len()).unwrap_or(u32::MAX);
        let asked = ListJobsRequest { state: state.clone(), before, limit: still };
        let page = daemon.list_jobs(asked).await?.into_inner();
        newest_first.extend(page.jobs.into_iter().rev());
        before = page.older;
        if before.is_empty() || newest_first.len() >= limit {
            newest_first.reverse();
            return Ok(newest_first);
        }
    }
}

/// The audit trail after a line, of one job or of everything.
///
/// # Errors
/// What the daemon says.
pub(crate) async fn events(daemon: &mut Daemon, mut since: u64, job: &str) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    loop {
        let asked = ListEventsRequest { since, job: job.to_owned(), limit: 0 };
        let page = daemon.list_events(asked).await?.into_inner();
        events.extend(page.events);
        since = page.next;
        if since == 0 {
            return Ok(events);
        }
    }
}

/// All datasets, by name.
///
/// # Errors
/// What the daemon says.
pub(crate) async fn datasets(daemon: &mut Daemon) -> Result<Vec<Dataset>, Failure> {
    let (mut datasets, mut after) = (Vec::new(), String::new());
    loop {
        let page = daemon.list_datasets(ListDatasetsRequest { after }).await?.into_inner();
        datasets.extend(page.datasets);
        after = page.next;
        if after.is_empty() {
            return Ok(datasets);
        }
    }
}
