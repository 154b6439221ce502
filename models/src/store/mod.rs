//! The models on this machine: which ones a tier needs, where they are, whether they are whole.
//! Nothing is fetched here.
//!
//! A [`Store`] is a cache folder and a [`Registry`]. Each checkpoint has the folder
//! `<cache>/<repository with -- for />/<revision>`; a file in it is whole or not there, because it
//! gets its name only after it was checked.

mod bf16;
mod error;
mod model;
mod pulled;
mod registry;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use error::StoreError;
pub use model::{File, Labels, Model, Pin, Task};
pub use pulled::Pulled;
pub use registry::Registry;
pub use verify::sha256;

use crate::tier::Tier;

/// An operator's registry, in the cache folder.
const OVERRIDE: &str = "models.toml";

/// The cache folder: the one asked for (`AI_MODELS_CACHE_DIR`), else `farm/models` in
/// `XDG_CACHE_HOME`, else in `.cache` of the home folder; `None` without any.
pub fn cache_dir(
    asked: Option<&str>,
    xdg_cache_home: Option<&str>,
    home: Option<&str>,
) -> Option<PathBuf> {
    if let Some(asked) = asked {
        return Some(PathBuf::from(asked));
    }
    // A relative one is to be ignored, says the XDG specification.
    let xdg = xdg_cache_home.map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = xdg.or_else(|| home.map(|home| Path::new(home).join(".cache")))?;
    Some(caches.join("farm").join("models"))
}

/// The bfloat16 copy of some weights, beside them; made unless it was made of these before. Takes
/// seconds: not for an async thread. Whoever else wants it meanwhile waits.
///
/// # Errors
/// When the weights cannot be read or the copy cannot be written.
pub fn in_bfloat16(weights: &Path, sha256: &str) -> Result<PathBuf, StoreError> {
    let copy = bf16::place(weights);
    if bf16::is_of(&copy, sha256) {
        return Ok(copy);
    }
    let lock = copy.with_extension("lock");
    let failed = StoreError::io(&lock);
    let held = std::fs::File::create(&lock)
        .and_then(
            |file| Ok(rustix::fs::flock(&file, FlockOperation::LockExclusive).map(|()| file)?),
        )
        .map_err(failed)?;
    let made = if bf16::is_of(&copy, sha256) { Ok(copy) } else { bf16::copy(weights, sha256) };
    drop(held);
    made
}

/// The models on this machine.
#[derive(Clone, Debug)]
pub struct Store {
    cache: PathBuf,
    registry: Registry,
}

impl Store {
    /// The models in a cache folder, which need not exist. An operator's registry is read from
    /// `models_file` (`AI_MODELS_FILE`), else from `models.toml` in the cache folder if it is
    /// there.
    ///
    /// # Errors
    /// When the operator's registry cannot be read or breaks a rule.
    pub fn open(cache: impl Into<PathBuf>, models_file: Option<&Path>) -> Result<Self, StoreError> {
        let cache = cache.into();
        let ours = Registry::built_in()?;
        let path = models_file.map_or_else(|| cache.join(OVERRIDE), Path::to_path_buf);
        let registry = match std::fs::read_to_string(&path) {
            Ok(text) => ours.with(&path.display().to_string(), &text)?,
            Err(error) if models_file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                ours
            }
            Err(error) => return Err(StoreError::io(path)(error)),
        };
        Ok(Self { cache, registry })
    }

    /// Where the models are kept.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The checkpoints that a tier needs; none for [`Tier::Rules`].
    pub fn models(&self, tier: Tier) -> impl Iterator<Item = &Model> {
        self.registry.of(tier)
    }

    /// The checkpoint for a task.
    pub fn model(&self, task: Task) -> &Model {
        self.registry.model(task)
    }

    /// Folder of a checkpoint.
    pub fn folder(&self, model: &Model) -> PathBuf {
        self.cache.join(model.repository.replace('/', "--")).join(&model.revision)
    }

    /// Whether every file of a checkpoint is here and as long as it must be. Reads no content.
    ///
    /// # Errors
    /// The first file that is not.
    pub fn check(&self, model: &Model) -> Result<(), StoreError> {
        let folder = self.folder(model);
        let pulled = Pulled::read(&folder)?;
        for file in &model.files {
            self.check_file(model, file, pulled.of(file))?;
        }
        Ok(())
    }

    /// Whether every checkpoint of a tier is here: see [`Store::check`].
    pub fn present(&self, tier: Tier) -> bool {
        self.models(tier).all(|model| self.check(model).is_ok())
    }

    /// The highest tier whose checkpoints are here.
    pub fn available(&self) -> Tier {
        let found = [Tier::Full, Tier::Lite].into_iter().find(|tier| self.present(*tier));
        found.unwrap_or(Tier::Rules)
    }

    /// Reads every file of a checkpoint and compares it with its checksum, from the registry or
    /// from the pull. Answers with the checksum of each file, in the order of the registry; one
    /// that nothing is known of is told as it is. Takes seconds: not for an async thread.
    ///
    /// # Errors
    /// The first file that is missing, has another length or another content.
    pub fn verify(&self, model: &Model) -> Result<Vec<Pin>, StoreError> {
        let folder = self.folder(model);
        let pulled = Pulled::read(&folder)?;
        let verified = model.files.iter().map(|file| {
            let want = pulled.of(file);
            let size = self.check_file(model, file, want)?;
            let path = folder.join(&file.name);
            let is = verify::sha256(&path)?;
            match want {
                Some(pin) if pin.sha256 != is => {
                    Err(StoreError::WrongSum { path, want: pin.sha256.clone(), is })
                }
                _ => Ok(Pin { size, sha256: is }),
            }
        });
        verified.collect()
    }

    /// SHA-256 of the weights, hex: as pinned, else as pulled, else read from the file, which
    /// takes seconds.
    ///
    /// # Errors
    /// When nothing is known of the file and it cannot be read.
    pub fn weights_sha256(&self, model: &Model) -> Result<String, StoreError> {
        let folder = self.folder(model);
        let pulled = Pulled::read(&folder)?;
        let weights = model.files.iter().find(|file| file.name == model.weights());
        match weights.and_then(|file| pulled.of(file)) {
            Some(pin) => Ok(pin.sha256.clone()),
            None => verify::sha256(&folder.join(model.weights())),
        }
    }

    /// See [`in_bfloat16`], of a checkpoint.
    ///
    /// # Errors
    /// The same.
    pub fn prepare(&self, model: &Model) -> Result<PathBuf, StoreError> {
        let weights = self.folder(model).join(model.weights());
        in_bfloat16(&weights, &self.weights_sha256(model)?)
    }

    /// The bfloat16 copy of a checkpoint's weights, if there is one of these weights.
    pub fn prepared(&self, model: &Model) -> Option<PathBuf> {
        let copy = bf16::place(&self.folder(model).join(model.weights()));
        if !copy.is_file() {
            return None;
        }
        let sha256 = self.weights_sha256(model).ok()?;
        bf16::is_of(&copy, &sha256).then_some(copy)
    }

    /// Bytes of a file that is here and as long as it must be.
    fn check_file(
        &self,
        model: &Model,
        file: &File,
        want: Option<&Pin>,
    ) -> Result<u64, StoreError> {
        let folder = self.folder(model);
        let path = folder.join(&file.name);
        let is = match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => found.len(),
            _ => {
                let (repository, file) = (model.repository.clone(), file.name.clone());
                return Err(StoreError::Missing { repository, file, folder });
            }
        };
        match want {
            Some(pin) if pin.size != is => Err(StoreError::WrongSize { path, want: pin.size, is }),
            _ => Ok(is),
        }
    }
}
