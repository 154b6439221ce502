//! The Dockerfile and compose.yaml as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// Variables by name.
pub type Environment = BTreeMap<String, String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the checkout.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Packages of the workspace and their folders, which have the same names.
pub fn members() -> BTreeMap<String, PathBuf> {
    let manifest = text("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let names: Vec<String> = serde_json::from_str(line).unwrap();
    let member = |path: String| {
        let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name);
        (name.to_owned(), root().join(&path))
    };
    names.into_iter().map(member).collect()
}

/// One stage, with what it inherits.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Another stage, or an image of somebody else.
    pub base: String,
    /// What it runs to be made.
    pub run: String,
    /// What it takes from the build.
    pub copied: Vec<String>,
    pub env: Environment,
    pub entrypoint: Vec<String>,
    pub user: Option<String>,
    pub stop_signal: Option<String>,
    pub exposed: Vec<String>,
    /// Its health check's command.
    pub health: Option<Vec<String>>,
}

/// The stages of the Dockerfile by name.
pub fn dockerfile() -> BTreeMap<String, Image> {
    let source = text("docker/Dockerfile");
    let lines = source.lines().filter(|line| !line.trim_start().starts_with('#'));
    let source = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut images: BTreeMap<String, Image> = BTreeMap::new();
    let mut current = String::new();
    for line in source.lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        let list = || -> Vec<String> { serde_json::from_str(rest).unwrap() };
        if instruction == "FROM" {
            let (base, name) = rest.split_once(" AS ").expect("a name for the stage");
            let inherited = images.get(base).cloned().unwrap_or_default();
            name.clone_into(&mut current);
            let image = Image { base: base.to_owned(), copied: vec![], ..inherited };
            assert!(images.insert(current.clone(), image).is_none(), "{name} is there twice");
            continue;
        }
        let image = images.get_mut(&current).expect("FROM comes first");
        match instruction {
            "RUN" => rest.clone_into(&mut image.run),
            "COPY" => {
                let words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
                let mut words: Vec<String> = words.map(str::to_owned).collect();
                assert!(words.len() > 1 && !words.pop().unwrap().is_empty());
                image.copied.extend(words);
            }
            "ENV" => image.env.extend(rest.split_whitespace().map(|pair| {
                let (name, value) = pair.split_once('=').expect("NAME=value");
                (name.to_owned(), value.to_owned())
            })),
            "ENTRYPOINT" => image.entrypoint = list(),
            "USER" => image.user = Some(rest.to_owned()),
            "STOPSIGNAL" => image.stop_signal = Some(rest.to_owned()),
            "EXPOSE" => image.exposed = rest.split_whitespace().map(str::to_owned).collect(),
            "HEALTHCHECK" => {
                let (_, command) = rest.split_once("CMD ").expect("a command");
                image.health = Some(serde_json::from_str(command).unwrap());
            }
            "CMD" => drop(list()),
            "WORKDIR" => {}
            other => panic!("{other} is new here; say what it means"),
        }
    }
    images
}

/// A service of compose.yaml.
#[derive(Clone, Debug)]
pub struct Service {
    pub image: String,
    /// Stage of the Dockerfile, when the image is ours.
    pub target: Option<String>,
    pub command: Vec<String>,
    pub env: Environment,
    pub ports: Vec<String>,
    pub restart: String,
    pub grace: Option<String>,
    pub replicas: u64,
    /// Services it waits for, and until when.
    pub needs: BTreeMap<String, String>,
    pub has_health: bool,
}

/// The services, as compose would see them in this environment. Fails with its words when a
/// variable is missing.
pub fn compose(given: &[(&str, &str)]) -> Result<BTreeMap<String, Service>, String> {
    let documents = YamlLoader::load_from_str(&text("docker/compose.yaml")).unwrap();
    let document = json(&documents[0], given)?;
    let services = document["services"].as_object().expect("services");
    Ok(services.iter().map(|(name, service)| (name.clone(), Service::of(service))).collect())
}

impl Service {
    fn of(service: &Value) -> Self {
        let said = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let list = |name: &str| -> Vec<String> {
            service[name].as_array().map_or(vec![], |list| list.iter().map(said).collect())
        };
        let map = |name: &str| service[name].as_object().cloned().unwrap_or_default();
        let build = &service["build"];
        if build.is_object() {
            assert_eq!(build["context"], "..", "the top of the checkout");
            assert_eq!(build["dockerfile"], "docker/Dockerfile", "below it");
        }
        Self {
            image: said(&service["image"]),
            target: build["target"].as_str().map(str::to_owned),
            command: list("command"),
            env: map("environment").into_iter().map(|(name, value)| (name, said(&value))).collect(),
            ports: list("ports"),
            restart: said(&service["restart"]),
            grace: service["stop_grace_period"].as_str().map(str::to_owned),
            replicas: service["deploy"]["replicas"].as_u64().unwrap_or(1),
            needs: map("depends_on")
                .into_iter()
                .map(|(name, need)| (name, said(&need["condition"])))
                .collect(),
            has_health: service["healthcheck"]["test"].is_array(),
        }
    }
}

/// YAML with its merges (`<<`) carried out and its variables put in.
fn json(yaml: &Yaml, given: &[(&str, &str)]) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::String(text) => Value::String(filled_in(text, given)?),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(yes) => (*yes).into(),
        Yaml::Null => Value::Null,
        Yaml::Array(items) => {
            items.iter().map(|item| json(item, given)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Yaml::Hash(pairs) => {
            let (mut merged, mut own) = (Map::new(), Map::new());
            for (name, value) in pairs {
                match (name.as_str().expect("names are texts"), json(value, given)?) {
                    ("<<", Value::Object(other)) => merged = other,
                    (name, value) => drop(own.insert(name.to_owned(), value)),
                }
            }
            merged.extend(own);
            merged.into()
        }
        other => panic!("{other:?} in compose.yaml"),
    })
}

/// `${NAME:?words}` and `${NAME:-default}`, the two forms that are used.
fn filled_in(text: &str, given: &[(&str, &str)]) -> Result<String, String> {
    let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
    let (expression, after) = rest.split_once('}').expect("a closing brace");
    let (name, otherwise) = expression.split_once(':').expect("a default, or words");
    let value = given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let value = match (value, otherwise.split_at(1)) {
        (Some(value), _) => value,
        (None, ("-", default)) => default,
        (None, ("?", words)) => return Err(format!("{name} is not set: {words}")),
        (None, (other, _)) => panic!("${{{name}:{other}"),
    };
    Ok(format!("{before}{value}{}", filled_in(after, given)?))
}
