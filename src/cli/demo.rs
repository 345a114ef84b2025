//! `tacitly demo`: two real parties find the customers they share, and the answer is checked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use tacitly_attestation::certificate;
use tokio::task::yield_now;

use super::{Failure, Output};
use crate::synthetic;
use crate::test_bed::{Party, Setup, connect};

/// Show two parties at work: two daemons with TLS on loopback, two messy files, one intersection, checked against the
/// answer in the clear. Afterwards everything is removed but the evidence of the job, whose place is printed.
#[derive(Args)]
pub(crate) struct Demo {
    /// Rows in each file.
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Keep the folders of both parties, and print where they are.
    #[arg(long)]
    keep: bool,
}

const SEED: u64 = 20_261_122;
/// How long the demo waits for the other party to cosign the log.
const COSIGNED_WITHIN: Duration = Duration::from_secs(5);

/// A party that nobody needs any more when the demo is broken off: its daemon is not waited for then.
struct Passing(Party);

impl Deref for Passing {
    type Target = Party;

    fn deref(&self) -> &Party {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl Demo {
    pub(crate) async fn run(self, output: Output) -> Result<(), Failure> {
        let folder = tempfile::Builder::new().prefix("tacitly-demo-").tempdir()?;
        let shared = self.rows / 3;
        let customers = folder.path().join("customers.csv");
        let members = folder.path().join("members.csv");
        synthetic::write_bank_customers(self.rows, shared, SEED, BufWriter::new(File::create(&customers)?))?;
        synthetic::write_shop_members(self.rows, shared, SEED, BufWriter::new(File::create(&members)?))?;
        output.note(|| {
            format!("two files of {} rows: numbers like `+86 138-0013-8000`, repeats, rows without one", self.rows)
        });

        // Ctrl-C is heard between these steps, and while a command runs.
        yield_now().await;
        let setup = Setup::of(std::env::current_exe()?);
        let mut bank = Passing(Party::start(folder.path(), "bank", setup.clone())?);
        yield_now().await;
        let mut shop = Passing(Party::start(folder.path(), "shop", setup)?);
        yield_now().await;
        connect(&bank, &shop)?;
        output.note(|| "two daemons, each with its own folder and certificate, linked by mutual TLS 1.3".to_owned());

        let settings = ["--duplicates", "first", "--invalid", "skip"];
        let add = async |party: &Party, name: &str, file: &Path, key: &str, peer: &str| {
            let file = file.display().to_string();
            let words = ["dataset", "add", name, &file, "--key", key, "--allow", peer];
            narrate(output, party, &[&words[..], &settings].concat()).await
        };
        add(&bank, "customers", &customers, "mobile=cn-mobile", "shop").await?;
        add(&shop, "members", &members, "phone=cn-mobile", "bank").await?;
        let hits = folder.path().join("hits.csv");
        let hits_text = hits.display().to_string();
        let begin = Instant::now();
        let purpose = ["--purpose", "demo"];
        let job = ["psi", "--dataset", "customers", "--with", "shop/members", "--out", &hits_text];
        let job = narrate(output, &bank, &[&job[..], &purpose].concat()).await?;
        let seconds = begin.elapsed().as_secs_f64();

        let found = numbers_in(&hits)?;
        let expected: BTreeSet<String> = synthetic::shared_numbers(shared, SEED).collect();
        let exact = found.len() as u64 == shared && found.iter().cloned().collect::<BTreeSet<_>>() == expected;
        if !exact {
            return Err(Failure::plain(format!(
                "the result is wrong: {} rows, {shared} people are shared. Please report this",
                found.len()
            )));
        }
        let evidence = show_evidence(output, &bank, job["id"].as_str().unwrap_or_default()).await?;
        let keys = &job["summary"];
        output.say(
            || {
                serde_json::json!({
                    "rows": self.rows, "shared": shared, "exact": exact, "seconds": seconds,
                    "our_items": keys["our_items"], "peer_items": keys["peer_items"],
                    "evidence": evidence,
                })
            },
            || {
                [
                    format!("{shared} shared customers in {seconds:.1} s, exactly the join in the clear"),
                    format!(
                        "  bank learned: which of its {} customers are members of the shop, and that the shop has {}",
                        keys["our_items"], keys["peer_items"]
                    ),
                    format!("  shop learned: that the bank has {} customers", keys["our_items"]),
                    "  nobody saw a number of the other side".to_owned(),
                ]
                .join("\n")
            },
        )?;
        for party in [&mut bank, &mut shop] {
            party.0.stop();
        }
        if self.keep {
            let kept = folder.keep();
            output.note(|| format!("kept in {}", kept.display()));
        }
        Ok(())
    }
}

/// Has the bank write its evidence of the job, verifies it without either party, and shows what becomes of it when one
/// byte is changed. The file stays when the parties are gone. Returns where it is.
async fn show_evidence(output: Output, bank: &Party, job: &str) -> Result<PathBuf, Failure> {
    let file = std::env::temp_dir().join(format!("tacitly-demo-{job}.evidence"));
    let (text, begin) = (file.display().to_string(), Instant::now());
    narrate(output, bank, &["evidence", job, "--out", &text]).await?;
    // The shop cosigns the bank's log a moment later.
    let (mut bytes, verdict) = loop {
        let bytes = std::fs::read(&file)?;
        let verdict = certificate::verify(&bytes, None).map_err(Failure::plain)?;
        if verdict.levels.is_witnessed() || begin.elapsed() > COSIGNED_WITHIN {
            break (bytes, verdict);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        bank.tacitly_meanwhile(&["evidence", job, "--out", &text, "--force"]).await?;
    };
    narrate(output, bank, &["evidence", "verify", &text]).await?;
    output.note(|| {
        let signed: Vec<String> = verdict.persons().into_iter().map(|(party, _)| party.to_string()).collect();
        let witnesses = verdict.levels.witnessed.as_ref().map_or(0, |standing| standing.cosigned.len());
        format!(
            "  its evidence holds: signed by {}, in the bank's log, cosigned by {witnesses} witness: {text} ({} bytes)",
            signed.join(" and "),
            bytes.len()
        )
    });
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    match certificate::verify(&bytes, None) {
        Ok(_) => Err(Failure::plain("evidence with a changed byte was taken for good. Please report this")),
        Err(refusal) => {
            output.note(|| format!("  with one byte changed it is refused: {refusal}"));
            Ok(file)
        }
    }
}

/// Shows a command as a person would type it, runs it, and returns what it printed.
async fn narrate(output: Output, party: &Party, arguments: &[&str]) -> Result<serde_json::Value, Failure> {
    output.note(|| format!("{}$ tacitly {}", party.name, arguments.join(" ")));
    Ok(party.tacitly_meanwhile(arguments).await?)
}

/// The mobile numbers in the bank's result, read without the code under show: digits only, country code off.
fn numbers_in(file: &Path) -> Result<Vec<String>, Failure> {
    let mut reader = csv::Reader::from_path(file).map_err(Failure::plain)?;
    let column = reader.headers().map_err(Failure::plain)?.iter().position(|name| name == "mobile");
    let column = column.ok_or_else(|| Failure::plain("the result has no column mobile"))?;
    let number = |row: csv::Result<csv::StringRecord>| {
        let row = row.map_err(Failure::plain)?;
        let cell = row.get(column).unwrap_or_default();
        let digits: String = cell.chars().filter_map(plain_digit).collect();
        Ok(digits[digits.len().saturating_sub(11)..].to_owned())
    };
    reader.records().map(number).collect()
}

/// A digit, written half or full width.
fn plain_digit(character: char) -> Option<char> {
    match character {
        '0'..='9' => Some(character),
        '０'..='９' => char::from_digit(u32::from(character) - u32::from('０'), 10),
        _ => None,
    }
}
