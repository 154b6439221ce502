use super::*;
use crate::store::model::Labels;

const ENTRY: &str = r#"
[[full]]
task = "language"
repository = "me/mine"
revision = "0123456789abcdef0123456789abcdef01234567"
licence = "MIT"
labels = ["de", "en"]
files = [{ name = "w.safetensors" }, { name = "config.json" }]
"#;

fn refused(text: &str) -> String {
    Registry::built_in().unwrap().with("mine.toml", text).unwrap_err().to_string()
}

#[test]
fn the_built_in_registry_has_a_checkpoint_for_every_task() {
    let registry = Registry::built_in().unwrap();
    for task in Task::ALL {
        let model = registry.model(task);
        assert_eq!(model.weights(), "model.safetensors");
        assert!(registry.of(task.tier()).any(|of_tier| of_tier == model));
    }
    assert_eq!(registry.of(Tier::Rules).count(), 0);
    let zero_shot = registry.model(Task::ZeroShot);
    assert_eq!(zero_shot.template.as_deref(), Some("This example is {}."));
    assert_eq!(zero_shot.id(), "facebook/bart-large-mnli@d7645e127eaf1aefc7862fd59a17a5aa8558b8ce");
    let embedding = registry.model(Task::Embedding);
    assert!(embedding.files.iter().all(|file| file.pin.is_some()));
}

#[test]
fn an_operators_entry_stands_in_for_ours_of_the_same_task_and_the_others_stay() {
    let ours = Registry::built_in().unwrap();
    let theirs = ours.clone().with("mine.toml", ENTRY).unwrap();
    let model = theirs.model(Task::Language);
    assert_eq!((model.repository.as_str(), model.weights()), ("me/mine", "w.safetensors"));
    assert_eq!(model.labels, Labels::Listed(vec!["de".to_owned(), "en".to_owned()]));
    assert_eq!(theirs.of(Tier::Full).count(), 3);
    for task in [Task::Embedding, Task::Sentiment, Task::ZeroShot] {
        assert_eq!(theirs.model(task), ours.model(task));
    }
    assert_eq!(ours.clone().with("mine.toml", "").unwrap(), ours);
}

#[test]
fn a_broken_field_is_named_with_its_rule() {
    for (from, to, words) in [
        ("task = \"language\"", "task = \"language\"\nsise = 3", "line 4: unknown field `sise`"),
        ("task = \"language\"\n", "", "missing field `task`"),
        ("[[full]]", "[[lite]]", "task of language belongs under [[full]]"),
        ("[[full]]", "[[huge]]", "line 2: unknown field `huge`"),
        ("me/mine", "mine", "repository of language must be like owner/name"),
        ("me/mine", "../mine", "repository of language must be like owner/name"),
        ("0123456789abcdef0123", "main", "revision of language must be a full commit hash"),
        ("licence = \"MIT\"", "licence = \" \"", "licence of language must not be empty"),
        ("[\"de\", \"en\"]", "\"categories\"", "labels of language must be \"config.json\", or"),
        ("[\"de\", \"en\"]", "[\"German\"]", "or a list of ISO codes"),
        ("[\"de\", \"en\"]", "3", "labels of language must be"),
        ("licence", "template = \"{}\"\nlicence", "template of language is for zero-shot only"),
        ("w.safetensors", "w.bin", "w.bin: name of language is a format that is not loaded"),
        ("w.safetensors", "../w.safetensors", "must be a path inside the repository"),
        ("w.safetensors", "pulled.toml", "must be a path inside the repository"),
        ("w.safetensors", "vocab.txt", "files of language must list the weights"),
        ("config.json", "vocab.txt", "files of language must list config.json"),
        ("config.json", "w.safetensors", "w.safetensors of language is listed twice"),
        ("config.json\"", "config.json\", size = 3", "sha256 of language is missing"),
        ("config.json\"", "config.json\", size = -3", "line 8: "),
        ("config.json\"", "config.json\", size = 3, sha256 = \"a\"", "must be 64 hex digits"),
    ] {
        let text = ENTRY.replacen(from, to, 1);
        assert_ne!(text, ENTRY, "{from}");
        let sentence = refused(&text);
        assert!(sentence.contains(words), "{sentence}\n is not: {words}");
        assert!(sentence.starts_with("mine.toml"), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
    assert!(refused(&format!("{ENTRY}{ENTRY}")).contains("is language a second time"));
    assert!(refused("[[full]\n").contains("mine.toml, line 1"), "{}", refused("[[full]\n"));
}

#[test]
fn sentiment_labels_are_the_three_words_in_any_order() {
    let entry = ENTRY.replace("language", "sentiment");
    let with = |labels: &str| entry.replace("[\"de\", \"en\"]", labels);
    let ours = Registry::built_in().unwrap();
    let turned = with(r#"["positive", "neutral", "negative"]"#);
    assert!(ours.with("mine.toml", &turned).is_ok());
    for labels in [r#"["positive", "negative"]"#, r#"["positive", "neutral", "neutral"]"#] {
        assert!(refused(&with(labels)).contains("or a list of negative, neutral and positive"));
    }
}

#[test]
fn a_zero_shot_model_needs_a_template_with_one_place() {
    let entry =
        ENTRY.replace("language", "zero-shot").replace("[\"de\", \"en\"]", "\"categories\"");
    for template in ["", "template = \"About.\"\n", "template = \"{} {}\"\n"] {
        let text = entry.replace("licence", &format!("{template}licence"));
        assert!(refused(&text).contains("template of zero-shot must be a sentence"), "{text}");
    }
    let good = entry.replace("licence", "template = \"It is about {}.\"\nlicence");
    assert!(Registry::built_in().unwrap().with("mine.toml", &good).is_ok());
}
