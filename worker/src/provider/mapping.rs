//! The graph-shaped user object, mapped to [`FetchedProfile`]. Pure functions.

use std::collections::HashSet;

use serde_json::Value;

use super::clean::{
    TEXT_CHARS, array, count, display, edge_count, first, flag, handle, identifier, is_code, label,
    moment, remove_nul, seconds, small, truncated, web_url,
};
use super::{FetchedPost, FetchedProfile, FetchedRelated, caption};

/// Most posts kept of one answer.
pub const MAX_POSTS: usize = 200;
/// Most related profiles kept of one answer.
pub const MAX_RELATED: usize = 15;

/// True when `user` says who or what it is in a form that can be read: a handle, an id, a name, a
/// biography, or how many follow. Known keys with unreadable values make no user.
pub fn is_user(user: &Value) -> bool {
    user.get("username").and_then(Value::as_str).and_then(handle).is_some()
        || identifier(user.get("id")).is_some()
        || display(user.get("full_name"), 500).is_some()
        || display(user.get("biography"), TEXT_CHARS).is_some()
        || edge_count(user, "edge_followed_by").is_some()
        || count(user.get("follower_count")).is_some()
}

/// Maps a user object. `queried` is the handle asked for; it stands in for an absent username
/// and the result is then partial.
pub fn profile(mut user: Value, queried: &str) -> FetchedProfile {
    remove_nul(&mut user);
    let username = user.get("username").and_then(Value::as_str).and_then(handle);
    let instagram_user_id = identifier(user.get("id"));
    let followers_count =
        edge_count(&user, "edge_followed_by").or_else(|| count(user.get("follower_count")));
    let partial = username.is_none() || instagram_user_id.is_none() || followers_count.is_none();
    let username = username.unwrap_or_else(|| queried.to_lowercase());
    let is_private = flag(user.get("is_private"));
    let business_category = first(
        &user,
        &["business_category_name", "overall_category_name", "category_enum"],
        |value| label(value, 100),
    );
    FetchedProfile {
        full_name: display(user.get("full_name"), 500),
        biography: display(user.get("biography"), TEXT_CHARS),
        external_url: web_url(user.get("external_url")),
        profile_pic_url: web_url(user.get("profile_pic_url")),
        profile_pic_url_hd: web_url(user.get("profile_pic_url_hd")),
        following_count: edge_count(&user, "edge_follow")
            .or_else(|| count(user.get("following_count"))),
        posts_count: edge_count(&user, "edge_owner_to_timeline_media")
            .or_else(|| count(user.get("media_count"))),
        is_verified: flag(user.get("is_verified")),
        is_private,
        is_business_account: first(&user, &["is_business_account", "is_business"], flag),
        is_professional_account: flag(user.get("is_professional_account")),
        category: label(user.get("category_name"), 255).or_else(|| business_category.clone()),
        instagram_business_category: business_category,
        posts: if is_private == Some(true) { Vec::new() } else { posts(&user) },
        related: related(&user, &username),
        instagram_user_id,
        username,
        followers_count,
        partial,
        raw: user,
    }
}

/// The nodes of `{key: {edges: [{node}]}}`.
fn nodes<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object
        .get(key)
        .and_then(|timeline| timeline.get("edges"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|edge| edge.get("node"))
}

fn posts(user: &Value) -> Vec<FetchedPost> {
    let mut codes = HashSet::new();
    let mut ids = HashSet::new();
    nodes(user, "edge_owner_to_timeline_media")
        .filter_map(post)
        // Both are unique columns: a second post with either would fail the whole store.
        .filter(|post| {
            codes.insert(post.shortcode.clone())
                && post.instagram_post_id.as_ref().is_none_or(|id| ids.insert(id.clone()))
        })
        .take(MAX_POSTS)
        .collect()
}

/// Maps one post node; `None` without a usable shortcode.
pub fn post(node: &Value) -> Option<FetchedPost> {
    let shortcode = node.get("shortcode")?.as_str().filter(|code| is_code(code))?.to_owned();
    let media_type = label(node.get("__typename"), 50);
    let children = array(node.pointer("/edge_sidecar_to_children/edges"));
    let child_count =
        children.as_ref().and_then(Value::as_array).map(Vec::len).filter(|children| *children > 0);
    let is_carousel = match (&media_type, child_count) {
        (_, Some(_)) => Some(true),
        (Some(name), None) => Some(name == "GraphSidecar"),
        (None, None) => None,
    };
    let text = caption_text(node);
    let display_url = web_url(node.get("display_url"));
    let thumbnail_src = web_url(node.get("thumbnail_src"));
    Some(FetchedPost {
        instagram_post_id: identifier(node.get("id")),
        shortcode,
        is_video: flag(node.get("is_video")),
        post_images: images(display_url.as_ref(), node),
        post_thumbnails: thumbnails(thumbnail_src.as_ref(), node),
        display_url,
        thumbnail_src,
        thumbnail_tall_src: web_url(node.get("thumbnail_tall_src")),
        video_url: web_url(node.get("video_url")),
        video_view_count: count(node.get("video_view_count")),
        video_duration: seconds(node.get("video_duration")),
        has_audio: flag(node.get("has_audio")),
        width: small(node.pointer("/dimensions/width")),
        height: small(node.pointer("/dimensions/height")),
        hashtags: text.as_deref().map(caption::hashtags).unwrap_or_default(),
        mentions: text.as_deref().map(caption::mentions).unwrap_or_default(),
        caption: text,
        accessibility_caption: display(node.get("accessibility_caption"), TEXT_CHARS),
        likes_count: edge_count(node, "edge_liked_by")
            .or_else(|| edge_count(node, "edge_media_preview_like")),
        comments_count: edge_count(node, "edge_media_to_comment"),
        comments_disabled: flag(node.get("comments_disabled")),
        like_and_view_counts_disabled: flag(node.get("like_and_view_counts_disabled")),
        viewer_can_reshare: flag(node.get("viewer_can_reshare")),
        has_upcoming_event: flag(node.get("has_upcoming_event")),
        location_name: label(node.pointer("/location/name"), 255),
        location_id: identifier(node.pointer("/location/id")).filter(|id| id.len() <= 50),
        is_carousel,
        carousel_media_count: child_count.and_then(|children| i32::try_from(children).ok()),
        media_type,
        taken_at_timestamp: moment(node.get("taken_at_timestamp")),
        thumbnail_resources: array(node.get("thumbnail_resources")),
        sidecar_children: children,
        tagged_users: array(node.pointer("/edge_media_to_tagged_user/edges")),
        coauthor_producers: array(node.get("coauthor_producers")),
        raw: node.clone(),
    })
}

fn caption_text(node: &Value) -> Option<String> {
    let text = node.pointer("/edge_media_to_caption/edges/0/node/text")?.as_str()?;
    Some(truncated(text, TEXT_CHARS))
}

fn images(main: Option<&String>, node: &Value) -> Vec<String> {
    let children = nodes(node, "edge_sidecar_to_children")
        .filter_map(|child| web_url(child.get("display_url")));
    distinct(main.cloned().into_iter().chain(children))
}

fn thumbnails(main: Option<&String>, node: &Value) -> Vec<String> {
    let resources = node.get("thumbnail_resources").and_then(Value::as_array).into_iter().flatten();
    let resources = resources.filter_map(|resource| web_url(resource.get("src")));
    distinct(main.cloned().into_iter().chain(resources))
}

fn distinct(urls: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    urls.filter(|url| seen.insert(url.clone())).collect()
}

fn related(user: &Value, own: &str) -> Vec<FetchedRelated> {
    let mut seen = HashSet::from([own.to_owned()]);
    nodes(user, "edge_related_profiles")
        .enumerate()
        .filter_map(|(index, node)| {
            let username = node.get("username").and_then(Value::as_str).and_then(handle)?;
            seen.insert(username.clone()).then(|| FetchedRelated {
                username,
                full_name: display(node.get("full_name"), 500),
                is_verified: flag(node.get("is_verified")),
                is_private: flag(node.get("is_private")),
                profile_pic_url: web_url(node.get("profile_pic_url")),
                similarity_score: similarity(index),
            })
        })
        .take(MAX_RELATED)
        .collect()
}

/// 100 for the first place, 5 less for each next, never under 10.
pub(crate) fn similarity(index: usize) -> f64 {
    (100.0 - 5.0 * index as f64).max(10.0)
}
