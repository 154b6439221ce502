//! What the analysis of captions reads of posts, and what it stores with them.

use sea_orm::prelude::{Json, Uuid};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::access;
use crate::aggregate::Fact;
use crate::args;
use crate::db::Tx;
use crate::enums::AiTier;
use crate::sql::{self, Arg, at, list};
use crate::time::Time;

/// Which posts of a profile are to be analysed.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The profile.
    pub profile: Uuid,
    /// What is wanted of its posts.
    pub redo: Redo,
    /// Posts that were tried already, to be left alone.
    pub tried: Vec<Uuid>,
}

/// What is wanted of posts that have an analysis.
#[derive(Clone, Debug)]
pub enum Redo {
    /// Nothing, unless a lower tier gave it, or a version whose answers meant something else.
    Older {
        /// The tier that answers now.
        serving: AiTier,
        /// The version that answers now.
        version: &'static str,
    },
    /// Another one, unless it was made since.
    Since(Time),
}

/// A post as the analysis reads it.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Caption {
    /// The post.
    pub id: Uuid,
    /// Whose.
    pub profile_id: Uuid,
    /// Its code.
    pub shortcode: String,
    /// What is written under it.
    pub caption: Option<String>,
    /// Hashtags, a list of words.
    pub hashtags: Json,
    /// Image, video or album.
    pub media_type: Option<String>,
    /// Who analysed it last.
    pub ai_tier: Option<String>,
}

impl Caption {
    /// Who analysed it last, of those this version knows.
    pub fn tier(&self) -> Option<AiTier> {
        self.ai_tier.as_deref()?.parse().ok()
    }

    /// The hashtags as words.
    pub fn hashtags(&self) -> Vec<String> {
        serde_json::from_value(self.hashtags.clone()).unwrap_or_default()
    }
}

const CAPTION: &str = "id, profile_id, shortcode, caption, hashtags, media_type, ai_tier";

impl Scope {
    /// The condition of the rows that are left to do.
    fn open(&self) -> (String, Vec<Arg>) {
        let mut args = args![self.profile];
        let again = match &self.redo {
            Redo::Older { serving, version } => {
                // What says nothing of its tier is below all of them.
                let below = AiTier::ALL.iter().filter(|tier| *tier < serving);
                let below: Vec<&str> = below.map(|tier| tier.as_str()).chain([""]).collect();
                args.extend([list(&below), (*version).into()]);
                "COALESCE(ai_tier, '') IN {list} OR ai_analysis_version IS DISTINCT FROM ?"
            }
            Redo::Since(time) => {
                args.push(at(*time));
                "ai_analyzed_at < ?"
            }
        };
        let mut text = format!("profile_id = ? AND (ai_analyzed_at IS NULL OR {again})");
        if !self.tried.is_empty() {
            text.push_str(" AND NOT (id IN {list})");
            args.push(list(&self.tried));
        }
        (text, args)
    }

    /// How many posts are left to do.
    pub async fn count<C: ConnectionTrait>(&self, db: &C) -> Result<u32, DbErr> {
        let (open, args) = self.open();
        let text = format!("SELECT count(*) AS n FROM posts WHERE {open}");
        count(db, &text, args).await
    }

    /// The next posts to do, newest first, at most `limit`.
    pub async fn next<C: ConnectionTrait>(
        &self,
        db: &C,
        limit: u64,
    ) -> Result<Vec<Caption>, DbErr> {
        let (open, mut args) = self.open();
        args.push((limit as i64).into());
        let text = format!(
            "SELECT {CAPTION} FROM posts WHERE {open} \
             ORDER BY COALESCE(taken_at_timestamp, 0) DESC, id DESC LIMIT ?"
        );
        sql::all(db, &text, args).await
    }
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

async fn count<C: ConnectionTrait>(db: &C, text: &str, args: Vec<Arg>) -> Result<u32, DbErr> {
    let row: Option<Count> = sql::one(db, text, args).await?;
    Ok(row.map_or(0, |row| row.n as u32))
}

/// How many posts of a profile have no analysis.
pub async fn missing<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<u32, DbErr> {
    let missing = "SELECT count(*) AS n FROM posts WHERE profile_id = ? AND ai_analyzed_at IS NULL";
    count(db, missing, args![profile]).await
}

/// The stored posts of these codes: one for each creator in whose timeline it stands.
pub async fn of_shortcodes<C: ConnectionTrait>(
    db: &C,
    codes: &[String],
) -> Result<Vec<Caption>, DbErr> {
    let text = format!("SELECT {CAPTION} FROM posts WHERE shortcode IN {{list}} ORDER BY id");
    sql::all(db, &text, vec![list(codes)]).await
}

/// What was answered about a post.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The post.
    pub id: Uuid,
    /// The caption that was read: an answer about another one is not stored.
    pub caption: Option<String>,
    /// What it is about; null when there was nothing to read.
    pub category: Option<String>,
    /// 0 to 1; null without a category.
    pub category_confidence: Option<f64>,
    /// How it sounds.
    pub sentiment: String,
    /// −1 to 1.
    pub sentiment_score: f64,
    /// 0 to 1.
    pub sentiment_confidence: f64,
    /// In which language it is.
    pub language: String,
    /// 0 to 1.
    pub language_confidence: f64,
    /// Who answered.
    pub tier: AiTier,
    /// What the answer means.
    pub version: &'static str,
    /// All there is to know about it.
    pub raw: Json,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Stores answers, in a transaction that holds the posts' profiles, and returns the posts that
/// have them now. Left out are posts whose caption is another one by now, and those that a higher
/// tier has answered about.
pub async fn store(tx: &Tx, answers: &[Answered]) -> Result<Vec<Uuid>, DbErr> {
    if answers.is_empty() {
        return Ok(vec![]);
    }
    let row = |a: &Answered| {
        args![
            a.id,
            a.caption.clone(),
            a.category.clone(),
            a.category_confidence,
            a.sentiment.clone(),
            a.sentiment_score,
            a.sentiment_confidence,
            a.language.clone(),
            a.language_confidence,
            a.tier.as_str(),
            rank(a.tier),
            a.version,
            a.raw.clone()
        ]
    };
    let ranks: Vec<String> =
        AiTier::ALL.iter().map(|tier| format!("WHEN '{tier}' THEN {}", rank(*tier))).collect();
    let stored: Vec<Id> = sql::all(
        tx,
        &format!(
            "UPDATE posts SET ai_content_category = v.column3::text, \
             ai_category_confidence = v.column4::float8, ai_sentiment = v.column5::text, \
             ai_sentiment_score = v.column6::float8, ai_sentiment_confidence = v.column7::float8, \
             ai_language_code = v.column8::text, ai_language_confidence = v.column9::float8, \
             ai_tier = v.column10::text, ai_analysis_version = v.column12::text, \
             ai_analysis_raw = v.column13::jsonb, ai_analyzed_at = {{now}}, updated_at = {{now}} \
             FROM {{rows}} WHERE posts.id = v.column1::uuid \
             AND posts.caption IS NOT DISTINCT FROM v.column2::text \
             AND CASE posts.ai_tier {} ELSE 0 END <= v.column11::int RETURNING posts.id AS id",
            ranks.join(" ")
        ),
        vec![Arg::Rows(answers.iter().map(row).collect())],
    )
    .await?;
    Ok(stored.into_iter().map(|row| row.id).collect())
}

fn rank(tier: AiTier) -> i32 {
    tier as i32 + 1
}

/// What the analysed posts of a profile add to its aggregate.
pub async fn facts<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<Vec<Fact>, DbErr> {
    sql::all(
        db,
        "SELECT ai_content_category AS category, ai_category_confidence AS category_confidence, \
         ai_sentiment_score AS sentiment_score, ai_language_code AS language \
         FROM posts WHERE profile_id = ? AND ai_analyzed_at IS NOT NULL",
        args![profile],
    )
    .await
}

/// Posts by the tier that answered about them.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct TierCount {
    /// Its word.
    pub tier: String,
    /// Posts.
    pub posts: i64,
}

/// Who answered about the analysed posts of a profile.
pub async fn tiers<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<Vec<TierCount>, DbErr> {
    sql::all(
        db,
        "SELECT COALESCE(ai_tier, 'unknown') AS tier, count(*) AS posts FROM posts \
         WHERE profile_id = ? AND ai_analyzed_at IS NOT NULL GROUP BY ai_tier ORDER BY ai_tier",
        args![profile],
    )
    .await
}

/// Who answered about posts within so many milliseconds.
pub async fn tiers_within<C: ConnectionTrait>(
    db: &C,
    within_ms: i64,
) -> Result<Vec<TierCount>, DbErr> {
    sql::all(
        db,
        "SELECT COALESCE(ai_tier, 'unknown') AS tier, count(*) AS posts FROM posts \
         WHERE ai_analyzed_at > {now-?} GROUP BY ai_tier ORDER BY ai_tier",
        args![within_ms],
    )
    .await
}

/// The whole analysis of a post.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Details {
    /// All there is to know about it; null without one.
    pub ai_analysis_raw: Option<Json>,
}

/// The whole analysis of a post; `None` when there is no such post.
pub async fn details<C: ConnectionTrait>(db: &C, post: Uuid) -> Result<Option<Json>, DbErr> {
    let text = "SELECT ai_analysis_raw FROM posts WHERE id = ?";
    let row: Option<Details> = sql::one(db, text, args![post]).await?;
    Ok(row.and_then(|row| row.ai_analysis_raw))
}

/// A stored post as one user may reach it.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Reach {
    /// The post.
    pub id: Uuid,
    /// Whose timeline it stands in.
    pub profile_id: Uuid,
    /// Its code.
    pub shortcode: String,
    /// Whether the user may see that profile.
    pub open: bool,
}

/// The stored posts of these codes, with the user's access: those within reach first.
pub async fn reach<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    codes: &[String],
) -> Result<Vec<Reach>, DbErr> {
    #[derive(FromQueryResult)]
    struct Stored {
        id: Uuid,
        profile_id: Uuid,
        shortcode: String,
    }
    let stored: Vec<Stored> = sql::all(
        db,
        "SELECT id, profile_id, shortcode FROM posts WHERE shortcode IN {list} ORDER BY id",
        vec![list(codes)],
    )
    .await?;
    let mut profiles: Vec<Uuid> = stored.iter().map(|post| post.profile_id).collect();
    profiles.sort_unstable();
    profiles.dedup();
    let open = access::among(db, user, &profiles).await?;
    let reached = stored.into_iter().map(|post| Reach {
        open: open.contains(&post.profile_id),
        id: post.id,
        profile_id: post.profile_id,
        shortcode: post.shortcode,
    });
    let mut reached: Vec<Reach> = reached.collect();
    reached.sort_by_key(|post| !post.open);
    Ok(reached)
}

/// How far back a scan looks for aggregates older than their posts, in milliseconds: two days. What
/// a daily scan misses in that time it has missed twice.
const SCANNED_MS: i64 = 2 * 24 * 3_600_000;

/// Profiles whose analysis is not what the tier that answers now would make of it, at most `limit`,
/// those that were fetched last first: a post is without one or has one of a lower tier, or the
/// aggregate is older than a post's.
pub async fn profiles_behind<C: ConnectionTrait>(
    db: &C,
    serving: AiTier,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let below: Vec<&str> =
        AiTier::ALL.iter().filter(|tier| **tier < serving).map(|tier| tier.as_str()).collect();
    let rows: Vec<Id> = sql::all(
        db,
        "SELECT p.id AS id FROM profiles p WHERE p.id IN ( \
           SELECT profile_id FROM posts WHERE ai_analyzed_at IS NULL \
           UNION SELECT profile_id FROM posts WHERE ai_tier IN {list} \
           UNION SELECT x.profile_id FROM posts x JOIN profiles o ON o.id = x.profile_id \
             WHERE x.ai_analyzed_at > {now-?} AND (o.ai_profile_analyzed_at IS NULL \
               OR o.ai_profile_analyzed_at < x.ai_analyzed_at)) \
         ORDER BY p.last_refreshed DESC, p.id LIMIT ?",
        vec![list(&below), SCANNED_MS.into(), (limit as i64).into()],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
