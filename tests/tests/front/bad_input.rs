//! Whatever is sent, the answer is a problem that names what was wrong, and never a 5xx.

use poem::http::Method;
use poem::{Body, Request};
use serde_json::{Value, json};
use tests::{Answer, Client, System};
use uuid::Uuid;

use crate::common::{check_refusal, job, posts, profile, refresh, token};

const BATCH: &str = "/api/v1/jobs/batch-get";
const BULK: &str = "/api/v1/analytics/bulk/profiles";
const LOGIN: &str = "/api/v1/auth/login";

#[track_caller]
fn refused(answer: Answer, status: u16, field: &str) {
    check_refusal(&answer);
    let answer = answer.expect(status);
    assert_eq!(answer.json["field"], field, "{}", answer.text);
}

/// A system where nothing ever runs, and a user.
async fn quiet() -> (System, Client) {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    (system, dana)
}

async fn nothing_was_started(system: System) {
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handle_is_refused_by_name() {
    let (system, dana) = quiet().await;
    let long = "a".repeat(300);
    for handle in [
        "a%2Fb",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e",
        "a..b",
        ".a",
        "a.",
        "a%20b",
        "a%00b",
        "%00",
        "%C3%A9t%C3%A9",
        "%F0%9F%98%80",
        "a%0D%0Ab",
        "%3Cscript%3E",
        "%27%20OR%201=1--",
        "a+b",
        "a-b",
        "a%23b",
        "@",
        "@@a",
        long.as_str(),
        &long[..31],
    ] {
        for path in [profile(handle), posts(handle)] {
            refused(dana.get(&path).await, 400, "username");
        }
        refused(dana.post(&refresh(handle)).await, 400, "username");
    }
    // Not even text, or not even there: still no more than a refusal.
    for handle in ["%FF%FE", "", "..", "%"] {
        let Ok(uri) = profile(handle).parse() else { continue };
        let request = Request::builder().method(Method::GET).uri(uri).finish();
        check_refusal(&dana.call(request).await);
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_is_refused_by_name() {
    let (system, dana) = quiet().await;
    let (profile, posts) = (profile("demo_travel"), posts("demo_travel"));
    let jobs = "/api/v1/jobs".to_owned();
    for (path, query, field) in [
        (&profile, "wait=-1", "wait"),
        (&profile, "wait=26", "wait"),
        (&profile, "wait=soon", "wait"),
        (&profile, "wait=1.5", "wait"),
        (&profile, "wait=99999999999999999999", "wait"),
        (&profile, "wait=", "wait"),
        (&profile, "fetch=perhaps", "fetch"),
        (&posts, "limit=0", "limit"),
        (&posts, "limit=101", "limit"),
        (&posts, "limit=abc", "limit"),
        (&posts, "limit=-9223372036854775808", "limit"),
        (&posts, "cursor=abc", "cursor"),
        (&posts, "cursor=", "cursor"),
        (&posts, "cursor=1.2", "cursor"),
        (&posts, "cursor=99999999999999999999.00000000-0000-0000-0000-000000000000", "cursor"),
        (&jobs, "limit=0", "limit"),
        (&jobs, "limit=101", "limit"),
        (&jobs, "limit=abc", "limit"),
        (&jobs, "cursor=abc", "cursor"),
        (&jobs, "since=yesterday", "since"),
        (&jobs, "since=2026-13-01T00:00:00Z", "since"),
        (&jobs, "since=%00", "since"),
        (&jobs, "state=sleeping", "state"),
        (&jobs, "state=QUEUED", "state"),
        (&jobs, "kind=theft", "kind"),
        (&jobs, "kind=%27%3B%20DROP%20TABLE%20jobs", "kind"),
    ] {
        refused(dana.get(&format!("{path}?{query}")).await, 400, field);
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_at_the_ends_of_the_calendar_are_times() {
    let (system, dana) = quiet().await;
    for since in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.999%2B14:00"]
    {
        dana.get(&format!("/api/v1/jobs?since={since}")).await.expect(200);
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_preference_is_refused_by_name() {
    let (system, dana) = quiet().await;
    for wait in ["wait=-1", "wait=soon", "wait", "wait=1.5", "respond-async, wait=\"x\""] {
        let asked = dana.with("prefer", wait);
        refused(asked.post(&refresh("demo_travel")).await, 400, "Prefer");
        refused(asked.get(&profile("demo_travel")).await, 400, "Prefer");
        refused(asked.get(&job(Uuid::now_v7(), "")).await, 400, "Prefer");
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_is_refused_by_name() {
    let (system, dana) = quiet().await;
    for id in ["1", "none", "0197-bad", "%00", "018f0000-0000-7000-8000-00000000000g", "null"] {
        for below in ["", "/status", "/result"] {
            refused(dana.get(&format!("/api/v1/jobs/{id}{below}")).await, 400, "id");
        }
        for below in ["/cancel", "/retry"] {
            refused(dana.post(&format!("/api/v1/jobs/{id}{below}")).await, 400, "id");
        }
    }
    refused(dana.get(&job(Uuid::nil(), "")).await, 404, "id");
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_body_is_refused_by_name() {
    let (system, dana) = quiet().await;
    let refresh = refresh("demo_travel");
    let many: Vec<Uuid> = (0..101).map(|_| Uuid::now_v7()).collect();
    let many = json!({ "ids": many }).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"include_posts\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let mut wrong = vec![];
    for (path, body, field) in [
        (refresh.as_str(), "{", "body"),
        (&refresh, "not json", "body"),
        (&refresh, "{\"include_posts\": tru", "body"),
        (&refresh, "\u{0}", "body"),
        (&refresh, "[]", "body"),
        (&refresh, "\"posts\"", "body"),
        (&refresh, "7", "body"),
        (&refresh, "{\"include_posts\": \"yes\"}", "include_posts"),
        (&refresh, "{\"include_posts\": 1}", "include_posts"),
        (&refresh, "{\"include_post\": true}", "include_post"),
        (&refresh, deep.as_str(), "body"),
        (&refresh, nested.as_str(), "body"),
        (BATCH, "", "body"),
        (BATCH, "null", "body"),
        (BATCH, "{}", "ids"),
        (BATCH, "{\"ids\": null}", "ids"),
        (BATCH, "{\"ids\": \"x\"}", "ids"),
        (BATCH, "{\"ids\": [1]}", "ids"),
        (BATCH, "{\"ids\": [\"x\"]}", "ids"),
        (BATCH, "{\"ids\": [], \"more\": 1}", "more"),
        (BATCH, many.as_str(), "ids"),
        (LOGIN, "{}", "email"),
        (LOGIN, "{\"email\": \"a@example.test\"}", "password"),
        (LOGIN, "{\"email\": [1], \"password\": \"x\"}", "email"),
        (LOGIN, "{\"email\": \"a\", \"password\": [\"x\"]}", "password"),
        // No name is written without quotes, even where it would be one with them.
        (LOGIN, "{\"email\": \"dana@example.test\", \"password\": 12345678}", "password"),
        (BULK, "{\"usernames\": [\"demo_travel\", false]}", "usernames"),
        (BULK, "{\"usernames\": [7]}", "usernames"),
    ] {
        let answer = dana.post_text(path, body).await;
        check_refusal(&answer);
        let got = (answer.status.as_u16(), answer.json["field"].as_str().unwrap_or_default());
        if got != (400, field) {
            wrong.push(format!("{body:.60} -> {got:?}, not {field}: {}", answer.json["detail"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let long = json!({ "email": "a@example.test", "password": "p".repeat(2_000) });
    refused(dana.post_json(LOGIN, long).await, 400, "password");
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_a_mebibyte_is_refused_announced_or_not() {
    let (system, dana) = quiet().await;
    let request = |body: Body, announced: Option<usize>| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(refresh("demo_travel").parse().unwrap())
            .content_type("application/json");
        match announced {
            Some(length) => request.header("content-length", length.to_string()).body(body),
            None => request.body(body),
        }
    };
    let big = format!("{{\"include_posts\":{}true}}", " ".repeat(1 << 20));
    let length = big.len();
    refused(dana.call(request(big.clone().into(), None)).await, 413, "body");
    refused(dana.call(request(big.clone().into(), Some(length))).await, 413, "body");
    // Announced as too much: refused before a byte of it is read.
    refused(dana.call(request(Body::empty(), Some(1 << 40))).await, 413, "body");
    refused(dana.call(request(big.into(), Some(10))).await, 413, "body");
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_an_unsupported_media_type() {
    let (system, dana) = quiet().await;
    for kind in ["text/plain", "application/xml", "multipart/form-data", "nonsense", ";"] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(refresh("demo_travel").parse().unwrap())
            .content_type(kind)
            .body("{\"include_posts\": true}");
        refused(dana.call(request).await, 415, "Content-Type");
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_signed_in_is_asked_to() {
    let (system, dana) = quiet().await;
    let expired = token(&system, "dana", -3_600).await;
    let api = system.api();
    let bearer = |token: &str| api.with("authorization", &format!("Bearer {token}"));
    let mut callers = vec![api.clone()];
    for token in ["", "garbage", "a.b.c", "..", &expired, &"x".repeat(20_000)] {
        callers.push(bearer(token));
    }
    let good = token(&system, "dana", 60).await;
    let (head, _) = good.rsplit_once('.').unwrap();
    callers.push(bearer(&format!("{head}.")));
    callers.push(bearer(&format!("{head}.AAAA")));
    callers.push(api.with("authorization", &format!("Basic {good}")));
    callers.push(api.with("authorization", &good));
    for caller in callers {
        for answer in [
            caller.get(&profile("demo_travel")).await,
            caller.get(&posts("demo_travel")).await,
            caller.post(&refresh("demo_travel")).await,
            caller.get("/api/v1/jobs").await,
            caller.get(&job(Uuid::now_v7(), "")).await,
            caller.post_json(BATCH, json!({ "ids": [] })).await,
        ] {
            check_refusal(&answer);
            answer.expect(401);
        }
    }
    dana.get("/api/v1/jobs").await.expect(200);
    bearer(&good).get("/api/v1/jobs").await.expect(200);
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there_say_so() {
    let (system, dana) = quiet().await;
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/profile",
        "/api/profile/a/b/c",
        "/api/v1/nothing",
        "/API/PROFILE/a",
        "//api/v1/jobs",
        "/docs/../api/v1/nothing",
        "/openapi.json/x",
        "/%00",
        "/livez/..%2f",
    ] {
        let answer = dana.get(path).await;
        check_refusal(&answer);
        assert_eq!(answer.status.as_u16(), 404, "{path}: {}", answer.text);
    }
    for (method, path) in [
        (Method::POST, profile("a")),
        (Method::DELETE, profile("a")),
        (Method::PUT, posts("a")),
        (Method::GET, refresh("a")),
        (Method::PATCH, refresh("a")),
        (Method::DELETE, "/api/v1/jobs".to_owned()),
        (Method::PUT, job(Uuid::now_v7(), "")),
        (Method::GET, job(Uuid::now_v7(), "/cancel")),
        (Method::POST, "/livez".to_owned()),
        (Method::DELETE, "/openapi.json".to_owned()),
        (Method::GET, LOGIN.to_owned()),
        (Method::from_bytes(b"BREW").unwrap(), profile("a")),
    ] {
        let answer = dana.send(method.clone(), &path, None).await;
        check_refusal(&answer);
        assert_eq!(answer.status.as_u16(), 405, "{method} {path}: {}", answer.text);
    }
    nothing_was_started(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_headers_are_passed_over() {
    let (system, dana) = quiet().await;
    for (name, value) in [
        ("if-none-match", "nonsense"),
        ("if-none-match", ",,,"),
        ("accept", "application/pdf;q=x"),
        ("accept-language", "\u{7f}"),
        ("prefer", ""),
        ("prefer", ";;,=,"),
        ("traceparent", "zz"),
        ("cookie", "a=b; a=b; ="),
        ("range", "bytes=9-1"),
        ("x-forwarded-for", "'; DROP TABLE users"),
        ("transfer-encoding", "chunked"),
    ] {
        let answer = dana.with(name, value).get("/api/v1/jobs").await;
        assert_eq!(answer.status.as_u16(), 200, "{name}: {value}: {}", answer.text);
        assert_eq!(answer.json["items"], Value::Array(vec![]));
    }
    nothing_was_started(system).await;
}
