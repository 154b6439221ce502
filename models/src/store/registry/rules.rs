//! What an entry of the registry must be like.

use serde::Deserialize;
use toml::Value;

use crate::label::Sentiment;
use crate::store::model::{File, Labels, Model, Pin, Task, is_weights};
use crate::store::pulled;
use crate::tier::Tier;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenModel {
    pub task: Task,
    repository: String,
    revision: String,
    licence: String,
    labels: Value,
    template: Option<String>,
    files: Vec<WrittenFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    name: String,
    size: Option<u64>,
    sha256: Option<String>,
}

/// The field that breaks its rule, and the rule.
pub(super) type Broken = (String, String);

/// The entry, or what is wrong with it.
pub(super) fn checked(tier: Tier, model: WrittenModel) -> Result<Model, Broken> {
    let broken = |field: &str, rule: &str| (field.to_owned(), rule.to_owned());
    let task = model.task;
    if task.tier() != tier {
        return Err(broken("task", &format!("belongs under [[{}]]", task.tier())));
    }
    if !is_repository(&model.repository) {
        return Err(broken("repository", "must be like owner/name"));
    }
    if !is_hex(&model.revision, 40) {
        return Err(broken("revision", "must be a full commit hash, 40 hex digits"));
    }
    if model.licence.trim().is_empty() {
        return Err(broken("licence", "must not be empty"));
    }
    let labels = labels(task, &model.labels).map_err(|rule| broken("labels", rule))?;
    match (task, &model.template) {
        (Task::ZeroShot, Some(template)) if template.matches("{}").count() == 1 => {}
        (Task::ZeroShot, _) => {
            return Err(broken("template", "must be a sentence with one {} for the label"));
        }
        (_, Some(_)) => return Err(broken("template", "is for zero-shot only")),
        (_, None) => {}
    }
    let files: Vec<File> = model.files.into_iter().map(file).collect::<Result<_, _>>()?;
    for (at, file) in files.iter().enumerate() {
        if files[..at].iter().any(|other| other.name == file.name) {
            return Err((format!("files: {}", file.name), "is listed twice".to_owned()));
        }
    }
    if files.iter().filter(|file| is_weights(&file.name)).count() != 1 {
        return Err(broken("files", "must list the weights: one .safetensors file"));
    }
    if !files.iter().any(|file| file.name == "config.json") {
        return Err(broken("files", "must list config.json"));
    }
    let WrittenModel { repository, revision, licence, template, .. } = model;
    Ok(Model { task, repository, revision, licence, labels, template, files })
}

fn file(written: WrittenFile) -> Result<File, Broken> {
    let WrittenFile { name, size, sha256 } = written;
    let broken =
        |field: &str, rule: &str| Err((format!("files: {name}: {field}"), rule.to_owned()));
    if !is_file_name(&name) {
        return broken("name", "must be a path inside the repository");
    }
    let loads = !["bin", "pt", "pth", "ckpt", "h5", "msgpack", "ot", "onnx"]
        .iter()
        .any(|kind| name.rsplit_once('.').is_some_and(|(_, end)| end == *kind));
    if !loads {
        return broken(
            "name",
            "is a format that is not loaded; only .safetensors are, and \
             scripts/ai/convert.py makes one of a pytorch_model.bin",
        );
    }
    let pin = match (size, sha256) {
        (None, None) => None,
        (Some(0), Some(_)) => return broken("size", "must be above 0"),
        (Some(size), Some(sha256)) if is_hex(&sha256, 64) => Some(Pin { size, sha256 }),
        (Some(_), Some(_)) => return broken("sha256", "must be 64 hex digits, lower case"),
        (Some(_), None) => return broken("sha256", "is missing; size and sha256 go together"),
        (None, Some(_)) => return broken("size", "is missing; size and sha256 go together"),
    };
    Ok(File { name, pin })
}

fn labels(task: Task, written: &Value) -> Result<Labels, &'static str> {
    let word = written.as_str();
    let listed: Option<Vec<String>> = written
        .as_array()
        .and_then(|words| words.iter().map(|word| Some(word.as_str()?.to_owned())).collect());
    match task {
        Task::ZeroShot | Task::Embedding if word == Some("categories") => Ok(Labels::Categories),
        Task::ZeroShot | Task::Embedding => Err("must be \"categories\""),
        Task::Sentiment | Task::Language if word == Some("config.json") => Ok(Labels::Config),
        Task::Sentiment => listed.filter(|words| are_sentiments(words)).map(Labels::Listed).ok_or(
            "must be \"config.json\", or a list of negative, neutral and positive in the model's \
             order",
        ),
        Task::Language => listed
            .filter(|words| words.len() > 1 && words.iter().all(|word| is_language(word)))
            .map(Labels::Listed)
            .ok_or("must be \"config.json\", or a list of ISO codes in the model's order"),
    }
}

fn are_sentiments(words: &[String]) -> bool {
    let mut found: Vec<_> = words.iter().filter_map(|word| Sentiment::parse(word)).collect();
    found.sort_unstable();
    words.len() == Sentiment::ALL.len() && found == Sentiment::ALL
}

fn is_language(word: &str) -> bool {
    matches!(word.len(), 2 | 3) && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Letters that are the same on every file system and in every address.
fn is_plain(part: &str) -> bool {
    !part.starts_with('.')
        && !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_repository(text: &str) -> bool {
    text.len() <= 200
        && text.split_once('/').is_some_and(|(owner, name)| {
            // The folder of a repository has -- for its /.
            is_plain(owner) && is_plain(name) && !text.contains("--")
        })
}

fn is_file_name(text: &str) -> bool {
    // `.part` and `pulled.toml` are the pull's own.
    text.len() <= 200
        && text.split('/').all(is_plain)
        && text.rsplit('.').next() != Some("part")
        && text != pulled::NAME
}
