//! `tacitly ask`: one question to a service, from a file or standard input, so that it stands in no shell's history.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::connect::{self, Way};
use super::output::unfolded;
use super::{Failure, Output};
use crate::rpc::control;

/// Ask a service a question, which is read from standard input or a file; its answer is printed. Question and answer are
/// on record on both sides, by commitments.
#[derive(Args)]
pub(crate) struct Ask {
    /// The job that serves.
    job: String,
    /// The question, in the words of the job's kind; - or absent: standard input.
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    question: PathBuf,
    /// What for: a code of 1 to 32 of a-z, 0-9, '-', '_' and '.'. It goes on record.
    #[arg(long, value_name = "CODE", default_value = "unstated")]
    purpose: String,
    /// A key of your choice: asked again under it, the same answer comes, and is charged once.
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// Each line is a question of its own; all of them are asked, answered and charged as one.
    #[arg(long)]
    lines: bool,
}

impl Ask {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut question = Zeroizing::new(Vec::new());
        if self.question.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut question)?;
        } else {
            std::fs::File::open(&self.question)?.read_to_end(&mut question)?;
        }
        let questions = if self.lines {
            let lines = question.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            lines.filter(|line| !line.is_empty()).map(|line| line.to_vec().into()).collect()
        } else {
            vec![question.to_vec().into()]
        };
        let asked =
            control::AskJobRequest { job: self.job, questions, purpose: self.purpose, idempotency_key: self.key };
        let mut daemon = connect::connect(way).await?;
        let control::AskJobReply { answers, entries } = daemon.ask_job(asked).await?.into_inner();
        let texts: Vec<String> = answers.iter().map(|answer| String::from_utf8_lossy(answer).into_owned()).collect();
        output.say(|| serde_json::json!({ "answers": texts, "entries": unfolded(&entries, &[]) }), || texts.join("\n"))
    }
}
