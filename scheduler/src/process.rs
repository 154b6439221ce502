//! The scheduler as a process: `farm scheduler`, and the program `scheduler`.

use entity::db::Plans;
use jobs::process::{End, Env, Failure, Settings, spawn_part, until_stopped};
use tokio_util::sync::CancellationToken;

use crate::{Scheduler, UpkeepConfig};

/// Database connections of this role: one per loop.
const CONNECTIONS: u32 = 5;

/// Runs the role until it is told to stop. Any number may run.
///
/// # Errors
/// A sentence.
pub async fn run(_: Env, settings: Settings) -> Result<End, Failure> {
    settings.require_cluster("scheduler")?;
    let _metrics = settings.tell_metrics().await?;
    let db = settings.connect_migrated(CONNECTIONS, Plans::Fresh).await?;
    let jobs = Settings::jobs(db, settings.redis()?.as_ref());
    let stop = CancellationToken::new();
    let scheduler = Scheduler::new(jobs, UpkeepConfig::default())
        .map_err(Failure::during("the schedule cannot be read"))?;
    let (loops, gone) = spawn_part(scheduler.run_until(stop.clone()));
    println!("scheduler runs");
    let end = until_stopped(gone.cancelled()).await?;
    stop.cancel();
    let _ = loops.await;
    Ok(end)
}
