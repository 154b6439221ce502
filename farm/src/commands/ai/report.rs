//! What an evaluation found, for people and for programs.

use std::collections::BTreeMap;

use models::evaluation::Confusion;
use models::{ModelId, Tier};
use serde_json::{Value, json};

use super::super::text::{self, Side};
use super::cases::Task;

/// How a tier fared.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) tier: Tier,
    pub(super) models: Vec<ModelId>,
    /// Captions that were analysed.
    pub(super) cases: usize,
    /// Those without an answer; they count as wrong.
    pub(super) failed: usize,
    pub(super) measured: Vec<(Task, Confusion<String>)>,
}

impl Report {
    /// One task's figures beside the rest, or each under its name when there are several.
    pub(super) fn json(&self) -> Value {
        let mut report = json!({
            "tier": self.tier, "models": self.models, "cases": self.cases, "failed": self.failed,
        });
        if let [(task, confusion)] = self.measured.as_slice() {
            report["task"] = json!(task.as_str());
            for (name, value) in figures(confusion) {
                report[name] = value;
            }
        } else {
            for (task, confusion) in &self.measured {
                let figures: BTreeMap<_, _> = figures(confusion).into_iter().collect();
                report[task.as_str()] = json!(figures);
            }
        }
        report
    }
}

fn figures(confusion: &Confusion<String>) -> [(&'static str, Value); 5] {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for ((right, found), count) in &confusion.counts {
        counts.entry(right).or_default().insert(found, *count);
    }
    let labels = confusion.labels();
    let labels: BTreeMap<_, _> = labels
        .iter()
        .map(|(label, fared)| {
            let (cases, recall) = (fared.cases, fared.recall);
            (label, json!({"cases": cases, "recall": recall, "precision": fared.precision}))
        })
        .collect();
    [
        ("labelled", json!(confusion.counts.values().sum::<usize>())),
        ("accuracy", json!(confusion.accuracy())),
        ("macro_recall", json!(confusion.macro_recall())),
        ("confusion", json!(counts)),
        ("labels", json!(labels)),
    ]
}

/// For people.
pub(super) fn text(report: &Report) -> String {
    let mut lines =
        vec![format!("{} captions, analysed by the {} tier", report.cases, report.tier)];
    lines.extend(report.models.iter().map(|model| format!("  {}", model.name)));
    if report.failed > 0 {
        lines.push(format!("{} of them have no answer and count as wrong", report.failed));
    }
    for (task, confusion) in &report.measured {
        lines.push(String::new());
        lines.extend(section(*task, confusion));
    }
    lines.join("\n")
}

fn section(task: Task, confusion: &Confusion<String>) -> Vec<String> {
    let labelled: usize = confusion.counts.values().sum();
    let mut lines = vec![format!(
        "{task}: accuracy {}, macro recall {} ({labelled} labelled)",
        share(confusion.accuracy()),
        share(confusion.macro_recall()),
    )];
    lines.extend(published(task).map(str::to_owned));
    lines.push(String::new());
    let columns = [
        ("RIGHT", Side::Left),
        ("CASES", Side::Right),
        ("RECALL", Side::Right),
        ("PRECISION", Side::Right),
        ("FOUND", Side::Left),
    ];
    let labels = confusion.labels();
    let rows = labels.iter().map(|(label, fared)| {
        vec![
            label.clone(),
            fared.cases.to_string(),
            share(fared.recall),
            share(fared.precision),
            found(confusion, label),
        ]
    });
    lines.extend(text::table(&columns, &rows.collect::<Vec<_>>()));
    lines
}

/// What was found where a label is right, most frequent first.
fn found(confusion: &Confusion<String>, label: &str) -> String {
    let counts = confusion.counts.iter().filter(|((right, _), _)| right == label);
    let mut counts: Vec<(&str, usize)> =
        counts.map(|((_, found), count)| (found.as_str(), *count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> =
        counts.into_iter().map(|(found, count)| format!("{found} {count}")).collect();
    words.join(", ")
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"))
}

/// Figures of others to compare with: on their test data, not on the captions at hand.
fn published(task: Task) -> impl Iterator<Item = &'static str> {
    let lines: &[&str] = match task {
        Task::Sentiment => &[
            "  published macro recall on TweetEval's test tweets: RoBERTa-base of TimeLMs 2021, which",
            "  the full tier's checkpoint was made of, .737; RoBERTa-base .713",
        ],
        Task::Language => &[
            "  known accuracy on sentences, word pairs and single words of 20 languages: lingua",
            "  .989, .955, .857; whatlang .905, .655, .517",
        ],
        Task::Category => &[],
    };
    lines.iter().copied()
}
