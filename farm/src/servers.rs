//! Private Postgres and Redis servers on free loopback ports, from the packages of this machine:
//! for `farm cluster`, benchmarks and tests. They live in a folder of their own and end with the
//! handle. Both ask for a password: a loopback port is open to every user of the machine.

use std::fs::Permissions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jobs::process::Failure;
use rustix::process::{Pid, Signal, kill_process};

use crate::secret;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged: for figures that count.
    Full,
    /// Everything: for tests, whose data nobody wants.
    None,
}

/// A server program in a process of its own.
#[derive(Debug)]
pub struct Server {
    /// The port it listens on, on 127.0.0.1.
    pub port: u16,
    dir: PathBuf,
    program: PathBuf,
    args: Vec<String>,
    owner: Option<Owner>,
    child: Option<Child>,
    stop_signal: &'static str,
}

/// The user a server runs as when we are root, which Postgres refuses.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Server {
    /// Starts (again) with the same port and data, and waits until it listens.
    ///
    /// # Errors
    /// When it ends at once or does not listen.
    pub fn start(&mut self) -> Result<(), Failure> {
        let log = self.dir.join("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let log = log.map_err(Failure::during("the server's log cannot be written"))?;
        let errors = log.try_clone().map_err(Failure::during("the server's log"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.dir).stdin(Stdio::null());
        // A group of its own: Ctrl-C at the terminal is for us, who stop it in order.
        command.stdout(log).stderr(errors).process_group(0);
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        let name = self.program.display().to_string();
        self.child = Some(command.spawn().map_err(Failure::during(format!("{name} not started")))?);
        let began = Instant::now();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into();
        while std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it says nothing").to_owned();
                return Err(Failure::new(format!("{name} does not listen: {last}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal, by the name `kill` knows (`-STOP`).
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str) -> Result<(), Failure> {
        let Some(child) = &self.child else { return Err(Failure::new("the server is down")) };
        signal(child.id(), name)
    }

    /// `kill -9`: what it had not written is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        let signalled = self.signal(self.stop_signal);
        if let Some(mut child) = self.child.take() {
            let began = Instant::now();
            while signalled.is_ok() && began.elapsed() < Duration::from_secs(20) {
                if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal, by the name `kill` knows (`-TERM`), to a process that was not waited for yet.
/// The program `kill` is not on every machine.
///
/// # Errors
/// When it could not be sent.
pub fn signal(process: u32, name: &str) -> Result<(), Failure> {
    let signal = match name {
        "-CONT" => Signal::CONT,
        "-INT" => Signal::INT,
        "-KILL" => Signal::KILL,
        "-QUIT" => Signal::QUIT,
        "-STOP" => Signal::STOP,
        "-TERM" => Signal::TERM,
        _ => return Err(Failure::new(format!("{name} is not one of the signals we send"))),
    };
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new(format!("{process} is no process")))?;
    kill_process(pid, signal).map_err(Failure::during(format!("{name} to process {process}")))
}

/// A Postgres of our own.
#[derive(Debug)]
pub struct Postgres {
    /// The process.
    pub server: Server,
    password: String,
}

impl Postgres {
    /// Makes a database cluster below `dir` and starts it.
    ///
    /// # Errors
    /// A sentence; a missing package is one reason.
    pub fn start(dir: &Path, durability: Durability) -> Result<Self, Failure> {
        let bin = postgres_bin()?;
        let owner = owner("postgres")?;
        let dir = make_dir(&dir.join("postgres"), owner)?;
        let data = dir.join("data");
        let password = secret::invent(32);
        let file = write_private(&dir.join("password"), &password, owner)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "farm", "-A", "scram-sha-256", "-E", "UTF8"]);
        initdb.arg("--pwfile").arg(file);
        initdb.args(["--locale=C", "--no-sync"]).current_dir(&dir);
        if let Some(owner) = owner {
            initdb.uid(owner.uid).gid(owner.gid);
        }
        let made = initdb.output().map_err(Failure::during("initdb did not start"))?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).lines().last().map(str::to_owned);
            return Err(Failure::new(format!("initdb failed: {}", why.unwrap_or_default())));
        }
        add_login(&bin, &data, &password, owner)?;
        let port = free_port()?;
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "shared_buffers=128MB".to_owned(),
        ];
        if durability == Durability::None {
            settings.extend(
                ["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned),
            );
        }
        let mut args = vec!["-D".to_owned(), data.display().to_string()];
        args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let program = bin.join("postgres");
        // SIGINT is Postgres' fast shutdown: it does not wait for clients to leave.
        let mut server =
            Server { port, dir, program, args, owner, child: None, stop_signal: "-INT" };
        server.start()?;
        Ok(Self { server, password })
    }

    /// URL of a database on it, for whoever owns the tables: migrations.
    pub fn owner_url(&self, database: &str) -> String {
        self.url_of("farm", database)
    }

    /// URL of a database on it, for the farm's processes.
    pub fn url(&self, database: &str) -> String {
        self.url_of(LOGIN, database)
    }

    fn url_of(&self, user: &str, database: &str) -> String {
        let (password, port) = (&self.password, self.server.port);
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }
}

/// Whom the farm's processes connect as: one that owns nothing, has no right of its own, and may
/// act in the roles of the policies.
pub const LOGIN: &str = "farm_app";

/// Makes the login and its roles while nobody listens: Postgres reads statements by itself, too.
fn add_login(bin: &Path, data: &Path, password: &str, owner: Option<Owner>) -> Result<(), Failure> {
    let mut command = Command::new(bin.join("postgres"));
    command.args(["--single", "-F", "-D"]).arg(data).arg("postgres").current_dir(data);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    let failed = || Failure::during("the farm's login was not made");
    let mut single = command.spawn().map_err(failed())?;
    if let Some(mut stdin) = single.stdin.take() {
        for role in ["anon", "authenticated", "service_role"] {
            writeln!(stdin, "CREATE ROLE {role} NOLOGIN NOINHERIT").map_err(failed())?;
        }
        writeln!(stdin, "CREATE ROLE {LOGIN} LOGIN NOINHERIT PASSWORD '{password}'")
            .and_then(|()| writeln!(stdin, "GRANT anon, authenticated, service_role TO {LOGIN}"))
            .map_err(failed())?;
    }
    let done = single.wait_with_output().map_err(failed())?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() && !said.contains("ERROR") {
        return Ok(());
    }
    Err(Failure::new("the farm's login was not made; Postgres refused the statements"))
}

/// A Redis of our own.
#[derive(Debug)]
pub struct RedisServer {
    /// The process.
    pub server: Server,
    password: String,
}

impl RedisServer {
    /// Starts it below `dir`.
    ///
    /// # Errors
    /// A sentence; a missing package is one reason.
    pub fn start(dir: &Path, durability: Durability) -> Result<Self, Failure> {
        let program = find("redis-server").ok_or_else(|| missing("redis-server"))?;
        let dir = make_dir(&dir.join("redis"), None)?;
        let port = free_port()?;
        let append = if durability == Durability::Full { "yes" } else { "no" };
        let password = secret::invent(32);
        // In a file: the command line is for every user to read.
        let config = format!(
            "port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave \"\"\n\
             appendonly {append}\nappendfsync everysec\npidfile pid\n"
        );
        let config = write_private(&dir.join("redis.conf"), &config, None)?;
        let args = vec![config.display().to_string()];
        let mut server =
            Server { port, dir, program, args, owner: None, child: None, stop_signal: "-TERM" };
        server.start()?;
        Ok(Self { server, password })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.password, self.server.port)
    }
}

/// A port nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(Failure::during("no free port"))?.port())
}

fn missing(package: &str) -> Failure {
    Failure::new(format!("{package} is not installed; run scripts/setup servers"))
}

/// A program on the search path, or where Debian puts servers.
#[allow(clippy::disallowed_methods)] // the search path is no setting of ours
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|at| at.is_file())
}

/// The newest Postgres of this machine, at least 15.
fn postgres_bin() -> Result<PathBuf, Failure> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        // A client alone has a folder there, too.
        .filter(|(version, bin)| *version >= 15 && bin.join("initdb").is_file())
        .max();
    if let Some((_, bin)) = newest {
        return Ok(bin);
    }
    let initdb = find("initdb").and_then(|at| at.parent().map(Path::to_path_buf));
    initdb.ok_or_else(|| missing("postgresql"))
}

/// Who a server runs as: ourselves, unless we are root.
fn owner(user: &str) -> Result<Option<Owner>, Failure> {
    let me = std::fs::metadata("/proc/self").map_err(Failure::during("/proc cannot be read"))?;
    if me.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(Failure::during("/etc/passwd"))?;
    let ids = |user: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some(Owner { uid: ids.next()?, gid: ids.next()? })
    };
    ids(user).or_else(|| ids("nobody")).map(Some).ok_or_else(|| {
        Failure::new(format!("Postgres does not run as root, and there is no user {user}"))
    })
}

/// A folder for its owner's eyes only.
fn make_dir(dir: &Path, owner: Option<Owner>) -> Result<PathBuf, Failure> {
    let failed = || Failure::during(format!("{} cannot be made", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed())?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed())?;
    if let Some(owner) = owner {
        chown(dir, Some(owner.uid), Some(owner.gid)).map_err(failed())?;
        // Its folder must be reachable for that user, too.
        if let Some(parent) = dir.parent() {
            std::fs::set_permissions(parent, Permissions::from_mode(0o711)).map_err(failed())?;
        }
    }
    dir.canonicalize().map_err(failed())
}

fn write_private(file: &Path, text: &str, owner: Option<Owner>) -> Result<PathBuf, Failure> {
    let failed = || Failure::during(format!("{} cannot be written", file.display()));
    std::fs::write(file, text).map_err(failed())?;
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(failed())?;
    if let Some(owner) = owner {
        chown(file, Some(owner.uid), Some(owner.gid)).map_err(failed())?;
    }
    Ok(file.to_path_buf())
}
