//! With a real process each, played by a script: what the analyzer's own does is shown where one is
//! started (`tests/tests/process`).

use std::sync::Arc;

use super::*;
use crate::RulesAnalyzer;
use crate::engine::{Engine, Loader};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// What a batch may take, where one hangs.
const SHORT: Duration = Duration::from_secs(1);

/// Says that it is ready, then does with each batch what its captions say. `$0`: what it answers
/// to one caption, as JSON; `$1`: where it notes that it was started.
const SCRIPT: &str = r#"
    [ -e "$1.down" ] && exit 3
    echo started >> "$1"
    echo '{"progress":50}'
    echo '{"loaded":{"models":[{"name":"played","hash":"00"}],"bytes":7}}'
    while read -r batch; do
        case "$batch" in
            *hangs*) exec sleep 1000 ;;
            *crashes*) kill -SEGV $$ ;;
            *babbles*) echo 'what?' ;;
            *panics*) echo '"panicked"' ;;
            *leaves*) exit 0 ;;
            *) count=$(echo "$batch" | grep -o '"text"' | wc -l)
               answers="{\"Ok\":$0}"
               while [ "$count" -gt 1 ]; do answers="$answers,{\"Ok\":$0}"; count=$((count - 1)); done
               echo "{\"answers\":[$answers]}" ;;
        esac
    done
"#;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// From now on it cannot be started.
    fn down(&self) {
        std::fs::write(self.folder.path().join("notes.down"), "").unwrap();
    }

    fn call(&self, script: &'static str) -> Box<Call> {
        let notes = self.folder.path().join("notes");
        let answer = serde_json::to_string(&answer()).unwrap();
        Box::new(move || {
            let mut command = Command::new("sh");
            command.args(["-c", script, &answer]).arg(&notes);
            command
        })
    }

    fn load(&self, script: &'static str) -> Result<Isolated, LoadError> {
        let limits = Limits { load: SHORT, batch: SHORT, caption: Duration::ZERO };
        Isolated::load(Tier::Lite, self.call(script), limits, &Progress::default())
    }

    /// How often the process was started.
    fn starts(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("notes")).unwrap().lines().count()
    }
}

fn captions(texts: &[&str]) -> Vec<Prepared> {
    texts.iter().map(|text| Prepared { text: (*text).into(), hashtags: Vec::new() }).collect()
}

/// An answer like any other.
fn answer() -> Analysis {
    let answer = RulesAnalyzer::new().analyze(&captions(&["What a lovely day!"])).remove(0);
    Analysis { tier: Tier::Lite, ..answer.unwrap() }
}

#[test]
fn it_answers_what_its_process_answers() {
    let scene = Scene::new();
    let mut isolated = scene.load(SCRIPT).unwrap();
    assert_eq!(isolated.tier(), Tier::Lite);
    assert_eq!((isolated.models()[0].name.as_str(), isolated.bytes()), ("played", 7));
    for batch in [&["one"][..], &["one", "two\nlines", "3"]] {
        let answers = isolated.analyze(&captions(batch));
        assert_eq!(answers, vec![Ok(answer()); batch.len()]);
    }
    assert_eq!(scene.starts(), 1);
}

#[test]
fn a_process_that_fails_costs_its_batch_and_is_replaced() {
    let scene = Scene::new();
    let mut isolated = scene.load(SCRIPT).unwrap();
    // How often it is started for one: alone it is tried twice, unless its time is over.
    let kinds = [
        ("hangs", 1, "took too long and was killed"),
        ("crashes", 2, "ended: signal: 11"),
        ("babbles", 2, "said what cannot be read"),
        ("leaves", 2, "ended: exit status: 0"),
    ];
    for (what, tries, words) in kinds {
        let before = scene.starts();
        assert_eq!(isolated.analyze(&captions(&["fine", what])), [], "{what}");
        let Err(Offence::Model(reason)) = isolated.analyze(&captions(&[what])).remove(0) else {
            panic!("{what} was answered");
        };
        assert!(reason.contains(words), "{what}: {reason}");
        assert_eq!(isolated.analyze(&captions(&["fine"])), [Ok(answer())], "after {what}");
        assert_eq!(scene.starts(), before + tries + 1, "and one after {what}");
    }
}

#[test]
fn a_caption_is_not_blamed_for_what_somebody_else_ended() {
    let scene = Scene::new();
    let mut isolated = scene.load(SCRIPT).unwrap();
    isolated.limits.batch = LONG;
    let process = isolated.process.as_ref().unwrap().id().to_string();
    assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    assert_eq!(isolated.analyze(&captions(&["fine"])), [Ok(answer())]);
    assert_eq!(scene.starts(), 2);
}

#[test]
fn a_panic_is_no_reason_to_start_anew() {
    let scene = Scene::new();
    let mut isolated = scene.load(SCRIPT).unwrap();
    let answers = isolated.analyze(&captions(&["panics"]));
    assert_eq!(answers, [Err(Offence::Model("its process panicked".to_owned()))]);
    assert_eq!(isolated.analyze(&captions(&["fine"])), [Ok(answer())]);
    assert_eq!(scene.starts(), 1);
}

#[test]
fn what_is_dropped_ends() {
    let scene = Scene::new();
    let script = "echo $$ > $1; echo '{\"loaded\":{\"models\":[],\"bytes\":0}}'; exec sleep 1000";
    drop(scene.load(script).unwrap());
    let id = std::fs::read_to_string(scene.folder.path().join("notes")).unwrap();
    let status = std::path::Path::new("/proc").join(id.trim());
    assert!(!status.exists(), "{} is still there", status.display());
}

#[test]
fn why_it_could_not_load_is_said() {
    let scene = Scene::new();
    let fails = |script| scene.load(script).unwrap_err();
    assert_eq!(
        fails(r#"echo '{"not_loaded":{"corrupt":"model.safetensors is not whole"}}'"#),
        LoadError::Corrupt("model.safetensors is not whole".to_owned())
    );
    let failed = |words: &str| LoadError::Failed(format!("its process {words}"));
    assert_eq!(fails("exit 3"), failed("ended: exit status: 3"));
    assert_eq!(fails("exec sleep 1000"), failed("took too long and was killed"));
    assert_eq!(fails(r#"echo '{"answers":[]}'"#), failed(NONSENSE));
    let none = Isolated::load(
        Tier::Lite,
        Box::new(|| Command::new("/nowhere")),
        Limits::within(&Settings::default()),
        &Progress::default(),
    );
    assert!(none.unwrap_err().to_string().contains("its process cannot be started"));
}

#[test]
fn more_than_a_pipe_holds_goes_through() {
    let scene = Scene::new();
    let mut isolated = scene.load(SCRIPT).unwrap();
    isolated.limits.batch = LONG;
    let long = "word ".repeat(100_000);
    assert_eq!(isolated.analyze(&captions(&[&long])), [Ok(answer())]);
}

fn loader(scene: &Arc<Scene>) -> Loader {
    let scene = scene.clone();
    Loader::new(Tier::Lite, move |progress| {
        let limits = Limits { load: LONG, batch: SHORT, caption: Duration::ZERO };
        Ok(Box::new(Isolated::load(Tier::Lite, scene.call(SCRIPT), limits, progress)?))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_engine_no_caption_is_blamed_for_a_process_that_cannot_be_started() {
    let scene = Arc::new(Scene::new());
    let rules = Loader::new(Tier::Rules, |_| Ok(Box::new(RulesAnalyzer::new())));
    let settings = Settings { threads: 1, ..Settings::default() };
    let engine = Engine::start(vec![loader(&scene), rules], settings);
    let ask = async |texts: &[&str]| {
        let asked = engine.analyze(captions(texts), CancellationToken::new());
        tokio::time::timeout(LONG, asked).await.unwrap().unwrap()
    };
    assert_eq!(ask(&["fine"]).await, [Ok(answer())]);
    scene.down();
    let answers = ask(&["leaves", "What a lovely day!", "and a night"]).await;
    let tiers = answers.iter().map(|answer| answer.as_ref().unwrap().tier);
    assert_eq!(tiers.collect::<Vec<_>>(), [Tier::Rules; 3]);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_engine_one_caption_that_hangs_costs_the_others_nothing() {
    let scene = Arc::new(Scene::new());
    let settings = Settings { threads: 1, ..Settings::default() };
    let engine = Engine::start(vec![loader(&scene)], settings);
    let asked = engine.analyze(captions(&["a", "hangs", "b"]), CancellationToken::new());
    let answers = tokio::time::timeout(LONG, asked).await.unwrap().unwrap();
    assert_eq!(answers[0], Ok(answer()));
    assert!(matches!(&answers[1], Err(Offence::Model(why)) if why.contains("was killed")));
    assert_eq!(answers[2], Ok(answer()));
    assert!(engine.state().replace.is_none(), "no thread was given up");
    engine.stop().await;
}
