//! Who computes what: the threads, the tiers they stand for, and what becomes of their batches.
//! Plain state, changed under the engine's lock; threads are started and captions computed
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::EngineError;
use super::batch::Outcome;
use super::breaker::Circuit;
use super::cache::Answered;
use super::queue::{Batch, Queue};
use super::request::Answers;
use super::rung::{Facts, Rung};
use super::settings::{Loader, Progress, Settings};
use super::tally::Tally;
use crate::analysis::Offence;

/// A thread, by number; none is used twice.
pub(super) type WorkerId = u64;

/// A place for one thread: while `next` loads a better tier, `current` answers.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) current: Option<WorkerId>,
    next: Option<WorkerId>,
    /// Its last load failed: it is left as it is until then.
    not_before: Duration,
}

pub(super) struct Worker {
    slot: usize,
    pub(super) rung: usize,
    pub(super) doing: Doing,
    /// It takes no further batch.
    pub(super) retired: bool,
}

pub(super) enum Doing {
    Loading { since: Duration, progress: Progress },
    Waiting,
    Running { due: Duration, batch: Batch },
}

pub(super) struct Crew {
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    /// The best first. Never empty unless stopped.
    pub(super) rungs: Vec<Rung>,
    pub(super) slots: Vec<Slot>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Given up: they hang, and may come back one day.
    pub(super) hung: BTreeSet<WorkerId>,
    born: WorkerId,
    pub(super) stopped: bool,
    /// Why the process should be replaced.
    pub(super) replace: Option<String>,
}

impl Crew {
    pub(super) fn new(mut loaders: Vec<Loader>, settings: &Settings) -> Self {
        loaders.sort_by_key(|loader| std::cmp::Reverse(loader.tier));
        let stopped = loaders.is_empty();
        let rung = |loader| Rung::new(loader, settings.breaker);
        Self {
            queue: Queue::default(),
            tally: Tally::default(),
            rungs: loaders.into_iter().map(rung).collect(),
            slots: (0..settings.threads.max(1)).map(|_| Slot::default()).collect(),
            workers: BTreeMap::new(),
            hung: BTreeSet::new(),
            born: 0,
            stopped,
            replace: None,
        }
    }

    /// The best tier a thread stands ready for.
    pub(super) fn serving(&self) -> Option<usize> {
        let current = self.slots.iter().filter_map(|slot| slot.current);
        current.filter_map(|id| self.workers.get(&id)).map(|worker| worker.rung).min()
    }

    /// When a load is tried again, if nothing answers or is being loaded until then.
    pub(super) fn idle_until(&self, now: Duration) -> Option<Duration> {
        let retry = self.slots.iter().map(|slot| slot.not_before).min();
        retry.filter(|at| *at > now && self.workers.values().all(|worker| worker.retired))
    }

    /// The tier the slot should stand for: a half-open one is probed by the first slot alone.
    fn wanted(&self, slot: usize, now: Duration) -> usize {
        let allowed = |rung: &Rung| match rung.breaker.circuit(now) {
            Circuit::Closed => true,
            Circuit::HalfOpen => slot == 0,
            Circuit::Open => false,
        };
        self.rungs.iter().position(allowed).unwrap_or(self.lowest())
    }

    fn lowest(&self) -> usize {
        self.rungs.len().saturating_sub(1)
    }

    /// Gives up the threads that hang. True when there were any.
    pub(super) fn give_up_the_hung(&mut self, now: Duration, settings: &Settings) -> bool {
        let hangs = |worker: &Worker| match worker.doing {
            Doing::Loading { since, .. } => since.saturating_add(settings.per_load) <= now,
            Doing::Waiting => false,
            Doing::Running { due, .. } => due <= now,
        };
        let ids: Vec<_> =
            self.workers.iter().filter(|(_, w)| hangs(w)).map(|(id, _)| *id).collect();
        for id in &ids {
            let Some(worker) = self.remove(*id) else { continue };
            self.hung.insert(*id);
            self.tally.restarts += 1;
            let tier = self.rungs[worker.rung].loader.tier;
            tracing::error!(ai.tier = %tier, ai.hung = self.hung.len(), "an inference thread hangs");
            match worker.doing {
                Doing::Running { batch, .. } => {
                    self.lose(now, worker.rung, &batch, "its thread hung");
                }
                Doing::Loading { .. } => self.load_failed(now, &worker, "loading hangs", settings),
                Doing::Waiting => {}
            }
        }
        if self.hung.len() >= settings.hung.max(1) && !self.stopped {
            self.stop(Some(format!("{} inference threads hang", self.hung.len())));
        }
        !ids.is_empty()
    }

    /// Retires who stands for a tier that is closed, and says which slot is to load which tier next:
    /// one at a time, for loading takes most memory.
    pub(super) fn arrange(&mut self, now: Duration) -> Option<(usize, usize)> {
        if self.stopped {
            self.workers.values_mut().for_each(|worker| worker.retired = true);
            return None;
        }
        let wanted: Vec<_> = (0..self.slots.len()).map(|slot| self.wanted(slot, now)).collect();
        for (slot, wanted) in self.slots.iter_mut().zip(&wanted) {
            let mut retire = |place: &mut Option<WorkerId>, no_good: fn(usize, usize) -> bool| {
                let worker = place.and_then(|id| self.workers.get_mut(&id));
                if let Some(worker) = worker.filter(|worker| no_good(worker.rung, *wanted)) {
                    worker.retired = true;
                    *place = None;
                }
            };
            retire(&mut slot.current, |rung, wanted| rung < wanted);
            retire(&mut slot.next, |rung, wanted| rung != wanted);
        }
        if self.workers.values().any(|worker| matches!(worker.doing, Doing::Loading { .. })) {
            return None;
        }
        let stands = |slot: &Slot| slot.current.and_then(|id| Some(self.workers.get(&id)?.rung));
        let lacks = |(slot, wanted): &(&Slot, &usize)| {
            slot.not_before <= now && stands(slot) != Some(**wanted)
        };
        let slot = self.slots.iter().zip(&wanted).position(|both| lacks(&both))?;
        Some((slot, wanted[slot]))
    }

    /// Enters a thread that will load this tier for this slot.
    pub(super) fn enter(
        &mut self,
        now: Duration,
        slot: usize,
        rung: usize,
    ) -> (WorkerId, Progress) {
        self.born += 1;
        let progress = Progress::default();
        let doing = Doing::Loading { since: now, progress: progress.clone() };
        self.workers.insert(self.born, Worker { slot, rung, doing, retired: false });
        self.slots[slot].next = Some(self.born);
        (self.born, progress)
    }

    /// The thread has its analyzer: it takes its slot over.
    pub(super) fn loaded(&mut self, now: Duration, id: WorkerId, facts: Facts) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Doing::Loading { since, .. } = worker.doing else { return };
        worker.doing = Doing::Waiting;
        self.rungs[worker.rung].loaded(facts, now.saturating_sub(since));
        if worker.retired {
            return;
        }
        let slot = &mut self.slots[worker.slot];
        slot.next = None;
        if let Some(former) = slot.current.replace(id).and_then(|id| self.workers.get_mut(&id)) {
            former.retired = true;
        }
    }

    /// The thread has no analyzer, and ends.
    pub(super) fn not_loaded(&mut self, now: Duration, id: WorkerId, reason: &str, by: &Settings) {
        if let Some(worker) = self.remove(id) {
            self.load_failed(now, &worker, reason, by);
        }
    }

    fn load_failed(&mut self, now: Duration, worker: &Worker, reason: &str, settings: &Settings) {
        let elsewhere = self.workers.values().any(|other| {
            other.rung == worker.rung && !matches!(other.doing, Doing::Loading { .. })
        });
        let lowest = worker.rung == self.lowest();
        if elsewhere || lowest {
            self.slots[worker.slot].not_before = now.saturating_add(settings.breaker.open_for);
        }
        let rung = &mut self.rungs[worker.rung];
        rung.load_failed(now, reason, elsewhere || lowest);
        tracing::error!(ai.tier = %rung.loader.tier, error = reason, "a tier could not be loaded");
        if lowest && !elsewhere {
            self.queue.fail_all(&EngineError::Lost);
        }
    }

    /// The next batch for this thread, until `due`.
    pub(super) fn start(&mut self, id: WorkerId, due: Duration, by: &Settings) -> Option<Batch> {
        let idle = |worker: &&Worker| !worker.retired && matches!(worker.doing, Doing::Waiting);
        let idle = self.workers.values().filter(idle).count();
        let worker = self.workers.get_mut(&id)?;
        let batch = self.queue.take(by, idle)?;
        worker.doing = Doing::Running { due, batch: batch.clone() };
        Some(batch)
    }

    /// The batch goes on until then. False when the thread was given up.
    pub(super) fn beat(&mut self, id: WorkerId, until: Duration) -> bool {
        match self.workers.get_mut(&id).map(|worker| &mut worker.doing) {
            Some(Doing::Running { due, .. }) => *due = until,
            _ => return false,
        }
        true
    }

    /// Takes what became of a batch. False when the thread is to end.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        id: WorkerId,
        outcome: Outcome,
        answered: &Answered,
    ) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        let rung = worker.rung;
        let Doing::Running { batch, .. } = std::mem::replace(&mut worker.doing, Doing::Waiting)
        else {
            return false;
        };
        match outcome {
            Outcome::Abandoned => return false,
            Outcome::Broken => {
                self.tally.restarts += 1;
                let tier = self.rungs[rung].loader.tier;
                tracing::warn!(ai.tier = %tier, "an analyzer is broken and is loaded anew");
                self.queue.give_back(batch);
                if self.stopped {
                    self.queue.fail_all(&EngineError::Stopped);
                }
                return false;
            }
            Outcome::Answered(answers) => {
                let by_model = |answer: &_| matches!(answer, Err(Offence::Model(_)));
                if answers.iter().any(Result::is_ok) {
                    self.deliver(now, rung, &batch, &answers, answered);
                    self.rungs[rung].succeeded(now);
                } else if !answers.iter().any(by_model) {
                    self.deliver(now, rung, &batch, &answers, answered);
                } else if batch.flights.len() == 1 {
                    self.deliver(now, rung, &batch, &answers, answered);
                    self.count_failure(now, rung, &batch, "the model failed on every caption");
                } else {
                    self.lose(now, rung, &batch, "the model failed on every caption");
                }
            }
        }
        true
    }

    fn deliver(&mut self, now: Duration, rung: usize, batch: &Batch, all: &Answers, to: &Answered) {
        self.queue.land(&batch.flights);
        self.tally.batch(now, all.len());
        let rung = &self.rungs[rung];
        for (flight, answer) in batch.flights.iter().zip(all) {
            match answer {
                Ok(analysis) => {
                    self.tally.answer(analysis);
                    self.queue.clear(&flight.content);
                    // What a tier left to a lower one is asked for again.
                    if let Some((_, maker)) = &rung.facts
                        && analysis.tier == rung.loader.tier
                    {
                        to.put(now, flight.content, *maker, analysis);
                    }
                }
                Err(_) => self.tally.offences += 1,
            }
            flight.answer(answer);
        }
    }

    /// The batch will not be answered.
    fn lose(&mut self, now: Duration, rung: usize, batch: &Batch, reason: &str) {
        match batch.flights.as_slice() {
            // It was alone for having been in a lost batch: now it is known to be the one.
            [one] if one.alone => {
                self.queue.land(&batch.flights);
                self.tally.offences += 1;
                one.answer(&Err(Offence::Model(reason.to_owned())));
            }
            flights => {
                self.tally.lost += flights.len() as u64;
                self.queue.lose(flights);
            }
        }
        self.count_failure(now, rung, batch, reason);
    }

    fn count_failure(&mut self, now: Duration, rung: usize, batch: &Batch, reason: &str) {
        if rung != self.lowest() {
            self.rungs[rung].failed(now, reason, &batch.flights);
        }
    }

    /// The thread has ended; `died` when by a panic.
    pub(super) fn left(&mut self, now: Duration, id: WorkerId, died: bool, settings: &Settings) {
        self.hung.remove(&id);
        let Some(worker) = self.remove(id) else { return };
        if died {
            self.tally.restarts += 1;
            let tier = self.rungs[worker.rung].loader.tier;
            tracing::error!(ai.tier = %tier, "an inference thread died and is started anew");
        }
        match worker.doing {
            Doing::Running { batch, .. } => self.lose(now, worker.rung, &batch, "its thread died"),
            Doing::Loading { .. } => self.load_failed(now, &worker, "its thread died", settings),
            Doing::Waiting => {}
        }
    }

    fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        let slot = &mut self.slots[worker.slot];
        for place in [&mut slot.current, &mut slot.next] {
            place.take_if(|held| *held == id);
        }
        Some(worker)
    }

    /// No thread takes a further batch; all that wait are told.
    pub(super) fn stop(&mut self, replace: Option<String>) {
        if let Some(reason) = &replace {
            tracing::error!(error = reason, "the engine stops: the process is to be replaced");
        }
        self.replace = self.replace.take().or(replace);
        self.stopped = true;
        self.queue.fail_all(&EngineError::Stopped);
        self.workers.values_mut().for_each(|worker| worker.retired = true);
    }
}
