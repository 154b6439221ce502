//! Time, size, cancellation, circuit and rate.

use std::num::{NonZeroU32, NonZeroUsize};

use tokio::net::TcpListener;

use super::super::body::{MAX_BODY, MAX_RAW};
use super::super::breaker::CircuitState;
use super::server::{Reply, TestServer};
use super::*;

/// Longer than any test may take: a wait that is really slept would hang the test.
const LONG: u64 = 40;

fn unavailable(report: &FetchReport) -> (&str, Option<Duration>) {
    match &report.outcome {
        FetchOutcome::Unavailable { reason, retry_after } => (reason, *retry_after),
        other => panic!("unavailable expected, got {other:?}"),
    }
}

#[tokio::test]
async fn retry_after_that_fits_is_kept_and_the_climb_goes_on() {
    for retry_after in ["0", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let server = TestServer::start(vec![
            Reply::new(429, "\"Too many requests\"")
                .with("retry-after", retry_after)
                .with("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
            Reply::json(&envelope(user())),
        ])
        .await;
        let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(5)).await;
        assert_eq!(outcomes(&report), [CallOutcome::RateLimited, CallOutcome::Ok]);
    }
}

#[tokio::test]
async fn retry_after_beyond_the_deadline_ends_the_attempt() {
    for (value, date, expected) in [
        ("60", None, Some(60)),
        ("99999999", None, Some(86_400)),
        ("Wed, 21 Oct 2015 07:29:30 GMT", Some("Wed, 21 Oct 2015 07:28:00 GMT"), Some(90)),
    ] {
        let mut reply = Reply::new(503, "").with("retry-after", value);
        if let Some(date) = date {
            reply = reply.with("date", date);
        }
        let server = TestServer::start(vec![reply]).await;
        let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(5)).await;
        let (reason, wait) = unavailable(&report);
        assert!(reason.contains("longer than this attempt"), "{value}: {reason}");
        assert_eq!(wait, expected.map(Duration::from_secs), "{value}");
        assert_eq!(report.calls.len(), 1, "{value}");
    }
}

#[tokio::test]
async fn a_retry_after_nobody_can_read_is_ignored() {
    let reply = Reply::new(429, "").with("retry-after", "soon");
    let server = TestServer::start(vec![reply, Reply::json(&envelope(user()))]).await;
    let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(5)).await;
    assert!(matches!(report.outcome, FetchOutcome::Found(_)));
}

#[tokio::test]
async fn the_last_calls_retry_after_is_handed_on() {
    let server = TestServer::start(vec![Reply::new(429, "").with("retry-after", "7")]).await;
    let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(1)).await;
    assert_eq!(unavailable(&report).1, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_call_times_out_and_the_next_step_is_tried() {
    let server = TestServer::start(vec![Reply::hang(), Reply::json(&envelope(user()))]).await;
    let mut config = config(&server.base);
    config.call_timeout = Duration::from_millis(500);
    let report = fetch(&Decodo::new(config).unwrap(), budget(5)).await;
    assert_eq!(outcomes(&report), [CallOutcome::Timeout, CallOutcome::Ok]);
    assert_eq!(report.calls[0].http_status, None);
}

#[tokio::test]
async fn the_deadline_ends_a_call_under_way_and_counts_it() {
    let server = TestServer::start(vec![Reply::hang()]).await;
    let client = Decodo::new(config(&server.base)).unwrap();
    let budget = CallBudget { deadline: Duration::from_millis(100), ..budget(5) };
    let report = fetch(&client, budget).await;
    assert!(unavailable(&report).0.contains("deadline"));
    assert_eq!(outcomes(&report), [CallOutcome::Timeout]);
}

#[tokio::test]
async fn the_deadline_ends_a_pause() {
    let server = TestServer::start(vec![Reply::new(500, "")]).await;
    let mut patient = config(&server.base);
    let day = Duration::from_hours(24);
    patient.pauses = Pauses { initial: day, cap: day };
    let budget = CallBudget { deadline: Duration::from_millis(200), ..budget(5) };
    let report = fetch(&Decodo::new(patient).unwrap(), budget).await;
    assert!(unavailable(&report).0.contains("deadline"));
    assert_eq!(outcomes(&report), [CallOutcome::Instability]);
}

#[tokio::test]
async fn cancelling_ends_a_call_a_pause_and_a_wait() {
    // Under way: the call is counted, as cancelled.
    let server = TestServer::start(vec![Reply::hang()]).await;
    let client = Arc::new(Decodo::new(config(&server.base)).unwrap());
    let token = CancellationToken::new();
    let fetching = tokio::spawn({
        let (client, token) = (client.clone(), token.clone());
        async move { client.fetch_profile("x", budget(5), &token).await }
    });
    server.received(1).await;
    token.cancel();
    let report = fetching.await.unwrap();
    assert!(matches!(report.outcome, FetchOutcome::Cancelled));
    assert_eq!(outcomes(&report), [CallOutcome::Cancelled]);

    // Already cancelled: no call.
    let report = client.fetch_profile("x", budget(5), &token).await;
    assert!(matches!(report.outcome, FetchOutcome::Cancelled) && report.calls.is_empty());

    // In a pause.
    let server =
        TestServer::start(vec![Reply::new(429, "").with("retry-after", LONG.to_string())]).await;
    let client = Arc::new(Decodo::new(config(&server.base)).unwrap());
    let token = CancellationToken::new();
    let fetching = tokio::spawn({
        let (client, token) = (client.clone(), token.clone());
        async move { client.fetch_profile("x", budget(5), &token).await }
    });
    server.received(1).await;
    token.cancel();
    let report = fetching.await.unwrap();
    assert!(matches!(report.outcome, FetchOutcome::Cancelled));
    assert_eq!(report.calls.len(), 1);
}

#[tokio::test]
async fn waiting_for_a_slot_or_the_rate_obeys_the_deadline_and_costs_no_call() {
    let server = TestServer::start(vec![Reply::json(&envelope(user())), Reply::hang()]).await;
    let mut slow = config(&server.base);
    slow.rate = Arc::new(RateLimit::local(NonZeroU32::MIN));
    let client = Decodo::new(slow).unwrap();
    let short = CallBudget { deadline: Duration::from_millis(50), ..budget(5) };
    assert!(matches!(fetch(&client, budget(5)).await.outcome, FetchOutcome::Found(_)));
    let report = fetch(&client, short).await;
    assert!(unavailable(&report).0.contains("deadline") && report.calls.is_empty());

    let mut single = config(&server.base);
    single.connections = NonZeroUsize::MIN;
    let client = Decodo::new(single).unwrap();
    let token = CancellationToken::new();
    let (held, waiting) = tokio::join!(client.fetch_profile("x", budget(1), &token), async {
        server.received(2).await;
        let report = fetch(&client, short).await;
        token.cancel();
        report
    });
    assert!(matches!(held.outcome, FetchOutcome::Cancelled));
    assert!(unavailable(&waiting).0.contains("deadline") && waiting.calls.is_empty());
}

#[tokio::test]
async fn a_body_over_8_mib_is_cut_off() {
    let padding = "x".repeat(MAX_BODY);
    let mut large = envelope(user());
    large["padding"] = json!(padding);
    let server = TestServer::start(vec![Reply::json(&large)]).await;
    let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(2)).await;
    assert_eq!(outcomes(&report), [CallOutcome::TooLarge; 2]);
    let FetchOutcome::BadShape { reason, raw } = report.outcome else { panic!() };
    assert!(reason.contains("larger than") && raw.len() <= MAX_RAW);

    let mut fitting = envelope(user());
    fitting["padding"] = json!("x".repeat(MAX_BODY - 1024));
    let server = TestServer::start(vec![Reply::json(&fitting)]).await;
    let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(1)).await;
    assert!(matches!(report.outcome, FetchOutcome::Found(_)));
}

#[tokio::test]
async fn a_depth_bomb_is_bad_shape() {
    let bomb = format!("{{\"results\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let server = TestServer::start(vec![Reply::new(200, bomb)]).await;
    let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(1)).await;
    let FetchOutcome::BadShape { reason, raw } = report.outcome else { panic!() };
    assert!(reason.contains("deeper") && raw.len() == MAX_RAW);
}

#[tokio::test]
async fn a_connection_that_breaks_or_never_opens_is_a_passing_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 8192]);
        // To the end of the request: closing on unread bytes would reset the connection.
        while !request.ends_with(b"}") {
            stream.readable().await.unwrap();
            if let Ok(count) = stream.try_read(&mut part) {
                request.extend_from_slice(&part[..count]);
            }
        }
        stream.writable().await.unwrap();
        stream.try_write(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"results\"").unwrap();
    });
    let client = Decodo::new(config(&base)).unwrap();
    let report = fetch(&client, budget(1)).await;
    server.await.unwrap();
    assert_eq!(outcomes(&report), [CallOutcome::Instability]);
    assert_eq!(report.calls[0].http_status, Some(200));
    // The listener is gone now.
    let report = fetch(&client, budget(1)).await;
    assert_eq!(outcomes(&report), [CallOutcome::Connect]);
    assert!(unavailable(&report).0.contains("connection"));
}

#[tokio::test]
async fn an_open_circuit_makes_no_call_and_says_how_long() {
    let server = TestServer::start(vec![Reply::new(500, "")]).await;
    let mut strict = config(&server.base);
    strict.breaker = BreakerPolicy { min_handles: 1, consecutive: 3, ..Default::default() };
    let client = Decodo::new(strict).unwrap();
    assert_eq!(client.circuit().state, CircuitState::Closed);
    let report = fetch(&client, budget(5)).await;
    let (reason, retry_after) = unavailable(&report);
    assert_eq!(reason, "provider circuit open");
    assert!(retry_after.is_some_and(|left| left <= Duration::from_mins(1) && !left.is_zero()));
    assert_eq!(report.calls.len(), 3);
    let report = fetch(&client, budget(5)).await;
    assert_eq!(unavailable(&report).0, "provider circuit open");
    assert!(report.calls.is_empty());
    assert_eq!(server.calls().len(), 3);
    assert_eq!(client.circuit().state, CircuitState::Open);
}

#[tokio::test]
async fn answers_that_are_not_failures_leave_the_circuit_closed() {
    for reply in [
        Reply::json(&envelope(Value::Null)),
        Reply::new(404, ""),
        Reply::new(401, ""),
        Reply::new(400, ""),
        Reply::json(&json!({"foo": 1})),
    ] {
        let server = TestServer::start(vec![reply]).await;
        let mut strict = config(&server.base);
        strict.breaker = BreakerPolicy { min_handles: 1, consecutive: 1, ..Default::default() };
        let client = Decodo::new(strict).unwrap();
        fetch(&client, budget(5)).await;
        assert_eq!(client.circuit().state, CircuitState::Closed);
    }
}

#[tokio::test]
async fn a_cancelled_probe_frees_its_place_and_successes_close_the_circuit() {
    let replies = vec![Reply::new(500, ""), Reply::hang(), Reply::json(&envelope(user()))];
    let server = TestServer::start(replies).await;
    let mut strict = config(&server.base);
    strict.breaker = BreakerPolicy {
        min_handles: 1,
        consecutive: 1,
        open_for: Duration::ZERO,
        ..Default::default()
    };
    let client = Decodo::new(strict).unwrap();
    fetch(&client, budget(1)).await;
    assert_eq!(client.circuit().state, CircuitState::HalfOpen);
    let token = CancellationToken::new();
    let (probe, refused) = tokio::join!(client.fetch_profile("x", budget(1), &token), async {
        server.received(2).await;
        let refused = fetch(&client, budget(1)).await;
        token.cancel();
        refused
    });
    assert!(matches!(probe.outcome, FetchOutcome::Cancelled));
    assert_eq!(unavailable(&refused).0, "provider circuit open");
    for _ in 0..3 {
        assert_eq!(client.circuit().state, CircuitState::HalfOpen);
        assert!(matches!(fetch(&client, budget(1)).await.outcome, FetchOutcome::Found(_)));
    }
    assert_eq!(client.circuit().state, CircuitState::Closed);
}

#[tokio::test]
async fn the_retry_budget_stops_repeating_failures_only() {
    let server = TestServer::start(vec![Reply::new(500, "")]).await;
    let mut frugal = config(&server.base);
    frugal.retry_floor = 2;
    let client = Decodo::new(frugal.clone()).unwrap();
    let report = fetch(&client, budget(5)).await;
    assert!(unavailable(&report).0.contains("retry budget"));
    assert_eq!(report.calls.len(), 3, "one first call and two retries");

    let server = TestServer::start(vec![Reply::new(404, "")]).await;
    frugal.base_url = server.base.parse().unwrap();
    frugal.retry_floor = 0;
    let report = fetch(&Decodo::new(frugal).unwrap(), budget(5)).await;
    assert!(matches!(report.outcome, FetchOutcome::NotFound), "confirming is no retry");
}
