//! Failed jobs: what there are, and queueing them again.

use std::time::Duration;

use entity::{args, job_event, sql};
use farm::demo::Scripted;
use jobs::kinds::noop::{Noop, NoopFail};
use serde_json::{Value, json};
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{HOUR, check_refusal, fetched, http, id_of, job, noop};

const DEAD: &str = "/api/v1/jobs/dead";
const REDRIVE: &str = "/api/v1/jobs/dead/redrive";

/// So many jobs of dana's that failed for good.
async fn failed(system: &System, key: Option<&str>, count: usize) -> Vec<Uuid> {
    let mut ids = vec![];
    for _ in 0..count {
        let fail = Some(NoopFail::Fatal);
        let what = Noop { fail, key: key.map(str::to_owned), ..Noop::default() };
        let id = noop(system, "dana", &what).await;
        system.finish(id).await;
        ids.push(id);
    }
    ids
}

/// From now on they do their work.
async fn mend(system: &System, ids: &[Uuid]) {
    for id in ids {
        let good = serde_json::to_value(Noop::default()).unwrap();
        let update = "UPDATE jobs SET payload = ? WHERE id = ?";
        sql::execute(system.db().write(), update, args![good, *id]).await.unwrap();
    }
}

async fn redrive(client: &Client, body: Value) -> Value {
    client.post_json(REDRIVE, body).await.expect(200).json
}

async fn ids_in(system: &System, state: &str) -> i64 {
    system.count(&format!("SELECT count(*) AS n FROM jobs WHERE state = '{state}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_grouped_by_kind_and_reason() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    assert_eq!(admin.get(DEAD).await.expect(200).json, json!({ "items": [], "next": null }));
    let ids = failed(&system, None, 7).await;
    system.advance(HOUR).await;
    let missing = id_of(&fetched(&system, &dana, "demo_missing").await);
    fetched(&system, &dana, "demo_travel").await;
    let page = admin.get(DEAD).await.expect(200).json;
    let items = page["items"].as_array().unwrap();
    assert_eq!((items.len(), &page["next"]), (2, &Value::Null));
    let (newest, oldest) = (&items[0], &items[1]);
    assert_eq!((&newest["kind"], &newest["count"]), (&json!("profile_fetch"), &json!(1)));
    assert_eq!((&newest["error_code"], &newest["poison"]), (&json!("not_found"), &json!(false)));
    assert_eq!(newest["sample_ids"], json!([missing]));
    assert_eq!((&oldest["kind"], &oldest["count"]), (&json!("noop"), &json!(7)));
    assert_eq!(oldest["sample_message"], "told to fail for good");
    let newest_five: Vec<_> = ids.iter().rev().take(5).collect();
    assert_eq!(oldest["sample_ids"], json!(newest_five));
    assert!(oldest["oldest_at"].as_str() < oldest["newest_at"].as_str());
    assert!(oldest["newest_at"].as_str() < newest["oldest_at"].as_str());
    let only = admin.get(&format!("{DEAD}?kind=noop")).await.expect(200).json;
    assert_eq!(only["items"], json!([oldest]));
    let first = admin.get(&format!("{DEAD}?limit=1")).await.expect(200).json;
    assert_eq!(first["items"], json!([newest]));
    let next = format!("{DEAD}?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = admin.get(&next).await.expect(200).json;
    assert_eq!((&second["items"], &second["next"]), (&json!([oldest]), &Value::Null));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_killed_its_workers_is_marked() {
    let system = System::start().await;
    let admin = system.as_user("admin").await;
    failed(&system, None, 1).await;
    let poison = "UPDATE jobs SET error_code = 'poison'";
    sql::execute(system.db().write(), poison, vec![]).await.unwrap();
    let page = admin.get(DEAD).await.expect(200).json;
    assert_eq!(page["items"][0]["poison"], true);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_the_default_and_touches_nothing() {
    let system = System::start().await;
    let admin = system.as_user("admin").await;
    let ids = failed(&system, None, 3).await;
    let before = system.job(ids[0]).await;
    for body in [json!({}), json!({ "kind": "noop" }), json!({ "kind": "noop", "dry_run": true })] {
        let report = redrive(&admin, body).await;
        assert_eq!((&report["dry_run"], &report["queued"]), (&json!(true), &json!(3)));
        assert_eq!(report["sample_ids"], json!(ids));
    }
    assert_eq!(system.job(ids[0]).await, before);
    assert!(job_event::of(system.db().read(), ids[0]).await.unwrap().is_empty());
    // Everything at once is nothing one should do without saying so.
    let refused = admin.post_json(REDRIVE, json!({ "dry_run": false })).await;
    check_refusal(&refused);
    assert_eq!(refused.expect_problem(400, "invalid_body").json["field"], "dry_run");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_queues_for_the_owner_spread_over_time() {
    let mut system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let ids = failed(&system, None, 5).await;
    mend(&system, &ids).await;
    system.stop_worker().await;
    let body = json!({ "kind": "noop", "rate_per_second": 2, "dry_run": false });
    let mut would = body.clone();
    would["dry_run"] = json!(true);
    let would = redrive(&admin, would).await;
    let done = redrive(&admin, body).await;
    assert_eq!(
        (&done["dry_run"], &done["queued"], &done["matched"]),
        (&json!(false), &json!(5), &json!(5))
    );
    assert_eq!((&done["spread_ms"], &would["spread_ms"]), (&json!(2_000), &json!(2_000)));
    assert_eq!(would["queued"], done["queued"]);
    let first = system.job(ids[0]).await;
    for (place, id) in ids.iter().enumerate() {
        let row = system.job(*id).await;
        let after = row.run_at.millis_since(first.run_at);
        let due = place as i64 * 500;
        assert!((due..due + 400).contains(&after), "{place}: {after}");
        assert_eq!((row.state.as_str(), row.attempt), ("queued", 0));
        assert_eq!(row.user_id, Some(system.user("dana").await.id));
        let events = job_event::of(system.db().read(), *id).await.unwrap();
        let event = events.last().unwrap();
        assert_eq!((events.len(), event.event.as_str()), (1, "redriven"));
        assert!(event.detail.contains("admin@example.test"), "{}", event.detail);
    }
    assert_eq!(dana.get(&job(ids[0], "")).await.expect(200).json["state"], "queued");
    assert_eq!(system.count("SELECT count(*) AS n FROM job_watchers").await, 5, "hers alone");
    system.add_worker().await;
    system.drain().await;
    assert_eq!(ids_in(&system, "succeeded").await, 5);
    assert_eq!(admin.get(DEAD).await.expect(200).json["items"], json!([]));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_work_an_open_job_does_are_skipped_and_the_others_go_on() {
    let mut system = System::start().await;
    let admin = system.as_user("admin").await;
    let free = failed(&system, None, 2).await;
    let held = failed(&system, Some("held"), 2).await;
    let twice = failed(&system, Some("twice"), 2).await;
    system.stop_worker().await;
    let open = Noop { key: Some("held".to_owned()), ..Noop::default() };
    let holder = noop(&system, "emil", &open).await;
    for dry_run in [true, false] {
        let report = redrive(&admin, json!({ "kind": "noop", "dry_run": dry_run })).await;
        let counts = (&report["matched"], &report["queued"], &report["skipped_superseded"]);
        assert_eq!(counts, (&json!(6), &json!(3), &json!(3)), "dry_run: {dry_run}");
    }
    let state = |id: Uuid| {
        let system = &system;
        async move { system.job(id).await.state.to_string() }
    };
    for (id, expected) in [
        (free[0], "queued"),
        (free[1], "queued"),
        (held[0], "failed"),
        (held[1], "failed"),
        (twice[0], "failed"),
        (twice[1], "queued"),
        (holder, "queued"),
    ] {
        assert_eq!(state(id).await, expected, "{id}");
    }
    // Nothing of a skipped one is left half done.
    assert!(job_event::of(system.db().read(), held[0]).await.unwrap().is_empty());
    mend(&system, &[free[0], free[1], twice[1]]).await;
    system.add_worker().await;
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_gets_past_those_that_are_superseded() {
    let mut system = System::start().await;
    let admin = system.as_user("admin").await;
    let same = failed(&system, Some("same"), 4).await;
    let free = failed(&system, None, 2).await;
    mend(&system, &[same[3], free[0], free[1]]).await;
    system.stop_worker().await;
    for (id, more) in [(same[3], true), (free[0], true), (free[1], false)] {
        for dry_run in [true, false] {
            let body = json!({ "kind": "noop", "limit": 1, "dry_run": dry_run });
            let report = redrive(&admin, body).await;
            assert_eq!((&report["queued"], &report["more"]), (&json!(1), &json!(more)), "{report}");
            assert_eq!((&report["matched"], &report["skipped_superseded"]), (&json!(4), &json!(3)));
            assert_eq!(report["sample_ids"], json!([id]));
        }
        assert_eq!(system.job(id).await.state.as_str(), "queued");
    }
    system.add_worker().await;
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_does_not_come_back_with_a_redrive() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let admin = system.as_user("admin").await;
    let fail = Some(NoopFail::Fatal);
    let what = Noop { fail, key: Some("shared".to_owned()), ..Noop::default() };
    let id = noop(&system, "dana", &what).await;
    assert_eq!(noop(&system, "emil", &what).await, id);
    let retry = job(id, "/retry");
    dana.post(&job(id, "/cancel")).await.expect(200);
    for act in [REDRIVE, &retry] {
        system.add_worker().await;
        assert_eq!(system.finish(id).await.state.as_str(), "failed", "it went on for emil");
        system.stop_worker().await;
        if act == REDRIVE {
            redrive(&admin, json!({ "kind": "noop", "dry_run": false })).await;
        } else {
            admin.post(act).await.expect(202);
        }
        assert_eq!(dana.get(&job(id, "")).await.expect(200).json["state"], "cancelled", "{act}");
        assert_eq!(emil.get(&job(id, "")).await.expect(200).json["state"], "queued", "{act}");
    }
    // When all have left it is the owner's.
    emil.post(&job(id, "/cancel")).await.expect(200);
    admin.post(&retry).await.expect(202);
    assert_eq!(dana.get(&job(id, "")).await.expect(200).json["state"], "queued");
    assert_eq!(emil.get(&job(id, "")).await.expect(200).json["state"], "cancelled");
    dana.post(&job(id, "/cancel")).await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_queued_again_for_its_parent() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    system.demo.script("one", vec![http(401, &json!({})), Scripted::Hang]);
    system.demo.script("two", vec![Scripted::Hang]);
    let names = json!({ "usernames": ["one", "two"] });
    let bulk = dana.post_json("/api/v1/analytics/bulk/profiles", names).await.expect(202);
    let failed = "SELECT count(*) AS n FROM jobs WHERE state = 'failed'";
    tests::eventually("a child has failed", || async {
        (system.count(failed).await == 1).then_some(())
    })
    .await;
    let report = redrive(&admin, json!({ "kind": "profile_fetch", "dry_run": false })).await;
    assert_eq!(report["queued"], 1);
    let list = dana.get("/api/v1/jobs").await.expect(200).json;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "she asked for one job: {list}");
    dana.post(&job(id_of(&bulk.json), "/cancel")).await.expect(200);
    system.drain().await;
    assert_eq!(ids_in(&system, "cancelled").await, 3, "nobody is left for the child");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_is_narrowed_and_bounded() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let old = failed(&system, None, 3).await;
    system.advance(HOUR).await;
    let since = system.now().await.rfc3339();
    fetched(&system, &dana, "demo_missing").await;
    let fingerprint = admin.get(DEAD).await.expect(200).json["items"][1]["fingerprint"].clone();
    for (filter, matched) in [
        (json!({}), 4),
        (json!({ "kind": "profile_fetch" }), 1),
        (json!({ "error_code": "told_to" }), 3),
        (json!({ "fingerprint": fingerprint }), 3),
        (json!({ "fingerprint": fingerprint, "kind": "profile_fetch" }), 0),
        (json!({ "since": since }), 1),
        (json!({ "until": since }), 3),
        (json!({ "ids": [old[1], Uuid::now_v7()] }), 1),
        (json!({ "ids": [] }), 0),
    ] {
        assert_eq!(redrive(&admin, filter.clone()).await["matched"], matched, "{filter}");
    }
    let some = json!({ "kind": "noop", "limit": 2, "dry_run": false, "rate_per_second": 1000 });
    let report = redrive(&admin, some).await;
    assert_eq!((&report["queued"], &report["more"]), (&json!(2), &json!(true)));
    system.drain().await;
    let again = ["SELECT count(*) AS n FROM jobs WHERE run = 2", "SELECT count(*) AS n FROM jobs"];
    assert_eq!((system.count(again[0]).await, system.count(again[1]).await), (2, 4));
    for (body, field) in [
        (json!({ "kind": "nothing" }), "kind"),
        (json!({ "since": "yesterday" }), "since"),
        (json!({ "until": "\u{0}" }), "until"),
        (json!({ "error_code": "a\u{0}" }), "error_code"),
        (json!({ "fingerprint": "x".repeat(201) }), "fingerprint"),
        (json!({ "limit": 0 }), "limit"),
        (json!({ "limit": 1001 }), "limit"),
        (json!({ "rate_per_second": 0 }), "rate_per_second"),
        (json!({ "ids": ["x"] }), "ids"),
        (json!({ "all": true }), "all"),
    ] {
        let answer = admin.post_json(REDRIVE, body.clone()).await;
        check_refusal(&answer);
        assert_eq!(answer.expect(400).json["field"], field, "{body}");
    }
    for query in ["cursor=x", "cursor=1.2", "cursor=99999999999999999999.a.b", "limit=0", "kind=x"]
    {
        check_refusal(&admin.get(&format!("{DEAD}?{query}")).await.expect(400));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_under_one_key_are_done_once() {
    let mut system = System::start().await;
    let admin = system.as_user("admin").await.with("idempotency-key", "again-all");
    let user = system.user("dana").await.id;
    let fail = Some(NoopFail::Fatal);
    let what = Noop { fail, ..Noop::default() };
    let options = jobs::Options { user_id: Some(user), ..jobs::Options::default() };
    let new = jobs::submit::new_job(&what, &options).unwrap();
    system.jobs.submit_many(&vec![new; 250]).await.unwrap();
    system.drain().await;
    system.stop_worker().await;
    let body = json!({ "kind": "noop", "dry_run": false, "limit": 1000, "rate_per_second": 600 });
    let first = redrive(&admin, body.clone()).await;
    assert_eq!((&first["queued"], &first["spread_ms"]), (&json!(250), &json!(415)));
    let spread = "SELECT count(DISTINCT run_at) AS n FROM jobs WHERE state = 'queued'";
    assert!(system.count(spread).await >= 200, "spread over all batches");
    system.add_worker().await;
    system.advance(Duration::from_secs(10)).await;
    system.drain().await;
    assert_eq!(ids_in(&system, "failed").await, 250, "they failed once more");
    assert_eq!(redrive(&admin, body).await, first, "and are not queued a third time");
    assert_eq!(ids_in(&system, "failed").await, 250);
    let other = json!({ "kind": "noop", "dry_run": false, "limit": 1 });
    admin.post_json(REDRIVE, other).await.expect_problem(422, "idempotency_key_reused");
    system.end().await;
}
