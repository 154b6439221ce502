//! Fetching a profile through the front door.

use serde_json::json;
use tests::System;

use crate::common::{HOUR, fetched, http, id_of, job, posts, profile, refresh, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_ends_in_a_stored_profile() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let answer = dana.with("prefer", "wait=20").post(&refresh("demo_travel")).await.expect(200);
    assert_eq!(answer.json["state"], "succeeded");
    assert_eq!(answer.json["done"], true);
    let at = answer.header("location").unwrap();
    assert_eq!(at, job(id_of(&answer.json), ""));
    let profile = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(profile.json["posts"].as_array().unwrap().len(), 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wait_the_answer_says_where_to_look_and_when() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let answer = dana.post(&refresh("demo_travel")).await.expect(202);
    let id = id_of(&answer.json);
    assert_eq!(answer.header("location"), Some(job(id, "").as_str()));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(answer.json["state"], "queued");
    assert_eq!(answer.json["created"], true);
    let tag = answer.header("etag").unwrap();
    dana.with("if-none-match", tag).get(answer.header("location").unwrap()).await.expect(304);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_same_work_joins_it() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    for client in [&dana, &emil] {
        let joined = client.post(&refresh("demo_travel")).await.expect(202);
        assert_eq!(id_of(&joined.json), id);
        assert_eq!(joined.json["created"], false);
    }
    // `@` and capitals name the same creator.
    let joined = emil.post(&refresh("@Demo_Travel")).await.expect(202);
    assert_eq!(id_of(&joined.json), id);
    // Other options are other work.
    let bare = emil.post_json(&refresh("demo_travel"), json!({"include_posts": false})).await;
    assert_ne!(id_of(&bare.expect(202).json), id);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_profile_is_fetched_on_request_and_shown() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let path = format!("{}?fetch=true", profile("demo_food"));
    let answer = dana.get(&path).await.expect(200);
    assert_eq!(answer.header("x-data-source"), Some("provider"));
    assert_eq!(answer.json["access"], "full");
    assert_eq!(answer.json["username"], "demo_food");
    // Fresh and ours: asking again starts nothing.
    let again = dana.get(&path).await.expect(200);
    assert_eq!(again.header("x-data-source"), Some("database"));
    assert_eq!(system.demo.calls_for("demo_food"), 1);
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_takes_longer_than_the_wait_answers_with_its_job() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let asked =
        [(dana.clone(), "?fetch=true&wait=0"), (dana.with("prefer", "wait=0"), "?fetch=true")];
    for (ask, query) in asked {
        let answer = ask.get(&format!("{}{query}", profile("demo_food"))).await.expect(202);
        let id = id_of(&answer.json);
        assert_eq!(answer.header("location"), Some(job(id, "").as_str()));
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(answer.json["state"], "queued");
    }
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fresh_is_opened_to_the_next_user_without_a_provider_call() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "demo_travel").await;
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "preview");
    let path = format!("{}?fetch=true", profile("demo_travel"));
    let answer = emil.get(&path).await.expect(200);
    assert_eq!(answer.json["access"], "full");
    assert_eq!(answer.header("x-data-source"), Some("database"), "nobody asked the provider");
    assert_eq!(system.demo.calls_for("demo_travel"), 1);
    assert_eq!(emil.get(&posts("demo_travel")).await.expect(200).json["total"], 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_a_profile_is_stale_and_says_how_to_renew_it() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let fresh = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(fresh.json["stale"], false);
    system.advance(25 * HOUR).await;
    let stale = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(stale.json["stale"], true);
    assert!(stale.json["age_seconds"].as_i64().unwrap() >= 25 * 3_600);
    assert_eq!(stale.json["links"]["refresh"], refresh("demo_travel"));
    assert_ne!(stale.header("etag"), fresh.header("etag"), "what is shown has changed");
    assert_eq!(system.demo.calls_for("demo_travel"), 1, "a read starts nothing");
    let path = format!("{}?fetch=true", profile("demo_travel"));
    let renewed = dana.get(&path).await.expect(200);
    assert_eq!(renewed.json["stale"], false);
    assert_eq!(renewed.header("x-data-source"), Some("provider"));
    assert_eq!(system.demo.calls_for("demo_travel"), 2);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_stale_is_better_than_an_error() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    system.advance(25 * HOUR).await;
    system.demo.script("demo_travel", vec![http(401, &json!({"message": "Unauthorized"}))]);
    let path = format!("{}?fetch=true", profile("demo_travel"));
    let answer = dana.get(&path).await.expect(200);
    assert_eq!(answer.json["stale"], true);
    assert_eq!(answer.header("x-data-source"), Some("database"), "the provider gave nothing");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asks_the_provider_although_the_profile_is_fresh() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = fetched(&system, &dana, "demo_travel").await;
    assert_eq!(view["result"]["source"], "fetched");
    assert_eq!(system.demo.calls_for("demo_travel"), 2);
    assert_eq!(system.count("SELECT CAST(refresh_count AS bigint) AS n FROM profiles").await, 2);
    assert_eq!(system.count("SELECT count(*) AS n FROM posts").await, 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_can_be_left_out_and_fetched_later() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let bare = dana.with("prefer", "wait=20");
    let answer = bare.post_json(&refresh("demo_travel"), json!({"include_posts": false})).await;
    assert_eq!(answer.expect(200).json["result"]["posts_stored"], 0);
    let shown = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(shown.json["stored_posts"], 0);
    assert_eq!(shown.json["posts"], json!([]));
    assert!(shown.json["posts_count"].as_i64().unwrap() > 0, "the account has some");
    fetched(&system, &dana, "demo_travel").await;
    assert_eq!(dana.get(&profile("demo_travel")).await.expect(200).json["stored_posts"], 12);
    // A later fetch without posts does not throw the stored ones away.
    bare.post_json(&refresh("demo_travel"), json!({"include_posts": false})).await.expect(200);
    assert_eq!(dana.get(&profile("demo_travel")).await.expect(200).json["stored_posts"], 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_posts_gets_them_although_a_profile_without_posts_is_fresh() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let bare = dana.with("prefer", "wait=20");
    bare.post_json(&refresh("demo_travel"), json!({"include_posts": false})).await.expect(200);
    let answer = emil.get(&format!("{}?fetch=true", profile("demo_travel"))).await.expect(200);
    assert_eq!(answer.json["stored_posts"], 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_profile_is_not_found_with_the_link_that_fetches_it() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for path in [profile("demo_travel"), posts("demo_travel")] {
        let answer = dana.get(&path).await.expect_problem(404, "profile_not_fetched");
        assert_eq!(answer.json["refresh"], refresh("demo_travel"));
        assert_eq!(answer.json["field"], "username");
    }
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0, "a read starts nothing");
    assert_eq!(system.demo.calls_for("demo_travel"), 0);
    system.end().await;
}
