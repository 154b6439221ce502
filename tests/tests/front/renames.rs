//! Handles change hands; creators keep their id.

use serde_json::{Value, json};
use tests::System;

use crate::common::{Creator, Post, fetched, http, posts, profile};

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_creator_keeps_id_posts_and_audience() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let old = Creator::new("42", "old_name").posts(&[Post::new("P1", "one", 1)]);
    let new = Creator { username: "new_name", ..old.clone() };
    system.demo.script("old_name", vec![old.answer()]);
    system.demo.script("new_name", vec![new.answer()]);
    fetched(&system, &dana, "old_name").await;
    let before = dana.get(&profile("old_name")).await.expect(200).json;
    fetched(&system, &emil, "new_name").await;
    let after = dana.get(&profile("new_name")).await.expect(200).json;
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["access"], "full", "access is to the creator, not to the name");
    assert_eq!(after["stored_posts"], 1);
    dana.get(&profile("old_name")).await.expect_problem(404, "profile_not_fetched");
    assert_eq!(system.count("SELECT count(*) AS n FROM profiles").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_an_old_name_shows_the_creator_the_provider_found() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let renamed = Creator::new("42", "new_name").posts(&[Post::new("P1", "one", 1)]);
    system.demo.script("old_name", vec![renamed.answer()]);
    let answer = dana.get(&format!("{}?fetch=true", profile("old_name"))).await.expect(200);
    assert_eq!(answer.json["username"], "new_name");
    assert_eq!(answer.json["access"], "full");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_taken_over_by_somebody_else_is_another_creator() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let first = Creator::new("1", "shared").posts(&[Post::new("A1", "first's", 1)]);
    let second = Creator::new("2", "shared").posts(&[Post::new("B1", "second's", 2)]);
    let moved = Creator { username: "moved", ..first.clone() };
    system.demo.script("shared", vec![first.answer(), second.answer()]);
    system.demo.script("moved", vec![moved.answer()]);
    fetched(&system, &dana, "shared").await;
    let before = dana.get(&profile("shared")).await.expect(200).json;
    fetched(&system, &emil, "shared").await;
    let after = emil.get(&profile("shared")).await.expect(200).json;
    assert_ne!(after["id"], before["id"]);
    assert_eq!(after["stored_posts"], 1);
    assert_eq!(after["posts"][0]["shortcode"], "B1");
    // Dana paid for the first one, not for whoever has the name now.
    let hers = dana.get(&profile("shared")).await.expect(200).json;
    assert_eq!((&hers["access"], &hers["posts"]), (&json!("preview"), &Value::Null));
    // The first one comes back under a new name, with the posts and the people it had.
    fetched(&system, &emil, "moved").await;
    let back = dana.get(&profile("moved")).await.expect(200).json;
    assert_eq!(back["id"], before["id"]);
    assert_eq!(back["access"], "full");
    assert_eq!(dana.get(&posts("moved")).await.expect(200).json["items"][0]["shortcode"], "A1");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_answer_is_completed_and_completes_nothing_wrongly() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let whole = Creator::new("9", "basic_one").posts(&[Post::new("P1", "one", 7)]);
    let basic = json!({ "data": { "content": {
        "account": { "username": "basic_one", "verified": true },
        "stats": { "followers": "1.5K", "posts": "12" },
        "biography": { "name": "Basic One" },
        "posts": [{ "href": "/p/P1/", "description": "one" }],
    } } });
    let partial = http(200, &json!({ "results": [{ "content": basic }] }));
    system.demo.script("basic_one", vec![partial.clone(), whole.answer(), partial]);
    fetched(&system, &dana, "basic_one").await;
    let first = dana.get(&profile("basic_one")).await.expect(200).json;
    assert_eq!((&first["partial"], &first["followers_count"]), (&json!(true), &json!(1_500)));
    assert_eq!(first["posts"][0]["likes_count"], Value::Null);
    // Partial is as good as stale: the next one who asks gets a provider call.
    let path = format!("{}?fetch=true", profile("basic_one"));
    let emil = system.as_user("emil").await;
    let second = emil.get(&path).await.expect(200).json;
    assert_eq!((&second["partial"], &second["id"]), (&json!(false), &first["id"]));
    assert_eq!(second["posts"][0]["likes_count"], 7);
    fetched(&system, &dana, "basic_one").await;
    let third = dana.get(&profile("basic_one")).await.expect(200).json;
    assert_eq!(third["posts"][0]["likes_count"], 7, "a partial answer erases nothing");
    assert_eq!(third["stored_posts"], 1);
    system.end().await;
}
