//! Lists in pages. A page ends at a number of items or at a number of bytes, whichever comes first, so that no ledger grows
//! too large to be listed.

use prost::Message;

use super::control;
use crate::codes::Error;
use crate::datasets::{DatasetView, Datasets};
use crate::jobs::{EventView, Jobs, Page as JobPage};

/// The most items of a page.
const MOST: u32 = 1000;
/// The most bytes of a page with more than one item: a quarter of what a client of gRPC takes in one message.
const MOST_BYTES: usize = 1 << 20;
/// So many items are read from the ledger at a time.
const STEP: u32 = 100;

/// The newest jobs, or those before one.
///
/// # Errors
/// As [`Jobs::list`].
pub(super) async fn jobs(jobs: &Jobs, asked: control::ListJobsRequest) -> Result<control::ListJobsReply, Error> {
    let control::ListJobsRequest { state, mut before, limit } = asked;
    let (mut page, step) = (Page::of(limit), step(limit));
    let has_older = loop {
        let views = jobs.list(JobPage { state: state.clone(), before: before.clone(), limit: step }).await?;
        let is_last = views.len() < step as usize;
        // The terms of a job may be as long as everything else of it, and a list shows nothing of them.
        let shown = views.into_iter().rev().map(|view| control::Job { terms: String::new(), ..view.into() });
        let is_full = !page.add_all(shown);
        if is_full || is_last {
            break is_full;
        }
        before = page.last(|job| job.id.clone());
    };
    let older = if has_older { page.last(|job| job.id.clone()) } else { String::new() };
    page.items.reverse();
    Ok(control::ListJobsReply { jobs: page.items, older })
}

/// The audit trail from one line on.
///
/// # Errors
/// As [`Jobs::events`].
pub(super) async fn events(jobs: &Jobs, asked: control::ListEventsRequest) -> Result<control::ListEventsReply, Error> {
    let control::ListEventsRequest { mut since, job, limit } = asked;
    let (mut page, step) = (Page::of(limit), step(limit));
    let has_more = loop {
        let views = jobs.events(since, &job, step).await?;
        let is_last = views.len() < step as usize;
        let is_full = !page.add_all(views.into_iter().map(shown));
        if is_full || is_last {
            break is_full;
        }
        since = page.last(|event| event.sequence);
    };
    let next = if has_more { page.last(|event| event.sequence) } else { 0 };
    Ok(control::ListEventsReply { events: page.items, next })
}

/// The datasets whose names follow one.
///
/// # Errors
/// As [`Datasets::list`].
pub(super) async fn datasets(
    datasets: &Datasets,
    asked: control::ListDatasetsRequest,
) -> Result<control::ListDatasetsReply, Error> {
    let mut page = Page::of(MOST);
    let mut views = datasets.list().await?;
    views.retain(|view: &DatasetView| view.name > asked.after);
    views.sort_by(|one, other| one.name.cmp(&other.name));
    let has_more = !page.add_all(views.into_iter().map(Into::into));
    let next = if has_more { page.last(|dataset: &control::Dataset| dataset.name.clone()) } else { String::new() };
    Ok(control::ListDatasetsReply { datasets: page.items, next })
}

fn shown(event: EventView) -> control::Event {
    let EventView { sequence, at, job, actor, kind, detail, is_altered: altered } = event;
    control::Event { sequence, at, job, actor, kind, detail, altered }
}

fn step(limit: u32) -> u32 {
    if limit == 0 { STEP } else { limit.min(STEP) }
}

/// A page that is being filled.
struct Page<T> {
    items: Vec<T>,
    bytes: usize,
    most: usize,
}

impl<T: Message> Page<T> {
    /// A page of at most so many items; 0 stands for the most there may be.
    fn of(limit: u32) -> Self {
        let most = if limit == 0 { MOST } else { limit.min(MOST) };
        Self { items: Vec::new(), bytes: 0, most: most as usize }
    }

    /// Adds items until the page is full. Says whether all of them found room: the first item always does.
    fn add_all(&mut self, items: impl Iterator<Item = T>) -> bool {
        for item in items {
            let bytes = self.bytes + item.encoded_len();
            if self.items.len() == self.most || (bytes > MOST_BYTES && !self.items.is_empty()) {
                return false;
            }
            self.bytes = bytes;
            self.items.push(item);
        }
        true
    }

    /// What is asked of the last item; nothing of a page that has none.
    fn last<P: Default>(&self, part: impl FnOnce(&T) -> P) -> P {
        self.items.last().map(part).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, bytes: usize) -> impl Iterator<Item = control::Event> {
        (0..count).map(move |_| control::Event { detail: "x".repeat(bytes), ..Default::default() })
    }

    #[test]
    fn a_page_ends_at_its_items_or_at_its_bytes_and_never_holds_nothing() {
        for (limit, count, bytes, taken) in [
            (0, 1001, 1, 1000),
            (5000, 1001, 1, 1000),
            (10, 11, 1, 10),
            (10, 10, 1, 10),
            (0, 3, MOST_BYTES / 2 - 10, 2),
            (0, 3, MOST_BYTES, 1),
        ] {
            let mut page = Page::of(limit);
            assert_eq!(page.add_all(events(count, bytes)), taken == count, "{count} of {bytes} bytes");
            assert_eq!(page.items.len(), taken, "{count} of {bytes} bytes");
        }
    }
}
