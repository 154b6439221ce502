mod host;
mod package;
mod pulls;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use models::Tier;
use models::store::{Store, Task};
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use self::host::{Answer, TestHost};
use super::download::Patience;
use super::fault::Fault;
use super::hub::Hub;
use super::package::{MINILM, Package};
use super::progress::Progress;
use super::pull::{self, Sources};
use super::{Pull, Pulled, list, upkeep};
use crate::commands::story::parse;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
/// SHA-256 of `weights` and of `{}`.
const WEIGHTS: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
const CONFIG: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// Paths of the two files on the host, and of the list of the revision's files.
const AT: [&str; 2] = [
    "/me/mine/resolve/0123456789abcdef0123456789abcdef01234567/w.safetensors",
    "/me/mine/resolve/0123456789abcdef0123456789abcdef01234567/config.json",
];
const LIST: &str =
    "/api/models/me/mine/tree/0123456789abcdef0123456789abcdef01234567?recursive=true";

/// A cache, a host, and a lite tier that is one checkpoint of two files, `weights` and `{}`.
struct Place {
    dir: TempDir,
    host: TestHost,
    sources: Sources,
}

impl Place {
    /// With files that are pinned.
    fn pinned() -> Self {
        Self::of(&format!(
            "{{ name = \"w.safetensors\", size = 7, sha256 = \"{WEIGHTS}\" }},
             {{ name = \"config.json\", size = 2, sha256 = \"{CONFIG}\" }}"
        ))
    }

    /// With files that only the revision pins.
    fn by_revision() -> Self {
        Self::of("{ name = \"w.safetensors\" }, { name = \"config.json\" }")
    }

    fn of(files: &str) -> Self {
        let (dir, host) = (tempfile::tempdir().unwrap(), TestHost::start());
        let entry = format!(
            "[[lite]]\ntask = \"embedding\"\nrepository = \"me/mine\"\nrevision = \"{REVISION}\"\n\
             licence = \"MIT\"\nlabels = \"categories\"\nfiles = [{files}]"
        );
        fs::write(dir.path().join("models.toml"), entry).unwrap();
        host.answers(AT[0], &[Answer::Whole(b"weights".to_vec())]);
        host.answers(AT[1], &[Answer::Whole(b"{}".to_vec())]);
        let sources = sources(&host.endpoint, MINILM);
        Self { dir, host, sources }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path(), None).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        let store = self.store();
        store.folder(store.model(Task::Embedding)).join(name)
    }

    /// Puts something there before a pull.
    fn put(&self, name: &str, content: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn pull(&self) -> Result<u64, Fault> {
        let mut progress = Progress::new(true);
        pull::pull(&self.store(), Tier::Lite, &self.sources, &mut progress).await
    }

    /// The sentence of a pull that fails, after which the tier is not here.
    async fn refused(&self) -> String {
        let fault = self.pull().await.unwrap_err().to_string();
        assert!(!self.store().present(Tier::Lite), "{fault}");
        fault
    }
}

fn sources(endpoint: &Url, package: Package) -> Sources {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/models/tests/python");
    let hub = Hub::new(endpoint).unwrap();
    Sources { hub, patience: Patience(Duration::ZERO), package, python }
}

/// An address at which nobody listens.
fn nobody() -> Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

#[test]
fn a_tier_to_pull_is_one_of_two() {
    let parsed = |words: &[&str]| parse::<super::Action>(words);
    assert!(parsed(&["pull", "lite"]).is_ok() && parsed(&["pull", "full", "--json"]).is_ok());
    assert!(parsed(&["pull", "lite", "--quiet", "--within", "90s"]).is_ok());
    for bad in [&["pull"][..], &["pull", "rules"], &["pull", "lite", "--within", "soon"]] {
        assert_eq!(parsed(bad).unwrap_err().exit_code(), 2);
    }
}

#[tokio::test]
async fn what_was_pulled_is_told_and_what_was_not_too() {
    let place = Place::pinned();
    let asked = |json, quiet, within| Pull { tier: Pulled::Lite, quiet, within, json };
    let say = async |asked| super::pulled(&place.store(), &asked, &place.sources).await;

    let slow = say(asked(false, true, Some(0))).await.unwrap_err().to_string();
    assert!(slow.contains("the lite models were not pulled: not finished within"), "{slow}");
    let first = say(asked(false, true, None)).await.unwrap().unwrap();
    assert!(first.ends_with("; 9 B were fetched"), "{first}");
    assert_eq!(say(asked(false, true, None)).await.unwrap(), None, "quiet");
    let again = say(asked(false, false, None)).await.unwrap().unwrap();
    assert_eq!(again, format!("the lite models are here, in {}", place.dir.path().display()));
    let json = say(asked(true, true, None)).await.unwrap().unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["tier"], &json["fetched_bytes"]), (&"lite".into(), &0.into()));
}

#[tokio::test]
async fn the_list_says_what_is_here_and_what_pins_it() {
    let listed = |place: &Place| -> Value {
        serde_json::from_str(&list::told(&place.store(), true).unwrap()).unwrap()
    };
    let place = Place::by_revision();
    place.host.answers(LIST, &[Answer::Whole(LISTED.as_bytes().to_vec())]);
    let before = &listed(&place)["models"][0];
    assert_eq!((&before["pinned_by"], &before["here"]), (&"revision".into(), &false.into()));
    assert_eq!(before["files"][0]["sha256"], Value::Null);
    assert!(before["missing"].as_str().unwrap().contains("w.safetensors of me/mine is missing"));

    place.pull().await.unwrap();
    let after = listed(&place);
    assert_eq!((&after["available"], &after["models"][0]["here"]), (&"lite".into(), &true.into()));
    let file = &after["models"][0]["files"][0];
    assert_eq!((&file["sha256"], &file["pinned_by"]), (&WEIGHTS.into(), &"revision".into()));

    let text = list::told(&place.store(), false).unwrap();
    let line = text.lines().find(|line| line.contains("me/mine")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let wanted = ["lite", "embedding", "me/mine@0123456", "9", "B", "MIT", "revision", "yes"];
    assert_eq!(words, wanted, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("full")).count(), 3);
    assert!(text.contains("by the lite models; farm models pull full adds"), "{text}");
}

#[tokio::test]
async fn a_check_fails_when_what_is_here_is_not_whole() {
    let place = Place::pinned();
    let check = async || {
        let (answer, verdict) = upkeep::verify(place.store(), true).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        (answer[0]["state"].as_str().unwrap().to_owned(), verdict.is_ok())
    };
    assert_eq!(check().await, ("not here".to_owned(), true));
    place.pull().await.unwrap();
    assert_eq!(check().await, ("whole".to_owned(), true));
    place.put("w.safetensors", "waights");
    assert_eq!(check().await, ("wrong".to_owned(), false));
    let (told, verdict) = upkeep::verify(place.store(), false).await.unwrap();
    let wrong =
        format!("lite   embedding  me/mine  wrong: {}", place.file("w.safetensors").display());
    assert!(told.starts_with(&wrong), "{told}");
    assert!(verdict.unwrap_err().0.starts_with("1 of the checkpoints are not whole"));
    fs::remove_file(place.file("w.safetensors")).unwrap();
    assert_eq!(check().await, ("incomplete".to_owned(), false));
}

#[tokio::test]
async fn weights_that_are_not_here_are_not_prepared() {
    let place = Place::pinned();
    let told = upkeep::prepare(place.store(), true, true).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let states: Vec<&Value> = told.as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["not here", "not here", "not here"]);
}

/// The list of the revision: weights in large-file storage, the configuration in git.
const LISTED: &str = r#"[
    {"type": "directory", "oid": "aa", "size": 0, "path": "onnx"},
    {"type": "file", "oid": "bb", "size": 7, "path": "w.safetensors", "lfs": {
        "oid": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        "size": 7, "pointerSize": 130}},
    {"type": "file", "oid": "9e26dfeeb6e641a33dae4961196235bdb965b21b", "size": 2,
        "path": "config.json"}
]"#;
