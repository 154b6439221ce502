//! The pictures of a creator as we serve them.

use std::collections::HashMap;

use entity::cdn_asset::{AVATAR, Asset, POSTS};
use entity::enums::AssetStatus;
use entity::{post, profile};
use jobs::Kind;
use jobs::kinds::image_ingest::{ImageIngest, MAX_ASSETS};
use jobs::storage::Placeholder;
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::profile_body::{Sight, refresh_link};
use super::profile_view::Thumb;
use super::profiles::{handle, not_fetched};
use super::submit::{self, JobAnswer, Work, options};
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::JobView;

/// Pictures of creators.
#[derive(Debug)]
pub struct Media;

/// How long others may keep a thumbnail, in seconds: a year.
const TTL_S: i64 = 31_536_000;

/// A creator's picture.
#[derive(Debug, Object)]
struct AvatarView {
    #[oai(rename = "256")]
    small: Option<String>,
    #[oai(rename = "512")]
    large: Option<String>,
    /// Both sizes are on the CDN.
    available: bool,
    /// To be shown until then.
    placeholder: String,
    /// pending, completed, failed; null when the provider shows none.
    processing_status: Option<String>,
    /// Why it failed, as a word.
    reason: Option<String>,
}

/// A post's picture.
#[derive(Debug, Object)]
struct PostPicture {
    /// The post's shortcode.
    #[oai(rename = "mediaId")]
    media_id: String,
    thumb: Thumb,
    /// Both sizes are on the CDN.
    available: bool,
    /// To be shown until then.
    placeholder: String,
    /// pending, completed, failed; null when the provider shows none.
    processing_status: Option<String>,
    /// Why it failed, as a word.
    reason: Option<String>,
}

/// How far the pictures are.
#[derive(Debug, Object)]
struct MediaProgress {
    /// A job is at it, or waits.
    queued: bool,
    total_assets: i64,
    completed_assets: i64,
    failed_assets: i64,
    /// Completed of all, rounded down; null when there are none.
    completion_percentage: Option<i64>,
}

/// How the CDN serves them.
#[derive(Debug, Object)]
struct CdnInfo {
    base_url: String,
    /// Seconds.
    cache_ttl: i64,
    formats: Vec<String>,
    sizes: Vec<i64>,
    /// What lies under an address never changes.
    immutable_urls: bool,
}

/// The pictures of a creator.
#[derive(Debug, Object)]
struct MediaView {
    profile_id: Uuid,
    username: String,
    avatar: AvatarView,
    /// Of the twelve newest posts; none without access to the profile.
    posts: Vec<PostPicture>,
    processing_status: MediaProgress,
    cdn_info: CdnInfo,
}

#[OpenApi(prefix_path = "/api/v1/creators/ig", tag = "Tag::Media")]
impl Media {
    /// Pictures of a creator
    ///
    /// By profile id or handle. Addresses are of our CDN, or null; `placeholder` is always a
    /// picture. Starts nothing.
    #[oai(path = "/:creator/media", method = "get", operation_id = "get_creator_media")]
    async fn media(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        creator: Path<String>,
    ) -> Result<Json<MediaView>, Problem> {
        let sight = find(&state, &caller, &creator.0).await?;
        let (scope, profile) = (state.scope(&caller.0), &sight.profile);
        let assets = Pictures::of(&state, profile.id).await?;
        let mut shown = vec![];
        if sight.full() {
            shown = post::page(scope.read(), profile.id, None, POSTS).await?;
        }
        let posts: Vec<PostPicture> = shown
            .into_iter()
            .map(|post| {
                let asset = assets.0.get(&post.shortcode);
                PostPicture {
                    thumb: thumb(&state, asset),
                    available: asset.is_some_and(|asset| asset.keys().is_some()),
                    placeholder: state.files.url(&Placeholder::Post.key(256)),
                    processing_status: asset.map(|asset| asset.processing_status.to_string()),
                    reason: reason(asset),
                    media_id: post.shortcode,
                }
            })
            .collect();
        let avatar = assets.0.get(AVATAR);
        let seen: Vec<&Asset> = avatar
            .into_iter()
            .chain(posts.iter().filter_map(|post| assets.0.get(&post.media_id)))
            .collect();
        let count = |status| seen.iter().filter(|a| a.processing_status == status).count() as i64;
        let (total, completed) = (seen.len() as i64, count(AssetStatus::Completed));
        let prefix = format!("{}:", profile.id);
        let Thumb { small, large } = thumb(&state, avatar);
        Ok(Json(MediaView {
            profile_id: profile.id,
            username: profile.username.clone(),
            avatar: AvatarView {
                available: large.is_some(),
                small,
                large,
                placeholder: state.files.url(&Placeholder::Avatar.key(256)),
                processing_status: avatar.map(|asset| asset.processing_status.to_string()),
                reason: reason(avatar),
            },
            posts,
            processing_status: MediaProgress {
                queued: state.is_open(Kind::ImageIngest.as_str(), &prefix).await?,
                total_assets: total,
                completed_assets: completed,
                failed_assets: count(AssetStatus::Failed),
                completion_percentage: (total > 0).then(|| completed * 100 / total),
            },
            cdn_info: CdnInfo {
                base_url: state.files.base().to_owned(),
                cache_ttl: TTL_S,
                formats: vec!["webp".to_owned()],
                sizes: vec![256, 512],
                immutable_urls: true,
            },
        }))
    }

    /// Look at a creator's pictures again
    ///
    /// Starts an `image_ingest` job, or joins the one that does the same: each picture is asked for
    /// where the provider last said it is, and made anew when it has changed. With access to the
    /// profile.
    #[oai(path = "/:creator/media/refresh", method = "post", operation_id = "refresh_media")]
    async fn refresh(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        creator: Path<String>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
    ) -> Result<JobAnswer<JobView>, Problem> {
        let wait = rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(0);
        let sight = find(&state, &caller, &creator.0).await?;
        let profile = &sight.profile;
        if !sight.full() {
            let detail = "pictures are looked at again for who has access to the profile";
            return Err(Problem::new(StatusCode::FORBIDDEN, "no_access", detail)
                .with("refresh", refresh_link(&profile.username)));
        }
        let posts = post::page(state.scope(&caller.0).read(), profile.id, None, POSTS).await?;
        let pictures = Pictures::of(&state, profile.id).await?;
        let names = std::iter::once(AVATAR).chain(posts.iter().map(|post| post.shortcode.as_str()));
        let assets = names.filter_map(|name| pictures.0.get(name)).map(|asset| asset.id);
        let assets: Vec<Uuid> = assets.take(MAX_ASSETS).collect();
        if assets.is_empty() {
            let detail = "no picture of this creator is known; fetch the profile first";
            return Err(Problem::conflict("no_pictures", detail)
                .with("refresh", refresh_link(&profile.username)));
        }
        let what = ["POST", "media", &profile.id.to_string()];
        let key = idempotency::key(request.headers(), caller.id(), &what)?;
        let job = ImageIngest { recheck: true, ..ImageIngest::of(profile.id, assets) };
        let work = Work::new(&job, &options(&caller, request))?;
        submit::post(&state, &caller, work, key, wait).await
    }
}

async fn find(state: &AppState, caller: &Caller, creator: &str) -> Result<Sight, Problem> {
    if let Ok(id) = creator.parse::<Uuid>() {
        let missing = || {
            Problem::not_found("profile_not_found", format!("no profile has the id {id}"))
                .with("field", "creator")
        };
        let profile =
            profile::by_id(state.scope(&caller.0).read(), id).await?.ok_or_else(missing)?;
        return Sight::at(state, caller, profile).await;
    }
    let name = handle(creator)?;
    let sight = Sight::of(state, caller, name.as_str()).await?;
    sight.ok_or_else(|| not_fetched(&name))
}

/// The pictures of a profile by what they are called.
pub(crate) struct Pictures(HashMap<String, Asset>);

impl Pictures {
    pub(crate) async fn of(state: &AppState, profile: Uuid) -> Result<Self, Problem> {
        let assets = state.assets(profile).await?;
        Ok(Self(assets.into_iter().map(|asset| (asset.media_id.clone(), asset)).collect()))
    }

    /// Where its thumbnails are, as far as they are on the CDN.
    pub(crate) fn thumb(&self, state: &AppState, media_id: &str) -> Thumb {
        thumb(state, self.0.get(media_id))
    }
}

fn thumb(state: &AppState, asset: Option<&Asset>) -> Thumb {
    match asset.and_then(Asset::keys) {
        Some([small, large]) => {
            Thumb { small: Some(state.files.url(small)), large: Some(state.files.url(large)) }
        }
        None => Thumb::default(),
    }
}

/// Why there is nothing to see.
fn reason(asset: Option<&Asset>) -> Option<String> {
    asset.filter(|asset| asset.keys().is_none())?.processing_error_code.clone()
}
