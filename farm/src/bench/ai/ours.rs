//! Our engine, asked as workers ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobs::process::Failure;
use models::engine::{Engine, LoadError, Loader, Settings};
use models::full::{Checkpoint, Checkpoints, FullAnalyzer};
use models::lite::LiteAnalyzer;
use models::nets::{Classifier, NetError, Place, ZeroShot, one_thread_each, operations};
use models::{Analysis, Analyzer, Category, ModelId, Offence, Prepared, Tier};
use tokio_util::sync::CancellationToken;

use super::side::Rate;
use super::task::{MOST, On, Task};

const TEMPLATE: &str = "This example is {}.";

/// One net alone, behind the seam of the engine. It answers nothing: only what it takes counts.
struct Alone {
    ask: Box<Ask>,
}

type Ask = dyn Fn(&[Prepared]) -> Result<(), NetError> + Send;

impl Analyzer for Alone {
    fn tier(&self) -> Tier {
        Tier::Full
    }

    fn models(&self) -> Vec<ModelId> {
        Vec::new()
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        let told = (self.ask)(captions).map_err(|error| Offence::Model(error.to_string()));
        captions.iter().map(|_| told.clone().map(|()| models::rules::empty(Tier::Full))).collect()
    }
}

/// Captions per second of a task, with an inference thread per core.
pub(super) async fn rate(
    on: &On,
    task: Task,
    captions: &[String],
    time: Duration,
) -> Result<Rate, Failure> {
    let engine = engine(on, task);
    // A caption costs 20 pairs: few of them last long.
    let window = if matches!(task, Task::ZeroShot | Task::All) { 2 } else { 64 };
    let rate = measured(&engine, captions, window, time).await;
    engine.stop().await;
    rate
}

/// Asks an engine about captions, a window of them after the other, for at least so long.
pub(crate) async fn measured(
    engine: &Engine,
    captions: &[String],
    window: usize,
    time: Duration,
) -> Result<Rate, Failure> {
    let captions: Arc<Vec<Prepared>> =
        Arc::new(captions.iter().map(|text| Prepared::of(text, &[])).collect());
    // Loaded and warm.
    let some = captions.iter().take(2).cloned().collect();
    let warm = engine.analyze(some, CancellationToken::new());
    warm.await.map_err(Failure::during("the engine"))?;
    let next = Arc::new(AtomicUsize::new(0));
    let (began, before) = (Instant::now(), operations());
    let ask = || {
        let (engine, captions, next) = (engine.clone(), captions.clone(), next.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while began.elapsed() < time {
                let at = next.fetch_add(window, Ordering::Relaxed);
                let some = (at..at + window).map(|n| captions[n % captions.len()].clone());
                let asked = engine.analyze(some.collect(), CancellationToken::new());
                let answers = asked.await.map_err(|error| error.to_string())?;
                if let Some(offence) = answers.into_iter().find_map(Result::err) {
                    return Err(offence.to_string());
                }
                done += window;
            }
            Ok(done)
        })
    };
    // Always another window at hand: the threads never wait for the asker.
    let asking: Vec<_> = (0..3).map(|_| ask()).collect();
    let mut captions = 0;
    for asker in asking {
        let done = asker.await.map_err(Failure::during("the asker"))?;
        captions += done.map_err(Failure::new)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Rate { captions, seconds, operations: operations() - before })
}

fn engine(on: &On, task: Task) -> Engine {
    let on = on.clone();
    let tier = if task == Task::Lite { Tier::Lite } else { Tier::Full };
    let loader = Loader::new(tier, move |_| {
        one_thread_each();
        load(&on, task).map_err(|error| LoadError::Failed(error.to_string()))
    });
    let settings = Settings {
        threads: crate::bench::host::cores(),
        // Every caption is computed, however often it comes.
        remembered: 0,
        ..Settings::default()
    };
    Engine::start(vec![loader], settings)
}

/// The analyzer of a task.
pub(super) fn load(on: &On, task: Task) -> Result<Box<dyn Analyzer>, NetError> {
    let place = Place::detect(None);
    let (sentiment, language) = (on.folder("sentiment"), on.folder("language"));
    let (zero_shot, embedding) = (on.folder("zero-shot"), on.folder("embedding"));
    let weights = |folder: &std::path::Path| folder.join("model.safetensors");
    let id = |name: &str| ModelId { name: name.to_owned(), hash: String::new() };
    match task {
        Task::Sentiment | Task::Language => {
            let folder = if task == Task::Sentiment { sentiment } else { language };
            let net = Classifier::load(&folder, &weights(&folder), MOST, place)?;
            let ask = move |captions: &[Prepared]| {
                let tokens: Vec<_> = captions.iter().map(|one| net.tokens(&one.text)).collect();
                net.logits(&tokens).map(drop)
            };
            Ok(Box::new(Alone { ask: Box::new(ask) }))
        }
        Task::ZeroShot => {
            let labels: Vec<_> = Category::ALL.iter().map(|label| label.as_str()).collect();
            let asked = (&labels[..], TEMPLATE);
            let net = ZeroShot::load(&zero_shot, &weights(&zero_shot), asked, MOST, place)?;
            let ask = move |captions: &[Prepared]| {
                let tokens: Vec<_> = captions.iter().map(|one| net.tokens(&one.text)).collect();
                net.logits(&tokens).map(drop)
            };
            Ok(Box::new(Alone { ask: Box::new(ask) }))
        }
        Task::All => {
            let checkpoint = |folder: std::path::PathBuf, name: &str| Checkpoint {
                weights: weights(&folder),
                folder,
                labels: None,
                id: id(name),
            };
            let from = Checkpoints {
                sentiment: checkpoint(sentiment, "sentiment"),
                language: checkpoint(language, "language"),
                zero_shot: checkpoint(zero_shot, "zero-shot"),
                template: TEMPLATE.to_owned(),
            };
            Ok(Box::new(FullAnalyzer::load(&from, MOST, place, |_| {})?))
        }
        Task::Lite => {
            let weights = weights(&embedding);
            Ok(Box::new(LiteAnalyzer::load(&embedding, &weights, id("embedding"), place, |_| {})?))
        }
    }
}
