//! A user's own numbers.

use serde_json::{Value, json};
use tests::{Client, System};

use crate::common::{HOUR, check_refusal, profile, refresh};

const DASHBOARD: &str = "/api/v1/auth/dashboard";
const HISTORY: &str = "/api/v1/auth/search-history";

async fn dashboard(client: &Client) -> Value {
    client.get(DASHBOARD).await.expect(200).json
}

fn handles(searches: &Value) -> Vec<&str> {
    let searches = searches.as_array().unwrap().iter();
    searches.map(|search| search["instagram_username"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_counted_for_who_made_them() {
    let system = System::builder().workers(0).start().await;
    let (dana, emil) = (system.as_user("dana").await, system.as_user("emil").await);
    let empty = dashboard(&dana).await;
    assert_eq!((&empty["total_searches"], &empty["last_active"]), (&json!(0), &Value::Null));
    assert_eq!((&empty["recent_searches"], &empty["favorite_profiles"]), (&json!([]), &json!([])));
    dana.post(&refresh("one")).await.expect(202);
    // The same within the minute is the same search, however it is asked for.
    dana.post(&refresh("@One")).await.expect(202);
    dana.post("/api/v1/analytics/posts/one").await.expect(202);
    dana.get(&format!("{}?fetch=true&wait=0", profile("two"))).await.expect(202);
    let names = json!({ "usernames": ["three", "four", "three"] });
    dana.post_json("/api/v1/analytics/bulk/profiles", names).await.expect(202);
    // What only reads is none, nor what was refused.
    dana.get(&profile("five")).await.expect(404);
    dana.get(DASHBOARD).await.expect(200);
    dana.post(&refresh("a..b")).await.expect(400);
    emil.post(&refresh("six")).await.expect(202);
    let shown = dashboard(&dana).await;
    assert_eq!((&shown["total_searches"], &shown["searches_this_month"]), (&json!(4), &json!(4)));
    assert_eq!(shown["recent_searches"].as_array().unwrap().len(), 4);
    assert_eq!(shown["last_active"], shown["recent_searches"][0]["created_at"]);
    system.advance(HOUR).await;
    dana.post("/api/v1/analytics/posts/two").await.expect(202);
    // A month has at most 31 days.
    system.advance(31 * 24 * HOUR).await;
    let shown = dashboard(&dana).await;
    assert_eq!((&shown["total_searches"], &shown["searches_this_month"]), (&json!(5), &json!(0)));
    assert_eq!(shown["favorite_profiles"][0], "two", "twice, the others once");
    assert_eq!(shown["recent_searches"][0]["analysis_type"], "posts");
    assert_eq!(dashboard(&emil).await["total_searches"], 1);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_read_page_by_page() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    // Of one moment, all of them.
    let names: Vec<String> = (0..7).map(|n| format!("name{n}")).collect();
    let body = json!({ "usernames": names });
    dana.post_json("/api/v1/analytics/bulk/profiles", body).await.expect(202);
    let mut found = vec![];
    let mut at = format!("{HISTORY}?limit=3");
    loop {
        let page = dana.get(&at).await.expect(200).json;
        found.extend(handles(&page["items"]).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        // What comes meanwhile moves nothing.
        dana.post(&refresh(&format!("later{}", found.len()))).await.expect(202);
        at = format!("{HISTORY}?limit=3&cursor={next}");
    }
    found.sort();
    assert_eq!(found, names);
    for (query, field) in [("cursor=x", "cursor"), ("cursor=1.2", "cursor"), ("limit=0", "limit")] {
        let answer = dana.get(&format!("{HISTORY}?{query}")).await;
        check_refusal(&answer);
        assert_eq!(answer.expect(400).json["field"], field);
    }
    let emil = system.as_user("emil").await.get(HISTORY).await.expect(200).json;
    assert_eq!((&emil["items"], &emil["next"]), (&json!([]), &Value::Null));
    system.end_with_open_jobs().await;
}
