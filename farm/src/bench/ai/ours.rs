//! Our engine, asked as workers ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobs::process::Failure;
use models::engine::{Engine, LoadError, Loader, Settings};
use models::full::{Checkpoint, Checkpoints, FullAnalyzer};
use models::lite::LiteAnalyzer;
use models::nets::{Classifier, NetError, Place, Precision, ZeroShot, one_thread_each, operations};
use models::store::in_bfloat16;
use models::{Analysis, Analyzer, Category, ModelId, Offence, Prepared, Tier};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
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

/// How many ask at once: always another window at hand, so that the threads never wait for one.
const ASKERS: usize = 3;
/// How many answered windows a figure is made of, at least, however long that takes.
const WINDOWS: usize = 4 * ASKERS;

/// Asks an engine about captions, a window of them after the other, for at least so long. It is
/// measured from answer to answer: what is under way at the first is made up for by what is at the
/// last, and all threads are busy between.
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
    let (answered, mut answers) = mpsc::channel(1);
    let mut asking = JoinSet::new();
    for _ in 0..ASKERS {
        let (engine, captions, next) = (engine.clone(), captions.clone(), next.clone());
        let answered = answered.clone();
        asking.spawn(async move {
            loop {
                let at = next.fetch_add(window, Ordering::Relaxed);
                let some = (at..at + window).map(|n| captions[n % captions.len()].clone());
                let asked = engine.analyze(some.collect(), CancellationToken::new()).await;
                let offence = |answers: Vec<_>| answers.into_iter().find_map(Result::err);
                let told = match asked {
                    Ok(answers) => offence(answers).map_or(Ok(()), |one| Err(one.to_string())),
                    Err(error) => Err(error.to_string()),
                };
                let at = (Instant::now(), operations());
                if answered.send(told.map(|()| at)).await.is_err() {
                    break;
                }
            }
        });
    }
    let mut answer = async || {
        let told = answers.recv().await.ok_or_else(|| Failure::new("nobody asks any more"))?;
        told.map_err(Failure::new)
    };
    for _ in 1..ASKERS {
        answer().await?;
    }
    let (began, before) = answer().await?;
    let mut windows = 0;
    loop {
        let (at, after) = answer().await?;
        windows += 1;
        if windows >= WINDOWS && at - began >= time {
            let (captions, seconds) = (windows * window, (at - began).as_secs_f64());
            return Ok(Rate { captions, seconds, operations: after - before });
        }
    }
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
    // As workers load them: the copy in bfloat16, where it is faster.
    let weights = |folder: &std::path::Path| {
        let weights = folder.join("model.safetensors");
        if place.precision() == Precision::Full {
            return weights;
        }
        // Which weights these are: hashing gigabytes for each measure would take longer than it.
        let about = weights.metadata().ok();
        let stamp = about.map(|about| format!("{} {:?}", about.len(), about.modified().ok()));
        in_bfloat16(&weights, &stamp.unwrap_or_default()).unwrap_or(weights)
    };
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
