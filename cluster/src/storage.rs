//! Which store a cluster keeps everything in.

use std::sync::Arc;

use config::Location;
use store::{Address, Failed, Spawner, Store, Tls, mysql, postgres, sqlite};

/// Open the store of a configuration.
///
/// `exclusive`: for this process alone.
pub(crate) async fn open(location: &Location, exclusive: bool, spawner: &Spawner) -> Result<Arc<dyn Store>, Failed> {
    Ok(match location {
        Location::Memory => Arc::new(sqlite::open(&sqlite::Location::Memory, spawner).await?),
        Location::File(path) => Arc::new(sqlite::open(&sqlite::Location::File(path.clone()), spawner).await?),
        Location::Postgres(database) => {
            let mut options = postgres::Options::from_address(&address(database));
            options.max_connections = database.max_connections;
            options.max_lifetime = database.max_connection_lifetime;
            // A second server that knows nothing of the first would only take shards away from it.
            options.exclusive = exclusive;
            Arc::new(postgres::open(&options, spawner).await?)
        }
        Location::Mysql(database) => {
            let mut options = mysql::Options::from_address(&address(database));
            options.max_connections = database.max_connections;
            options.max_lifetime = database.max_connection_lifetime;
            options.exclusive = exclusive;
            Arc::new(mysql::open(&options, spawner).await?)
        }
    })
}

/// What clients are told of it, by the names of Temporal's plugins.
pub(crate) fn name(location: &Location) -> &'static str {
    match location {
        Location::Memory | Location::File(_) => "sqlite",
        Location::Postgres(_) => "postgres12",
        Location::Mysql(_) => "mysql8",
    }
}

fn address(database: &config::Database) -> Address {
    let tls = database.tls.as_ref().map(|tls| Tls {
        authorities: tls.authorities.clone(),
        is_verified: tls.verify_host || tls.authorities.is_some(),
        verify_host: tls.verify_host,
        client: tls.client.clone(),
    });
    Address {
        host: database.host.clone(),
        port: database.port,
        database: database.database.clone(),
        user: database.user.clone(),
        password: database.password.clone(),
        tls,
    }
}
