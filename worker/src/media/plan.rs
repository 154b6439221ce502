//! Which pictures of a creator are to be on the CDN, and the jobs that bring them there. Pure, but
//! for the rows it reads.

use std::collections::BTreeMap;

use entity::cdn_asset::{self, AVATAR, Asset, POSTS, Shown};
use entity::enums::ImageSource;
use entity::job::enqueue::NewJob;
use entity::{DbErr, Tx, post, profile};
use jobs::kinds::image_ingest::{ImageIngest, MAX_ASSETS};
use jobs::submit::new_job;
use jobs::{JobsError, Options};
use serde_json::Value;
use uuid::Uuid;

/// Notes the pictures of a profile as stored and returns those that are to be brought.
pub(crate) async fn due(tx: &Tx, profile: &profile::Model) -> Result<Vec<Asset>, DbErr> {
    let posts = post::page(tx, profile.id, None, POSTS).await?;
    cdn_asset::note(tx, profile.id, &shown(profile, &posts)).await?;
    let mut due = cdn_asset::of_profile(tx, profile.id).await?;
    due.retain(Asset::is_due);
    Ok(due)
}

/// The avatar, and a picture of each post: of a carousel the first.
fn shown(profile: &profile::Model, posts: &[post::Model]) -> Vec<Shown> {
    let avatar = profile.profile_pic_url_hd.as_ref().or(profile.profile_pic_url.as_ref());
    let avatar = avatar.map(|url| Shown {
        source_type: ImageSource::ProfileAvatar,
        source_id: profile.id,
        media_id: AVATAR.to_owned(),
        source_url: url.clone(),
    });
    let of_posts = posts.iter().filter_map(|post| {
        Some(Shown {
            source_type: ImageSource::PostThumbnail,
            source_id: post.id,
            media_id: post.shortcode.clone(),
            source_url: picture(post)?,
        })
    });
    avatar.into_iter().chain(of_posts).filter(|shown| !shown.source_url.is_empty()).collect()
}

fn picture(post: &post::Model) -> Option<String> {
    let first = post.sidecar_children.as_ref().and_then(|children| {
        let first = children.as_array()?.first()?;
        let node = first.get("node").unwrap_or(first);
        node.get("display_url").and_then(Value::as_str).map(str::to_owned)
    });
    first.or_else(|| post.display_url.clone()).or_else(|| post.thumbnail_src.clone())
}

/// Jobs that bring these pictures, for each profile in parts that one job may have.
pub(crate) fn ingests(
    assets: &[Asset],
    recheck: bool,
    options: &Options,
) -> Result<Vec<NewJob>, JobsError> {
    let mut profiles: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for asset in assets {
        profiles.entry(asset.profile_id).or_default().push(asset.id);
    }
    let mut jobs = vec![];
    for (profile_id, ids) in profiles {
        for part in ids.chunks(MAX_ASSETS) {
            let ingest = ImageIngest { recheck, ..ImageIngest::of(profile_id, part.to_vec()) };
            jobs.push(new_job(&ingest, options)?);
        }
    }
    Ok(jobs)
}
