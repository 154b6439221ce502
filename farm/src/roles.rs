//! Roles as child processes of this one: started, their lines passed on, started again when they
//! die, stopped; and the guard who stops them when this process is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jobs::process::Failure;

use crate::servers::signal;

/// How long a dead role stays dead, as with an orchestrator.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// So many deaths …
const DEATHS: usize = 5;
/// … within this time are no accidents.
const WITHIN: Duration = Duration::from_secs(10);

/// What a role is started with.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// For people.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// No secrets: other users see them.
    pub(crate) args: Vec<String>,
    /// Set.
    pub(crate) env: Vec<(&'static str, String)>,
    /// Not passed on.
    pub(crate) without: &'static [&'static str],
    /// Its standard output is not passed on.
    pub(crate) quiet: bool,
}

/// A role in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Role {
    recipe: Recipe,
    child: Option<Child>,
    /// Pass its lines on until it says no more.
    readers: Vec<JoinHandle<()>>,
    /// When it died, lately.
    deaths: Vec<Instant>,
}

impl Role {
    pub(crate) fn start(recipe: Recipe) -> Result<Self, Failure> {
        let mut role = Self { recipe, child: None, readers: vec![], deaths: vec![] };
        role.spawn()?;
        Ok(role)
    }

    pub(crate) fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Its process, while it has one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn spawn(&mut self) -> Result<(), Failure> {
        let recipe = &self.recipe;
        let mut command = Command::new(&recipe.program);
        command.args(&recipe.args).envs(recipe.env.iter().cloned());
        for name in recipe.without {
            command.env_remove(name);
        }
        // A group of its own: Ctrl-C at the terminal is for us, who stop it in order.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(if recipe.quiet { Stdio::null() } else { Stdio::piped() });
        command.stderr(Stdio::piped());
        let failed = Failure::during(format!("{} did not start", recipe.name));
        let mut child = command.spawn().map_err(failed)?;
        let name = &recipe.name;
        self.readers.extend(child.stdout.take().map(|out| pass_on(name, out, std::io::stdout())));
        self.readers.extend(child.stderr.take().map(|err| pass_on(name, err, std::io::stderr())));
        self.child = Some(child);
        Ok(())
    }

    /// Notices its death and starts it again when it is time.
    ///
    /// # Errors
    /// When it keeps dying.
    pub(crate) fn tend(&mut self) -> Result<(), Failure> {
        if let Some(status) = self.ended() {
            let now = Instant::now();
            self.deaths.retain(|death| now.duration_since(*death) < WITHIN);
            self.deaths.push(now);
            let name = self.name();
            if self.deaths.len() >= DEATHS {
                let seconds = WITHIN.as_secs();
                return Err(Failure::new(format!(
                    "{name} ended {DEATHS} times within {seconds} s, the last time with {status}; \
                     its lines say why"
                )));
            }
            say(&format!("{name} ended with {status}; it is started again in a second"));
        }
        if self.child.is_none()
            && self.deaths.last().is_some_and(|death| death.elapsed() >= RESTART_AFTER)
        {
            self.spawn()?;
            say(&format!("{} runs again, pid {}", self.name(), self.pid().unwrap_or_default()));
        }
        Ok(())
    }

    /// How it ended, once.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        for reader in self.readers.drain(..) {
            // It has nothing to return.
            let _ = reader.join();
        }
        Some(status)
    }

    /// Asks it to end in order.
    pub(crate) fn ask_to_stop(&self) {
        if let Some(pid) = self.pid() {
            // One that has ended needs no signal.
            let _ = signal(pid, "-TERM");
        }
    }

    /// Whether it has ended. It is not started again by this.
    pub(crate) fn has_ended(&mut self) -> bool {
        if let Some(status) = self.ended()
            && !status.success()
        {
            say(&format!("{} ended with {status}", self.name()));
        }
        self.child.is_none()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.child = None;
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A line of our own among those of the roles.
pub(crate) fn say(line: &str) {
    // Nothing can be done when nobody listens.
    let _ = writeln!(std::io::stderr().lock(), "cluster | {line}");
}

/// Copies lines with the role's name before them, each in one piece.
fn pass_on(
    name: &str,
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
) -> JoinHandle<()> {
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = vec![];
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            // A reader who has left must not stop the role: it would wait for us.
            let _ = to.write_all(format!("{name} | {}\n", text.trim_end()).as_bytes());
            let _ = to.flush();
            line.clear();
        }
    })
}

/// A small process that outlives this one by moments: its input ends when we do, however that
/// happens. When the folder is still there, nobody has tidied up: it stops the roles it was told
/// of, then the servers whose process ids lie in the folder, and removes it.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    input: Option<ChildStdin>,
    told: String,
}

/// `$1` is the folder, `$2` the roles' program: a process id may be somebody else's by then.
const GUARD: &str = r#"
roles=
while read -r line; do roles=$line; done
[ -d "$1" ] || exit 0
all() { for pid in $roles; do grep -aqFs -- "$2" "/proc/$pid/cmdline" && echo "$pid"; done; }
gone() { # within $1 seconds; a zombie has no command line
    n=$1; shift
    while [ "$n" -gt 0 ]; do
        left=
        for pid in "$@"; do grep -aqs . "/proc/$pid/cmdline" && left=1; done
        [ "$left" ] || return 0
        sleep 1; n=$((n - 1))
    done
    kill -KILL "$@"
}
roles=$(all "$@")
[ -z "$roles" ] || { kill -TERM $roles; gone 35 $roles; }
servers=$(cat "$1/redis/pid"; head -n 1 "$1/postgres/data/postmaster.pid")
[ -z "$servers" ] || { kill -INT $servers; gone 20 $servers; }
rm -rf -- "$1"
"#;

impl Guard {
    /// Starts it for this folder.
    pub(crate) fn start(folder: &Path, program: &Path) -> Result<Self, Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "guard"]).args([folder, program]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(Failure::during("the guard did not start"))?;
        let input = child.stdin.take();
        Ok(Self { child, input, told: String::new() })
    }

    /// Says which processes the roles are; only when that has changed. One that has ended may still
    /// be among them.
    pub(crate) fn tell(&mut self, roles: impl IntoIterator<Item = u32>) {
        let pids = roles.into_iter().map(|pid| pid.to_string());
        let line = format!("{}\n", pids.collect::<Vec<_>>().join(" "));
        if let Some(input) = &mut self.input
            && line != self.told
        {
            if input.write_all(line.as_bytes()).is_err() {
                say("the guard is gone: kill -9 of this process would leave others behind");
                self.input = None;
            }
            self.told = line;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Recipe {
        Recipe {
            name: "sh-1".to_owned(),
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("GREETING", "hello".to_owned())],
            without: &["HOME"],
            quiet: false,
        }
    }

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_role_has_its_environment_and_stops_when_asked() {
        let script = r#"test "$GREETING" = hello && test -z "$HOME" && exec sleep 60"#;
        let mut role = Role::start(shell(script)).unwrap();
        let cmdline = format!("/proc/{}/cmdline", role.pid().unwrap());
        until("it sleeps", || std::fs::read(&cmdline).unwrap().starts_with(b"sleep"));
        assert!(!role.has_ended());
        role.ask_to_stop();
        until("it ends", || role.has_ended());
        assert_eq!(role.pid(), None);
    }

    #[test]
    fn a_role_that_dies_is_started_again_but_not_for_ever() {
        let mut role = Role::start(shell("exec sleep 60")).unwrap();
        let (first, killed) = (role.pid().unwrap(), Instant::now());
        signal(first, "-KILL").unwrap();
        until("it runs again", || {
            role.tend().unwrap();
            role.pid().is_some_and(|pid| pid != first)
        });
        assert!(killed.elapsed() >= RESTART_AFTER, "not at once");
        let began = Instant::now();
        let mut bad = Role::start(shell("exit 3")).unwrap();
        let mut failure = None;
        until("it is given up", || {
            failure = bad.tend().err();
            failure.is_some()
        });
        assert!(began.elapsed() < WITHIN, "the fifth death is the last");
        assert!(failure.unwrap().0.starts_with("sh-1 ended 5 times within 10 s, the last time"));
    }

    #[test]
    fn the_guard_stops_what_is_left_and_removes_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        std::fs::create_dir_all(left.join("redis")).unwrap();
        // What a program of another name has become of a role's process id is left alone.
        let server = Role::start(shell("exec sleep 61")).unwrap();
        std::fs::write(left.join("redis/pid"), server.pid().unwrap().to_string()).unwrap();
        let (role, stranger) = (shell("exec sleep 62"), shell("exec sleep 63"));
        let (mut role, mut stranger) = (Role::start(role).unwrap(), Role::start(stranger).unwrap());
        until("they sleep", || {
            [&role, &stranger, &server].iter().all(|role| {
                let cmdline = format!("/proc/{}/cmdline", role.pid().unwrap());
                std::fs::read(cmdline).unwrap().starts_with(b"sleep")
            })
        });
        let mut guard = Guard::start(&left, Path::new("62")).unwrap();
        guard.tell([&role, &stranger].into_iter().filter_map(Role::pid));
        drop(guard);
        assert!(!left.exists());
        assert!(role.has_ended() && !stranger.has_ended());
        let mut server = server;
        assert!(server.has_ended());
        // With the folder gone there is nothing to do.
        let mut guard = Guard::start(&left, Path::new("63")).unwrap();
        guard.tell(stranger.pid());
        drop(guard);
        assert!(!stranger.has_ended());
        role.kill();
    }
}
