//! The shapes of a creator and a post, as documented in the OpenAPI document.

use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

/// A creator.
#[derive(Clone, Debug, Object)]
pub struct ProfileView {
    /// `full`, or `preview` without access.
    pub access: String,
    pub id: Uuid,
    pub username: String,
    pub full_name: Option<String>,
    pub biography: Option<String>,
    pub external_url: Option<String>,
    pub followers_count: Option<i64>,
    pub following_count: Option<i64>,
    pub posts_count: Option<i64>,
    /// Band of followers: <1K, 1K–10K, 10K–100K, 100K–1M, 1M–10M, 10M+.
    pub follower_band: Option<String>,
    pub is_verified: Option<bool>,
    pub is_private: Option<bool>,
    pub is_business_account: Option<bool>,
    pub is_professional_account: Option<bool>,
    /// Percent: mean of the posts' rates above zero.
    pub engagement_rate: Option<f64>,
    /// 0–10.
    pub influence_score: Option<f64>,
    /// Filled fields of the provider's answer, percent.
    pub data_quality_score: Option<f64>,
    pub avg_likes_per_post: Option<f64>,
    pub avg_comments_per_post: Option<f64>,
    /// Posts per day.
    pub posting_frequency: Option<f64>,
    pub last_post_date: Option<String>,
    pub category: Option<String>,
    /// At most two in a preview.
    pub categories: Vec<String>,
    /// 256 pixels, on our CDN.
    pub profile_pic_url: Option<String>,
    /// 512 pixels, on our CDN.
    pub profile_pic_url_hd: Option<String>,
    /// The same two.
    pub cdn_urls: AvatarUrls,
    pub ai_insights: Option<AiInsights>,
    /// What its counts look like to somebody who expects fraud: a score, its reasons, and the
    /// counts. Arithmetic, no finding.
    pub fraud_hints: Option<Value>,
    /// The twelve newest; null in a preview.
    pub posts: Option<Vec<PostView>>,
    /// Posts stored, over all pages.
    pub stored_posts: Option<u64>,
    pub related_profiles: Option<Vec<RelatedView>>,
    /// The last answer lacked id, name or follower count.
    pub partial: bool,
    /// When it was fetched, RFC 3339.
    pub last_refreshed: String,
    pub age_seconds: i64,
    /// Older than a day: `links.refresh` brings it up to date.
    pub stale: bool,
    /// Until when the caller has access, RFC 3339; null in a preview, and with access for good.
    pub access_until: Option<String>,
    pub links: ProfileLinks,
}

/// A creator's picture on our CDN; null until it is there.
#[derive(Clone, Debug, Default, Object)]
pub struct AvatarUrls {
    pub avatar_256: Option<String>,
    pub avatar_512: Option<String>,
}

/// A thumbnail in both sizes; null until it is on the CDN.
#[derive(Clone, Debug, Default, Object)]
pub struct Thumb {
    /// 256 pixels a side, or as many as the source has.
    #[oai(rename = "256")]
    pub small: Option<String>,
    /// 512 pixels a side, or as many as the source has.
    #[oai(rename = "512")]
    pub large: Option<String>,
}

/// What the analysis of its posts says.
#[derive(Clone, Debug, Object)]
pub struct AiInsights {
    pub available: bool,
    /// Why not.
    pub reason: Option<String>,
    pub content_category: Option<String>,
    pub content_distribution: Option<Value>,
    pub average_sentiment: Option<f64>,
    pub language_distribution: Option<Value>,
    pub content_quality_score: Option<f64>,
    /// The three most frequent categories: category, percentage, count, confidence.
    pub top_3_categories: Option<Value>,
    /// The ten most frequent categories.
    pub top_10_categories: Option<Value>,
    /// Share of stored posts with an analysis, 0–1.
    pub analysis_completeness: Option<f64>,
    /// At least 80 % of the stored posts are analysed.
    pub complete: bool,
    pub last_analyzed: Option<String>,
}

/// An account the provider names beside it.
#[derive(Clone, Debug, Object)]
pub struct RelatedView {
    pub username: String,
    pub full_name: Option<String>,
    pub is_verified: Option<bool>,
    pub is_private: Option<bool>,
    pub similarity_score: f64,
}

/// Where to go on.
#[derive(Clone, Debug, Object)]
pub struct ProfileLinks {
    #[oai(rename = "self")]
    pub this: String,
    pub posts: String,
    /// POST: brings it up to date, and grants access.
    pub refresh: String,
    /// GET: unlocks it for credits; null with access.
    pub unlock: Option<String>,
}

/// A post.
#[derive(Clone, Debug, Object)]
pub struct PostView {
    pub id: Uuid,
    pub shortcode: String,
    pub media_type: Option<String>,
    pub is_video: Option<bool>,
    pub is_carousel: Option<bool>,
    pub carousel_media_count: Option<i64>,
    pub caption: Option<String>,
    pub hashtags: Vec<String>,
    pub mentions: Vec<String>,
    pub likes_count: Option<i64>,
    pub comments_count: Option<i64>,
    pub video_view_count: Option<i64>,
    /// Percent of the followers.
    pub engagement_rate: Option<f64>,
    pub location_name: Option<String>,
    pub width: Option<i64>,
    pub height: Option<i64>,
    /// 512 pixels, on our CDN.
    pub display_url: Option<String>,
    /// Its picture on our CDN.
    pub cdn_urls: Thumb,
    pub posted_at: Option<String>,
    pub ai_analysis: Option<PostAi>,
}

/// What the analysis of a post says.
#[derive(Clone, Debug, Object)]
pub struct PostAi {
    pub content_category: Option<String>,
    pub category_confidence: Option<f64>,
    pub sentiment: Option<String>,
    pub sentiment_score: Option<f64>,
    pub sentiment_confidence: Option<f64>,
    pub language_code: Option<String>,
    pub language_confidence: Option<f64>,
    /// Who answered: rules, lite, full.
    pub tier: Option<String>,
}
