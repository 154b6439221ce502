//! Captions with known answers, read from files. What is wrong with a file is said with its line.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use jobs::process::Failure;
use models::label::UNDETERMINED;
use models::{Category, Sentiment};
use serde_json::{Map, Value};

/// One of the three things that are found about a caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Task {
    /// How it sounds: negative, neutral, positive, or 0, 1, 2.
    Sentiment,
    /// In which language it is: ISO 639-1 codes.
    Language,
    /// What it is about: the product's categories, or 0 to 19 in their order.
    Category,
}

impl Task {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Sentiment, Self::Language, Self::Category];

    /// The word of the command line, and the field of a set.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sentiment => "sentiment",
            Self::Language => "language",
            Self::Category => "category",
        }
    }

    /// The label that a word or a number means.
    fn label(self, word: &str) -> Option<String> {
        let number = word.parse::<usize>().ok();
        let is = |label: &&str| label.eq_ignore_ascii_case(word);
        match self {
            Self::Sentiment => {
                let words = Sentiment::ALL.iter().map(|label| label.as_str());
                let numbered = number.and_then(|number| words.clone().nth(number));
                numbered.or_else(|| words.clone().find(is)).map(str::to_owned)
            }
            Self::Category => {
                let words = Category::ALL.iter().map(|label| label.as_str());
                let numbered = number.and_then(|number| words.clone().nth(number));
                numbered.or_else(|| words.clone().find(is)).map(str::to_owned)
            }
            Self::Language => {
                let code = word.to_ascii_lowercase();
                let is_code = code.len() == 2 && code.bytes().all(|b| b.is_ascii_lowercase());
                (is_code || code == UNDETERMINED).then_some(code)
            }
        }
    }

    /// What a label may be.
    const fn rule(self) -> &'static str {
        match self {
            Self::Sentiment => "one of negative, neutral, positive, or 0, 1, 2",
            Self::Language => "an ISO 639-1 code, like en",
            Self::Category => {
                "one of the categories, like Food & Drink, or its number from 0 to 19"
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A caption and what is right about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) text: String,
    sentiment: Option<String>,
    language: Option<String>,
    category: Option<String>,
}

impl Case {
    /// The right label of a task, if it is known.
    pub(super) fn right(&self, task: Task) -> Option<&str> {
        match task {
            Task::Sentiment => self.sentiment.as_deref(),
            Task::Language => self.language.as_deref(),
            Task::Category => self.category.as_deref(),
        }
    }

    fn set(&mut self, task: Task, label: String) {
        match task {
            Task::Sentiment => self.sentiment = Some(label),
            Task::Language => self.language = Some(label),
            Task::Category => self.category = Some(label),
        }
    }
}

/// A file of texts and a file of their labels, line by line.
pub(super) fn paired(task: Task, texts: &Path, labels: &Path) -> Result<Vec<Case>, Failure> {
    let (texts_name, labels_name) = (texts.display(), labels.display());
    let (texts, labels) = (read(texts)?, read(labels)?);
    let (texts, labels) = (lines(&texts), lines(&labels));
    if texts.len() != labels.len() {
        let first = texts.len().min(labels.len()) + 1;
        let (longer, shorter) = if texts.len() > labels.len() {
            (texts_name, labels_name)
        } else {
            (labels_name, texts_name)
        };
        return Err(Failure::new(format!(
            "line {first} of {longer} has no counterpart: {shorter} ends before it"
        )));
    }
    let pairs = texts.into_iter().zip(labels).enumerate();
    let cases = pairs.map(|(at, (text, word))| {
        let label = label(task, word.trim()).map_err(|why| wrong(&labels_name, at, &why))?;
        let mut case = Case { text: text.to_owned(), ..Case::default() };
        case.set(task, label);
        Ok(case)
    });
    some(cases.collect::<Result<_, Failure>>()?, &texts_name)
}

/// A file of JSON objects, one a line: `text`, and any of `sentiment`, `language`, `category`.
pub(super) fn set(path: &Path) -> Result<Vec<Case>, Failure> {
    let content = read(path)?;
    let name = path.display();
    let lines = lines(&content).into_iter().enumerate();
    let cases = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| case(line).map_err(|why| wrong(&name, at, &why)));
    some(cases.collect::<Result<_, Failure>>()?, &name)
}

fn case(line: &str) -> Result<Case, String> {
    let fields: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("is no JSON object: {error}"))?;
    let text = fields.get("text").and_then(Value::as_str);
    let text = text.ok_or("has no text")?.to_owned();
    let mut case = Case { text, ..Case::default() };
    for task in Task::ALL {
        let word = match fields.get(task.as_str()) {
            None | Some(Value::Null) => continue,
            Some(Value::String(word)) => word.clone(),
            Some(other) => other.to_string(),
        };
        case.set(task, label(task, word.trim())?);
    }
    Ok(case)
}

fn label(task: Task, word: &str) -> Result<String, String> {
    task.label(word).ok_or_else(|| {
        let shown: String = word.chars().take(40).collect();
        format!("has the {task} {shown:?}, which is not {}", task.rule())
    })
}

fn wrong(file: &impl fmt::Display, at: usize, why: &str) -> Failure {
    Failure::new(format!("line {} of {file} {why}", at + 1))
}

fn some(cases: Vec<Case>, file: &impl fmt::Display) -> Result<Vec<Case>, Failure> {
    if cases.is_empty() {
        return Err(Failure::new(format!("{file} is empty")));
    }
    Ok(cases)
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(Failure::during(path.display()))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let at = before.split(|byte| *byte == b'\n').count() - 1;
        wrong(&path.display(), at, "is not UTF-8")
    })
}

/// Lines end with `\n`, `\r\n` or the file; other characters that break lines stay in the text.
fn lines(content: &str) -> Vec<&str> {
    content.strip_prefix('\u{feff}').unwrap_or(content).lines().collect()
}
