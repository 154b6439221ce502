//! What the stories of commands share: a data dir of their own, and jobs in it.

use std::path::Path;

use clap::{Parser, Subcommand};
use entity::{args, sql};
use jobs::Options;
use jobs::kinds::noop::Noop;
use jobs::process::Env;
use tempfile::TempDir;
use uuid::Uuid;

use super::Desk;
use crate::config::Settings;
use crate::machine;

#[derive(Debug, Parser)]
struct Line<A: Subcommand> {
    #[command(subcommand)]
    action: A,
}

/// Reads a command line, without the command's name.
pub(super) fn parse<A: Subcommand>(words: &[&str]) -> Result<A, clap::Error> {
    let words = std::iter::once(&"farm").chain(words);
    Line::<A>::try_parse_from(words).map(|line| line.action)
}

/// Settings of a farm that keeps everything in `dir`.
pub(super) fn settings(dir: &Path) -> Settings {
    let dir = dir.to_str().unwrap().to_owned();
    let env = Env::of([("FARM_DATA_DIR".to_owned(), dir)]).unwrap();
    Settings::read(&env).unwrap()
}

/// A farm that nobody runs.
pub(super) struct Farm {
    pub(super) settings: Settings,
    pub(super) state: Desk,
    _dir: TempDir,
}

impl Farm {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        machine::open_database(&settings).await.unwrap();
        let state = super::open(&settings).await.unwrap();
        Self { settings, state, _dir: dir }
    }

    /// So many jobs that wait.
    pub(super) async fn waiting(&self, count: usize) -> Vec<Uuid> {
        let mut ids = vec![];
        for _ in 0..count {
            let job = self.state.jobs.submit(&Noop::default(), &Options::default()).await;
            ids.push(job.unwrap().id);
        }
        ids
    }

    /// So many jobs that failed.
    pub(super) async fn failed(&self, count: usize) -> Vec<Uuid> {
        let ids = self.waiting(count).await;
        for id in &ids {
            self.set(
                "UPDATE jobs SET state = 'failed', finished_at = {now}, error_code = 'fatal', \
                 error_message = 'told to fail for good', error_fingerprint = 'fatal-00c0ffee' \
                 WHERE id = ?",
                args![*id],
            )
            .await;
        }
        ids
    }

    /// Changes rows.
    pub(super) async fn set(&self, statement: &str, args: Vec<sql::Arg>) {
        sql::execute(self.state.db().write(), statement, args).await.unwrap();
    }
}
