//! `farm ai eval`: asks a tier about captions whose answers are known.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use jobs::process::Failure;
use models::evaluation::Confusion;
use models::store::Store;
use models::{Analysis, Analyzer, Offence, Prepared, Tier};

use super::analyzer::analyzer_for;
use super::cases::{self, Case, Task};
use super::report::{self, Report};

/// Captions that are given to an analyzer at once.
const BATCH: usize = 64;
/// Found where the analyzer has no answer.
const NOTHING: &str = "(none)";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("cases").required(true).args(["texts", "set"])))]
pub(crate) struct Eval {
    /// What to look at; of a set everything, when left out.
    #[arg(long, required_unless_present = "set")]
    task: Option<Task>,
    /// Which tier is asked.
    #[arg(long)]
    tier: Asked,
    /// File of captions, one a line.
    #[arg(long, requires_all = ["labels", "task"], value_name = "FILE")]
    texts: Option<PathBuf>,
    /// File of their labels, a word or a number a line.
    #[arg(long, requires = "texts", conflicts_with = "set", value_name = "FILE")]
    labels: Option<PathBuf>,
    /// File of JSON objects, one a line: text, and any of sentiment, language, category.
    #[arg(long, value_name = "FILE.jsonl")]
    set: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A tier, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Asked {
    /// Word lists and rules.
    Rules,
    /// Small models.
    Lite,
    /// Large models.
    Full,
}

impl From<Asked> for Tier {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Rules => Self::Rules,
            Asked::Lite => Self::Lite,
            Asked::Full => Self::Full,
        }
    }
}

pub(super) async fn run(store: &Store, asked: &Eval) -> Result<String, Failure> {
    let cases = match (&asked.set, &asked.texts, &asked.labels, asked.task) {
        (None, Some(texts), Some(labels), Some(task)) => cases::paired(task, texts, labels)?,
        (Some(set), ..) => cases::set(set)?,
        // clap lets nothing else through.
        _ => return Err(Failure::new("--texts goes with --labels and --task")),
    };
    let tasks = asked.task.map_or(Task::ALL.to_vec(), |task| vec![task]);
    let (store, tier) = (store.clone(), Tier::from(asked.tier));
    let measured = tokio::task::spawn_blocking(move || measure(&store, tier, &tasks, &cases));
    let report = measured.await.map_err(Failure::during("the evaluation did not end"))??;
    if asked.json {
        return serde_json::to_string(&report.json()).map_err(Failure::during("the report"));
    }
    Ok(report::text(&report))
}

/// Takes as long as the analyzer does: not for an async thread.
fn measure(store: &Store, tier: Tier, tasks: &[Task], cases: &[Case]) -> Result<Report, Failure> {
    let mut analyzer = analyzer_for(tier, store)?;
    let answers = answers(analyzer.as_mut(), cases);
    let measured = tasks.iter().filter_map(|task| {
        let pairs = cases.iter().zip(&answers).filter_map(|(case, answer)| {
            Some((case.right(*task)?.to_owned(), found(*task, answer)))
        });
        let pairs: Vec<_> = pairs.collect();
        (!pairs.is_empty()).then(|| (*task, pairs.into_iter().collect::<Confusion<String>>()))
    });
    let measured: Vec<_> = measured.collect();
    if measured.is_empty() {
        let words: Vec<&str> = tasks.iter().map(|task| task.as_str()).collect();
        return Err(Failure::new(format!("no line of the set has a {}", words.join(" or a "))));
    }
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    Ok(Report { tier, models: analyzer.models(), cases: cases.len(), failed, measured })
}

fn answers(analyzer: &mut dyn Analyzer, cases: &[Case]) -> Vec<Result<Analysis, Offence>> {
    let mut err = std::io::stderr();
    let shown = err.is_terminal();
    let mut answers = Vec::with_capacity(cases.len());
    for batch in cases.chunks(BATCH) {
        let captions: Vec<_> = batch.iter().map(|case| Prepared::of(&case.text, &[])).collect();
        answers.extend(analyzer.analyze(&captions));
        if shown {
            let _ = write!(err, "\r\x1b[K{} of {} captions", answers.len(), cases.len());
        }
    }
    if shown {
        let _ = write!(err, "\r\x1b[K");
    }
    answers
}

fn found(task: Task, answer: &Result<Analysis, Offence>) -> String {
    let Ok(answer) = answer else { return NOTHING.to_owned() };
    match task {
        Task::Sentiment => answer.sentiment.label.to_string(),
        Task::Language => answer.language.code.clone(),
        Task::Category => {
            answer.category.label.map_or_else(|| NOTHING.to_owned(), |label| label.to_string())
        }
    }
}
