//! `farm bench ai`: how many captions a second are analysed, by our engine, by rust-bert's own
//! pipelines and by Python's transformers, on checkpoints of the published shapes with random
//! weights.

pub(crate) mod ours;
mod python;
mod round;
pub(crate) mod side;
mod stock;
pub(crate) mod task;

use std::path::PathBuf;

use clap::Args;
use jobs::process::Failure;
use models::nets::{Place, Precision};
use serde_json::Value;

use self::python::Python;
use self::round::Round;
use super::figure::Report;
use super::{Common, host, say};

/// The captions that tests are labelled on; real ones are longer.
pub(crate) const CAPTIONS: &str = include_str!("../../../../tests/data/captions/in-house.jsonl");

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Folder with the checkpoints sentiment, language, zero-shot and embedding, a folder each; by
    /// default ones with random weights, which a script makes in the user's cache (3.2 GB).
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// File of captions as JSON, one a line, with `text` or `caption`; by default ours.
    #[arg(long, value_name = "FILE.jsonl")]
    captions: Option<PathBuf>,
    /// Seconds per figure and round.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

/// Key in the JSON, words and unit in the table, what is promised.
type Line = (&'static str, &'static str, &'static str, &'static str);

const LINES: [Line; 37] = [
    ("captions_per_s.sentiment.ours", "sentiment, our engine", "/s", "RoBERTa-base"),
    ("captions_per_s.sentiment.rust_bert", "sentiment, rust-bert", "/s", "batches of 16"),
    ("captions_per_s.sentiment.python_single", "sentiment, Python one by one", "/s", "fp32"),
    ("captions_per_s.sentiment.python_batched", "sentiment, Python in batches", "/s", "its best"),
    (
        "ratio.sentiment.to_python_single",
        "sentiment / Python one by one",
        "",
        "at least 7 with AMX",
    ),
    ("ratio.sentiment.to_python_batched", "sentiment / Python batched", "", "at least 1.5"),
    ("captions_per_s.language.ours", "language, our engine", "/s", "XLM-RoBERTa-base"),
    ("captions_per_s.language.rust_bert", "language, rust-bert", "/s", "batches of 16"),
    ("captions_per_s.language.python_single", "language, Python one by one", "/s", "fp32"),
    ("captions_per_s.language.python_batched", "language, Python in batches", "/s", "its best"),
    ("ratio.language.to_python_single", "language / Python one by one", "", "at least 7 with AMX"),
    ("ratio.language.to_python_batched", "language / Python batched", "", "at least 1.5"),
    ("captions_per_s.category.ours", "zero-shot, our engine", "/s", "BART-large, 20 labels"),
    (
        "captions_per_s.category.rust_bert",
        "zero-shot, rust-bert",
        "/s",
        "a caption's labels at once",
    ),
    (
        "captions_per_s.category.python_single",
        "zero-shot, Python one by one",
        "/s",
        "pipeline, fp32",
    ),
    ("captions_per_s.category.python_batched", "zero-shot, Python in batches", "/s", "its best"),
    ("ratio.category.to_python_single", "zero-shot / Python one by one", "", "at least 7 with AMX"),
    ("ratio.category.to_python_batched", "zero-shot / Python batched", "", "at least 1.1"),
    ("captions_per_s.all.ours", "all three: the full tier", "/s", ""),
    ("captions_per_s.all.rust_bert", "all three, rust-bert", "/s", "from its three"),
    ("captions_per_s.all.python_single", "all three, Python one by one", "/s", "from its three"),
    ("captions_per_s.all.python_batched", "all three, Python in batches", "/s", "from its three"),
    ("ratio.all.to_python_single", "all three / Python one by one", "", ""),
    ("ratio.all.to_python_batched", "all three / Python batched", "", ""),
    ("posts_per_hour", "whole posts an hour, full tier", "/h", "at least 4,000 with AMX"),
    ("captions_per_s.lite.ours", "the lite tier", "/s", "at least 200"),
    ("matmul_gflops", "matrix products, all cores", "GFLOPS", "what the machine can do"),
    ("of_matmul.sentiment", "sentiment, of the matrix products", "", "at least 0.50"),
    ("of_matmul.language", "language, of the matrix products", "", "at least 0.50"),
    ("of_matmul.category", "zero-shot, of the matrix products", "", "at least 0.50"),
    ("of_matmul.lite", "lite, of the matrix products", "", ""),
    ("memory.weights_mib", "weights of the full tier", "MiB", "files"),
    ("memory.peak_mib", "peak of a process that loads and answers", "MiB", "resident"),
    ("memory.peak_to_weights", "peak / weights", "", "at most 1.2"),
    ("memory.second_mib", "a second process adds", "MiB", "its private pages"),
    ("memory.shared_mib", "it shares with the first", "MiB", "smaps"),
    ("load_s", "to load the full tier", "s", "files cached"),
];

pub(super) async fn run(options: &Options) -> Result<Report, Failure> {
    let wanted = options.common.peers || options.checkpoints.is_none();
    let python = wanted.then(Python::ready).transpose()?;
    let checkpoints = match (&options.checkpoints, &python) {
        (Some(folder), _) => folder.clone(),
        (None, Some(python)) => python.checkpoints().await?,
        (None, None) => return Err(Failure::new("--checkpoints is missing")),
    };
    let text = match &options.captions {
        Some(file) => std::fs::read_to_string(file)
            .map_err(Failure::during(format!("{} cannot be read", file.display())))?,
        None => CAPTIONS.to_owned(),
    };
    let texts = task::captions(&text).map_err(Failure::during("the captions"))?;
    if texts.is_empty() {
        return Err(Failure::new("there are no captions"));
    }
    let folder = checkpoints.clone();
    let prepared = tokio::task::spawn_blocking(move || task::prepared(texts, &folder));
    let captions = prepared.await.map_err(Failure::during("the captions"))??;
    let mut on = host::describe();
    on.push(("numbers".to_owned(), numbers().to_owned()));
    on.push(("captions".to_owned(), format!("{}, at most {} tokens", captions.len(), task::MOST)));
    let python = python.filter(|_| options.common.peers);
    let mut round = Round::new(checkpoints, &captions, options.seconds, python)?;
    for number in 1..=options.common.rounds {
        say(&format!("round {number} of {}", options.common.rounds));
        round.run().await?;
    }
    say("memory");
    round.memory().await?;
    if let Some(versions) = round.versions.take() {
        on.push(("peer".to_owned(), versions));
    }
    let mut report = Report::new("farm bench ai", on);
    for (key, what, unit, note) in LINES {
        // Peers are not always measured.
        if let Some(spread) = round.figures.remove(key) {
            report.figure(key, what, unit, spread, note);
        }
    }
    let brain = Place::detect(None).precision() == Precision::Brain;
    report.remark("bfloat16", Value::Bool(brain), numbers().to_owned());
    Ok(report)
}

fn numbers() -> &'static str {
    match Place::detect(None).precision() {
        Precision::Brain => "bfloat16: this CPU is faster with it, or there is a GPU",
        Precision::Full => "32 bits: this CPU is no faster with bfloat16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_the_names_that_operators_were_promised() {
        for task in ["sentiment", "language", "category", "all"] {
            for who in ["ours", "rust_bert", "python_single", "python_batched"] {
                let key = format!("captions_per_s.{task}.{who}");
                assert!(LINES.iter().any(|(name, ..)| *name == key), "{key}");
            }
        }
    }
}
