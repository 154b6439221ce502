//! The language of a caption.

use std::sync::LazyLock;

use lingua::{Language, LanguageDetector, LanguageDetectorBuilder};
use unicode_normalization::UnicodeNormalization;

use super::tags;
use super::words::is_unspaced;
use crate::analysis::LanguageFound;
use crate::label::{Method, UNDETERMINED};
use crate::text::{Part, parts};

/// The languages that are told apart: those of the full tier's model, and the most common others.
/// Each further one makes short texts of its relatives less certain, and the program larger.
const LANGUAGES: [Language; 30] = [
    Language::Arabic,
    Language::Bulgarian,
    Language::Chinese,
    Language::Dutch,
    Language::English,
    Language::French,
    Language::German,
    Language::Greek,
    Language::Hindi,
    Language::Italian,
    Language::Japanese,
    Language::Polish,
    Language::Portuguese,
    Language::Russian,
    Language::Spanish,
    Language::Swahili,
    Language::Thai,
    Language::Turkish,
    Language::Urdu,
    Language::Vietnamese,
    // Not the model's.
    Language::Bengali,
    Language::Czech,
    Language::Hebrew,
    Language::Indonesian,
    Language::Korean,
    Language::Persian,
    Language::Romanian,
    Language::Swedish,
    Language::Tamil,
    Language::Ukrainian,
];

/// Letters that are enough to judge without the hashtags, which are often English anyway.
const ENOUGH: usize = 10;
/// What a letter of a script without spaces says more than one of an alphabet.
const SYLLABLE: usize = 4;
/// Letters that are judged: more change nothing but the time.
const READ: usize = 400;

/// High accuracy: of the sentences, word pairs and single words that the detector's authors test
/// with it finds .989, .951 and .842 in the model's languages, against .983, .898 and .763 with low
/// accuracy, at 2,300 and 2,800 sentences a second on one core. The models of the languages are
/// tables in the program itself: they are read where they lie, not loaded.
static DETECTOR: LazyLock<LanguageDetector> =
    LazyLock::new(|| LanguageDetectorBuilder::from_languages(&LANGUAGES).build());

/// Judges what is said outside hashtags and mentions; where that is short, the hashtags too.
pub(super) fn of(text: &str) -> LanguageFound {
    let parts = parts(text);
    let mut read = String::new();
    for part in &parts {
        if let Part::Plain(plain) = part {
            read.push_str(plain);
            read.push(' ');
        }
    }
    if weight(&read) < ENOUGH {
        for part in &parts {
            if let Part::Tag(tag) = part {
                read.push_str(&tags::apart(tag));
                read.push(' ');
            }
        }
    }
    let unknown =
        LanguageFound { code: UNDETERMINED.to_owned(), confidence: 0.0, method: Method::None };
    if weight(&read) == 0 {
        return unknown;
    }
    let read: String = read.nfkc().take(READ).collect();
    let likely = DETECTOR.compute_language_confidence_values(read).into_iter();
    match likely.max_by(|(_, one), (_, other)| one.total_cmp(other)) {
        Some((language, confidence)) if confidence > 0.0 => LanguageFound {
            code: language.iso_code_639_1().to_string(),
            // Its sums depend on their order in the last digits.
            confidence: (confidence * 1000.0).round() / 1000.0,
            method: Method::Rules,
        },
        _ => unknown,
    }
}

fn weight(text: &str) -> usize {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    letters.map(|c| if is_unspaced(c) { SYLLABLE } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_of_a_language() {
        for (text, expected) in [
            ("Sunday morning with a good book and too much coffee", "en"),
            ("Домашний хлеб на закваске, рецепт ниже #bread #baking #food", "ru"),
            ("أجمل مكان زرته هذا الصيف", "ar"),
            ("今日のランチはラーメンでした", "ja"),
            ("今天的午餐非常好吃", "zh"),
            ("오늘 점심은 정말 맛있었어요", "ko"),
            ("วันนี้อากาศดีมาก", "th"),
            ("Bugün hava çok güzel, deniz kenarındayız", "tr"),
            ("आज का दिन बहुत अच्छा रहा", "hi"),
            ("Hoy cocinamos juntos en casa @chef #love #food #instagood", "es"),
            ("#hausgarten #selbstgemacht #frühstücksei", "de"),
            ("𝓢𝓾𝓷𝓭𝓪𝔂 𝓶𝓸𝓻𝓷𝓲𝓷𝓰 𝔀𝓲𝓽𝓱 𝓪 𝓰𝓸𝓸𝓭 𝓫𝓸𝓸𝓴", "en"),
        ] {
            let found = of(text);
            assert_eq!((found.code.as_str(), found.method), (expected, Method::Rules), "{text}");
            assert!(found.confidence > 0.3 && found.confidence <= 1.0, "{text}");
        }
    }

    #[test]
    fn nothing_to_read_is_no_language() {
        for text in ["", "🔥🔥🔥", "@someone", "12:30 – 14:00", "!!!"] {
            let found = of(text);
            assert_eq!((found.code.as_str(), found.method), ("und", Method::None), "{text}");
            assert!(found.confidence.abs() < f64::EPSILON);
        }
    }
}
