//! Which checkpoints make a tier: ours, and what an operator puts in their place.

mod rules;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::StoreError;
use super::model::{Model, Task};
use crate::tier::Tier;
use rules::{WrittenModel, checked};

/// Ours, compiled in.
const BUILT_IN: &str = include_str!("../../../models.toml");
/// How the compiled-in registry is called in errors.
const BUILT_IN_NAME: &str = "the built-in models.toml";

/// One checkpoint for each task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    embedding: Model,
    sentiment: Model,
    language: Model,
    zero_shot: Model,
}

impl Registry {
    /// Ours.
    ///
    /// # Errors
    /// Never with the registry that is compiled in, as a test shows.
    pub fn built_in() -> Result<Self, StoreError> {
        let models = read(BUILT_IN_NAME, BUILT_IN)?;
        let one = |task: Task| {
            models.iter().find(|model| model.task == task).cloned().ok_or_else(|| {
                StoreError::Unreadable {
                    from: BUILT_IN_NAME.to_owned(),
                    line: None,
                    message: format!("there is no checkpoint for {}", task.as_str()),
                }
            })
        };
        Ok(Self {
            embedding: one(Task::Embedding)?,
            sentiment: one(Task::Sentiment)?,
            language: one(Task::Language)?,
            zero_shot: one(Task::ZeroShot)?,
        })
    }

    /// With the entries of an operator's file (`from` names it in errors) in the place of those
    /// of the same task.
    ///
    /// # Errors
    /// The field and its rule.
    pub fn with(mut self, from: &str, text: &str) -> Result<Self, StoreError> {
        for model in read(from, text)? {
            let place = match model.task {
                Task::Embedding => &mut self.embedding,
                Task::Sentiment => &mut self.sentiment,
                Task::Language => &mut self.language,
                Task::ZeroShot => &mut self.zero_shot,
            };
            *place = model;
        }
        Ok(self)
    }

    /// Those a tier needs; none for [`Tier::Rules`].
    pub fn of(&self, tier: Tier) -> impl Iterator<Item = &Model> {
        Task::ALL.into_iter().filter(move |task| task.tier() == tier).map(|task| self.model(task))
    }

    /// The one for a task.
    pub fn model(&self, task: Task) -> &Model {
        match task {
            Task::Embedding => &self.embedding,
            Task::Sentiment => &self.sentiment,
            Task::Language => &self.language,
            Task::ZeroShot => &self.zero_shot,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    lite: Vec<WrittenModel>,
    #[serde(default)]
    full: Vec<WrittenModel>,
}

fn read(from: &str, text: &str) -> Result<Vec<Model>, StoreError> {
    let written: Written = toml::from_str(text).map_err(|error| StoreError::Unreadable {
        from: from.to_owned(),
        line: error.span().map(|span| 1 + text[..span.start].matches('\n').count()),
        message: error.message().lines().collect::<Vec<_>>().join(" "),
    })?;
    let lite = written.lite.into_iter().map(|model| (Tier::Lite, model));
    let full = written.full.into_iter().map(|model| (Tier::Full, model));
    let mut models: Vec<Model> = vec![];
    for (tier, model) in lite.chain(full) {
        let named = model.task.as_str();
        let model = checked(tier, model).map_err(|(field, rule)| StoreError::Field {
            from: from.to_owned(),
            model: named.to_owned(),
            field,
            rule,
        })?;
        if models.iter().any(|other| other.task == model.task) {
            return Err(StoreError::Field {
                from: from.to_owned(),
                model: model.repository,
                field: "task".to_owned(),
                rule: format!("is {named} a second time; one checkpoint serves a task"),
            });
        }
        models.push(model);
    }
    Ok(models)
}
