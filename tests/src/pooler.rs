//! A pgbouncer that hands out a server connection per transaction.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farm::servers::{find, free_port};
use tempfile::TempDir;
use url::Url;

use crate::PATIENCE;

/// A running pooler; ends with the handle.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Pooler {
    /// Starts one in front of a Postgres server, with few connections to it.
    pub fn start(server: &str) -> Self {
        let server = Url::parse(server).unwrap();
        let (host, upstream) = (server.host_str().unwrap(), server.port().unwrap());
        let (user, password) = (server.username(), server.password().unwrap_or_default());
        let dir = tempfile::Builder::new().prefix("farm-pooler-").tempdir().unwrap();
        let port = free_port().unwrap();
        let config = format!(
            "[databases]\n\
             * = host={host} port={upstream} user={user} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 4\n\
             max_client_conn = 500\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        let path = dir.path().join("pgbouncer.ini");
        std::fs::write(&path, config).unwrap();
        // The one user it may run as when we are root must be able to read it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let program = find("pgbouncer").expect("pgbouncer; run scripts/setup servers");
        let mut command = Command::new(program);
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let me = std::fs::metadata("/proc/self").unwrap();
        if std::os::unix::fs::MetadataExt::uid(&me) == 0 {
            command.args(["-u", "nobody"]);
        }
        let child = command.spawn().unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, port, _dir: dir }
    }

    /// The URL of a database through the pooler, with whatever says that it is one.
    pub fn url(&self, direct: &str, told: bool) -> String {
        let mut url = Url::parse(direct).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(told.then_some("pgbouncer=true"));
        url.into()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
