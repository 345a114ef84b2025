//! `tacitly job submit`: propose a job of any kind, between any number of parties.

use std::collections::BTreeMap;

use clap::Args;
use tacitly_core::Terms;

use super::Failure;
use super::connect::Daemon;
use crate::rpc::control::{AskedParty, Job, SubmitJobRequest};

/// Propose a job of any kind and come back at once; it goes on without us. `tacitly psi` proposes an intersection, waits
/// for its end and writes the rows.
#[derive(Args)]
pub(crate) struct Submit {
    /// The kind of job, such as intersect, align or cardinality.
    #[arg(long)]
    kind: String,
    /// A party, and after a slash its own name for the dataset that it brings. Once for each, this party too.
    #[arg(long = "party", value_name = "NAME[/DATASET]", required = true)]
    parties: Vec<String>,
    /// A party that receives the result. Once for each.
    #[arg(long = "receive", value_name = "NAME", required = true)]
    receivers: Vec<String>,
    /// As what a party takes part, where the kind leaves that open.
    #[arg(long = "role", value_name = "NAME=ROLE")]
    roles: Vec<String>,
    /// What the kind asks beside that: a JSON object of whole numbers, texts, lists and objects.
    #[arg(long, value_name = "JSON", default_value = "", hide_default_value = true)]
    params: String,
    /// Why, for the rules of the others and all audit trails.
    #[arg(long, default_value = "", hide_default_value = true)]
    purpose: String,
    /// The moment from which on no attempt at the job begins any more, such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "MOMENT", default_value = "", hide_default_value = true)]
    expires: String,
    /// The same key submits the job once, however often the command is repeated.
    #[arg(long, alias = "key", default_value = "", hide_default_value = true)]
    request_key: String,
}

impl Submit {
    /// Submits the job.
    ///
    /// # Errors
    /// What is wrong with the words, or what the daemon says.
    pub(crate) async fn submit(self, daemon: &mut Daemon) -> Result<Job, Failure> {
        Ok(daemon.submit_job(self.into_request()?).await?.into_inner())
    }

    fn into_request(self) -> Result<SubmitJobRequest, Failure> {
        let mut parties = BTreeMap::new();
        for words in &self.parties {
            let (name, dataset) = words.split_once('/').unwrap_or((words, ""));
            let party = AskedParty { party: name.to_owned(), dataset: dataset.to_owned(), ..AskedParty::default() };
            if parties.insert(name, party).is_some() {
                return Err(Failure::hinted(format!("--party names {name:?} twice"), "name each party once"));
            }
        }
        let unknown = |option: &str, name: &str| {
            Failure::hinted(
                format!("{option} names {name:?}, which is no party of the job"),
                format!("add it with --party {name}"),
            )
        };
        for name in &self.receivers {
            parties.get_mut(name.as_str()).ok_or_else(|| unknown("--receive", name))?.receives = true;
        }
        for words in &self.roles {
            let (name, role) = words.split_once('=').ok_or_else(|| {
                Failure::hinted(format!("--role says nothing in {words:?}"), "write NAME=ROLE, for example bank=helper")
            })?;
            role.clone_into(&mut parties.get_mut(name).ok_or_else(|| unknown("--role", name))?.role);
        }
        Ok(SubmitJobRequest {
            kind: self.kind,
            parties: parties.into_values().collect(),
            params: canonical(&self.params)?,
            purpose: self.purpose,
            expires: self.expires,
            request_key: self.request_key,
        })
    }
}

/// Parameters in the one form that a daemon reads.
fn canonical(params: &str) -> Result<String, Failure> {
    if params.is_empty() {
        return Ok(String::new());
    }
    let terms: Terms = serde_json::from_str(params).map_err(|error| {
        Failure::hinted(
            format!("--params cannot be read: {error}"),
            "write a JSON object of whole numbers, texts, lists and objects, for example '{\"rounds\":3}'",
        )
    })?;
    Ok(String::from_utf8_lossy(&terms.canonical()).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        submit: Submit,
    }

    fn request(words: &[&str]) -> Result<SubmitJobRequest, String> {
        let kind = ["submit", "--kind", "tally"];
        let words = Words::try_parse_from(kind.iter().chain(words)).map_err(|error| error.to_string())?;
        words.submit.into_request().map_err(|failure| failure.to_string())
    }

    #[test]
    fn any_number_of_parties_is_named_each_with_its_data_role_and_whether_it_receives() {
        let asked = request(&[
            "--party",
            "bank/customers",
            "--party",
            "shop/members",
            "--party",
            "referee",
            "--receive",
            "bank",
            "--role",
            "referee=helper",
            "--params",
            r#"{ "rounds": 3, "by": ["town"] }"#,
            "--key",
            "once",
        ])
        .unwrap();
        let told: Vec<_> = asked
            .parties
            .iter()
            .map(|party| (party.party.as_str(), party.dataset.as_str(), party.role.as_str(), party.receives))
            .collect();
        let expected =
            [("bank", "customers", "", true), ("referee", "", "helper", false), ("shop", "members", "", false)];
        assert_eq!(told, expected);
        assert_eq!((asked.params.as_str(), asked.request_key.as_str()), (r#"{"by":["town"],"rounds":3}"#, "once"));
    }

    #[test]
    fn words_that_make_no_job_are_refused_by_what_is_wrong_with_them() {
        let parties = ["--party", "bank", "--party", "shop", "--receive", "bank"];
        for (words, wrong) in [
            (&["--party", "bank"][..], "twice"),
            (&["--receive", "mill"], "\"mill\", which is no party"),
            (&["--role", "mill=helper"], "\"mill\", which is no party"),
            (&["--role", "helper"], "NAME=ROLE"),
            (&["--params", "[1]"], "--params cannot be read"),
            (&["--params", "{\"share\":0.5}"], "--params cannot be read"),
        ] {
            let refused = request(&[&parties[..], words].concat()).unwrap_err();
            assert!(refused.contains(wrong), "{words:?}: {refused}");
        }
    }
}
