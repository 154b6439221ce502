//! Posts of a creator, newest first: page by page, or all of them as lines.

use entity::post::{self, Cursor};
use futures_util::stream;
use poem::Body;
use poem_openapi::Object;
use poem_openapi::types::ToJSON;
use uuid::Uuid;

use super::media::Pictures;
use super::profile_body::post_view;
use super::profile_view::PostView;
use crate::problem::Problem;
use crate::query as rules;
use crate::state::AppState;

/// A page of posts.
#[derive(Debug, Object)]
pub struct PostPage {
    /// Newest first.
    items: Vec<PostView>,
    /// `cursor` of the next page; null at the end.
    next: Option<String>,
    /// Posts stored, over all pages.
    total: u64,
}

pub(super) async fn page(
    state: &AppState,
    profile: Uuid,
    after: Option<Cursor>,
    limit: u64,
) -> Result<PostPage, Problem> {
    let scope = state.common();
    let db = scope.read();
    let mut posts = post::page(db, profile, after, limit + 1).await?;
    let more = posts.len() as u64 > limit;
    posts.truncate(limit as usize);
    let next = posts.last().filter(|_| more).map(|last| {
        let cursor = cursor_of(last);
        format!("{}.{}", cursor.taken_at, cursor.id.simple())
    });
    let total = post::count(db, profile).await?;
    let pictures = Pictures::of(state, profile).await?;
    let items = posts.iter().map(|post| post_view(state, post, &pictures)).collect();
    Ok(PostPage { items, next, total })
}

fn cursor_of(post: &post::Model) -> Cursor {
    Cursor { taken_at: post.taken_at_timestamp.unwrap_or(0), id: post.id }
}

pub(super) fn parse_cursor(text: &str) -> Result<Cursor, Problem> {
    let parsed = text.split_once('.').and_then(|(taken_at, id)| {
        Some(Cursor { taken_at: taken_at.parse().ok()?, id: id.parse().ok()? })
    });
    parsed.ok_or_else(|| Problem::field("cursor", "must be the next value of the page before"))
}

/// Every post as a line, read page by page while the client takes them.
pub(super) fn lines(state: AppState, profile: Uuid) -> Body {
    let pages = stream::try_unfold(Some(None), move |at: Option<Option<Cursor>>| {
        let state = state.clone();
        async move {
            let Some(after) = at else { return Ok(None) };
            let posts = post::page(state.common().read(), profile, after, rules::MAX_PAGE)
                .await
                .map_err(std::io::Error::other)?;
            let next = (posts.len() as u64 == rules::MAX_PAGE)
                .then(|| posts.last().map(|last| Some(cursor_of(last))))
                .flatten();
            let pictures = Pictures::of(&state, profile).await.map_err(std::io::Error::other)?;
            let mut chunk = String::new();
            for post in &posts {
                chunk.push_str(&post_view(&state, post, &pictures).to_json_string());
                chunk.push('\n');
            }
            Ok::<_, std::io::Error>(Some((chunk, next)))
        }
    });
    Body::from_bytes_stream(pages)
}
