//! `farm models verify` and `farm models prepare`: long reads of what is here.

use jobs::process::Failure;
use models::store::{Model, Store, StoreError};
use models::{Tier, cpu};
use serde::Serialize;

use super::pull;

/// What a file or a checkpoint was found to be.
#[derive(Debug, Serialize)]
struct Found {
    tier: Tier,
    task: &'static str,
    repository: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Found {
    fn new(model: &Model, state: &'static str, detail: Option<String>) -> Self {
        let (tier, task) = (model.task.tier(), model.task.as_str());
        Self { tier, task, repository: model.repository.clone(), state, detail }
    }

    fn line(&self) -> String {
        let Self { tier, task, repository, state, detail } = self;
        let detail = detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        format!("{:5}  {task:9}  {repository}  {state}{detail}", tier.as_str())
    }
}

/// What was found, and a failure when something that is here is not what it must be.
pub(super) async fn verify(
    store: Store,
    json: bool,
) -> Result<(String, Result<(), Failure>), Failure> {
    let found =
        off_thread(move || all(&store).map(|model| verified(&store, model)).collect::<Vec<_>>());
    let found = found.await?;
    let broken = found.iter().filter(|found| matches!(found.state, "wrong" | "incomplete"));
    let verdict = match broken.count() {
        0 => Ok(()),
        broken => Err(Failure::new(format!(
            "{broken} of the checkpoints are not whole; farm models pull fetches what is wrong \
             or missing"
        ))),
    };
    Ok((told(&found, json)?, verdict))
}

fn verified(store: &Store, model: &Model) -> Found {
    let folder = store.folder(model);
    if !model.files.iter().any(|file| folder.join(&file.name).exists()) {
        return Found::new(model, "not here", None);
    }
    match store.verify(model) {
        Ok(_) => Found::new(model, "whole", None),
        Err(error @ StoreError::Missing { .. }) => {
            Found::new(model, "incomplete", Some(error.to_string()))
        }
        Err(error) => Found::new(model, "wrong", Some(error.to_string())),
    }
}

/// Copies the weights of the full tier that are here; only for a CPU that is faster with them,
/// unless it is to be done `anyway`.
pub(super) async fn prepare(store: Store, anyway: bool, json: bool) -> Result<String, Failure> {
    if !anyway && !cpu::prefers_bfloat16() {
        if json {
            let left = store.models(Tier::Full).map(|model| Found::new(model, "not needed", None));
            return told(&left.collect::<Vec<_>>(), json);
        }
        return Ok(
            "this CPU is no faster with bfloat16 than with the weights as they are; nothing was \
             prepared (--anyway does it)"
                .to_owned(),
        );
    }
    let lock = pull::lock(store.cache()).map_err(|fault| Failure::new(fault.to_string()))?;
    let found = off_thread(move || {
        let _lock = lock;
        let prepared = store.models(Tier::Full).map(|model| match store.check(model) {
            Ok(()) => prepared(&store, model),
            Err(StoreError::Missing { .. }) => Ok(Found::new(model, "not here", None)),
            Err(error) => Err(error),
        });
        prepared.collect::<Result<Vec<_>, _>>()
    });
    let found = found.await?.map_err(|error| Failure::new(error.to_string()))?;
    told(&found, json)
}

fn prepared(store: &Store, model: &Model) -> Result<Found, StoreError> {
    let copy = store.prepare(model)?;
    Ok(Found::new(model, "prepared", Some(copy.display().to_string())))
}

fn all(store: &Store) -> impl Iterator<Item = &Model> {
    [Tier::Lite, Tier::Full].into_iter().flat_map(|tier| store.models(tier))
}

fn told(found: &[Found], json: bool) -> Result<String, Failure> {
    if json {
        return serde_json::to_string(found).map_err(Failure::during("the answer"));
    }
    Ok(found.iter().map(Found::line).collect::<Vec<_>>().join("\n"))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::during("it did not end"))
}
