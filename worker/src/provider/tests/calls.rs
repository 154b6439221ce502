//! The client against a server: what is sent, and every row of the error table.

use super::server::{Reply, TestServer};
use super::*;

async fn one_call(reply: Reply) -> FetchReport {
    let server = TestServer::start(vec![reply]).await;
    let client = Decodo::new(config(&server.base)).unwrap();
    fetch(&client, budget(1)).await
}

#[tokio::test]
async fn a_call_carries_the_vendors_words() {
    let server = TestServer::start(vec![Reply::json(&envelope(user()))]).await;
    let mut config = config(&format!("{}/", server.base));
    let client = Decodo::new(config.clone()).unwrap();
    let token = CancellationToken::new();
    let report = client.fetch_profile(" @Tiny_Shop", budget(5), &token).await;
    assert!(
        matches!(report.outcome, FetchOutcome::Found(profile) if profile.username == "tiny_shop")
    );
    let call = server.calls().remove(0);
    assert_eq!(call.path, "/v2/scrape");
    assert_eq!(
        call.body,
        json!({"target": "instagram_graphql_profile", "query": "tiny_shop", "render_js": true})
    );
    // base64 of someone:hush
    assert_eq!(call.headers["authorization"], "Basic c29tZW9uZTpodXNo");
    assert_eq!(call.headers["accept"], "application/json");
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.headers["user-agent"], concat!("farm/", env!("CARGO_PKG_VERSION")));

    config.api_key = Some(Secret::new("ready-made"));
    fetch(&Decodo::new(config).unwrap(), budget(1)).await;
    assert_eq!(server.calls()[1].headers["authorization"], "Basic ready-made");
}

#[tokio::test]
async fn the_ladder_climbs_in_order_and_stops_at_the_budget() {
    let server = TestServer::start(vec![Reply::new(500, "")]).await;
    let client = Decodo::new(config(&server.base)).unwrap();
    let report = fetch(&client, budget(99)).await;
    assert!(matches!(report.outcome, FetchOutcome::Unavailable { .. }));
    assert_eq!(outcomes(&report), [CallOutcome::Instability; 5]);
    let sent: Vec<(Value, Value, Value)> = server
        .calls()
        .into_iter()
        .map(|mut call| {
            let mut take = |key: &str| call.body[key].take();
            (take("target"), take("render_js"), take("geo_location"))
        })
        .collect();
    let (graph, flat) = (json!("instagram_graphql_profile"), json!("instagram_profile"));
    let expected = [
        (graph.clone(), json!(true), Value::Null),
        (graph.clone(), json!(false), Value::Null),
        (graph.clone(), json!(true), json!("US")),
        (graph, json!(false), json!("US")),
        (flat, json!(true), Value::Null),
    ];
    assert_eq!(sent, expected);
    fetch(&client, budget(2)).await;
    assert_eq!(server.calls().len(), 7);
    let report = fetch(&client, budget(0)).await;
    assert!(matches!(report.outcome, FetchOutcome::Unavailable { .. }));
    assert_eq!(server.calls().len(), 7, "no budget, no call");
}

#[tokio::test]
async fn it_stops_at_the_first_good_answer() {
    let server = TestServer::start(vec![
        Reply::new(503, ""),
        Reply::json(&json!({"foo": 1})),
        Reply::json(&envelope(user())),
    ])
    .await;
    let client = Decodo::new(config(&server.base)).unwrap();
    let report = fetch(&client, budget(5)).await;
    assert!(matches!(report.outcome, FetchOutcome::Found(_)));
    let expected = [CallOutcome::Instability, CallOutcome::BadShape, CallOutcome::Ok];
    assert_eq!(outcomes(&report), expected);
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn statuses() {
    for (status, expected) in [
        (204, CallOutcome::Instability),
        (429, CallOutcome::RateLimited),
        (500, CallOutcome::Instability),
        (502, CallOutcome::Instability),
        (503, CallOutcome::Instability),
        (504, CallOutcome::Instability),
        (524, CallOutcome::Instability),
        (613, CallOutcome::Instability),
        (404, CallOutcome::Empty),
        (401, CallOutcome::Auth),
        (403, CallOutcome::Auth),
        (400, CallOutcome::FatalStatus),
        (302, CallOutcome::FatalStatus),
        (422, CallOutcome::FatalStatus),
    ] {
        let body = if status == 204 { "" } else { "\"words\"" };
        let report = one_call(Reply::new(status, body).with("location", "/elsewhere")).await;
        assert_eq!(outcomes(&report), [expected], "{status}");
        assert_eq!(report.calls[0].http_status, Some(status), "{status}");
        let right = match (expected, &report.outcome) {
            (CallOutcome::Auth, FetchOutcome::AuthBroken) => true,
            (CallOutcome::FatalStatus, FetchOutcome::BadShape { reason, raw }) => {
                reason.contains(&status.to_string()) && raw == "\"words\""
            }
            (CallOutcome::Auth | CallOutcome::FatalStatus, _) => false,
            (_, outcome) => matches!(outcome, FetchOutcome::Unavailable { .. }),
        };
        assert!(right, "{status}: {:?}", report.outcome);
    }
}

#[tokio::test]
async fn refused_credentials_and_fatal_statuses_end_it_at_once() {
    for status in [401, 403, 400] {
        let server = TestServer::start(vec![Reply::new(status, "")]).await;
        let client = Decodo::new(config(&server.base)).unwrap();
        fetch(&client, budget(5)).await;
        assert_eq!(server.calls().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn three_empties_in_a_row_are_not_found() {
    for reply in [Reply::json(&envelope(Value::Null)), Reply::new(404, "nothing")] {
        let server = TestServer::start(vec![reply]).await;
        let client = Decodo::new(config(&server.base)).unwrap();
        let report = fetch(&client, budget(5)).await;
        assert!(matches!(report.outcome, FetchOutcome::NotFound));
        assert_eq!(server.calls().len(), 3);
        let short = fetch(&client, budget(2)).await;
        assert!(matches!(&short.outcome, FetchOutcome::Unavailable { reason, .. }
            if reason.contains("empty")));
        let carried = CallBudget { empties_before: short.empties_in_a_row(0), ..budget(3) };
        let report = fetch(&client, carried).await;
        assert!(matches!(report.outcome, FetchOutcome::NotFound));
        assert_eq!(report.calls.len(), 1);
    }
}

#[tokio::test]
async fn garbage_all_the_way_is_bad_shape_with_the_last_body() {
    let server = TestServer::start(vec![
        Reply::json(&json!({"foo": 1})),
        Reply::json(&json!({"foo": 2})),
        Reply::new(200, "<html>"),
    ])
    .await;
    let client = Decodo::new(config(&server.base)).unwrap();
    let report = fetch(&client, budget(5)).await;
    let FetchOutcome::BadShape { raw, .. } = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(raw, r#"{"foo":2}"#);
}

#[tokio::test]
async fn a_private_profile_is_found() {
    let mut private = user();
    private["is_private"] = json!(true);
    let report = one_call(Reply::json(&envelope(private))).await;
    assert_eq!(outcomes(&report), [CallOutcome::Private]);
    assert!(matches!(report.outcome, FetchOutcome::Found(p) if p.is_private == Some(true)));
}

#[tokio::test]
async fn an_impossible_handle_costs_no_call() {
    let server = TestServer::start(vec![Reply::new(500, "")]).await;
    let client = Decodo::new(config(&server.base)).unwrap();
    for handle in ["", "a b", "../x"] {
        let report = client.fetch_profile(handle, budget(5), &CancellationToken::new()).await;
        assert!(matches!(report.outcome, FetchOutcome::NotFound), "{handle}");
    }
    assert!(server.calls().is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused_and_secrets_never_print() {
    for base in ["ftp://a.test", "mailto:a@b.test", "http://user:pw@a.test", "http://user@a.test"] {
        let error = Decodo::new(config(base)).unwrap_err();
        assert!(error.to_string().contains("DECODO_BASE_URL"), "{base}");
        assert!(!error.to_string().contains("pw"), "{base}");
    }
    let good = config("http://a.test");
    let mut nobody = good.clone();
    nobody.username.clear();
    assert!(matches!(Decodo::new(nobody), Err(ProviderError::NoCredentials)));
    let mut key = good.clone();
    key.api_key = Some(Secret::new("a\nb"));
    assert!(matches!(Decodo::new(key), Err(ProviderError::ApiKey)));
    let mut instant = good.clone();
    instant.call_timeout = Duration::ZERO;
    assert!(matches!(Decodo::new(instant), Err(ProviderError::Timeout)));
    let client = Decodo::new(good.clone()).unwrap();
    let printed = format!("{good:?} {client:?} {}", good.password);
    assert!(printed.contains("***") && !printed.contains("hush"), "{printed}");
}

#[test]
fn a_record_is_stored_in_snake_case() {
    let record = CallRecord {
        step: "graphql_js".to_owned(),
        outcome: CallOutcome::RateLimited,
        http_status: Some(429),
        ms: 7,
    };
    let stored = serde_json::to_value(&record).unwrap();
    let expected =
        json!({"step": "graphql_js", "outcome": "rate_limited", "http_status": 429, "ms": 7});
    assert_eq!(stored, expected);
    for outcome in [CallOutcome::Ok, CallOutcome::FatalStatus, CallOutcome::TooLarge] {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
    }
}
