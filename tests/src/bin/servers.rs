//! One Postgres and one Redis for a whole test run: started by the first test that needs them
//! (see `tests::servers`), stopped when no test has been using them for a while.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use farm::servers::{Durability, Postgres, RedisServer};

/// Seconds without a user after which the servers stop.
const IDLE: u32 = 20;

fn main() {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap());
    let data = tempfile::Builder::new().prefix("farm-servers-").tempdir().unwrap();
    let servers = Postgres::start(data.path(), Durability::None).and_then(|postgres| {
        let redis = RedisServer::start(data.path(), Durability::None)?;
        Ok((postgres, redis))
    });
    let (postgres, redis) = match servers {
        Ok(servers) => servers,
        Err(failure) => return std::fs::write(dir.join("failure"), failure.0).unwrap(),
    };
    let addresses = format!("{}\n{}\n", postgres.owner_url("postgres"), redis.url());
    std::fs::write(dir.join("addresses.new"), addresses).unwrap();
    std::fs::rename(dir.join("addresses.new"), dir.join("addresses")).unwrap();
    let users = File::options().read(true).write(true).open(dir.join("users")).unwrap();
    let start = File::options().read(true).write(true).open(dir.join("start")).unwrap();
    let mut idle = 0;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        idle = if users.try_lock().is_ok() { idle + 1 } else { 0 };
        let _ = users.unlock();
        if idle >= IDLE {
            // Nobody can be on the way in while we hold this one.
            start.lock().unwrap();
            if users.try_lock().is_ok() {
                std::fs::remove_file(dir.join("addresses")).unwrap();
                return;
            }
            start.unlock().unwrap();
            idle = 0;
        }
    }
}
