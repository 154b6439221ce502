//! From a sample of the farm to a judgement: a grade of each part, a score of all, and what calls
//! for somebody. Pure; `trusted/sample.rs` collects the facts.

use std::time::Duration;

use entity::enums::{AiTier, Queue};
use entity::worker::{Worker, best_tier};

use crate::routes::health::{AlertView, Component, Components, Grade, ModelsHealth, Severity};
use crate::trusted::sample::{Answer, Farm, Sample};

/// Answers that take longer are slow.
const SLOW: Duration = Duration::from_millis(500);
/// A response that takes longer calls for somebody, in seconds.
const LONGEST_RESPONSE: f64 = 5.0;
/// So does this share of errors among …
const MOST_ERRORS: f64 = 0.05;
/// … so many answers.
const ENOUGH_ANSWERS: u64 = 10;
/// So does a machine this full, in percent.
const FULL: f64 = 85.0;
/// A machine this full does not go on for long.
const TOO_FULL: f64 = 95.0;
/// So does this share of captions without an answer.
const MOST_AI_FAILURES: f64 = 0.2;
/// So does one job that runs for so long, in milliseconds.
const LONGEST_RUN_MS: i64 = 600_000;
/// A queue that is later than its target by this factor does not work.
const FAR_TOO_LATE: f64 = 10.0;
/// Below this share answers of a lower tier are no trouble.
const FEW_FALLBACKS: f64 = 0.1;
/// Above this one they are the rule.
const MOST_FALLBACKS: f64 = 0.5;

/// How long the oldest job of a queue may be due, in milliseconds.
fn target_ms(queue: &str) -> i64 {
    match queue.parse() {
        // Somebody waits at a screen.
        Ok(Queue::Fetch) => 60_000,
        Ok(Queue::Ai | Queue::Media) => 600_000,
        Ok(Queue::Export | Queue::Upkeep) | Err(_) => 300_000,
    }
}

/// What is judged of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// 0 to 100: the weighed mean of the components' points.
    pub(crate) score: f64,
    pub(crate) components: Components,
    /// What calls for somebody now; `since` is left empty.
    pub(crate) alerts: Vec<AlertView>,
}

/// Judges a sample.
pub(crate) fn judge(sample: &Sample) -> Judgement {
    let farm = sample.farm.as_ref();
    let of = |judge: fn(&Farm) -> Component| farm.map_or_else(unknown, judge);
    let components = Components {
        database: answered(sample.database),
        redis: answered(sample.tickets),
        queues: of(queues),
        workers: of(workers),
        models: farm.map_or_else(
            || ModelsHealth { component: unknown(), ..ModelsHealth::default() },
            models,
        ),
        fallback: of(fallback),
        provider: of(provider),
        storage: answered(sample.storage),
        system: system(sample),
    };
    let weighed = [
        (&components.database, 0.2),
        (&components.redis, 0.15),
        (&components.workers, 0.2),
        (&components.models.component, 0.15),
        (&components.provider, 0.1),
        (&components.fallback, 0.1),
        (&components.queues, 0.1),
    ];
    let score = weighed.iter().map(|(part, weight)| part.status.points() * weight).sum();
    let alerts = alerts(sample, &components);
    Judgement { score, components, alerts }
}

fn unknown() -> Component {
    Component::bad("the database could not be asked")
}

fn answered(answer: Answer) -> Component {
    match answer {
        Answer::Came(after) if after > SLOW => Component::poor("it answers slowly"),
        Answer::Came(_) => Component::good(),
        Answer::Refused => Component::bad("it refuses"),
        Answer::Silent => Component::bad("it does not answer"),
    }
}

fn queues(farm: &Farm) -> Component {
    let late = farm.queues.iter().filter_map(|queue| {
        let late = queue.oldest_due_ms? as f64 / target_ms(&queue.name) as f64;
        (late > 1.0 && queue.paused.is_none()).then_some((late, &queue.name))
    });
    let worst = late.max_by(|a, b| a.0.total_cmp(&b.0));
    let paused = farm.queues.iter().find(|queue| queue.paused.is_some());
    match (worst, paused) {
        (Some((late, name)), _) if late > FAR_TOO_LATE => {
            Component::bad(format!("{name} is far behind"))
        }
        (Some((_, name)), _) => Component::poor(format!("{name} is behind")),
        (None, Some(queue)) => Component::poor(format!("{} is paused", queue.name)),
        (None, None) => Component::good(),
    }
}

fn workers(farm: &Farm) -> Component {
    match (farm.working().next().is_some(), farm.unserved) {
        (false, _) => Component::bad("no worker takes jobs"),
        (true, 1..) => Component::poor("jobs wait for a kind that no worker runs"),
        (true, _) => Component::good(),
    }
}

fn models(farm: &Farm) -> ModelsHealth {
    let states: Vec<_> = farm.working().filter_map(Worker::ai_state).collect();
    let count = |word: &str| states.iter().filter(|state| state.status == word).count();
    let waiting = farm.ai.queue.due > 0;
    let component = match (states.len(), count("serving"), count("degraded")) {
        (0, ..) if waiting => Component::bad("captions wait, and no worker analyses any"),
        (0, ..) => Component::off("no worker analyses captions"),
        (all, serving, _) if serving == all => Component::good(),
        (_, 1.., _) => Component::poor("some workers answer with less than they could"),
        (_, _, 1..) => Component::poor("a lower tier answers than is wanted"),
        _ if count("loading") > 0 => Component::poor("models are being loaded"),
        _ => Component::bad("the models have stopped"),
    };
    let wanted = states.iter().filter_map(|state| state.wanted.as_ref()?.parse().ok());
    let name = |tier: Option<AiTier>| tier.map(|tier| tier.as_str().to_owned());
    ModelsHealth {
        component,
        wanted: name(wanted.max()),
        serving: name(best_tier(&farm.live)),
        workers: states.len() as i64,
    }
}

/// Answers of a tier below the wanted one are done again: until then they are second best.
fn fallback(farm: &Farm) -> Component {
    let wanted = models(farm).wanted.and_then(|tier| tier.parse::<AiTier>().ok());
    let below = |tier: &str| tier.parse::<AiTier>().ok() < wanted;
    let posts = farm.ai.posts_last_hour;
    let lower = farm.ai.tiers_last_hour.iter().filter(|(tier, _)| below(tier));
    let lower: i64 = lower.map(|(_, posts)| posts).sum();
    let share = if posts > 0 { lower as f64 / posts as f64 } else { 0.0 };
    match share {
        share if share > MOST_FALLBACKS => {
            Component::bad("most posts of the last hour were analysed by a lower tier")
        }
        share if share > FEW_FALLBACKS => {
            Component::poor("posts of the last hour were analysed by a lower tier")
        }
        _ => Component::good(),
    }
}

fn provider(farm: &Farm) -> Component {
    let circuits: Vec<_> = farm.working().filter_map(Worker::circuit).collect();
    let shut = circuits.iter().filter(|circuit| circuit.state != "closed").count();
    let open = circuits.iter().filter(|circuit| circuit.state == "open");
    let left: Vec<_> = open.filter_map(|circuit| circuit.opens_again_in_ms).collect();
    match (circuits.len(), shut) {
        (0, _) => Component::off("no worker fetches profiles"),
        (_, 0) => Component::good(),
        (all, _) if left.len() == all => {
            let seconds = left.iter().min().map_or(0, |ms| (ms + 999) / 1_000);
            Component::bad(format!("its circuit is open; it is tried again in {seconds} s"))
        }
        _ => Component::poor("its circuit is not closed everywhere"),
    }
}

/// Each part of the machine that tells how full it is.
fn parts(sample: &Sample) -> impl Iterator<Item = (&'static str, f64)> {
    let machine = sample.machine;
    let parts = [("cpu", machine.cpu), ("memory", machine.memory), ("disk", machine.disk)];
    parts.into_iter().filter_map(|(name, percent)| Some((name, percent?)))
}

fn system(sample: &Sample) -> Component {
    let fullest = parts(sample).max_by(|a, b| a.1.total_cmp(&b.1));
    match fullest {
        // Work for all processors is what a farm is for.
        Some((name, percent)) if percent > TOO_FULL && name != "cpu" => {
            Component::bad(format!("the {name} is almost used up"))
        }
        Some((name, percent)) if percent > FULL => {
            Component::poor(format!("little {name} is left"))
        }
        _ => Component::good(),
    }
}

fn alerts(sample: &Sample, components: &Components) -> Vec<AlertView> {
    use Severity::{Critical, Warning};
    let mut alerts = vec![];
    let mut raise = |code: String, severity, component: &str, message: String| {
        let component = component.to_owned();
        alerts.push(AlertView { code, severity, component, message, since: String::new() });
    };
    let minute = &sample.minute;
    if let Some(slowest) = minute.slowest.filter(|slowest| *slowest > LONGEST_RESPONSE) {
        let message =
            format!("a response took {slowest:.1} s; at most {LONGEST_RESPONSE} s are right");
        raise("slow_response".to_owned(), Critical, "api", message);
    }
    let rate = minute.error_rate().filter(|_| minute.answers >= ENOUGH_ANSWERS);
    if let Some(rate) = rate.filter(|rate| *rate > MOST_ERRORS) {
        let message = format!("{:.0} % of the last minute's answers are errors", 100.0 * rate);
        raise("error_rate".to_owned(), Critical, "api", message);
    }
    for (name, percent) in parts(sample).filter(|(_, percent)| *percent > FULL) {
        raise(format!("{name}_full"), Warning, "system", format!("{name}: {percent:.0} % in use"));
    }
    if let Some(share) = sample.ai_failures.filter(|share| *share > MOST_AI_FAILURES) {
        let message = format!("{:.0} % of the captions have no answer", 100.0 * share);
        raise("ai_failures".to_owned(), Warning, "models", message);
    }
    if let Some(farm) = &sample.farm {
        if let Some(ms) = farm.longest_ms.filter(|ms| *ms > LONGEST_RUN_MS) {
            let message = format!("a job has been running for {} s", ms / 1_000);
            raise("long_job".to_owned(), Warning, "workers", message);
        }
        for queue in farm.queues.iter().filter(|queue| queue.paused.is_none()) {
            let target = target_ms(&queue.name);
            if let Some(ms) = queue.oldest_due_ms.filter(|ms| *ms > target) {
                let (name, ms, target) = (&queue.name, ms / 1_000, target / 1_000);
                let message = format!("{name}: a job is due for {ms} s; {target} s are right");
                raise(format!("queue_late.{name}"), Warning, "queues", message);
            }
        }
    }
    if let Some(drift) = sample.drift.filter(|drift| *drift != 0) {
        let message = format!("wallets are off by {drift} credits");
        raise("ledger_drift".to_owned(), Critical, "credits", message);
    }
    for (name, part) in components.named() {
        if part.status == Grade::Unhealthy {
            let message = part.message.clone().unwrap_or_default();
            raise(format!("unhealthy.{name}"), Critical, name, message);
        }
    }
    alerts
}

#[cfg(test)]
pub(crate) mod tests;
