//! Budgets that outlive jobs: what was used of each, never more than it has.

use jiff::Timestamp;

use super::StoreError;
use super::database::{Database, Transaction};
use super::record::{count, statement};

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

/// Charges all of these or none. Returns the limit that has no room for it, if there is one.
pub(super) async fn charge(write: &mut Transaction, charges: &[Charge]) -> Result<Option<String>, StoreError> {
    for (at, charge) in charges.iter().enumerate() {
        let sql = "INSERT INTO charges (limit_name, key_digest, window_start, units)
            SELECT $1, $2, $3, $4 WHERE $4 <= $5
            ON CONFLICT (limit_name, key_digest, window_start) DO UPDATE
            SET units = charges.units + excluded.units WHERE charges.units + excluded.units <= $5";
        let query = statement(sql)
            .bind(charge.limit.clone())
            .bind(charge.key.to_vec())
            .bind(window_start(charge, write.now)?)
            .bind(charge.units)
            .bind(charge.most);
        if write.run(query).await? == 0 {
            take_back(write, &charges[..at]).await?;
            return Ok(Some(charge.limit.clone()));
        }
    }
    Ok(None)
}

/// Takes back what was charged in this transaction.
pub(super) async fn take_back(write: &mut Transaction, charges: &[Charge]) -> Result<(), StoreError> {
    for charge in charges {
        let sql = "UPDATE charges SET units = units - $4
                   WHERE limit_name = $1 AND key_digest = $2 AND window_start = $3";
        let query = statement(sql)
            .bind(charge.limit.clone())
            .bind(charge.key.to_vec())
            .bind(window_start(charge, write.now)?)
            .bind(charge.units);
        write.run(query).await?;
    }
    Ok(())
}

/// When the window of a budget began that `now` is in.
fn window_start(charge: &Charge, now: Timestamp) -> Result<i64, StoreError> {
    let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let window = charge.window.filter(|window| *window > 0);
    count("the window of a limit", window.map_or(0, |window| now - now % window))
}
