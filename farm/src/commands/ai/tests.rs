use std::fs;
use std::path::PathBuf;

use entity::{args, sql};
use models::evaluation::Confusion;
use models::store::Store;
use models::{ModelId, Tier};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::cases::{self, Task};
use super::report::{self, Report};
use super::{Action, eval, upgrade};
use crate::commands::story::{Farm, parse};

/// Files, and an empty cache of models.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `farm ai eval` with these words; those that begin with @ are files of this desk.
    async fn eval(&self, words: &str) -> Result<String, String> {
        let at = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.0.path().join(name).display().to_string(),
            None => word.to_owned(),
        };
        let words: Vec<String> = std::iter::once("eval").chain(words.split(' ')).map(at).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Action::Eval(asked) = parse::<Action>(&words).unwrap() else { unreachable!() };
        let store = Store::open(self.0.path().join("models"), None).unwrap();
        eval::run(&store, &asked).await.map_err(|failure| failure.0)
    }
}

const TEXTS: &str = "I love this beautiful day\nthe meeting is at noon\nthis is awful, I hate it\n";

#[test]
fn what_is_missing_on_the_command_line_is_wrong_usage() {
    for words in [
        "eval --tier rules",
        "eval --tier rules --task sentiment --texts a",
        "eval --tier rules --task sentiment --labels b",
        "eval --tier rules --texts a --labels b",
        "eval --task sentiment --texts a --labels b",
        "eval --tier huge --task sentiment --texts a --labels b",
        "eval --tier rules --task poetry --texts a --labels b",
        "eval --tier rules --task sentiment --texts a --labels b --set c",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(parse::<Action>(&words).unwrap_err().exit_code(), 2, "{words:?}");
    }
    assert!(parse::<Action>(&["eval", "--tier", "full", "--set", "c"]).is_ok());
}

#[tokio::test]
async fn texts_and_labels_give_figures() {
    let desk = Desk::new();
    desk.file("texts", TEXTS);
    desk.file("numbers", "2\n1\n0\n");
    desk.file("words", "Positive\r\nneutral\r\nNEGATIVE");
    for labels in ["@numbers", "@words"] {
        let line = format!("--task sentiment --tier rules --texts @texts --labels {labels} --json");
        let report: Value = serde_json::from_str(&desk.eval(&line).await.unwrap()).unwrap();
        assert_eq!((&report["task"], &report["tier"]), (&"sentiment".into(), &"rules".into()));
        assert_eq!((&report["cases"], &report["failed"]), (&3.into(), &0.into()));
        assert_eq!((&report["accuracy"], &report["macro_recall"]), (&1.0.into(), &1.0.into()));
        assert_eq!(report["confusion"]["positive"]["positive"], 1);
        assert_eq!(report["labels"]["negative"]["recall"], 1.0);
    }
    let line = "--task sentiment --tier rules --texts @texts --labels @numbers";
    let told = desk.eval(line).await.unwrap();
    assert!(told.contains("3 captions, analysed by the rules tier"), "{told}");
    assert!(told.contains("sentiment: accuracy 1.000, macro recall 1.000 (3 labelled)"), "{told}");
    assert!(told.contains("published macro recall on TweetEval"), "{told}");
}

#[tokio::test]
async fn a_set_gives_figures_for_everything_that_is_labelled() {
    let desk = Desk::new();
    desk.file(
        "set.jsonl",
        r#"{"id": 7, "text": "We baked fresh bread and cooked a delicious pasta recipe", "language": "en", "category": "Food & Drink"}

{"text": "I love this beautiful day", "sentiment": "positive", "language": null}
{"text": "this is awful, I hate it", "sentiment": 0}
"#,
    );
    let report = desk.eval("--tier rules --set @set.jsonl --json").await.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["cases"], 3);
    assert_eq!(
        (&report["sentiment"]["labelled"], &report["sentiment"]["accuracy"]),
        (&2.into(), &1.0.into())
    );
    assert_eq!(
        (&report["language"]["labelled"], &report["category"]["labelled"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["category"]["confusion"]["Food & Drink"]["Food & Drink"], 1);

    let one = desk.eval("--tier rules --set @set.jsonl --task language --json").await.unwrap();
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!((&one["task"], &one["labelled"]), (&"language".into(), &1.into()));
    assert_eq!(one["sentiment"], Value::Null);

    desk.file("bare.jsonl", r#"{"text": "x"}"#);
    let refused = desk.eval("--tier rules --set @bare.jsonl --task category").await.unwrap_err();
    assert_eq!(refused, "no line of the set has a category");
}

#[tokio::test]
async fn a_tier_whose_models_are_not_here_is_not_replaced_by_another() {
    let desk = Desk::new();
    desk.file("set.jsonl", r#"{"text": "x", "sentiment": 1}"#);
    for tier in ["lite", "full"] {
        let line = format!("--tier {tier} --set @set.jsonl");
        let refused = desk.eval(&line).await.unwrap_err();
        assert!(refused.contains("model.safetensors of "), "{refused}");
        assert!(refused.ends_with(&format!("farm models pull {tier} fetches the {tier} models")));
    }
}

#[test]
fn files_that_do_not_fit_are_refused_with_the_line() {
    let desk = Desk::new();
    let texts = desk.file("texts", TEXTS);
    for (content, words) in [
        (&b"2\n1\n"[..], "line 3 of TEXTS has no counterpart: LABELS ends before it"),
        (b"2\n1\n0\n0\n", "line 4 of LABELS has no counterpart: TEXTS ends before it"),
        (b"2\n3\n0\n", "line 2 of LABELS has the sentiment \"3\", which is not one of negative"),
        (b"2\ngood\n0\n", "line 2 of LABELS has the sentiment \"good\", which is not one of"),
        (b"2\n\n0\n", "line 2 of LABELS has the sentiment \"\""),
        (b"2\n1\n\xff\n", "line 3 of LABELS is not UTF-8"),
    ] {
        let labels = desk.file("labels", content);
        let refused = cases::paired(Task::Sentiment, &texts, &labels).unwrap_err().0;
        let refused = refused.replace(&texts.display().to_string(), "TEXTS");
        let refused = refused.replace(&labels.display().to_string(), "LABELS");
        assert!(refused.starts_with(words), "{refused}");
    }
    let empty = desk.file("empty", "");
    assert!(cases::paired(Task::Sentiment, &empty, &empty).unwrap_err().0.ends_with("is empty"));
    let missing = desk.0.path().join("missing");
    assert!(cases::set(&missing).unwrap_err().0.contains("missing: No such file"));
}

#[test]
fn lines_of_a_set_that_do_not_fit_are_refused_with_the_line() {
    let desk = Desk::new();
    for (line, words) in [
        ("{\"text\": \"a\"", "line 2 of SET is no JSON object"),
        ("[1]", "line 2 of SET is no JSON object"),
        ("{\"sentiment\": 1}", "line 2 of SET has no text"),
        ("{\"text\": 3}", "line 2 of SET has no text"),
        ("{\"text\": \"a\", \"sentiment\": true}", "line 2 of SET has the sentiment \"true\""),
        (
            "{\"text\": \"a\", \"category\": \"Cooking\"}",
            "line 2 of SET has the category \"Cooking\"",
        ),
        (
            "{\"text\": \"a\", \"language\": \"English\"}",
            "line 2 of SET has the language \"English\", which is not an ISO 639-1 code",
        ),
    ] {
        let set = desk.file("set", format!("{{\"text\": \"fine\"}}\n{line}\n"));
        let refused = cases::set(&set).unwrap_err().0;
        let refused = refused.replace(&set.display().to_string(), "SET");
        assert!(refused.starts_with(words), "{refused}");
    }
}

#[test]
fn labels_are_words_or_numbers() {
    let desk = Desk::new();
    let texts = desk.file("texts", "a\nb\n");
    for (task, labels, want) in [
        (Task::Sentiment, "0\nNeutral\n", ["negative", "neutral"]),
        (Task::Category, "19\nfood & drink\n", ["General", "Food & Drink"]),
        (Task::Language, "EN\nund\n", ["en", "und"]),
    ] {
        let labels = desk.file("labels", labels);
        let cases = cases::paired(task, &texts, &labels).unwrap();
        let right: Vec<_> = cases.iter().map(|case| case.right(task).unwrap()).collect();
        assert_eq!(right, want);
        assert_eq!(
            cases[0].right(if task == Task::Category { Task::Language } else { Task::Category }),
            None
        );
    }
}

#[test]
fn what_has_no_answer_is_told_and_counts_as_wrong() {
    let pair = |right: &str, found: &str| (right.to_owned(), found.to_owned());
    let pairs = [pair("en", "en"), pair("en", "(none)"), pair("de", "en")];
    let report = Report {
        tier: Tier::Full,
        models: vec![ModelId { name: "me/mine@1".to_owned(), hash: "00".to_owned() }],
        cases: 3,
        failed: 1,
        measured: vec![(Task::Language, pairs.into_iter().collect::<Confusion<_>>())],
    };
    let told = report::text(&report);
    assert!(told.contains("  me/mine@1\n1 of them have no answer and count as wrong"), "{told}");
    assert!(told.contains("language: accuracy 0.333, macro recall 0.250"), "{told}");
    let line = told.lines().find(|line| line.starts_with("en ")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["en", "2", "0.500", "0.500", "(none)", "1,", "en", "1"]
    );
    assert_eq!(report.json()["failed"], 1);
}

/// A stored profile with one post, analysed by this tier.
async fn stored(farm: &Farm, name: &str, tier: Option<&str>) {
    let (db, profile) = (farm.state.jobs.db().write(), Uuid::now_v7());
    let insert = "INSERT INTO profiles (id, username, partial, data_quality_score, refresh_count, \
                  last_refreshed, created_at, updated_at, raw_data, ai_profile_analyzed_at) \
                  VALUES (?, ?, ?, 1.0, 1, {now}, {now}, {now}, '[]', {now})";
    sql::execute(db, insert, args![profile, name.to_owned(), false]).await.unwrap();
    let insert = "INSERT INTO posts (id, profile_id, shortcode, hashtags, mentions, post_images, \
         post_thumbnails, created_at, updated_at, raw_data, ai_tier, ai_analyzed_at) \
         VALUES (?, ?, ?, '[]', '[]', '[]', '[]', {now}, {now}, '[]', ?, {now-?})";
    let tier_word = tier.map(str::to_owned);
    let values = args![Uuid::now_v7(), profile, name.to_owned(), tier_word, 1_000_i64];
    sql::execute(db, insert, values).await.unwrap();
    let never = "UPDATE posts SET ai_analyzed_at = NULL WHERE ai_tier IS NULL";
    sql::execute(db, never, vec![]).await.unwrap();
}

#[tokio::test]
async fn what_a_lower_tier_did_is_done_again_on_request() {
    let farm = Farm::new().await;
    for (name, tier) in [("by_full", Some("full")), ("by_rules", Some("rules")), ("by_none", None)]
    {
        stored(&farm, name, tier).await;
    }
    let upgrade = async |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let Action::Upgrade(asked) = parse::<Action>(&words).unwrap() else { unreachable!() };
        upgrade::run(&farm.state.jobs, &asked).await.map_err(|failure| failure.0)
    };
    let nobody = upgrade("upgrade").await.unwrap_err();
    assert!(nobody.contains("no worker analyses captions now"), "{nobody}");
    let told = upgrade("upgrade --tier lite").await.unwrap();
    assert!(told.starts_with("2 profiles have posts without an analysis by the lite"), "{told}");
    assert!(told.ends_with("--yes has them analysed"), "{told}");
    let report: Value =
        serde_json::from_str(&upgrade("upgrade --tier lite --yes --json").await.unwrap()).unwrap();
    assert_eq!((&report["profiles"], &report["started"]), (&2.into(), &2.into()));
    let again = upgrade("upgrade --tier lite --yes").await.unwrap();
    assert!(again.contains("0 analyses started, the others were open already"), "{again}");
    assert!(again.contains("No worker answers with the lite tier now"), "{again}");
    let few = upgrade("upgrade --tier full --limit 1 --json").await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&few).unwrap()["profiles"], 1);
    let none = upgrade("upgrade --tier rules").await.unwrap();
    assert!(none.starts_with("1 profile has posts without"), "{none}");
}
