//! What each peer or member of a consortium may do with each dataset, as the policy wrote it. No rule means no permission; that is the policy's
//! to apply, as is the meaning of a rule and of its expiry.

use jiff::Timestamp;
use serde_json::{Value, json};
use tacitly_core::PartyId;

use super::StoreError;
use super::database::Database;
use super::datasets::require_dataset;
use super::events::note;
use super::parties::require_known;
use super::record::{Row, moment, rounded, statement};

/// A rule for one dataset and one party.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The dataset.
    pub dataset: String,
    /// The party, a peer or a member of a consortium.
    pub peer: PartyId,
    /// What is allowed.
    pub rule: Value,
    /// Whether it was given for another file than the dataset now is.
    pub is_of_another_file: bool,
    /// When it was set.
    pub created_at: Timestamp,
    /// From when it allows nothing; [`RuleTable::get`] returns it all the same.
    pub expires_at: Option<Timestamp>,
}

const SELECT: &str =
    "SELECT dataset, peer, rule, rules.stamp <> datasets.stamp AS is_of_another_file, created_at, expires_at
    FROM rules JOIN datasets ON name = dataset
    WHERE ($1 IS NULL OR dataset = $1) AND ($2 IS NULL OR peer = $2) ORDER BY dataset, peer";

/// What others may do with our datasets.
#[derive(Clone, Copy)]
pub struct RuleTable<'s>(pub(super) &'s Database);

impl RuleTable<'_> {
    /// Sets the rule for a dataset, as its file now is, and a peer, in place of the one there was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dataset, or neither peer nor member of that name; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn set(
        self,
        dataset: &str,
        peer: PartyId,
        rule: Value,
        expires: Option<Timestamp>,
        by: &str,
    ) -> Result<Rule, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        require_known(&mut write, peer).await?;
        require_dataset(&mut write, dataset).await?;
        let sql = "INSERT INTO rules (dataset, peer, rule, stamp, created_at, expires_at)
            VALUES ($1, $2, $3, (SELECT stamp FROM datasets WHERE name = $1), $4, $5)
            ON CONFLICT (dataset, peer) DO UPDATE SET rule = excluded.rule, stamp = excluded.stamp,
                created_at = excluded.created_at, expires_at = excluded.expires_at";
        let query = statement(sql)
            .bind(dataset.to_owned())
            .bind(peer.to_string())
            .bind(rule.to_string())
            .bind(moment(write.now))
            .bind(expires.map(moment));
        write.run(query).await?;
        let detail = json!({ "dataset": dataset, "peer": peer, "rule": rule, "expires": expires.map(moment) });
        note(&mut write, by, "rule-set", detail).await?;
        let created_at = write.now;
        write.commit_trusted().await?;
        let (dataset, expires_at) = (dataset.to_owned(), expires.map(rounded));
        Ok(Rule { dataset, peer, rule, is_of_another_file: false, created_at, expires_at })
    }

    /// Lets all rules for a dataset stand for its file as it now is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dataset; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn confirm(self, dataset: &str, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        require_dataset(&mut write, dataset).await?;
        let sql = "UPDATE rules SET stamp = (SELECT stamp FROM datasets WHERE name = $1) WHERE dataset = $1";
        write.run(statement(sql).bind(dataset.to_owned())).await?;
        note(&mut write, by, "rules-confirmed", json!({ "dataset": dataset })).await?;
        write.commit_trusted().await
    }

    /// The rule for a dataset and a peer, expired or not; none if nobody set one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, dataset: &str, peer: PartyId) -> Result<Option<Rule>, StoreError> {
        let query = statement(SELECT).bind(dataset.to_owned()).bind(peer.to_string());
        self.0.trusted_rows(query).await?.first().map(read).transpose()
    }

    /// All rules, or those about one dataset, by dataset and peer.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self, dataset: Option<&str>) -> Result<Vec<Rule>, StoreError> {
        let query = statement(SELECT).bind(dataset.map(str::to_owned)).bind(None::<String>);
        self.0.trusted_rows(query).await?.iter().map(read).collect()
    }

    /// Takes a rule back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn remove(self, dataset: &str, peer: PartyId, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let query = statement("DELETE FROM rules WHERE dataset = $1 AND peer = $2");
        if write.run(query.bind(dataset.to_owned()).bind(peer.to_string())).await? == 0 {
            return Err(StoreError::not_found("rule for", format_args!("{dataset} and {peer}")));
        }
        note(&mut write, by, "rule-removed", json!({ "dataset": dataset, "peer": peer })).await?;
        write.commit_trusted().await
    }
}

fn read(row: &Row) -> Result<Rule, StoreError> {
    Ok(Rule {
        dataset: row.get("dataset")?,
        peer: row.parse("peer")?,
        rule: row.json("rule")?,
        is_of_another_file: row.get("is_of_another_file")?,
        created_at: row.parse("created_at")?,
        expires_at: row.parse_optional("expires_at")?,
    })
}
