//! From an analyzer's answer to rows and results. Pure.

use entity::enums::AiTier;
use entity::post::analysis::{Answered, Caption};
use jobs::kinds::post_analysis::CaptionAnalysis;
use models::analysis::VERSION;
use models::{Analysis, Tier};
use serde_json::{Map, Value, json};

use super::ask::{Text, Told};
use crate::formulas::rounded;

/// The stored word of a tier.
pub(crate) const fn tier(of: Tier) -> AiTier {
    match of {
        Tier::Rules => AiTier::Rules,
        Tier::Lite => AiTier::Lite,
        Tier::Full => AiTier::Full,
    }
}

/// What is stored with a post.
pub(crate) fn answered(post: &Caption, text: &Text, told: &Told) -> Answered {
    let analysis = &told.analysis;
    let category = analysis.category.label;
    Answered {
        id: post.id,
        caption: post.caption.clone(),
        category: category.map(|label| label.as_str().to_owned()),
        category_confidence: category.map(|_| short(analysis.category.confidence)),
        sentiment: analysis.sentiment.label.as_str().to_owned(),
        sentiment_score: analysis.sentiment.score,
        sentiment_confidence: short(analysis.sentiment.confidence),
        language: analysis.language.code.clone(),
        language_confidence: short(analysis.language.confidence),
        tier: tier(analysis.tier),
        version: VERSION,
        raw: raw(post, text, told),
    }
}

/// All there is to know about an answer, in the words of the stored column.
fn raw(post: &Caption, text: &Text, told: &Told) -> Value {
    let Analysis { sentiment, language, category, .. } = &told.analysis;
    let analysis = &told.analysis;
    let moods = sentiment.all.iter().map(|(label, share)| (label.as_str(), *share));
    let labels = category.scores.iter().map(|(label, share)| (label.as_str(), *share));
    json!({
        "sentiment_analysis": {
            "label": sentiment.label,
            "score": sentiment.score,
            "confidence": short(sentiment.confidence),
            "method": sentiment.method,
            "all": object(moods),
        },
        "language_detection": {
            "code": language.code,
            "confidence": short(language.confidence),
            "method": language.method,
        },
        "category_classification": {
            "label": category.label,
            "confidence": short(category.confidence),
            "method": category.method,
            "scores": object(labels),
        },
        "metadata": {
            "processing_time_ms": told.took_ms.map(short),
            "remembered": told.took_ms.is_none(),
            "tokens": analysis.tokens,
            "truncated": analysis.truncated,
            "reason": analysis.empty,
            "hashtags_count": text.hashtags(),
            "media_type": post.media_type,
            "tier": analysis.tier,
            "models": analysis.models,
            "version": VERSION,
            "analysis_quality": short(analysis.quality()),
        },
    })
}

fn object<'a>(shares: impl Iterator<Item = (&'a str, f64)>) -> Value {
    let fields = shares.map(|(label, share)| (label.to_owned(), json!(short(share))));
    fields.collect::<Map<_, _>>().into()
}

/// With 4 decimals, which say all there is to say, and read back as they were written.
fn short(value: f64) -> f64 {
    rounded(value, 4)
}

/// What a job's result says about a caption.
pub(crate) fn caption_analysis(analysis: &Analysis) -> CaptionAnalysis {
    CaptionAnalysis {
        content_category: analysis.category.label.map(|label| label.as_str().to_owned()),
        category_confidence: analysis.category.label.map(|_| short(analysis.category.confidence)),
        sentiment: analysis.sentiment.label.as_str().to_owned(),
        sentiment_score: analysis.sentiment.score,
        sentiment_confidence: short(analysis.sentiment.confidence),
        language_code: analysis.language.code.clone(),
        language_confidence: short(analysis.language.confidence),
        analysis_quality: short(analysis.quality()),
        tier: analysis.tier.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use entity::aggregate::CATEGORIES;
    use models::Category;

    #[test]
    fn the_database_and_the_analyzers_have_the_same_categories_in_the_same_order() {
        let labels: Vec<&str> = Category::ALL.iter().map(|label| label.as_str()).collect();
        assert_eq!(labels, CATEGORIES);
    }
}
