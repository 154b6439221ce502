//! `profiles`: a creator as last fetched.

use sea_orm::DbErr;
use sea_orm::entity::prelude::*;

use crate::access;
use crate::aggregate::Aggregate;
use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg};
use crate::time::Time;

/// A profile as stored. What the provider did not say is null, never zero.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "profiles")]
pub struct Model {
    /// Ours; stable over renames.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Handle, lower case.
    #[sea_orm(unique)]
    pub username: String,
    /// Instagram's id of the account.
    pub instagram_user_id: Option<String>,
    /// Shown name.
    pub full_name: Option<String>,
    /// Biography.
    pub biography: Option<String>,
    /// Link in the biography.
    pub external_url: Option<String>,
    /// Picture at the provider, small.
    pub profile_pic_url: Option<String>,
    /// Picture at the provider, large.
    pub profile_pic_url_hd: Option<String>,
    /// Followers.
    pub followers_count: Option<i64>,
    /// Accounts it follows.
    pub following_count: Option<i64>,
    /// Posts it says it has.
    pub posts_count: Option<i64>,
    /// Verified badge.
    pub is_verified: Option<bool>,
    /// Posts are hidden.
    pub is_private: Option<bool>,
    /// Business account.
    pub is_business_account: Option<bool>,
    /// Professional account.
    pub is_professional_account: Option<bool>,
    /// The answer lacked id, name or follower count.
    pub partial: bool,
    /// Mean of the posts' rates above zero, percent.
    pub engagement_rate: Option<f64>,
    /// 0–10.
    pub influence_score: Option<f64>,
    /// Plain mean of the stored posts' known likes.
    pub avg_likes: Option<f64>,
    /// Plain mean of the stored posts' known comments.
    pub avg_comments: Option<f64>,
    /// Stored posts per day between the oldest and the newest.
    pub posting_frequency_per_day: Option<f64>,
    /// When the newest stored post was taken.
    pub last_post_at: Option<Time>,
    /// Filled fields, percent.
    pub data_quality_score: f64,
    /// Category as shown.
    pub category: Option<String>,
    /// Business category as the provider names it.
    pub instagram_business_category: Option<String>,
    /// Most frequent category of its posts.
    pub ai_primary_content_type: Option<String>,
    /// Share of each category, 0–1.
    pub ai_content_distribution: Option<Json>,
    /// −1 to 1.
    pub ai_avg_sentiment_score: Option<f64>,
    /// Share of each language, 0–1.
    pub ai_language_distribution: Option<Json>,
    /// 0–1.
    pub ai_content_quality_score: Option<f64>,
    /// The three most frequent categories of its posts.
    pub ai_top_3_categories: Option<Json>,
    /// The ten most frequent categories of its posts.
    pub ai_top_10_categories: Option<Json>,
    /// When the aggregate was made.
    pub ai_profile_analyzed_at: Option<Time>,
    /// What its counts look like to somebody who expects fraud, with the counts.
    pub fraud_hints: Option<Json>,
    /// How often it was fetched.
    pub refresh_count: i32,
    /// When it was fetched.
    pub last_refreshed: Time,
    /// When its posts were fetched; null when they never were.
    pub posts_refreshed_at: Option<Time>,
    /// When it was first stored.
    pub created_at: Time,
    /// Last change.
    pub updated_at: Time,
}

/// No relations are declared: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A fetched profile to be stored.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the columns of `Model`
pub struct NewProfile {
    pub username: String,
    pub instagram_user_id: Option<String>,
    pub full_name: Option<String>,
    pub biography: Option<String>,
    pub external_url: Option<String>,
    pub profile_pic_url: Option<String>,
    pub profile_pic_url_hd: Option<String>,
    pub followers_count: Option<i64>,
    pub following_count: Option<i64>,
    pub posts_count: Option<i64>,
    pub is_verified: Option<bool>,
    pub is_private: Option<bool>,
    pub is_business_account: Option<bool>,
    pub is_professional_account: Option<bool>,
    pub partial: bool,
    pub data_quality_score: f64,
    pub category: Option<String>,
    pub instagram_business_category: Option<String>,
    pub with_posts: bool,
    pub raw_data: Json,
}

/// The stored profile of a handle.
pub async fn by_username<C: ConnectionTrait>(
    db: &C,
    username: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Username.eq(username)).one(db).await
}

/// The stored profile of an id.
pub async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// Which of these ids are stored.
pub async fn known<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let rows = sql::rows(db, "SELECT id FROM profiles WHERE id IN {list}", vec![sql::list(ids)]);
    rows.await?.iter().map(|row| row.try_get("", "id")).collect()
}

/// Handles and ids of those of these handles that are stored.
pub async fn ids_of<C: ConnectionTrait>(
    db: &C,
    usernames: &[String],
) -> Result<Vec<(String, Uuid)>, DbErr> {
    let text = "SELECT id, username FROM profiles WHERE username IN {list}";
    let rows = sql::rows(db, text, vec![sql::list(usernames)]).await?;
    rows.iter().map(|row| Ok((row.try_get("", "username")?, row.try_get("", "id")?))).collect()
}

/// Stores a fetched profile. The same Instagram id under another handle is the same creator
/// renamed. A handle that now belongs to another Instagram id is taken from the old row, which
/// keeps its posts under a name that cannot be typed. A partial answer fills in what it knows
/// and erases nothing.
pub async fn upsert(tx: &Tx, new: &NewProfile) -> Result<Model, DbErr> {
    if let Some(instagram_id) = &new.instagram_user_id {
        sql::execute(
            tx,
            "UPDATE profiles SET username = username || '#' || instagram_user_id, \
             updated_at = {now} WHERE username = ? AND instagram_user_id IS NOT NULL \
             AND instagram_user_id <> ?",
            args![new.username.clone(), instagram_id.clone()],
        )
        .await?;
        let known: Option<Model> = sql::one(
            tx,
            &format!(
                "SELECT {} FROM profiles WHERE instagram_user_id = ? {{for update}}",
                sql::columns::<Entity>()
            ),
            args![instagram_id.clone()],
        )
        .await?;
        if let Some(known) = known.filter(|known| known.username != new.username) {
            // A row of that handle without an id was a partial answer about the same creator: who
            // has access to it has access to the whole.
            let partial =
                "SELECT id FROM profiles WHERE username = ? AND instagram_user_id IS NULL";
            for row in sql::rows(tx, partial, args![new.username.clone()]).await? {
                access::inherit(tx, row.try_get("", "id")?, known.id).await?;
            }
            sql::execute(
                tx,
                "DELETE FROM profiles WHERE username = ? AND instagram_user_id IS NULL",
                args![new.username.clone()],
            )
            .await?;
            sql::execute(
                tx,
                "UPDATE profiles SET username = ?, updated_at = {now} WHERE id = ?",
                args![new.username.clone(), known.id],
            )
            .await?;
        }
    }
    let set = |column: &str| {
        if new.partial {
            format!("{column} = COALESCE(excluded.{column}, profiles.{column})")
        } else {
            format!("{column} = excluded.{column}")
        }
    };
    let updates: Vec<String> = COLUMNS.iter().map(|column| set(column)).collect();
    let posts_at = if new.with_posts { "{now}" } else { "NULL" };
    let template = format!(
        "INSERT INTO profiles (id, username, {}, partial, data_quality_score, raw_data, \
         refresh_count, last_refreshed, posts_refreshed_at, created_at, updated_at) \
         VALUES (?, ?, {}, ?, ?, ?, 1, {{now}}, {posts_at}, {{now}}, {{now}}) \
         ON CONFLICT (username) DO UPDATE SET {}, partial = excluded.partial, \
         data_quality_score = excluded.data_quality_score, raw_data = excluded.raw_data, \
         refresh_count = profiles.refresh_count + 1, last_refreshed = excluded.last_refreshed, \
         posts_refreshed_at = COALESCE(excluded.posts_refreshed_at, profiles.posts_refreshed_at), \
         updated_at = excluded.updated_at RETURNING {}",
        COLUMNS.join(", "),
        vec!["?"; COLUMNS.len()].join(", "),
        updates.join(", "),
        sql::columns::<Entity>(),
    );
    let mut args: Vec<Arg> = args![Uuid::now_v7(), new.username.clone()];
    args.extend(new.values());
    args.extend(args![new.partial, new.data_quality_score, new.raw_data.clone()]);
    sql::one(tx, &template, args).await?.ok_or(DbErr::RecordNotInserted)
}

const COLUMNS: [&str; 15] = [
    "instagram_user_id",
    "full_name",
    "biography",
    "external_url",
    "profile_pic_url",
    "profile_pic_url_hd",
    "followers_count",
    "following_count",
    "posts_count",
    "is_verified",
    "is_private",
    "is_business_account",
    "is_professional_account",
    "category",
    "instagram_business_category",
];

impl NewProfile {
    fn values(&self) -> Vec<Arg> {
        args![
            self.instagram_user_id.clone(),
            self.full_name.clone(),
            self.biography.clone(),
            self.external_url.clone(),
            self.profile_pic_url.clone(),
            self.profile_pic_url_hd.clone(),
            self.followers_count,
            self.following_count,
            self.posts_count,
            self.is_verified,
            self.is_private,
            self.is_business_account,
            self.is_professional_account,
            self.category.clone(),
            self.instagram_business_category.clone(),
        ]
    }
}

/// Figures that follow from the stored posts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Mean of the posts' rates above zero, percent.
    pub engagement_rate: Option<f64>,
    /// 0–10.
    pub influence_score: Option<f64>,
    /// Plain mean of known likes.
    pub avg_likes: Option<f64>,
    /// Plain mean of known comments.
    pub avg_comments: Option<f64>,
    /// Posts per day.
    pub posting_frequency_per_day: Option<f64>,
    /// When the newest was taken.
    pub last_post_at: Option<Time>,
    /// What the counts look like to somebody who expects fraud, with the counts.
    pub fraud_hints: Option<Json>,
}

/// Stores the figures of a profile.
pub async fn set_scores(tx: &Tx, id: Uuid, scores: &Scores) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE profiles SET engagement_rate = ?, influence_score = ?, avg_likes = ?, \
         avg_comments = ?, posting_frequency_per_day = ?, last_post_at = ?, fraud_hints = ? \
         WHERE id = ?",
        args![
            scores.engagement_rate,
            scores.influence_score,
            scores.avg_likes,
            scores.avg_comments,
            scores.posting_frequency_per_day,
            sql::at(scores.last_post_at),
            scores.fraud_hints.clone(),
            id
        ],
    )
    .await?;
    Ok(())
}

/// Locks a profile before its posts are written, as whoever stores a fetched one does; `None` when
/// there is no such profile. Who reads its pages is told by `updated_at` that they have changed, so
/// it moves on even within a millisecond.
pub async fn hold(tx: &Tx, id: Uuid) -> Result<Option<Model>, DbErr> {
    let text = format!(
        "UPDATE profiles SET updated_at = CASE WHEN updated_at < {{now}} THEN {{now}} \
         ELSE {{updated_at+?}} END WHERE id = ? RETURNING {}",
        sql::columns::<Entity>()
    );
    sql::one(tx, &text, args![1_i64, id]).await
}

/// Stores what the analyses of its posts say together; without any, that nothing is known.
pub async fn set_aggregate(tx: &Tx, id: Uuid, aggregate: &Aggregate) -> Result<(), DbErr> {
    let analyzed_at = if aggregate.content_quality_score.is_some() { "{now}" } else { "NULL" };
    sql::execute(
        tx,
        &format!(
            "UPDATE profiles SET ai_primary_content_type = ?, ai_content_distribution = ?, \
             ai_avg_sentiment_score = ?, ai_language_distribution = ?, \
             ai_content_quality_score = ?, ai_top_3_categories = ?, ai_top_10_categories = ?, \
             ai_profile_analyzed_at = {analyzed_at} WHERE id = ?"
        ),
        args![
            aggregate.primary_content_type.clone(),
            aggregate.content_distribution.clone(),
            aggregate.avg_sentiment_score,
            aggregate.language_distribution.clone(),
            aggregate.content_quality_score,
            aggregate.top_3_categories.clone(),
            aggregate.top_10_categories.clone(),
            id
        ],
    )
    .await?;
    Ok(())
}

/// Profiles some of whose pictures are not on the CDN, or were never noted, those fetched last
/// first, at most `limit`.
pub async fn without_pictures<C: ConnectionTrait>(db: &C, limit: u32) -> Result<Vec<Model>, DbErr> {
    let text = format!(
        "SELECT {} FROM profiles p WHERE NOT EXISTS (SELECT 1 FROM cdn_image_assets a \
           WHERE a.profile_id = p.id) \
         OR EXISTS (SELECT 1 FROM cdn_image_assets a WHERE a.profile_id = p.id \
           AND (a.processing_status = 'pending' OR a.needs_update)) \
         ORDER BY last_refreshed DESC LIMIT ?",
        sql::columns::<Entity>()
    );
    sql::all(db, &text, args![i64::from(limit)]).await
}
