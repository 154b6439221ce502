//! What the front door remembers for a moment, and what it must not.

use entity::{access, args, sql};
use futures_util::future::join_all;
use jobs::kinds::noop::Noop;
use serde_json::{Value, json};
use tests::{Answer, Client, System, eventually};
use uuid::Uuid;

use crate::common::{
    Creator, HOUR, Post, Stream, check_refusal, fetched, id_of, job, masked, noop, profile,
    refresh, submit,
};

/// The profile out of memory.
async fn remembered(client: &Client, handle: &str) -> Answer {
    eventually("an answer out of memory", || async {
        let answer = client.get(&profile(handle)).await.expect(200);
        (answer.header("x-data-source") == Some("cache")).then_some(answer)
    })
    .await
}

/// A creator who has a thousand followers more each time the provider is asked.
fn grows(system: &System, handle: &'static str) {
    let creator = |n| Creator { followers: n * 1_000, ..Creator::new("7", handle) };
    let answer = |n| creator(n).posts(&[Post::new("P1", "one", n)]).answer();
    system.demo.script(handle, (1..=20).map(answer).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_profile_reads_like_a_stored_one() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = id_of(&fetched(&system, &dana, "demo_travel").await);
    // Nothing about the result of a job is remembered.
    let stored = dana.get(&job(id, "/result")).await.expect(200);
    let answer = remembered(&dana, "demo_travel").await;
    assert_eq!(masked(&answer.json), masked(&stored.json));
    assert_eq!(answer.json["access_until"], stored.json["access_until"]);
    assert_eq!(answer.header("content-type"), stored.header("content-type"));
    let tag = answer.header("etag").unwrap();
    let known = dana.with("if-none-match", tag);
    assert_eq!(known.get(&profile("demo_travel")).await.expect(304).header("etag"), Some(tag));
    let other = emil.with("if-none-match", tag).get(&profile("demo_travel")).await.expect(200);
    assert_eq!(other.json["access"], "preview");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_that_a_fetch_has_ended_sees_what_it_stored() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    grows(&system, "grows");
    fetched(&system, &dana, "grows").await;
    let ways = ["job", "status", "list", "batch", "poll", "stream", "result", "wait", "fetch"];
    for (round, way) in ways.into_iter().enumerate() {
        let before = remembered(&dana, "grows").await;
        assert_eq!(before.json["followers_count"], (round + 1) * 1_000, "before {way}");
        told(&system, &dana, way).await;
        let after = dana.get(&profile("grows")).await.expect(200);
        assert_eq!(after.json["followers_count"], (round + 2) * 1_000, "told by {way}");
        assert_eq!(after.json["posts"][0]["likes_count"], round + 2);
        assert_ne!(after.header("etag"), before.header("etag"));
    }
    system.end().await;
}

/// Fetches once more, and learns of the end in this way.
async fn told(system: &System, dana: &Client, way: &str) {
    if way == "wait" {
        dana.with("prefer", "wait=20").post(&refresh("grows")).await.expect(200);
        return;
    }
    if way == "fetch" {
        system.advance(25 * HOUR).await;
        remembered(dana, "grows").await;
        dana.get(&format!("{}?fetch=true", profile("grows"))).await.expect(200);
        return;
    }
    let id = submit(dana, "grows").await;
    match way {
        "poll" => {
            let poll = dana.with("prefer", "wait=20");
            eventually("the job has ended", || async {
                let seen = poll.get(&job(id, "")).await.expect(200);
                seen.json["done"].as_bool().filter(|done| *done)
            })
            .await;
        }
        "stream" => {
            Stream::open(dana, &job(id, "/events")).await.rest().await;
        }
        _ => {
            system.finish(id).await;
            let answer = match way {
                "job" => dana.get(&job(id, "")).await,
                "status" => dana.get(&job(id, "/status")).await,
                "result" => dana.get(&job(id, "/result")).await,
                "list" => dana.get("/api/v1/jobs?limit=1").await,
                _ => dana.post_json("/api/v1/jobs/batch-get", json!({ "ids": [id] })).await,
            };
            answer.expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_that_many_have_been_fetched_sees_each() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    grows(&system, "grows");
    fetched(&system, &dana, "grows").await;
    system.advance(25 * HOUR).await;
    assert_eq!(remembered(&dana, "grows").await.json["stale"], true);
    let names = json!({ "usernames": ["grows", "demo_food"] });
    let answer = dana.post_json("/api/v1/analytics/bulk/profiles", names).await.expect(202);
    let id: Uuid = answer.json["job_id"].as_str().unwrap().parse().unwrap();
    system.finish(id).await;
    dana.get(&job(id, "")).await.expect(200);
    let shown = dana.get(&profile("grows")).await.expect(200).json;
    assert_eq!((&shown["followers_count"], &shown["stale"]), (&json!(2_000), &json!(false)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_shown_what_another_may_see() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let admin = system.as_user("admin").await;
    fetched(&system, &dana, "demo_travel").await;
    let path = profile("demo_travel");
    let until = remembered(&dana, "demo_travel").await.json["access_until"].clone();
    assert!(until.is_string());
    for _ in 0..20 {
        let (hers, his, all) = tokio::join!(dana.get(&path), emil.get(&path), admin.get(&path));
        let seen =
            |answer: &Answer| (answer.json["access"].clone(), answer.json["access_until"].clone());
        assert_eq!(seen(&hers), (json!("full"), until.clone()));
        assert_eq!(seen(&his), (json!("preview"), Value::Null));
        assert_eq!(seen(&all), (json!("full"), Value::Null));
        assert_eq!((&his.json["full_name"], &his.json["posts"]), (&Value::Null, &Value::Null));
        assert_ne!(hers.header("etag"), his.header("etag"));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_shows_at_once_when_it_is_given_and_goes_soon_when_it_is_taken() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "demo_travel").await;
    let preview = remembered(&emil, "demo_travel").await.json;
    assert_eq!(preview["access"], "preview");
    let (who, what) = (system.user("emil").await.id, preview["id"].as_str().unwrap());
    access::grant(system.db().write(), &[who], what.parse().unwrap()).await.unwrap();
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "full");
    assert_eq!(remembered(&emil, "demo_travel").await.json["access"], "full");
    let taken = "UPDATE user_profile_access SET expires_at = {now} WHERE user_id = ?";
    sql::execute(system.db().write(), taken, args![who]).await.unwrap();
    eventually("emil sees a preview again", || async {
        let shown = emil.get(&profile("demo_travel")).await.expect(200).json;
        (shown["access"] == "preview").then_some(())
    })
    .await;
    assert_eq!(dana.get(&profile("demo_travel")).await.expect(200).json["access"], "full");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_stores_shows_soon() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let before = remembered(&dana, "demo_travel").await;
    let change = "UPDATE profiles SET followers_count = 77, updated_at = {now}";
    sql::execute(system.db().write(), change, vec![]).await.unwrap();
    let after = eventually("the change shows", || async {
        let shown = dana.get(&profile("demo_travel")).await.expect(200);
        (shown.json["followers_count"] == 77).then_some(shown)
    })
    .await;
    assert_ne!(after.header("etag"), before.header("etag"));
    sql::execute(system.db().write(), "DELETE FROM profiles", vec![]).await.unwrap();
    eventually("it is gone", || async {
        let shown = dana.get(&profile("demo_travel")).await;
        (shown.status == 404).then_some(())
    })
    .await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_not_there_is_looked_for_each_time() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let path = profile("demo_travel");
    let asked = join_all((0..100).map(|_| dana.get(&path))).await;
    assert!(asked.iter().all(|answer| answer.status == 404), "{asked:?}");
    // Seen by nobody who asked the front door.
    let id = submit(&dana, "demo_travel").await;
    system.finish(id).await;
    let asked = join_all((0..100).map(|_| dana.get(&path))).await;
    assert!(asked.iter().all(|answer| answer.json["access"] == "full"), "{asked:?}");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_and_a_new_role_take_effect_soon() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    noop(&system, "dana", &Noop::default()).await;
    let set = |change: &'static str| sql::execute(system.db().write(), change, vec![]);
    dana.get("/api/v1/jobs").await.expect(200);
    admin.get("/api/v1/queues").await.expect(200);
    set("UPDATE users SET status = 'suspended' WHERE role = 'user'").await.unwrap();
    set("UPDATE users SET role = 'user' WHERE role = 'admin'").await.unwrap();
    for (client, path, code) in
        [(&dana, "/api/v1/jobs", "account_closed"), (&admin, "/api/v1/queues", "operators_only")]
    {
        let refused = eventually("they are refused", || async {
            let answer = client.get(path).await;
            (answer.status == 403).then_some(answer)
        })
        .await;
        check_refusal(&refused);
        refused.expect_problem(403, code);
    }
    // A refusal is not remembered.
    set("UPDATE users SET status = 'active'").await.unwrap();
    dana.get("/api/v1/jobs").await.expect(200);
    system.end_with_open_jobs().await;
}
