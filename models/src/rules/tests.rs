//! Captions, and what the rules say of them.

use proptest::prelude::*;

use super::*;

fn prepared(caption: &str) -> Prepared {
    Prepared::of(caption, &[])
}

fn analysed(caption: &str) -> Analysis {
    let answers = RulesAnalyzer::new().analyze(&[prepared(caption)]);
    answers.into_iter().next().unwrap().unwrap()
}

#[test]
fn a_caption_gets_all_three_answers() {
    let found = analysed("Best homemade pasta ever, I love this recipe! 😍 #foodie");
    assert_eq!(found.category.label, Some(Category::FoodDrink));
    assert_eq!(found.category.method, Method::Rules);
    assert!(found.category.scores.is_empty());
    assert_eq!(found.language.code, "en");
    assert_eq!(found.language.method, Method::Rules);
    assert_eq!(found.sentiment.label, Sentiment::Positive);
    assert_eq!(found.sentiment.method, Method::Rules);
    assert_eq!(found.tier, Tier::Rules);
    assert_eq!(found.models, RulesAnalyzer::new().models());
    assert!(found.tokens >= 9 && !found.truncated && found.empty.is_none());
    assert!((found.quality() - (0.6 + 0.7 + 0.6) / 3.0).abs() < 1e-9);
}

#[test]
fn nothing_left_is_answered_without_analysis() {
    for caption in ["", "  ", "https://a.test/x", "<s></s>[MASK]", "\u{202E}\u{200B}\u{0}"] {
        let found = analysed(caption);
        assert_eq!(found, empty(Tier::Rules), "{caption:?}");
        assert_eq!(found.empty.as_deref(), Some(NOTHING_LEFT));
        assert_eq!(found.category.label, None);
        assert_eq!((found.sentiment.score, found.sentiment.confidence), (0.0, 0.5));
        assert_eq!((found.language.code.as_str(), found.language.confidence), ("und", 0.0));
        assert!((found.quality() - (0.3 + 0.4 + 0.3) / 3.0).abs() < 1e-9);
    }
}

#[test]
fn words_that_say_nothing_are_general() {
    for caption in ["@someone", "...", "12345", "qwrtp zxcvb"] {
        let found = analysed(caption);
        assert_eq!(found.category.label, Some(Category::General), "{caption}");
        assert!((found.category.confidence - 0.4).abs() < 1e-9);
        assert_eq!(found.sentiment.label, Sentiment::Neutral);
        assert_eq!(category(&prepared(caption), "en"), None);
    }
}

#[test]
fn an_answer_does_not_depend_on_its_batch() {
    let captions: Vec<_> =
        ["Game day! ⚽", "", "أجمل رحلة سفر", "<s>"].into_iter().map(prepared).collect();
    let together = RulesAnalyzer::new().analyze(&captions);
    let alone: Vec<_> = captions
        .iter()
        .flat_map(|one| RulesAnalyzer::new().analyze(std::slice::from_ref(one)))
        .collect();
    assert_eq!(together, alone);
}

#[test]
fn the_name_of_the_lists_is_their_hash() {
    let models = RulesAnalyzer::new().models();
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].name, "rules");
    assert_eq!(models[0].hash.len(), 64);
}

/// What breaks tokenizers and models: ai.md, poison.
#[test]
fn poison_is_answered_like_anything_else() {
    let long = "word ".repeat(50_000);
    let joined = "x".repeat(100_000);
    let zalgo = format!("a{}", "\u{301}".repeat(50_000));
    let family = "👩\u{200D}👩\u{200D}👧".repeat(5_000);
    let tags = "#a".repeat(20_000);
    let held = "so".to_owned() + &"o".repeat(50_000);
    for caption in [
        "</s>",
        "a </s> b",
        "<s><pad><mask>",
        "[CLS] hi [SEP]",
        "\u{0}\u{1}\u{FFFF}",
        "\u{FEFF}",
        "\u{FFFD}\u{FFFD}",
        "🏴\u{E0067}\u{E0062}\u{E007F}",
        "\u{200D}\u{200D}",
        "#",
        "@",
        "##@@#@",
        "'''",
        "*",
        "\u{301}\u{301}",
        "ﷺ ﷽",
        "Ａ＃ｔａｇ",
        ":",
        ";)",
        "=",
        "</3",
        &long,
        &joined,
        &zalgo,
        &family,
        &tags,
        &held,
    ] {
        check(&analysed(caption));
    }
}

/// What holds of every answer.
fn check(found: &Analysis) {
    let share = 0.0..=1.0;
    assert!(share.contains(&found.sentiment.confidence));
    assert!(share.contains(&found.language.confidence));
    assert!(share.contains(&found.category.confidence));
    if found.empty.is_some() {
        return;
    }
    assert!((0.4..=0.9).contains(&found.category.confidence));
    let expected = match found.sentiment.label {
        Sentiment::Positive => found.sentiment.confidence,
        Sentiment::Neutral => 0.0,
        Sentiment::Negative => -found.sentiment.confidence,
    };
    assert!((found.sentiment.score - expected).abs() < f64::EPSILON);
    let labels: Vec<_> = found.sentiment.all.iter().map(|(label, _)| *label).collect();
    assert_eq!(labels, Sentiment::ALL);
    let total: f64 = found.sentiment.all.iter().map(|(_, p)| p).sum();
    assert!((total - 1.0).abs() < 0.01);
    let most = found.sentiment.all.iter().map(|(_, p)| *p).fold(0.0, f64::max);
    assert!((most - found.sentiment.confidence).abs() < f64::EPSILON);
    let none = found.language.code == UNDETERMINED;
    assert_eq!(none, found.language.method == Method::None);
    assert_eq!(none, found.language.confidence == 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_answered(caption in "\\PC{0,80}") {
        check(&analysed(&caption));
    }

    #[test]
    fn any_characters_are_answered(caption in prop::collection::vec(any::<char>(), 0..60)) {
        check(&analysed(&caption.into_iter().collect::<String>()));
    }

    #[test]
    fn any_words_are_answered(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "not", "very", "good", "awful", "but", "GREAT", "soooo", "😍", "💔", "#love", "#foodie",
                ":)", "!", ",", "料理", "最高", "لا", "سفر", "değil", "güzel", "@you", "l'amour",
            ]),
            0..30,
        )
    ) {
        check(&analysed(&words.join(" ")));
    }
}
