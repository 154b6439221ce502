//! What is measured, and on what.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jobs::process::Failure;
use models::nets::{Classifier, Place, Precision};
use serde::Deserialize;

/// Captions are cut to so many tokens, before anybody is measured: everybody reads the same.
pub(super) const MOST: usize = 128;

/// A question about a caption, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    /// RoBERTa, 3 classes.
    Sentiment,
    /// XLM-RoBERTa, 20 classes.
    Language,
    /// BART, asked about 20 labels.
    ZeroShot,
    /// The three: the full tier.
    All,
    /// The lite tier.
    Lite,
}

impl Task {
    /// Key of the report: what is found out.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::ZeroShot => "category",
            other => other.word(),
        }
    }

    /// The word of the command line: what is run.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sentiment => "sentiment",
            Self::Language => "language",
            Self::ZeroShot => "zero-shot",
            Self::All => "all",
            Self::Lite => "lite",
        }
    }
}

/// Checkpoints and captions.
#[derive(Clone, Debug, Args)]
pub(crate) struct On {
    /// Folder with the checkpoints sentiment, language, zero-shot and embedding, a folder each.
    #[arg(long, value_name = "DIR")]
    pub(super) checkpoints: PathBuf,
    /// File of JSON objects, one a line, with `text` or `caption`.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) captions: PathBuf,
}

impl On {
    /// Folder of a checkpoint.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.checkpoints.join(name)
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(alias = "caption")]
    text: String,
}

/// The captions of a file, one a line as JSON with `text` or `caption`; empty ones are left out.
pub(crate) fn captions(from: &str) -> Result<Vec<String>, serde_json::Error> {
    let lines = from.lines().filter(|line| !line.trim().is_empty());
    let texts = lines.map(|line| Ok(serde_json::from_str::<Line>(line)?.text));
    let texts: Result<Vec<_>, serde_json::Error> = texts.collect();
    Ok(texts?.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// Cuts captions so that neither tokenizer finds more than [`MOST`] tokens, and mixes short and long
/// ones: any few neighbours are as long, on average, as all of them.
pub(super) fn prepared(texts: Vec<String>, checkpoints: &Path) -> Result<Vec<String>, Failure> {
    let net = |name: &str| {
        let folder = checkpoints.join(name);
        let weights = folder.join("model.safetensors");
        Classifier::load(&folder, &weights, MOST, Place::cpu(Precision::Full))
            .map_err(Failure::during("the checkpoints"))
    };
    let (bytes, pieces) = (net("sentiment")?, net("language")?);
    let long = |text: &str| bytes.tokens(text).truncated || pieces.tokens(text).truncated;
    let mut cut: Vec<String> = texts
        .into_iter()
        .map(|mut text| {
            while long(&text) {
                let keep = text.chars().count() * 9 / 10;
                text = text.chars().take(keep).collect();
            }
            text
        })
        .collect();
    cut.sort_by_key(String::len);
    Ok(mixed(cut))
}

/// Steps of the golden ratio through a sorted list.
fn mixed(mut sorted: Vec<String>) -> Vec<String> {
    let count = sorted.len();
    let mut mixed = Vec::with_capacity(count);
    for step in 0..count {
        let wanted = (0.5 + step as f64 * 0.618_033_988_749_894_9).fract();
        mixed.push(sorted.remove((wanted * sorted.len() as f64) as usize));
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_list_has_all_of_it_and_begins_with_the_middle() {
        let sorted: Vec<_> = (0..100).map(|n| format!("{n:03}")).collect();
        let mut mixed = mixed(sorted.clone());
        assert_eq!(mixed[0], "050");
        let first: usize = mixed[..10].iter().map(|n| n.parse::<usize>().unwrap()).sum();
        assert!((400..600).contains(&first), "{first}");
        mixed.sort();
        assert_eq!(mixed, sorted);
    }

    #[test]
    fn captions_are_read_by_either_name() {
        let lines = "{\"text\":\"a\"}\n\n{\"caption\":\"b\",\"x\":1}\n{\"text\":\" \"}\n";
        assert_eq!(captions(lines).unwrap(), ["a", "b"]);
        assert!(captions("{}").is_err());
    }
}
