//! `tacitly evidence`: a job's certificate; certificates and openings checked by anybody, without a daemon and without a
//! network.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use tacitly_attestation::certificate::{Gap, Level, Levels, Trust, Verdict};
use tacitly_attestation::commitment::MAX_BASIS_BYTES;
use tacitly_attestation::policy::Policy;

use super::connect::Way;
use super::destination::Destination;
use super::{Failure, Output, connect};
use crate::codes;
use crate::evidence::{self, Refused};
use crate::rpc::control;

/// More than any certificate, opening or policy can have.
const MAX_FILE: u64 = 2 << 20;

/// Write a job's evidence: who agreed to what, what went over the link and what came of it, signed, logged and
/// witnessed. Anybody verifies the file offline, with `evidence verify`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Evidence {
    /// The job's number.
    #[arg(value_name = "JOB", required_unless_present = "query")]
    job: Option<String>,
    /// Of one question under a standing job and its answer, by the question's number; asked or answered here.
    #[arg(long, value_name = "ID", conflicts_with = "job")]
    query: Option<String>,
    /// The file; absent: JOB.evidence (or ID.evidence) in this folder; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there already.
    #[arg(long)]
    force: bool,
    #[command(subcommand)]
    command: Option<EvidenceCommand>,
}

#[derive(Subcommand)]
enum EvidenceCommand {
    Verify(Verify),
    Policy(PolicyFile),
    Html(Page),
    VerifyOpening(VerifyOpening),
    VerifyBasis(VerifyBasis),
    VerifyOutput(VerifyOutput),
}

/// Check a certificate offline and say how far it reaches: signed, included, witnessed, anchored. Exits with 1 and the
/// reason if it does not hold.
#[derive(Args)]
pub(crate) struct Verify {
    /// The certificate.
    file: PathBuf,
    #[command(flatten)]
    trust: TrustedKeys,
}

/// Check a certificate and write a printable page about it, in Chinese and English.
#[derive(Args)]
pub(crate) struct Page {
    /// The certificate.
    file: PathBuf,
    /// The page to write; - is standard output.
    #[arg(short, long, value_name = "PAGE")]
    out: PathBuf,
    /// Replace the page if it is there already.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    trust: TrustedKeys,
}

/// Write the policy that is in a certificate to a file: the keys of the logs, witnesses and signers that its issuer knows.
/// Compare them with what the parties tell you themselves before you trust them with --policy.
#[derive(Args)]
pub(crate) struct PolicyFile {
    /// The certificate.
    file: PathBuf,
    /// The policy to write; - is standard output.
    #[arg(short, long, value_name = "POLICY")]
    out: PathBuf,
    /// Replace the file if it is there already.
    #[arg(long)]
    force: bool,
}

/// Check that an opened record belongs to a dataset whose fingerprint is in a certificate. Exits with 1 and the reason
/// if it does not.
#[derive(Args)]
pub(crate) struct VerifyOpening {
    /// The opening, as `tacitly dataset open` writes it.
    opening: PathBuf,
    /// A certificate with the dataset's entry.
    #[arg(long)]
    certificate: PathBuf,
    /// Print the record, which is personal data.
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    trust: TrustedKeys,
}

/// Check that a document is the lawful basis that a dataset's entry in a certificate states. Exits with 1 and the reason
/// if it is not.
#[derive(Args)]
pub(crate) struct VerifyBasis {
    /// The document, byte for byte.
    document: PathBuf,
    /// The file with the salt, as `tacitly dataset open-basis` writes it.
    #[arg(long)]
    salt: PathBuf,
    /// A certificate with the dataset's entry.
    #[arg(long)]
    certificate: PathBuf,
    #[command(flatten)]
    trust: TrustedKeys,
}

/// Check that an opened output is the one that a party has on record for the job of a certificate. Exits with 1 and the
/// reason if it is not.
#[derive(Args)]
pub(crate) struct VerifyOutput {
    /// The opening, as `tacitly job open` writes it.
    opening: PathBuf,
    /// The job's certificate.
    #[arg(long)]
    certificate: PathBuf,
    #[command(flatten)]
    trust: TrustedKeys,
}

/// Whom to trust.
#[derive(Args)]
pub(crate) struct TrustedKeys {
    /// A policy file with the keys of logs, witnesses and signers to trust. Without it the keys in the certificate are
    /// used, which shows only that the file is consistent.
    #[arg(long)]
    policy: Option<PathBuf>,
}

impl TrustedKeys {
    fn policy(&self) -> Result<Option<Policy>, Failure> {
        let Some(path) = &self.policy else { return Ok(None) };
        let shown = path.display();
        let text = String::from_utf8(read(path)?).map_err(|_| Failure::plain(format!("{shown} is not UTF-8")))?;
        Policy::parse(&text).map(Some).map_err(|error| Failure::plain(format!("{shown}: {error}")))
    }
}

impl Evidence {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        match self.command {
            Some(EvidenceCommand::Verify(command)) => command.run(output),
            Some(EvidenceCommand::Policy(command)) => command.run(output).await,
            Some(EvidenceCommand::Html(command)) => command.run(output).await,
            Some(EvidenceCommand::VerifyOpening(command)) => command.run(output),
            Some(EvidenceCommand::VerifyBasis(command)) => command.run(output),
            Some(EvidenceCommand::VerifyOutput(command)) => command.run(output),
            None => {
                let (job, query) = (self.job.unwrap_or_default(), self.query.unwrap_or_default());
                let out = self.out.unwrap_or_else(|| PathBuf::from(format!("{job}{query}.evidence")));
                fetch(control::EvidenceRequest { job, query }, &out, self.force, way, output).await
            }
        }
    }
}

/// Asks the daemon for the certificate of a job or of a question and writes it to a file.
async fn fetch(
    asked: control::EvidenceRequest,
    out: &Path,
    force: bool,
    way: &Way,
    output: Output,
) -> Result<(), Failure> {
    let place = Destination::new(out, force);
    place.check()?;
    let mut daemon = connect::connect(way).await?;
    let certificate = daemon.evidence(asked.clone()).await?.into_inner().certificate;
    let about = if asked.query.is_empty() { ("job", asked.job) } else { ("query", asked.query) };
    let output = write(&place, &certificate, output).await?;
    output.say(
        || serde_json::json!({ (about.0): about.1, "file": out, "bytes": certificate.len() }),
        || format!("{} ({} bytes)", out.display(), certificate.len()),
    )?;
    Ok(())
}

/// Writes a whole file or none. Returns where to say so.
async fn write(place: &Destination, bytes: &[u8], output: Output) -> Result<Output, Failure> {
    let mut file = place.begin().await?;
    file.add(bytes).await?;
    file.finish().await?;
    Ok(if place.is_standard_output() { output.aside() } else { output })
}

impl Verify {
    fn run(self, output: Output) -> Result<(), Failure> {
        let policy = self.trust.policy()?;
        let checked = evidence::check(&read(&self.file)?, policy.as_ref());
        let verdict = checked.map_err(|refused| refuse(&self.file, &refused, output))?;
        output.say(|| evidence::summary(&verdict), || words(&self.file, &verdict))?;
        Ok(())
    }
}

impl PolicyFile {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let place = Destination::new(&self.out, self.force);
        place.check()?;
        let checked = evidence::check(&read(&self.file)?, None);
        let policy = checked.map_err(|refused| refuse(&self.file, &refused, output))?.policy;
        let output = write(&place, policy.canonical().as_bytes(), output).await?;
        output.say(
            || serde_json::json!({ "file": self.out, "policy": policy.digest().to_string() }),
            || format!("{}\n  compare its keys with what their owners tell you", self.out.display()),
        )
    }
}

impl Page {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let place = Destination::new(&self.out, self.force);
        place.check()?;
        let policy = self.trust.policy()?;
        let page = evidence::page(&read(&self.file)?, policy.as_ref());
        let (page, verdict) = page.map_err(|refused| refuse(&self.file, &refused, output))?;
        let output = write(&place, page.as_bytes(), output).await?;
        output.say(
            || {
                let mut summary = evidence::summary(&verdict);
                summary["page"] = self.out.display().to_string().into();
                summary
            },
            || format!("{}\n  page: {}", words(&self.file, &verdict), self.out.display()),
        )?;
        Ok(())
    }
}

impl VerifyOpening {
    fn run(self, output: Output) -> Result<(), Failure> {
        let policy = self.trust.policy()?;
        let opening = zeroize::Zeroizing::new(read(&self.opening)?);
        let checked = evidence::check_opening(&opening, &read(&self.certificate)?, policy.as_ref());
        let opened = checked.map_err(|refused| refuse(&self.opening, &refused, output))?;
        let record = self.show.then(|| opened.record());
        let record = record.as_ref().map(|record| record.as_str());
        output.say(
            || {
                serde_json::json!({
                    "holds": true,
                    "dataset": opened.leaf.to_string(),
                    "owner": opened.owner,
                    "row": opened.row,
                    "rows": opened.rows,
                    "trust": evidence::trust(opened.trust),
                    "levels": evidence::levels(&opened.levels),
                    "record": record,
                })
            },
            || {
                let line = format!(
                    "{} holds: row {} of {} of the dataset that {} {} {}\n{}",
                    self.opening.display(),
                    opened.row,
                    opened.rows,
                    opened.owner,
                    if is_on_record(&opened.levels) { "put on record as" } else { "stated in" },
                    opened.leaf,
                    how_far(&opened.levels, opened.trust)
                );
                record
                    .map_or_else(|| format!("{line}\n  --show prints the record"), |record| format!("{line}\n{record}"))
            },
        )?;
        Ok(())
    }
}

impl VerifyBasis {
    fn run(self, output: Output) -> Result<(), Failure> {
        let policy = self.trust.policy()?;
        let (document, salt) =
            (zeroize::Zeroizing::new(whole(&self.document)?), zeroize::Zeroizing::new(read(&self.salt)?));
        let checked = evidence::check_basis(&document, &salt, &read(&self.certificate)?, policy.as_ref());
        let stated = checked.map_err(|refused| refuse(&self.document, &refused, output))?;
        let period = stated.period.as_deref();
        output.say(
            || {
                serde_json::json!({
                    "holds": true,
                    "dataset": stated.leaf.to_string(),
                    "owner": stated.owner,
                    "fingerprint": stated.fingerprint,
                    "period": period,
                    "trust": evidence::trust(stated.trust),
                    "levels": evidence::levels(&stated.levels),
                })
            },
            || {
                format!(
                    "{} holds: the lawful basis that {} stated for its dataset {}, {} {}\n{}",
                    self.document.display(),
                    stated.owner,
                    stated.fingerprint,
                    if is_on_record(&stated.levels) { "on record as" } else { "stated in" },
                    stated.leaf,
                    how_far(&stated.levels, stated.trust)
                )
            },
        )?;
        Ok(())
    }
}

impl VerifyOutput {
    fn run(self, output: Output) -> Result<(), Failure> {
        let policy = self.trust.policy()?;
        let opening = zeroize::Zeroizing::new(read(&self.opening)?);
        let checked = evidence::check_output(&opening, &read(&self.certificate)?, policy.as_ref());
        let stated = checked.map_err(|refused| refuse(&self.opening, &refused, output))?;
        output.say(
            || {
                serde_json::json!({
                    "holds": true,
                    "result": stated.leaf.to_string(),
                    "owner": stated.owner,
                    "sha256": stated.sha256,
                    "trust": evidence::trust(stated.trust),
                    "levels": evidence::levels(&stated.levels),
                })
            },
            || {
                format!(
                    "{} holds: the output that {} received has SHA-256 {}, {} {}\n{}",
                    self.opening.display(),
                    stated.owner,
                    stated.sha256,
                    if is_on_record(&stated.levels) { "on record as" } else { "stated in" },
                    stated.leaf,
                    how_far(&stated.levels, stated.trust)
                )
            },
        )?;
        Ok(())
    }
}

/// Says to a program why, and to a person how to go on.
fn refuse(file: &Path, refused: &Refused, output: Output) -> Failure {
    if output.is_json() {
        let refusal = serde_json::json!({ "holds": false, "reason": refused.reason, "detail": refused.detail });
        if let Err(unsaid) = output.say(|| refusal, String::new) {
            return unsaid;
        }
    }
    Failure::coded(codes::EVIDENCE.name, format!("{}: {refused}", file.display()), codes::EVIDENCE.hint)
}

fn words(file: &Path, verdict: &Verdict) -> String {
    let mut lines = vec![format!("{} holds: {}", file.display(), verdict.levels)];
    if let Some(about) = evidence::about(verdict) {
        let parties = about.parties.join(" and ");
        lines.push(format!("  job {} of {parties}: {}, purpose {}", about.job, about.protocol, about.purpose));
    }
    lines.extend(evidence::question(verdict).map(|question| format!("  {question}")));
    for proven in &verdict.entries {
        let signed: Vec<&str> = proven.signed.iter().map(|party| party.as_str()).collect();
        let (kind, at) = (proven.entry.kind(), i64::try_from(proven.entry.header().t.get()).unwrap_or(i64::MAX));
        let at = Timestamp::from_millisecond(at).map(|at| at.strftime("%F %T UTC").to_string()).unwrap_or_default();
        lines.push(format!("  {kind} of {at} signed by {} · {}", signed.join(", "), proven.leaf));
    }
    let absent: Vec<String> =
        verdict.agreement().map(|agreed| agreed.absent().map(|party| party.to_string()).collect()).unwrap_or_default();
    if !absent.is_empty() {
        lines.push(format!("  absent, did not sign: {}", absent.join(", ")));
    }
    let gaps = verdict.gaps();
    if !gaps.is_empty() {
        let leaves: Vec<String> = gaps
            .iter()
            .map(|gap| match gap {
                Gap::Agreement(leaf) => format!("the agreement {leaf}"),
                Gap::Query(leaf) => format!("the question {leaf}"),
                Gap::Dataset { party, leaf } => format!("the dataset of {party} {leaf}"),
            })
            .collect();
        lines.push(format!("  named and not attached, so not shown: {}", leaves.join(", ")));
    }
    lines.push(whose_keys(verdict.trust).to_owned());
    lines.join("\n")
}

/// Whether it is shown that the entry stands in a log.
fn is_on_record(levels: &Levels) -> bool {
    levels.reached() > Level::Stated
}

/// How far the certificate behind something that holds reaches, and with whose keys.
fn how_far(levels: &Levels, trust: Trust) -> String {
    format!("  the certificate: {levels}\n{}", whose_keys(trust))
}

fn whose_keys(trust: Trust) -> &'static str {
    match trust {
        Trust::Given => "  checked with the keys of the policy given",
        Trust::Snapshot => "  checked with the keys in the certificate itself; --policy FILE says whose keys you trust",
    }
}

/// A whole evidence file, if it is not larger than such files are.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(MAX_FILE, path, "it is no evidence file")
}

/// A whole document, if it is not larger than one that a dataset can state.
fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(MAX_BASIS_BYTES, path, "no dataset states a document of this size")
}

fn read_up_to(most: u64, path: &Path, otherwise: &str) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let unreadable = |error| Failure::plain(format!("{shown} cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(Failure::plain(format!("{shown} has more than {most} bytes; {otherwise}")));
    }
    Ok(bytes)
}
