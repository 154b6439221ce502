//! Every way a fetch can end, each with its own word.

use std::time::Duration;

use farm::demo::Scripted;
use serde_json::{Value, json};
use tests::{Answer, Client, System};

use crate::common::{Creator, HOUR, Post, fetched, http, id_of, job, posts, profile, submit};

/// Fetches a handle that fails, checks what the job says of it everywhere, and returns what
/// `/result` answers.
async fn failed(system: &System, client: &Client, handle: &str, code: &str) -> Answer {
    let view = fetched(system, client, handle).await;
    assert_eq!(view["state"], "failed", "{view}");
    assert_eq!(view["done"], true);
    assert_eq!(view["result"], Value::Null);
    assert_eq!(view["error"]["code"], code, "{view}");
    assert!(!view["error"]["message"].as_str().unwrap().is_empty());
    let id = id_of(&view);
    let flat = client.get(&job(id, "/status")).await.expect(200).json;
    assert_eq!(flat["status"], "failed");
    let text = flat["error_details"]["error"].as_str().unwrap();
    assert!(text.starts_with("Job failed: "), "{text}");
    assert_eq!(flat["error_details"]["username"], handle);
    client.get(&profile(handle)).await.expect_problem(404, "profile_not_fetched");
    let answer = client.get(&job(id, "/result")).await;
    assert_eq!(answer.json["job_id"], id.to_string());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_account_is_stored_without_posts() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let view = fetched(&system, &dana, "demo_private").await;
    assert_eq!(view["state"], "succeeded");
    assert_eq!(view["result"]["outcome"], "private");
    assert_eq!(view["result"]["posts_stored"], 0);
    let shown = dana.get(&profile("demo_private")).await.expect(200).json;
    assert_eq!((&shown["is_private"], &shown["stored_posts"]), (&json!(true), &json!(0)));
    assert!(shown["followers_count"].is_i64() && shown["posts_count"].is_i64());
    assert_eq!(shown["engagement_rate"], Value::Null, "no number is invented");
    assert_eq!(dana.get(&posts("demo_private")).await.expect(200).json["items"], json!([]));
    assert_eq!(system.demo.calls_for("demo_private"), 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_empty_answers_say_that_nobody_has_the_handle() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let result = failed(&system, &dana, "demo_missing", "not_found").await;
    result.expect_problem(404, "profile_not_found");
    assert_eq!(system.demo.calls_for("demo_missing"), 3);
    let path = format!("{}?fetch=true", profile("demo_missing"));
    dana.get(&path).await.expect_problem(404, "profile_not_found");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_asked_ten_times_and_no_more() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let result = failed(&system, &dana, "demo_down", "provider_unavailable").await;
    let result = result.expect_problem(503, "provider_unavailable");
    assert!(result.header("retry-after").is_some());
    assert_eq!(system.demo.calls_for("demo_down"), 10);
    assert_eq!(system.count("SELECT CAST(calls_made AS bigint) AS n FROM jobs").await, 10);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_never_become_ready_or_whole_are_no_answers() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for handle in ["demo_pending", "demo_truncated"] {
        let result = failed(&system, &dana, handle, "provider_unavailable").await;
        result.expect_problem(503, "provider_unavailable");
        assert!(system.demo.calls_for(handle) <= 10);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_never_answers_is_given_up_on() {
    let system = System::builder().call_timeout(Duration::from_millis(60)).start().await;
    let dana = system.as_user("dana").await;
    system.demo.script("silent", vec![Scripted::Hang]);
    let result = failed(&system, &dana, "silent", "provider_unavailable").await;
    result.expect_problem(503, "provider_unavailable");
    assert!(system.demo.calls_for("silent") <= 10);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_provider_is_asked_again_until_it_answers() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let view = fetched(&system, &dana, "demo_flaky").await;
    assert_eq!(view["state"], "succeeded", "{view}");
    assert_eq!(view["attempt"], 1, "one attempt climbs the ladder");
    assert_eq!(system.demo.calls_for("demo_flaky"), 3);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_a_provider_asks_for_is_kept_within_an_attempt() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let before = system.now().await;
    let view = fetched(&system, &dana, "demo_limited").await;
    assert_eq!(view["state"], "succeeded", "{view}");
    assert_eq!(system.demo.calls_for("demo_limited"), 3);
    let took = system.now().await.millis_since(before);
    assert!(took >= 2_000, "two pauses of a second each, not {took} ms");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_longer_than_an_attempt_is_kept_between_attempts() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let limited = Scripted::Http {
        status: 429,
        body: json!("slow down").to_string(),
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
    };
    system.demo.script("limited", vec![limited, Scripted::Profile]);
    let before = system.now().await;
    let id = submit(&dana, "limited").await;
    let row = system.job_when(id, "it waits", |job| job.state.as_str() == "retrying").await;
    assert!(row.run_at.millis_since(before) >= 600_000, "not before the provider said");
    let view = dana.get(&job(id, "")).await.expect(200).json;
    assert!(view["waiting_reason"].as_str().unwrap().contains("next attempt"), "{view}");
    let flat = dana.get(&job(id, "/status")).await.expect(200).json;
    assert_eq!(flat["status"], "retrying");
    assert!(flat["estimated_start_seconds"].as_f64().unwrap() > 590.0);
    assert_eq!(system.demo.calls_for("limited"), 1);
    assert_eq!(system.finish(id).await.state.as_str(), "succeeded");
    assert_eq!(system.demo.calls_for("limited"), 2);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_answer_is_kept_for_a_day() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let result = failed(&system, &dana, "demo_garbage", "bad_shape").await;
    result.expect_problem(502, "bad_shape");
    assert!(system.demo.calls_for("demo_garbage") <= 5, "no second attempt");
    let kept = "SELECT count(*) AS n FROM job_events WHERE event = 'bad_shape'";
    assert_eq!(system.count(kept).await, 1);
    system.prune().await;
    assert_eq!(system.count(kept).await, 1);
    system.advance(25 * HOUR).await;
    system.prune().await;
    assert_eq!(system.count(kept).await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_a_bad_shape() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    failed(&system, &dana, "demo_huge", "bad_shape").await.expect_problem(502, "bad_shape");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_not_tried_twice() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let result = failed(&system, &dana, "demo_unauthorized", "auth_broken").await;
    result.expect_problem(503, "auth_broken");
    assert_eq!(system.demo.calls_for("demo_unauthorized"), 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refetch_brings_counters_up_to_date_and_keeps_the_analysis_of_unchanged_captions() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let before = Creator::new("71", "ana")
        .posts(&[Post::new("Same1", "the same", 10), Post::new("Other2", "as it was", 20)]);
    let mut after = before.clone();
    after.followers = 2_000;
    after.posts[0].likes = 11;
    after.posts[1].caption = "rewritten #new";
    after.posts.insert(0, Post::new("New3", "just posted", 5));
    system.demo.script("ana", vec![before.answer(), after.answer()]);
    fetched(&system, &dana, "ana").await;
    let analysed = "UPDATE posts SET ai_content_category = 'travel', ai_sentiment = 'positive', \
         ai_sentiment_score = 0.5, ai_language_code = 'en', ai_analyzed_at = {now}";
    entity::sql::execute(system.db().write(), analysed, vec![]).await.unwrap();
    fetched(&system, &dana, "ana").await;
    let shown = dana.get(&profile("ana")).await.expect(200).json;
    assert_eq!(shown["followers_count"], 2_000);
    assert_eq!(shown["stored_posts"], 3, "the post that fell off the timeline is kept, none twice");
    let post = |code: &str| {
        let all = shown["posts"].as_array().unwrap();
        all.iter().find(|post| post["shortcode"] == code).unwrap().clone()
    };
    assert_eq!(post("Same1")["likes_count"], 11);
    assert_eq!(post("Same1")["ai_analysis"]["content_category"], "travel");
    assert_eq!(post("Same1")["ai_analysis"]["sentiment_score"], 0.5);
    assert_eq!(post("Other2")["caption"], "rewritten #new");
    assert_eq!(post("Other2")["hashtags"], json!(["new"]));
    assert_eq!(post("Other2")["ai_analysis"], Value::Null, "it was about another text");
    assert_eq!(post("New3")["ai_analysis"], Value::Null);
    assert_eq!(shown["ai_insights"]["analysis_completeness"], 1.0 / 3.0);
    // (11 + 1) / 2000, (20 + 1) / 2000 and (5 + 1) / 2000 in percent.
    assert_eq!(post("Same1")["engagement_rate"], 0.6);
    assert!((shown["engagement_rate"].as_f64().unwrap() - 0.65).abs() < 1e-9, "{shown}");
    assert_eq!(shown["avg_likes_per_post"], 12.0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_say_is_null_and_never_zero() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let user = json!({ "id": "8", "username": "sparse", "full_name": "Sparse" });
    let content = json!({ "data": { "user": user } });
    let answer = http(200, &json!({ "results": [{ "content": content }] }));
    system.demo.script("sparse", vec![answer]);
    let view = fetched(&system, &dana, "sparse").await;
    assert_eq!(view["state"], "succeeded", "{view}");
    let shown = dana.get(&profile("sparse")).await.expect(200).json;
    assert_eq!(shown["partial"], true);
    for field in [
        "followers_count",
        "following_count",
        "posts_count",
        "follower_band",
        "is_verified",
        "is_private",
        "biography",
        "engagement_rate",
        "avg_likes_per_post",
        "posting_frequency",
        "last_post_date",
        "category",
    ] {
        assert_eq!(shown[field], Value::Null, "{field}");
    }
    assert_eq!(shown["posts"], json!([]));
    system.end().await;
}
