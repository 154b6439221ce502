//! Other ways to make the same thumbnails of the same files: sharp (libvips) and Pillow.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use jobs::process::Failure;
use serde::Deserialize;

use super::{command, finish, installed};

/// Sides of the thumbnails.
pub(in crate::bench) const SIZES: [u32; 2] = [256, 512];

/// Versions; a change of one is a change of the figures.
const NODE_PACKAGES: [&str; 1] = ["sharp@0.34.5"];
const PYTHON_PACKAGES: [&str; 2] = ["pillow==12.0.0", "numpy==2.3.5"];

const FILES: [(&str, &str); 2] = [
    ("media_sharp.js", include_str!("media_sharp.js")),
    ("media_pillow.py", include_str!("media_pillow.py")),
];

/// Where they are.
#[derive(Debug)]
pub(in crate::bench) struct MediaPeers {
    dir: PathBuf,
}

/// How true thumbnails are, in the order of [`SIZES`].
#[derive(Debug, Deserialize)]
pub(in crate::bench) struct Told {
    pub(in crate::bench) ours: [f64; 2],
    pub(in crate::bench) sharp: [f64; 2],
    pub(in crate::bench) pillow: [f64; 2],
}

impl MediaPeers {
    /// Installs what is missing.
    pub(in crate::bench) async fn install() -> Result<Self, Failure> {
        let dir = installed("farm/bench-media", &FILES, &NODE_PACKAGES, &PYTHON_PACKAGES).await?;
        Ok(Self { dir })
    }

    /// sharp: milliseconds of the processor for both thumbnails of a picture.
    pub(in crate::bench) async fn sharp(&self, file: &Path, images: u32) -> Result<f64, Failure> {
        let (file, images) = (file.display().to_string(), images.to_string());
        let args = ["media_sharp.js", "measure", &file, &images];
        self.number("node", &args).await
    }

    /// Pillow: the same.
    pub(in crate::bench) async fn pillow(&self, file: &Path, images: u32) -> Result<f64, Failure> {
        let (file, images) = (file.display().to_string(), images.to_string());
        let args = ["media_pillow.py", "measure", &file, &images];
        self.number("venv/bin/python", &args).await
    }

    /// How true the thumbnails of each are.
    pub(in crate::bench) async fn compare(
        &self,
        file: &Path,
        ours: &[Vec<u8>],
    ) -> Result<Told, Failure> {
        let file = file.display().to_string();
        let folder = tempfile::tempdir().map_err(Failure::during("a folder"))?;
        for (size, bytes) in SIZES.iter().zip(ours) {
            let path = folder.path().join(format!("ours-{size}.webp"));
            std::fs::write(path, bytes).map_err(Failure::during("a thumbnail"))?;
        }
        let into = folder.path().display().to_string();
        finish(&self.dir, "node", &["media_sharp.js", "make", &file, &into]).await?;
        let args = ["media_pillow.py", "compare", &file, &into];
        let said = self.said("venv/bin/python", &args).await?;
        serde_json::from_str(&said).map_err(Failure::during("media_pillow.py"))
    }

    async fn number(&self, program: &str, args: &[&str]) -> Result<f64, Failure> {
        let said = self.said(program, args).await?;
        said.trim().parse().map_err(Failure::during(format!("{} says {said:?}", args[0])))
    }

    async fn said(&self, program: &str, args: &[&str]) -> Result<String, Failure> {
        let mut command = command(&self.dir, program)?;
        command.args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = command.output().await.map_err(Failure::during(args[0].to_owned()))?;
        if !output.status.success() {
            return Err(Failure::new(format!("{} failed: {}", args[0], output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
