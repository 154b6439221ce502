//! Accounts and sessions of the local issuer.

use std::time::Duration;

use base64::Engine as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Client, PASSWORD, Signer, System};

use crate::common::{HOUR, check_refusal, masked};

const SECOND: Duration = Duration::from_secs(1);

async fn call(api: &Client, what: &str, body: Value) -> Answer {
    api.post_json(&format!("/api/v1/auth/{what}"), body).await
}

/// What opens and continues a session.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    access: String,
    refresh: String,
}

impl Pair {
    fn of(answer: &Answer) -> Self {
        let text = |name: &str| answer.json[name].as_str().expect(name).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

async fn sign_in(system: &System, name: &str) -> Pair {
    let email = system.user(name).await.email;
    let body = json!({ "email": email, "password": PASSWORD });
    Pair::of(&call(&system.api(), "login", body).await.expect(200))
}

async fn refresh(system: &System, shown: &str) -> Answer {
    call(&system.api(), "refresh", json!({ "refresh_token": shown })).await
}

async fn refreshed(system: &System, shown: &str) -> Pair {
    Pair::of(&refresh(system, shown).await.expect(200))
}

async fn opens(system: &System, pair: &Pair) -> u16 {
    system.forget();
    system.with_token(&pair.access).get("/api/v1/auth/me").await.status.as_u16()
}

#[track_caller]
fn refused(answer: &Answer) -> Value {
    check_refusal(answer);
    answer.clone().expect_problem(401, "invalid_credentials");
    masked(&answer.json)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_is_signed_in() {
    let system = System::builder().workers(0).start().await;
    let ann = json!({
        "email": " Ann@Example.Test ", "password": "12345678", "full_name": " Ann Lee ",
        // What somebody says of themselves gives them nothing.
        "role": "admin", "status": "active", "id": uuid::Uuid::nil(),
    });
    let answer = call(&system.api(), "register", ann).await.expect(200);
    assert_eq!(answer.json["email_confirmation_required"], false);
    assert!(answer.json["message"].is_string());
    let pair = Pair::of(&answer);
    let me = system.with_token(&pair.access).get("/api/v1/auth/me").await.expect(200).json;
    assert_eq!(me, answer.json["user"]);
    assert_eq!((&me["email"], &me["role"]), (&json!("ann@example.test"), &json!("user")));
    assert_eq!((&me["full_name"], &me["last_name"]), (&json!("Ann Lee"), &json!("Lee")));
    assert_ne!(me["id"], uuid::Uuid::nil().to_string());
    let login = json!({ "email": "ann@example.test", "password": "12345678" });
    call(&system.api(), "login", login).await.expect(200);
    refreshed(&system, &pair.refresh).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_breaks_a_rule_names_it() {
    let system = System::builder().workers(0).start().await;
    let long = "x".repeat(2_000);
    for (body, field, words) in [
        (json!({ "email": "a@b.cd", "password": "1234567" }), "password", "at least 8"),
        (json!({ "email": "a@b.cd", "password": "ääääääü" }), "password", "at least 8"),
        (json!({ "email": "a@b.cd", "password": "" }), "password", "at least 8"),
        (json!({ "email": "a@b.cd", "password": long }), "password", "1024"),
        (json!({ "email": "a@b.cd" }), "password", "required"),
        (json!({ "password": "12345678" }), "email", "required"),
        (json!({ "email": "ann", "password": "12345678" }), "email", "an address"),
        (json!({ "email": "a b@b.cd", "password": "12345678" }), "email", "an address"),
        (json!({ "email": "a@b.cd\0", "password": "12345678" }), "email", "an address"),
        (json!({ "email": "a@b@c.de", "password": "12345678" }), "email", "an address"),
        (json!({ "email": long, "password": "12345678" }), "email", "320"),
        (json!({ "email": 7, "password": "12345678" }), "email", ""),
        (
            json!({ "email": "a@b.cd", "password": "12345678", "full_name": long }),
            "full_name",
            "200",
        ),
        (json!({ "email": "a@b.cd", "password": "12345678", "full_name": "a\0" }), "full_name", ""),
    ] {
        let answer = call(&system.api(), "register", body.clone()).await;
        check_refusal(&answer);
        let answer = answer.expect(400);
        assert_eq!(answer.json["field"], field, "{}", answer.text);
        assert!(answer.json["detail"].as_str().unwrap().contains(words), "{}", answer.text);
    }
    assert_eq!(system.count("SELECT count(*) AS n FROM users").await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_account_however_many_ask_at_once() {
    let system = System::builder().workers(0).start().await;
    let body = |password: &str| json!({ "email": "ann@example.test", "password": password });
    let api = system.api();
    let all = join_all((0..6).map(|n| {
        let body = body(&format!("password-{n}"));
        call(&api, "register", body)
    }))
    .await;
    let (made, late): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| a.status.as_u16() == 200);
    assert_eq!((made.len(), late.len()), (1, 5));
    for answer in &late {
        check_refusal(answer);
        answer.clone().expect_problem(409, "already_registered");
        assert!(!answer.text.contains(made[0].json["user"]["id"].as_str().unwrap()));
    }
    let other_case = json!({ "email": "ANN@example.test", "password": "12345678" });
    call(&api, "register", other_case).await.expect_problem(409, "already_registered");
    assert_eq!(system.count("SELECT count(*) AS n FROM users").await, 1);
    assert_eq!(system.count("SELECT count(*) AS n FROM sessions").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_from_token_to_token() {
    let system = System::builder().workers(0).start().await;
    let mut pair = sign_in(&system, "dana").await;
    let mut seen = vec![pair.clone()];
    for _ in 0..4 {
        system.advance(6 * 24 * HOUR).await;
        let answer = refresh(&system, &pair.refresh).await.expect(200);
        assert_eq!(answer.json["expires_in"], 1_800);
        assert_eq!(answer.json["user"]["email"], "dana@example.test");
        pair = Pair::of(&answer);
        assert!(seen.iter().all(|old| old.refresh != pair.refresh));
        assert_eq!(opens(&system, &pair).await, 200);
        seen.push(pair.clone());
    }
    assert_eq!(system.count("SELECT count(*) AS n FROM sessions").await, 1);
    // Whoever reads the tables cannot continue anything.
    let rows = "SELECT token_hash FROM refresh_tokens";
    let rows = entity::sql::rows(system.db().read(), rows, vec![]).await.unwrap();
    assert_eq!(rows.len(), seen.len());
    for row in rows {
        let stored: String = row.try_get("", "token_hash").unwrap();
        assert!(seen.iter().all(|pair| !stored.contains(&pair.refresh)), "{stored}");
        refused(&refresh(&system, &stored).await);
    }
    system.advance(167 * HOUR).await;
    pair = refreshed(&system, &pair.refresh).await;
    system.advance(7 * 24 * HOUR).await;
    refused(&refresh(&system, &pair.refresh).await);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_race_all_stay_signed_in() {
    let system = System::builder().workers(0).start().await;
    let first = sign_in(&system, "dana").await;
    let racers = join_all((0..8).map(|_| refreshed(&system, &first.refresh))).await;
    for pair in &racers {
        assert_eq!(opens(&system, pair).await, 200);
    }
    system.advance(29 * SECOND).await;
    let late = refreshed(&system, &first.refresh).await;
    // Whichever pair a tab kept, it goes on from there.
    system.advance(60 * SECOND).await;
    for pair in racers.iter().chain([&late]) {
        let next = refreshed(&system, &pair.refresh).await;
        assert_eq!(opens(&system, &next).await, 200);
    }
    assert_eq!(opens(&system, &first).await, 200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_back_later_ends_the_whole_session() {
    let system = System::builder().workers(0).start().await;
    let (stolen, elsewhere) = (sign_in(&system, "dana").await, sign_in(&system, "dana").await);
    let mine = refreshed(&system, &stolen.refresh).await;
    let tab = refreshed(&system, &stolen.refresh).await;
    system.advance(31 * SECOND).await;
    refused(&refresh(&system, &stolen.refresh).await);
    for pair in [&mine, &tab] {
        refused(&refresh(&system, &pair.refresh).await);
    }
    for pair in [&stolen, &mine, &tab] {
        assert_eq!(opens(&system, pair).await, 401, "its access tokens too");
    }
    assert_eq!(opens(&system, &elsewhere).await, 200, "another sign-in is another session");
    refreshed(&system, &elsewhere.refresh).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_refresh_token_the_answer_is_the_same() {
    let system = System::builder().workers(0).start().await;
    let (used, ended) = (sign_in(&system, "dana").await, sign_in(&system, "dana").await);
    refreshed(&system, &used.refresh).await;
    system.with_token(&ended.access).post("/api/v1/auth/logout").await.expect(200);
    let old = sign_in(&system, "emil").await;
    system.advance(8 * 24 * HOUR).await;
    let never = "0".repeat(64);
    let mut answers = vec![];
    for shown in [&used.refresh, &ended.refresh, &old.refresh, &never, "", "a\0b", &used.access] {
        answers.push(refused(&refresh(&system, shown).await));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    refresh(&system, &"x".repeat(5_000)).await.expect(400);
    call(&system.api(), "refresh", json!({})).await.expect(400);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_is_out() {
    let system = System::builder().workers(0).start().await;
    let (first, other) = (sign_in(&system, "dana").await, sign_in(&system, "dana").await);
    let next = refreshed(&system, &first.refresh).await;
    let signed_in = system.with_token(&next.access);
    signed_in.get("/api/v1/jobs").await.expect(200);
    signed_in.post("/api/v1/auth/logout").await.expect(200);
    // At once, though they were let in a moment ago.
    refused(&signed_in.get("/api/v1/jobs").await);
    assert_eq!(opens(&system, &first).await, 401, "the token before as well");
    refused(&refresh(&system, &next.refresh).await);
    refused(&signed_in.post("/api/v1/auth/logout").await);
    assert_eq!(opens(&system, &other).await, 200);
    // One of the command line is of no session, and ends by itself.
    let dana = system.as_user("dana").await;
    dana.post("/api/v1/auth/logout").await.expect(200);
    dana.get("/api/v1/jobs").await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_is_not_continued_and_a_session_is_its_owners_alone() {
    let system = System::builder().workers(0).start().await;
    let (dana, emil) = (sign_in(&system, "dana").await, sign_in(&system, "emil").await);
    let set = |status: &'static str| {
        let change = "UPDATE users SET status = ? WHERE email = 'dana@example.test'";
        entity::sql::execute(system.db().write(), change, entity::args![status])
    };
    set("suspended").await.unwrap();
    assert_eq!(opens(&system, &dana).await, 403);
    refused(&refresh(&system, &dana.refresh).await);
    set("active").await.unwrap();
    refused(&refresh(&system, &dana.refresh).await);
    assert_eq!(opens(&system, &dana).await, 401, "it begins anew");
    refreshed(&system, &emil.refresh).await;
    // A token that names the session of somebody else is of none.
    let secret = Signer::secret("x", b"a secret for tests, thirty-two bytes");
    let claims: Value = {
        let part = emil.access.split('.').nth(1).unwrap();
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let signed = |claims: &Value| Pair { access: secret.token(claims), refresh: String::new() };
    assert_eq!(opens(&system, &signed(&claims)).await, 200, "as it is signed by the farm");
    for other in [json!(uuid::Uuid::now_v7()), json!("x"), json!(7)] {
        let mut claims = claims.clone();
        claims["sid"] = other;
        assert_eq!(opens(&system, &signed(&claims)).await, 401);
    }
    let mut other = claims.clone();
    other["sub"] = json!(system.user("dana").await.id);
    assert_eq!(opens(&system, &signed(&other)).await, 401);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_nobody_can_continue_are_forgotten() {
    let system = System::builder().workers(0).start().await;
    sign_in(&system, "dana").await;
    system.advance(4 * 24 * HOUR).await;
    let young = sign_in(&system, "dana").await;
    system.advance(4 * 24 * HOUR).await;
    system.prune().await;
    for table in ["sessions", "refresh_tokens"] {
        assert_eq!(system.count(&format!("SELECT count(*) AS n FROM {table}")).await, 1);
    }
    refreshed(&system, &young.refresh).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_mail_says_so_and_nothing_of_accounts() {
    let system = System::builder().workers(0).start().await;
    system.user("dana").await;
    let ask = async |email: &str| {
        let body = json!({ "email": email });
        call(&system.api(), "forgot-password", body).await.expect(200).json
    };
    let known = ask("dana@example.test").await;
    assert!(known["message"].as_str().unwrap().contains("sends no mail"), "{known}");
    assert_eq!(ask("nobody@example.test").await, known);
    let nothing = system.api().get("/api/v1/auth/verify-email/anything").await;
    check_refusal(&nothing);
    nothing.expect_problem(404, "nothing_to_confirm");
    system.end().await;
}
