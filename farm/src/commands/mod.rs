//! One file per command.

pub(crate) mod admin;
pub(crate) mod ai;
pub(crate) mod cluster;
pub(crate) mod credits;
pub(crate) mod dead;
pub(crate) mod demo_provider;
pub(crate) mod doctor;
pub(crate) mod jobs;
pub(crate) mod migrate;
pub(crate) mod models;
pub(crate) mod out;
pub(crate) mod queues;
pub(crate) mod schedules;
#[cfg(test)]
mod story;
mod text;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod up;

use ::jobs::process::{Failure, Settings as Common};
use api::{AppState, Files, Issuer};

use crate::config::Settings;
use crate::machine::{self, FRESH_FOR};

/// Who acts, in the tables.
const BY: &str = "the command line";

/// The database behind the same views as the API. Without a Redis its tickets and news go nowhere:
/// the running farm finds what changed within a few seconds.
async fn open(settings: &Settings) -> Result<AppState, Failure> {
    let db = machine::open_existing(settings).await?;
    let jobs = Common::jobs(db, settings.common.redis()?.as_ref());
    // Nothing is signed or checked here.
    let issuer = Issuer::new(b"unused by the command line");
    let base = settings.api.cdn_base(settings.api.http_addr)?;
    let files = Files::new(settings.common.open_storage()?, &base);
    Ok(AppState::new(jobs, issuer, api::Cors::default(), FRESH_FOR, files))
}
