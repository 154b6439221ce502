//! What the callers, the inference threads and the watch share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::Notify;

use super::batch::Outcome;
use super::cache::Answered;
use super::clock::Clock;
use super::crew::{Crew, Doing, WorkerId};
use super::queue::Batch;
use super::rung::Facts;
use super::settings::{Loader, Settings};
use super::worker;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) answered: Answered,
    /// Told when a thread ends.
    pub(super) left: Notify,
    /// Told when anything in `crew` changes that somebody waits for.
    pub(super) changed: Condvar,
    crew: Mutex<Crew>,
}

/// How often the watch looks for threads that hang and tiers to try again.
const WATCH: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn new(loaders: Vec<Loader>, settings: Settings, clock: Clock) -> Self {
        Self {
            crew: Mutex::new(Crew::new(loaders, &settings)),
            answered: Answered::new(settings.remembered, settings.remember_for),
            left: Notify::new(),
            changed: Condvar::new(),
            settings,
            clock,
        }
    }

    /// Held for microseconds: nothing is computed or loaded under it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the threads to where they should be.
    pub(super) fn arrange(self: &Arc<Self>, crew: &mut Crew) {
        let now = self.clock.now();
        if crew.give_up_the_hung(now, &self.settings) {
            self.left.notify_waiters();
        }
        while let Some((slot, rung)) = crew.arrange(now) {
            let (id, progress) = crew.enter(now, slot, rung);
            let loader = crew.rungs[rung].loader.clone();
            let shared = self.clone();
            let thread = Builder::new().name(format!("ai-{slot}"));
            let started = thread.spawn(move || worker::run(&shared, id, &loader, &progress));
            if let Err(error) = started {
                let reason = format!("a thread could not be started: {error}");
                crew.not_loaded(now, id, &reason, &self.settings);
            }
        }
        self.changed.notify_all();
    }

    /// Looks after the threads until the engine has stopped.
    pub(super) fn watch(self: &Arc<Self>) {
        let mut crew = self.lock();
        loop {
            self.arrange(&mut crew);
            if crew.stopped && crew.workers.is_empty() {
                return;
            }
            let next = self.clock.now() + WATCH;
            crew = self.clock.wait(&self.changed, crew, Some(next));
        }
    }

    /// Ends every thread after its batch; `replace` says why the process should be replaced.
    pub(super) fn stop(&self, replace: Option<String>) {
        self.lock().stop(replace);
        self.changed.notify_all();
    }

    /// Waits until no batch is under way.
    pub(super) async fn stopped(&self) {
        loop {
            let left = self.left.notified();
            let running = |doing: &Doing| matches!(doing, Doing::Running { .. });
            if !self.lock().workers.values().any(|worker| running(&worker.doing)) {
                return;
            }
            left.await;
        }
    }
}

/// What a thread does.
impl Shared {
    /// The thread has its analyzer, or not.
    pub(super) fn loaded(self: &Arc<Self>, id: WorkerId, facts: Result<Facts, &str>) {
        let mut crew = self.lock();
        let now = self.clock.now();
        match facts {
            Ok(facts) => crew.loaded(now, id, facts),
            Err(reason) => crew.not_loaded(now, id, reason, &self.settings),
        }
        self.arrange(&mut crew);
    }

    /// Waits for the next batch. `None` when the thread is to end.
    pub(super) fn next(&self, id: WorkerId) -> Option<Batch> {
        let mut crew = self.lock();
        while !crew.workers.get(&id)?.retired {
            let now = self.clock.now();
            let ready_at = crew.queue.ready_at(&self.settings);
            if ready_at.is_some_and(|at| at <= now) {
                // The first beat says how long it may run.
                if let Some(batch) =
                    crew.start(id, now.saturating_add(self.bound(1)), &self.settings)
                {
                    return Some(batch);
                }
            } else {
                crew = self.clock.wait(&self.changed, crew, ready_at);
            }
        }
        None
    }

    /// The thread is about to compute so many captions at once. False when it was given up.
    pub(super) fn beat(&self, id: WorkerId, captions: usize) -> bool {
        let until = self.clock.now().saturating_add(self.bound(captions));
        self.lock().beat(id, until)
    }

    fn bound(&self, captions: usize) -> Duration {
        let captions = self.settings.per_caption.saturating_mul(captions as u32);
        self.settings.per_batch.saturating_add(captions)
    }

    /// Takes what became of a batch. False when the thread is to end.
    pub(super) fn finish(self: &Arc<Self>, id: WorkerId, outcome: Outcome) -> bool {
        let mut crew = self.lock();
        let goes_on = crew.finish(self.clock.now(), id, outcome, &self.answered);
        self.arrange(&mut crew);
        goes_on
    }

    /// The thread has ended; `died` when by a panic.
    pub(super) fn leave(self: &Arc<Self>, id: WorkerId, died: bool) {
        let mut crew = self.lock();
        crew.left(self.clock.now(), id, died, &self.settings);
        self.arrange(&mut crew);
        self.left.notify_waiters();
    }
}
