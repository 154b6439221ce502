//! The real program in processes of its own: killed, frozen and stopped as an operator's machine
//! would.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::SystemTime;

/// The program `farm`, built from what this test was built from: when it is missing or older than
/// the test itself, cargo is asked (and finds nothing to do, if nothing changed).
pub fn program() -> PathBuf {
    let (test, program) = (test(), beside("farm"));
    if changed(&program) < changed(&test) {
        build(&program, "farm");
    }
    program
}

/// The program `codec`, no older than its sources.
pub fn codec() -> PathBuf {
    let program = beside("codec");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/codec/src");
    let mut folders = vec![sources];
    let mut newest = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                newest = newest.max(changed(&path));
            }
        }
    }
    if changed(&program) < newest {
        build(&program, "codec");
    }
    program
}

fn test() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A program in the folder that this test was built below.
fn beside(name: &str) -> PathBuf {
    let test = test();
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    profile.join(name)
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

#[allow(clippy::disallowed_methods)] // the build that runs the test, not a setting of the farm
fn build(program: &Path, package: &str) {
    let profile = program.parent().expect("target/<profile>");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    // Together with this package, so that both agree on features and share what is built.
    build.args(["build", "--locked", "--package", package, "--package", "tests"]);
    build.arg("--target-dir");
    build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo says of this test would make build scripts that look at it (ring's) run again,
    // and half the workspace be built anew, here and in the next build outside.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{package} cannot be built");
}

/// A process of the farm; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The rest of the line that said it was ready.
    pub said: String,
}

impl Process {
    /// Starts the program and waits for the line that begins with `ready`.
    ///
    /// # Panics
    /// When it ends without saying so.
    pub fn start(program: &Path, args: &[&str], env: &[(String, String)], ready: &str) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::piped());
        // What it logs at `error` is worth reading when a test fails.
        command.env_remove("DATABASE_URL").env_remove("REDIS_URL").env("RUST_LOG", log_level());
        // Whatever models the machine has are no part of a test, and pictures are of their own.
        command.env("AI_TIER", "rules").env("ENABLE_THUMBNAILS", "false");
        // A storm is a few users who ask as often as thousands.
        command.env("FARM_RATE_LIMITS", "off");
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().expect("the farm starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| {
            line.unwrap().trim().strip_prefix(ready).map(|rest| rest.trim().to_owned())
        });
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, said: said.unwrap_or_else(|| panic!("{args:?} never said {ready:?}")) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal by the name `kill` knows, e.g. `-STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// `kill -TERM`; waits for its end.
    pub fn stop(self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
fn log_level() -> String {
    std::env::var("TEST_LOG").unwrap_or_else(|_| "error".to_owned())
}
