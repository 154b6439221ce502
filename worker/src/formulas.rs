//! Derived numbers of posts and profiles. Pure functions over facts that were fetched.
//!
//! Every unknown is an `Option`; no function fills in a number that the data does not hold.
//! Source: the formulas marked as chosen in the provider specification, section 4.

use serde_json::Value;

/// Fields a complete profile has; the base of [`data_quality_score`].
pub const PROFILE_FIELDS: u32 = 80;

/// Highest engagement rate stored, in percent.
const RATE_CAP: f64 = 1000.0;
const SECONDS_PER_DAY: i64 = 86_400;

/// Engagement of one post in percent of the followers, 4 decimals, at most 1000:
/// (likes + comments + views when it is a video) / followers × 100.
///
/// `None` when followers are unknown, or likes and comments both are; one unknown of the two
/// adds nothing. 0 when the profile has no followers. Pass `views_if_video` only for videos.
pub fn post_engagement_rate(
    likes: Option<i64>,
    comments: Option<i64>,
    views_if_video: Option<i64>,
    followers: Option<i64>,
) -> Option<f64> {
    let followers = known(followers)?;
    let (likes, comments) = (known(likes), known(comments));
    if likes.is_none() && comments.is_none() {
        return None;
    }
    if followers == 0 {
        return Some(0.0);
    }
    let reactions: f64 =
        [likes, comments, known(views_if_video)].into_iter().flatten().map(|n| n as f64).sum();
    Some(rounded(reactions / followers as f64 * 100.0, 4).min(RATE_CAP))
}

/// Engagement of a profile in percent: the mean of its posts' rates that are above 0.
/// `None` when there is none.
pub fn profile_engagement_rate(rates: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    mean(rates.into_iter().flatten().filter(|rate| rate.is_finite() && *rate > 0.0))
}

/// What [`influence_score`] is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Influence {
    /// Number of followers.
    pub followers: Option<i64>,
    /// Number of accounts followed.
    pub following: Option<i64>,
    /// Profile engagement rate in percent.
    pub engagement_rate: Option<f64>,
    /// Verified badge.
    pub is_verified: Option<bool>,
    /// Business account.
    pub is_business: Option<bool>,
    /// Number of posts the profile has.
    pub posts: Option<i64>,
}

/// Influence from 0 to 10: followers (to 3), followers per followed account (to 2), engagement
/// (to 3), verified 1.5, business 0.5, posts (to 0.5), capped at 10.
///
/// `None` when followers are unknown; any other unknown adds nothing. Following nobody counts as
/// following one.
pub fn influence_score(of: Influence) -> Option<f64> {
    let followers = known(of.followers)? as f64;
    let reach =
        tier(followers, &[(10e6, 3.0), (1e6, 2.5), (100e3, 2.0), (10e3, 1.5), (1e3, 1.0)], 0.5);
    let ratio = known(of.following).map_or(0.0, |following| {
        let ratio = followers / following.max(1) as f64;
        tier(ratio, &[(100.0, 2.0), (10.0, 1.5), (5.0, 1.0)], 0.5)
    });
    let engagement = of.engagement_rate.filter(|rate| rate.is_finite()).map_or(0.0, |rate| {
        tier(rate, &[(10.0, 3.0), (5.0, 2.5), (3.0, 2.0), (1.0, 1.5), (0.5, 1.0)], 0.5)
    });
    let verified = if of.is_verified == Some(true) { 1.5 } else { 0.0 };
    let business = if of.is_business == Some(true) { 0.5 } else { 0.0 };
    let posts = known(of.posts)
        .map_or(0.0, |posts| tier(posts as f64, &[(1000.0, 0.5), (500.0, 0.3), (100.0, 0.2)], 0.0));
    let score = reach + ratio + engagement + verified + business + posts;
    Some(rounded(score, 4).min(10.0))
}

/// Filled fields in percent of `total` (use [`PROFILE_FIELDS`]), at most 100; 0 when `total` is 0.
pub fn data_quality_score(filled: u32, total: u32) -> f64 {
    if total == 0 {
        return 0.0;
    }
    (f64::from(filled) / f64::from(total) * 100.0).min(100.0)
}

/// Number of top-level fields of a raw profile that say something: not null, not an empty text,
/// array or object.
pub fn filled_fields(raw: &Value) -> u32 {
    let filled = |value: &&Value| match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    let count = raw.as_object().map_or(0, |map| map.values().filter(filled).count());
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Mean of the known counts (likes or comments of stored posts); `None` when none is known.
pub fn average_count(counts: impl IntoIterator<Item = Option<i64>>) -> Option<f64> {
    mean(counts.into_iter().filter_map(known).map(|count| count as f64))
}

/// Posts per day, 2 decimals: `posts` / whole days between the oldest and the newest (epoch
/// seconds). 1 when they lie within one day; `None` without posts or without a moment.
pub fn posting_frequency_per_day(
    oldest: Option<i64>,
    newest: Option<i64>,
    posts: u32,
) -> Option<f64> {
    let (oldest, newest) = (oldest?, newest?);
    if posts == 0 {
        return None;
    }
    let days = newest.checked_sub(oldest)?.checked_abs()? / SECONDS_PER_DAY;
    Some(if days == 0 { 1.0 } else { rounded(f64::from(posts) / days as f64, 2) })
}

/// The word for an engagement rate in percent: 10 Excellent, 5 Very good, 2 Good, 1 Average,
/// else Low.
pub fn engagement_tier(rate: f64) -> &'static str {
    match rate {
        r if r >= 10.0 => "Excellent",
        r if r >= 5.0 => "Very good",
        r if r >= 2.0 => "Good",
        r if r >= 1.0 => "Average",
        _ => "Low",
    }
}

/// A count that can be true: negative ones stand for "hidden".
fn known(count: Option<i64>) -> Option<i64> {
    count.filter(|count| *count >= 0)
}

/// The value of the first step that `amount` reaches, else `rest`.
fn tier(amount: f64, steps: &[(f64, f64)], rest: f64) -> f64 {
    steps.iter().find(|(from, _)| amount >= *from).map_or(rest, |(_, value)| *value)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn close(left: Option<f64>, right: Option<f64>) -> bool {
        match (left, right) {
            (Some(left), Some(right)) => (left - right).abs() < 1e-9,
            (left, right) => left.is_none() && right.is_none(),
        }
    }

    #[test]
    fn post_rates() {
        for (likes, comments, views, followers, expected) in [
            (Some(50), Some(10), None, Some(1000), Some(6.0)),
            (Some(50), Some(10), Some(440), Some(1000), Some(50.0)),
            (Some(1), Some(0), None, Some(3), Some(33.3333)),
            (Some(2), None, None, Some(3), Some(66.6667)),
            (None, Some(5), None, Some(1000), Some(0.5)),
            (None, None, Some(500), Some(1000), None),
            (Some(5), Some(5), None, None, None),
            (Some(5), Some(5), None, Some(0), Some(0.0)),
            (None, None, None, Some(0), None),
            (Some(0), Some(0), None, Some(10), Some(0.0)),
            (Some(500), None, None, Some(1), Some(1000.0)),
            (Some(-1), None, None, Some(10), None),
            (Some(i64::MAX), Some(i64::MAX), Some(i64::MAX), Some(1), Some(1000.0)),
        ] {
            let rate = post_engagement_rate(likes, comments, views, followers);
            assert!(
                close(rate, expected),
                "{likes:?} {comments:?} {views:?} {followers:?}: {rate:?}"
            );
        }
    }

    #[test]
    fn profile_rate_is_the_mean_of_the_positive_ones() {
        assert!(close(profile_engagement_rate([Some(2.0), Some(0.0), None, Some(4.0)]), Some(3.0)));
        assert_eq!(profile_engagement_rate([Some(0.0), None]), None);
        assert_eq!(profile_engagement_rate([]), None);
    }

    #[test]
    fn influence() {
        let base = Influence { followers: Some(0), ..Influence::default() };
        let of = |change: fn(&mut Influence)| {
            let mut influence = Influence { followers: Some(0), ..Influence::default() };
            change(&mut influence);
            influence_score(influence)
        };
        assert!(close(influence_score(base), Some(0.5)));
        assert_eq!(of(|i| i.followers = None), None);
        for (followers, score) in [
            (999, 0.5),
            (1_000, 1.0),
            (10_000, 1.5),
            (100_000, 2.0),
            (1_000_000, 2.5),
            (9_999_999, 2.5),
            (10_000_000, 3.0),
        ] {
            let got = influence_score(Influence { followers: Some(followers), ..base });
            assert!(close(got, Some(score)), "{followers}: {got:?}");
        }
        // 500 followers: 0.5, and a ratio of 4.99, 5, 10, 100, 500 (nobody followed).
        for (following, ratio) in [(101, 0.5), (100, 1.0), (50, 1.5), (5, 2.0), (0, 2.0)] {
            let got = influence_score(Influence {
                followers: Some(500),
                following: Some(following),
                ..base
            });
            assert!(close(got, Some(0.5 + ratio)), "{following}: {got:?}");
        }
        // Following nobody counts as following one: a ratio of 5.
        let small = Influence { followers: Some(5), following: Some(0), ..base };
        assert!(close(influence_score(small), Some(1.5)));
        for (rate, part) in
            [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (3.0, 2.0), (5.0, 2.5), (10.0, 3.0)]
        {
            let got = influence_score(Influence { engagement_rate: Some(rate), ..base });
            assert!(close(got, Some(0.5 + part)), "{rate}: {got:?}");
        }
        assert!(close(of(|i| i.is_verified = Some(true)), Some(2.0)));
        assert!(close(of(|i| i.is_business = Some(true)), Some(1.0)));
        for (posts, part) in [(99, 0.0), (100, 0.2), (500, 0.3), (1000, 0.5)] {
            let got = influence_score(Influence { posts: Some(posts), ..base });
            assert!(close(got, Some(0.5 + part)), "{posts}: {got:?}");
        }
        // 3 + 2 + 3 + 1.5 + 0.5 + 0.5 = 10.5, capped.
        let all = Influence {
            followers: Some(20_000_000),
            following: Some(10),
            engagement_rate: Some(12.0),
            is_verified: Some(true),
            is_business: Some(true),
            posts: Some(2_000),
        };
        assert!(close(influence_score(all), Some(10.0)));
    }

    #[test]
    fn quality() {
        for (filled, total, expected) in
            [(0, 80, 0.0), (20, 80, 25.0), (80, 80, 100.0), (95, 80, 100.0), (5, 0, 0.0)]
        {
            let score = data_quality_score(filled, total);
            assert!((score - expected).abs() < 1e-9, "{filled}/{total}: {score}");
        }
        let raw = json!({"a": 0, "b": false, "c": "x", "d": " ", "e": null, "f": [], "g": {},
                         "h": [0], "i": {"j": null}});
        assert_eq!(filled_fields(&raw), 5);
        assert_eq!(filled_fields(&json!([1])), 0);
    }

    #[test]
    fn averages_and_frequency() {
        assert!(close(average_count([Some(1), None, Some(4), Some(-1)]), Some(2.5)));
        assert_eq!(average_count([None]), None);
        let day = SECONDS_PER_DAY;
        for (oldest, newest, posts, expected) in [
            (Some(0), Some(10 * day), 12, Some(1.2)),
            (Some(0), Some(7 * day + 5), 12, Some(1.71)),
            (Some(10 * day), Some(0), 12, Some(1.2)),
            (Some(5), Some(5), 3, Some(1.0)),
            (Some(5), Some(day), 3, Some(1.0)),
            (Some(5), Some(5), 0, None),
            (None, Some(5), 3, None),
            (Some(i64::MIN), Some(i64::MAX), 3, None),
        ] {
            let got = posting_frequency_per_day(oldest, newest, posts);
            assert!(close(got, expected), "{oldest:?} {newest:?} {posts}: {got:?}");
        }
    }

    #[test]
    fn words() {
        for (rate, word) in [
            (10.0, "Excellent"),
            (9.99, "Very good"),
            (5.0, "Very good"),
            (2.0, "Good"),
            (1.0, "Average"),
            (0.99, "Low"),
            (0.0, "Low"),
        ] {
            assert_eq!(engagement_tier(rate), word, "{rate}");
        }
    }
}
