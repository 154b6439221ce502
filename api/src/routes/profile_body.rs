//! How a creator looks from outside: in full with access, as a preview without. Only our own
//! picture addresses leave the API; until a picture is on our CDN its field is null.

use std::sync::Arc;

use entity::aggregate::COMPLETE_SHARE;
use entity::cdn_asset::AVATAR;
use entity::job::Model as Job;
use entity::{Time, access, post, profile, related_profile};
use jobs::Kind;
use jobs::kinds::profile_fetch::{FetchSource, ProfileFetched};
use poem::http::StatusCode;
use poem_openapi::types::ToJSON;
use serde_json::Value;

use super::media::Pictures;
use super::profile_view::{
    AiInsights, AvatarUrls, PostAi, PostView, ProfileLinks, ProfileView, RelatedView,
};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;

/// Posts on the profile itself.
const POSTS_ON_PROFILE: u64 = 12;

/// A stored profile with what this caller may see of it.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) profile: Arc<profile::Model>,
    /// Until when; `None` without access.
    pub(crate) until: Option<Time>,
    pub(crate) age_ms: i64,
    pub(crate) stale: bool,
    /// Its posts were never fetched, or longer ago than the profile may be old.
    pub(crate) posts_stale: bool,
    pub(crate) admin: bool,
}

impl Sight {
    /// Looks a handle up.
    pub(crate) async fn of(
        state: &AppState,
        caller: &Caller,
        username: &str,
    ) -> Result<Option<Self>, Problem> {
        let scope = state.scope(&caller.0);
        let Some(profile) = profile::by_username(scope.read(), username).await? else {
            return Ok(None);
        };
        Self::at(state, caller, profile).await.map(Some)
    }

    /// Looks a stored profile over.
    pub(crate) async fn at(
        state: &AppState,
        caller: &Caller,
        profile: profile::Model,
    ) -> Result<Self, Problem> {
        let until = access::until(state.scope(&caller.0).read(), caller.id(), profile.id).await?;
        Ok(Self::new(state, caller, Arc::new(profile), until, state.now().await?))
    }

    /// What the caller may see now, with access until then.
    pub(crate) fn new(
        state: &AppState,
        caller: &Caller,
        profile: Arc<profile::Model>,
        until: Option<Time>,
        now: Time,
    ) -> Self {
        let limit = state.fresh_for.as_millis() as i64;
        let age_ms = now.millis_since(profile.last_refreshed);
        let posts_stale = profile.posts_refreshed_at.is_none_or(|at| now.millis_since(at) >= limit);
        let admin = caller.0.user.role.is_admin();
        let until = until.filter(|until| *until > now);
        Self { stale: age_ms >= limit, profile, until, age_ms, posts_stale, admin }
    }

    /// What everybody who may see as much sees.
    pub(crate) fn sample(profile: Arc<profile::Model>, full: bool) -> Self {
        Self { profile, until: None, age_ms: 0, stale: false, posts_stale: false, admin: full }
    }

    pub(crate) fn age_seconds(&self) -> i64 {
        self.age_ms.max(0) / 1_000
    }

    pub(crate) fn full(&self) -> bool {
        self.admin || self.until.is_some()
    }

    /// When access ends, if it does.
    pub(crate) fn ends(&self) -> Option<Time> {
        self.until.filter(|until| *until < access::FOR_GOOD)
    }

    /// Changes with everything the view shows except its age.
    pub(crate) fn etag(&self) -> String {
        let until = self.until.map_or(0, |until| until.0);
        format!(
            "W/\"{}-{}-{}-{}{}\"",
            self.profile.id.simple(),
            self.profile.updated_at.0,
            until,
            u8::from(self.stale),
            u8::from(self.full())
        )
    }
}

/// The whole view.
pub(crate) async fn view(state: &AppState, sight: &Sight) -> Result<ProfileView, Problem> {
    let profile = &sight.profile;
    let handle = &profile.username;
    let full = sight.full();
    let pictures = Pictures::of(state, profile.id).await?;
    let avatar = pictures.thumb(state, AVATAR);
    let mut view = ProfileView {
        access: if full { "full" } else { "preview" }.to_owned(),
        id: profile.id,
        username: handle.clone(),
        full_name: None,
        biography: None,
        external_url: None,
        followers_count: None,
        following_count: None,
        posts_count: None,
        follower_band: profile.followers_count.map(|n| follower_band(n).to_owned()),
        is_verified: profile.is_verified,
        is_private: profile.is_private,
        is_business_account: profile.is_business_account,
        is_professional_account: None,
        engagement_rate: None,
        influence_score: None,
        data_quality_score: None,
        avg_likes_per_post: None,
        avg_comments_per_post: None,
        posting_frequency: None,
        last_post_date: None,
        category: None,
        categories: categories(profile),
        profile_pic_url: avatar.small.clone(),
        profile_pic_url_hd: avatar.large.clone(),
        cdn_urls: AvatarUrls { avatar_256: avatar.small, avatar_512: avatar.large },
        ai_insights: None,
        fraud_hints: None,
        posts: None,
        stored_posts: None,
        related_profiles: None,
        partial: profile.partial,
        last_refreshed: profile.last_refreshed.rfc3339(),
        age_seconds: sight.age_seconds(),
        stale: sight.stale,
        access_until: sight.ends().map(Time::rfc3339),
        links: ProfileLinks {
            this: format!("/api/profile/{handle}"),
            posts: format!("/api/profile/{handle}/posts"),
            refresh: refresh_link(handle),
            unlock: (!full).then(|| format!("/api/v1/instagram/profile/{handle}")),
        },
    };
    if full {
        fill(state, profile, &pictures, &mut view).await?;
    }
    Ok(view)
}

async fn fill(
    state: &AppState,
    profile: &profile::Model,
    pictures: &Pictures,
    view: &mut ProfileView,
) -> Result<(), Problem> {
    let tx = state.common().reading().await?;
    let figures = post::figures(&tx, profile.id).await?;
    let posts = post::page(&tx, profile.id, None, POSTS_ON_PROFILE).await?;
    let related = related_profile::of(&tx, profile.id).await?;
    tx.commit().await?;
    view.full_name.clone_from(&profile.full_name);
    view.biography.clone_from(&profile.biography);
    view.external_url.clone_from(&profile.external_url);
    view.followers_count = profile.followers_count;
    view.following_count = profile.following_count;
    view.posts_count = profile.posts_count;
    view.is_professional_account = profile.is_professional_account;
    view.engagement_rate = profile.engagement_rate;
    view.influence_score = profile.influence_score;
    view.data_quality_score = Some(profile.data_quality_score);
    view.avg_likes_per_post = profile.avg_likes;
    view.avg_comments_per_post = profile.avg_comments;
    view.posting_frequency = profile.posting_frequency_per_day;
    view.last_post_date = profile.last_post_at.map(Time::rfc3339);
    view.category.clone_from(&profile.category);
    view.ai_insights = Some(insights(profile, &figures));
    view.fraud_hints.clone_from(&profile.fraud_hints);
    view.posts = Some(posts.iter().map(|post| post_view(state, post, pictures)).collect());
    view.stored_posts = Some(figures.posts as u64);
    view.related_profiles = Some(
        related
            .into_iter()
            .map(|related| RelatedView {
                username: related.related_username,
                full_name: related.related_full_name,
                is_verified: related.related_is_verified,
                is_private: related.related_is_private,
                similarity_score: related.similarity_score,
            })
            .collect(),
    );
    Ok(())
}

fn insights(profile: &profile::Model, figures: &post::Figures) -> AiInsights {
    let available = profile.ai_profile_analyzed_at.is_some();
    let share = (figures.posts > 0).then(|| figures.analyzed as f64 / figures.posts as f64);
    AiInsights {
        available,
        reason: (!available).then(|| "the posts have not been analysed yet".to_owned()),
        content_category: profile.ai_primary_content_type.clone(),
        content_distribution: profile.ai_content_distribution.clone(),
        average_sentiment: profile.ai_avg_sentiment_score,
        language_distribution: profile.ai_language_distribution.clone(),
        content_quality_score: profile.ai_content_quality_score,
        top_3_categories: profile.ai_top_3_categories.clone(),
        top_10_categories: profile.ai_top_10_categories.clone(),
        analysis_completeness: share,
        complete: share.is_some_and(|share| share >= COMPLETE_SHARE),
        last_analyzed: profile.ai_profile_analyzed_at.map(Time::rfc3339),
    }
}

/// How a post looks.
pub(crate) fn post_view(state: &AppState, post: &post::Model, pictures: &Pictures) -> PostView {
    let thumb = pictures.thumb(state, &post.shortcode);
    let strings = |json: &Value| serde_json::from_value(json.clone()).unwrap_or_default();
    PostView {
        id: post.id,
        shortcode: post.shortcode.clone(),
        media_type: post.media_type.clone(),
        is_video: post.is_video,
        is_carousel: post.is_carousel,
        carousel_media_count: post.carousel_media_count,
        caption: post.caption.clone(),
        hashtags: strings(&post.hashtags),
        mentions: strings(&post.mentions),
        likes_count: post.likes_count,
        comments_count: post.comments_count,
        video_view_count: post.video_view_count,
        engagement_rate: post.engagement_rate,
        location_name: post.location_name.clone(),
        width: post.width,
        height: post.height,
        display_url: thumb.large.clone(),
        cdn_urls: thumb,
        posted_at: post.posted_at.map(Time::rfc3339),
        ai_analysis: post_ai(post),
    }
}

/// What the analysis of a post says; `None` without one.
pub(crate) fn post_ai(post: &post::Model) -> Option<PostAi> {
    post.ai_analyzed_at.map(|_| PostAi {
        content_category: post.ai_content_category.clone(),
        category_confidence: post.ai_category_confidence,
        sentiment: post.ai_sentiment.clone(),
        sentiment_score: post.ai_sentiment_score,
        sentiment_confidence: post.ai_sentiment_confidence,
        language_code: post.ai_language_code.clone(),
        language_confidence: post.ai_language_confidence,
        tier: post.ai_tier.clone(),
    })
}

/// POST there to fetch a handle.
pub(crate) fn refresh_link(username: &str) -> String {
    format!("/api/v1/instagram/profile/{username}/refresh")
}

fn categories(profile: &profile::Model) -> Vec<String> {
    let mut names = vec![];
    for name in [&profile.category, &profile.instagram_business_category].into_iter().flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The band shown instead of the count.
fn follower_band(followers: i64) -> &'static str {
    match followers {
        i64::MIN..1_000 => "<1K",
        1_000..10_000 => "1K–10K",
        10_000..100_000 => "10K–100K",
        100_000..1_000_000 => "100K–1M",
        1_000_000..10_000_000 => "1M–10M",
        10_000_000.. => "10M+",
    }
}

/// The profile that a succeeded fetch was about, and where the answer came from.
pub(crate) async fn sight_of_job(
    state: &AppState,
    caller: &Caller,
    job: &Job,
) -> Result<Option<(Sight, FetchSource)>, Problem> {
    if Kind::parse(&job.kind) != Some(Kind::ProfileFetch) {
        return Ok(None);
    }
    let fetched = job.result.clone().and_then(|r| serde_json::from_value::<ProfileFetched>(r).ok());
    let Some(fetched) = fetched else { return Ok(None) };
    state.shelf.ended(job);
    match profile::by_id(state.scope(&caller.0).read(), fetched.profile_id).await? {
        Some(stored) => Ok(Some((Sight::at(state, caller, stored).await?, fetched.source))),
        None => Ok(None),
    }
}

/// The body that the call behind a succeeded job would have given; `None` when the stored result
/// is that body.
pub(crate) async fn of_job(
    state: &AppState,
    caller: &Caller,
    job: &Job,
) -> Result<Option<Value>, Problem> {
    match sight_of_job(state, caller, job).await? {
        Some((sight, _)) => Ok(view(state, &sight).await?.to_json()),
        None => Ok(None),
    }
}

/// A job that did not succeed, as the problem the call would have answered with.
pub(crate) fn job_problem(job: &Job) -> Problem {
    let code = job.error_code.as_deref().unwrap_or("cancelled");
    let message = job.error_message.clone().unwrap_or_else(|| "the job was cancelled".to_owned());
    let (status, code) = match code {
        "not_found" => (StatusCode::NOT_FOUND, "profile_not_found"),
        "provider_unavailable" => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"),
        "auth_broken" => (StatusCode::SERVICE_UNAVAILABLE, "auth_broken"),
        "bad_shape" => (StatusCode::BAD_GATEWAY, "bad_shape"),
        "timeout" | "deadline" => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        "cancelled" => (StatusCode::CONFLICT, "job_cancelled"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "job_failed"),
    };
    let problem = Problem::new(status, code, format!("Job failed: {message}"))
        .with("job_id", job.id.to_string())
        .with("job", super::submit::location(job.id));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return problem.header("Retry-After", "30");
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_meet_without_a_gap() {
        for (followers, band) in [
            (0, "<1K"),
            (999, "<1K"),
            (1_000, "1K–10K"),
            (99_999, "10K–100K"),
            (100_000, "100K–1M"),
            (9_999_999, "1M–10M"),
            (10_000_000, "10M+"),
        ] {
            assert_eq!(follower_band(followers), band, "{followers}");
        }
    }
}
