//! The started server, asked over HTTP like the vendor would be.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Client, Response, header};
use serde_json::{Value, json};

use super::{DemoOptions, DemoProvider, Scripted, captions, persona::PERSONAS};

const MAIN: &str = "instagram_graphql_profile";
const LAST: &str = "instagram_profile";

async fn started() -> DemoProvider {
    DemoProvider::start(DemoOptions::for_tests()).await.expect("starts")
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client")
}

async fn ask(demo: &DemoProvider, handle: &str, target: &str) -> reqwest::Result<Response> {
    client()
        .post(format!("{}/v2/scrape", demo.base_url()))
        .basic_auth("user", Some("password"))
        .json(&json!({ "target": target, "query": handle, "render_js": true }))
        .send()
        .await
}

async fn answer(demo: &DemoProvider, handle: &str) -> (u16, Value) {
    let response = ask(demo, handle, MAIN).await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

fn user(body: &Value) -> &Value {
    &body["results"][0]["content"]["data"]["user"]
}

fn edges(body: &Value) -> &Vec<Value> {
    user(body)["edge_owner_to_timeline_media"]["edges"].as_array().expect("edges")
}

#[tokio::test]
async fn profiles_are_answered_and_calls_are_kept() {
    let demo = started().await;
    for handle in ["demo_travel", "demo_food", "demo_fitness", "some.body_else"] {
        let (status, body) = answer(&demo, handle).await;
        assert_eq!((status, edges(&body).len()), (200, 12));
        assert_eq!(user(&body)["username"], handle);
        assert_eq!(answer(&demo, &handle.to_uppercase()).await.1, body, "the same every time");
        assert_eq!(demo.calls_for(handle), 2);
    }
    let calls = demo.calls();
    assert_eq!(calls.len(), 8);
    assert_eq!((calls[7].handle.as_str(), calls[7].target.as_str()), ("some.body_else", MAIN));
    assert!(calls.iter().all(|call| call.render_js && call.status == 200));
    demo.stop().await;
}

#[tokio::test]
async fn the_polyglot_has_200_posts_in_14_languages() {
    let demo = started().await;
    let (_, body) = answer(&demo, "demo_polyglot").await;
    assert_eq!(edges(&body).len(), 200);
    assert_eq!(user(&body)["edge_owner_to_timeline_media"]["count"], 200);
    let mut languages = HashSet::new();
    for edge in edges(&body) {
        let text = edge["node"]["edge_media_to_caption"]["edges"][0]["node"]["text"].as_str();
        let shelves = captions::LANGUAGES.into_iter().chain(PERSONAS.iter().map(|p| p.captions));
        for shelf in shelves {
            if text.is_some() && shelf.captions().iter().any(|line| line.as_deref() == text) {
                languages.insert(shelf.language);
            }
        }
    }
    assert_eq!(languages.len(), 14);
}

#[tokio::test]
async fn the_last_resort_has_its_own_shape() {
    let demo = started().await;
    let response = ask(&demo, "demo_travel", LAST).await.expect("an answer");
    let body: Value = response.json().await.expect("JSON");
    let content = &body["results"][0]["content"]["data"]["content"];
    assert_eq!(content["stats"]["followers"], "184K");
    assert_eq!(content["account"]["username"], "demo_travel");
}

#[tokio::test]
async fn private_and_missing() {
    let demo = started().await;
    let (_, body) = answer(&demo, "demo_private").await;
    assert_eq!(user(&body)["is_private"], true);
    assert!(user(&body)["edge_owner_to_timeline_media"]["count"].as_u64() > Some(0));
    assert!(edges(&body).is_empty());
    for _ in 0..4 {
        let (status, body) = answer(&demo, "demo_missing").await;
        assert_eq!(status, 200);
        assert!(body["results"][0]["content"].is_object() && user(&body).is_null());
    }
}

#[tokio::test]
async fn the_flaky_and_the_limited_come_round() {
    let demo = started().await;
    for _ in 0..2 {
        assert_eq!(answer(&demo, "demo_flaky").await.0, 500);
        let (status, body) = answer(&demo, "demo_flaky").await;
        assert_eq!(
            (status, &body["status_code"], &body["status"]),
            (200, &json!(613), &json!("failed"))
        );
        assert!(body["results"].is_null());
        assert_eq!(edges(&answer(&demo, "demo_flaky").await.1).len(), 12);

        for _ in 0..2 {
            let response = ask(&demo, "demo_limited", MAIN).await.expect("an answer");
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
            assert!(response.json::<Value>().await.expect("JSON").is_string());
        }
        assert_eq!(answer(&demo, "demo_limited").await.0, 200);
    }
}

#[tokio::test]
async fn the_broken_ones() {
    let demo = started().await;
    for _ in 0..3 {
        assert_eq!(answer(&demo, "demo_down").await.0, 500);
    }
    assert_eq!(
        answer(&demo, "demo_unauthorized").await,
        (
            401,
            json!({
                "message": "Unauthorized", "status": "failed",
            })
        )
    );
    let (status, pending) = answer(&demo, "demo_pending").await;
    assert_eq!((status, &pending["status"]), (200, &json!("pending")));
    assert!(pending["id"].is_string() && pending["task_id"].is_null());

    let (status, garbage) = answer(&demo, "demo_garbage").await;
    let garbage = user(&garbage);
    assert_eq!(status, 200);
    assert!(garbage["username"].is_number() && garbage["id"].is_null());
    assert!(garbage["edge_owner_to_timeline_media"]["edges"].is_object());

    let truncated = ask(&demo, "demo_truncated", MAIN).await.expect("headers");
    assert_eq!(truncated.status(), 200);
    assert!(truncated.bytes().await.is_err(), "breaks off");

    let huge = ask(&demo, "demo_huge", MAIN).await.expect("headers").bytes().await.expect("a body");
    assert!(huge.len() > 8 * 1024 * 1024);
    let huge: Value = serde_json::from_slice(&huge).expect("JSON");
    assert_eq!(edges(&huge).len(), 12);
}

#[tokio::test]
async fn the_slow_one_takes_its_time() {
    let slow = Duration::from_millis(120);
    let options = DemoOptions { slow, ..DemoOptions::for_tests() };
    let demo = DemoProvider::start(options).await.expect("starts");
    let before = Instant::now();
    assert_eq!(answer(&demo, "demo_slow").await.0, 200);
    assert!(before.elapsed() >= slow);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let demo = started().await;
    let post = || client().post(format!("{}/v2/scrape", demo.base_url()));
    let good = json!({ "target": MAIN, "query": "demo_travel" });
    for (request, status) in [
        (post().json(&good), 401),
        (post().json(&good).basic_auth("user", None::<&str>), 401),
        (post().json(&good).basic_auth("", Some("password")), 401),
        (post().json(&good).basic_auth("u", Some("p")), 200),
        (post().body(good.to_string()).basic_auth("u", Some("p")), 415),
        (post().json(&json!({ "target": MAIN })).basic_auth("u", Some("p")), 400),
        (post().json(&json!({ "target": MAIN, "query": "" })).basic_auth("u", Some("p")), 400),
        (post().json(&json!({ "target": MAIN, "query": "../x" })).basic_auth("u", Some("p")), 400),
        (post().json(&json!({ "target": "t", "query": "a" })).basic_auth("u", Some("p")), 400),
        (post().json(&json!([1])).basic_auth("u", Some("p")), 400),
        (post().json(&"x".repeat(70_000)).basic_auth("u", Some("p")), 413),
    ] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.expect("JSON");
        assert!(status == 200 || body["status"] == "failed", "{body}");
    }
    assert_eq!(demo.calls().len(), 11);
}

#[tokio::test]
async fn scripts_are_followed_in_order() {
    let demo = started().await;
    let late = Scripted::Delay(Duration::from_millis(60), Box::new(Scripted::Profile));
    demo.script(
        "demo_down",
        vec![
            Scripted::Http {
                status: 524,
                body: "late".to_owned(),
                headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            },
            Scripted::Drop,
            late,
        ],
    );
    let response = ask(&demo, "demo_down", MAIN).await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (524, &"text/plain".parse().expect("a value"))
    );
    let dropped = ask(&demo, "demo_down", MAIN).await.expect_err("no answer");
    assert!(!dropped.is_timeout() && !dropped.is_status(), "{dropped:?}");
    for _ in 0..2 {
        let before = Instant::now();
        assert_eq!(answer(&demo, "demo_down").await.0, 200);
        assert!(before.elapsed() >= Duration::from_millis(60));
    }
    let statuses: Vec<u16> = demo.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [524, 0, 200, 200]);
    demo.script("demo_down", Vec::new());
    assert_eq!(answer(&demo, "demo_down").await.0, 500);
}

#[tokio::test]
async fn stopping_cuts_what_hangs_and_frees_the_port() {
    let demo = started().await;
    let addr = demo.addr();
    demo.script("demo_travel", vec![Scripted::Hang]);
    let (hanging, ()) = tokio::join!(ask(&demo, "demo_travel", MAIN), async {
        while demo.calls_for("demo_travel") == 0 {
            tokio::task::yield_now().await;
        }
        demo.shared.shutdown.cancel();
    });
    assert!(hanging.is_err());
    demo.stop().await;
    let again = DemoOptions { addr, ..DemoOptions::for_tests() };
    drop(DemoProvider::start(again).await.expect("the port is free"));
}

#[tokio::test]
async fn pictures_are_drawn_and_expire() {
    let demo = started().await;
    let (_, body) = answer(&demo, "demo_food").await;
    let portrait = user(&body)["profile_pic_url_hd"].as_str().expect("a link");
    let response = client().get(portrait).send().await.expect("a picture");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"image/jpeg".parse().expect("a value"))
    );
    assert!(response.headers().contains_key(header::CACHE_CONTROL));
    let tag = response.headers()[header::ETAG].clone();
    assert_eq!(&response.bytes().await.expect("bytes")[..2], &[0xff, 0xd8]);
    let again = client().get(portrait).header(header::IF_NONE_MATCH, tag).send().await;
    assert_eq!(again.expect("an answer").status(), 304);

    let expired = edges(&body)[2]["node"]["display_url"].as_str().expect("a link");
    assert_eq!(client().get(expired).send().await.expect("an answer").status(), 403);
    let thumbnail = &edges(&body)[0]["node"]["thumbnail_resources"][0]["src"];
    let thumbnail = thumbnail.as_str().expect("a link");
    assert_eq!(client().get(thumbnail).send().await.expect("an answer").status(), 200);
    let odd = format!("{}/images/food/no.jpg", demo.base_url());
    assert_eq!(client().get(odd).send().await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn recorded_answers_go_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
    write(&folder.path().join("demo_travel.json"), "{\"results\":[]}");
    let recorded = Some(folder.path().to_owned());
    let options = DemoOptions { recorded, ..DemoOptions::for_tests() };
    let demo = DemoProvider::start(options).await.expect("starts");
    assert_eq!(answer(&demo, "demo_travel").await, (200, json!({ "results": [] })));
    assert_eq!(edges(&answer(&demo, "demo_food").await.1).len(), 12);

    let nowhere = Some(folder.path().join("nowhere"));
    let options = DemoOptions { recorded: nowhere, ..DemoOptions::for_tests() };
    assert!(DemoProvider::start(options).await.is_err());
}
