//! A user has at most so many searches in flight: counted where one is stored, in the same
//! transaction, so that many at once are counted right on any number of replicas.

use entity::Tx;
use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::job::searches;
use jobs::Kind;
use poem::http::StatusCode;
use uuid::Uuid;

use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;

/// Searches of one user at once.
const MOST: u64 = 10;
/// Seconds after which one may have ended.
const RETRY_AFTER_S: u64 = 5;

/// Whether jobs of the kind are searches.
pub(super) fn is_search(kind: &str) -> bool {
    kind == Kind::ProfileFetch.as_str() || kind == Kind::BulkProfiles.as_str()
}

/// Whose searches are counted; nobody's, of those who are not limited.
pub(super) fn whose(state: &AppState, caller: &Caller) -> Option<Uuid> {
    let limited = state.limits.are_on() && !caller.0.user.role.is_admin();
    limited.then(|| caller.id())
}

/// Stores a search, unless it is one too many. To join one that goes on is none.
pub(super) async fn store(tx: &Tx, user: Uuid, job: &NewJob) -> Result<Enqueued, Problem> {
    searches::lock(tx, user).await?;
    let stored = enqueue::enqueue_many(tx, std::slice::from_ref(job)).await?;
    let stored = stored.into_iter().next().ok_or_else(Problem::internal)?;
    if stored.created {
        check(tx, user).await?;
    }
    Ok(stored)
}

/// Refuses when the transaction has made them too many; it has to be rolled back then.
pub(super) async fn check(tx: &Tx, user: Uuid) -> Result<(), Problem> {
    if searches::in_flight(tx, user).await? <= MOST {
        return Ok(());
    }
    let detail = format!(
        "{MOST} of your searches have not ended yet; try again in {RETRY_AFTER_S} s, or follow them"
    );
    let too_many = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_searches", detail);
    Err(too_many
        .with("limit", MOST)
        .with("retry_after_seconds", RETRY_AFTER_S)
        .header("Retry-After", RETRY_AFTER_S.to_string())
        .header("RateLimit-Limit", MOST.to_string())
        .header("RateLimit-Remaining", "0")
        .header("RateLimit-Reset", RETRY_AFTER_S.to_string()))
}
