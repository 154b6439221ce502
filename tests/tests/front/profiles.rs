//! A creator as stored.

use insta::assert_json_snapshot;
use serde_json::{Value, json};
use tests::System;

use crate::common::{HOUR, fetched, masked, posts, profile};

/// What only those with access may know.
const FULL_ONLY: [&str; 21] = [
    "full_name",
    "biography",
    "external_url",
    "followers_count",
    "following_count",
    "posts_count",
    "is_professional_account",
    "engagement_rate",
    "influence_score",
    "data_quality_score",
    "avg_likes_per_post",
    "avg_comments_per_post",
    "posting_frequency",
    "last_post_date",
    "category",
    "ai_insights",
    "posts",
    "stored_posts",
    "related_profiles",
    "access_until",
    "profile_pic_url_hd",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_profile_of_demo_travel() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let answer = dana.get(&profile("demo_travel")).await.expect(200);
    assert_json_snapshot!("demo_travel", masked(&answer.json));
    // No picture address of the provider ever leaves the API, only our CDN's.
    let port = system.demo.addr().port().to_string();
    for leak in [port.as_str(), "/images/", "instagram.com", "cdninstagram", "raw_data"] {
        assert!(!answer.text.contains(leak), "{leak}");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_gives_nothing_away() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "demo_travel").await;
    let preview = emil.get(&profile("demo_travel")).await.expect(200).json;
    for field in FULL_ONLY {
        assert_eq!(preview[field], Value::Null, "{field}");
    }
    assert_eq!(preview["access"], "preview");
    assert_eq!(preview["username"], "demo_travel");
    assert_eq!(preview["follower_band"], "100K–1M");
    assert_eq!(preview["is_verified"], true);
    assert!(preview["categories"].as_array().unwrap().len() <= 2);
    assert_json_snapshot!("demo_travel_preview", masked(&preview));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_profile_is_not_sent_twice() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "demo_travel").await;
    let path = profile("demo_travel");
    let first = dana.get(&path).await.expect(200);
    assert_eq!(first.header("x-data-source"), Some("database"));
    assert!(first.header("cache-control").unwrap().starts_with("private"));
    let tag = first.header("etag").unwrap().to_owned();
    let known = dana.with("if-none-match", &tag);
    let same = known.get(&path).await.expect(304);
    assert_eq!((same.header("etag"), same.text.as_str()), (Some(tag.as_str()), ""));
    dana.with("if-none-match", &format!("\"other\", {tag}")).get(&path).await.expect(304);
    // Somebody with less access has another body, so another tag.
    let other = emil.with("if-none-match", &tag).get(&path).await.expect(200);
    assert_eq!(other.json["access"], "preview");
    fetched(&system, &dana, "demo_travel").await;
    let changed = known.get(&path).await.expect(200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_after_thirty_days() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let tag = dana.get(&profile("demo_travel")).await.header("etag").unwrap().to_owned();
    system.advance(29 * 24 * HOUR).await;
    assert_eq!(dana.get(&profile("demo_travel")).await.expect(200).json["access"], "full");
    system.advance(2 * 24 * HOUR).await;
    let known = dana.with("if-none-match", &tag);
    assert_eq!(known.get(&profile("demo_travel")).await.expect(200).json["access"], "preview");
    dana.get(&posts("demo_travel")).await.expect_problem(403, "no_access");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_everything_without_asking_for_it() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    fetched(&system, &dana, "demo_travel").await;
    let shown = admin.get(&profile("demo_travel")).await.expect(200).json;
    assert_eq!((&shown["access"], &shown["access_until"]), (&json!("full"), &Value::Null));
    assert_eq!(admin.get(&posts("demo_travel")).await.expect(200).json["total"], 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_may_be_written_as_people_write_it() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    for handle in ["DEMO_TRAVEL", "@demo_travel", "%40Demo_Travel", "demo%5Ftravel"] {
        assert_eq!(dana.get(&profile(handle)).await.expect(200).json["username"], "demo_travel");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_question_gets_the_answer_of_one_with_a_query() {
    let system = System::start().await;
    let (dana, emil) = (system.as_user("dana").await, system.as_user("emil").await);
    fetched(&system, &dana, "demo_travel").await;
    let stranger = system.api();
    let wrong = system.api().with("authorization", "Bearer nonsense");
    for client in [&dana, &emil, &stranger, &wrong] {
        for handle in ["demo_travel", "@Demo_Travel", "demo_unknown", "no%20name", "a--"] {
            // The first one may be asked of the database.
            client.get(&profile(handle)).await;
            let plain = client.get(&profile(handle)).await;
            let asked = client.get(&format!("{}?fetch=false", profile(handle))).await;
            assert_eq!(plain.status, asked.status, "{handle}");
            let shown = |answer: &tests::Answer| {
                let mut json = answer.json.clone();
                for own in ["request_id", "age_seconds"] {
                    json.as_object_mut().unwrap().remove(own);
                }
                json
            };
            assert_eq!(shown(&plain), shown(&asked), "{handle}");
            for name in
                ["content-type", "etag", "cache-control", "x-data-source", "www-authenticate"]
            {
                assert_eq!(plain.header(name), asked.header(name), "{handle}: {name}");
            }
            if let Some(tag) = plain.header("etag") {
                client.with("if-none-match", tag).get(&profile(handle)).await.expect(304);
            }
        }
    }
    system.end().await;
}
