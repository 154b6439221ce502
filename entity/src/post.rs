//! `posts`: a creator's posts as last fetched. Unique per profile and shortcode: a post with
//! co-authors stands in the timeline of each of them.

pub mod analysis;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{DbErr, FromQueryResult, QueryOrder, QuerySelect};

use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg, at};
use crate::time::Time;

/// A post as stored. What the provider did not say is null, never zero.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "posts")]
#[allow(missing_docs)] // the provider's words, see provider.md
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub profile_id: Uuid,
    pub instagram_post_id: Option<String>,
    pub shortcode: String,
    pub media_type: Option<String>,
    pub is_video: Option<bool>,
    pub display_url: Option<String>,
    pub thumbnail_src: Option<String>,
    pub thumbnail_tall_src: Option<String>,
    pub video_url: Option<String>,
    pub video_view_count: Option<i64>,
    pub video_duration: Option<i64>,
    pub has_audio: Option<bool>,
    pub width: Option<i64>,
    pub height: Option<i64>,
    pub caption: Option<String>,
    pub accessibility_caption: Option<String>,
    pub likes_count: Option<i64>,
    pub comments_count: Option<i64>,
    pub comments_disabled: Option<bool>,
    pub like_and_view_counts_disabled: Option<bool>,
    pub viewer_can_reshare: Option<bool>,
    pub has_upcoming_event: Option<bool>,
    pub location_name: Option<String>,
    pub location_id: Option<String>,
    pub is_carousel: Option<bool>,
    pub carousel_media_count: Option<i64>,
    pub taken_at_timestamp: Option<i64>,
    pub posted_at: Option<Time>,
    pub thumbnail_resources: Option<Json>,
    pub sidecar_children: Option<Json>,
    pub tagged_users: Option<Json>,
    pub coauthor_producers: Option<Json>,
    pub hashtags: Json,
    pub mentions: Json,
    pub post_images: Json,
    pub post_thumbnails: Json,
    pub engagement_rate: Option<f64>,
    pub ai_content_category: Option<String>,
    pub ai_category_confidence: Option<f64>,
    pub ai_sentiment: Option<String>,
    pub ai_sentiment_score: Option<f64>,
    pub ai_sentiment_confidence: Option<f64>,
    pub ai_language_code: Option<String>,
    pub ai_language_confidence: Option<f64>,
    pub ai_analyzed_at: Option<Time>,
    pub ai_analysis_version: Option<String>,
    pub ai_tier: Option<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// No relations are declared: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A fetched post to be stored.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the columns of `Model`
pub struct NewPost {
    pub instagram_post_id: Option<String>,
    pub shortcode: String,
    pub media_type: Option<String>,
    pub is_video: Option<bool>,
    pub display_url: Option<String>,
    pub thumbnail_src: Option<String>,
    pub thumbnail_tall_src: Option<String>,
    pub video_url: Option<String>,
    pub video_view_count: Option<i64>,
    pub video_duration: Option<i64>,
    pub has_audio: Option<bool>,
    pub width: Option<i64>,
    pub height: Option<i64>,
    pub caption: Option<String>,
    pub accessibility_caption: Option<String>,
    pub likes_count: Option<i64>,
    pub comments_count: Option<i64>,
    pub comments_disabled: Option<bool>,
    pub like_and_view_counts_disabled: Option<bool>,
    pub viewer_can_reshare: Option<bool>,
    pub has_upcoming_event: Option<bool>,
    pub location_name: Option<String>,
    pub location_id: Option<String>,
    pub is_carousel: Option<bool>,
    pub carousel_media_count: Option<i64>,
    pub taken_at_timestamp: Option<i64>,
    pub thumbnail_resources: Option<Json>,
    pub sidecar_children: Option<Json>,
    pub tagged_users: Option<Json>,
    pub coauthor_producers: Option<Json>,
    pub hashtags: Json,
    pub mentions: Json,
    pub post_images: Json,
    pub post_thumbnails: Json,
    pub engagement_rate: Option<f64>,
    pub raw_data: Json,
}

const COLUMNS: [&str; 36] = [
    "instagram_post_id",
    "media_type",
    "is_video",
    "display_url",
    "thumbnail_src",
    "thumbnail_tall_src",
    "video_url",
    "video_view_count",
    "video_duration",
    "has_audio",
    "width",
    "height",
    "caption",
    "accessibility_caption",
    "likes_count",
    "comments_count",
    "comments_disabled",
    "like_and_view_counts_disabled",
    "viewer_can_reshare",
    "has_upcoming_event",
    "location_name",
    "location_id",
    "is_carousel",
    "carousel_media_count",
    "taken_at_timestamp",
    "posted_at",
    "thumbnail_resources",
    "sidecar_children",
    "tagged_users",
    "coauthor_producers",
    "hashtags",
    "mentions",
    "post_images",
    "post_thumbnails",
    "engagement_rate",
    "raw_data",
];

/// Never null: an empty list of a partial answer says nothing.
const LISTS: [&str; 4] = ["hashtags", "mentions", "post_images", "post_thumbnails"];

/// Cleared when the caption changed, kept when it did not.
const AI_COLUMNS: [&str; 11] = [
    "ai_content_category",
    "ai_category_confidence",
    "ai_sentiment",
    "ai_sentiment_score",
    "ai_sentiment_confidence",
    "ai_language_code",
    "ai_language_confidence",
    "ai_analyzed_at",
    "ai_analysis_version",
    "ai_tier",
    "ai_analysis_raw",
];

impl NewPost {
    fn values(&self) -> Vec<Arg> {
        let posted_at = self.taken_at_timestamp.map(|s| Time(s.saturating_mul(1_000)));
        vec![
            self.instagram_post_id.clone().into(),
            self.media_type.clone().into(),
            self.is_video.into(),
            self.display_url.clone().into(),
            self.thumbnail_src.clone().into(),
            self.thumbnail_tall_src.clone().into(),
            self.video_url.clone().into(),
            self.video_view_count.into(),
            self.video_duration.into(),
            self.has_audio.into(),
            self.width.into(),
            self.height.into(),
            self.caption.clone().into(),
            self.accessibility_caption.clone().into(),
            self.likes_count.into(),
            self.comments_count.into(),
            self.comments_disabled.into(),
            self.like_and_view_counts_disabled.into(),
            self.viewer_can_reshare.into(),
            self.has_upcoming_event.into(),
            self.location_name.clone().into(),
            self.location_id.clone().into(),
            self.is_carousel.into(),
            self.carousel_media_count.into(),
            self.taken_at_timestamp.into(),
            at(posted_at),
            self.thumbnail_resources.clone().into(),
            self.sidecar_children.clone().into(),
            self.tagged_users.clone().into(),
            self.coauthor_producers.clone().into(),
            self.hashtags.clone().into(),
            self.mentions.clone().into(),
            self.post_images.clone().into(),
            self.post_thumbnails.clone().into(),
            self.engagement_rate.into(),
            self.raw_data.clone().into(),
        ]
    }
}

/// Rows per INSERT: 38 values each stay below both databases' limits.
const CHUNK: usize = 200;

/// Inserts or updates posts of a profile. `partial` answers fill in and erase nothing.
pub async fn upsert(tx: &Tx, profile: Uuid, posts: &[NewPost], partial: bool) -> Result<(), DbErr> {
    let mut updates: Vec<String> = COLUMNS
        .iter()
        .map(|c| {
            if partial && LISTS.contains(c) {
                format!("{c} = CASE WHEN excluded.{c} = '[]' THEN posts.{c} ELSE excluded.{c} END")
            } else if partial {
                format!("{c} = COALESCE(excluded.{c}, posts.{c})")
            } else {
                format!("{c} = excluded.{c}")
            }
        })
        .collect();
    let same = if partial {
        "(excluded.caption IS NULL OR posts.caption IS NOT DISTINCT FROM excluded.caption)"
    } else {
        "posts.caption IS NOT DISTINCT FROM excluded.caption"
    };
    updates.extend(
        AI_COLUMNS.iter().map(|c| format!("{c} = CASE WHEN {same} THEN posts.{c} ELSE NULL END")),
    );
    let template = |rows: usize| {
        let row = format!("(?, ?, ?, {}, {{now}}, {{now}})", vec!["?"; COLUMNS.len()].join(", "));
        format!(
            "INSERT INTO posts (id, profile_id, shortcode, {}, created_at, updated_at) VALUES {} \
             ON CONFLICT (profile_id, shortcode) DO UPDATE SET {}, updated_at = excluded.updated_at",
            COLUMNS.join(", "),
            vec![row; rows].join(", "),
            updates.join(", "),
        )
    };
    // Answers come newest first and ids grow: inserted from the end, posts without a time keep
    // the answer's order when they are read back.
    for chunk in posts.rchunks(CHUNK) {
        let mut values: Vec<Arg> = Vec::with_capacity(chunk.len() * 40);
        for post in chunk.iter().rev() {
            values.extend(args![Uuid::now_v7(), profile, post.shortcode.clone()]);
            values.extend(post.values());
        }
        sql::execute(tx, &template(chunk.len()), values).await?;
    }
    Ok(())
}

/// Where a page of posts goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// `taken_at_timestamp` of the last post seen, seconds; 0 when unknown.
    pub taken_at: i64,
    /// Its id.
    pub id: Uuid,
}

/// Posts of a profile, newest first, at most `limit`, after the cursor.
pub async fn page<C: ConnectionTrait>(
    db: &C,
    profile: Uuid,
    after: Option<Cursor>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let taken = || Expr::cust("COALESCE(taken_at_timestamp, 0)");
    let mut query = Entity::find().filter(Column::ProfileId.eq(profile));
    if let Some(Cursor { taken_at, id }) = after {
        let later = taken().eq(taken_at).and(Column::Id.lt(id));
        query = query.filter(taken().lt(taken_at).or(later));
    }
    query.order_by_desc(taken()).order_by_desc(Column::Id).limit(limit).all(db).await
}

/// The stored post of an id.
pub async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// How many posts of a profile are stored.
pub async fn count<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<u64, DbErr> {
    Entity::find().filter(Column::ProfileId.eq(profile)).count(db).await
}

/// Sums over a profile's stored posts.
#[derive(Clone, Debug, Default, PartialEq, FromQueryResult)]
pub struct Figures {
    /// Posts stored.
    pub posts: i64,
    /// Plain mean of known likes.
    pub avg_likes: Option<f64>,
    /// Plain mean of known comments.
    pub avg_comments: Option<f64>,
    /// Mean of the rates above zero, percent.
    pub engagement_rate: Option<f64>,
    /// Oldest post, epoch seconds.
    pub oldest: Option<i64>,
    /// Newest post, epoch seconds.
    pub newest: Option<i64>,
    /// Posts with an analysis.
    pub analyzed: i64,
}

/// The figures of a profile's stored posts.
pub async fn figures<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<Figures, DbErr> {
    let row = sql::one(
        db,
        "SELECT count(*) AS posts, \
         CAST(avg(likes_count) AS double precision) AS avg_likes, \
         CAST(avg(comments_count) AS double precision) AS avg_comments, \
         CAST(avg(CASE WHEN engagement_rate > 0 THEN engagement_rate END) AS double precision) \
           AS engagement_rate, \
         min(taken_at_timestamp) AS oldest, max(taken_at_timestamp) AS newest, \
         count(ai_analyzed_at) AS analyzed FROM posts WHERE profile_id = ?",
        args![profile],
    )
    .await?;
    Ok(row.unwrap_or_default())
}
