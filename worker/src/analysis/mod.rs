//! From captions to rows: what the handlers of analyses share. What is asked of the models is in
//! [`ask`], what becomes of their answers in [`rows`].

mod ask;
mod rows;

use entity::aggregate::Aggregate;
use entity::post::{self, analysis};
use entity::{DbErr, Tx, profile};
use uuid::Uuid;

pub(crate) use ask::{Answers, Models, Text, Told};
pub(crate) use rows::{answered, caption_analysis, tier};

/// Captions asked for at once: enough to fill a batch on every thread of a small machine, few
/// enough that a run that is broken off has little to do again.
pub(crate) const CHUNK: usize = 32;

/// Stored posts of a profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) posts: u32,
    pub(crate) analyzed: u32,
}

/// Derives a profile's aggregate from its posts anew, in a transaction that holds the profile.
pub(crate) async fn aggregate(tx: &Tx, profile: Uuid) -> Result<Counts, DbErr> {
    let facts = analysis::facts(tx, profile).await?;
    let posts = post::count(tx, profile).await? as u32;
    profile::set_aggregate(tx, profile, &Aggregate::of(&facts, posts as usize)).await?;
    Ok(Counts { posts, analyzed: facts.len() as u32 })
}
