//! A job's result, from the daemon to a place.

use super::Failure;
use super::connect::Daemon;
use super::destination::Destination;
use crate::rpc::control::JobResultRequest;

/// Streams a job's result to a place, as Parquet if the place is named so. A file appears whole or not at all.
///
/// # Errors
/// What the daemon says, or why the place takes nothing.
pub(crate) async fn write_result(
    daemon: &mut Daemon,
    job: &str,
    out: &Destination,
    columns: &[String],
) -> Result<(), Failure> {
    let request = JobResultRequest {
        job: job.to_owned(),
        columns: columns.to_vec(),
        format: if out.has_ending("parquet") { "parquet" } else { "csv" }.to_owned(),
    };
    let mut chunks = daemon.job_result(request).await?.into_inner();
    let mut file = out.begin().await?;
    while let Some(chunk) = chunks.message().await? {
        file.add(&chunk.data).await?;
    }
    file.finish().await
}
