//! Creators and their posts for credits: the same as without, for those who have no access yet.

use entity::ledger::read;
use entity::ledger::spend::Purchase;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use super::post_pages::{self, PostPage};
use super::profile_body::{Sight, view};
use super::profile_view::ProfileView;
use super::profiles::{handle, not_fetched};
use crate::gate::{self, CreditInfo};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;

/// Creators for credits.
#[derive(Debug)]
pub struct Unlocks;

/// A creator in full, and what that cost.
#[derive(Debug, Object)]
pub struct UnlockedProfile {
    #[oai(flatten)]
    profile: ProfileView,
    credit_info: CreditInfo,
}

/// Posts, and what they cost.
#[derive(Debug, Object)]
pub struct BoughtPosts {
    #[oai(flatten)]
    page: PostPage,
    credit_info: CreditInfo,
}

/// A creator the caller has unlocked.
#[derive(Debug, Object)]
pub struct UnlockedCreator {
    profile_id: Uuid,
    username: String,
    full_name: Option<String>,
    followers_count: Option<i64>,
    credits_spent: i64,
    /// RFC 3339.
    unlocked_at: String,
    /// RFC 3339; null: for good.
    expires_at: Option<String>,
}

/// Where a page stands among the others.
#[derive(Debug, Object)]
pub struct Pagination {
    page: u64,
    page_size: u64,
    total_count: u64,
    total_pages: u64,
    has_more: bool,
}

/// A page of them.
#[derive(Debug, Object)]
pub struct UnlockedPage {
    /// Last unlocked first.
    profiles: Vec<UnlockedCreator>,
    pagination: Pagination,
}

#[derive(ApiResponse)]
enum Charged<T: ToJSON> {
    /// What was bought, or was the caller's already.
    #[oai(status = 200)]
    For(
        Json<T>,
        /// Credits taken for this answer.
        #[oai(header = "X-Credits-Spent")]
        String,
        /// Whether one of the month's free turns was taken for it.
        #[oai(header = "X-Used-Free-Allowance")]
        String,
        /// What may still be spent.
        #[oai(header = "X-Remaining-Balance")]
        String,
        /// The transaction, when one was made.
        #[oai(header = "X-Transaction-ID")]
        Option<String>,
    ),
}

#[OpenApi(tag = "Tag::Profiles")]
impl Unlocks {
    /// Unlock a creator
    ///
    /// The creator in full. Whoever has no access buys it here (`influencer_unlock`), once and for
    /// good; whoever has, pays nothing. What costs more than there is answers 402.
    #[oai(
        path = "/api/v1/instagram/profile/:username",
        method = "get",
        operation_id = "unlock_profile"
    )]
    async fn profile(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        username: Path<String>,
    ) -> Result<Charged<UnlockedProfile>, Problem> {
        let name = handle(&username.0)?;
        let sight = Sight::of(&state, &caller, name.as_str()).await?;
        let sight = sight.ok_or_else(|| not_fetched(&name))?;
        let purchase = Purchase::Unlock { user: caller.id(), profile: sight.profile.id };
        let info = gate::buy(&state, &caller, sight.full(), purchase).await?;
        // With the access that was just bought.
        let sight = Sight::at(&state, &caller, (*sight.profile).clone()).await?;
        let (spent, free, rest, transaction) = info.headers();
        let profile = view(&state, &sight).await?;
        let body = UnlockedProfile { profile, credit_info: info };
        Ok(Charged::For(Json(body), spent, free, rest, transaction))
    }

    /// Posts of a creator for credits
    ///
    /// Newest first, page by page, with what their captions say. They are paid for once
    /// (`post_analytics`) as they were fetched; for 12 hours, and until they are fetched again,
    /// every page of them is free.
    #[oai(
        path = "/api/v1/instagram/profile/:username/posts",
        method = "get",
        operation_id = "buy_profile_posts"
    )]
    async fn posts(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        username: Path<String>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Charged<BoughtPosts>, Problem> {
        let name = handle(&username.0)?;
        let limit = rules::limit(limit.0, 20)?;
        let after = cursor.0.as_deref().map(post_pages::parse_cursor).transpose()?;
        let sight = Sight::of(&state, &caller, name.as_str()).await?;
        let sight = sight.ok_or_else(|| not_fetched(&name))?;
        let purchase = Purchase::Posts {
            user: caller.id(),
            profile: sight.profile.id,
            fetched_at: sight.profile.posts_refreshed_at,
        };
        let info = gate::buy(&state, &caller, false, purchase).await?;
        let (spent, free, rest, transaction) = info.headers();
        let page = post_pages::page(&state, sight.profile.id, after, limit).await?;
        let body = BoughtPosts { page, credit_info: info };
        Ok(Charged::For(Json(body), spent, free, rest, transaction))
    }

    /// Creators the caller unlocked
    ///
    /// Last unlocked first.
    #[oai(
        path = "/api/v1/auth/unlocked-profiles",
        method = "get",
        operation_id = "list_unlocked_profiles"
    )]
    async fn unlocked(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// From 1.
        page: Query<Option<i64>>,
        /// 1 to 50.
        page_size: Query<Option<i64>>,
    ) -> Result<Json<UnlockedPage>, Problem> {
        let (page, page_size) = (page.0.unwrap_or(1), page_size.0.unwrap_or(20));
        if !(1..=100_000).contains(&page) {
            return Err(Problem::field("page", "must be from 1 to 100,000"));
        }
        if !(1..=50).contains(&page_size) {
            return Err(Problem::field("page_size", "must be from 1 to 50"));
        }
        let (page, size) = (page as u64, page_size as u64);
        let user = caller.id();
        let db = &state.scope(&caller.0).reading().await?;
        let rows = read::unlocked(db, user, size, (page - 1) * size).await?;
        let total = read::unlocked_count(db, user).await?.max(0) as u64;
        let profiles = rows.into_iter().map(|row| UnlockedCreator {
            profile_id: row.profile_id,
            username: row.username,
            full_name: row.full_name,
            followers_count: row.followers_count,
            credits_spent: row.credits_spent,
            unlocked_at: row.unlocked_at.rfc3339(),
            expires_at: row.expires_at.map(entity::Time::rfc3339),
        });
        let pagination = Pagination {
            page,
            page_size: size,
            total_count: total,
            total_pages: total.div_ceil(size),
            has_more: page * size < total,
        };
        Ok(Json(UnlockedPage { profiles: profiles.collect(), pagination }))
    }
}
