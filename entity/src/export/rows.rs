//! What an export reads, page by page: the creators, and their posts.

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::sql::{self, list};
use crate::time::Time;

/// A creator as exported; what is unknown is null.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
#[allow(missing_docs)] // the columns of `profiles`
pub struct ProfileRow {
    pub id: Uuid,
    pub username: String,
    pub full_name: Option<String>,
    pub followers_count: Option<i64>,
    pub following_count: Option<i64>,
    pub posts_count: Option<i64>,
    pub engagement_rate: Option<f64>,
    pub is_verified: Option<bool>,
    pub category: Option<String>,
    pub avg_likes: Option<f64>,
    pub avg_comments: Option<f64>,
    pub posting_frequency_per_day: Option<f64>,
    pub ai_primary_content_type: Option<String>,
    pub ai_avg_sentiment_score: Option<f64>,
    pub ai_content_quality_score: Option<f64>,
}

/// A post as exported; what is unknown is null.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
#[allow(missing_docs)] // the columns of `posts`
pub struct PostRow {
    pub id: Uuid,
    pub shortcode: String,
    pub taken_at_timestamp: Option<i64>,
    pub posted_at: Option<Time>,
    pub media_type: Option<String>,
    pub caption: Option<String>,
    pub likes_count: Option<i64>,
    pub comments_count: Option<i64>,
    pub video_view_count: Option<i64>,
    pub engagement_rate: Option<f64>,
    pub hashtags: Json,
    pub mentions: Json,
    pub location_name: Option<String>,
    pub ai_content_category: Option<String>,
    pub ai_category_confidence: Option<f64>,
    pub ai_sentiment: Option<String>,
    pub ai_sentiment_score: Option<f64>,
    pub ai_language_code: Option<String>,
}

/// These creators by handle, those whose names come after `after`, at most `limit`.
pub async fn profiles<C: ConnectionTrait>(
    db: &C,
    ids: &[Uuid],
    after: &str,
    limit: u32,
) -> Result<Vec<ProfileRow>, DbErr> {
    sql::all(
        db,
        "SELECT id, username, full_name, followers_count, following_count, posts_count, \
         engagement_rate, is_verified, category, avg_likes, avg_comments, \
         posting_frequency_per_day, ai_primary_content_type, ai_avg_sentiment_score, \
         ai_content_quality_score FROM profiles WHERE id IN {list} AND username > ? \
         ORDER BY username LIMIT ?",
        args![list(ids), after, i64::from(limit)],
    )
    .await
}

/// Posts of a creator, newest first, after the last one seen (seconds, id).
pub async fn posts<C: ConnectionTrait>(
    db: &C,
    profile: Uuid,
    after: Option<(i64, Uuid)>,
    limit: u32,
) -> Result<Vec<PostRow>, DbErr> {
    let columns = "SELECT id, shortcode, taken_at_timestamp, posted_at, media_type, caption, \
         likes_count, comments_count, video_view_count, engagement_rate, hashtags, mentions, \
         location_name, ai_content_category, ai_category_confidence, ai_sentiment, \
         ai_sentiment_score, ai_language_code FROM posts WHERE profile_id = ?";
    let order = "ORDER BY COALESCE(taken_at_timestamp, 0) DESC, id DESC LIMIT ?";
    match after {
        None => sql::all(db, &format!("{columns} {order}"), args![profile, i64::from(limit)]).await,
        Some((taken, id)) => {
            let text =
                format!("{columns} AND (COALESCE(taken_at_timestamp, 0), id) < (?, ?) {order}");
            sql::all(db, &text, args![profile, taken, id, i64::from(limit)]).await
        }
    }
}

/// How many posts these creators have.
pub async fn count_posts<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<i64, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT count(*) AS n FROM posts WHERE profile_id IN {list}",
        vec![list(ids)],
    )
    .await?;
    rows.first().map_or(Ok(0), |row| row.try_get("", "n"))
}
