//! What a profile's counts look like to somebody who expects fraud. Arithmetic over what was
//! fetched, with its inputs: no finding, and nothing is guessed.

use serde_json::{Value, json};

use crate::formulas::rounded;

/// What the hints are made of; an unknown adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Number of followers.
    pub followers: Option<i64>,
    /// Number of accounts followed.
    pub following: Option<i64>,
    /// Number of posts the profile has.
    pub posts: Option<i64>,
    /// Mean likes of the stored posts.
    pub avg_likes: Option<f64>,
    /// Mean comments of the stored posts.
    pub avg_comments: Option<f64>,
}

/// Points, from which level on it is `medium` or `high`, and why.
///
/// Followers per followed account below 0.1 with more than 1,000 followers: 15. Above 100 with more
/// than 10,000: 25. Posts per follower below 0.001 with more than 5,000: 20. Mean likes per mean
/// comments above 50: 20. More than 60 points are high, more than 30 medium. Following nobody counts
/// as following one. `None` when followers are unknown.
pub fn hints(of: Counts) -> Option<Value> {
    let followers = of.followers.filter(|n| *n >= 0)?;
    let per = |count: Option<i64>, of: f64| count.filter(|n| *n >= 0).map(|n| n as f64 / of);
    let ratio = of.following.filter(|n| *n >= 0).map(|n| followers as f64 / n.max(1) as f64);
    let posts = if followers > 0 { per(of.posts, followers as f64) } else { None };
    let likes = match (of.avg_likes, of.avg_comments) {
        (Some(likes), Some(comments)) if comments > 0.0 => Some(likes / comments),
        _ => None,
    };
    let rules = [
        (15, "few followers for the accounts it follows", {
            ratio.is_some_and(|ratio| ratio < 0.1) && followers > 1_000
        }),
        (25, "many followers for the accounts it follows", {
            ratio.is_some_and(|ratio| ratio > 100.0) && followers > 10_000
        }),
        (20, "few posts for its followers", {
            posts.is_some_and(|posts| posts < 0.001) && followers > 5_000
        }),
        (20, "many likes for its comments", likes.is_some_and(|likes| likes > 50.0)),
    ];
    let met = rules.iter().filter(|(_, _, met)| *met);
    let score: u32 = met.clone().map(|(points, ..)| points).sum();
    let level = match score {
        0..=30 => "low",
        31..=60 => "medium",
        _ => "high",
    };
    let hints: Vec<Value> =
        met.map(|(points, hint, _)| json!({ "hint": hint, "points": points })).collect();
    Some(json!({
        "score": score,
        "level": level,
        "hints": hints,
        "inputs": {
            "followers_count": followers,
            "following_count": of.following,
            "posts_count": of.posts,
            "avg_likes": of.avg_likes.map(|mean| rounded(mean, 2)),
            "avg_comments": of.avg_comments.map(|mean| rounded(mean, 2)),
            "followers_per_following": ratio.map(|ratio| rounded(ratio, 4)),
            "posts_per_follower": posts.map(|posts| rounded(posts, 6)),
            "likes_per_comment": likes.map(|likes| rounded(likes, 2)),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(followers: i64, following: i64, posts: i64, likes: f64, comments: f64) -> Value {
        let counts = Counts {
            followers: Some(followers),
            following: Some(following),
            posts: Some(posts),
            avg_likes: Some(likes),
            avg_comments: Some(comments),
        };
        hints(counts).unwrap()
    }

    #[test]
    fn each_rule_has_its_points_and_its_bounds() {
        for (counts, score, level) in [
            ((1_000, 500, 100, 10.0, 1.0), 0, "low"),
            ((1_001, 20_000, 100, 10.0, 1.0), 15, "low"),
            ((1_000, 20_000, 100, 10.0, 1.0), 0, "low"),
            ((10_001, 100, 100, 10.0, 1.0), 25, "low"),
            ((10_000, 1, 100, 10.0, 1.0), 0, "low"),
            ((5_001, 500, 5, 10.0, 1.0), 20, "low"),
            ((5_000, 500, 4, 10.0, 1.0), 0, "low"),
            ((1_000, 500, 100, 51.0, 1.0), 20, "low"),
            ((1_000, 500, 100, 50.0, 1.0), 0, "low"),
            ((100_000, 10, 5, 10.0, 1.0), 45, "medium"),
            ((100_000, 10, 5, 100.0, 1.0), 65, "high"),
            ((100_000, 0, 5, 100.0, 1.0), 65, "high"),
        ] {
            let (followers, following, posts, likes, comments) = counts;
            let found = scored(followers, following, posts, likes, comments);
            assert_eq!((&found["score"], &found["level"]), (&json!(score), &json!(level)));
            let points = found["hints"].as_array().unwrap().iter();
            assert_eq!(points.map(|hint| hint["points"].as_i64().unwrap()).sum::<i64>(), score);
        }
    }

    #[test]
    fn what_is_unknown_adds_nothing_and_is_shown_as_unknown() {
        assert_eq!(hints(Counts::default()), None);
        let found = hints(Counts { followers: Some(1_000_000), ..Counts::default() }).unwrap();
        assert_eq!((&found["score"], &found["hints"]), (&json!(0), &json!([])));
        for input in ["following_count", "posts_per_follower", "likes_per_comment"] {
            assert_eq!(found["inputs"][input], Value::Null, "{input}");
        }
    }
}
