//! Queues as they stand, and what they did.

use entity::enums::{JobState, Queue};
use entity::job::stats::{self, Ended, percentile};
use entity::queue_control::{self, QueueControl};
use entity::{DbErr, Time, clock};

use super::state::AppState;
use crate::problem::Problem;
use crate::routes::queues::{PauseView, QueueHead, QueueMeasures, QueueView};

/// How far back measurements reach, in milliseconds: an hour.
const WINDOW_MS: i64 = 3_600_000;
/// Over how much of it the throughput is counted: five minutes.
const THROUGHPUT_MS: i64 = 300_000;
/// Jobs measured per queue, the newest ones.
const SAMPLE: u64 = 2_000;

/// Every queue, measured.
pub async fn all(state: &AppState) -> Result<Vec<QueueView>, DbErr> {
    let mut views = vec![];
    for head in heads(state).await? {
        views.push(QueueView { measured: measures(state, &head.name).await?, head });
    }
    Ok(views)
}

/// One queue, measured.
pub async fn one(state: &AppState, queue: Queue) -> Result<QueueView, DbErr> {
    let mut heads = heads(state).await?;
    heads.retain(|head| head.name == queue.as_str());
    let head = heads.pop().ok_or_else(|| DbErr::RecordNotFound(queue.to_string()))?;
    Ok(QueueView { measured: measures(state, &head.name).await?, head })
}

/// A queue as it stands.
pub async fn head(state: &AppState, queue: Queue) -> Result<QueueHead, Problem> {
    let head = heads(state).await?.into_iter().find(|head| head.name == queue.as_str());
    head.ok_or_else(Problem::internal)
}

/// The queues as they stand; those that only rows of another version know come last.
pub async fn heads(state: &AppState) -> Result<Vec<QueueHead>, DbErr> {
    let db = state.farm().read();
    let now = clock::now(db).await?;
    let waiting = stats::waiting(db).await?;
    let running = stats::running(db).await?;
    let paused = queue_control::paused(db).await?;
    let mut names: Vec<&str> = Queue::ALL.iter().map(|queue| queue.as_str()).collect();
    let found = waiting.iter().map(|w| w.queue.as_str());
    for name in found.chain(running.iter().map(|r| r.queue.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let heads = names.into_iter().map(|name| {
        let waits = waiting.iter().find(|w| w.queue == name);
        let runs = running.iter().find(|r| r.queue == name);
        QueueHead {
            name: name.to_owned(),
            queued: waits.map_or(0, |w| w.queued),
            retrying: waits.map_or(0, |w| w.retrying),
            running: runs.map_or(0, |r| r.running),
            waiting_for_children: runs.map_or(0, |r| r.parents),
            due: waits.map_or(0, |w| w.due),
            oldest_due_ms: waits
                .filter(|w| w.due > 0)
                .map(|w| now.millis_since(w.first_due).max(0)),
            paused: paused.iter().find(|p| p.queue == name).and_then(pause_view),
        }
    });
    Ok(heads.collect())
}

fn pause_view(control: &QueueControl) -> Option<PauseView> {
    Some(PauseView {
        by: control.paused_by.clone().unwrap_or_default(),
        at: control.paused_at?.rfc3339(),
        reason: control.reason.clone().filter(|reason| !reason.is_empty()),
    })
}

/// What a queue did within the last hour.
pub async fn measures(state: &AppState, queue: &str) -> Result<QueueMeasures, DbErr> {
    let db = state.farm().read();
    let now = clock::now(db).await?;
    let ended = stats::ended(db, queue, WINDOW_MS, SAMPLE).await?;
    Ok(measure(now, &ended))
}

fn measure(now: Time, ended: &[Ended]) -> QueueMeasures {
    // The sample is cut when it is full: then it reaches back to its oldest row only.
    let oldest = ended.last().filter(|_| ended.len() as u64 >= SAMPLE);
    let window_ms = oldest.map_or(WINDOW_MS, |o| now.millis_since(o.finished_at).max(1));
    let mut waits: Vec<i64> = ended.iter().filter_map(Ended::waited_ms).collect();
    waits.sort_unstable();
    let span_ms = THROUGHPUT_MS.min(window_ms);
    let lately = ended.iter().filter(|e| now.millis_since(e.finished_at) < span_ms).count();
    let some = !ended.is_empty();
    QueueMeasures {
        jobs: ended.len() as i64,
        window_seconds: window_ms / 1_000,
        wait_p50_ms: percentile(&waits, 0.50),
        wait_p95_ms: percentile(&waits, 0.95),
        wait_p99_ms: percentile(&waits, 0.99),
        throughput_per_minute: some.then(|| lately as f64 * 60_000.0 / span_ms as f64),
        failed: some.then(|| ended.iter().filter(|e| e.state == JobState::Failed).count() as i64),
    }
}
