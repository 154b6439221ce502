//! From the provider's neutral answer to rows. Pure: what is absent stays null.

use entity::Time;
use entity::post::{Figures, NewPost};
use entity::profile::{Model, NewProfile, Scores};
use entity::related_profile::Related;
use serde_json::Value;

use crate::formulas::{
    self, Influence, PROFILE_FIELDS, data_quality_score, filled_fields, influence_score,
    posting_frequency_per_day,
};
use crate::fraud;
use crate::provider::{FetchedPost, FetchedProfile};

/// The posts of an answer, with their engagement rate.
pub(crate) fn posts(found: &FetchedProfile) -> Vec<NewPost> {
    found.posts.iter().map(|post| new_post(post, found.followers_count)).collect()
}

fn new_post(post: &FetchedPost, followers: Option<i64>) -> NewPost {
    let views = post.video_view_count.filter(|_| post.is_video == Some(true));
    let strings = |list: &[String]| Value::from(list.to_vec());
    NewPost {
        instagram_post_id: post.instagram_post_id.clone(),
        shortcode: post.shortcode.clone(),
        media_type: post.media_type.clone(),
        is_video: post.is_video,
        display_url: post.display_url.clone(),
        thumbnail_src: post.thumbnail_src.clone(),
        thumbnail_tall_src: post.thumbnail_tall_src.clone(),
        video_url: post.video_url.clone(),
        video_view_count: post.video_view_count,
        video_duration: post.video_duration.map(i64::from),
        has_audio: post.has_audio,
        width: post.width.map(i64::from),
        height: post.height.map(i64::from),
        caption: post.caption.clone(),
        accessibility_caption: post.accessibility_caption.clone(),
        likes_count: post.likes_count,
        comments_count: post.comments_count,
        comments_disabled: post.comments_disabled,
        like_and_view_counts_disabled: post.like_and_view_counts_disabled,
        viewer_can_reshare: post.viewer_can_reshare,
        has_upcoming_event: post.has_upcoming_event,
        location_name: post.location_name.clone(),
        location_id: post.location_id.clone(),
        is_carousel: post.is_carousel,
        carousel_media_count: post.carousel_media_count.map(i64::from),
        taken_at_timestamp: post.taken_at_timestamp,
        thumbnail_resources: post.thumbnail_resources.clone(),
        sidecar_children: post.sidecar_children.clone(),
        tagged_users: post.tagged_users.clone(),
        coauthor_producers: post.coauthor_producers.clone(),
        hashtags: strings(&post.hashtags),
        mentions: strings(&post.mentions),
        post_images: strings(&post.post_images),
        post_thumbnails: strings(&post.post_thumbnails),
        engagement_rate: formulas::post_engagement_rate(
            post.likes_count,
            post.comments_count,
            views,
            followers,
        ),
        raw_data: post.raw.clone(),
    }
}

/// The profile of an answer.
pub(crate) fn profile(found: &FetchedProfile, with_posts: bool) -> NewProfile {
    NewProfile {
        username: found.username.clone(),
        instagram_user_id: found.instagram_user_id.clone(),
        full_name: found.full_name.clone(),
        biography: found.biography.clone(),
        external_url: found.external_url.clone(),
        profile_pic_url: found.profile_pic_url.clone(),
        profile_pic_url_hd: found.profile_pic_url_hd.clone(),
        followers_count: found.followers_count,
        following_count: found.following_count,
        posts_count: found.posts_count,
        is_verified: found.is_verified,
        is_private: found.is_private,
        is_business_account: found.is_business_account,
        is_professional_account: found.is_professional_account,
        partial: found.partial,
        data_quality_score: data_quality_score(filled_fields(&found.raw), PROFILE_FIELDS),
        category: found.category.clone(),
        instagram_business_category: found.instagram_business_category.clone(),
        with_posts,
        raw_data: found.raw.clone(),
    }
}

/// What follows from the stored posts of a profile.
pub(crate) fn scores(profile: &Model, figures: &Figures) -> Scores {
    Scores {
        engagement_rate: figures.engagement_rate,
        influence_score: influence_score(Influence {
            followers: profile.followers_count,
            following: profile.following_count,
            posts: profile.posts_count,
            engagement_rate: figures.engagement_rate,
            is_verified: profile.is_verified,
            is_business: profile.is_business_account,
        }),
        avg_likes: figures.avg_likes,
        avg_comments: figures.avg_comments,
        posting_frequency_per_day: posting_frequency_per_day(
            figures.oldest,
            figures.newest,
            figures.posts as u32,
        ),
        fraud_hints: fraud::hints(fraud::Counts {
            followers: profile.followers_count,
            following: profile.following_count,
            posts: profile.posts_count,
            avg_likes: figures.avg_likes,
            avg_comments: figures.avg_comments,
        }),
        last_post_at: figures.newest.map(|seconds| Time(seconds.saturating_mul(1_000))),
    }
}

/// The accounts beside it.
pub(crate) fn related(found: &FetchedProfile) -> Vec<Related> {
    found
        .related
        .iter()
        .map(|related| Related {
            related_username: related.username.clone(),
            related_full_name: related.full_name.clone(),
            related_is_verified: related.is_verified,
            related_is_private: related.is_private,
            related_profile_pic_url: related.profile_pic_url.clone(),
            similarity_score: related.similarity_score,
        })
        .collect()
}
