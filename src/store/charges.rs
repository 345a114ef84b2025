//! Budgets that outlive jobs: what was used of each, never more than it has.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::StoreError;
use super::database::{Database, Transaction};
use super::record::{ManyRows, count, statement};

/// What one answer uses of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The limit that it counts towards.
    pub limit: String,
    /// For which of its keys, such as an asker or a keyed hash of an identifier: never the hash of an identifier alone,
    /// which can be guessed.
    pub key: [u8; 32],
    /// How much is used.
    pub units: u32,
    /// How much may be used in one window, this included.
    pub most: u32,
    /// How long a window is, in milliseconds; windows begin at whole multiples of it since 1970. None: the budget is one
    /// for ever.
    pub window: Option<u64>,
}

/// What is used of budgets.
#[derive(Clone, Copy)]
pub struct ChargeTable<'s>(pub(super) &'s Database);

impl ChargeTable<'_> {
    /// How much is used of a budget, in its present window.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn used(self, charge: &Charge) -> Result<u64, StoreError> {
        let sql = "SELECT units FROM charges WHERE limit_name = $1 AND key_digest = $2 AND window_start = $3";
        let start = window_start(charge, self.0.now())?;
        let query = statement(sql).bind(charge.limit.clone()).bind(charge.key.to_vec()).bind(start);
        self.0.row(query).await?.map_or(Ok(0), |row| row.count("units"))
    }
}

/// The budgets that what came together uses, while its transaction lasts.
#[derive(Default)]
pub(super) struct Budgets(BTreeMap<Budget, Units>);

/// A limit, one of its keys, and when the window began.
type Budget = (String, [u8; 32], i64);

#[derive(Default)]
struct Units {
    used: u64,
    added: u64,
}

impl Budgets {
    /// Reads what is used of all budgets that these use.
    pub(super) async fn read<'c>(
        write: &mut Transaction,
        charges: impl Iterator<Item = &'c Charge>,
    ) -> Result<Self, StoreError> {
        let now = write.now;
        let budgets = charges.map(|charge| Ok((budget(charge, now)?, Units::default())));
        let mut this = Self(budgets.collect::<Result<_, StoreError>>()?);
        if this.0.is_empty() {
            return Ok(this);
        }
        let mut sql = ManyRows::new("WITH asked (limit_name, key_digest, window_start) AS (");
        sql.push_values(this.0.keys(), |mut row, (limit, key, start)| {
            row.push_bind(limit.clone()).push_bind(key.to_vec()).push_bind(*start);
        });
        sql.push(
            ") SELECT charges.limit_name, charges.key_digest, charges.window_start, charges.units FROM asked
               JOIN charges ON charges.limit_name = asked.limit_name AND charges.key_digest = asked.key_digest
                   AND charges.window_start = asked.window_start",
        );
        for row in write.rows_of_many(sql).await? {
            let key: Vec<u8> = row.get("key_digest")?;
            let key = key.try_into().map_err(|_| row.damaged("key_digest"))?;
            let budget = (row.get("limit_name")?, key, row.get("window_start")?);
            this.0.entry(budget).or_default().used = row.count("units")?;
        }
        Ok(this)
    }

    /// Charges all of these or none. Returns the limit that has no room for it, if there is one.
    pub(super) fn charge(&mut self, charges: &[Charge], now: Timestamp) -> Result<Option<String>, StoreError> {
        for (at, charge) in charges.iter().enumerate() {
            let units = self.0.entry(budget(charge, now)?).or_default();
            units.added += u64::from(charge.units);
            if units.used + units.added > u64::from(charge.most) {
                for taken in &charges[..=at] {
                    self.0.entry(budget(taken, now)?).or_default().added -= u64::from(taken.units);
                }
                return Ok(Some(charge.limit.clone()));
            }
        }
        Ok(None)
    }

    /// Puts down what was charged.
    pub(super) async fn write(self, write: &mut Transaction) -> Result<(), StoreError> {
        let charged = self.0.into_iter().filter(|(_, units)| units.added > 0);
        let mut rows = Vec::new();
        for ((limit, key, start), units) in charged {
            rows.push((limit, key, start, count("the units of a budget", units.added)?));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut sql = ManyRows::new("INSERT INTO charges (limit_name, key_digest, window_start, units) ");
        sql.push_values(rows, |mut row, (limit, key, start, units)| {
            row.push_bind(limit).push_bind(key.to_vec()).push_bind(start).push_bind(units);
        });
        sql.push(
            " ON CONFLICT (limit_name, key_digest, window_start) DO UPDATE SET units = charges.units + excluded.units",
        );
        write.run_many(sql).await
    }
}

fn budget(charge: &Charge, now: Timestamp) -> Result<Budget, StoreError> {
    Ok((charge.limit.clone(), charge.key, window_start(charge, now)?))
}

/// When the window of a budget began that `now` is in.
fn window_start(charge: &Charge, now: Timestamp) -> Result<i64, StoreError> {
    let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let window = charge.window.filter(|window| *window > 0);
    count("the window of a limit", window.map_or(0, |window| now - now % window))
}
