//! Python's transformers, by the scripts of scripts/ai: they make the checkpoints, and are the peer.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use jobs::process::Failure;
use serde::Deserialize;
use tokio::process::Command;

use super::super::peers::cache_dir;
use super::say;

macro_rules! scripts {
    ($($name:literal),+) => { [$(($name, include_str!(concat!("../../../../scripts/ai/", $name)))),+] };
}

const SCRIPTS: [(&str, &str); 7] = scripts![
    "python",
    "requirements.txt",
    "peers.py",
    "golden.py",
    "checkpoints.py",
    "texts.py",
    "vocabularies.py"
];

/// Where the scripts lie.
#[derive(Debug)]
pub(super) struct Python {
    dir: PathBuf,
}

/// What peers.py prints.
#[derive(Debug, Deserialize)]
pub(super) struct Rates {
    torch: String,
    transformers: String,
    pub(super) captions_per_s: Tasks,
}

/// Captions per second, by task.
#[derive(Debug, Deserialize)]
pub(super) struct Tasks {
    pub(super) sentiment: Ways,
    pub(super) language: Ways,
    pub(super) zero_shot: Ways,
}

/// Captions per second, by the way they are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Ways {
    #[serde(rename = "one_fp32")]
    pub(super) one: f64,
    one_labels_batched_fp32: Option<f64>,
    batched_fp32: f64,
    batched_bf16: f64,
}

impl Ways {
    /// The best way in batches.
    pub(super) fn batched(&self) -> f64 {
        let labels = self.one_labels_batched_fp32.unwrap_or(f64::NEG_INFINITY);
        self.batched_fp32.max(self.batched_bf16).max(labels)
    }
}

impl Rates {
    pub(super) fn versions(&self) -> String {
        format!("transformers {}, torch {}", self.transformers, self.torch)
    }
}

impl Python {
    /// Writes the scripts. The first that is run installs what they need.
    pub(super) fn ready() -> Result<Self, Failure> {
        let dir = cache_dir()?.join("farm/bench-ai");
        let failed = || Failure::during(format!("{} cannot be written", dir.display()));
        std::fs::create_dir_all(&dir).map_err(failed())?;
        for (name, text) in SCRIPTS {
            std::fs::write(dir.join(name), text).map_err(failed())?;
        }
        Ok(Self { dir })
    }

    /// Checkpoints of the published shapes with random weights; made if they are not there.
    pub(super) async fn checkpoints(&self) -> Result<PathBuf, Failure> {
        let (whole, new) = (self.dir.join("checkpoints"), self.dir.join("checkpoints.part"));
        if !whole.is_dir() {
            say(&format!("making checkpoints (3.2 GB) in {}", whole.display()));
            let out = new.display().to_string();
            self.run("checkpoints.py", &["full", &out]).await?;
            std::fs::rename(&new, &whole).map_err(Failure::during("the checkpoints"))?;
        }
        Ok(whole)
    }

    /// Measures every way that Python's transformers are asked.
    pub(super) async fn rates(
        &self,
        checkpoints: &Path,
        captions: &Path,
        seconds: u16,
    ) -> Result<Rates, Failure> {
        let folder = |name: &str| checkpoints.join(name).display().to_string();
        let (sentiment, language) = (folder("sentiment"), folder("language"));
        let (zero_shot, captions) = (folder("zero-shot"), captions.display().to_string());
        let seconds = seconds.to_string();
        let mut args = vec!["--sentiment", &sentiment, "--language", &language];
        args.extend(["--zero-shot", &zero_shot, "--seconds", &seconds, &captions]);
        let said = self.run("peers.py", &args).await?;
        serde_json::from_slice(&said).map_err(Failure::during("peers.py"))
    }

    async fn run(&self, script: &str, args: &[&str]) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new("bash");
        command.arg(self.dir.join("python")).arg(self.dir.join(script)).args(args);
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = command.output().await.map_err(Failure::during("bash did not start"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Failure::new(format!("{script} failed: {}", output.status)))
    }
}
