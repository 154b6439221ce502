use entity::Time;
use entity::worker::Worker;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::machine::Fullness;
use crate::routes::metrics::AiActivity;
use crate::routes::queues::{PauseView, QueueHead};
use crate::traffic::Minute;

fn queue(name: &str) -> QueueHead {
    QueueHead {
        name: name.to_owned(),
        queued: 0,
        retrying: 0,
        running: 0,
        waiting_for_children: 0,
        due: 0,
        oldest_due_ms: None,
        paused: None,
    }
}

fn worker(ai: Option<Value>, provider: Option<Value>) -> Worker {
    Worker {
        id: Uuid::now_v7(),
        host: "here:1".to_owned(),
        version: "1".to_owned(),
        slots: 8,
        lease_until: Time(10_000),
        draining: false,
        renewed_at: Some(Time(0)),
        memory_bytes: None,
        started_at: Time(0),
        ai,
        provider,
    }
}

fn serving(tier: &str) -> Value {
    json!({ "status": "serving", "wanted": tier, "serving": tier })
}

/// A farm that does all it should.
pub(crate) fn farm() -> Farm {
    let circuit = json!({ "state": "closed" });
    Farm {
        queues: Queue::ALL.iter().map(|name| queue(name.as_str())).collect(),
        live: vec![worker(Some(serving("lite")), Some(circuit))],
        ai: AiActivity {
            queue: queue("ai"),
            workers: 1,
            captions_waiting: 0,
            captions_running: 0,
            batch_size: None,
            captions_per_hour: 0.0,
            posts_last_hour: 10,
            tiers_last_hour: [("lite".to_owned(), 10)].into(),
            captions_done: [].into(),
            captions_failed: 0,
        },
        unserved: 0,
        longest_ms: None,
    }
}

fn sample() -> Sample {
    let soon = Answer::Came(Duration::from_millis(1));
    Sample {
        at: Time(0),
        database: soon,
        tickets: soon,
        storage: soon,
        farm: Some(farm()),
        drift: Some(0),
        ai_failures: None,
        minute: Minute::default(),
        cached: (0, 0),
        machine: Fullness { cpu: Some(50.0), memory: Some(50.0), disk: Some(50.0) },
        pool: entity::db::Pool::default(),
    }
}

/// A sample that differs from a good one by this.
fn with(change: impl FnOnce(&mut Sample, &mut Farm)) -> Judgement {
    let (mut sample, mut farm) = (sample(), farm());
    change(&mut sample, &mut farm);
    if sample.farm.is_some() {
        sample.farm = Some(farm);
    }
    judge(&sample)
}

fn codes(judged: &Judgement) -> Vec<&str> {
    judged.alerts.iter().map(|alert| alert.code.as_str()).collect()
}

fn score(judged: &Judgement) -> i64 {
    judged.score.round() as i64
}

#[test]
fn a_farm_that_does_all_it_should_has_a_hundred_points_and_no_alert() {
    let judged = judge(&sample());
    assert_eq!(score(&judged), 100);
    assert_eq!(judged.alerts, []);
    let named = judged.components.named();
    assert!(named.iter().all(|(_, part)| part.status == Grade::Healthy), "{named:?}");
    let models = &judged.components.models;
    assert_eq!((models.serving.as_deref(), models.workers), (Some("lite"), 1));
}

#[test]
fn every_part_counts_by_its_weight() {
    use Grade::{Degraded, Off, Unhealthy};
    type Change = fn(&mut Sample, &mut Farm);
    let cases: &[(&str, Grade, i64, Change)] = &[
        ("database", Degraded, 92, |s, _| s.database = Answer::Came(Duration::from_millis(600))),
        ("redis", Unhealthy, 88, |s, _| s.tickets = Answer::Silent),
        ("redis", Unhealthy, 88, |s, _| s.tickets = Answer::Refused),
        ("storage", Unhealthy, 100, |s, _| s.storage = Answer::Refused),
        ("workers", Unhealthy, 84, |_, f| f.live[0].draining = true),
        ("workers", Degraded, 92, |_, f| f.unserved = 1),
        ("models", Degraded, 94, |_, f| {
            let said = json!({ "status": "degraded", "wanted": "lite", "serving": "rules" });
            f.live[0].ai = Some(said);
        }),
        ("models", Degraded, 94, |_, f| f.live[0].ai = Some(json!({ "status": "loading" }))),
        ("models", Unhealthy, 88, |_, f| f.live[0].ai = Some(json!({ "status": "stopped" }))),
        ("models", Off, 100, |_, f| f.live[0].ai = None),
        ("models", Unhealthy, 88, |_, f| {
            f.live[0].ai = None;
            f.ai.queue.due = 1;
        }),
        ("fallback", Degraded, 96, |_, f| {
            f.ai.tiers_last_hour = [("lite".to_owned(), 8), ("rules".to_owned(), 2)].into();
        }),
        ("fallback", Unhealthy, 92, |_, f| {
            f.ai.tiers_last_hour = [("rules".to_owned(), 10)].into();
        }),
        ("provider", Off, 100, |_, f| f.live[0].provider = None),
        ("provider", Degraded, 96, |_, f| {
            f.live[0].provider = Some(json!({ "state": "half_open" }));
        }),
        ("provider", Unhealthy, 92, |_, f| {
            f.live[0].provider = Some(json!({ "state": "open", "opens_again_in_ms": 1_500 }));
        }),
        ("queues", Degraded, 96, |_, f| f.queues[0].oldest_due_ms = Some(60_001)),
        ("queues", Unhealthy, 92, |_, f| f.queues[0].oldest_due_ms = Some(600_001)),
        ("queues", Degraded, 96, |_, f| {
            let (by, at) = ("ann".to_owned(), String::new());
            f.queues[0].paused = Some(PauseView { by, at, reason: None });
        }),
        ("system", Degraded, 100, |s, _| s.machine.cpu = Some(99.0)),
        ("system", Unhealthy, 100, |s, _| s.machine.disk = Some(99.0)),
    ];
    for (name, grade, points, change) in cases {
        let judged = with(change);
        let named = judged.components.named();
        let (_, part) = named.iter().find(|(known, _)| known == name).unwrap();
        assert_eq!((part.status, score(&judged)), (*grade, *points), "{name}: {part:?}");
        assert!(part.message.is_some(), "{name} does not say why");
        let told = codes(&judged).contains(&format!("unhealthy.{name}").as_str());
        assert_eq!(told, *grade == Unhealthy, "{name}: {:?}", judged.alerts);
    }
}

#[test]
fn without_a_database_nothing_is_known_to_work() {
    let judged = with(|sample, _| {
        sample.database = Answer::Silent;
        sample.farm = None;
    });
    // 20 of each, but for the tickets: 15 % of them are whole.
    assert_eq!(score(&judged), 32);
    assert_eq!(judged.components.models.serving, None);
}

#[test]
fn what_calls_for_somebody_is_told_and_what_is_at_the_limit_is_not() {
    type Change = fn(&mut Sample, &mut Farm);
    let cases: &[(&str, Change, Change)] = &[
        ("slow_response", |s, _| s.minute.slowest = Some(5.0), |s, _| s.minute.slowest = Some(5.1)),
        (
            "error_rate",
            |s, _| (s.minute.answers, s.minute.errors) = (9, 9),
            |s, _| (s.minute.answers, s.minute.errors) = (10, 1),
        ),
        ("cpu_full", |s, _| s.machine.cpu = Some(85.0), |s, _| s.machine.cpu = Some(86.0)),
        ("memory_full", |s, _| s.machine.memory = None, |s, _| s.machine.memory = Some(86.0)),
        ("disk_full", |s, _| s.machine.disk = Some(85.0), |s, _| s.machine.disk = Some(86.0)),
        ("ai_failures", |s, _| s.ai_failures = Some(0.2), |s, _| s.ai_failures = Some(0.21)),
        ("long_job", |_, f| f.longest_ms = Some(600_000), |_, f| f.longest_ms = Some(600_001)),
        (
            "queue_late.fetch",
            |_, f| f.queues[0].oldest_due_ms = Some(60_000),
            |_, f| f.queues[0].oldest_due_ms = Some(60_001),
        ),
        ("ledger_drift", |s, _| s.drift = None, |s, _| s.drift = Some(-1)),
    ];
    for (code, at_the_limit, beyond) in cases {
        assert_eq!(with(at_the_limit).alerts, [], "{code}");
        assert_eq!(codes(&with(beyond)), [*code]);
    }
}
