//! What the analyses of a profile's posts say together. Pure: it can be derived again from the
//! rows at any time, and what is stored must equal it.

use std::collections::BTreeMap;

use sea_orm::FromQueryResult;
use sea_orm::prelude::Json;
use serde::Serialize;

use crate::profile;

/// Every category in its order, which breaks ties. The same list as the analyzers'.
pub const CATEGORIES: [&str; 20] = [
    "Fashion & Beauty",
    "Food & Drink",
    "Travel & Tourism",
    "Technology",
    "Fitness & Health",
    "Entertainment",
    "Lifestyle",
    "Business & Finance",
    "Education",
    "Art & Culture",
    "Sports",
    "Music",
    "Photography",
    "Gaming",
    "Automotive",
    "Home & Garden",
    "Pets & Animals",
    "News & Politics",
    "Science",
    "General",
];

/// With this share of its posts analysed a profile is complete.
pub const COMPLETE_SHARE: f64 = 0.8;
/// With this share of its posts analysed a profile's aggregate can be relied on.
pub const VERIFIED_SHARE: f64 = 0.9;

/// What one analysed post adds.
#[derive(Clone, Debug, Default, PartialEq, FromQueryResult)]
pub struct Fact {
    /// What it is about; null when there was nothing to read.
    pub category: Option<String>,
    /// 0 to 1.
    pub category_confidence: Option<f64>,
    /// −1 to 1.
    pub sentiment_score: Option<f64>,
    /// In which language it is.
    pub language: Option<String>,
}

/// A category among the most frequent ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopCategory {
    /// Which.
    pub category: String,
    /// Of the analysed posts, 0 to 100, 2 decimals.
    pub percentage: f64,
    /// Posts about it.
    pub count: u32,
    /// Mean confidence, 0 to 1, 3 decimals.
    pub confidence: f64,
}

/// The columns of a profile that follow from its posts. All are null while no post is analysed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregate {
    /// The most frequent category; of equals the one that is surer, then the first in the list.
    pub primary_content_type: Option<String>,
    /// Share of each category among the analysed posts, 0 to 1, 2 decimals. Posts without a
    /// caption have no category, so the shares may come to less than 1.
    pub content_distribution: Option<Json>,
    /// Mean, −1 to 1, 3 decimals.
    pub avg_sentiment_score: Option<f64>,
    /// Share of each language among the analysed posts, 0 to 1, 2 decimals; `und` among them.
    pub language_distribution: Option<Json>,
    /// 0 to 1, 3 decimals.
    pub content_quality_score: Option<f64>,
    /// The three most frequent categories, as [`TopCategory`].
    pub top_3_categories: Option<Json>,
    /// The ten most frequent categories, as [`TopCategory`].
    pub top_10_categories: Option<Json>,
}

/// A column that is not what the rows say.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The column.
    pub field: &'static str,
    /// What is stored.
    pub stored: Json,
    /// What follows from the rows.
    pub expected: Json,
}

impl Aggregate {
    /// Derives it from the analysed posts of a profile of which `posts` are stored in all.
    pub fn of(facts: &[Fact], posts: usize) -> Self {
        if facts.is_empty() {
            return Self::default();
        }
        let analyzed = facts.len() as f64;
        let top = top(facts);
        let languages = counted(facts.iter().filter_map(|fact| fact.language.as_deref()));
        let sentiment = mean(facts.iter().filter_map(|fact| fact.sentiment_score).collect());
        let largest = top.first().map_or(0.0, |first| f64::from(first.count) / analyzed);
        let coverage = (analyzed / posts.max(1) as f64).min(1.0);
        let mood = f64::midpoint(sentiment.unwrap_or(0.0), 1.0).max(0.0);
        let share = |count: u32| rounded(f64::from(count) / analyzed, 2);
        let categories = top.iter().map(|top| (top.category.clone(), share(top.count)));
        let ten = &top[..top.len().min(10)];
        Self {
            primary_content_type: top.first().map(|first| first.category.clone()),
            content_distribution: json(&categories.collect::<BTreeMap<_, _>>()),
            avg_sentiment_score: sentiment.map(|mean| rounded(mean, 3)),
            language_distribution: json(
                &languages
                    .into_iter()
                    .map(|(code, count)| (code, share(count)))
                    .collect::<BTreeMap<_, _>>(),
            ),
            content_quality_score: Some(rounded(0.4 * mood + 0.3 * largest + 0.3 * coverage, 3)),
            top_3_categories: json(&ten[..ten.len().min(3)]),
            top_10_categories: json(ten),
        }
    }

    /// What is stored with a profile.
    pub fn stored(profile: &profile::Model) -> Self {
        Self {
            primary_content_type: profile.ai_primary_content_type.clone(),
            content_distribution: profile.ai_content_distribution.clone(),
            avg_sentiment_score: profile.ai_avg_sentiment_score,
            language_distribution: profile.ai_language_distribution.clone(),
            content_quality_score: profile.ai_content_quality_score,
            top_3_categories: profile.ai_top_3_categories.clone(),
            top_10_categories: profile.ai_top_10_categories.clone(),
        }
    }

    /// Where a stored aggregate is not this one.
    pub fn differences(&self, stored: &Self) -> Vec<Difference> {
        let fields = self.columns().into_iter().zip(stored.columns());
        fields
            .filter(|((_, expected), (_, stored))| expected != stored)
            .map(|((field, expected), (_, stored))| Difference { field, stored, expected })
            .collect()
    }

    fn columns(&self) -> [(&'static str, Json); 7] {
        let all = |json: &Option<Json>| json.clone().unwrap_or(Json::Null);
        [
            ("ai_primary_content_type", self.primary_content_type.clone().into()),
            ("ai_content_distribution", all(&self.content_distribution)),
            ("ai_avg_sentiment_score", self.avg_sentiment_score.into()),
            ("ai_language_distribution", all(&self.language_distribution)),
            ("ai_content_quality_score", self.content_quality_score.into()),
            ("ai_top_3_categories", all(&self.top_3_categories)),
            ("ai_top_10_categories", all(&self.top_10_categories)),
        ]
    }
}

/// Every category that occurs, the most frequent first; of equals the surer one, then the first in
/// the list, then the first by name.
fn top(facts: &[Fact]) -> Vec<TopCategory> {
    let mut confidences: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for fact in facts {
        if let Some(category) = fact.category.as_deref() {
            confidences.entry(category).or_default().push(fact.category_confidence.unwrap_or(0.0));
        }
    }
    let place = |category: &str| CATEGORIES.iter().position(|known| *known == category);
    let mut found: Vec<_> = confidences
        .into_iter()
        .map(|(category, all)| (category, all.len() as u32, mean(all).unwrap_or(0.0)))
        .collect();
    found.sort_by(|(a, a_count, a_mean), (b, b_count, b_mean)| {
        let order = |category| place(category).unwrap_or(CATEGORIES.len());
        let frequent = b_count.cmp(a_count).then(b_mean.total_cmp(a_mean));
        frequent.then(order(a).cmp(&order(b)))
    });
    found
        .into_iter()
        .map(|(category, count, mean)| TopCategory {
            category: category.to_owned(),
            percentage: rounded(f64::from(count) / facts.len() as f64 * 100.0, 2),
            count,
            confidence: rounded(mean, 3),
        })
        .collect()
}

fn counted<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// The same whatever order the values come in.
fn mean(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    // Without a negative zero.
    (value * factor).round() / factor + 0.0
}

fn json<T: Serialize + ?Sized>(value: &T) -> Option<Json> {
    serde_json::to_value(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fact(category: &str, confidence: f64, score: f64, language: &str) -> Fact {
        Fact {
            category: Some(category.to_owned()),
            category_confidence: Some(confidence),
            sentiment_score: Some(score),
            language: Some(language.to_owned()),
        }
    }

    #[test]
    fn shares_means_and_quality_are_as_specified() {
        let facts = [
            fact("Travel & Tourism", 0.8, 0.9, "en"),
            fact("Travel & Tourism", 0.7, -0.3, "en"),
            fact("Food & Drink", 0.95, 0.0, "de"),
            Fact { sentiment_score: Some(0.0), language: Some("und".into()), ..Fact::default() },
        ];
        let found = Aggregate::of(&facts, 5);
        assert_eq!(found.primary_content_type.as_deref(), Some("Travel & Tourism"));
        let shares = json!({"Food & Drink": 0.25, "Travel & Tourism": 0.5});
        assert_eq!(found.content_distribution, Some(shares));
        let languages = json!({"de": 0.25, "en": 0.5, "und": 0.25});
        assert_eq!(found.language_distribution, Some(languages));
        assert_eq!(found.avg_sentiment_score, Some(0.15));
        // 0.4 · (0.15 + 1) / 2 + 0.3 · 0.5 + 0.3 · 4 / 5
        assert_eq!(found.content_quality_score, Some(0.62));
        let top = json!([
            {"category": "Travel & Tourism", "percentage": 50.0, "count": 2, "confidence": 0.75},
            {"category": "Food & Drink", "percentage": 25.0, "count": 1, "confidence": 0.95},
        ]);
        assert_eq!(
            (found.top_3_categories, found.top_10_categories),
            (Some(top.clone()), Some(top))
        );
    }

    #[test]
    fn ties_go_to_the_surer_category_then_to_the_first_in_the_list() {
        let of = |facts: &[Fact]| Aggregate::of(facts, facts.len()).primary_content_type.unwrap();
        let surer = [fact("Science", 0.9, 0.0, "en"), fact("Sports", 0.8, 0.0, "en")];
        assert_eq!(of(&surer), "Science");
        let equal = [fact("Science", 0.5, 0.0, "en"), fact("Sports", 0.5, 0.0, "en")];
        assert_eq!(of(&equal), "Sports");
        let unknown = [fact("Astrology", 0.5, 0.0, "en"), fact("General", 0.5, 0.0, "en")];
        assert_eq!(of(&unknown), "General");
    }

    #[test]
    fn three_and_ten_are_the_most_frequent_ones() {
        let mut facts = vec![];
        for (place, category) in CATEGORIES.iter().enumerate() {
            facts.extend(vec![fact(category, 0.5, 0.0, "en"); CATEGORIES.len() - place]);
        }
        let found = Aggregate::of(&facts, facts.len());
        let named = |json: Option<Json>| -> Vec<String> {
            let list = json.unwrap();
            list.as_array().unwrap().iter().map(|t| t["category"].to_string()).collect()
        };
        let quoted: Vec<String> = CATEGORIES.iter().map(|c| format!("{c:?}")).collect();
        assert_eq!(named(found.top_3_categories), quoted[..3]);
        assert_eq!(named(found.top_10_categories), quoted[..10]);
        assert_eq!(found.content_distribution.unwrap().as_object().unwrap().len(), 20);
    }

    fn any_fact() -> impl Strategy<Value = Fact> {
        let category = prop::option::of((0..CATEGORIES.len()).prop_map(|n| CATEGORIES[n].into()));
        (category, 0.0..=1.0, -1.0..=1.0, "en|de|und").prop_map(
            |(category, confidence, score, language)| Fact {
                category,
                category_confidence: Some(confidence),
                sentiment_score: Some(score),
                language: Some(language),
            },
        )
    }

    proptest! {
        #[test]
        fn the_order_of_the_rows_says_nothing_and_everything_stays_in_its_bounds(
            facts in prop::collection::vec(any_fact(), 1..60), missing in 0_usize..20, turn in 0_usize..60,
        ) {
            let posts = facts.len() + missing;
            let found = Aggregate::of(&facts, posts);
            let mut turned = facts.clone();
            turned.rotate_left(turn % facts.len());
            turned.reverse();
            prop_assert_eq!(&found, &Aggregate::of(&turned, posts));
            let quality = found.content_quality_score.unwrap();
            prop_assert!((0.0..=1.0).contains(&quality));
            prop_assert!((-1.0..=1.0).contains(&found.avg_sentiment_score.unwrap()));
            let shares = found.content_distribution.unwrap();
            let shares: Vec<f64> =
                shares.as_object().unwrap().values().map(|share| share.as_f64().unwrap()).collect();
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            prop_assert!(shares.iter().sum::<f64>() <= 1.0 + 0.005 * shares.len() as f64);
            // One more post analysed is never worse for the share of analysed posts.
            let fewer = Aggregate::of(&facts, posts + 1).content_quality_score.unwrap();
            prop_assert!(fewer <= quality);
            let most = facts.iter().filter_map(|fact| fact.category.as_ref()).map(|category| {
                facts.iter().filter(|fact| fact.category.as_ref() == Some(category)).count()
            });
            let primary = found.primary_content_type.map(|primary| {
                facts.iter().filter(|fact| fact.category.as_ref() == Some(&primary)).count()
            });
            prop_assert_eq!(primary, most.max());
        }
    }

    #[test]
    fn nothing_analysed_says_nothing() {
        assert_eq!(Aggregate::of(&[], 12), Aggregate::default());
    }

    #[test]
    fn a_difference_names_the_column_and_both_values() {
        let rows = Aggregate::of(&[fact("Music", 0.5, 0.25, "en")], 1);
        let mut stored = rows.clone();
        assert_eq!(rows.differences(&stored), []);
        stored.avg_sentiment_score = Some(0.9);
        let differences = rows.differences(&stored);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].field, "ai_avg_sentiment_score");
        assert_eq!((&differences[0].stored, &differences[0].expected), (&json!(0.9), &json!(0.25)));
    }
}
