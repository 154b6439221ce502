//! From the models on this machine to analyzers.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::analysis::Analyzer;
use crate::engine::{LoadError, Loader, Progress};
use crate::isolated::{Isolated, Limits, child};
use crate::rules::RulesAnalyzer;
use crate::store::{Model, Store, StoreError};
use crate::tier::Tier;

/// The highest tier that this build can load.
pub const BEST: Tier = if cfg!(feature = "bert") { Tier::Full } else { Tier::Rules };

/// What comparing checksums is of a load, in percent.
const VERIFYING: f64 = 50.0;

/// For the engine, whose threads compute alone: what they load of a tier comes from this store.
pub fn loader(store: &Store, tier: Tier) -> Loader {
    let store = store.clone();
    Loader::new(tier, move |progress| {
        compute_alone();
        analyzer(&store, tier, progress)
    })
}

/// Like [`loader`], of a tier that runs in a process of its own: this program, which has to ask
/// [`child::main`] first of all. `registry` is the file that the store was opened with. The rules
/// stay: they call nothing that could crash.
pub fn isolated(store: &Store, registry: Option<PathBuf>, tier: Tier, limits: Limits) -> Loader {
    if tier == Tier::Rules {
        return loader(store, tier);
    }
    let store = store.clone();
    Loader::new(tier, move |progress| {
        // Here, once: the process may be started many times.
        verify(&store, tier, progress)?;
        let (cache, registry) = (store.cache().to_owned(), registry.clone());
        let call = move || child::call(tier, &cache, registry.as_deref());
        Ok(Box::new(Isolated::load(tier, Box::new(call), limits, progress)?))
    })
}

fn compute_alone() {
    #[cfg(feature = "bert")]
    crate::nets::one_thread_each();
}

/// The analyzer of a tier, on the thread that will use it. Its files are compared with their
/// checksums first, once for the process, and the memory they need with what is free.
///
/// # Errors
/// What is missing, damaged or too large, with the file and what to do.
pub fn analyzer(
    store: &Store,
    tier: Tier,
    progress: &Progress,
) -> Result<Box<dyn Analyzer>, LoadError> {
    if tier == Tier::Rules {
        return Ok(Box::new(RulesAnalyzer::new()));
    }
    verify(store, tier, progress)?;
    neural(store, tier, progress)
}

/// The analyzer of a tier whose files another process has compared.
pub(crate) fn verified_before(
    store: &Store,
    tier: Tier,
    progress: &Progress,
) -> Result<Box<dyn Analyzer>, LoadError> {
    compute_alone();
    neural(store, tier, progress)
}

/// Compares the files of a tier with their checksums, once for the process.
fn verify(store: &Store, tier: Tier, progress: &Progress) -> Result<(), LoadError> {
    let models: Vec<_> = store.models(tier).collect();
    for model in &models {
        store.check(model).map_err(|error| unusable(tier, &error))?;
    }
    for (done, model) in models.iter().enumerate() {
        progress.set((VERIFYING * done as f64 / models.len() as f64) as u8);
        verified(store, model).map_err(|error| unusable(tier, &error))?;
    }
    Ok(())
}

/// Compares every file of a checkpoint with its checksum, unless that was done before and the
/// file is still the same.
fn verified(store: &Store, model: &Model) -> Result<(), StoreError> {
    type Seen = (PathBuf, u64, Option<SystemTime>);
    static SEEN: Mutex<Option<HashSet<Seen>>> = Mutex::new(None);

    let folder = store.folder(model);
    let now: Option<Vec<Seen>> = model
        .files
        .iter()
        .map(|file| {
            let path = folder.join(&file.name);
            let about = path.metadata().ok()?;
            Some((path, about.len(), about.modified().ok()))
        })
        .collect();
    // Held while reading: other threads wait for the answer instead of reading too.
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.get_or_insert_default();
    if now.as_ref().is_some_and(|files| files.iter().all(|file| seen.contains(file))) {
        return Ok(());
    }
    store.verify(model)?;
    seen.extend(now.into_iter().flatten());
    Ok(())
}

#[cfg(not(feature = "bert"))]
fn neural(_: &Store, tier: Tier, _: &Progress) -> Result<Box<dyn Analyzer>, LoadError> {
    Err(LoadError::Failed(format!("this build has no {tier} tier (feature bert)")))
}

#[cfg(feature = "bert")]
use neural::neural;

fn unusable(tier: Tier, error: &StoreError) -> LoadError {
    let reason = format!("{error}; farm models pull {tier} fetches the {tier} models");
    match error {
        StoreError::Missing { .. } => LoadError::Missing(reason),
        StoreError::WrongSize { .. } | StoreError::WrongSum { .. } => LoadError::Corrupt(reason),
        _ => LoadError::Failed(reason),
    }
}

#[cfg(feature = "bert")]
mod neural {
    use std::path::PathBuf;

    use super::{Analyzer, LoadError, Progress, Store, Tier, VERIFYING, unusable};
    use crate::analysis::ModelId;
    use crate::full::{Checkpoint, Checkpoints, FullAnalyzer};
    use crate::lite::LiteAnalyzer;
    use crate::memory;
    use crate::nets::{NetError, Place, Precision};
    use crate::store::{Labels, Model, Task};

    /// Of a caption so many tokens are read.
    const MOST: usize = 128;
    /// Beside the weights, for what is computed: in hundredths of their size, and bytes at least.
    const BESIDE: (u64, u64) = (10, 128 << 20);

    pub(super) fn neural(
        store: &Store,
        tier: Tier,
        progress: &Progress,
    ) -> Result<Box<dyn Analyzer>, LoadError> {
        let place = Place::detect(None);
        let of = |task: Task| checkpoint(store, store.model(task), place, tier);
        let done = |part: f64| progress.set((VERIFYING + (100.0 - VERIFYING) * part) as u8);
        if tier == Tier::Lite {
            let Checkpoint { folder, weights, id, .. } = of(Task::Embedding)?;
            fits(&[&weights], place, memory::available())?;
            let loaded = LiteAnalyzer::load(&folder, &weights, id, place, done);
            return loaded.map(|lite| Box::new(lite) as _).map_err(refused);
        }
        let from = Checkpoints {
            sentiment: of(Task::Sentiment)?,
            language: of(Task::Language)?,
            zero_shot: of(Task::ZeroShot)?,
            template: store.model(Task::ZeroShot).template.clone().unwrap_or_default(),
        };
        let weights = [&from.sentiment, &from.language, &from.zero_shot].map(|one| &one.weights);
        fits(&weights, place, memory::available())?;
        FullAnalyzer::load(&from, MOST, place, done)
            .map(|full| Box::new(full) as _)
            .map_err(refused)
    }

    /// Where its weights are for this kind of number: the copy in bfloat16 is made when there is
    /// none. Where it cannot be, the weights are converted in memory.
    fn checkpoint(
        store: &Store,
        model: &Model,
        place: Place,
        tier: Tier,
    ) -> Result<Checkpoint, LoadError> {
        let folder = store.folder(model);
        let weights = match place.precision() {
            Precision::Full => folder.join(model.weights()),
            Precision::Brain => store.prepare(model).unwrap_or_else(|error| {
                tracing::warn!(%error, "no bfloat16 copy of the weights; they take twice the memory");
                folder.join(model.weights())
            }),
        };
        let hash = store.weights_sha256(model).map_err(|error| unusable(tier, &error))?;
        let labels = match &model.labels {
            Labels::Listed(labels) => Some(labels.clone()),
            Labels::Config | Labels::Categories => None,
        };
        Ok(Checkpoint { folder, weights, labels, id: ModelId { name: model.id(), hash } })
    }

    /// Whether there is memory for these weights and what is computed with them.
    fn fits(weights: &[&PathBuf], place: Place, available: Option<u64>) -> Result<(), LoadError> {
        if place.device() != "cpu" {
            return Ok(());
        }
        let sizes = weights.iter().map(|file| file.metadata().map_or(0, |about| about.len()));
        let bytes: u64 = sizes.sum();
        let needed = bytes + (bytes * BESIDE.0 / 100).max(BESIDE.1);
        match available {
            Some(available) if available < needed => {
                Err(refused(NetError::Memory { needed, available }))
            }
            _ => Ok(()),
        }
    }

    fn refused(error: NetError) -> LoadError {
        let reason = error.to_string();
        match error {
            NetError::Memory { .. } => LoadError::Memory(reason),
            NetError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                LoadError::Missing(reason)
            }
            NetError::Read { .. } | NetError::Torch(_) => LoadError::Failed(reason),
            _ => LoadError::Corrupt(reason),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_does_not_fit_is_not_loaded() {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(4 << 30).unwrap(); // sparse
            let file = file.path().to_owned();
            let place = Place::cpu(Precision::Full);
            let gib = |count: u64| Some(count << 30);
            assert_eq!(fits(&[&file], place, gib(5)), Ok(()));
            assert_eq!(fits(&[&file], place, None), Ok(()));
            let refused = fits(&[&file, &file], place, gib(8)).unwrap_err();
            assert!(matches!(refused, LoadError::Memory(_)), "{refused:?}");
            assert!(refused.to_string().contains("9448928051 bytes of memory, and 8589934592"));
        }
    }
}
