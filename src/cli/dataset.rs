//! `tacitly dataset`: files that jobs may use, and who may use them.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::Value;
use zeroize::Zeroizing;

use super::connect::{Daemon, Way};
use super::opening::{Reader, begin_private, finish};
use super::output::{table, unfolded};
use super::{Failure, Output, connect, pages};
use crate::policy::Rule;
use crate::rpc::control;

/// Datasets: add, list, remove, allow, deny, open, open-basis.
#[derive(Subcommand)]
pub(crate) enum Dataset {
    Add(Add),
    /// List datasets with their rules.
    List,
    /// Forget a dataset and destroy what opens its fingerprints; the file stays where it is.
    Remove {
        /// The dataset's name.
        name: String,
    },
    Allow(Allow),
    Open(Open),
    OpenBasis(OpenBasis),
    /// Take a peer's rule away: it may do nothing with the dataset.
    Deny {
        /// The dataset's name.
        name: String,
        /// The peer, or the member of a consortium.
        peer: String,
    },
}

/// Register a file: check every row, remember its SHA-256, and put its salted fingerprint on record.
#[derive(Args)]
pub(crate) struct Add {
    /// The dataset's name.
    name: String,
    /// The file; it stays where it is.
    path: PathBuf,
    /// A key column and its profile, COLUMN=PROFILE; several make one key. Profiles: raw, trim-casefold, cn-mobile,
    /// e164, cn-id18, email, md5hex, sha256hex, sm3hex.
    #[arg(long, required = true, value_name = "COLUMN=PROFILE")]
    key: Vec<String>,
    /// csv or parquet, if the file's ending does not say.
    #[arg(long, default_value = "", hide_default_value = true)]
    format: String,
    /// The file's encoding; it is declared, never guessed: utf-8, gbk, gb18030.
    #[arg(long, default_value = "utf-8")]
    encoding: String,
    /// The CSV delimiter: one character, or tab.
    #[arg(long, default_value = ",")]
    delimiter: String,
    /// The first line of the CSV file is a row: its columns are column_1, column_2 and so on.
    #[arg(long)]
    no_header: bool,
    /// Rows with the same key: error, first (the first counts), all (all appear in results).
    #[arg(long, default_value = "error")]
    duplicates: String,
    /// Rows whose key its profile refuses: error, or skip with a count.
    #[arg(long, default_value = "error")]
    invalid: String,
    /// Replace the dataset of this name. Its rules stay; the report lists the peers that have one. With a token, they decide
    /// nothing by themselves until an approver has set them again.
    #[arg(long)]
    replace: bool,
    /// A peer that may run every kind of job there is now with this dataset. One that has a rule keeps it: `dataset allow`
    /// gives narrower rules and changes them.
    #[arg(long, value_name = "PEER")]
    allow: Vec<String>,
    /// The days that the data describe, first and last: 2026-01-01/2026-03-31. They go on record with the fingerprint.
    #[arg(long, value_name = "FROM/TO", default_value = "", hide_default_value = true)]
    period: String,
    /// The document with the lawful basis on which the data are held, such as the consent text or the contract. A salted
    /// commitment to its exact bytes goes on record; keep the document itself.
    #[arg(long, value_name = "FILE")]
    basis: Option<PathBuf>,
}

/// Open one record to an arbiter: writes it to a private file, with what shows that it belongs to the dataset's
/// fingerprint on record. All other records stay hidden. The file holds personal data. That a record was opened, to whom
/// and why goes on record first; which one does not.
#[derive(Args)]
pub(crate) struct Open {
    /// The dataset's name.
    name: String,
    /// The row, counted from 1 without the header.
    #[arg(long)]
    row: u64,
    /// The new file, which only you can read.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The fingerprint of an earlier version, as it stands in that version's entry.
    #[arg(long, default_value = "", hide_default_value = true)]
    fingerprint: String,
    /// The file of that version, if it is not where the dataset's file is now.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    reader: Reader,
}

/// Open the lawful basis of a dataset to an arbiter: writes the salt of its commitment to a private file. Give it to the
/// arbiter with the document. That it was opened, to whom and why goes on record first.
#[derive(Args)]
pub(crate) struct OpenBasis {
    /// The dataset's name.
    name: String,
    /// The new file for the salt, which only you can read.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The fingerprint of an earlier version, as it stands in that version's entry.
    #[arg(long, default_value = "", hide_default_value = true)]
    fingerprint: String,
    #[command(flatten)]
    reader: Reader,
}

/// Give a peer a rule for a dataset, or change the one it has: what is not named stays as it was. A first rule allows
/// every kind of job and column there is now, but for what is named.
#[derive(Args)]
pub(crate) struct Allow {
    /// The dataset's name.
    name: String,
    /// The peer, or the member of a consortium.
    peer: String,
    /// Kinds of job, with commas between them: intersect, align, cardinality; all for those there are now.
    #[arg(long, value_delimiter = ',', value_name = "A,B", value_parser = NonEmptyStringValueParser::new())]
    kinds: Option<Vec<String>>,
    /// Who may receive results: any (any party of the job), us, peer.
    #[arg(long, hide_possible_values = true, value_parser = ["any", "us", "peer"])]
    receivers: Option<String>,
    /// A person decides each job with `tacitly approve`.
    #[arg(long, conflicts_with = "automatic")]
    manual: bool,
    /// The rule itself decides.
    #[arg(long)]
    automatic: bool,
    /// Purposes that may be stated, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "A,B", conflicts_with = "any_purpose")]
    purposes: Option<Vec<String>>,
    /// Any purpose may be stated.
    #[arg(long)]
    any_purpose: bool,
    /// Columns that may leave in results of jobs with this peer, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "A,B", value_parser = NonEmptyStringValueParser::new())]
    columns: Option<Vec<String>>,
    /// The columns that the dataset has now may leave.
    #[arg(long, conflicts_with_all = ["columns", "no_columns"])]
    all_columns: bool,
    /// No column may leave.
    #[arg(long, conflicts_with = "columns")]
    no_columns: bool,
    /// A limit of a kind of job, such as min_intersection=1000; a list of words has commas, and 0 or none takes a limit
    /// away. May be given several times.
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<(String, Value)>,
    /// Jobs per 24 hours; 0 for no limit.
    #[arg(long, value_name = "N")]
    per_day: Option<u64>,
    /// The moment the rule ends, such as 2027-01-01T00:00:00Z, or never.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    expires: Option<Value>,
}

impl Dataset {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        match self {
            Self::Add(add) => {
                let reply = daemon.add_dataset(add.into_request()?).await?.into_inner();
                let dataset = reply.dataset.unwrap_or_default();
                output.note(|| reply.report.clone());
                output.say(
                    || json(&dataset),
                    || format!("{}: {} rows, {}", dataset.name, dataset.rows, dataset.sha256),
                )?;
            }
            Self::List => {
                let datasets = pages::datasets(&mut daemon).await?;
                output.say(|| datasets.iter().map(json).collect::<Vec<_>>(), || listing(&datasets))?;
            }
            Self::Remove { name } => {
                daemon.remove_dataset(control::RemoveDatasetRequest { name: name.clone() }).await?;
                output.say(
                    || serde_json::json!({ "removed": name }),
                    || {
                        format!(
                            "{name} is forgotten. What opened its fingerprints is destroyed: no record of it can be \
                             opened any more.\nResults of its finished jobs that are rows of its file cannot be \
                             fetched any more. The file itself is where it was."
                        )
                    },
                )?;
            }
            Self::Allow(allow) => {
                let (dataset, peer) = (allow.name.clone(), allow.peer.clone());
                let json = allow.into_change();
                let request = control::SetRuleRequest { dataset: dataset.clone(), peer: peer.clone(), json };
                let control::SetRuleReply { json: rule, difference, .. } = daemon.set_rule(request).await?.into_inner();
                output.say(
                    || {
                        let rule: Value = serde_json::from_str(&rule).unwrap_or_default();
                        serde_json::json!({ "rule": rule, "difference": difference })
                    },
                    || {
                        let lines = difference.iter().map(|line| format!("\n  {line}"));
                        format!("{peer} may use {dataset}: {}{}", rule_in_words(&rule), lines.collect::<String>())
                    },
                )?;
            }
            Self::Open(open) => open.run(&mut daemon, output).await?,
            Self::OpenBasis(open) => open.run(&mut daemon, output).await?,
            Self::Deny { name, peer } => {
                let request =
                    control::SetRuleRequest { dataset: name.clone(), peer: peer.clone(), json: String::new() };
                let removed = daemon.set_rule(request).await?.into_inner().removed;
                output.say(
                    || serde_json::json!({ "dataset": name, "denied": peer, "removed": removed }),
                    || match removed {
                        true => format!("{peer} may no longer use {name}"),
                        false => format!("{peer} had no rule for {name}, and may not use it"),
                    },
                )?;
            }
        }
        Ok(())
    }
}

impl Add {
    fn into_request(self) -> Result<control::AddDatasetRequest, Failure> {
        let path = whole_path(Some(self.path))?;
        let basis = whole_path(self.basis)?;
        let keys = self.key.iter().map(|text| parse_key(text)).collect::<Result<_, _>>()?;
        Ok(control::AddDatasetRequest {
            name: self.name,
            path,
            format: self.format,
            encoding: self.encoding,
            delimiter: self.delimiter,
            keys,
            duplicates: self.duplicates,
            invalid: self.invalid,
            replace: self.replace,
            allow: self.allow,
            period: self.period,
            basis,
            no_header: self.no_header,
        })
    }
}

impl Open {
    async fn run(self, daemon: &mut Daemon, output: Output) -> Result<(), Failure> {
        let file = whole_path(self.file)?;
        let shown = self.out.display();
        let out = begin_private(&self.out)?;
        let Reader { to, purpose } = self.reader;
        let (dataset, row) = (self.name, self.row);
        let asked = control::OpenRecordRequest {
            dataset: dataset.clone(),
            row,
            fingerprint: self.fingerprint,
            file,
            to: to.clone(),
            purpose,
        };
        let reply = daemon.open_record(asked).await?.into_inner();
        finish(out, &self.out, &reply.opening)?;
        output.note(|| {
            "this file holds personal data: give it to the arbiter and to nobody else, and remove it afterwards".into()
        });
        let columns = &reply.columns;
        output.say(
            || {
                serde_json::json!({
                    "dataset": dataset, "row": row, "rows": reply.rows, "fingerprint": reply.fingerprint,
                    "columns": columns, "file": self.out, "personal_data": true, "to": to, "entry": reply.entry,
                })
            },
            || {
                format!(
                    "{shown}: row {row} of {} of {dataset}, {}\n  columns: {}\n  on record: opened to {to}, {}\n  check: tacitly evidence verify-opening {shown} --certificate FILE",
                    reply.rows,
                    reply.fingerprint,
                    columns.join(", "),
                    reply.entry,
                )
            },
        )?;
        Ok(())
    }
}

impl OpenBasis {
    async fn run(self, daemon: &mut Daemon, output: Output) -> Result<(), Failure> {
        let shown = self.out.display();
        let out = begin_private(&self.out)?;
        let Reader { to, purpose } = self.reader;
        let (dataset, fingerprint) = (self.name, self.fingerprint);
        let asked = control::OpenBasisRequest { dataset: dataset.clone(), fingerprint, to: to.clone(), purpose };
        let reply = daemon.open_basis(asked).await?.into_inner();
        let digits = Zeroizing::new(format!("{}\n", HEXLOWER.encode(&reply.salt)));
        finish(out, &self.out, digits.as_bytes())?;
        output.note(|| "whoever has this salt can test guesses of the document: give it to the arbiter only".into());
        output.say(
            || {
                serde_json::json!({
                    "dataset": dataset, "fingerprint": reply.fingerprint, "basis": reply.basis, "file": self.out,
                    "to": to, "entry": reply.entry,
                })
            },
            || {
                format!(
                    "{shown}: the salt of the basis of {dataset}, {}\n  on record: opened to {to}, {}\n  check: tacitly evidence verify-basis DOCUMENT --salt {shown} --certificate FILE",
                    reply.basis, reply.entry
                )
            },
        )?;
        Ok(())
    }
}

/// A path as the daemon needs it, which may run in another folder; empty if there is none.
fn whole_path(path: Option<PathBuf>) -> Result<String, Failure> {
    let path = path.map(std::path::absolute).transpose()?.unwrap_or_default();
    path.into_os_string().into_string().map_err(|_| Failure::plain("the path is not UTF-8; rename the file"))
}

fn parse_key(text: &str) -> Result<control::KeyColumn, Failure> {
    // A column name may hold '=', a profile name never does.
    let (column, profile) = text.rsplit_once('=').ok_or_else(|| {
        Failure::hinted(format!("--key {text} names no profile"), "write COLUMN=PROFILE, for example mobile=cn-mobile")
    })?;
    Ok(control::KeyColumn { column: column.to_owned(), profile: profile.to_owned() })
}

impl Allow {
    /// The change of the rule: only what the command line names.
    fn into_change(self) -> String {
        let all = || Value::from("all");
        let kinds = self.kinds.map(|kinds| if kinds == ["all"] { all() } else { kinds.into() });
        let columns = match self.columns {
            _ if self.all_columns => Some(all()),
            _ if self.no_columns => Some(Value::Array(Vec::new())),
            columns => columns.map(Value::from),
        };
        let purposes = if self.any_purpose { Some(Value::Null) } else { self.purposes.map(Value::from) };
        let approval = match (self.manual, self.automatic) {
            (true, _) => Some("manual".into()),
            (_, true) => Some("automatic".into()),
            _ => None,
        };
        let limits = (!self.limits.is_empty()).then(|| Value::Object(self.limits.into_iter().collect()));
        let named = [
            ("kinds", kinds),
            ("receivers", self.receivers.map(Value::from)),
            ("approval", approval),
            ("purposes", purposes),
            ("columns", columns),
            ("per_day", self.per_day.map(Value::from)),
            ("expires", self.expires),
            ("limits", limits),
        ];
        let fields = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(fields.collect()).to_string()
    }
}

/// A dataset for `--json`: the rules are JSON, too.
fn json(dataset: &control::Dataset) -> Value {
    let mut value = unfolded(dataset, &[]);
    value["rules"] = unfolded(&dataset.rules, &["json"]);
    value
}

fn listing(datasets: &[control::Dataset]) -> String {
    if datasets.is_empty() {
        return "no datasets; `tacitly dataset add` registers a file".to_owned();
    }
    let mut rows = vec![["DATASET", "ROWS", "KEY", "FILE"].map(str::to_owned).to_vec()];
    for dataset in datasets {
        let key = dataset.keys.iter().map(|key| format!("{}={}", key.column, key.profile)).collect::<Vec<_>>();
        rows.push(vec![dataset.name.clone(), dataset.rows.to_string(), key.join(","), dataset.path.clone()]);
    }
    let lines = table(&rows);
    let mut lines = lines.lines();
    let mut listing: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
    for (line, dataset) in lines.zip(datasets) {
        listing.push(line.to_owned());
        if dataset.rules.is_empty() {
            listing.push("  nobody may use it".to_owned());
        }
        listing.extend(dataset.rules.iter().map(line_of));
    }
    listing.join("\n")
}

/// A rule, with whom it is for.
fn line_of(rule: &control::Rule) -> String {
    let suspended =
        if rule.of_another_file { "; of the file before: a person decides until it is set again" } else { "" };
    format!("  {}: {}{suspended}", rule.peer, rule_in_words(&rule.json))
}

/// A rule as its owner reads it; one that is over says so first.
fn rule_in_words(json: &str) -> String {
    match serde_json::from_str::<Rule>(json) {
        Ok(rule) if rule.expires.is_some_and(|moment| moment <= jiff::Timestamp::now()) => {
            format!("nothing any more, the rule is over ({rule})")
        }
        Ok(rule) => rule.to_string(),
        // The daemon may be newer than this command.
        Err(_) => json.to_owned(),
    }
}

fn moment(text: &str) -> Result<Value, &'static str> {
    if text == "never" {
        return Ok(Value::Null);
    }
    let moment: jiff::Timestamp = text
        .parse()
        .map_err(|_| "write date, time and zone as in 2027-01-01T00:00:00Z or 2027-01-01T08:00:00+08:00, or never")?;
    Ok(moment.to_string().into())
}

fn limit(text: &str) -> Result<(String, Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, for example min_intersection=1000")?;
    let value = match (value, value.parse::<u64>()) {
        ("", _) => return Err("write a number or words after the '=', or none for no limit"),
        ("none", _) => Value::Null,
        ("all", _) => value.into(),
        (_, Ok(number)) => number.into(),
        _ => value.split(',').filter(|word| !word.is_empty()).collect::<Vec<_>>().into(),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        allow: Allow,
    }

    fn change(words: &str) -> Value {
        let words = ["allow", "ids", "shop"].into_iter().chain(words.split_whitespace());
        serde_json::from_str(&Line::try_parse_from(words).unwrap().allow.into_change()).unwrap()
    }

    #[test]
    fn a_change_holds_what_the_command_line_names_and_nothing_else() {
        for (words, json) in [
            ("", "{}"),
            ("--kinds all --all-columns", r#"{"kinds":"all","columns":"all"}"#),
            ("--kinds a,all --columns all", r#"{"kinds":["a","all"],"columns":["all"]}"#),
            ("--no-columns --automatic", r#"{"columns":[],"approval":"automatic"}"#),
            ("--manual --any-purpose", r#"{"approval":"manual","purposes":null}"#),
            ("--purposes a,b --receivers us", r#"{"purposes":["a","b"],"receivers":"us"}"#),
            ("--expires never --per-day 0", r#"{"expires":null,"per_day":0}"#),
            ("--expires 2027-01-01T08:00:00+08:00", r#"{"expires":"2027-01-01T00:00:00Z"}"#),
            (
                "--limit a=5 --limit b=x,y --limit c=none --limit d=7, --limit e=all",
                r#"{"limits":{"a":5,"b":["x","y"],"c":null,"d":["7"],"e":"all"}}"#,
            ),
        ] {
            assert_eq!(change(words), serde_json::from_str::<Value>(json).unwrap(), "{words}");
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for words in [
            "--manual --automatic",
            "--columns n --all-columns",
            "--columns n --no-columns",
            "--all-columns --no-columns",
            "--purposes a --any-purpose",
            "--limit a",
            "--limit a=",
        ] {
            let words = ["allow", "ids", "shop"].into_iter().chain(words.split_whitespace());
            assert!(Line::try_parse_from(words).is_err());
        }
    }
}
