//! What a provider knows about a profile, in our words.
//!
//! `None` always means "the answer did not say"; no field is ever filled with an invented zero.

use serde::Serialize;
use serde_json::Value;

/// One profile as fetched. Texts fit their columns and hold no NUL character.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FetchedProfile {
    /// The platform's own id, digits as a rule.
    pub instagram_user_id: Option<String>,
    /// Lower-cased handle; the queried one when the answer had none.
    pub username: String,
    /// Display name, at most 500 characters.
    pub full_name: Option<String>,
    /// At most 10,000 characters; `Some("")` when the profile has an empty one.
    pub biography: Option<String>,
    /// http or https, at most 2048 bytes.
    pub external_url: Option<String>,
    /// http or https, at most 2048 bytes.
    pub profile_pic_url: Option<String>,
    /// http or https, at most 2048 bytes.
    pub profile_pic_url_hd: Option<String>,
    /// Number of followers.
    pub followers_count: Option<i64>,
    /// Number of accounts followed.
    pub following_count: Option<i64>,
    /// Number of posts the profile has, not the number fetched.
    pub posts_count: Option<i64>,
    /// Verified badge.
    pub is_verified: Option<bool>,
    /// Private profiles carry no posts.
    pub is_private: Option<bool>,
    /// Business account.
    pub is_business_account: Option<bool>,
    /// Professional (creator or business) account.
    pub is_professional_account: Option<bool>,
    /// Category of a business, at most 100 characters.
    pub instagram_business_category: Option<String>,
    /// Category shown on the profile, at most 255 characters.
    pub category: Option<String>,
    /// True when username, id or follower count was absent from the answer.
    pub partial: bool,
    /// The whole user object as answered, without NUL characters.
    pub raw: Value,
    /// Newest first as answered, at most 200, distinct by shortcode.
    pub posts: Vec<FetchedPost>,
    /// Suggested profiles, at most 15.
    pub related: Vec<FetchedRelated>,
}

/// One post of a fetched profile.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct FetchedPost {
    /// The platform's own id.
    pub instagram_post_id: Option<String>,
    /// The post's code in its address; always present.
    pub shortcode: String,
    /// GraphImage, GraphVideo or GraphSidecar.
    pub media_type: Option<String>,
    /// Whether the post is a video.
    pub is_video: Option<bool>,
    /// Address of the picture.
    pub display_url: Option<String>,
    /// Address of the thumbnail.
    pub thumbnail_src: Option<String>,
    /// Address of the tall thumbnail.
    pub thumbnail_tall_src: Option<String>,
    /// Address of the video.
    pub video_url: Option<String>,
    /// Number of views, videos only.
    pub video_view_count: Option<i64>,
    /// Whole seconds, rounded.
    pub video_duration: Option<i32>,
    /// Whether the video has sound.
    pub has_audio: Option<bool>,
    /// Pixels.
    pub width: Option<i32>,
    /// Pixels.
    pub height: Option<i32>,
    /// At most 10,000 characters.
    pub caption: Option<String>,
    /// Description for screen readers, at most 10,000 characters.
    pub accessibility_caption: Option<String>,
    /// Number of likes; `None` when hidden.
    pub likes_count: Option<i64>,
    /// Number of comments.
    pub comments_count: Option<i64>,
    /// Comments switched off.
    pub comments_disabled: Option<bool>,
    /// The owner hides likes and views.
    pub like_and_view_counts_disabled: Option<bool>,
    /// Whether viewers may share the post on.
    pub viewer_can_reshare: Option<bool>,
    /// Whether the post announces an event.
    pub has_upcoming_event: Option<bool>,
    /// At most 255 characters.
    pub location_name: Option<String>,
    /// At most 50 characters.
    pub location_id: Option<String>,
    /// Several pictures or videos; `None` when the answer gives no media type.
    pub is_carousel: Option<bool>,
    /// Number of children; `None` when the answer lists none.
    pub carousel_media_count: Option<i32>,
    /// Epoch seconds.
    pub taken_at_timestamp: Option<i64>,
    /// Array of `{src, config_width, config_height}` as answered.
    pub thumbnail_resources: Option<Value>,
    /// Array of the carousel's children as answered.
    pub sidecar_children: Option<Value>,
    /// Array of tagged users as answered.
    pub tagged_users: Option<Value>,
    /// Array of co-authors as answered.
    pub coauthor_producers: Option<Value>,
    /// As written, without `#`, distinct without regard to case.
    pub hashtags: Vec<String>,
    /// Lower-cased handles, without `@`, distinct.
    pub mentions: Vec<String>,
    /// Addresses of the full pictures: the post's, then its children's.
    pub post_images: Vec<String>,
    /// Addresses of the thumbnails, the main one first.
    pub post_thumbnails: Vec<String>,
    /// The whole node as answered, without NUL characters.
    pub raw: Value,
}

/// A profile the platform suggests beside the fetched one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FetchedRelated {
    /// Lower-cased handle.
    pub username: String,
    /// At most 500 characters.
    pub full_name: Option<String>,
    /// Verified badge.
    pub is_verified: Option<bool>,
    /// Private profile.
    pub is_private: Option<bool>,
    /// http or https, at most 2048 bytes.
    pub profile_pic_url: Option<String>,
    /// 100 for the first place of the answer's list, 5 less for each next, never under 10.
    pub similarity_score: f64,
}
