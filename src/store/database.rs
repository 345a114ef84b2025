//! The database file: its schema, its connections, reading, and writing in transactions. Whatever only SQLite understands
//! stands here and in the schema.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use tokio::sync::RwLock;

use super::lock::{Lock, beside};
use super::record::{ManyRows, Row, Statement, rounded};
use super::{Sealer, StoreError, files};

/// The schema, and every change of it since. The compiler does not see a new file there by itself: touch this one when you add it.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// "tacl", as the first migration writes it.
const APPLICATION: i64 = 1_952_539_500;
/// How long a write waits for another program that has the file open.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// A statement of which one condition is that some bytes do not hold others.
macro_rules! lacks {
    ($before:literal, $bytes:literal, $others:literal, $behind:literal) => {
        concat!($before, "instr(", $bytes, ", ", $others, ") = 0", $behind)
    };
}
pub(super) use lacks;

/// Where the store reads the time: the system's clock, or a test's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// An open database file.
///
/// There is one connection that writes, so transactions queue instead of failing, and a few that read; a reader sees
/// the last committed state and never waits for a writer.
pub(super) struct Database {
    path: Arc<Path>,
    writer: SqlitePool,
    readers: SqlitePool,
    /// Whoever reads or writes sealed values holds this for reading until done, so that a rekey waits for them and
    /// they for it. Always taken before a transaction begins.
    pub(super) sealer: RwLock<Sealer>,
    clock: Clock,
    _lock: Lock,
}

impl Database {
    /// Opens the file, or makes a new one (mode 0600) if there is none.
    pub(super) async fn open(path: &Path, sealer: Sealer, clock: Clock) -> Result<Self, StoreError> {
        let path: Arc<Path> = settled(path)?.into();
        let lock = Lock::take(&path)?;
        // From here to the end no code of ours opens the database file directly: closing it would drop the locks that
        // SQLite holds for this process.
        for suffix in ["", "-wal", "-shm"] {
            files::refuse_loose(&beside(&path, suffix))?;
        }
        if path.exists() {
            inspect(&path).await?;
        } else {
            files::create_private(&path, &[])?;
        }
        let fault = |error| StoreError::database(&path, error);
        let options = options(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            // A file does not hang up: nothing is gained by asking the connection whether it is there.
            .test_before_acquire(false)
            // When the disk is full SQLite may roll back by itself; sqlx then counts a transaction that is no more, and
            // every later one on this connection would fail. Such a connection is closed, the pool opens another.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options)
            .await
            .map_err(fault)?;
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&writer).await.map_err(fault)?;
        if journal != "wal" {
            return Err(StoreError::Unsupported { path: path.to_path_buf(), why: "it has no write-ahead log there" });
        }
        MIGRATIONS.run(&writer).await.map_err(|error| migration_fault(&path, error))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(self::options(&path).pragma("query_only", "ON"));
        Ok(Self { path, writer, readers, sealer: RwLock::new(sealer), clock, _lock: lock })
    }

    /// Closes the file and lets the lock go.
    pub(super) async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The database file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The time, to the millisecond.
    pub(super) fn now(&self) -> Timestamp {
        rounded((self.clock)())
    }

    /// Begins a transaction that writes. Dropped without [`Transaction::commit`], it changes nothing.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        // IMMEDIATE: what the transaction reads stays true until it commits.
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.fault(error))?;
        Ok(Transaction { transaction, path: self.path.clone(), now: self.now() })
    }

    pub(super) async fn row(&self, statement: Statement) -> Result<Option<Row>, StoreError> {
        let row = statement.fetch_optional(&self.readers).await.map_err(|error| self.fault(error))?;
        Ok(row.map(|row| Row { row, path: self.path.clone() }))
    }

    pub(super) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let rows = statement.fetch_all(&self.readers).await.map_err(|error| self.fault(error))?;
        Ok(rows.into_iter().map(|row| Row { row, path: self.path.clone() }).collect())
    }

    /// Moves what the write-ahead log holds into the database and cuts it, so that it keeps no overwritten secret.
    pub(super) async fn cut_log(&self) {
        // A reader or a full disk may stand in the way; the log is then cut the next time, or when the store closes.
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await {
            tracing::warn!(%error, "the write-ahead log of the store could not be cut yet");
        }
    }

    fn fault(&self, error: sqlx::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }
}

/// A transaction that writes.
pub(crate) struct Transaction {
    transaction: sqlx::Transaction<'static, Sqlite>,
    path: Arc<Path>,
    /// The time of everything in this transaction.
    pub(crate) now: Timestamp,
}

impl Transaction {
    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement) -> Result<u64, StoreError> {
        let done = statement.execute(&mut *self.transaction).await;
        done.map(|done| done.rows_affected()).map_err(|error| StoreError::database(&self.path, error))
    }

    /// Runs a statement that inserts one row; false if such a row is there already.
    pub(crate) async fn insert(&mut self, statement: Statement) -> Result<bool, StoreError> {
        match statement.execute(&mut *self.transaction).await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(StoreError::database(&self.path, error)),
        }
    }

    pub(crate) async fn row(&mut self, statement: Statement) -> Result<Option<Row>, StoreError> {
        let row = statement.fetch_optional(&mut *self.transaction).await;
        let row = row.map_err(|error| StoreError::database(&self.path, error))?;
        Ok(row.map(|row| Row { row, path: self.path.clone() }))
    }

    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let rows = statement.fetch_all(&mut *self.transaction).await;
        let rows = rows.map_err(|error| StoreError::database(&self.path, error))?;
        Ok(rows.into_iter().map(|row| Row { row, path: self.path.clone() }).collect())
    }

    /// Runs a statement over many rows. Its text is of this number of rows, so that it is not kept for the next time.
    pub(crate) async fn run_many(&mut self, mut rows: ManyRows) -> Result<(), StoreError> {
        let done = rows.build().persistent(false).execute(&mut *self.transaction).await;
        done.map(drop).map_err(|error| StoreError::database(&self.path, error))
    }

    /// The rows of a statement over many rows.
    pub(crate) async fn rows_of_many(&mut self, mut rows: ManyRows) -> Result<Vec<Row>, StoreError> {
        let found = rows.build().persistent(false).fetch_all(&mut *self.transaction).await;
        let found = found.map_err(|error| StoreError::database(&self.path, error))?;
        Ok(found.into_iter().map(|row| Row { row, path: self.path.clone() }).collect())
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(|error| StoreError::database(&self.path, error))
    }
}

/// The one name of the file, however it was spelt: two spellings must meet at one lock.
pub(crate) fn settled(path: &Path) -> Result<PathBuf, StoreError> {
    let io = |error| StoreError::io(path, error);
    if path.exists() {
        return path.canonicalize().map_err(io);
    }
    let absolute = std::path::absolute(path).map_err(io)?;
    let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(StoreError::invalid("the path of the store", "it names no file"));
    };
    Ok(directory.canonicalize().map_err(io)?.join(name))
}

/// How every connection is made. Nothing here changes the file.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .disable_statement_logging()
}

/// Refuses, before anything is written, a file that is not a store of this version or an older one.
async fn inspect(path: &Path) -> Result<(), StoreError> {
    let fault = |error| StoreError::database(path, error);
    let mut connection = options(path).pragma("query_only", "ON").connect().await.map_err(fault)?;
    let checked = check_schema(path, &mut connection).await;
    connection.close().await.map_err(fault)?;
    checked.map(drop)
}

/// What a sound database is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Nothing yet.
    Empty,
    /// A store that this software can bring to its own version.
    Known,
}

pub(crate) async fn check_schema(path: &Path, connection: &mut SqliteConnection) -> Result<Schema, StoreError> {
    let fault = |error| StoreError::database(path, error);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(fault)?;
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(fault)?;
    // A process that died while it made a new store leaves an empty one, which is fine.
    if application == 0 && tables.iter().all(|table| table == "_sqlx_migrations") {
        return Ok(Schema::Empty);
    }
    if application != APPLICATION || !tables.iter().any(|table| table == "_sqlx_migrations") {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await.map_err(fault)?;
    let versions = || MIGRATIONS.iter().map(|migration| migration.version);
    let (first, known) = (versions().min().unwrap_or_default(), versions().max().unwrap_or_default());
    match found {
        Some(found) if found < first => Err(StoreError::SchemaOlder { path: path.to_owned(), found, known }),
        Some(found) if found > known => Err(StoreError::SchemaNewer { path: path.to_owned(), found, known }),
        _ => Ok(Schema::Known),
    }
}

/// What is wrong with a database, if anything is.
pub(crate) async fn damage(database: &SqlitePool) -> Result<Option<String>, sqlx::Error> {
    let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(database).await?;
    Ok((found != "ok").then_some(found))
}

pub(crate) fn migration_fault(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => StoreError::database(path, error),
        other => StoreError::corrupt(path, other),
    }
}
