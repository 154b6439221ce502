//! Signing in.

use serde_json::{Value, json};
use tests::{Answer, Client, System};

use crate::common::{check_refusal, masked};

const LOGIN: &str = "/api/v1/auth/login";

async fn login(client: &Client, email: &str, password: &str) -> Answer {
    client.post_json(LOGIN, json!({ "email": email, "password": password })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_gives_a_token_that_works() {
    let system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await;
    for email in ["dana@example.test", " Dana@Example.TEST "] {
        let answer = login(&system.api(), email, "demo-password").await.expect(200).json;
        assert_eq!(answer["expires_in"], 1_800);
        assert_eq!(answer["token_type"].as_str().unwrap().to_lowercase(), "bearer");
        assert!(answer["refresh_token"].as_str().is_some_and(|token| token.len() >= 43));
        let token = answer["access_token"].as_str().unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert!(parts.len() == 3 && parts.iter().all(|part| !part.is_empty()), "{token}");
        let user = &answer["user"];
        assert_eq!(user["id"], dana.id.to_string());
        assert_eq!(user["email"], "dana@example.test");
        assert_eq!((&user["role"], &user["status"]), (&json!("user"), &json!("active")));
        let fields =
            ["full_name", "first_name", "last_name", "company", "created_at", "avatar_config"];
        for field in fields {
            assert!(user.get(field).is_some(), "{field}: {user}");
        }
        assert!(!answer.to_string().contains("hashed"), "{answer}");
        let signed_in = system.api().with("authorization", &format!("Bearer {token}"));
        assert_eq!(signed_in.get("/api/v1/jobs").await.expect(200).json["items"], json!([]));
    }
    let seen = "SELECT count(*) AS n FROM users WHERE last_login_at IS NOT NULL";
    assert_eq!(system.count(seen).await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_account_is_not_told_to_strangers() {
    let system = System::builder().workers(0).start().await;
    system.user("dana").await;
    let wrong = login(&system.api(), "dana@example.test", "wrong-password").await;
    let unknown = login(&system.api(), "nobody@example.test", "demo-password").await;
    for answer in [&wrong, &unknown] {
        check_refusal(answer);
        answer.clone().expect_problem(401, "invalid_credentials");
    }
    assert_eq!(masked(&wrong.json), masked(&unknown.json));
    for email in ["", "dana", "dana@example.test\u{0}", "' OR 1=1 --", "ü@例え.jp"] {
        login(&system.api(), email, "demo-password")
            .await
            .expect_problem(401, "invalid_credentials");
    }
    login(&system.api(), "dana@example.test", "").await.expect_problem(401, "invalid_credentials");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_account_is_closed_at_once_and_a_pending_one_is_not() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let set = |status: &'static str| {
        let change = "UPDATE users SET status = ?";
        entity::sql::execute(system.db().write(), change, entity::args![status])
    };
    for status in ["suspended", "inactive"] {
        set(status).await.unwrap();
        let at_the_door = login(&system.api(), "dana@example.test", "demo-password").await;
        for answer in [at_the_door, dana.get("/api/v1/jobs").await] {
            check_refusal(&answer);
            answer.expect_problem(403, "account_closed");
        }
        // Only who knows the password learns that the account is closed.
        let wrong = login(&system.api(), "dana@example.test", "wrong-password").await;
        wrong.expect_problem(401, "invalid_credentials");
    }
    for status in ["pending", "active"] {
        set(status).await.unwrap();
        login(&system.api(), "dana@example.test", "demo-password").await.expect(200);
        dana.get("/api/v1/jobs").await.expect(200);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_deleted_user_is_worth_nothing() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    entity::sql::execute(system.db().write(), "DELETE FROM users", vec![]).await.unwrap();
    let answer = dana.get("/api/v1/jobs").await;
    check_refusal(&answer);
    answer.expect(401);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_password_cannot_sign_in_with_one() {
    let system = System::builder().workers(0).start().await;
    system.user("dana").await;
    let forget = "UPDATE users SET hashed_password = NULL";
    entity::sql::execute(system.db().write(), forget, vec![]).await.unwrap();
    for password in ["demo-password", "", "null"] {
        let answer = login(&system.api(), "dana@example.test", password).await;
        assert_eq!(answer.expect(401).json["access_token"], Value::Null);
    }
    system.end().await;
}
