//! What a table of rows cannot say: columns, rows that go out of sight, and connections that were
//! somebody else's a moment ago.

use entity::{Actor, ConnectionTrait, Db, Scope};
use sea_orm::{DbBackend, Statement, TransactionTrait};
use uuid::Uuid;

use crate::site::{Site, statement};

fn user(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn count(scope: &Scope, from: &str) -> i64 {
    let text = format!("SELECT count(*) FROM {from}");
    let row = scope.read().query_one_raw(statement(&text)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Why a statement is refused.
async fn refusal(scope: &Scope, text: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, text);
    let done = scope.write().execute_raw(statement).await;
    done.expect_err(text).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_the_hash_of_a_password() {
    let site = Site::open().await;
    let db = Db::connect(&site.url(), 2).await.unwrap();
    for actor in [Actor::User(user(1)), Actor::Operator(user(5))] {
        let scope = db.acting_for(actor);
        let why = refusal(&scope, "SELECT hashed_password FROM users").await;
        assert!(why.contains("permission denied"), "{why}");
        assert!(count(&scope, "users").await > 0);
    }
    db.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_cannot_be_given_to_others_nor_taken_from_them() {
    let site = Site::open().await;
    let db = Db::connect(&site.url(), 2).await.unwrap();
    let owner = db.acting_for(Actor::User(user(1)));
    let (me, them) = (user(1), user(4));
    for away in [
        format!("UPDATE user_lists SET user_id = '{them}'"),
        format!(
            "INSERT INTO user_lists (id, user_id, name, created_at, updated_at) \
             VALUES (gen_random_uuid(), '{them}', 'x', now(), now())"
        ),
        format!(
            "INSERT INTO user_searches (id, user_id, instagram_username, analysis_type, \
             created_at) VALUES (gen_random_uuid(), '{them}', 'x', 'profile', now())"
        ),
    ] {
        let why = refusal(&owner, &away).await;
        assert!(why.contains("row-level security"), "{away}: {why}");
    }
    // And into a list of somebody else's.
    let other = db.acting_for(Actor::User(them));
    let into = "INSERT INTO user_list_items (id, list_id, profile_id, position, created_at) \
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000111', \
         '00000000-0000-0000-0000-0000000000f1', 1, now())";
    assert!(refusal(&other, into).await.contains("row-level security"));
    assert_eq!(count(&owner, &format!("user_lists WHERE user_id = '{me}'")).await, 1);
    db.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_forgets_whom_it_acted_for() {
    let site = Site::open().await;
    // One connection for everybody.
    let db = Db::connect(&site.url(), 1).await.unwrap();
    let (owner, other) = (db.acting_for(Actor::User(user(1))), db.acting_for(Actor::User(user(4))));
    for _ in 0..3 {
        assert_eq!(count(&owner, "credit_wallets").await, 1);
        assert_eq!(count(&other, "credit_wallets").await, 0);
        assert_eq!(count(&db.acting_for(Actor::Anyone), "credit_wallets").await, 0);
        let text = statement("SELECT count(*) FROM refresh_tokens");
        let row = db.read().query_one_raw(text).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 1, "the farm sees all");
    }
    // A transaction that was left in the middle.
    drop(owner.reading().await.unwrap());
    assert_eq!(count(&other, "credit_wallets").await, 0);
    db.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_by_itself_may_do_nothing() {
    let site = Site::open().await;
    let login = site.login().await;
    for text in ["SELECT 1 FROM jobs", "SELECT 1 FROM profiles", "DROP TABLE jobs"] {
        let tx = login.begin().await.unwrap();
        let error = tx.execute_unprepared(text).await.unwrap_err().to_string();
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{error}");
        tx.rollback().await.unwrap();
    }
    login.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_job_sees_it_its_events_and_what_it_waits_for() {
    let site = Site::open().await;
    let db = Db::connect(&site.url(), 2).await.unwrap();
    let (member, other) =
        (db.acting_for(Actor::User(user(2))), db.acting_for(Actor::User(user(4))));
    assert_eq!(count(&member, "jobs").await, 0);
    // The member joins the owner's job, which waits for one of its own.
    site.owner
        .execute_unprepared(
            "INSERT INTO job_watchers (id, job_id, user_id, created_at) VALUES \
               (gen_random_uuid(), '00000000-0000-0000-0000-0000000000a1', \
                '00000000-0000-0000-0000-000000000002', now()); \
             INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, created_at) VALUES \
               ('00000000-0000-0000-0000-0000000000a2', 'noop', 'upkeep', '{}', 1, now(), now()); \
             INSERT INTO job_watchers (id, job_id, parent_id, created_at) VALUES \
               (gen_random_uuid(), '00000000-0000-0000-0000-0000000000a2', \
                '00000000-0000-0000-0000-0000000000a1', now())",
        )
        .await
        .unwrap();
    assert_eq!(count(&member, "jobs").await, 2);
    assert_eq!(count(&member, "job_events").await, 1);
    assert_eq!(count(&member, "job_watchers").await, 2, "their own and the child's");
    assert_eq!(count(&other, "jobs").await, 0);
    assert_eq!(count(&other, "job_watchers").await, 0);
    db.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_is_not_asked_any_more_is_out_of_sight() {
    let site = Site::open().await;
    site.owner
        .execute_unprepared(
            "UPDATE credit_pricing_rules SET is_active = false \
             WHERE action_type = 'bulk_export'",
        )
        .await
        .unwrap();
    let db = Db::connect(&site.url(), 2).await.unwrap();
    let of = "credit_pricing_rules WHERE action_type = 'bulk_export'";
    assert_eq!(count(&db.acting_for(Actor::User(user(1))), of).await, 0);
    assert_eq!(count(&db.acting_for(Actor::Operator(user(5))), of).await, 1);
    db.close().await.unwrap();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_made_with_nothing_but_the_roles() {
    let site = Site::open().await;
    // Of the whole server: others run this at the same time in databases of their own.
    let name = format!("farm_login_{}", Uuid::now_v7().simple());
    migration::login::add(&site.owner, &name, "it's \"hush\"").await.unwrap();
    migration::login::add(&site.owner, &name, "another").await.unwrap();
    let mut url = url::Url::parse(&site.url()).unwrap();
    url.set_username(&name).unwrap();
    assert!(Db::owner(url.as_str()).await.is_err(), "with another's password");
    url.set_password(Some("another")).unwrap();
    let db = Db::connect(url.as_str(), 1).await.unwrap();
    assert_eq!(count(&db.acting_for(Actor::User(user(1))), "credit_wallets").await, 1);
    db.close().await.unwrap();
    for bad in ["Robert'); --", "", "1st", "farm"] {
        assert!(migration::login::add(&site.owner, bad, "x").await.is_err(), "{bad:?}");
    }
    site.owner.execute_unprepared(&format!("DROP ROLE {name}")).await.unwrap();
    site.close().await;
}
