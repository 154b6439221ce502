//! What operators watch, looked at by one task for all who listen; while nobody does, by none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entity::{DbErr, clock};
use tokio::sync::watch;
use tokio::time::Instant;

use super::queues::heads;
use super::workers::workers;
use crate::routes::workers::LiveView;
use crate::state::AppState;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What has not changed is told this often.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// The newest sample; none while nobody listens.
type Newest = Option<Arc<LiveView>>;

/// The listeners of one process.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    samples: watch::Sender<Newest>,
    /// Whether the task is there.
    looking: Arc<Mutex<bool>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { samples: watch::channel(None).0, looking: Arc::default() }
    }
}

impl Live {
    /// Hears every sample from now on, the newest one first.
    pub(crate) fn listen(&self, state: &AppState) -> watch::Receiver<Newest> {
        let mut looking = self.looking();
        let mut samples = self.samples.subscribe();
        if !*looking {
            *looking = true;
            tokio::spawn(look(state.clone(), Turn { live: self.clone(), over: false }));
        }
        samples.mark_changed();
        samples
    }

    fn looking(&self) -> MutexGuard<'_, bool> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one task's place, given up however it ends.
struct Turn {
    live: Live,
    over: bool,
}

impl Turn {
    /// True, and the place given up, when nobody listens any more.
    fn is_over(&mut self) -> bool {
        // Under the lock, so that who comes now either is counted or starts anew.
        let mut looking = self.live.looking();
        self.over = self.live.samples.receiver_count() == 0;
        if self.over {
            *looking = false;
            // Who comes next must not be told what was.
            self.live.samples.send_replace(None);
        }
        self.over
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            *self.live.looking() = false;
        }
    }
}

async fn look(state: AppState, mut turn: Turn) {
    let mut number = 0;
    let mut told: Option<(Instant, Arc<LiveView>)> = None;
    loop {
        match view(&state, number + 1).await {
            Ok(view) => {
                let news = told
                    .as_ref()
                    .is_none_or(|(at, old)| at.elapsed() >= TELL_EVERY || !same(old, &view));
                if news {
                    number = view.number;
                    let view = Arc::new(view);
                    turn.live.samples.send_replace(Some(view.clone()));
                    told = Some((Instant::now(), view));
                }
            }
            Err(error) => tracing::warn!(%error, "workers and queues could not be looked at"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
        if turn.is_over() {
            return;
        }
    }
}

async fn view(state: &AppState, number: i64) -> Result<LiveView, DbErr> {
    let at = clock::now(state.farm().read()).await?.rfc3339();
    Ok(LiveView { number, at, workers: workers(state).await?, queues: heads(state).await? })
}

/// Whether only time has passed.
fn same(old: &LiveView, new: &LiveView) -> bool {
    old.workers == new.workers && old.queues == new.queues
}
