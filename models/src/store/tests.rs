use std::fs;

use super::*;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
/// SHA-256 of `weights` and of `{}`.
const WEIGHTS: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
const EMPTY: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A store with an embedding checkpoint of two files, whole and pinned by checksum.
fn whole(cache: &Path) -> Store {
    let entry = format!(
        r#"
        [[lite]]
        task = "embedding"
        repository = "me/mine"
        revision = "{REVISION}"
        licence = "MIT"
        labels = "categories"
        files = [
            {{ name = "w.safetensors", size = 7, sha256 = "{WEIGHTS}" }},
            {{ name = "config.json", size = 2, sha256 = "{EMPTY}" }},
        ]
        "#
    );
    fs::write(cache.join("models.toml"), entry).unwrap();
    let store = Store::open(cache, None).unwrap();
    let folder = store.folder(store.model(Task::Embedding));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("w.safetensors"), "weights").unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    store
}

#[test]
fn the_cache_is_where_the_environment_says() {
    let at = |asked, xdg, home| cache_dir(asked, xdg, home).map(|path| path.display().to_string());
    let some = |path: &str| Some(path.to_owned());
    assert_eq!(at(Some("/m"), Some("/x"), Some("/h")), some("/m"));
    assert_eq!(at(None, Some("/x"), Some("/h")), some("/x/farm/models"));
    assert_eq!(at(None, Some("x"), Some("/h")), some("/h/.cache/farm/models"));
    assert_eq!(at(None, None, Some("/h")), some("/h/.cache/farm/models"));
    assert_eq!(at(None, None, None), None);
}

#[test]
fn a_whole_checkpoint_makes_its_tier_available() {
    let cache = tempfile::tempdir().unwrap();
    let store = whole(cache.path());
    let model = store.model(Task::Embedding);
    let folder = cache.path().join("me--mine").join(REVISION);
    assert_eq!(store.folder(model), folder);
    assert!(store.present(Tier::Rules) && store.present(Tier::Lite) && !store.present(Tier::Full));
    assert_eq!(store.available(), Tier::Lite);
    let sums: Vec<String> =
        store.verify(model).unwrap().into_iter().map(|pin| pin.sha256).collect();
    assert_eq!(sums, [WEIGHTS, EMPTY]);
    assert_eq!(store.weights_sha256(model).unwrap(), WEIGHTS);
}

#[test]
fn an_empty_cache_has_no_tier_but_the_rules() {
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(cache.path().join("not-made"), None).unwrap();
    assert_eq!(store.available(), Tier::Rules);
    let missing = store.check(store.model(Task::Embedding)).unwrap_err();
    assert!(matches!(&missing, StoreError::Missing { file, .. } if file == "model.safetensors"));
    assert!(missing.to_string().contains("of sentence-transformers/all-MiniLM-L6-v2 is missing"));
}

#[test]
fn a_file_that_is_missing_or_too_short_or_has_another_content_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let store = whole(cache.path());
    let model = store.model(Task::Embedding);
    let weights = store.folder(model).join("w.safetensors");

    fs::write(&weights, "waights").unwrap();
    assert!(store.check(model).is_ok(), "nothing is read for a check");
    let wrong = store.verify(model).unwrap_err();
    assert!(matches!(&wrong, StoreError::WrongSum { path, want, .. }
        if *path == weights && want == WEIGHTS));

    fs::write(&weights, "weigh").unwrap();
    for wrong in [store.check(model).unwrap_err(), store.verify(model).unwrap_err()] {
        assert!(
            matches!(&wrong, StoreError::WrongSize { path, want: 7, is: 5 } if *path == weights)
        );
    }

    fs::remove_file(&weights).unwrap();
    for wrong in [store.check(model).unwrap_err(), store.verify(model).unwrap_err()] {
        assert!(matches!(wrong, StoreError::Missing { file, .. } if file == "w.safetensors"));
    }
    fs::create_dir(&weights).unwrap();
    assert!(!store.present(Tier::Lite), "a folder is no file");
}

#[test]
fn what_the_registry_does_not_pin_the_pull_does() {
    let cache = tempfile::tempdir().unwrap();
    whole(cache.path());
    let path = cache.path().join("models.toml");
    let pins = [
        format!(", size = 7, sha256 = \"{WEIGHTS}\""),
        format!(", size = 2, sha256 = \"{EMPTY}\""),
    ];
    let unpinned = fs::read_to_string(&path).unwrap().replace(&pins[0], "").replace(&pins[1], "");
    fs::write(&path, unpinned).unwrap();
    let store = Store::open(cache.path(), None).unwrap();
    let model = store.model(Task::Embedding);
    assert_eq!(store.weights_sha256(model).unwrap(), WEIGHTS, "read from the file");

    let folder = store.folder(model);
    let pin = Pin { size: 7, sha256: EMPTY.to_owned() };
    Pulled([("w.safetensors".to_owned(), pin)].into()).write(&folder).unwrap();
    assert_eq!(Pulled::read(&folder).unwrap().0.len(), 1);
    assert!(store.check(model).is_ok());
    assert!(matches!(store.verify(model), Err(StoreError::WrongSum { .. })));
    assert_eq!(store.weights_sha256(model).unwrap(), EMPTY);

    fs::write(folder.join("pulled.toml"), "garbage").unwrap();
    let wrong = store.check(model).unwrap_err().to_string();
    assert!(wrong.contains("pulled.toml, line 1"), "{wrong}");
}

#[test]
fn a_registry_file_that_is_named_must_be_there() {
    let cache = tempfile::tempdir().unwrap();
    let named = cache.path().join("elsewhere.toml");
    let wrong = Store::open(cache.path(), Some(&named)).unwrap_err().to_string();
    assert!(wrong.contains("elsewhere.toml"), "{wrong}");
    fs::write(&named, "[[full]]\ntask = \"poetry\"").unwrap();
    let wrong = Store::open(cache.path(), Some(&named)).unwrap_err().to_string();
    assert!(wrong.contains("elsewhere.toml, line 2: unknown variant `poetry`"), "{wrong}");
}

#[test]
fn weights_are_prepared_once_and_again_when_they_change() {
    let cache = tempfile::tempdir().unwrap();
    let store = whole(cache.path());
    let model = store.model(Task::Embedding);
    let refused = store.prepare(model).unwrap_err();
    assert!(matches!(refused, StoreError::NotSafetensors { .. }), "{refused}");
    assert_eq!(store.prepared(model), None);

    // A file without tensors, and a copy of other weights in the way.
    let folder = store.folder(model);
    fs::write(folder.join("w.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    fs::write(folder.join("w.bf16.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert_eq!(store.prepared(model), None);
    let copy = store.prepare(model).unwrap();
    assert_eq!(store.prepared(model), Some(copy.clone()));
    let made = fs::metadata(&copy).unwrap().modified().unwrap();
    assert_eq!(store.prepare(model).unwrap(), copy);
    assert_eq!(fs::metadata(&copy).unwrap().modified().unwrap(), made, "not made twice");
}
