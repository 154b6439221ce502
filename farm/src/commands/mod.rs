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

use std::ops::Deref;

use ::jobs::Jobs;
use ::jobs::process::{Failure, Settings as Common};
use api::{AppState, Files, Issuer, Limits};
use entity::Db;

use crate::config::Settings;
use crate::machine::{self, FRESH_FOR};

/// Who acts, in the tables.
const BY: &str = "the command line";

/// The same views as the API's, and the farm's own rights: whoever has the machine has the farm.
#[derive(Clone, Debug)]
struct Desk {
    views: AppState,
    jobs: Jobs,
}

impl Desk {
    fn db(&self) -> &Db {
        self.jobs.db()
    }
}

impl Deref for Desk {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.views
    }
}

/// The database behind the same views as the API. Without a Redis its tickets and news go nowhere:
/// the running farm finds what changed within a few seconds.
async fn open(settings: &Settings) -> Result<Desk, Failure> {
    let db = machine::open_existing(settings).await?;
    let jobs = Common::jobs(db, settings.common.redis()?.as_ref());
    // Nothing is signed or checked here.
    let issuer = Issuer::new(b"unused by the command line");
    let base = settings.api.cdn_base(settings.api.http_addr)?;
    let files = Files::new(settings.common.open_storage()?, &base);
    let cors = api::Cors::default();
    let views = AppState::new(jobs.clone(), issuer, cors, FRESH_FOR, files, Limits::off());
    Ok(Desk { views, jobs })
}
