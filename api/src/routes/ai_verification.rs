//! Whether a creator's stored analysis is what the stored posts say.

use entity::aggregate::{Aggregate, COMPLETE_SHARE, Difference};
use entity::post::analysis as posts;
use entity::{post, profile};
use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::AppState;

/// Whether what is stored of a creator's analysis is what the posts say.
#[derive(Debug, Object)]
pub(super) struct AiVerification {
    pub(super) username: String,
    pub(super) profile_id: Uuid,
    /// Enough posts are analysed, and the aggregate is what they say.
    pub(super) verified: bool,
    pub(super) posts_total: i64,
    pub(super) posts_analyzed: i64,
    /// Share of the stored posts with an analysis, 0–1; null without posts.
    pub(super) completeness: Option<f64>,
    /// The share that is enough.
    pub(super) required: f64,
    /// Whether it is reached.
    pub(super) enough_posts: bool,
    /// Whether the stored aggregate is what follows from the posts.
    pub(super) aggregate_matches: bool,
    /// Where it is not.
    pub(super) differences: Vec<AiDifference>,
    /// A job is at it: the aggregate is written with its last posts.
    pub(super) in_progress: bool,
    /// What is wrong, as sentences.
    pub(super) problems: Vec<String>,
}

/// A column that is not what the posts say.
#[derive(Debug, Object)]
pub(super) struct AiDifference {
    /// The column.
    pub(super) field: String,
    /// What is stored; null without access to the creator.
    pub(super) stored: Option<Value>,
    /// What follows from the posts; null without access to the creator.
    pub(super) expected: Option<Value>,
}

/// Stored posts of a profile.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub(super) total: i64,
    pub(super) analyzed: i64,
}

impl Counts {
    pub(super) fn share(self) -> Option<f64> {
        (self.total > 0).then(|| self.analyzed as f64 / self.total as f64)
    }

    pub(super) fn is_complete(self) -> bool {
        self.share().is_some_and(|share| share >= COMPLETE_SHARE)
    }
}

pub(super) async fn counts(state: &AppState, profile: Uuid) -> Result<Counts, Problem> {
    let figures = post::figures(state.common().read(), profile).await?;
    Ok(Counts { total: figures.posts, analyzed: figures.analyzed })
}

/// What the posts say against what is stored. Read until nobody has written in between: posts and
/// profile change together.
pub(super) async fn compare(
    state: &AppState,
    profile: &profile::Model,
) -> Result<(profile::Model, Counts, Vec<Difference>), Problem> {
    let scope = state.common();
    let db = scope.read();
    let mut profile = profile.clone();
    for _ in 0..5 {
        let facts = posts::facts(db, profile.id).await?;
        let total = post::count(db, profile.id).await?;
        let now = profile::by_id(db, profile.id).await?.ok_or_else(Problem::internal)?;
        let unchanged = now.updated_at == profile.updated_at;
        profile = now;
        if unchanged {
            let derived = Aggregate::of(&facts, total as usize);
            let differences = derived.differences(&Aggregate::stored(&profile));
            let counts = Counts { total: total as i64, analyzed: facts.len() as i64 };
            return Ok((profile, counts, differences));
        }
    }
    let detail = "the profile is being written to; try again shortly";
    Err(Problem::conflict("profile_busy", detail).header("Retry-After", "2"))
}
