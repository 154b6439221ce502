//! Registering and signing in at Supabase, through us.

use poem::http::StatusCode;
use serde_json::{Value, json};
use tests::gotrue::{ANON_KEY, JWT_SECRET, Scripted};
use tests::{Answer, Client, Gotrue, Signer, System};
use uuid::Uuid;

use crate::common::{check_no_sign_out, check_refusal, masked};

const PASSWORD: &str = "a long password";

async fn stage() -> (System, Gotrue, Client) {
    let gotrue = Gotrue::start(&[Signer::ec("one")]).await;
    let settings = gotrue.settings(Some(JWT_SECRET));
    let system = System::builder().workers(0).supabase(settings).start().await;
    let api = system.api();
    (system, gotrue, api)
}

async fn call(api: &Client, what: &str, body: Value) -> Answer {
    api.post_json(&format!("/api/v1/auth/{what}"), body).await
}

fn registration(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "full_name": "Ann Lee" })
}

fn login(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD })
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.json[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", answer.text))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_is_signed_in_there_and_known_here() {
    let (system, gotrue, api) = stage().await;
    let answer = call(&api, "register", registration(" Ann@Example.Test ")).await.expect(200);
    assert_eq!(answer.json["email_confirmation_required"], false);
    let user = &answer.json["user"];
    assert_eq!(user["email"], "ann@example.test");
    assert_eq!((&user["full_name"], &user["first_name"]), (&json!("Ann Lee"), &json!("Ann")));
    assert_eq!((&user["role"], &user["status"]), (&json!("user"), &json!("active")));
    let signed_in = system.with_token(text(&answer, "access_token"));
    let me = signed_in.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.json["id"], user["id"]);
    let again = call(&api, "login", login("ann@example.test")).await.expect(200);
    assert_eq!(again.json["user"]["id"], user["id"], "one id everywhere");
    assert_eq!((text(&again, "token_type"), &again.json["expires_in"]), ("bearer", &json!(3_600)));
    let twice = call(&api, "register", registration("ann@example.test")).await;
    check_refusal(&twice);
    twice.expect_problem(409, "already_registered");
    assert_eq!(system.count("SELECT count(*) AS n FROM users").await, 1);
    let hashes = "SELECT count(*) AS n FROM users WHERE hashed_password IS NOT NULL";
    assert_eq!(system.count(hashes).await, 0, "passwords are not kept here");
    for seen in gotrue.seen() {
        assert_eq!(seen.apikey, ANON_KEY);
        assert_eq!(seen.authorization, format!("Bearer {ANON_KEY}"));
        assert!(!seen.path.contains("password=") && !seen.path.contains("ann"), "{}", seen.path);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_confirmed_before_the_first_sign_in() {
    let (system, gotrue, api) = stage().await;
    gotrue.set_confirm(true);
    let answer = call(&api, "register", registration("ann@example.test")).await.expect(200);
    assert_eq!(answer.json["email_confirmation_required"], true);
    assert_eq!(answer.json["access_token"], Value::Null);
    assert_eq!(answer.json["user"]["status"], "pending");
    // Whoever asks for an address that has an account is told the same.
    let twice = call(&api, "register", registration("ann@example.test")).await.expect(200);
    assert_eq!(masked(&twice.json), masked(&answer.json));
    assert_eq!(system.count("SELECT count(*) AS n FROM users").await, 0, "nobody yet");
    let early = call(&api, "login", login("ann@example.test")).await;
    check_refusal(&early);
    early.expect_problem(401, "email_not_confirmed");
    let verify = |token: &str| format!("/api/v1/auth/verify-email/{token}");
    for wrong in ["wrong", "..%2Fadmin", "a%20b", "%27--", &"x".repeat(600)] {
        let answer = api.get(&verify(wrong)).await;
        check_refusal(&answer);
        answer.expect_problem(404, "nothing_to_confirm");
    }
    let mailed = gotrue.mailed("ann@example.test").unwrap();
    let confirmed = api.get(&verify(&mailed)).await.expect(200);
    assert!(confirmed.json["message"].is_string() && confirmed.json["success"] == true);
    assert!(!confirmed.text.contains("access"), "a link in a mail signs nobody in here");
    api.get(&verify(&mailed)).await.expect_problem(404, "nothing_to_confirm");
    let answer = call(&api, "login", login("ann@example.test")).await.expect(200);
    assert_eq!(answer.json["user"]["status"], "active");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_continued_and_ended_there() {
    let (system, gotrue, api) = stage().await;
    call(&api, "register", registration("ann@example.test")).await.expect(200);
    let first = call(&api, "login", login("ann@example.test")).await.expect(200);
    let shown = json!({ "refresh_token": text(&first, "refresh_token") });
    let next = call(&api, "refresh", shown.clone()).await.expect(200);
    assert_ne!(text(&next, "refresh_token"), text(&first, "refresh_token"));
    assert_eq!(next.json["user"], first.json["user"]);
    let signed_in = system.with_token(text(&next, "access_token"));
    signed_in.get("/api/v1/jobs").await.expect(200);
    let wrong = call(&api, "refresh", shown).await;
    let unknown = call(&api, "refresh", json!({ "refresh_token": "unknown" })).await;
    for answer in [&wrong, &unknown] {
        check_refusal(answer);
        answer.clone().expect_problem(401, "invalid_credentials");
    }
    assert_eq!(masked(&wrong.json), masked(&unknown.json));
    signed_in.post("/api/v1/auth/logout").await.expect(200);
    let last = gotrue.seen().pop().unwrap();
    assert_eq!(last.authorization, format!("Bearer {}", text(&next, "access_token")));
    let over = json!({ "refresh_token": text(&next, "refresh_token") });
    call(&api, "refresh", over).await.expect_problem(401, "invalid_credentials");
    api.post("/api/v1/auth/logout").await.expect(401);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_refuses_is_said_in_a_sentence_with_a_word_beside() {
    let (system, gotrue, api) = stage().await;
    call(&api, "register", registration("ann@example.test")).await.expect(200);
    let error = |word: &str| json!({ "code": 422, "error_code": word, "msg": "secret details" });
    for (what, status, body, said, code) in [
        ("login", 400, error("invalid_credentials"), 401, "invalid_credentials"),
        ("login", 400, json!({ "error": "invalid_grant" }), 401, "invalid_credentials"),
        ("login", 400, error("email_not_confirmed"), 401, "email_not_confirmed"),
        ("login", 403, error("user_banned"), 403, "account_closed"),
        ("register", 422, error("user_already_exists"), 409, "already_registered"),
        ("register", 422, error("email_exists"), 409, "already_registered"),
        ("register", 422, error("weak_password"), 400, "invalid_body"),
        ("register", 400, error("email_address_invalid"), 400, "invalid_body"),
        ("register", 422, error("signup_disabled"), 403, "registration_closed"),
        ("refresh", 400, error("refresh_token_already_used"), 401, "invalid_credentials"),
        ("login", 500, error("unexpected_failure"), 503, "identity_unavailable"),
        ("login", 302, Value::Null, 503, "identity_unavailable"),
        ("register", 401, json!({ "message": "Invalid API key" }), 503, "identity_unavailable"),
        ("login", 200, json!("what is this"), 503, "identity_unavailable"),
        ("login", 200, json!({ "access_token": "a.b.c", "refresh_token": "x" }), 503, {
            "identity_unavailable"
        }),
        ("register", 200, json!({ "id": "ann" }), 503, "identity_unavailable"),
        ("refresh", 200, json!([]), 503, "identity_unavailable"),
        ("forgot-password", 503, Value::Null, 503, "identity_unavailable"),
    ] {
        gotrue.script(&[Scripted { status, body: body.clone(), retry_after: None }]);
        let mut request = registration("ben@example.test");
        if what == "login" {
            request = login("ann@example.test");
        } else if what == "refresh" {
            request = json!({ "refresh_token": "x" });
        }
        let answer = call(&api, what, request).await;
        assert_eq!(answer.status, StatusCode::from_u16(said).unwrap(), "{body}: {}", answer.text);
        let answer = answer.expect_problem(said, code);
        assert!(!answer.text.contains("secret details"), "{}", answer.text);
        assert!(!answer.text.contains("GoTrue") && !answer.text.contains("API key"));
        match said {
            503 => assert!(answer.header("retry-after").is_some(), "{body}"),
            403 => check_no_sign_out(&answer),
            _ => check_refusal(&answer),
        }
    }
    for (said, passed) in [(Some("17"), "17"), (None, "30"), (Some("soon"), "30")] {
        for what in ["login", "register", "refresh", "forgot-password"] {
            gotrue.script(&[Scripted { status: 429, body: Value::Null, retry_after: said }]);
            let mut request = registration("ben@example.test");
            request["refresh_token"] = json!("x");
            if what == "login" {
                request = login("ann@example.test");
            }
            let answer = call(&api, what, request).await.expect_problem(429, "rate_limited");
            assert_eq!(answer.header("retry-after"), Some(passed), "{what}");
        }
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_there_that_breaks_our_own_rules() {
    let (system, gotrue, api) = stage().await;
    for (body, field) in [
        (json!({ "email": "ann", "password": PASSWORD }), "email"),
        (json!({ "email": "ann@example.test", "password": "short" }), "password"),
        (json!({ "email": "ann@example.test" }), "password"),
        (json!({ "email": "a@b.c", "password": PASSWORD, "full_name": "a\nb" }), "full_name"),
    ] {
        let answer = call(&api, "register", body).await;
        check_refusal(&answer);
        assert_eq!(answer.expect(400).json["field"], field);
    }
    call(&api, "forgot-password", json!({ "email": "ann" })).await.expect(400);
    assert_eq!(gotrue.seen(), []);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_forgotten_a_password_learns_nothing_of_others() {
    let (system, gotrue, api) = stage().await;
    call(&api, "register", registration("ann@example.test")).await.expect(200);
    let ask = async |email: &str| {
        call(&api, "forgot-password", json!({ "email": email })).await.expect(200).json
    };
    let known = ask("ann@example.test").await;
    assert_eq!(ask("nobody@example.test").await, known);
    // Older servers say that there is nobody.
    let unknown =
        Scripted { status: 404, body: json!({ "msg": "User not found" }), retry_after: None };
    gotrue.script(&[unknown]);
    assert_eq!(ask("nobody@example.test").await, known);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_closed_here_is_not_opened_there() {
    let (system, _gotrue, api) = stage().await;
    let first = call(&api, "register", registration("ann@example.test")).await.expect(200);
    let close = "UPDATE users SET status = 'suspended'";
    entity::sql::execute(system.db().write(), close, vec![]).await.unwrap();
    let refresh = json!({ "refresh_token": text(&first, "refresh_token") });
    for (what, body) in [("login", login("ann@example.test")), ("refresh", refresh)] {
        let answer = call(&api, what, body).await;
        check_refusal(&answer);
        answer.expect_problem(403, "account_closed");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_sign_in_says_so_and_who_is_in_stays_in() {
    let (system, gotrue, api) = stage().await;
    let token = gotrue.token(Uuid::new_v4(), "ann@example.test");
    let ann = system.with_token(&token);
    ann.get("/api/v1/jobs").await.expect(200);
    gotrue.stop().await;
    for (what, body) in [
        ("login", login("ann@example.test")),
        ("register", registration("ben@example.test")),
        ("refresh", json!({ "refresh_token": "x" })),
        ("forgot-password", json!({ "email": "ann@example.test" })),
    ] {
        let answer = call(&api, what, body).await.expect_problem(503, "identity_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    api.get("/api/v1/auth/verify-email/x").await.expect_problem(503, "identity_unavailable");
    system.forget();
    ann.get("/api/v1/jobs").await.expect(200);
    system.end().await;
}
