//! From files on a machine to an analyzer, or to the sentence that says why not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use models::engine::{LoadError, Progress, Settings};
use models::store::{Store, Task, sha256};
use models::{Engine, Prepared, Tier, load};
use tempfile::TempDir;
use tests::small_models;
use tokio_util::sync::CancellationToken;

/// A cache with the small checkpoints as the full tier.
fn machine() -> (TempDir, Store) {
    let cache = tempfile::tempdir().unwrap();
    small_models::write(cache.path());
    let store = Store::open(cache.path(), None).unwrap();
    (cache, store)
}

fn weights(store: &Store, task: Task) -> PathBuf {
    store.folder(store.model(task)).join("model.safetensors")
}

fn refusal(store: &Store) -> LoadError {
    load::analyzer(store, Tier::Full, &Progress::default()).err().unwrap()
}

#[test]
fn what_is_here_and_whole_is_loaded() {
    let (_cache, store) = machine();
    let mut full = load::analyzer(&store, Tier::Full, &Progress::default()).unwrap();
    assert_eq!(full.tier(), Tier::Full);
    let models = full.models();
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let zeros = "0".repeat(40);
    let of = |task: &str| format!("small/{task}@{zeros}");
    assert_eq!(names, [&*of("sentiment"), &*of("language"), &*of("zero-shot"), "rules"]);
    assert_eq!(models[0].hash, sha256(&weights(&store, Task::Sentiment)).unwrap());
    assert_eq!(full.analyze(&[Prepared::of("hello there", &[])]).len(), 1);
}

#[test]
fn weights_with_one_bit_turned_are_refused_by_name() {
    let (_cache, store) = machine();
    let file = weights(&store, Task::Language);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let refused = refusal(&store);
    assert!(matches!(refused, LoadError::Corrupt(_)), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains(&file.display().to_string()) && said.contains("sha256"), "{said}");
    assert!(said.ends_with("farm models pull full fetches the full models"), "{said}");
}

#[test]
fn a_file_that_is_short_or_missing_is_named() {
    let (_cache, store) = machine();
    let file = weights(&store, Task::ZeroShot);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let said = refusal(&store);
    assert!(matches!(said, LoadError::Corrupt(_)) && said.to_string().contains("bytes instead of"));
    fs::remove_file(&file).unwrap();
    let said = refusal(&store);
    assert!(matches!(said, LoadError::Missing(_)), "{said:?}");
    assert!(
        said.to_string().contains("model.safetensors of small/zero-shot is missing in"),
        "{said}"
    );
}

#[tokio::test]
async fn a_tier_that_cannot_be_loaded_is_stood_in_for_and_says_why() {
    let (_cache, store) = machine();
    fs::write(weights(&store, Task::Sentiment), "no weights").unwrap();
    let loaders = vec![load::loader(&store, Tier::Rules), load::loader(&store, Tier::Full)];
    let engine = Engine::start(loaders, Settings::default());
    let caption = Prepared::of("I love this beautiful day", &[]);
    let answers = engine.analyze(vec![caption], CancellationToken::new()).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().tier, Tier::Rules);
    let state = engine.state();
    let full = state.tiers.iter().find(|tier| tier.tier == Tier::Full).unwrap();
    let why = full.load_error.as_deref().unwrap();
    assert!(why.contains("model.safetensors has 10 bytes"), "{why}");
    engine.stop().await;
}
