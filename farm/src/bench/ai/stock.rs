//! rust-bert's own pipelines over the same weights, in batches of 16, with all cores.

use std::path::Path;
use std::time::{Duration, Instant};

use jobs::process::Failure;
use models::Category;
use rust_bert::pipelines::common::{ModelResource, ModelType};
use rust_bert::pipelines::sequence_classification::{
    SequenceClassificationConfig, SequenceClassificationModel,
};
use rust_bert::pipelines::zero_shot_classification::{
    ZeroShotClassificationConfig, ZeroShotClassificationModel,
};
use rust_bert::resources::LocalResource;
use tch::{Device, Kind};

use super::side::Rate;
use super::task::{MOST, On, Task};

const BATCH: usize = 16;
/// At least so many captions, however long that takes: fewer are shorter or longer than most.
const LEAST: usize = 12;

/// Captions per second of a task.
pub(super) fn rate(
    on: &On,
    task: Task,
    captions: &[String],
    time: Duration,
) -> Result<Rate, Failure> {
    match task {
        Task::Sentiment => {
            let folder = on.folder("sentiment");
            let merges = Some(folder.join("merges.txt"));
            let model = classifier(&folder, ModelType::Roberta, "vocab.json", merges)?;
            Ok(measured(captions, BATCH, time, |some| drop(model.predict(some))))
        }
        Task::Language => {
            let folder = on.folder("language");
            let vocabulary = "sentencepiece.bpe.model";
            let model = classifier(&folder, ModelType::XLMRoberta, vocabulary, None)?;
            Ok(measured(captions, BATCH, time, |some| drop(model.predict(some))))
        }
        Task::ZeroShot => {
            let folder = on.folder("zero-shot");
            let at = |name: &str| LocalResource::from(folder.join(name));
            let config = ZeroShotClassificationConfig {
                model_type: ModelType::Bart,
                model_resource: ModelResource::Torch(Box::new(at("model.safetensors"))),
                config_resource: Box::new(at("config.json")),
                vocab_resource: Box::new(at("vocab.json")),
                merges_resource: Some(Box::new(at("merges.txt"))),
                lower_case: false,
                strip_accents: None,
                add_prefix_space: None,
                device: Device::Cpu,
                kind: Some(Kind::Float),
            };
            let model = ZeroShotClassificationModel::new(config);
            let model = model.map_err(Failure::during("rust-bert"))?;
            let labels: Vec<_> = Category::ALL.iter().map(|label| label.as_str()).collect();
            let ask = |some: &[&str]| {
                let template = Box::new(|label: &str| format!("This example is {label}."));
                drop(model.predict(some, &labels, Some(template), MOST));
            };
            // All labels of one caption are a batch of 20.
            Ok(measured(captions, 1, time, ask))
        }
        Task::All | Task::Lite => Err(Failure::new("rust-bert has no pipeline for it")),
    }
}

fn classifier(
    folder: &Path,
    kind: ModelType,
    vocabulary: &str,
    merges: Option<std::path::PathBuf>,
) -> Result<SequenceClassificationModel, Failure> {
    let at = |name: &str| LocalResource::from(folder.join(name));
    let config = SequenceClassificationConfig {
        model_type: kind,
        model_resource: ModelResource::Torch(Box::new(at("model.safetensors"))),
        config_resource: Box::new(at("config.json")),
        vocab_resource: Box::new(at(vocabulary)),
        merges_resource: merges.map(|file| Box::new(LocalResource::from(file)) as Box<_>),
        lower_case: false,
        strip_accents: None,
        add_prefix_space: None,
        device: Device::Cpu,
        kind: Some(Kind::Float),
    };
    SequenceClassificationModel::new(config).map_err(Failure::during("rust-bert"))
}

fn measured(captions: &[String], batch: usize, time: Duration, ask: impl Fn(&[&str])) -> Rate {
    let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
    let batches: Vec<_> = texts.chunks(batch).collect();
    ask(batches[0]);
    let (began, mut done) = (Instant::now(), 0);
    for batch in batches.iter().cycle() {
        ask(batch);
        done += batch.len();
        if began.elapsed() >= time && done >= LEAST {
            break;
        }
    }
    Rate { captions: done, seconds: began.elapsed().as_secs_f64(), operations: 0 }
}
