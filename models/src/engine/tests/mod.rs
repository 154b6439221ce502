//! Stories of the engine with analyzers that do what they are told, on a clock that stands still.

mod faults;
mod limits;
mod merging;
mod queue;
mod tiers;

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::analysis::{Analyzer, CategoryFound, LanguageFound, ModelId, SentimentFound};
use crate::label::{Method, Sentiment};
use crate::tier::Tier;

/// Reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the analyzers of one tier do, and what they have done.
#[derive(Default)]
struct Script {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    /// Every call waits while this is set.
    held: bool,
    /// Calls with one of these captions never return while this is set.
    stuck: HashSet<String>,
    /// Every call panics.
    broken: bool,
    /// Loads fail with this.
    load: Option<LoadError>,
    /// Loads wait while this is set.
    load_held: bool,
    loads: usize,
    /// Every call: its captions.
    calls: Vec<Vec<String>>,
}

impl Script {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until it is so, and answers with what is seen then.
    fn until<T>(&self, seen: impl Fn(&Told) -> Option<T>) -> T {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(seen) = seen(&told) {
                return seen;
            }
            let (next, waited) = self.changed.wait_timeout(told, DEADLINE).unwrap();
            assert!(!waited.timed_out(), "it did not happen; calls: {:?}", next.calls);
            told = next;
        }
    }

    /// Waits until the n-th call has begun: its captions.
    fn call(&self, n: usize) -> Vec<String> {
        self.until(|told| told.calls.get(n).cloned())
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.until(|told| Some(told.calls.clone()))
    }

    fn loads(&self) -> usize {
        self.until(|told| Some(told.loads))
    }
}

/// A panic whose payload panics when it is dropped: nothing catches that.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("and again");
    }
}

struct Fake {
    tier: Tier,
    script: Arc<Script>,
    /// It has panicked on "shaking" and is not what it was.
    shaken: bool,
}

impl Analyzer for Fake {
    fn tier(&self) -> Tier {
        self.tier
    }

    fn models(&self) -> Vec<ModelId> {
        vec![ModelId { name: format!("fake-{}", self.tier), hash: "00".into() }]
    }

    fn bytes(&self) -> u64 {
        1_000
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        let texts: Vec<_> = captions.iter().map(|caption| caption.text.clone()).collect();
        self.script.tell(|told| told.calls.push(texts.clone()));
        let broken = self.script.until(|told| {
            let stuck = texts.iter().any(|text| told.stuck.contains(text));
            (!told.held && !stuck).then_some(told.broken)
        });
        let any = |word: &str| texts.iter().any(|text| text.contains(word));
        if any("bomb") {
            std::panic::panic_any(Bomb);
        }
        self.shaken |= any("shaking");
        assert!(!broken && !self.shaken && !any("poison"), "no");
        let mut answers: Vec<_> = texts.iter().map(|text| Ok(analysis(text, self.tier))).collect();
        if any("short") {
            answers.pop();
        }
        answers
    }
}

/// An answer that tells which caption it is about.
fn analysis(text: &str, tier: Tier) -> Analysis {
    let confidence = if text.contains("nan") { f64::NAN } else { 0.5 };
    Analysis {
        sentiment: SentimentFound {
            label: Sentiment::Neutral,
            score: 0.0,
            confidence,
            method: Method::Model,
            all: Vec::new(),
        },
        language: LanguageFound { code: text.into(), confidence: 1.0, method: Method::Model },
        category: CategoryFound {
            label: None,
            confidence: 0.0,
            method: Method::Hybrid,
            scores: Vec::new(),
        },
        tokens: 1,
        truncated: false,
        empty: None,
        tier,
        models: Vec::new(),
    }
}

fn loader(tier: Tier, script: &Arc<Script>) -> Loader {
    let script = script.clone();
    Loader::new(tier, move |progress| {
        progress.set(40);
        script.tell(|told| told.loads += 1);
        let error = script.until(|told| (!told.load_held).then(|| told.load.clone()));
        error.map_or_else(
            || Ok(Box::new(Fake { tier, script: script.clone(), shaken: false }) as _),
            Err,
        )
    })
}

/// One thread, batches of four, no window: what most tests want.
fn small() -> Settings {
    Settings { threads: 1, batch: 4, window: Duration::ZERO, ..Settings::default() }
}

fn start(tiers: &[(Tier, &Arc<Script>)], settings: Settings) -> Engine {
    let loaders = tiers.iter().map(|(tier, script)| loader(*tier, script)).collect();
    Engine::start_at(loaders, settings, Clock::Manual(Mutex::default()))
}

/// An engine of one tier that is loaded, and its script.
fn ready(settings: Settings) -> (Engine, Arc<Script>) {
    let script = Arc::<Script>::default();
    let engine = start(&[(Tier::Lite, &script)], settings);
    until(&engine, |state| state.serving.is_some());
    (engine, script)
}

/// Moves the clock.
fn advance(engine: &Engine, by: Duration) {
    let shared = &engine.handle.shared;
    let mut crew = shared.lock();
    if let Clock::Manual(now) = &shared.clock {
        *now.lock().unwrap() += by;
    }
    shared.arrange(&mut crew);
}

/// Waits until the engine's state is so. Looks again every now and then: nobody tells when a batch
/// begins.
fn until(engine: &Engine, so: impl Fn(&State) -> bool) -> State {
    let shared = &engine.handle.shared;
    let start = Instant::now();
    loop {
        let state = engine.state();
        if so(&state) {
            return state;
        }
        assert!(start.elapsed() < DEADLINE, "it did not happen: {state:#?}");
        drop(shared.changed.wait_timeout(shared.lock(), Duration::from_millis(1)).unwrap());
    }
}

fn captions(texts: &[&str]) -> Vec<Prepared> {
    texts.iter().map(|text| Prepared { text: (*text).into(), hashtags: Vec::new() }).collect()
}

type Asked = std::pin::Pin<Box<dyn Future<Output = Result<request::Answers, EngineError>> + Send>>;

fn ask(engine: &Engine, texts: &[&str]) -> Asked {
    Box::pin(engine.analyze(captions(texts), CancellationToken::new()))
}

async fn end(asked: Asked) -> Result<request::Answers, EngineError> {
    tokio::time::timeout(DEADLINE, asked).await.expect("no answer")
}

/// The captions the answers are about, or why there is none, and by which tier.
async fn told(asked: Asked) -> Vec<(String, Option<Tier>)> {
    let answers = end(asked).await.expect("answers");
    let one = |answer: Result<Analysis, Offence>| match answer {
        Ok(answer) => (answer.language.code, Some(answer.tier)),
        Err(offence) => (offence.to_string(), None),
    };
    answers.into_iter().map(one).collect()
}

/// The captions the answers are about.
async fn texts(asked: Asked) -> Vec<String> {
    told(asked).await.into_iter().map(|(text, _)| text).collect()
}

const PANICKED: &str = "the model failed on this text: panicked";
