//! The tiers behind the analyzer's seam, on small checkpoints with random weights: what they answer
//! means nothing, but how they answer does.

#![cfg(feature = "bert")]
#![allow(clippy::unwrap_used)]

mod checkpoint;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkpoint::files::{copy, edit, permute, write_minilm};
use checkpoint::{cpu, folder, golden};
use models::full::{Checkpoint, Checkpoints, FullAnalyzer};
use models::lite::LiteAnalyzer;
use models::nets::NetError;
use models::{Analysis, Analyzer, Method, ModelId, Prepared, Sentiment, Tier};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const MOST: usize = 128;

fn checkpoint(folder: PathBuf) -> Checkpoint {
    let id = ModelId { name: folder.display().to_string(), hash: "0".to_owned() };
    Checkpoint { weights: folder.join("model.safetensors"), folder, labels: None, id }
}

fn checkpoints() -> Checkpoints {
    Checkpoints {
        sentiment: checkpoint(folder("sentiment")),
        language: checkpoint(folder("language")),
        zero_shot: checkpoint(folder("zero-shot")),
        template: "This example is {}.".to_owned(),
    }
}

fn full(from: &Checkpoints) -> FullAnalyzer {
    FullAnalyzer::load(from, MOST, cpu(), |_| {}).unwrap()
}

fn lite(folder: &Path) -> LiteAnalyzer {
    let id = ModelId { name: "small".to_owned(), hash: "0".to_owned() };
    LiteAnalyzer::load(folder, &folder.join("model.safetensors"), id, cpu(), |_| {}).unwrap()
}

fn prepared(texts: &[String]) -> Vec<Prepared> {
    texts.iter().map(|text| Prepared::of(text, &[])).collect()
}

fn answers(analyzer: &mut dyn Analyzer, captions: &[Prepared]) -> Vec<Analysis> {
    analyzer.analyze(captions).into_iter().map(Result::unwrap).collect()
}

/// Whether two answers are the same, up to what 32-bit numbers may differ by when they are added in
/// another order; shares are rounded to three decimals.
fn same(a: &Analysis, b: &Analysis) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() < 0.0021;
    let shares = |all: &[f64], other: &[f64]| all.iter().zip(other).all(|(a, b)| near(*a, *b));
    let moods = |of: &Analysis| of.sentiment.all.iter().map(|(_, p)| *p).collect::<Vec<_>>();
    let about = |of: &Analysis| of.category.scores.iter().map(|(_, p)| *p).collect::<Vec<_>>();
    // Which of two equal shares is the larger may differ.
    let mood = a.sentiment.label == b.sentiment.label || tied(&moods(a));
    let label = a.category.label == b.category.label || tied(&about(a));
    mood && label
        && a.language.code == b.language.code
        && near(a.language.confidence, b.language.confidence)
        && shares(&moods(a), &moods(b))
        && shares(&about(a), &about(b))
        && (a.tokens, a.truncated, &a.empty) == (b.tokens, b.truncated, &b.empty)
}

fn tied(shares: &[f64]) -> bool {
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    matches!(sorted.as_slice(), [.., second, first] if first - second < 0.003)
}

fn caption() -> impl Strategy<Value = String> {
    let real: Vec<String> = golden("captions.json");
    let word = "[a-zA-Zäöüß#@éñ😂❤🇪🇸سلامдаนี่日本]{1,12}";
    let words = prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "));
    prop_oneof![3 => prop::sample::select(real), 2 => words, 1 => "\\PC{0,200}"]
}

#[test]
fn an_answer_does_not_depend_on_what_else_is_in_the_batch() {
    let minilm = tempfile::tempdir().unwrap();
    write_minilm(minilm.path());
    let tiers: [Box<dyn Analyzer>; 2] =
        [Box::new(full(&checkpoints())), Box::new(lite(minilm.path()))];
    let tiers = RefCell::new(tiers);
    let batches = prop::collection::vec(caption(), 1..12);
    let config = ProptestConfig { cases: 8, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&batches, |texts| {
        let captions = prepared(&texts);
        for tier in tiers.borrow_mut().iter_mut() {
            let together = answers(tier.as_mut(), &captions);
            for (caption, together) in captions.iter().zip(&together) {
                let alone = answers(tier.as_mut(), std::slice::from_ref(caption)).remove(0);
                prop_assert!(same(&alone, together), "{:?}\n{alone:?}\n{together:?}", caption.text);
            }
        }
        Ok(())
    });
    checked.unwrap();
}

/// What has broken tokenizers, models or their callers.
fn poison() -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        " ",
        "\u{200B}\u{FEFF}",
        "</s>",
        "<s>",
        "<pad> <mask> </s> <unk>",
        "[CLS] [SEP] [PAD]",
        "\u{202E}desrever\u{202C}",
        "\u{0}\u{1}\u{2}",
        "👨‍👩‍👧‍👦👩🏽‍🚀🏳️‍🌈",
        "#",
        "@",
        "# @ #@ @#",
        "http://",
        "https://example.com/a?b=c",
        "\u{FFFD}\u{FFFF}\u{10FFFF}",
        "e\u{301}\u{301}",
        "ﷺ",
        "㍿㌀",
        "\u{1D54F}\u{1D55A}",
        "NaN inf -0 1e999",
        "{}",
        "{label}",
        "This example is {}.",
        "\r\n\t\u{B}",
        "'; DROP TABLE posts; --",
        "ÿ",
        "가각갂",
        "ﬁ ﬂ ﬀ",
        "１２３",
        "¿¡",
        "＜s＞ ＜／s＞",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("a".repeat(50_000));
    all.push("word ".repeat(5_000));
    all.push("😂".repeat(3_000));
    all.push(format!("e{}", "\u{301}".repeat(5_000)));
    all.push("#tag".repeat(2_500));
    all.push("漢字".repeat(2_500));
    all.push("</s>".repeat(600));
    all.push("\u{200D}".repeat(2_000));
    all
}

#[test]
fn poison_harms_nobody() {
    let minilm = tempfile::tempdir().unwrap();
    write_minilm(minilm.path());
    let captions = prepared(&poison());
    let mut tiers: [Box<dyn Analyzer>; 2] =
        [Box::new(full(&checkpoints())), Box::new(lite(minilm.path()))];
    for tier in &mut tiers {
        let found = answers(tier.as_mut(), &captions);
        assert_eq!(found.len(), captions.len());
        for (caption, answer) in captions.iter().zip(&found) {
            assert_eq!(caption.text.is_empty(), answer.empty.is_some(), "{:?}", caption.text);
            assert!(answer.tokens as usize <= MOST, "{answer:?}");
            assert_eq!(answer.tier, tier.tier());
            if answer.empty.is_some() {
                assert_eq!(
                    (answer.category.label, answer.sentiment.label),
                    (None, Sentiment::Neutral)
                );
                assert_eq!(
                    (answer.language.code.as_str(), answer.language.confidence),
                    ("und", 0.0)
                );
            }
        }
        assert!(tier.analyze(&[]).is_empty());
    }
}

/// Names a class by another label than the checkpoint does.
fn renamed(name: &str, labels: &[&str]) -> (TempDir, Checkpoint) {
    let dir = copy(&folder(name));
    let by_class = labels.iter().enumerate();
    let id2label: serde_json::Map<_, _> =
        by_class.clone().map(|(class, label)| (class.to_string(), json!(label))).collect();
    let label2id: serde_json::Map<_, _> =
        by_class.map(|(class, label)| ((*label).to_owned(), json!(class))).collect();
    edit(&dir.path().join("config.json"), |config| {
        config["id2label"] = id2label.into();
        config["label2id"] = label2id.into();
    });
    let checkpoint = checkpoint(dir.path().to_owned());
    (dir, checkpoint)
}

#[test]
fn the_labels_are_those_of_the_checkpoint_whatever_their_order() {
    let captions = prepared(&golden::<Vec<String>>("captions.json")[..40]);
    let before = answers(&mut full(&checkpoints()), &captions);
    let (_kept, sentiment) = renamed("sentiment", &["POSITIVE", "Negative", "neutral"]);
    let turned: Vec<&str> = [
        "vi", "ja", "nl", "ar", "pl", "de", "it", "pt", "tr", "es", "hi", "el", "ur", "bg", "en",
        "fr", "zh", "ru", "th", "sw",
    ]
    .to_vec();
    let (_also, language) = renamed("language", &turned);
    let config: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(folder("language").join("config.json")).unwrap(),
    )
    .unwrap();
    let found =
        answers(&mut full(&Checkpoints { sentiment, language, ..checkpoints() }), &captions);
    let mut moved = 0;
    for (before, found) in before.iter().zip(&found) {
        let as_named = match before.sentiment.label {
            Sentiment::Negative => Sentiment::Positive,
            Sentiment::Neutral => Sentiment::Negative,
            Sentiment::Positive => Sentiment::Neutral,
        };
        assert!(
            found.sentiment.label == as_named
                || tied(&[
                    before.sentiment.all[0].1,
                    before.sentiment.all[1].1,
                    before.sentiment.all[2].1
                ])
        );
        let class = config["id2label"].as_object().unwrap().iter();
        let class = class.filter(|(_, label)| **label == before.language.code);
        let class: usize = class.map(|(class, _)| class.parse().unwrap()).next().unwrap();
        assert_eq!(found.language.code, turned[class]);
        moved += usize::from(found.language.code != before.language.code);
    }
    assert!(moved > 30, "{moved} languages have another name");
}

#[test]
fn entailment_is_where_the_checkpoint_says() {
    let captions = prepared(&golden::<Vec<String>>("captions.json")[..20]);
    let before = answers(&mut full(&checkpoints()), &captions);
    // The classes of the head in another order, and named so: nothing changes.
    let (dir, zero_shot) = renamed("zero-shot", &["entailment", "contradiction", "neutral"]);
    let weights = dir.path().join("model.safetensors");
    let was = ["contradiction", "neutral", "entailment"];
    let from: Vec<usize> = ["entailment", "contradiction", "neutral"]
        .map(|label| was.iter().position(|one| *one == label).unwrap())
        .to_vec();
    permute(&weights, "classification_head.out_proj.weight", &from);
    permute(&weights, "classification_head.out_proj.bias", &from);
    let found = answers(&mut full(&Checkpoints { zero_shot, ..checkpoints() }), &captions);
    assert!(before.iter().zip(&found).all(|(before, found)| same(before, found)));
    // Named so without being so: another answer is read.
    let (_kept, zero_shot) = renamed("zero-shot", &["entailment", "contradiction", "neutral"]);
    let found = answers(&mut full(&Checkpoints { zero_shot, ..checkpoints() }), &captions);
    assert!(before.iter().zip(&found).any(|(before, found)| !same(before, found)));
}

#[test]
fn labels_that_are_no_sentiments_are_refused_with_the_file() {
    for (labels, said) in [
        (["LABEL_0", "LABEL_1", "LABEL_2"], "LABEL_0: not a sentiment's label"),
        (["positive", "positive", "neutral"], "config.json"),
    ] {
        let (_kept, sentiment) = renamed("sentiment", &labels);
        let from = Checkpoints { sentiment, ..checkpoints() };
        let error = FullAnalyzer::load(&from, MOST, cpu(), |_| {}).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
    }
    // An operator may list what they mean.
    let (_kept, unnamed) = renamed("sentiment", &["LABEL_0", "LABEL_1", "LABEL_2"]);
    let labels = ["negative", "neutral", "positive"].map(str::to_owned).to_vec();
    let sentiment = Checkpoint { labels: Some(labels), ..unnamed };
    let captions = prepared(&golden::<Vec<String>>("captions.json")[..5]);
    let found = answers(&mut full(&Checkpoints { sentiment, ..checkpoints() }), &captions);
    let before = answers(&mut full(&checkpoints()), &captions);
    assert!(before.iter().zip(&found).all(|(before, found)| same(before, found)));
}

#[test]
fn the_lite_tier_reads_english_and_leaves_the_rest_to_the_lists() {
    let minilm = tempfile::tempdir().unwrap();
    write_minilm(minilm.path());
    let captions = prepared(&[
        "I love this beautiful day at the beach with all of my friends".to_owned(),
        "Das Essen war wirklich schrecklich, das Rezept koche ich nie wieder".to_owned(),
    ]);
    let mut lite = lite(minilm.path());
    let found = answers(&mut lite, &captions);
    assert_eq!(found[0].language.code, "en");
    assert_eq!(found[0].sentiment.method, Method::Model);
    assert_eq!(found[1].language.code, "de");
    assert_eq!(found[1].sentiment.method, Method::Rules);
    assert_eq!(found[1].sentiment.label, Sentiment::Negative);
    assert_eq!(found[1].category.method, Method::Rules);
    assert_eq!(lite.tier(), Tier::Lite);
    let names: Vec<_> = lite.models().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["small", "lite head and labels", "rules"]);
    assert!(found.iter().all(|one| one.category.scores.len() == 20 && one.models.len() == 3));
}

#[test]
fn a_model_of_another_shape_is_refused_by_the_lite_tier() {
    let folder = folder("embedding");
    let id = ModelId { name: "small".to_owned(), hash: "0".to_owned() };
    let refused = LiteAnalyzer::load(&folder, &folder.join("model.safetensors"), id, cpu(), |_| {});
    let error = refused.err().unwrap();
    assert!(matches!(error, NetError::Config { .. }), "{error}");
    assert!(error.to_string().contains("2 layers of 16 numbers; the lite tier reads 6 of 384"));
}

/// `TEST_FUZZ=100000` for the long form.
#[tokio::test]
async fn whatever_captions_say_each_has_an_answer() {
    #[allow(clippy::disallowed_methods)] // a knob of the tests
    let count =
        std::env::var("TEST_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let settings = models::engine::Settings {
        queue: 100_000,
        per_load: Duration::from_secs(120),
        ..Default::default()
    };
    let loader = models::engine::Loader::new(Tier::Full, |_| Ok(Box::new(full(&checkpoints()))));
    let engine = models::Engine::start(vec![loader], settings);
    let mut runner = TestRunner::deterministic();
    let strategy = prop_oneof![
        caption(),
        "\\PC{0,400}",
        any::<String>(),
        prop::sample::select(poison()),
        prop::collection::vec(any::<char>(), 0..600).prop_map(|chars| chars.into_iter().collect()),
    ];
    let (mut asked, mut offences) = (0, 0);
    while asked < count {
        let texts: Vec<String> = (0..200.min(count - asked))
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect();
        let answers = engine.analyze(prepared(&texts), CancellationToken::new()).await.unwrap();
        assert_eq!(answers.len(), texts.len());
        offences += answers.iter().filter(|answer| answer.is_err()).count();
        asked += texts.len();
    }
    let state = engine.state();
    assert_eq!((offences, state.restarts), (0, 0));
    engine.stop().await;
}
