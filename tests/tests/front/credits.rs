//! What costs, what it costs, and that nobody pays twice.

use entity::ledger::{adjust, orders};
use entity::{args, sql};
use models::Tier;
use serde_json::{Value, json};
use tests::oracle::Oracle;
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{fetched, posts, profile};

const UNLOCK: &str = "/api/v1/instagram/profile/demo_travel";
const POSTS: &str = "/api/v1/instagram/profile/demo_travel/posts";

/// Somebody else had the profile fetched.
async fn stored(system: &System) -> Client {
    let dana = system.as_user("dana").await;
    fetched(system, &dana, "demo_travel").await;
    dana
}

async fn balance(client: &Client) -> (i64, i64) {
    let body = client.get("/api/v1/credits/balance").await.expect(200).json;
    (body["available"].as_i64().unwrap(), body["held"].as_i64().unwrap())
}

async fn take(system: &System, name: &str, amount: i64) {
    let (user, admin) = (system.user(name).await.id, system.user("admin").await.id);
    let tx = system.db().begin().await.unwrap();
    adjust::adjust(&tx, user, -amount, admin, "a test").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_is_unlocked_once_however_often_it_is_asked_for() {
    let system = System::start().await;
    stored(&system).await;
    let emil = system.as_user("emil").await;
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "preview");
    assert_eq!(balance(&emil).await, (1_000, 0));
    let mut tasks = vec![];
    for _ in 0..20 {
        let emil = emil.clone();
        tasks.push(tokio::spawn(async move { emil.get(UNLOCK).await }));
    }
    let mut paid = vec![];
    for task in tasks {
        let answer = task.await.unwrap().expect(200);
        assert_eq!(
            (&answer.json["access"], &answer.json["access_until"]),
            (&json!("full"), &Value::Null)
        );
        assert!(answer.json["posts"].as_array().is_some_and(|posts| posts.len() == 12));
        let info = &answer.json["credit_info"];
        let spent = answer.header("x-credits-spent").unwrap().to_owned();
        assert_eq!(info["credits_spent"].to_string(), spent);
        assert_eq!(info["remaining_balance"], 975);
        if spent == "25" {
            let id = answer.header("x-transaction-id").unwrap();
            assert_eq!(info["transaction_id"], id);
            paid.push(id.to_owned());
        } else {
            assert_eq!(info["already_unlocked"], true);
        }
    }
    assert_eq!((paid.len(), balance(&emil).await), (1, (975, 0)));
    let booked = emil.get("/api/v1/credits/transactions").await.expect(200).json;
    assert_eq!(booked[0]["id"], json!(paid[0]));
    assert_eq!(
        (&booked[0]["transaction_type"], &booked[0]["amount"]),
        (&json!("spend"), &json!(-25))
    );
    assert_eq!(
        (&booked[0]["balance_after"], &booked[0]["action_type"]),
        (&json!(975), &json!("influencer_unlock"))
    );
    // For good, and shown at once.
    system.advance(std::time::Duration::from_secs(90 * 24 * 3_600)).await;
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "full");
    let list = emil.get("/api/v1/auth/unlocked-profiles").await.expect(200).json;
    assert_eq!(list["profiles"][0]["username"], "demo_travel");
    assert_eq!(list["pagination"]["total_count"], 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_access_pays_nothing_and_operators_never_do() {
    let system = System::start().await;
    let dana = stored(&system).await;
    for client in [&dana, &system.as_user("admin").await] {
        let info = client.get(UNLOCK).await.expect(200).json["credit_info"].clone();
        assert_eq!((&info["credits_spent"], &info["already_unlocked"]), (&json!(0), &json!(true)));
    }
    assert_eq!(balance(&dana).await, (1_000, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_are_paid_once_for_the_state_they_were_fetched_in() {
    let system = System::start().await;
    stored(&system).await;
    let emil = system.as_user("emil").await;
    emil.get(&posts("demo_travel")).await.expect_problem(403, "no_access");
    let first = emil.get(POSTS).await.expect(200).json;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["total"]), (12, &json!(12)));
    assert_eq!(first["credit_info"]["credits_spent"], 5);
    for _ in 0..59 {
        let again = emil.get(&format!("{POSTS}?limit=5")).await.expect(200).json;
        assert_eq!(again["credit_info"]["credits_spent"], 0);
    }
    assert_eq!(balance(&emil).await, (995, 0));
    // As long as they are the same ones, a day later too.
    system.advance(std::time::Duration::from_secs(13 * 3_600)).await;
    assert_eq!(emil.get(POSTS).await.expect(200).json["credit_info"]["credits_spent"], 0);
    // Fetched again they are others; but not within the 12 hours of the first reading of them.
    system.advance(std::time::Duration::from_secs(24 * 3_600)).await;
    stored(&system).await;
    assert_eq!(emil.get(POSTS).await.expect(200).json["credit_info"]["credits_spent"], 5);
    system.advance(std::time::Duration::from_secs(3_600)).await;
    let dana = system.as_user("dana").await;
    let again = dana.post("/api/v1/instagram/profile/demo_travel/refresh").await.expect(202).json;
    system.finish(again["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(emil.get(POSTS).await.expect(200).json["credit_info"]["credits_spent"], 0);
    assert_eq!(balance(&emil).await, (990, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_is_told_with_what_is_missing_and_where_to_get_it() {
    let system = System::start().await;
    stored(&system).await;
    let emil = system.as_user("emil").await;
    take(&system, "emil", 990).await;
    let refused = emil.get(UNLOCK).await;
    for (header, figure) in
        [("x-credits-required", "25"), ("x-credits-available", "10"), ("x-credits-needed", "15")]
    {
        assert_eq!(refused.header(header), Some(figure), "{header}");
    }
    let body = refused.expect_problem(402, "insufficient_credits").json;
    assert_eq!((&body["can_perform"], &body["credits_needed"]), (&json!(false), &json!(15)));
    assert_eq!((&body["credits_required"], &body["wallet_balance"]), (&json!(25), &json!(10)));
    assert_eq!(body["top_up_url"], "/api/v1/credits/top-up");
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "preview");
    let can = emil.get("/api/v1/credits/can-perform/influencer_unlock").await.expect(200).json;
    assert_eq!(
        (&can["can_perform"], &can["reason"]),
        (&json!(false), &json!("insufficient_credits"))
    );
    let can = emil.get("/api/v1/credits/can-perform/bulk_export").await.expect(200).json;
    assert_eq!((&can["can_perform"], &can["reason"]), (&json!(true), &json!("free_allowance")));
    let can = emil.get("/api/v1/credits/can-perform/flying").await.expect(200).json;
    assert_eq!((&can["can_perform"], &can["reason"]), (&json!(false), &json!("unknown_action")));
    // A lock stops even what could be paid.
    let admin = system.as_user("admin").await;
    let user = system.user("emil").await.id;
    let lock = format!("/api/v1/admin/credits/wallets/{user}/lock");
    let body = json!({ "locked": true, "reason": "under review" });
    admin.post_json(&lock, body.clone()).await.expect(200);
    emil.get(POSTS).await.expect_problem(402, "wallet_locked");
    let body = json!({ "locked": false, "reason": "reviewed" });
    admin.post_json(&lock, body.clone()).await.expect(200);
    emil.get(POSTS).await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_costs_shows_what_is_held_and_gives_it_back_when_it_is_cancelled() {
    let oracle = Oracle::of(Tier::Lite);
    let mut system = System::builder().workers(0).models(oracle.engine()).start().await;
    let emil = system.as_user("emil").await.with("idempotency-key", "k");
    let captions = json!({ "captions": ["What a lovely day"] });
    let path = "/api/v1/post-analytics/analyze/batch";
    let mut tasks = vec![];
    for _ in 0..50 {
        let (emil, captions) = (emil.clone(), captions.clone());
        tasks.push(tokio::spawn(async move { emil.post_json(path, captions.clone()).await }));
    }
    let mut jobs = std::collections::BTreeSet::new();
    for task in tasks {
        let answer = task.await.unwrap();
        // While the first is being answered the others are told to come again.
        match answer.status.as_u16() {
            202 => drop(jobs.insert(answer.json["id"].as_str().unwrap().to_owned())),
            _ => drop(answer.expect_problem(409, "request_in_flight")),
        }
    }
    assert_eq!((jobs.len(), balance(&emil).await), (1, (995, 5)));
    let id = jobs.pop_first().unwrap();
    let again = emil.post_json(path, captions.clone()).await.expect(202).json;
    assert_eq!((&again["id"], &again["credits"]), (&json!(id), &json!({ "held": 5, "spent": 0 })));
    let other = json!({ "captions": ["Another day"] });
    emil.post_json(path, other.clone()).await.expect_problem(422, "idempotency_key_reused");
    let plain = system.as_user("emil").await;
    plain.post(&format!("/api/v1/jobs/{id}/cancel")).await.expect(200);
    assert_eq!(balance(&emil).await, (1_000, 0));
    plain.post(&format!("/api/v1/jobs/{id}/retry")).await.expect(202);
    assert_eq!(balance(&emil).await, (995, 5));
    system.add_worker().await;
    system.finish(id.parse().unwrap()).await;
    let view = plain.get(&format!("/api/v1/jobs/{id}")).await.expect(200).json;
    assert_eq!(
        (&view["state"], &view["credits"]),
        (&json!("succeeded"), &json!({ "held": 0, "spent": 5 }))
    );
    assert_eq!(balance(&emil).await, (995, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_costs_when_exports_are_made_to_cost() {
    let system = System::start().await;
    let dana = stored(&system).await;
    let order = json!({ "usernames": ["demo_travel"], "format": "csv" });
    let run = async || {
        let job = dana.post_json("/api/export", order.clone()).await.expect(202).json;
        system.finish(job["id"].as_str().unwrap().parse().unwrap()).await;
        balance(&dana).await.0
    };
    assert_eq!(run().await, 1_000, "free as a rule");
    let text = "UPDATE system_configurations SET value = 'true' \
         WHERE config_key = 'export_charges_credits'";
    entity::sql::execute(system.db().write(), text, vec![]).await.unwrap();
    assert_eq!((run().await, run().await, run().await), (1_000, 950, 900), "one a month is free");
    let usage = dana.get("/api/v1/credits/usage/monthly").await.expect(200).json;
    let actions = usage["actions"].as_array().unwrap();
    let export = actions.iter().find(|action| action["action_type"] == "bulk_export").unwrap();
    assert_eq!((&export["free_used"], &export["paid_used"]), (&json!(1), &json!(2)));
    let spending = dana.get("/api/v1/credits/analytics/spending?months=3").await.expect(200).json;
    assert_eq!(
        (&spending["total_spent"], &spending["months"][0]["by_action"]["bulk_export"]),
        (&json!(100), &json!(100))
    );
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_shows_what_it_will_be_before_it_is_there() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let before = dana.get("/api/v1/credits/wallet/summary").await.expect(200).json;
    let wallets = "SELECT count(*) AS n FROM credit_wallets";
    assert_eq!(system.count(wallets).await, 0, "looking makes none");
    let made = dana.post("/api/v1/credits/wallet/create").await.expect(200).json;
    let again = dana.post("/api/v1/credits/wallet/create").await.expect(200).json;
    assert_eq!((&before, system.count(wallets).await), (&made, 1));
    assert_eq!(made, again);
    assert_eq!(
        (&made["package_name"], &made["package_credits"]),
        (&json!("package_a"), &json!(1_000))
    );
    let total = dana.get("/api/v1/credits/total-plan-credits").await.expect(200).json;
    assert_eq!(total["total_plan_credits"], 1_000);
    let page = dana.get("/api/v1/credits/dashboard").await.expect(200).json;
    assert_eq!(page["recent_transactions"][0]["transaction_type"], "earn");
    assert_eq!(page["pricing_rules"].as_array().unwrap().len(), 5);
    assert_eq!((&page["wallet"], &page["unlocked_influencers_count"]), (&made, &json!(0)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_delivered_once() {
    let system = System::start().await;
    let dana = system.as_user("dana").await.with("idempotency-key", "k");
    let amount = json!({ "credits": 300 });
    let quote =
        dana.post_json("/api/v1/credits/top-up/estimate", amount.clone()).await.expect(200).json;
    assert_eq!((&quote["price_usd_cents"], &quote["discount_percent"]), (&json!(6_000), &json!(0)));
    let order = dana.post_json("/api/v1/credits/top-up", amount.clone()).await.expect(201).json;
    let same = dana.post_json("/api/v1/credits/top-up", amount.clone()).await.expect(201).json;
    assert_eq!(order, same);
    assert_eq!(balance(&dana).await, (1_000, 0), "not paid yet");
    let reference = order["order_reference"].as_str().unwrap();
    for delivered in [true, false, false] {
        let tx = system.db().begin().await.unwrap();
        assert_eq!(orders::deliver(&tx, reference).await.unwrap().is_some(), delivered);
        tx.commit().await.unwrap();
    }
    assert_eq!(balance(&dana).await, (1_300, 0));
    let history = dana.get("/api/v1/credits/top-up/history").await.expect(200).json;
    assert_eq!(
        (history.as_array().unwrap().len(), &history[0]["payment_status"]),
        (1, &json!("completed"))
    );
    for bad in [json!({ "credits": 0 }), json!({ "credits": 1_000_001 }), json!({})] {
        dana.post_json("/api/v1/credits/top-up/estimate", bad.clone())
            .await
            .expect_problem(400, "invalid_body");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_corrects_with_a_reason_that_stays() {
    let system = System::start().await;
    stored(&system).await;
    let (emil, admin) = (system.as_user("emil").await, system.as_user("admin").await);
    let user = system.user("emil").await.id;
    let adjust = format!("/api/v1/admin/credits/wallets/{user}/adjust");
    let give = json!({ "kind": "grant", "amount": 40, "reason": "a lost export" });
    emil.post_json(&adjust, give.clone()).await.expect_problem(403, "operators_only");
    let wallet = admin.post_json(&adjust, give.clone()).await.expect(200).json;
    assert_eq!((&wallet["current_balance"], &wallet["bonus_credits"]), (&json!(1_040), &json!(40)));
    let take = json!({ "kind": "deduct", "amount": 2_000, "reason": "too much" });
    admin.post_json(&adjust, take.clone()).await.expect_problem(409, "insufficient_credits");
    let silent = json!({ "kind": "grant", "amount": 40, "reason": " " });
    admin.post_json(&adjust, silent.clone()).await.expect_problem(400, "invalid_body");
    let nobody = format!("/api/v1/admin/credits/wallets/{}/adjust", Uuid::now_v7());
    admin.post_json(&nobody, give.clone()).await.expect_problem(404, "user_not_found");
    let spent = emil.get(UNLOCK).await.expect(200);
    let id = spent.header("x-transaction-id").unwrap();
    let refund = format!("/api/v1/admin/credits/transactions/{id}/refund");
    let why = json!({ "reason": "wrong creator" });
    assert_eq!(admin.post_json(&refund, why.clone()).await.expect(200).json["amount"], 25);
    admin.post_json(&refund, why.clone()).await.expect_problem(409, "already_refunded");
    assert_eq!(balance(&emil).await, (1_040, 0));
    let log =
        "SELECT count(*) AS n FROM audit_log WHERE reason IN ('a lost export', 'wrong creator')";
    assert_eq!(system.count(log).await, 2);
    let audit = admin.get("/api/v1/admin/credits/audit").await.expect(200).json;
    assert_eq!((&audit["clean"], &audit["drift_credits"]), (&json!(true), &json!(0)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_the_credits_of_another() {
    let system = System::start().await;
    stored(&system).await;
    let (emil, fay) = (system.as_user("emil").await, system.as_user("fay").await);
    emil.get(UNLOCK).await.expect(200);
    for path in ["transactions", "transactions/search?q=unlock", "top-up/history"] {
        let seen = fay.get(&format!("/api/v1/credits/{path}")).await.expect(200).json;
        assert_eq!(seen, json!([]), "{path}");
    }
    let list = fay.get("/api/v1/auth/unlocked-profiles").await.expect(200).json;
    assert_eq!(list["profiles"], json!([]));
    assert_eq!(balance(&fay).await, (1_000, 0));
    let found =
        emil.get("/api/v1/credits/transactions/search?q=UNLOCK&limit=1").await.expect(200).json;
    assert_eq!(found.as_array().unwrap().len(), 1);
    for (query, field) in [
        ("limit=0", "limit"),
        ("transaction_type=gift", "transaction_type"),
        ("since=yesterday", "since"),
        ("q=", "q"),
    ] {
        let path = format!("/api/v1/credits/transactions/search?{query}");
        let refused = emil.get(&path).await.expect_problem(400, "invalid_input");
        assert_eq!(refused.json["field"], field);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_several_actions_cost_counts_free_turns_once() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let plan = json!({ "actions": [
        { "action_type": "advanced_search", "quantity": 7 },
        { "action_type": "advanced_search", "quantity": 7 },
        { "action_type": "influencer_unlock", "quantity": 2 },
    ] });
    let cost =
        dana.post_json("/api/v1/credits/pricing/calculate", plan.clone()).await.expect(200).json;
    let credits: Vec<i64> = cost["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["credits"].as_i64().unwrap())
        .collect();
    assert_eq!((credits, &cost["total_credits"]), (vec![0, 60, 50], &json!(110)));
    assert_eq!(cost["can_afford"], true);
    let unknown = json!({ "actions": [{ "action_type": "flying", "quantity": 1 }] });
    dana.post_json("/api/v1/credits/pricing/calculate", unknown.clone())
        .await
        .expect_problem(404, "unknown_action");
    let allowances = dana.get("/api/v1/credits/allowances").await.expect(200).json;
    let free: i64 = allowances["allowances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["remaining"].as_i64().unwrap())
        .sum();
    assert_eq!(free, 16, "5 pages, 10 searches and an export");
    dana.get("/api/v1/credits/pricing/flying").await.expect_problem(404, "unknown_action");
    assert_eq!(
        dana.get("/api/v1/credits/pricing/influencer_unlock").await.expect(200).json["cost_per_action"],
        25
    );
    system.end().await;
}

/// A team of these users, the first its owner.
async fn team(system: &System, users: &[Uuid]) -> Uuid {
    let (db, team) = (system.db().write(), Uuid::now_v7());
    let text =
        "INSERT INTO teams (id, name, created_at, updated_at) VALUES (?, 'Us', {now}, {now})";
    sql::execute(db, text, args![team]).await.unwrap();
    for (at, user) in users.iter().enumerate() {
        let role = if at == 0 { "owner" } else { "member" };
        let text = "INSERT INTO team_members (id, team_id, user_id, role, status, joined_at) \
             VALUES (?, ?, ?, ?, 'active', {now})";
        sql::execute(db, text, args![Uuid::now_v7(), team, *user, role]).await.unwrap();
    }
    team
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_unlocks_their_team_sees_as_long_as_they_are_in_it() {
    let system = System::start().await;
    stored(&system).await;
    let (emil, fay, gus) =
        (system.as_user("emil").await, system.as_user("fay").await, system.as_user("gus").await);
    let ids = [system.user("emil").await.id, system.user("fay").await.id];
    let team = team(&system, &ids).await;
    emil.get(UNLOCK).await.expect(200);
    let access = async |client: &Client| {
        system.advance(std::time::Duration::from_secs(1)).await;
        client.get(&profile("demo_travel")).await.expect(200).json["access"].clone()
    };
    assert_eq!((access(&emil).await, access(&fay).await), (json!("full"), json!("full")));
    assert_eq!(access(&gus).await, "preview", "he is in another team: his own");
    let info = fay.get(UNLOCK).await.expect(200).json["credit_info"].clone();
    assert_eq!((&info["credits_spent"], balance(&fay).await), (&json!(0), (1_000, 0)));
    let order = json!({ "usernames": ["demo_travel"], "format": "csv" });
    let job = fay.post_json("/api/export", order).await.expect(202).json;
    system.finish(job["id"].as_str().unwrap().parse().unwrap()).await;
    let text = "UPDATE team_members SET status = 'removed' WHERE team_id = ? AND user_id = ?";
    sql::execute(system.db().write(), text, args![team, ids[1]]).await.unwrap();
    assert_eq!((access(&emil).await, access(&fay).await), (json!("full"), json!("preview")));
    let own = "SELECT count(*) AS n FROM teams t JOIN team_members m ON m.team_id = t.id \
         WHERE t.personal_of = m.user_id AND m.role = 'owner' AND m.status = 'active'";
    let users = "SELECT count(*) AS n FROM users";
    assert_eq!(system.count(own).await, system.count(users).await, "everybody has one");
    system.end().await;
}
