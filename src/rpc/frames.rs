//! Frames come in and row numbers go out: what programs ask, as the messages of the control API.

use tonic::{Status, Streaming};

use super::control::{self, add_frame_request::Part};
use super::status;
use crate::codes::{self, Error};
use crate::datasets::Datasets;
use crate::intake::FrameBuilder;
use crate::jobs::{Jobs, NewFrame};

/// Row numbers in one message.
const ROWS: usize = 1 << 16;

/// Reads a frame from its stream and registers it.
pub(super) async fn add(
    jobs: &Jobs,
    datasets: &Datasets,
    mut parts: Streaming<control::AddFrameRequest>,
) -> Result<control::AddDatasetReply, Status> {
    let bad = |text: String| status::of(&Error::new(codes::BAD_REQUEST, text));
    let Some(Part::Header(header)) = parts.message().await?.and_then(|first| first.part) else {
        return Err(bad("a frame begins with its header".to_owned()));
    };
    let room = datasets.frames().room().await.map_err(|error| status::of(&error))?;
    let columns = header.keys.iter().map(|key| key.column.clone()).collect();
    let mut frame = FrameBuilder::new(columns).map_err(|error| bad(error.to_string()))?;
    while let Some(next) = parts.message().await? {
        let Some(Part::Batch(batch)) = next.part else {
            return Err(bad("after its header a frame has batches only".to_owned()));
        };
        let columns = batch.columns.into_iter().map(|column| (column.cells, column.lengths)).collect();
        frame.push(columns).map_err(|error| bad(error.to_string()))?;
        if frame.memory() > room {
            return Err(status::of(&datasets.frames().too_large()));
        }
    }
    let new = NewFrame {
        keys: header.keys.into_iter().map(|key| (key.column, key.profile)).collect(),
        duplicates: header.duplicates,
        invalid: header.invalid,
        peers: header.peers,
        kind: header.kind,
        receivers: header.receivers,
    };
    let (dataset, report) = jobs.add_frame(new, frame.finish()).await.map_err(|error| status::of(&error))?;
    Ok(control::AddDatasetReply { dataset: Some(dataset.into()), report })
}

/// Row numbers in messages of bounded size.
pub(super) fn in_pieces(rows: Vec<u32>) -> impl Iterator<Item = Result<control::RowNumbers, Status>> {
    let mut left = rows.into_iter().peekable();
    std::iter::from_fn(move || {
        left.peek()?;
        Some(Ok(control::RowNumbers { rows: left.by_ref().take(ROWS).collect() }))
    })
}
