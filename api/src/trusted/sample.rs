//! How the farm is doing, looked at in the background: whoever asks for it waits for nobody.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use entity::db::Pool;
use entity::job::{integrity, stats};
use entity::worker::Worker;
use entity::{DbErr, Time, clock, ledger};
use jobs::Kind;
use jobs::storage::Placeholder;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::queues::heads;
use super::state::AppState;
use crate::health::{Judgement, judge};
use crate::machine::{Fullness, Machine};
use crate::problem::Problem;
use crate::routes::metrics::{AiActivity, analysis};
use crate::routes::queues::QueueHead;
use crate::traffic::Minute;

/// How often it is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for a server.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest wait for all that the tables are asked.
const MORE_PATIENCE: Duration = Duration::from_secs(4);
/// A storage is asked that seldom: some count every question.
const STORAGE_EVERY: Duration = Duration::from_secs(30);
/// The ledger is added up that seldom: it is read whole.
const AUDIT_EVERY: Duration = Duration::from_secs(600);
/// Longest wait for its sum.
const AUDIT_PATIENCE: Duration = Duration::from_secs(30);
/// Over this many looks captions without an answer are counted: five minutes.
const AI_LOOKS: usize = 60;
/// Of fewer captions nothing is said.
const ENOUGH_CAPTIONS: i64 = 10;

/// What came of asking somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An answer, after so long.
    Came(Duration),
    /// A refusal.
    Refused,
    /// Nothing, for as long as was waited.
    Silent,
}

/// What the tables say.
#[derive(Clone, Debug)]
pub(crate) struct Farm {
    pub(crate) queues: Vec<QueueHead>,
    /// Workers whose lease is live.
    pub(crate) live: Vec<Worker>,
    pub(crate) ai: AiActivity,
    /// Waiting jobs of kinds that no live worker runs.
    pub(crate) unserved: i64,
    /// How long the longest run takes already.
    pub(crate) longest_ms: Option<i64>,
}

impl Farm {
    /// Workers that take new work.
    pub(crate) fn working(&self) -> impl Iterator<Item = &Worker> {
        self.live.iter().filter(|worker| !worker.draining)
    }
}

/// The farm at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// By this machine's clock: the database's may be away.
    pub(crate) at: Time,
    pub(crate) database: Answer,
    pub(crate) tickets: Answer,
    pub(crate) storage: Answer,
    /// `None` when the database did not say.
    pub(crate) farm: Option<Farm>,
    /// By how many credits wallets are off; `None` before they were added up.
    pub(crate) drift: Option<i64>,
    /// Of the captions of the last minutes, those without an answer, 0 to 1; `None` of few.
    pub(crate) ai_failures: Option<f64>,
    /// What this process answered.
    pub(crate) minute: Minute,
    /// Answers from memory and from the database, since it began.
    pub(crate) cached: (u64, u64),
    pub(crate) machine: Fullness,
    pub(crate) pool: Pool,
}

/// A sample with what is judged of it.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) sample: Sample,
    pub(crate) judgement: Judgement,
}

/// The newest look, and what looks remember of each other.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// `None` while nobody watches.
    shown: Mutex<Option<Arc<Look>>>,
    memory: tokio::sync::Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    machine: Machine,
    data_dir: PathBuf,
    storage: Option<(Instant, Answer)>,
    /// When the last audit began, and the one under way: it may take longer than a look.
    audited: Option<Instant>,
    audit: Option<JoinHandle<Option<i64>>>,
    drift: Option<i64>,
    /// Captions with an answer and without, over all workers, look by look.
    captions: VecDeque<(i64, i64)>,
    /// When each alert was raised.
    alerts: BTreeMap<String, Time>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            machine: Machine::default(),
            data_dir: PathBuf::from("."),
            storage: None,
            audited: None,
            audit: None,
            drift: None,
            captions: VecDeque::new(),
            alerts: BTreeMap::new(),
        }
    }
}

/// Whether a look calls for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alerts {
    Raised,
    NotYet,
}

impl Vitals {
    fn shown(&self) -> MutexGuard<'_, Option<Arc<Look>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks now, and from then on until the process stops. `data_dir` is on the disk that is measured.
pub(crate) async fn watch(state: &AppState, data_dir: &Path) {
    data_dir.clone_into(&mut state.vitals.memory.lock().await.data_dir);
    let state = state.clone();
    // The others may be beginning, too: what is missing now is missed at the next look.
    let first = look(&state, Alerts::NotYet).await;
    *state.vitals.shown() = Some(first);
    tokio::spawn(async move {
        let mut next = tokio::time::interval(LOOK_EVERY);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        next.tick().await;
        loop {
            tokio::select! {
                () = state.stop.cancelled() => return,
                _ = next.tick() => {}
            }
            let look = look(&state, Alerts::Raised).await;
            *state.vitals.shown() = Some(look);
        }
    });
}

/// The newest look, shared; where nobody watches, one is taken now.
pub(crate) async fn newest(state: &AppState) -> Arc<Look> {
    let shown = state.vitals.shown().clone();
    match shown {
        Some(look) => look,
        None => look(state, Alerts::Raised).await,
    }
}

async fn look(state: &AppState, alerts: Alerts) -> Arc<Look> {
    let memory = &mut *state.vitals.memory.lock().await;
    let sample = sample(state, memory).await;
    let mut judgement = judge(&sample);
    if alerts == Alerts::NotYet {
        judgement.alerts.clear();
    }
    remember(&mut memory.alerts, &mut judgement, sample.at);
    tell(&sample, &judgement);
    Arc::new(Look { sample, judgement })
}

/// Says since when each alert is raised, and logs the changes.
fn remember(raised: &mut BTreeMap<String, Time>, judgement: &mut Judgement, now: Time) {
    let codes: Vec<&str> = judgement.alerts.iter().map(|alert| alert.code.as_str()).collect();
    raised.retain(|code, _| {
        let stays = codes.contains(&code.as_str());
        if !stays {
            tracing::info!(code, "an alert is over");
        }
        stays
    });
    for alert in &mut judgement.alerts {
        let since = *raised.entry(alert.code.clone()).or_insert_with(|| {
            tracing::warn!(code = alert.code, message = alert.message, "an alert is raised");
            now
        });
        alert.since = since.rfc3339();
    }
}

/// For Prometheus.
fn tell(sample: &Sample, judgement: &Judgement) {
    metrics::gauge!("farm_health_score").set(judgement.score);
    if let Some(drift) = sample.drift {
        metrics::gauge!("farm_ledger_drift_credits").set(drift as f64);
    }
    let Some(farm) = &sample.farm else { return };
    metrics::gauge!("farm_workers").set(farm.live.len() as f64);
    for queue in &farm.queues {
        let depths = [
            ("queued", queue.queued),
            ("retrying", queue.retrying),
            ("running", queue.running),
            ("waiting_for_children", queue.waiting_for_children),
        ];
        for (word, depth) in depths {
            let labels = [("queue", queue.name.clone()), ("state", word.to_owned())];
            metrics::gauge!("farm_queue_depth", &labels).set(depth as f64);
        }
        let oldest = queue.oldest_due_ms.unwrap_or(0) as f64 / 1_000.0;
        metrics::gauge!("farm_queue_oldest_age_seconds", "queue" => queue.name.clone()).set(oldest);
    }
}

async fn sample(state: &AppState, memory: &mut Memory) -> Sample {
    let (database, tickets, storage) = tokio::join!(
        asked("the database", async { state.exact_now().await.map_err(|e| e.to_string()) }),
        asked("the tickets", state.tickets()),
        storage(state, memory.storage),
    );
    memory.storage = Some(storage);
    let farm = match database {
        Answer::Came(_) => timeout(MORE_PATIENCE, farm(state)).await.ok().and_then(Result::ok),
        Answer::Refused | Answer::Silent => None,
    };
    audit(state, memory, farm.is_some()).await;
    let ai_failures = farm.as_ref().and_then(|farm| failures(&mut memory.captions, &farm.ai));
    Sample {
        at: now(),
        database,
        tickets,
        storage: storage.1,
        farm,
        drift: memory.drift,
        ai_failures,
        minute: state.traffic.minute(),
        cached: state.traffic.cached(),
        machine: memory.machine.look(&memory.data_dir),
        pool: state.farm().pool(),
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(since.as_millis() as i64)
}

async fn asked<T>(whom: &str, asked: impl Future<Output = Result<T, String>>) -> Answer {
    let began = Instant::now();
    match timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => Answer::Came(began.elapsed()),
        Ok(Err(error)) => {
            // Its words are for the log: they may quote addresses.
            tracing::debug!(whom, error, "refused");
            Answer::Refused
        }
        Err(_) => Answer::Silent,
    }
}

/// Takes the sum of an audit that has ended, and begins one when it is time.
async fn audit(state: &AppState, memory: &mut Memory, possible: bool) {
    if let Some(ended) = memory.audit.take_if(|audit| audit.is_finished()) {
        memory.drift = ended.await.ok().flatten();
    }
    let due = memory.audited.is_none_or(|began| began.elapsed() >= AUDIT_EVERY);
    if possible && due && memory.audit.is_none() {
        let db = state.farm().clone();
        memory.audited = Some(Instant::now());
        memory.audit = Some(tokio::spawn(async move {
            let audit = timeout(AUDIT_PATIENCE, ledger::audit::audit(db.read())).await;
            audit.ok()?.ok().map(|audit| audit.drift_credits)
        }));
    }
}

/// Asks for a picture that is always there; that it is not is an answer, too.
async fn storage(state: &AppState, before: Option<(Instant, Answer)>) -> (Instant, Answer) {
    if let Some((at, answer)) = before
        && at.elapsed() < STORAGE_EVERY
    {
        return (at, answer);
    }
    let key = Placeholder::Post.key(256);
    let size = async { state.files.storage.size(&key).await.map_err(|e| e.to_string()) };
    (Instant::now(), asked("the storage", size).await)
}

async fn farm(state: &AppState) -> Result<Farm, Problem> {
    let db = state.farm().read();
    let queues = heads(state).await?;
    let live = state.live_workers().await?;
    let named = Kind::ProfileAnalysis.policy().queue.as_str();
    let queue = queues.iter().find(|queue| queue.name == named).cloned();
    let ai = analysis(state, queue.ok_or_else(Problem::internal)?, &live).await?;
    let unserved = integrity::kinds_without_worker(db).await?;
    let longest_ms = longest(state).await?;
    Ok(Farm { queues, live, ai, unserved, longest_ms })
}

async fn longest(state: &AppState) -> Result<Option<i64>, DbErr> {
    let db = state.farm().read();
    let Some(began) = stats::longest_run(db).await? else { return Ok(None) };
    Ok(Some(clock::now(db).await?.millis_since(began)))
}

/// Of the captions since the oldest of the remembered looks, the share without an answer. A worker
/// that went took its count along: then counting begins anew.
fn failures(looks: &mut VecDeque<(i64, i64)>, ai: &AiActivity) -> Option<f64> {
    let seen = (ai.captions_done.values().sum::<i64>(), ai.captions_failed);
    if looks.back().is_some_and(|last| seen.0 < last.0 || seen.1 < last.1) {
        looks.clear();
    }
    looks.push_back(seen);
    if looks.len() > AI_LOOKS {
        looks.pop_front();
    }
    let first = *looks.front()?;
    let (done, failed) = (seen.0 - first.0, seen.1 - first.1);
    (done + failed >= ENOUGH_CAPTIONS).then(|| failed as f64 / (done + failed) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::tests::farm;

    #[test]
    fn captions_without_an_answer_are_counted_over_five_minutes() {
        let mut looks = VecDeque::new();
        let mut share = |done: i64, failed: i64| {
            let mut ai = farm().ai;
            ai.captions_done = [("lite".to_owned(), done)].into();
            ai.captions_failed = failed;
            failures(&mut looks, &ai)
        };
        assert_eq!(share(1_000, 500), None, "of what was before nothing is known");
        assert_eq!(share(1_004, 505), None, "too few");
        assert_eq!(share(1_006, 506), Some(0.5));
        // A worker went, and its count with it.
        assert_eq!(share(20, 0), None);
        assert_eq!(share(40, 5), Some(0.2));
        for _ in 0..AI_LOOKS {
            share(40, 5);
        }
        assert_eq!(share(50, 5), Some(0.0), "five minutes ago is over");
    }
}
