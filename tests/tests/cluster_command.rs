//! `farm cluster` as somebody runs it: the real program, with its servers and its roles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::program::program;
use tests::{PATIENCE, eventually};

/// A cluster in a process of its own; killed when dropped.
struct Run {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Run {
    fn start(program: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg("cluster").args(args).stdin(Stdio::null()).env("AI_TIER", "rules");
        for name in ["DATABASE_URL", "REDIS_URL", "DECODO_BASE_URL", "RUST_LOG"] {
            command.env_remove(name);
        }
        // A dead worker's jobs are free two seconds later.
        command.env("FARM_LEASE_SECONDS", "2").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let lines = Arc::new(Mutex::new(vec![]));
        let streams: [Box<dyn BufRead + Send>; 2] = [
            Box::new(BufReader::new(child.stdout.take().unwrap())),
            Box::new(BufReader::new(child.stderr.take().unwrap())),
        ];
        for stream in streams {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                stream
                    .lines()
                    .map_while(Result::ok)
                    .for_each(|line| lines.lock().unwrap().push(line));
            });
        }
        Self { child, lines }
    }

    /// What follows these words in a line, as soon as there is one; the latest counts.
    async fn said(&self, words: &str) -> String {
        let what = format!("it says {words:?}");
        let said = eventually(&what, || async {
            let lines = self.lines.lock().unwrap();
            lines.iter().rev().find_map(|line| Some(line.split_once(words)?.1.trim().to_owned()))
        });
        said.await
    }

    fn signal(&self, name: &str) {
        farm::servers::signal(self.child.id(), name).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{:#?}", self.lines.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn folder(&self) -> Folder {
        let said = self.said("  data ").await;
        Folder(said.split(' ').next().unwrap().into())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already; its guard does the rest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a cluster keeps its data.
struct Folder(PathBuf);

impl Folder {
    /// Processes that know of it: by their command line, their environment, or from inside.
    fn processes(&self) -> Vec<String> {
        let name = self.0.to_str().unwrap().as_bytes();
        let knows = |path: PathBuf| {
            let text = std::fs::read(path).unwrap_or_default();
            text.windows(name.len()).any(|part| part == name)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = processes.filter(|process| {
            ["cmdline", "environ"].iter().any(|file| knows(process.join(file)))
                || process.join("cwd").read_link().is_ok_and(|cwd| cwd.starts_with(&self.0))
        });
        ours.map(|process| process.display().to_string()).collect()
    }

    fn assert_gone(&self) {
        assert!(!self.0.exists(), "{} is still there", self.0.display());
        assert_eq!(self.processes(), Vec::<String>::new(), "still running");
    }
}

/// The API over its port.
struct Front {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Front {
    /// As the admin it has printed.
    async fn sign_in(run: &Run) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let url = run.said("  docs ").await.strip_suffix("/docs").unwrap().to_owned();
        let account = run.said("  sign in ").await;
        let (email, password) = account.split_once(" (password ").unwrap();
        let mut front = Self { client, url, token: String::new() };
        let account = json!({ "email": email, "password": password.trim_end_matches(')') });
        let login = front.call(Method::POST, "/api/v1/auth/login", Some(account)).await;
        login["access_token"].as_str().expect("a token").clone_into(&mut front.token);
        front
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = reqwest::Url::parse(&format!("{}{path}", self.url)).unwrap();
        let mut request = self.client.request(method, url);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn refresh(&self, handle: &str) -> String {
        let path = format!("/api/v1/instagram/profile/{handle}/refresh");
        self.call(Method::POST, &path, None).await["id"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/api/v1/jobs/{id}"), None).await
    }

    async fn succeeds(&self, id: &str) {
        let job = eventually("the job ends", || async {
            Some(self.job(id).await).filter(|job| job["done"] == true)
        });
        assert_eq!(job.await["state"], "succeeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_works_mends_itself_and_leaves_nothing_behind() {
    let began = Instant::now();
    let program = program();
    let mut run = Run::start(&program, &["--workers", "1", "--port", "0"]);
    let front = Front::sign_in(&run).await;
    let folder = run.folder().await;
    let id = front.refresh("demo_travel").await;
    front.succeeds(&id).await;

    // Whose port it is, is said before anything is started.
    let port = front.url.rsplit(':').next().unwrap();
    let mut second = Run::start(&program, &["--port", port]);
    assert_eq!(second.ended().await.code(), Some(1));
    let why = second.said("farm: 127.0.0.1:").await;
    assert!(why.contains("choose another with --port"), "{why}");

    // The worker dies and is replaced. The job it leaves is finished by the new one.
    let pids = run.said("  pids ").await;
    let worker = pids.split_once("worker-1 ").unwrap().1.split(',').next().unwrap().to_owned();
    let id = front.refresh("demo_food").await;
    farm::servers::signal(worker.parse().unwrap(), "-KILL").unwrap();
    let heir = run.said("cluster | worker-1 runs again, pid ").await;
    assert_ne!(heir, worker);
    front.succeeds(&id).await;
    assert!(folder.processes().len() > 6, "two servers and four roles: {:?}", folder.processes());

    run.signal("-TERM");
    let status = run.ended().await;
    assert!(status.success(), "{status}: {:#?}", run.lines.lock().unwrap());
    folder.assert_gone();
    println!("{:.1} s", began.elapsed().as_secs_f32());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_told_twice_ends_at_once() {
    let program = program();
    let mut run = Run::start(&program, &["--workers", "1", "--port", "0"]);
    let front = Front::sign_in(&run).await;
    let folder = run.folder().await;
    let id = front.refresh("demo_slow").await;
    eventually("it runs", || async {
        Some(front.job(&id).await).filter(|job| job["state"] == "running")
    })
    .await;
    run.signal("-INT");
    run.said("cluster | stopping").await;
    assert!(run.child.try_wait().unwrap().is_none(), "it grants the job its time");
    let told = Instant::now();
    run.signal("-INT");
    assert_eq!(run.ended().await.code(), Some(1));
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    folder.assert_gone();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_killed_leaves_nothing_behind_for_long() {
    let program = program();
    let run = Run::start(&program, &["--workers", "1", "--port", "0"]);
    let folder = run.folder().await;
    run.said("Ctrl-C drains").await;
    run.signal("-KILL");
    eventually("the guard has tidied up", || async {
        (!folder.0.exists() && folder.processes().is_empty()).then_some(())
    })
    .await;
    folder.assert_gone();
}

/// Half-way: the servers run, and no role can be started.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_start_leaves_nothing_behind() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copy = dir.path().join("farm");
    std::fs::hard_link(program(), &copy).unwrap();
    let mut run = Run::start(&copy, &["--port", "0"]);
    let folder = run.said("cluster | starting Postgres and Redis in ").await;
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(run.ended().await.code(), Some(1));
    let why = run.said("farm: ").await;
    assert!(why.starts_with("demo-provider did not start: "), "{why}");
    Folder(folder.into()).assert_gone();
}
