//! Exports: who may have what, what comes of it, and how long it can be had.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::enums::Tier;
use entity::user::{self, NewUser};
use entity::{args, sql};
use serde_json::{Value, json};
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{check_no_sign_out, fetched, id_of, profile};

const EXPORT: &str = "/api/export";

/// Exports to its end; returns the export as its owner sees it.
async fn exported(system: &System, client: &Client, body: Value) -> Value {
    let id = id_of(&client.post_json(EXPORT, body).await.expect(202).json);
    system.finish(id).await;
    client.get(&format!("{EXPORT}/{id}")).await.expect(200).json
}

async fn downloaded(system: &System, export: &Value) -> Vec<u8> {
    let link = export["download_url"].as_str().unwrap_or_else(|| panic!("no link: {export}"));
    // Nobody has to sign in who has the link.
    let (answer, bytes) = system.api().bytes(link).await;
    let answer = answer.expect(200);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(jobs::storage::sha256_hex(&bytes), export["sha256"].as_str().unwrap());
    assert_eq!(bytes.len() as u64, export["size_bytes"].as_u64().unwrap());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn creators_and_posts_can_be_had_in_every_format() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for handle in ["demo_travel", "demo_fitness"] {
        fetched(&system, &dana, handle).await;
    }
    let names = json!(["demo_travel", "@Demo_Fitness", "demo_travel"]);
    let both = json!(["profiles", "posts"]);
    for (format, rows) in [("csv", 24), ("xlsx", 26), ("json", 26), ("ndjson", 26)] {
        let body = json!({"usernames": names, "include": both, "format": format});
        let export = exported(&system, &dana, body).await;
        assert_eq!(export["status"], "succeeded", "{export}");
        assert_eq!((&export["rows"], &export["profiles"]), (&rows.into(), &2.into()), "{format}");
        assert_eq!(export["progress"]["percent"], 100);
        let bytes = downloaded(&system, &export).await;
        match format {
            "csv" => {
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.starts_with("username,full_name,followers_count,"));
                assert!(text.contains("demo_travel,") && text.contains("demo_fitness,"));
            }
            "json" => {
                let value: Value = serde_json::from_slice(&bytes).unwrap();
                let posts = value["profiles"][0]["posts"].as_array().unwrap();
                assert_eq!(posts.len(), 12);
                let times: Vec<&str> =
                    posts.iter().map(|post| post["posted_at"].as_str().unwrap()).collect();
                assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
                let page = dana.get(&profile("demo_fitness")).await.json;
                assert_eq!(value["profiles"][0]["username"], "demo_fitness");
                assert_eq!(value["profiles"][0]["followers_count"], page["followers_count"]);
                assert_eq!(posts[0]["caption"], page["posts"][0]["caption"]);
            }
            "ndjson" => {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                assert_eq!(lines.count(), 26);
            }
            _ => assert!(bytes.starts_with(b"PK")),
        }
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_refused_with_the_field_and_the_rule() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let fetch = fetched(&system, &dana, "demo_travel").await;
    let id = fetch["result"]["profile_id"].clone();
    let many: Vec<Uuid> = (0..1_001).map(|_| Uuid::now_v7()).collect();
    let unprocessable = [
        (json!({"usernames": [], "format": "csv"}), "usernames"),
        (json!({"profile_ids": [], "format": "csv"}), "profile_ids"),
        (json!({"profile_ids": many, "format": "csv"}), "profile_ids"),
        (json!({"format": "csv"}), "profile_ids"),
        (
            json!({"usernames": ["demo_travel"], "profile_ids": [id], "format": "csv"}),
            "profile_ids",
        ),
        (json!({"usernames": ["demo_travel"], "format": "pdf"}), "format"),
        (json!({"usernames": ["no such name"], "format": "csv"}), "usernames"),
        (json!({"usernames": ["demo_travel"], "format": "csv", "include": []}), "include"),
        (json!({"usernames": ["demo_travel"], "format": "csv", "include": ["mail"]}), "include"),
        (
            json!({"usernames": ["demo_travel"], "format": "json", "byte_order_mark": true}),
            "byte_order_mark",
        ),
    ];
    for (body, field) in unprocessable {
        let refused = dana.post_json(EXPORT, body).await.expect_problem(422, "invalid_export");
        assert_eq!(refused.json["field"], field, "{}", refused.text);
    }
    let unknown = json!({"usernames": ["demo_nobody"], "format": "csv"});
    dana.post_json(EXPORT, unknown).await.expect_problem(404, "profile_not_found");
    let unknown = json!({"profile_ids": [Uuid::now_v7()], "format": "csv"});
    dana.post_json(EXPORT, unknown).await.expect_problem(404, "profile_not_found");
    let body = json!({"usernames": ["demo_travel"], "format": "csv", "colour": 1});
    dana.post_json(EXPORT, body).await.expect_problem(400, "invalid_body");

    // Without access the names are told.
    let emil = system.as_user("emil").await;
    let body = json!({"usernames": ["demo_travel"], "format": "csv"});
    let locked = emil.post_json(EXPORT, body.clone()).await.expect_problem(403, "profiles_locked");
    assert_eq!(locked.json["locked"], json!(["demo_travel"]));
    check_no_sign_out(&locked);
    // The free tier has no exports.
    let new = NewUser {
        email: "free@example.test",
        hashed_password: None,
        full_name: None,
        role: entity::enums::Role::User,
        tier: Tier::Free,
    };
    user::upsert(system.db(), &new).await.unwrap();
    let free = system.as_user("free").await;
    let refused = free.post_json(EXPORT, body).await.expect_problem(402, "feature_locked");
    assert_eq!(refused.header("x-feature-locked"), Some("export"));
    assert_eq!(refused.header("x-subscription-tier"), Some("free"));
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs WHERE kind = 'export'").await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_good_for_its_file_for_a_week_and_only_as_it_was_given() {
    let system = System::start().await;
    let (dana, emil) = (system.as_user("dana").await, system.as_user("emil").await);
    fetched(&system, &dana, "demo_travel").await;
    let body = json!({"usernames": ["demo_travel"], "include": ["posts"], "format": "csv"});
    let export = exported(&system, &dana, body.clone()).await;
    let whole = downloaded(&system, &export).await;
    let link = export["download_url"].as_str().unwrap().to_owned();
    let other = exported(&system, &dana, body).await;
    let other_link = other["download_url"].as_str().unwrap();

    // Its link alone leads to it.
    let job: Uuid = export["job_id"].as_str().unwrap().parse().unwrap();
    let file = entity::export::by_job(system.db().read(), job).await.unwrap().unwrap();
    let on_cdn = system.api().get(&format!("/cdn/{}", file.object_key)).await;
    on_cdn.expect_problem(404, "no_such_picture");

    let (part, bytes) = system.api().with("range", "bytes=10-19").bytes(&link).await;
    let part = part.expect(206);
    assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{}", whole.len()).as_str()));
    assert_eq!(bytes, whole[10..20]);
    let name = part.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"farm-export-") && name.ends_with(".csv\""));
    system.api().with("range", "bytes=999999-").get(&link).await.expect_problem(416, "range");
    let id = export["job_id"].as_str().unwrap();
    let seen = dana.get(&format!("{EXPORT}/{id}")).await.expect(200).json;
    assert_eq!(seen["download_count"], 1, "a part is no download");

    let (path, token) = link.split_once('=').unwrap();
    let other_token = other_link.split_once('=').unwrap().1;
    let mut bent = token.to_owned().into_bytes();
    bent[60] = if bent[60] == b'A' { b'B' } else { b'A' };
    for bad in [
        format!("{path}={}", String::from_utf8(bent).unwrap()),
        format!("{path}={other_token}"),
        format!("{path}="),
        format!("{EXPORT}/{id}/file"),
        format!("{EXPORT}/{}/file?link={token}", Uuid::now_v7()),
        format!("{EXPORT}/nonsense/file?link={token}"),
    ] {
        let refused = system.api().get(&bad).await;
        if bad.contains("nonsense") {
            assert_eq!(refused.status, 404, "{bad}");
            continue;
        }
        check_no_sign_out(&refused.expect_problem(403, "link_refused"));
    }
    emil.get(&format!("{EXPORT}/{id}")).await.expect_problem(404, "export_not_found");
    // Exports are their owner's alone: operators see the job, and not the file.
    let admin = system.as_user("admin").await;
    admin.get(&format!("{EXPORT}/{id}")).await.expect_problem(404, "export_not_found");
    admin.get(&format!("/api/v1/jobs/{id}")).await.expect(200);

    system.advance(Duration::from_secs(7 * 24 * 3_600 + 1)).await;
    check_no_sign_out(&system.api().get(&link).await.expect_problem(403, "link_refused"));
    let over = dana.get(&format!("{EXPORT}/{id}")).await.expect(200).json;
    assert_eq!((&over["status"], &over["download_url"]), (&"expired".into(), &Value::Null));
    let sweep = jobs::kinds::expiry_sweep::ExpirySweep {};
    let sweep = system.jobs.submit(&sweep, &jobs::Options::default()).await.unwrap();
    assert_eq!(system.finish(sweep.id).await.result.unwrap()["exports"], 2);
    assert_eq!(system.count("SELECT count(*) AS n FROM stored_objects").await, 0);
    let left = std::fs::read_dir(system.path("objects/exports")).unwrap();
    let files = left.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap()).count();
    assert_eq!(files, 0, "the files are gone");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_who_becomes_locked_meanwhile_fails_the_export_and_leaves_no_file() {
    let mut system = System::builder().workers(0).start().await;
    system.add_worker().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    system.stop_worker().await;
    let body = json!({"usernames": ["demo_travel"], "format": "csv"});
    let id = id_of(&dana.post_json(EXPORT, body).await.expect(202).json);
    // A whole month later.
    let text = "UPDATE user_profile_access SET expires_at = {now-?}";
    sql::execute(system.db().write(), text, args![1_i64]).await.unwrap();
    system.add_worker().await;
    let job = system.finish(id).await;
    assert_eq!(job.error_code.as_deref(), Some("profiles_locked"));
    assert!(job.error_message.unwrap().contains("demo_travel"));
    let view = dana.get(&format!("{EXPORT}/{id}")).await.expect(200).json;
    assert_eq!((&view["status"], &view["download_url"]), (&"failed".into(), &Value::Null));
    assert!(!system.path("objects/exports").exists());
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_exported_by_its_owner_in_the_words_of_the_existing_client() {
    let system = System::start().await;
    let (dana, emil) = (system.as_user("dana").await, system.as_user("emil").await);
    let fetch = fetched(&system, &dana, "demo_travel").await;
    let creator: Uuid = fetch["result"]["profile_id"].as_str().unwrap().parse().unwrap();
    let (list, empty) = (Uuid::now_v7(), Uuid::now_v7());
    let owner = system.user("dana").await.id;
    for id in [list, empty] {
        let text = "INSERT INTO user_lists (id, user_id, name, created_at, updated_at) \
             VALUES (?, ?, 'mine', {now}, {now})";
        sql::execute(system.db().write(), text, args![id, owner]).await.unwrap();
    }
    let text = "INSERT INTO user_list_items (id, list_id, profile_id, position, created_at) \
         VALUES (?, ?, ?, 0, {now})";
    sql::execute(system.db().write(), text, args![Uuid::now_v7(), list, creator]).await.unwrap();

    let path = |list: Uuid| format!("/api/lists/{list}/export");
    let body = json!({"format": "csv"});
    emil.post_json(&path(list), body.clone()).await.expect_problem(404, "list_not_found");
    let none =
        dana.post_json(&path(empty), body.clone()).await.expect_problem(422, "invalid_export");
    assert_eq!(none.json["field"], "list_id");
    dana.post_json(&path(list), json!({"format": "pdf"}))
        .await
        .expect_problem(422, "invalid_export");
    let id = id_of(&dana.post_json(&path(list), body).await.expect(202).json);
    system.finish(id).await;
    let job = dana.get(&format!("/api/lists/export-jobs/{id}")).await.expect(200).json;
    assert_eq!((&job["status"], &job["progress_percentage"]), (&"completed".into(), &100.into()));
    let (answer, _) = system.api().bytes(job["download_url"].as_str().unwrap()).await;
    answer.expect(200);
    emil.get(&format!("/api/lists/export-jobs/{id}")).await.expect_problem(404, "export_not_found");
    let same = json!({"list_id": list, "format": "csv"});
    assert_eq!(exported(&system, &dana, same).await["rows"], 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_same_key_is_one_export() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let keyed = dana.with("idempotency-key", "one");
    let body = json!({"usernames": ["demo_travel"], "format": "csv"});
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(id_of(&keyed.post_json(EXPORT, body.clone()).await.expect(202).json));
    }
    assert_eq!(ids.len(), 1);
    let other = json!({"usernames": ["demo_travel"], "format": "json"});
    keyed.post_json(EXPORT, other).await.expect(422);
    system.drain().await;
    system.end().await;
}
