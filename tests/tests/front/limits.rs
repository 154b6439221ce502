//! How much one may ask.

use std::net::TcpListener;
use std::time::Duration;

use entity::{args, sql};
use futures_util::future::join_all;
use jobs::redis::Redis;
use poem::http::Method;
use serde_json::json;
use tests::{Answer, Client, System, on_cluster};

use crate::common::{check_refusal, fetched, id_of, job, posts, profile, refresh, submit};

/// A call that is neither reading nor following a job.
const GENERAL: &str = "/api/v1/ai/system/health";
const LOGIN: &str = "/api/v1/auth/login";
const MINUTE: Duration = Duration::from_secs(60);

async fn limited() -> System {
    System::builder().workers(0).limited().start().await
}

/// Asks until refused; how often it was answered before, and the refusal.
async fn until_refused(ask: impl AsyncFn(usize) -> Answer) -> (usize, Answer) {
    for turn in 0..5_000 {
        let answer = ask(turn).await;
        if answer.status == 429 {
            return (turn, answer);
        }
    }
    panic!("nobody refuses");
}

/// Fails unless it is a refusal that says when to come back; returns the seconds.
#[track_caller]
fn check_limit(refused: &Answer, name: &str, limit: u64) -> u64 {
    check_refusal(refused);
    let told = refused.clone().expect_problem(429, "rate_limited");
    assert_eq!((&told.json["limited"], &told.json["limit"]), (&json!(name), &json!(limit)));
    let after = told.json["retry_after_seconds"].as_u64().unwrap();
    assert!(after >= 1, "{after}");
    let number = |name: &str| told.header(name).unwrap_or_else(|| panic!("{name}")).parse::<u64>();
    assert_eq!(number("retry-after"), Ok(after));
    assert_eq!((number("ratelimit-limit"), number("ratelimit-remaining")), (Ok(limit), Ok(0)));
    assert!(number("ratelimit-reset").unwrap() >= after);
    after
}

async fn become_tier(system: &System, user: &str, tier: &str) {
    let id = system.user(user).await.id;
    let change = "UPDATE users SET subscription_tier = ? WHERE id = ?";
    sql::execute(system.db().write(), change, args![tier, id]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_visit_in_three_tabs_is_never_refused() {
    let system = System::builder().limited().start().await;
    let dana = system.as_user("dana").await;
    let id = id_of(&fetched(&system, &dana, "demo_travel").await);
    // Five minutes of three tabs, all of it at once.
    let (profile, posts) = (profile("demo_travel"), posts("demo_travel"));
    for (path, times) in [(job(id, "/status"), 60), (profile, 59), (posts, 59)] {
        for turn in 0..3 * times {
            let answer = dana.get(&path).await.expect(200);
            assert!(answer.header("ratelimit-remaining").is_some(), "{turn}: {answer:?}");
        }
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_follow_their_jobs_are_never_refused() {
    let system = limited().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    // A hundred of them, for a minute.
    for turn in 0..1_200 {
        let answer = dana.get(&job(id, "/status")).await;
        assert_eq!(answer.status, 200, "{turn}: {}", answer.text);
    }
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hundred_and_first_call_is_refused_and_soon_there_is_room_again() {
    let system = limited().await;
    let dana = system.as_user("dana").await.with("origin", "http://localhost:3000");
    let emil = system.as_user("emil").await;
    let first = dana.get(GENERAL).await.expect(200);
    assert_eq!(first.header("ratelimit-limit"), Some("100"));
    assert_eq!(first.header("ratelimit-remaining"), Some("99"));
    assert_eq!(first.header("ratelimit-reset"), Some("1"));
    let (answered, refused) = until_refused(async |_| dana.get(GENERAL).await).await;
    assert_eq!(answered, 99);
    let after = check_limit(&refused, "general", 100);
    assert_eq!(after, 1, "one comes back every 0.6 s");
    // A page of another origin may read it.
    assert_eq!(refused.header("access-control-allow-origin"), Some("http://localhost:3000"));
    let exposed = refused.header("access-control-expose-headers").unwrap();
    for name in ["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"] {
        assert!(exposed.split(", ").any(|known| known == name), "{name}: {exposed}");
    }
    // What cannot be found counts, too.
    dana.get("/api/v1/no/such/path").await.expect(429);
    // Reading has a limit of its own, and so has everybody else.
    dana.get("/api/v1/jobs").await.expect(200);
    emil.get(GENERAL).await.expect(200);
    let ask = [("access-control-request-method", "GET"), ("origin", "http://localhost:3000")];
    let ask = ask.iter().fold(dana.clone(), |dana, (name, value)| dana.with(name, value));
    ask.send(Method::OPTIONS, GENERAL, None).await.expect(204);
    system.advance(Duration::from_secs(after)).await;
    dana.get(GENERAL).await.expect(200);
    dana.get(GENERAL).await.expect(429);
    system.advance(MINUTE).await;
    let answer = dana.get(GENERAL).await.expect(200);
    assert_eq!(answer.header("ratelimit-remaining"), Some("99"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_has_so_much_work_and_replicas_count_it_together() {
    let system = limited().await;
    become_tier(&system, "dana", "free").await;
    let dana = system.as_user("dana").await;
    // On one machine there is one door.
    let other = if on_cluster() { dana.at(&system.another_door()) } else { dana.clone() };
    // One job, which all the others join.
    let path = refresh("demo_travel");
    let ask = async |turn: usize| {
        if turn == 60 {
            // The minute's limit is another one.
            system.advance(MINUTE).await;
        }
        let door = if turn.is_multiple_of(2) { &dana } else { &other };
        match turn % 3 {
            0 => door.post(&path).await,
            1 => door.get(&format!("{}?fetch=true&wait=0", profile("demo_travel"))).await,
            _ => door.post("/api/v1/analytics/profile/demo_travel").await,
        }
    };
    let first = ask(0).await.expect(202);
    // Of the two limits it counts against, the tighter one is told.
    assert_eq!(first.header("ratelimit-remaining"), Some("99"));
    let (answered, refused) = until_refused(async |turn| ask(turn + 1).await).await;
    // A hundred an hour, and what came back in a minute.
    assert!((100..=102).contains(&(answered + 1)), "{answered}");
    let after = check_limit(&refused, "work_free", 100);
    assert!((2..=36).contains(&after), "one comes back every 36 s: {after}");
    // Looking on is free.
    for door in [&dana, &other] {
        door.post(&path).await.expect(429);
        door.get(&profile("demo_travel")).await.expect(404);
        door.get("/api/v1/jobs").await.expect(200);
        door.get(GENERAL).await.expect(200);
    }
    let emil = system.as_user("emil").await;
    emil.post(&path).await.expect(202);
    // Who pays has more.
    become_tier(&system, "dana", "premium").await;
    system.advance(Duration::from_secs(1)).await;
    let answer = dana.post(&path).await.expect(202);
    assert_eq!(answer.header("ratelimit-limit"), Some("100"), "a minute's");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_searches_of_a_user_are_in_flight_at_once() {
    let system = limited().await;
    let dana = system.as_user("dana").await;
    let other = if on_cluster() { dana.at(&system.another_door()) } else { dana.clone() };
    // A page of avatars.
    let all = join_all((0..20).map(async |turn: usize| {
        let door = if turn.is_multiple_of(2) { &dana } else { &other };
        let path = refresh(&format!("avatar{turn}"));
        match turn % 3 {
            0 => door.with("idempotency-key", &path).post(&path).await,
            _ => door.post(&path).await,
        }
    }))
    .await;
    let (good, refused): (Vec<&Answer>, Vec<&Answer>) =
        all.iter().partition(|answer| answer.status == 202);
    assert_eq!((good.len(), refused.len()), (10, 10));
    assert_eq!(system.open_jobs().await.len(), 10);
    for refused in refused {
        check_refusal(refused);
        let told = refused.clone().expect_problem(429, "too_many_searches");
        assert_eq!((&told.json["limit"], told.header("retry-after")), (&json!(10), Some("5")));
    }
    let too_many = async |answer: Answer| answer.expect_problem(429, "too_many_searches");
    too_many(dana.post("/api/v1/analytics/profile/another").await).await;
    too_many(dana.get(&format!("{}?fetch=true&wait=0", profile("another"))).await).await;
    let names = || json!({ "usernames": ["one", "two", "three"] });
    let bulk = "/api/v1/analytics/bulk/profiles";
    too_many(dana.post_json(bulk, names()).await).await;
    assert_eq!(system.open_jobs().await.len(), 10, "what is refused leaves nothing behind");

    // To join what goes on, one's own or somebody else's, starts nothing.
    let emil = system.as_user("emil").await;
    submit(&emil, "of_emil").await;
    let mine = system.job(id_of(&good[0].json)).await;
    let handle = mine.payload["username"].as_str().unwrap();
    for handle in [handle, "of_emil"] {
        let joined = dana.post(&refresh(handle)).await.expect(202);
        assert_eq!(joined.json["created"], false, "{handle}");
    }

    // One that ends makes room for one. To try it again is a search.
    dana.post(&job(mine.id, "/cancel")).await.expect(200);
    dana.post(&refresh("another")).await.expect(202);
    too_many(dana.post(&job(mine.id, "/retry")).await).await;
    assert_eq!(system.job(mine.id).await.state.as_str(), "cancelled");

    // Many names at once are one search.
    emil.post_json(bulk, names()).await.expect(202);
    for number in 0..8 {
        submit(&emil, &format!("of_emil{number}")).await;
    }
    too_many(emil.post(&refresh("eleventh")).await).await;
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_not_limited() {
    let system = limited().await;
    let admin = system.as_user("admin").await;
    for turn in 0..150 {
        let answer = admin.get(GENERAL).await.expect(200);
        assert_eq!(answer.header("ratelimit-limit"), None, "{turn}");
    }
    for number in 0..12 {
        submit(&admin, &format!("handle{number}")).await;
    }
    for _ in 0..110 {
        admin.post(&refresh("handle0")).await.expect(202);
    }
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_is_refused_and_who_is_signed_in_goes_on() {
    let system = limited().await;
    let dana = system.as_user("dana").await.from("203.0.113.5");
    let stranger = system.api().from("203.0.113.5");
    let liar = stranger.with("authorization", "Bearer a.b.c");
    let ask = async |turn: usize| match turn % 3 {
        0 => stranger.get("/api/v1/jobs").await,
        1 => liar.get("/api/v1/jobs").await,
        _ => stranger.get("/openapi.json").await,
    };
    let (answered, refused) = until_refused(ask).await;
    assert_eq!(answered, 100);
    check_limit(&refused, "anonymous", 100);
    liar.get(GENERAL).await.expect(429);
    stranger.get("/docs").await.expect(429);
    stranger.get("/nowhere").await.expect(429);
    // Probes and preflights are for free.
    for probe in ["/livez", "/readyz", "/health", "/api/health"] {
        for _ in 0..120 {
            stranger.get(probe).await.expect(200);
        }
    }
    let preflight = stranger.with("access-control-request-method", "POST");
    preflight.send(Method::OPTIONS, LOGIN, None).await.expect(204);
    // Others go on, next door and at the same address.
    dana.get(GENERAL).await.expect(200);
    stranger.from("203.0.113.6").get("/api/v1/jobs").await.expect(401);
    system.advance(Duration::from_secs(10)).await;
    stranger.get("/api/v1/jobs").await.expect(401);
    // A customer's network of IPv6 is one address.
    let turns = async |turn: usize| {
        let ip = format!("2001:db8:0:1::{turn:x}");
        system.api().from(&ip).get("/api/v1/jobs").await
    };
    assert_eq!(until_refused(turns).await.0, 100);
    system.api().from("2001:db8:0:2::1").get("/api/v1/jobs").await.expect(401);
    system.end().await;
}

/// Claims another origin each time.
async fn pretend(client: &Client, turn: usize) -> Answer {
    let claim = format!("198.51.100.{}, 192.0.2.{}", turn % 200, turn % 200);
    client.with("x-forwarded-for", &claim).get("/api/v1/jobs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pretends_to_be_somewhere_else() {
    let system = limited().await;
    let stranger = system.api().from("203.0.113.5");
    assert_eq!(until_refused(async |turn| pretend(&stranger, turn).await).await.0, 100);
    system.end().await;

    let system = System::builder().workers(0).behind("10.0.0.0/8").start().await;
    // Past the proxy: the header is anybody's word.
    let stranger = system.api().from("203.0.113.5");
    assert_eq!(until_refused(async |turn| pretend(&stranger, turn).await).await.0, 100);
    // Through the proxy: what the proxy has added counts, and nothing before it.
    let proxied = async |claim: &str| {
        system.api().from("10.0.0.7").with("x-forwarded-for", claim).get("/api/v1/jobs").await
    };
    let liar = async |turn: usize| proxied(&format!("198.51.100.{turn}, 192.0.2.1")).await;
    assert_eq!(until_refused(liar).await.0, 100);
    proxied("192.0.2.2").await.expect(401);
    proxied("198.51.100.1, 192.0.2.1, 10.9.9.9").await.expect(429);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_refused_where_they_come_from() {
    let system = limited().await;
    system.user("dana").await;
    let login = async |from: &str, email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        system.api().from(from).post_json(LOGIN, body).await
    };
    // Whether there is such an account makes no difference.
    for (from, email) in [("203.0.113.1", "dana@example.test"), ("203.0.113.2", "x@example.test")] {
        for _ in 0..10 {
            login(from, email, "wrong").await.expect_problem(401, "invalid_credentials");
        }
        let refused = login(from, email, "demo-password").await;
        let after = check_limit(&refused, "failures", 10);
        assert!((80..=90).contains(&after), "one comes back every 90 s: {after}");
        assert!(!refused.text.contains(email), "{}", refused.text);
        let spelt = format!(" {} ", email.to_uppercase());
        login(from, &spelt, "demo-password").await.expect(429);
    }
    // The owner is elsewhere.
    login("203.0.113.3", "dana@example.test", "demo-password").await.expect(200);
    // And at the same place once the time has passed.
    system.advance(Duration::from_secs(90)).await;
    login("203.0.113.1", "dana@example.test", "demo-password").await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_one_account_after_the_other_is_refused() {
    let system = limited().await;
    let dana = system.as_user("dana").await.from("203.0.113.1");
    let other = if on_cluster() { system.another_door() } else { system.api() };
    let attempt = async |turn: usize| {
        let door = if turn.is_multiple_of(2) { system.api() } else { other.clone() };
        // A good token does not help.
        let door = if turn.is_multiple_of(3) { dana.at(&door) } else { door.from("203.0.113.1") };
        let body = json!({ "email": format!("user{turn}@example.test"), "password": "x" });
        door.post_json(LOGIN, body).await
    };
    let (answered, refused) = until_refused(attempt).await;
    // One comes back every two seconds of a real clock, where it is that of Redis.
    assert!(answered == 30 || on_cluster() && (31..45).contains(&answered), "{answered}");
    check_limit(&refused, "sign_ins", 30);
    for path in ["register", "forgot-password"] {
        dana.post_json(&format!("/api/v1/auth/{path}"), json!({})).await.expect(429);
    }
    dana.get(GENERAL).await.expect(200);
    let elsewhere = system.api().from("203.0.113.9");
    let body = json!({ "email": "dana@example.test", "password": "demo-password" });
    elsewhere.post_json(LOGIN, body).await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_redis_each_process_keeps_limits_by_itself() {
    // One refuses connections; the other takes them and says nothing.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for at in [gone, silent.local_addr().unwrap()] {
        let redis = Redis::new(&format!("redis://{at}"), "farm").unwrap();
        let system = System::builder().workers(0).counted_in(redis).start().await;
        become_tier(&system, "dana", "free").await;
        let dana = system.as_user("dana").await;
        let stranger = system.api().from("203.0.113.5");
        stranger.get("/api/v1/jobs").await.expect(401);
        dana.post(&refresh("demo_travel")).await.expect(202);
        let body = json!({ "email": "dana@example.test", "password": "demo-password" });
        stranger.post_json(LOGIN, body).await.expect(200);
        let (answered, refused) = until_refused(async |turn| {
            if turn == 50 {
                system.advance(MINUTE).await;
            }
            dana.post(&refresh("demo_travel")).await
        })
        .await;
        assert!((100..=102).contains(&(answered + 1)), "{answered}");
        check_limit(&refused, "work_free", 100);
        system.end_with_open_jobs().await;
    }
}
