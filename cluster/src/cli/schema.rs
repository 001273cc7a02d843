//! `meridian schema`: prepares a database of PostgreSQL or MariaDB, says how old its tables are, and that it was brought
//! back from a backup.

use std::{fmt, path::Path};

use serde::Serialize;
use store::{mysql, postgres, postgres::schema::Found, sqlite};

use super::{Answer, Failed, Output};

/// The commands about the store of a cluster.
#[derive(Debug, clap::Subcommand)]
pub enum Schema {
    /// Those about its tables.
    #[command(flatten)]
    Tables(Tables),
    /// Say that the database was brought back from a backup. No server may run on it meanwhile. When one starts, it asks all
    /// other clusters what the backup does not have before it decides anything.
    Restored(Database),
}

/// Those about the tables of a database server. A SQLite file is prepared by whoever opens it.
#[derive(Debug, clap::Subcommand)]
pub enum Tables {
    /// Make the tables in an empty database.
    Setup(Database),
    /// Bring the tables to the version of this program. No server may run on them meanwhile.
    Update(Database),
    /// Say which version the tables have.
    Version(Database),
}

/// Which database.
#[derive(clap::Args)]
pub struct Database {
    /// Where it is: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full&sslrootcert=FILE for TLS and
    /// ?host=/FOLDER for a socket; or mysql://USER:PASSWORD@HOST:PORT/DATABASE, with ?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE
    /// and ?socket=/FILE. `restored` takes the path of a SQLite file as well.
    #[arg(long, env = "MERIDIAN_STORE", hide_env_values = true, value_name = "URL")]
    store: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// What was found or done.
#[derive(Debug, Serialize)]
struct Versions {
    store: String,
    /// Of the tables, now; `None`: there are none.
    version: Option<i64>,
    /// Of the tables, before.
    before: Option<i64>,
    /// That this program makes and works with.
    known: i64,
}

impl Schema {
    /// Do it.
    ///
    /// # Errors
    ///
    /// [`Failed`] when nothing was done.
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        match self {
            Self::Tables(tables) => tables.run().await.map(|done| done.write(output)),
            Self::Restored(database) => restored(&database.store).await.map(|done| done.write(output)),
        }
        .map_err(|failed| Failed(failed.0))
    }
}

impl Tables {
    async fn run(&self) -> Result<Versions, store::Failed> {
        let (Self::Setup(database) | Self::Update(database) | Self::Version(database)) = self;
        if is_mysql(&database.store) {
            self.on_mysql(&database.store).await
        } else {
            self.on_postgres(&database.store).await
        }
    }

    async fn on_postgres(&self, url: &str) -> Result<Versions, store::Failed> {
        use postgres::schema;
        let options = postgres::Options::from_url(url)?;
        let before = known(&options, schema::inspect(&options).await?)?;
        let version = match self {
            Self::Setup(_) => Some(schema::setup(&options).await?),
            Self::Update(_) => Some(schema::update(&options).await?),
            Self::Version(_) => before,
        };
        Ok(Versions { store: options.to_string(), version, before, known: schema::VERSION })
    }

    async fn on_mysql(&self, url: &str) -> Result<Versions, store::Failed> {
        use mysql::schema;
        let options = mysql::Options::from_url(url)?;
        let before = known(&options, schema::inspect(&options).await?)?;
        let version = match self {
            Self::Setup(_) => Some(schema::setup(&options).await?),
            Self::Update(_) => Some(schema::update(&options).await?),
            Self::Version(_) => before,
        };
        Ok(Versions { store: options.to_string(), version, before, known: schema::VERSION })
    }
}

/// Count another life of a store.
async fn restored(store: &str) -> Result<Lives, store::Failed> {
    let (store, life) = if is_mysql(store) {
        let options = mysql::Options::from_url(store)?;
        (options.to_string(), mysql::schema::restored(&options).await?)
    } else if store.contains("://") {
        let options = postgres::Options::from_url(store)?;
        (options.to_string(), postgres::schema::restored(&options).await?)
    } else {
        (store.to_owned(), sqlite::restored(Path::new(store)).await?)
    };
    Ok(Lives { store, life })
}

fn is_mysql(store: &str) -> bool {
    ["mysql:", "mariadb:"].iter().any(|scheme| store.starts_with(scheme))
}

/// How often a store was brought back, and one more.
#[derive(Debug, Serialize)]
struct Lives {
    store: String,
    life: i64,
}

impl fmt::Display for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, life } = self;
        write!(
            f,
            "{store} lives its life number {life}. Its cluster asks all others what it lacks before it is active again."
        )
    }
}

/// The version of what was found; `None`: there are no tables.
fn known(options: &impl fmt::Display, found: Found) -> Result<Option<i64>, store::Failed> {
    match found {
        Found::Empty => Ok(None),
        Found::Ours(version) => Ok(Some(version)),
        Found::Foreign => Err(store::Failed(format!("{options} holds tables of another program"))),
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, version, before, known } = self;
        match (version, before) {
            (None, _) => write!(f, "{store} has no tables yet"),
            (Some(version), None) => write!(f, "{store} was prepared: schema version {version}"),
            (Some(version), Some(before)) if version > before => {
                write!(f, "{store} was brought from schema version {before} to {version}")
            }
            (Some(version), _) if version > known => {
                write!(f, "{store} has schema version {version}, newer than this program, which knows {known}")
            }
            (Some(version), _) => write!(f, "{store} has schema version {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let check = |version, before, expected: &str| {
            let versions = Versions { store: "database m at db:5432".into(), version, before, known: 1 };
            assert_eq!(versions.render(Output::Text), format!("database m at db:5432 {expected}\n"));
        };
        check(None, None, "has no tables yet");
        check(Some(1), None, "was prepared: schema version 1");
        check(Some(1), Some(1), "has schema version 1");
        check(Some(2), Some(1), "was brought from schema version 1 to 2");
        check(Some(7), Some(7), "has schema version 7, newer than this program, which knows 1");
    }

    #[test]
    fn json() {
        let versions = Versions { store: "database m at db:5432".into(), version: Some(1), before: None, known: 1 };
        let value: serde_json::Value = serde_json::from_str(&versions.render(Output::Json)).unwrap();
        let expected = serde_json::json!({
            "store": "database m at db:5432", "version": 1, "before": null, "known": 1,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn the_url_is_not_shown() {
        let schema = Schema::Tables(Tables::Setup(Database { store: "postgres://u:hunter2@h/d".into() }));
        assert!(!format!("{schema:?}").contains("hunter2"));
    }
}
