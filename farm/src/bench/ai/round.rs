//! One round: everybody is measured once, one after the other.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use jobs::process::Failure;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::super::figure::Spread;
use super::python::{Python, Ways};
use super::say;
use super::side::{Rate, Who};
use super::task::Task;

const MIB: f64 = 1_048_576.0;

pub(super) struct Round {
    checkpoints: PathBuf,
    captions: NamedTempFile,
    seconds: u16,
    python: Option<Python>,
    pub(super) figures: HashMap<String, Spread>,
    /// Of the peers.
    pub(super) versions: Option<String>,
}

impl Round {
    pub(super) fn new(
        checkpoints: PathBuf,
        captions: &[String],
        seconds: u16,
        python: Option<Python>,
    ) -> Result<Self, Failure> {
        let failed = || Failure::during("the captions cannot be written");
        let mut file = NamedTempFile::new().map_err(failed())?;
        for text in captions {
            writeln!(file, "{}", json!({ "text": text })).map_err(failed())?;
        }
        file.flush().map_err(failed())?;
        let figures = HashMap::new();
        Ok(Self { checkpoints, captions: file, seconds, python, figures, versions: None })
    }

    fn add(&mut self, key: String, value: f64) {
        self.figures.entry(key).or_default().add(value);
    }

    /// Measures everybody.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        let products = self.side(Who::Matmul, Task::All).await?;
        let most = products.operations as f64 / products.seconds;
        self.add("matmul_gflops".to_owned(), most / 1e9);
        let mut ours = HashMap::new();
        let mut stock = vec![];
        for task in [Task::Sentiment, Task::Language, Task::ZeroShot, Task::All, Task::Lite] {
            let key = task.key();
            let found = self.side(Who::Ours, task).await?;
            let rate = found.captions as f64 / found.seconds;
            ours.insert(key, rate);
            self.add(format!("captions_per_s.{key}.ours"), rate);
            self.add(format!("of_matmul.{key}"), found.operations as f64 / found.seconds / most);
            match task {
                Task::All => self.add("posts_per_hour".to_owned(), rate * 3_600.0),
                Task::Lite => {}
                _ => {
                    let found = self.side(Who::Stock, task).await?;
                    let rate = found.captions as f64 / found.seconds;
                    stock.push(rate);
                    self.add(format!("captions_per_s.{key}.rust_bert"), rate);
                }
            }
        }
        self.add("captions_per_s.all.rust_bert".to_owned(), in_turn(&stock));
        let Some(python) = &self.python else { return Ok(()) };
        say("Python");
        let rates = python.rates(&self.checkpoints, self.captions.path(), self.seconds).await?;
        self.versions = Some(rates.versions());
        let tasks = &rates.captions_per_s;
        let ways = [&tasks.sentiment, &tasks.language, &tasks.zero_shot];
        let single = ways.map(|ways| ways.one);
        let batched = ways.map(Ways::batched);
        for (task, single, batched) in [
            (Task::Sentiment, single[0], batched[0]),
            (Task::Language, single[1], batched[1]),
            (Task::ZeroShot, single[2], batched[2]),
            (Task::All, in_turn(&single), in_turn(&batched)),
        ] {
            let key = task.key();
            let ours = ours.get(key).copied().unwrap_or(f64::NAN);
            self.add(format!("captions_per_s.{key}.python_single"), single);
            self.add(format!("captions_per_s.{key}.python_batched"), batched);
            self.add(format!("ratio.{key}.to_python_single"), ours / single);
            self.add(format!("ratio.{key}.to_python_batched"), ours / batched);
        }
        Ok(())
    }

    /// What loading costs, and what a second process adds.
    pub(super) async fn memory(&mut self) -> Result<(), Failure> {
        let mut first = self.loaded().await?;
        let peak = kib(&first.status()?, "VmHWM:") / 1_024.0;
        let second = self.loaded().await?;
        let pages = second.pages()?;
        let of = |name: &str| kib(&pages, name) / 1_024.0;
        let weights = first.bytes as f64 / MIB;
        self.add("memory.weights_mib".to_owned(), weights);
        self.add("memory.peak_mib".to_owned(), peak);
        self.add("memory.peak_to_weights".to_owned(), peak / weights);
        self.add("memory.second_mib".to_owned(), of("Private_Clean:") + of("Private_Dirty:"));
        self.add("memory.shared_mib".to_owned(), of("Shared_Clean:"));
        second.end().await?;
        let again = first.end().await?;
        self.add("load_s".to_owned(), again.seconds);
        Ok(())
    }

    fn command(&self, who: Who, task: Task) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(Failure::during("the program's own path"))?;
        let mut command = Command::new(program);
        command.args(["bench", "ai-side", who.word(), task.word()]);
        command.arg("--checkpoints").arg(&self.checkpoints);
        command.arg("--captions").arg(self.captions.path());
        command.args(["--seconds", &self.seconds.to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        Ok(command)
    }

    async fn side(&self, who: Who, task: Task) -> Result<Rate, Failure> {
        say(&format!("{}, {}", who.word(), task.word()));
        let output = self.command(who, task)?.stdin(Stdio::null()).output().await;
        let output = output.map_err(Failure::during("a side did not start"))?;
        if !output.status.success() {
            let side = format!("{} {} failed", who.word(), task.word());
            return Err(Failure::new(format!("{side}: {}", output.status)));
        }
        serde_json::from_slice(&output.stdout).map_err(Failure::during("a side's answer"))
    }

    async fn loaded(&self) -> Result<Loaded, Failure> {
        let failed = || Failure::during("loading");
        let mut child =
            self.command(Who::Load, Task::All)?.stdin(Stdio::piped()).spawn().map_err(failed())?;
        let input = child.stdin.take();
        let out = child.stdout.take().ok_or_else(|| Failure::new("no output"))?;
        let mut lines = BufReader::new(out).lines();
        let line = lines.next_line().await.map_err(failed())?.unwrap_or_default();
        let bytes = line.strip_prefix("ready ").and_then(|bytes| bytes.parse().ok());
        let bytes = bytes.ok_or_else(|| Failure::new(format!("loading said {line:?}")))?;
        Ok(Loaded { child, input, lines, bytes })
    }
}

/// A process with its models loaded.
struct Loaded {
    child: Child,
    input: Option<ChildStdin>,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    /// Of its weights.
    bytes: u64,
}

impl Loaded {
    fn read(&self, name: &str) -> Result<String, Failure> {
        let pid = self.child.id().ok_or_else(|| Failure::new("it is gone"))?;
        std::fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(Failure::during("memory"))
    }

    fn status(&mut self) -> Result<String, Failure> {
        self.read("status")
    }

    fn pages(&self) -> Result<String, Failure> {
        self.read("smaps_rollup")
    }

    async fn end(mut self) -> Result<Rate, Failure> {
        drop(self.input.take());
        let line = self.lines.next_line().await.map_err(Failure::during("loading"))?;
        let _ = self.child.wait().await;
        serde_json::from_str(&line.unwrap_or_default()).map_err(Failure::during("loading"))
    }
}

/// Captions per second of those who do one after the other at these rates.
fn in_turn(rates: &[f64]) -> f64 {
    1.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
}

/// KiB that a line of proc(5) says.
fn kib(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    number.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_after_the_other_takes_the_sum() {
        assert!((in_turn(&[2.0, 2.0, 1.0]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_kernel_tells_in_kib() {
        let read = kib("VmPeak: 9 kB\nVmHWM:\t  2048 kB\n", "VmHWM:");
        assert!((read - 2_048.0).abs() < f64::EPSILON, "{read}");
        assert!(kib("", "VmHWM:").is_nan());
    }
}
