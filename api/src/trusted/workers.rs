//! Workers as they stand, and whether the rows add up.

use entity::job::integrity;
use entity::{DbErr, Time, clock, worker};

use super::state::AppState;
use crate::routes::workers::{Integrity, RunView, WorkerView};

/// What contradicts itself now.
pub async fn contradictions(state: &AppState) -> Result<Integrity, DbErr> {
    let found = integrity::inspect(state.farm().read()).await?;
    let clean = found.is_clean();
    let found = serde_json::to_value(found).and_then(serde_json::from_value);
    let findings = found.map_err(|error| DbErr::Json(error.to_string()))?;
    Ok(Integrity { clean, findings })
}

/// Every worker of the farm.
pub async fn workers(state: &AppState) -> Result<Vec<WorkerView>, DbErr> {
    let db = state.farm().read();
    let now = clock::now(db).await?;
    let rows = worker::recent(db).await?;
    let kinds = worker::kinds(db).await?;
    let runs = worker::current_runs(db).await?;
    let views = rows.into_iter().map(|row| WorkerView {
        id: row.id,
        alive: row.lease_until > now,
        draining: row.draining,
        slots: row.slots,
        kinds: kinds.iter().filter(|k| k.worker_id == row.id).map(|k| k.kind.clone()).collect(),
        memory_bytes: row.memory_bytes,
        started_at: row.started_at.rfc3339(),
        last_heartbeat_at: row.renewed_at.map(Time::rfc3339),
        jobs: runs
            .iter()
            .filter(|run| run.worker == row.id)
            .map(|run| run_view(run, now))
            .collect(),
        host: row.host,
        version: row.version,
    });
    Ok(views.collect())
}

fn run_view(run: &worker::CurrentRun, now: Time) -> RunView {
    RunView {
        id: run.id,
        kind: run.kind.clone(),
        queue: run.queue.clone(),
        attempt: run.attempt,
        stage: run.stage.clone(),
        elapsed_ms: run.claimed_at.map(|began| now.millis_since(began).max(0)),
    }
}
