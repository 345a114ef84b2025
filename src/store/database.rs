//! The database file: its schema, its connections, reading, and writing in transactions. Whatever only SQLite understands
//! stands here and in the schema.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use tokio::sync::RwLock;

use super::integrity::{self, Integrity};
use super::lock::{Lock, beside};
use super::record::{ManyRows, Row, Statement, rounded, statement};
use super::{Ourselves, Sealer, StoreError, files};

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

/// Every row that decides whom this party trusts with what, and the schema, a line each. It stands here and not in the
/// schema as a view: who can change the file can change that.
pub(super) const TRUSTED_ROWS: &str = "
    SELECT json_array('peer', id, address, signing_key, added_at) AS line FROM peers
    UNION ALL SELECT json_array('pin', peer, pin, since_at, until_at) FROM peer_pins
    UNION ALL SELECT json_array('invite', token_hash, party, created_at, expires_at, used_at) FROM invites
    UNION ALL SELECT json_array('roster', consortium, hex(note), pinned_at) FROM rosters
    UNION ALL SELECT json_array('member', consortium, party, signing_key) FROM roster_members
    UNION ALL SELECT json_array('revocation', party, signing_key, since_at, hex(note)) FROM revocations
    UNION ALL SELECT json_array('dataset', name, path, format, columns, keys, settings, row_count, size, digest, stamp,
        added_at, replaced_at) FROM datasets
    UNION ALL SELECT json_array('rule', dataset, peer, rule, stamp, created_at, expires_at) FROM rules
    UNION ALL SELECT json_array('schema', type, name, tbl_name, sql) FROM sqlite_schema
    ORDER BY line";

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
    /// Whose store it is, once that is said.
    pub(super) ours: OnceLock<Ourselves>,
    /// Seals what stands in the clear.
    pub(super) integrity: Arc<Integrity>,
    clock: Clock,
    /// Which file was opened: its device and number.
    file: (u64, u64),
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
        let known = if path.exists() {
            inspect(&path).await?
        } else {
            files::create_private(&path, &[])?;
            Schema::Empty
        };
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
        // A change of the schema would hide what somebody else has changed in it.
        let integrity = match known {
            Schema::Empty => None,
            Schema::Known => sound(&path, &mut *writer.acquire().await.map_err(fault)?, &sealer).await?,
        };
        MIGRATIONS.run(&writer).await.map_err(|error| migration_fault(&path, error))?;
        let is_new = integrity.is_none();
        let integrity = Arc::new(match integrity {
            Some(integrity) => integrity,
            None => Integrity::fresh()?,
        });
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(self::options(&path).pragma("query_only", "ON"));
        let (sealer, ours) = (RwLock::new(sealer), OnceLock::new());
        let file = file_of(&path).map_err(|error| StoreError::io(&path, error))?;
        let database = Self { path, writer, readers, sealer, ours, integrity, clock, file, _lock: lock };
        database.settle(is_new).await?;
        Ok(database)
    }

    /// Seals the rows of a new store, or what a migration has made of those of an older one. Usually there is nothing to do.
    async fn settle(&self, is_new: bool) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        if is_new {
            write.put_integrity_key(&*self.sealer.read().await).await?;
        } else if rows_are_sound(&self.integrity, &mut write.transaction).await.map_err(|error| self.fault(error))? {
            return Ok(());
        }
        write.commit_trusted().await
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
    ///
    /// # Errors
    /// [`StoreError::Moved`] if what would be written is in no file that anybody finds again.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        if file_of(&self.path).ok() != Some(self.file) {
            return Err(StoreError::Moved { path: self.path.to_path_buf() });
        }
        // IMMEDIATE: what the transaction reads stays true until it commits.
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.fault(error))?;
        let (path, integrity) = (self.path.clone(), self.integrity.clone());
        Ok(Transaction { transaction, path, ours: self.ours.get().copied(), integrity, now: self.now() })
    }

    /// Begins a transaction that changes rows which decide whom this party trusts. It ends with
    /// [`Transaction::commit_trusted`].
    ///
    /// # Errors
    /// [`StoreError::Forged`] if they are not as this software wrote them.
    pub(super) async fn begin_trusted(&self) -> Result<Transaction, StoreError> {
        let mut write = self.begin().await?;
        let sound = rows_are_sound(&self.integrity, &mut write.transaction).await.map_err(|error| self.fault(error))?;
        if sound { Ok(write) } else { Err(self.forged()) }
    }

    /// Rows of a statement about those that decide whom this party trusts.
    ///
    /// # Errors
    /// [`StoreError::Forged`] if they are not as this software wrote them.
    pub(super) async fn trusted_rows(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let fault = |error| self.fault(error);
        // One transaction, so that seal and rows are of one moment.
        let mut read = self.readers.begin().await.map_err(fault)?;
        if !rows_are_sound(&self.integrity, &mut read).await.map_err(fault)? {
            return Err(self.forged());
        }
        let rows = statement.fetch_all(&mut *read).await.map_err(fault)?;
        Ok(rows.into_iter().map(|row| Row { row, path: self.path.clone() }).collect())
    }

    fn forged(&self) -> StoreError {
        StoreError::Forged { path: self.path.to_path_buf() }
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
    /// Whose store it is, once that is said.
    pub(crate) ours: Option<Ourselves>,
    /// Seals what stands in the clear.
    pub(crate) integrity: Arc<Integrity>,
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

    /// Seals the rows that decide whom this party trusts, and commits.
    pub(crate) async fn commit_trusted(mut self) -> Result<(), StoreError> {
        let rows = self.rows(statement(TRUSTED_ROWS)).await?;
        let lines = rows.iter().map(|row| row.get("line")).collect::<Result<Vec<String>, _>>()?;
        let seal = self.integrity.seal_rows(&lines)?;
        self.put_meta(integrity::ROWS, seal).await?;
        self.commit().await
    }

    /// Notes the key of the seals over what stands in the clear, sealed.
    pub(crate) async fn put_integrity_key(&mut self, sealer: &Sealer) -> Result<(), StoreError> {
        let sealed = self.integrity.sealed(sealer)?;
        self.put_meta(integrity::KEY, sealed).await
    }

    async fn put_meta(&mut self, name: &'static str, value: Vec<u8>) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run(statement(sql).bind(name).bind(value)).await.map(drop)
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
async fn inspect(path: &Path) -> Result<Schema, StoreError> {
    let fault = |error| StoreError::database(path, error);
    let mut connection = options(path).pragma("query_only", "ON").connect().await.map_err(fault)?;
    let checked = check_schema(path, &mut connection).await;
    connection.close().await.map_err(fault)?;
    checked
}

/// The key of the seals over what stands in the clear, after a look at the rows that decide whom this party trusts; none in
/// a store that a process left empty which died while it made it.
pub(crate) async fn sound(
    path: &Path,
    connection: &mut SqliteConnection,
    sealer: &Sealer,
) -> Result<Option<Integrity>, StoreError> {
    let fault = |error| StoreError::database(path, error);
    let forged = || StoreError::Forged { path: path.to_owned() };
    let blob = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(integrity::KEY);
    let blob: Option<Vec<u8>> = blob.fetch_optional(&mut *connection).await.map_err(fault)?;
    // Without the key it is a store that a process left unfinished, or one whose seals somebody wants to be made anew.
    let Some(blob) = blob else { return if is_unused(connection).await? { Ok(None) } else { Err(forged()) } };
    let integrity = Integrity::open(sealer, &blob)?;
    if rows_are_sound(&integrity, connection).await.map_err(fault)? { Ok(Some(integrity)) } else { Err(forged()) }
}

/// Whether a store is as the migrations make it, and nothing was ever written to it.
async fn is_unused(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let memory = Path::new(":memory:");
    let fault = |error| StoreError::database(memory, error);
    let fresh = SqlitePoolOptions::new().max_connections(1).connect_with(SqliteConnectOptions::new().in_memory(true));
    let fresh = fresh.await.map_err(fault)?;
    MIGRATIONS.run(&fresh).await.map_err(|error| migration_fault(memory, error))?;
    let mut expected = fresh.acquire().await.map_err(fault)?;
    let same = lines(&mut expected).await.map_err(fault)? == lines(connection).await.map_err(fault)?;
    // Every table with numbers of its own has counted none.
    let unused =
        "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM entries) + (SELECT count(*) FROM sqlite_sequence)";
    let used: i64 = sqlx::query_scalar(unused).fetch_one(connection).await.map_err(fault)?;
    Ok(same && used == 0)
}

/// The rows that decide whom this party trusts, and the schema.
async fn lines(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(TRUSTED_ROWS).fetch_all(connection).await
}

/// Whether the rows that decide whom this party trusts are as they were sealed.
async fn rows_are_sound(integrity: &Integrity, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let lines = lines(connection).await?;
    let seal = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(integrity::ROWS);
    let seal: Option<Vec<u8>> = seal.fetch_optional(connection).await?;
    Ok(seal.is_some_and(|seal| integrity.are_rows(&lines, &seal)))
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
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations").fetch_all(connection).await.map_err(fault)?;
    let found = applied.iter().map(|(version, _)| *version).max();
    let versions = || MIGRATIONS.iter().map(|migration| migration.version);
    let (first, known) = (versions().min().unwrap_or_default(), versions().max().unwrap_or_default());
    match found {
        Some(found) if found < first => Err(StoreError::SchemaOlder { path: path.to_owned(), found, known }),
        Some(found) if found > known => Err(StoreError::SchemaNewer { path: path.to_owned(), found, known }),
        _ => {
            let other = |(version, checksum): &&(i64, Vec<u8>)| {
                MIGRATIONS.iter().any(|known| known.version == *version && *known.checksum != checksum[..])
            };
            match applied.iter().find(other) {
                Some((version, _)) => {
                    Err(StoreError::corrupt(path, format!("version {version} of its schema is another one than ours")))
                }
                None => Ok(Schema::Known),
            }
        }
    }
}

/// Which file has this name.
fn file_of(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
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
