//! `farm models list`.

use jobs::process::Failure;
use models::Tier;
use models::store::{Labels, Model, Pulled, Store};
use serde::Serialize;

use super::super::text::{self, Side};

/// What is said of everything.
#[derive(Debug, Serialize)]
struct View<'a> {
    cache: &'a std::path::Path,
    /// The best tier whose checkpoints are here.
    available: Tier,
    models: Vec<ModelView<'a>>,
}

#[derive(Debug, Serialize)]
struct ModelView<'a> {
    tier: Tier,
    task: &'a str,
    repository: &'a str,
    revision: &'a str,
    licence: &'a str,
    labels: serde_json::Value,
    template: Option<&'a str>,
    pinned_by: &'static str,
    here: bool,
    /// Why it does not count as here.
    missing: Option<String>,
    /// A bfloat16 copy of the weights is here.
    prepared: bool,
    files: Vec<FileView<'a>>,
}

#[derive(Debug, Serialize)]
struct FileView<'a> {
    name: &'a str,
    size: Option<u64>,
    sha256: Option<String>,
    pinned_by: &'static str,
}

fn model_view<'a>(store: &Store, model: &'a Model) -> ModelView<'a> {
    let pulled = Pulled::read(&store.folder(model)).unwrap_or_default();
    let by = |pinned| if pinned { "sha256" } else { "revision" };
    let missing = store.check(model).err().map(|error| error.to_string());
    let files = model.files.iter().map(|file| {
        let pin = pulled.of(file);
        FileView {
            name: &file.name,
            size: pin.map(|pin| pin.size),
            sha256: pin.map(|pin| pin.sha256.clone()),
            pinned_by: by(file.pin.is_some()),
        }
    });
    ModelView {
        tier: model.task.tier(),
        task: model.task.as_str(),
        repository: &model.repository,
        revision: &model.revision,
        licence: &model.licence,
        labels: match &model.labels {
            Labels::Config => "config.json".into(),
            Labels::Categories => "categories".into(),
            Labels::Listed(listed) => listed.clone().into(),
        },
        template: model.template.as_deref(),
        pinned_by: by(model.files.iter().all(|file| file.pin.is_some())),
        here: missing.is_none(),
        missing,
        prepared: store.prepared(model).is_some(),
        files: files.collect(),
    }
}

/// The registry, and what of it is here.
pub(super) fn told(store: &Store, json: bool) -> Result<String, Failure> {
    let tiers = [Tier::Lite, Tier::Full];
    let models = tiers.into_iter().flat_map(|tier| store.models(tier));
    let view = View {
        cache: store.cache(),
        available: store.available(),
        models: models.map(|model| model_view(store, model)).collect(),
    };
    if json {
        return serde_json::to_string(&view).map_err(Failure::during("the list"));
    }
    let columns = [
        ("TIER", Side::Left),
        ("TASK", Side::Left),
        ("CHECKPOINT", Side::Left),
        ("SIZE", Side::Right),
        ("LICENCE", Side::Left),
        ("PINNED BY", Side::Left),
        ("HERE", Side::Left),
    ];
    let row = |model: &ModelView<'_>| {
        vec![
            model.tier.to_string(),
            model.task.to_owned(),
            format!("{}@{}", model.repository, &model.revision[..7]),
            size(model),
            model.licence.to_owned(),
            model.pinned_by.to_owned(),
            here(model),
        ]
    };
    let mut lines = text::table(&columns, &view.models.iter().map(row).collect::<Vec<_>>());
    lines.push(String::new());
    lines.push(format!("kept in {}", view.cache.display()));
    lines.push(match view.available {
        Tier::Full => "captions can be analysed by the full models".to_owned(),
        Tier::Lite => "captions can be analysed by the lite models; farm models pull full adds \
                       the large ones"
            .to_owned(),
        Tier::Rules => {
            "captions can be analysed by rules; farm models pull lite adds small models".to_owned()
        }
    });
    Ok(lines.join("\n"))
}

/// Bytes of all files, as far as they are known.
fn size(model: &ModelView<'_>) -> String {
    let sizes: Option<Vec<u64>> = model.files.iter().map(|file| file.size).collect();
    sizes.map_or_else(|| "-".to_owned(), |sizes| text::bytes(sizes.into_iter().sum()))
}

fn here(model: &ModelView<'_>) -> String {
    match (model.here, model.prepared) {
        (false, _) => "no".to_owned(),
        (true, false) => "yes".to_owned(),
        (true, true) => "yes, prepared".to_owned(),
    }
}
