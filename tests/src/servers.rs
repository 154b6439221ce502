//! The servers behind stories that run on Postgres and Redis: one pair per test run, started by
//! whoever comes first; a database cloned from a migrated template for every story.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use entity::Db;
use farm::servers::LOGIN;
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, TransactionTrait};
use url::Url;
use uuid::Uuid;

use crate::PATIENCE;

/// Where the servers of this run are.
#[derive(Debug)]
pub struct Servers {
    /// A database on the Postgres server from which others can be made.
    pub postgres: String,
    /// The Redis server.
    pub redis: String,
    // Shared: as long as any test holds it, the servers stay.
    _user: File,
}

/// The servers of this run.
pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(find_or_start)
}

#[allow(clippy::zombie_processes)] // it outlives this test, for the others
fn find_or_start() -> Servers {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let mut hasher = DefaultHasher::new();
    profile.hash(&mut hasher);
    let uid = std::fs::metadata("/proc/self").expect("/proc").uid();
    let name = format!("farm-servers-{uid}-{:016x}", hasher.finish());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).expect("a folder for the servers' addresses");
    let open = |name: &str| {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.open(dir.join(name)).expect("a lock file")
    };
    let user = open("users");
    user.lock_shared().expect("a place among the users");
    let start = open("start");
    start.lock().expect("the right to start servers");
    if let Some((postgres, redis)) = addresses(&dir) {
        return Servers { postgres, redis, _user: user };
    }
    let failure = dir.join("failure");
    let _ = std::fs::remove_file(&failure);
    let _ = std::fs::remove_file(dir.join("addresses"));
    Command::new(profile.join("servers"))
        .arg(&dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("the program `servers` of this package");
    let began = Instant::now();
    loop {
        if let Some((postgres, redis)) = addresses(&dir) {
            return Servers { postgres, redis, _user: user };
        }
        if let Ok(why) = std::fs::read_to_string(&failure) {
            panic!("no servers to test with: {why}");
        }
        assert!(began.elapsed() < PATIENCE * 2, "the servers do not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The announced addresses, if something listens there.
fn addresses(dir: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(dir.join("addresses")).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    let (postgres, redis) = (lines.next()?, lines.next()?);
    let port = Url::parse(&postgres).ok()?.port()?;
    std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    Some((postgres, redis))
}

/// A fresh database with all tables; [`drop_database`] when it is not needed any more.
pub async fn database() -> (Db, String) {
    let name = format!("farm_test_{}", Uuid::now_v7().simple());
    let url = new_database(&name).await;
    (Db::connect(&url, 8).await.expect("the database"), name)
}

/// Makes a database with all tables under a name and returns its URL.
pub async fn new_database(name: &str) -> String {
    let server = admin().await;
    let template = template(&server).await;
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    server.execute_unprepared(&create).await.expect("a database");
    server.close().await.expect("a closed connection");
    url_of(name)
}

/// Drops a database, whoever is still connected.
pub async fn drop_database(name: &str) {
    let server = admin().await;
    let _ = server.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

async fn admin() -> DatabaseConnection {
    Database::connect(&servers().postgres).await.expect("the Postgres server")
}

/// The URL of a database, for whoever owns its tables.
pub fn owner_url(database: &str) -> String {
    let mut url = Url::parse(&servers().postgres).expect("a URL");
    url.set_path(database);
    url.into()
}

/// The URL of a database, for the farm's processes.
pub fn url_of(database: &str) -> String {
    let mut url = Url::parse(&owner_url(database)).expect("a URL");
    url.set_username(LOGIN).expect("a user");
    url.into()
}

/// A migrated database that others are cloned from, made once per build of the test.
async fn template(server: &DatabaseConnection) -> String {
    let test: PathBuf = std::env::current_exe().expect("the test's own path");
    let built = test.metadata().and_then(|meta| meta.modified()).expect("its age");
    let mut hasher = DefaultHasher::new();
    (test, built).hash(&mut hasher);
    let name = format!("farm_template_{:016x}", hasher.finish());
    let known = format!("SELECT 1 AS n FROM pg_database WHERE datname = '{name}'");
    // The lock belongs to the transaction; CREATE DATABASE runs on a connection of its own.
    let lock = server.begin().await.expect("a transaction");
    lock.execute_unprepared("SELECT pg_advisory_xact_lock(4096)").await.expect("the lock");
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, known);
    if lock.query_one_raw(statement).await.expect("an answer").is_none() {
        let maker = admin().await;
        let raw = format!("{name}_new");
        let _ = maker.execute_unprepared(&format!("DROP DATABASE IF EXISTS {raw}")).await;
        maker.execute_unprepared(&format!("CREATE DATABASE {raw}")).await.expect("a template");
        let tables = Db::owner(&owner_url(&raw)).await.expect("the template");
        Migrator::up(&tables, None).await.expect("migrations");
        tables.close().await.expect("a closed connection");
        let rename = format!("ALTER DATABASE {raw} RENAME TO {name}");
        maker.execute_unprepared(&rename).await.expect("the template's name");
    }
    lock.commit().await.expect("the lock's end");
    name
}
