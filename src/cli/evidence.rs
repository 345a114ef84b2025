//! `tacitly evidence`: a job's certificate.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::connect::Way;
use super::{Failure, Output, connect};
use crate::rpc::control;

/// Write a job's evidence: who agreed to what, what went over the link and what came of it, signed, logged and
/// witnessed. Anybody verifies the file offline.
#[derive(Args)]
pub(crate) struct Evidence {
    /// The job's number.
    #[arg(value_name = "JOB")]
    job: String,
    /// The file; absent: JOB.evidence in this folder.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Evidence {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let request = control::JobRequest { job: self.job.clone() };
        let certificate = daemon.evidence(request).await?.into_inner().certificate;
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("{}.evidence", self.job)));
        write(&out, &certificate)?;
        output.say(
            || serde_json::json!({ "job": self.job, "file": out, "bytes": certificate.len() }),
            || format!("{} ({} bytes)", out.display(), certificate.len()),
        );
        Ok(())
    }
}

/// Writes a whole file or none.
fn write(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| Failure::plain(format!("cannot write {}: {error}", out.display()));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(out).map_err(|error| failed(error.error))?;
    Ok(())
}
