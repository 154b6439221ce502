//! What a user did here: their searches, counted and listed.

use entity::Time;
use entity::user_search::{self, Cursor, UserSearch};
use poem::web::Data;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;

/// What a user did here.
#[derive(Debug)]
pub struct Account;

/// So many searches and creators stand on the dashboard.
const ON_DASHBOARD: u64 = 10;

/// A search.
#[derive(Debug, Object)]
pub struct SearchView {
    id: Uuid,
    /// The creator's handle.
    instagram_username: String,
    /// What was asked for: `profile` or `posts`.
    analysis_type: String,
    created_at: String,
}

impl From<UserSearch> for SearchView {
    fn from(search: UserSearch) -> Self {
        Self {
            id: search.id,
            instagram_username: search.instagram_username,
            analysis_type: search.analysis_type,
            created_at: search.created_at.rfc3339(),
        }
    }
}

/// A user's own numbers. A search is a request that had a creator fetched, or would have.
#[derive(Debug, Object)]
pub struct Dashboard {
    /// Ever.
    total_searches: i64,
    /// Since the first of the month, UTC.
    searches_this_month: i64,
    /// The creators they searched for most often, at most ten.
    favorite_profiles: Vec<String>,
    /// The newest, at most ten.
    recent_searches: Vec<SearchView>,
    /// When the account was made.
    account_created: String,
    /// Last sign-in or search, whichever was later; null before the first.
    last_active: Option<String>,
}

/// A page of searches.
#[derive(Debug, Object)]
pub struct SearchPage {
    /// Newest first.
    items: Vec<SearchView>,
    /// `cursor` of the next page; null at the end.
    next: Option<String>,
}

#[OpenApi(prefix_path = "/api/v1/auth", tag = "Tag::Auth")]
impl Account {
    /// Own numbers
    #[oai(path = "/dashboard", method = "get", operation_id = "dashboard")]
    async fn dashboard(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<Dashboard>, Problem> {
        let (user, now) = (&caller.0.user, state.now().await?);
        let db = &state.scope(&caller.0).reading().await?;
        let counts = user_search::counts(db, user.id, month(now)).await?;
        let recent = user_search::page(db, user.id, None, ON_DASHBOARD).await?;
        Ok(Json(Dashboard {
            total_searches: counts.total,
            searches_this_month: counts.since,
            favorite_profiles: user_search::favorites(db, user.id, ON_DASHBOARD).await?,
            recent_searches: recent.into_iter().map(SearchView::from).collect(),
            account_created: user.created_at.rfc3339(),
            last_active: user.last_login_at.max(counts.last).map(Time::rfc3339),
        }))
    }

    /// Own searches
    ///
    /// Newest first, page by page. The same creator within a minute is one search.
    #[oai(path = "/search-history", method = "get", operation_id = "search_history")]
    async fn search_history(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Json<SearchPage>, Problem> {
        let limit = rules::limit(limit.0, 20)?;
        let after = cursor.0.as_deref().map(parse_cursor).transpose()?;
        let scope = state.scope(&caller.0);
        let found = user_search::page(scope.read(), caller.id(), after, limit + 1);
        let mut found = found.await?;
        let more = found.len() as u64 > limit;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more);
        let next = next.map(|last| format!("{}.{}", last.created_at.0, last.id.simple()));
        let items = found.into_iter().map(SearchView::from).collect();
        Ok(Json(SearchPage { items, next }))
    }
}

fn parse_cursor(text: &str) -> Result<Cursor, Problem> {
    let parsed = text.split_once('.').and_then(|(created_at, id)| {
        let created_at = created_at.parse().ok().filter(|at| (0..=MAX_TIME).contains(at))?;
        Some(Cursor { created_at: Time(created_at), id: id.parse().ok()? })
    });
    parsed.ok_or_else(|| Problem::field("cursor", "must be the next value of the page before"))
}

/// The end of the year 9999, in milliseconds: databases know later times only in part.
const MAX_TIME: i64 = 253_402_300_799_999;

/// The first moment of the month, UTC.
fn month(now: Time) -> Time {
    let text = now.rfc3339();
    let first = text.get(..7).map(|month| format!("{month}-01T00:00:00Z"));
    first.and_then(|first| entity::time::parse_rfc3339(&first)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first() {
        let at = |text: &str| entity::time::parse_rfc3339(text).unwrap();
        for (now, first) in [
            ("2026-11-28T03:04:05.678Z", "2026-11-01T00:00:00Z"),
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("2024-02-29T23:59:59.999Z", "2024-02-01T00:00:00Z"),
        ] {
            assert_eq!(month(at(now)), at(first), "{now}");
        }
    }

    #[test]
    fn a_cursor_is_one_of_ours() {
        let id = Uuid::now_v7();
        let good = parse_cursor(&format!("17.{}", id.simple())).unwrap();
        assert_eq!(good, Cursor { created_at: Time(17), id });
        let far = format!("9999999999999999.{id}");
        for bad in ["", ".", "17", "17.x", "x.y", "-1.00000000000000000000000000000000", &far] {
            assert!(parse_cursor(bad).is_err(), "{bad}");
        }
    }
}
