//! A creator's posts, page by page and all at once.

use std::collections::HashSet;

use serde_json::{Value, json};
use tests::System;

use crate::common::{Creator, Post, check_refusal, fetched, http, posts, profile, refresh};

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_lines_give_every_post_exactly_once_newest_first() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_polyglot").await;
    let shown = dana.get(&profile("demo_polyglot")).await.expect(200).json;
    assert_eq!(shown["stored_posts"], 200);
    assert_eq!(shown["posts"].as_array().unwrap().len(), 12);

    let (mut paged, mut cursor): (Vec<Value>, _) = (vec![], String::new());
    loop {
        let path = format!("{}?limit=33{cursor}", posts("demo_polyglot"));
        let page = dana.get(&path).await.expect(200).json;
        assert_eq!(page["total"], 200);
        paged.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(page["items"].as_array().unwrap().len(), 33);
        cursor = format!("&cursor={next}");
    }
    let codes: HashSet<&str> = paged.iter().map(|p| p["shortcode"].as_str().unwrap()).collect();
    assert_eq!((paged.len(), codes.len()), (200, 200));
    let times: Vec<&str> = paged.iter().map(|p| p["posted_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    assert_eq!(paged[..12], shown["posts"].as_array().unwrap()[..]);

    let lines = dana.with("accept", "application/x-ndjson").get(&posts("demo_polyglot")).await;
    let lines = lines.expect(200);
    assert!(lines.header("content-type").unwrap().starts_with("application/x-ndjson"));
    assert!(lines.text.ends_with('\n'));
    let streamed: Vec<Value> =
        lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(streamed, paged);

    let default = dana.get(&posts("demo_polyglot")).await.expect(200).json;
    assert_eq!(default["items"].as_array().unwrap().len(), 20);
    let most = dana.get(&format!("{}?limit=100", posts("demo_polyglot"))).await.expect(200).json;
    assert_eq!(most["items"].as_array().unwrap().len(), 100);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_the_same_second_or_of_no_time_are_paged_once_too() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let edges: Vec<Value> = (0..25)
        .map(|n| {
            let mut node = json!({ "shortcode": format!("C{n}"), "id": format!("{n}") });
            if n % 2 == 0 {
                node["taken_at_timestamp"] = json!(1_790_000_000);
            }
            json!({ "node": node })
        })
        .collect();
    let user = json!({ "id": "5", "username": "timeless", "edge_followed_by": { "count": 9 },
        "edge_owner_to_timeline_media": { "count": 25, "edges": edges } });
    let content = json!({ "data": { "user": user } });
    let answer = http(200, &json!({ "results": [{ "content": content }] }));
    system.demo.script("timeless", vec![answer]);
    fetched(&system, &dana, "timeless").await;
    let (mut codes, mut cursor) = (vec![], String::new());
    loop {
        let page = dana.get(&format!("{}?limit=4{cursor}", posts("timeless"))).await.expect(200);
        let items = page.json["items"].as_array().unwrap();
        codes.extend(items.iter().map(|p| p["shortcode"].as_str().unwrap().to_owned()));
        let Some(next) = page.json["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(codes.len(), 25);
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 25);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_two_authors_stands_in_both_timelines() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let joint = Post::new("Joint1", "together", 3);
    let ana = Creator::new("1", "ana").posts(std::slice::from_ref(&joint));
    let bea = Creator::new("2", "bea").posts(&[joint]);
    system.demo.script("ana", vec![ana.answer()]);
    system.demo.script("bea", vec![bea.answer()]);
    for handle in ["ana", "bea"] {
        fetched(&system, &dana, handle).await;
    }
    for handle in ["ana", "bea"] {
        let page = dana.get(&posts(handle)).await.expect(200).json;
        assert_eq!(page["items"][0]["shortcode"], "Joint1", "{handle}");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_there_are_no_posts_in_any_form() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    fetched(&system, &dana, "demo_travel").await;
    for caller in [emil.clone(), emil.with("accept", "application/x-ndjson")] {
        let answer = caller.get(&posts("demo_travel")).await;
        check_refusal(&answer);
        let answer = answer.expect_problem(403, "no_access");
        assert_eq!(answer.json["refresh"], refresh("demo_travel"));
    }
    system.end().await;
}
