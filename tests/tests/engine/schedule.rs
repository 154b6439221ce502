//! The schedule: each tick once, whoever runs it and however often it dies; none before its time.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::enums::{JobState, Priority};
use entity::job::enqueue::NewJob;
use entity::job::query;
use entity::{Time, schedule};
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use jobs::{Jobs, JobsError, Options};
use scheduler::{ENTRIES, Entry, Schedule};
use tests::{System, eventually};
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Every ten minutes, a job without a key.
const BEAT: Entry = Entry { name: "beat", cron: "0 */10 * * * *", job: noop };

pub fn noop(_: Time) -> Result<NewJob, JobsError> {
    new_job(&Noop::default(), &Options::default())
}

/// A job that the database refuses.
fn refused(tick: Time) -> Result<NewJob, JobsError> {
    Ok(NewJob { max_attempts: 0, ..noop(tick)? })
}

async fn still() -> System {
    System::builder().workers(0).without_upkeep().start().await
}

fn of(system: &System, entries: &[Entry]) -> Schedule {
    Schedule::new(system.jobs.clone(), entries).unwrap()
}

/// The row of an entry.
pub async fn row(system: &System, name: &str) -> schedule::Schedule {
    let rows = schedule::list(system.db().read()).await.unwrap();
    rows.into_iter().find(|row| row.name == name).expect("a registered entry")
}

/// The ticks whose jobs were enqueued, as their jobs name them, oldest job first.
pub async fn enqueued(system: &System) -> Vec<String> {
    let mut jobs = system.open_jobs().await;
    jobs.sort_by_key(|job| job.id);
    jobs.into_iter().filter_map(|job| job.request_id).collect()
}

fn named(name: &str, tick: Time) -> String {
    format!("schedule:{name}:{}", tick.rfc3339())
}

/// Moves the farm's clock to just after the next tick of an entry; returns the tick.
async fn to_next_tick(system: &System, ours: &Schedule, name: &str) -> Time {
    let now = system.now().await;
    let tick = ours.ticks_after(name, now).next().unwrap();
    system.advance(Duration::from_millis(tick.millis_since(now) as u64)).await;
    tick
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_fires_nothing_and_the_next_tick_runs() {
    let system = still().await;
    let ours = of(&system, ENTRIES);
    assert_eq!(ours.pass().await.unwrap(), []);
    assert_eq!(ours.pass().await.unwrap(), []);
    assert!(system.open_jobs().await.is_empty());
    for entry in ENTRIES {
        let row = row(&system, entry.name).await;
        assert!(row.last_tick.unwrap() <= system.now().await);
        assert_eq!((row.taken_at, row.last_job), (None, None), "nothing was taken");
    }
    let tick = to_next_tick(&system, &ours, "prune").await;
    let taken = ours.pass().await.unwrap();
    let prune = taken.iter().find(|taken| taken.name == "prune").unwrap();
    assert_eq!(prune.tick, tick);
    let row = row(&system, "prune").await;
    assert_eq!((row.last_tick, row.last_job), (Some(tick), Some(prune.job)));
    assert!(row.taken_at.unwrap() >= tick);
    let job = system.job(prune.job).await;
    assert_eq!(
        (job.kind.as_str(), job.queue.as_str(), job.priority),
        ("prune", "upkeep", Priority::Bulk)
    );
    assert_eq!(job.request_id, Some(named("prune", tick)));
    system.end_with_open_jobs().await;
}

/// A small seeded generator (splitmix64): the same storm every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// A scheduler with connections of its own.
async fn another(system: &System) -> Schedule {
    let db = system.db().apart().await.unwrap();
    Schedule::new(Jobs::new(db, system.jobs.tickets().clone()), &[BEAT]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_schedulers_that_die_at_random_take_every_tick_once() {
    const TICKS: usize = 200;
    let system = still().await;
    let mut dice = Dice(20_261_122);
    let mut schedulers = vec![];
    for _ in 0..3 {
        schedulers.push(Some(another(&system).await));
    }
    assert_eq!(schedulers[0].as_ref().unwrap().pass().await.unwrap(), []);
    let (mut expected, mut broken_off) = (vec![], 0);
    let clock = of(&system, &[BEAT]);
    for _ in 0..TICKS {
        expected.push(named("beat", to_next_tick(&system, &clock, "beat").await));
        for scheduler in &mut schedulers {
            if scheduler.is_none() && dice.below(2) == 0 {
                *scheduler = Some(another(&system).await);
            }
        }
        // One of those that run lives through this tick; each other may be killed in mid-pass.
        let alive: Vec<usize> = (0..3).filter(|at| schedulers[*at].is_some()).collect();
        let survivor = match alive[..] {
            [] => {
                schedulers[0] = Some(another(&system).await);
                0
            }
            _ => alive[dice.below(alive.len() as u64) as usize],
        };
        let mut passes = vec![];
        for (at, slot) in schedulers.iter_mut().enumerate() {
            let doomed = at != survivor && dice.below(2) == 0;
            let Some(scheduler) = (if doomed { slot.take() } else { slot.clone() }) else {
                continue;
            };
            let patience = Duration::from_micros(dice.below(3_000));
            passes.push(tokio::spawn(async move {
                if !doomed {
                    return scheduler.pass().await.is_ok();
                }
                tokio::time::timeout(patience, scheduler.pass()).await.is_ok()
            }));
        }
        for pass in passes {
            broken_off += usize::from(!pass.await.unwrap());
        }
        assert_eq!(
            Some(named("beat", row(&system, "beat").await.last_tick.unwrap())),
            expected.last().cloned()
        );
    }
    assert_eq!(enqueued(&system).await, expected, "each once, none missed, in order");
    assert!(broken_off > 0, "some died in the middle of it");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_look_at_once_take_a_tick_once() {
    let system = still().await;
    let ours = of(&system, &[BEAT]);
    ours.pass().await.unwrap();
    for _ in 0..5 {
        let tick = to_next_tick(&system, &ours, "beat").await;
        let mut racers = vec![];
        for _ in 0..8 {
            let racer = another(&system).await;
            racers.push(tokio::spawn(async move { racer.take("beat", tick).await.unwrap() }));
        }
        let mut wins = 0;
        for racer in racers {
            wins += usize::from(racer.await.unwrap().is_some());
        }
        assert_eq!(wins, 1);
    }
    assert_eq!(enqueued(&system).await.len(), 5);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_without_a_scheduler_the_latest_tick_runs_at_start_up() {
    let system = still().await;
    let ours = of(&system, &[BEAT]);
    ours.pass().await.unwrap();
    system.advance(Duration::from_secs(3_600)).await;
    let latest = to_next_tick(&system, &ours, "beat").await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(of(&system, &[BEAT]).run_until(stop.clone()));
    eventually("the start-up has caught up", || async {
        (!enqueued(&system).await.is_empty()).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(ours.pass().await.unwrap(), []);
    assert_eq!(enqueued(&system).await, [named("beat", latest)], "one, not one per missed tick");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_and_a_resume_takes_the_latest_only() {
    let system = still().await;
    let db = system.db().write();
    let ours = of(&system, &[BEAT]);
    ours.pass().await.unwrap();
    assert!(schedule::pause(db, "beat", "ops@example.test").await.unwrap());
    assert!(!schedule::pause(db, "beat", "too@late.test").await.unwrap());
    let paused = row(&system, "beat").await;
    assert_eq!((paused.paused, paused.paused_by.as_deref()), (true, Some("ops@example.test")));
    assert!(paused.paused_at.is_some());
    let mut tick = paused.last_tick.unwrap();
    for _ in 0..3 {
        tick = to_next_tick(&system, &ours, "beat").await;
        assert_eq!(ours.pass().await.unwrap(), []);
        assert_eq!(ours.take("beat", tick).await.unwrap(), None, "not by force either");
    }
    assert_eq!(row(&system, "beat").await, paused, "nothing moved");
    assert!(schedule::resume(db, "beat").await.unwrap());
    assert!(!schedule::resume(db, "beat").await.unwrap());
    assert_eq!(ours.pass().await.unwrap().len(), 1);
    assert_eq!(ours.pass().await.unwrap(), []);
    assert_eq!(enqueued(&system).await, [named("beat", tick)]);
    let resumed = row(&system, "beat").await;
    assert_eq!((resumed.paused, resumed.paused_at, resumed.paused_by), (false, None, None));
    assert!(!schedule::pause(db, "nobody", "ops").await.unwrap());
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_now_joins_an_open_job_and_leaves_the_ticks_alone() {
    let mut system = still().await;
    // It alone: at another hour the way to its next tick leads over the ticks of others.
    let prune = ENTRIES.iter().find(|entry| entry.name == "prune").unwrap();
    let ours = of(&system, &[*prune]);
    ours.pass().await.unwrap();
    let before = row(&system, "prune").await;
    schedule::pause(system.db().write(), "prune", "ops").await.unwrap();
    let first = ours.run_now("prune").await.unwrap().unwrap();
    let second = ours.run_now("prune").await.unwrap().unwrap();
    assert!(first.created && !second.created, "an operator may, although it is paused");
    assert_eq!(first.id, second.id);
    assert_eq!(system.job(first.id).await.request_id.as_deref(), Some("schedule:prune:by hand"));
    assert_eq!(ours.run_now("nobody").await.unwrap(), None);
    schedule::resume(system.db().write(), "prune").await.unwrap();
    assert_eq!(row(&system, "prune").await, before);
    // A tick finds it open too, and is taken all the same.
    let tick = to_next_tick(&system, &ours, "prune").await;
    let taken = ours.pass().await.unwrap();
    assert_eq!((taken[0].tick, taken[0].job), (tick, first.id));
    system.add_worker().await;
    assert_eq!(system.finish(first.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tick_is_taken_before_its_time_nor_an_older_one_after_it() {
    let system = still().await;
    let ours = of(&system, &[BEAT]);
    ours.pass().await.unwrap();
    let before = row(&system, "beat").await;
    let mut coming = ours.ticks_after("beat", system.now().await);
    let (older, newer) = (coming.next().unwrap(), coming.next().unwrap());
    // Somebody believes that it is time; the database does not.
    for early in [newer, older] {
        assert_eq!(ours.take("beat", early).await.unwrap(), None);
    }
    assert_eq!(row(&system, "beat").await, before);
    let to = newer.millis_since(system.now().await) as u64;
    system.advance(Duration::from_millis(to)).await;
    assert!(ours.take("beat", newer).await.unwrap().unwrap().created);
    for past in [newer, older, before.last_tick.unwrap()] {
        assert_eq!(ours.take("beat", past).await.unwrap(), None);
    }
    assert_eq!(ours.take("nobody", newer).await.unwrap(), None);
    assert_eq!(enqueued(&system).await, [named("beat", newer)]);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_job_cannot_be_enqueued_stays_untaken() {
    let system = still().await;
    let broken = of(&system, &[Entry { job: refused, ..BEAT }, Entry { name: "other", ..BEAT }]);
    broken.pass().await.unwrap();
    let before = row(&system, "beat").await;
    let tick = to_next_tick(&system, &broken, "beat").await;
    let taken = broken.pass().await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.name).collect::<Vec<_>>(), ["other"]);
    assert!(broken.take("beat", tick).await.is_err());
    assert_eq!(row(&system, "beat").await, before, "the take went back with the job");
    let mended = of(&system, &[BEAT]);
    assert_eq!(mended.pass().await.unwrap()[0].tick, tick);
    let ticks: BTreeSet<String> = enqueued(&system).await.into_iter().collect();
    assert_eq!(ticks, [named("beat", tick), named("other", tick)].into());
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tick_prunes_and_its_result_stays_to_be_seen() {
    let system = System::start().await;
    let ours = of(&system, ENTRIES);
    ours.pass().await.unwrap();
    let old = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap().id;
    system.finish(old).await;
    system.advance(DAY * 8).await;
    let taken = ours.pass().await.unwrap();
    let prune = taken.iter().find(|taken| taken.name == "prune").unwrap().job;
    let done = system.finish(prune).await;
    assert_eq!((done.state, done.attempt), (JobState::Succeeded, 1));
    assert_eq!(query::by_id(system.db().read(), old).await.unwrap(), None);
    let rows = done.result.unwrap()["rows"].as_u64().unwrap();
    assert!(rows >= 1, "{rows}");
    let last = row(&system, "prune").await;
    assert_eq!(
        (last.job_state, last.job_finished_at),
        (Some(JobState::Succeeded), done.finished_at)
    );
    assert_eq!(last.job_error_code, None);
    // An entry that runs once a month is still seen to have gone well.
    system.advance(DAY * 40).await;
    system.prune().await;
    assert_eq!(row(&system, "prune").await.job_state, Some(JobState::Succeeded));
    assert_eq!(ours.pass().await.unwrap().len(), ENTRIES.len());
    system.drain().await;
    system.advance(DAY * 8).await;
    system.prune().await;
    assert_eq!(query::by_id(system.db().read(), prune).await.unwrap(), None, "only the last stays");
    system.end().await;
}
