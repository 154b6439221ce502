//! The peers: other ways to do the same, installed beside the farm and run on the same servers.

pub(super) mod media;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jobs::process::Failure;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{host, say};
use crate::servers::find;

/// How long a peer may take for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// Versions; a change of one is a change of the figures.
const NODE_PACKAGES: [&str; 2] = ["bullmq@6.7.0", "ioredis@6.0.0"];
const PYTHON_PACKAGES: [&str; 5] = [
    "celery[redis]==5.7.0",
    "fastapi==0.165.0",
    "uvicorn[standard]==0.54.0",
    "pyjwt==2.15.1",
    "orjson==3.13.0",
];

const FILES: [(&str, &str); 4] = [
    ("bullmq_worker.js", include_str!("bullmq_worker.js")),
    ("bullmq_producer.js", include_str!("bullmq_producer.js")),
    ("celery_tasks.py", include_str!("celery_tasks.py")),
    ("fastapi_app.py", include_str!("fastapi_app.py")),
];

/// Where they are.
#[derive(Debug)]
pub(super) struct Peers {
    dir: PathBuf,
}

impl Peers {
    /// Installs what is missing.
    pub(super) async fn install() -> Result<Self, Failure> {
        let dir = installed("farm/bench-peers", &FILES, &NODE_PACKAGES, &PYTHON_PACKAGES).await?;
        Ok(Self { dir })
    }

    /// BullMQ: jobs per second, one producer and one worker process.
    pub(super) async fn bullmq(&self, redis: &str, count: u64, slots: u16) -> Result<f64, Failure> {
        let (count, slots) = (count.to_string(), slots.to_string());
        let node = |script, args: &[&str]| {
            let args = [&[script, redis], args].concat();
            Peer::start(&self.dir, "node", &args, &[])
        };
        let mut worker = node("bullmq_worker.js", &[&count, &slots])?;
        let mut producer = node("bullmq_producer.js", &[&count])?;
        worker.says("ready").await?;
        producer.says("ready").await?;
        let began = Instant::now();
        producer.go().await?;
        worker.says("done").await?;
        Ok(per_second(&count, began))
    }

    /// Celery: jobs per second, one producer and one prefork worker with a process per core.
    pub(super) async fn celery(&self, redis: &str, count: u64) -> Result<f64, Failure> {
        let (count, cores) = (count.to_string(), host::cores().to_string());
        let env = [("BENCH_REDIS_URL", redis)];
        let worker =
            ["-A", "celery_tasks", "worker", "-c", &cores, "-l", "warning", "--without-mingle"];
        let _worker = Peer::start(&self.dir, "venv/bin/celery", &worker, &env)?;
        let produce = ["celery_tasks.py", &count];
        let mut producer = Peer::start(&self.dir, "venv/bin/python", &produce, &env)?;
        producer.says("ready").await?;
        let began = Instant::now();
        producer.go().await?;
        producer.says("done").await?;
        Ok(per_second(&count, began))
    }

    /// FastAPI on uvicorn, one process: says hello at `/`, and shows the profile in `profile` to
    /// who has a token.
    pub(super) async fn fastapi(
        &self,
        port: u16,
        secret: &str,
        profile: &Path,
    ) -> Result<Peer, Failure> {
        let (port, profile) = (port.to_string(), profile.display().to_string());
        let env = [("BENCH_JWT_SECRET", secret), ("BENCH_PROFILE", profile.as_str())];
        let serve = ["fastapi_app.py", &port];
        let mut server = Peer::start(&self.dir, "venv/bin/python", &serve, &env)?;
        server.says("ready").await?;
        Ok(server)
    }
}

/// A folder of the user's cache with these files and packages; what is missing is installed, from
/// the package registries npm and pip are set up for.
async fn installed(
    name: &str,
    files: &[(&str, &str)],
    node: &[&str],
    python: &[&str],
) -> Result<PathBuf, Failure> {
    let dir = cache_dir()?.join(name);
    let failed = || Failure::during(format!("{} cannot be written", dir.display()));
    std::fs::create_dir_all(&dir).map_err(failed())?;
    for (name, text) in files {
        std::fs::write(dir.join(name), text).map_err(failed())?;
    }
    let versions = [node, python].concat().join("\n");
    let stamp = dir.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|known| known == versions) {
        return Ok(dir);
    }
    say(&format!("installing {} in {}", versions.replace('\n', ", "), dir.display()));
    let npm = ["install", "--no-audit", "--no-fund", "--prefix", "."];
    finish(&dir, "npm", &[&npm, node].concat()).await?;
    finish(&dir, "python3", &["-m", "venv", "venv"]).await?;
    let pip = ["install", "--quiet", "--disable-pip-version-check"];
    finish(&dir, "venv/bin/pip", &[&pip, python].concat()).await?;
    std::fs::write(&stamp, versions).map_err(failed())?;
    Ok(dir)
}

fn per_second(count: &str, began: Instant) -> f64 {
    count.parse::<f64>().unwrap_or_default() / began.elapsed().as_secs_f64()
}

/// A process of a peer; killed when dropped.
#[derive(Debug)]
pub(super) struct Peer {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(super) fn start(
        dir: &Path,
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let name = args.first().map_or(program, |script| script).to_owned();
        let mut command = command(dir, program)?;
        command.args(args).envs(env.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child =
            command.spawn().map_err(Failure::during(format!("{name} did not start")))?;
        let out = child.stdout.take().ok_or_else(|| Failure::new("no output"))?;
        let input = child.stdin.take();
        Ok(Self { name, child, input, lines: BufReader::new(out).lines() })
    }

    /// Waits for a line.
    pub(super) async fn says(&mut self, words: &str) -> Result<(), Failure> {
        let said = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if line.trim() == words {
                    return true;
                }
            }
            false
        };
        if tokio::time::timeout(PATIENCE, said).await.is_ok_and(|said| said) {
            return Ok(());
        }
        let ended = self.child.try_wait().ok().flatten();
        let how = ended.map_or("it still runs".to_owned(), |status| status.to_string());
        Err(Failure::new(format!("{} never said {words:?}: {how}", self.name)))
    }

    async fn go(&mut self) -> Result<(), Failure> {
        let Some(input) = &mut self.input else { return Err(Failure::new("no input")) };
        let told = input.write_all(b"go\n").await;
        told.map_err(Failure::during(format!("{} does not listen", self.name)))
    }
}

fn command(dir: &Path, program: &str) -> Result<Command, Failure> {
    let at = if program.contains('/') { Some(dir.join(program)) } else { find(program) };
    let at = at.ok_or_else(|| Failure::new(format!("{program} is not installed here")))?;
    let mut command = Command::new(at);
    command.current_dir(dir);
    Ok(command)
}

/// Runs a command to its end.
async fn finish(dir: &Path, program: &str, args: &[&str]) -> Result<(), Failure> {
    let failed = || Failure::during(format!("{program} did not start"));
    let output = command(dir, program)?.args(args).stdin(Stdio::null()).output();
    let output = output.await.map_err(failed())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    Err(Failure::new(format!("{program} {} failed: {last}", args.join(" "))))
}

#[allow(clippy::disallowed_methods)] // where caches lie is no setting of ours
pub(super) fn cache_dir() -> Result<PathBuf, Failure> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || var("HOME").map(|home| home.join(".cache"));
    var("XDG_CACHE_HOME").or_else(home).ok_or_else(|| Failure::new("HOME is not set"))
}
