//! The analysis of captions through the front door.

use std::time::Duration;

use entity::worker::{NewWorker, Report};
use entity::{args, sql};
use jobs::process::Env;
use models::Tier;
use serde_json::{Value, json};
use tests::oracle::POISON;
use tests::{Client, Oracle, System, eventually};
use uuid::Uuid;
use worker::settings::WorkerSettings;

use crate::common::{
    Creator, Post, check_refusal, fetched, id_of, job, posts, profile, refresh, submit,
};

const ANALYZE: &str = "/api/v1/post-analytics/analyze";
const BATCH: &str = "/api/v1/post-analytics/analyze/batch";
const HEALTH: &str = "/api/v1/ai/system/health";
const MINE: &str = "/api/v1/post-analytics/my-analyses";

fn status(handle: &str) -> String {
    format!("/api/v1/ai/status/profile/{handle}")
}

fn verify(handle: &str) -> String {
    format!("/api/v1/ai/verify/{handle}")
}

fn fix(handle: &str) -> String {
    format!("/api/v1/ai/fix/profile/{handle}")
}

fn analysis(shortcode: &str) -> String {
    format!("/api/v1/post-analytics/analysis/{shortcode}")
}

/// A farm that analyses, with a user who has fetched `demo_travel`.
async fn analyzed(oracle: &Oracle) -> (System, Client) {
    let system = System::builder().models(oracle.engine()).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    (system, dana)
}

/// The result of a job, once it has ended well.
async fn result(system: &System, client: &Client, started: &Value) -> Value {
    let id = id_of(started);
    system.finish(id).await;
    client.get(&job(id, "/result")).await.expect(200).json
}

fn told(text: &str) -> Value {
    let said = Oracle::answer(Tier::Lite, text);
    json!({
        "content_category": said.category.label,
        "category_confidence": said.category.confidence,
        "sentiment": said.sentiment.label,
        "sentiment_score": said.sentiment.score,
        "sentiment_confidence": said.sentiment.confidence,
        "language_code": said.language.code,
        "language_confidence": said.language.confidence,
    })
}

/// Fails unless `shown` says what the oracle says about the text.
#[track_caller]
fn says(shown: &Value, text: &str) {
    for (field, want) in told(text).as_object().unwrap() {
        assert_eq!(&shown[field], want, "{field} of {text}");
    }
    assert_eq!(shown["tier"], "lite");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_profile_shows_what_its_captions_say() {
    let (system, dana) = analyzed(&Oracle::of(Tier::Lite)).await;
    let shown = dana.get(&profile("demo_travel")).await.expect(200).json;
    let insights = &shown["ai_insights"];
    assert_eq!((&insights["available"], &insights["complete"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&insights["analysis_completeness"], &insights["reason"]),
        (&json!(1.0), &Value::Null)
    );
    let shares = insights["content_distribution"].as_object().unwrap();
    let primary = insights["content_category"].as_str().unwrap();
    assert!(shares.values().all(|share| share.as_f64() <= shares[primary].as_f64()), "{shares:?}");
    let top = insights["top_10_categories"].as_array().unwrap();
    assert_eq!(top[0]["category"], primary);
    assert_eq!(insights["top_3_categories"].as_array().unwrap()[..], top[..3.min(top.len())]);
    let counted: u64 = top.iter().map(|top| top["count"].as_u64().unwrap()).sum();
    assert!(counted <= 12, "{top:?}");
    for field in ["average_sentiment", "language_distribution", "content_quality_score"] {
        assert!(!insights[field].is_null(), "{field}");
    }
    assert!(insights["last_analyzed"].is_string());
    assert_eq!(shown["fraud_hints"]["inputs"]["followers_count"], shown["followers_count"]);
    let page = dana.get(&posts("demo_travel")).await.expect(200).json;
    for post in page["items"].as_array().unwrap().iter().chain(shown["posts"].as_array().unwrap()) {
        assert_eq!(post["ai_analysis"]["tier"], "lite", "{post}");
        assert!(post["ai_analysis"]["sentiment_score"].is_number());
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn word_lists_alone_know_what_the_demo_profiles_are_about() {
    let env = Env::of([("AI_TIER".to_owned(), "rules".to_owned())]).unwrap();
    let settings = WorkerSettings::read(&env).unwrap();
    let models =
        worker::analyzers::engine(&settings, std::path::Path::new("none")).unwrap().unwrap();
    let system = System::builder().models(models).start().await;
    let dana = system.as_user("dana").await;
    for (handle, category) in [
        ("demo_travel", "Travel & Tourism"),
        ("demo_food", "Food & Drink"),
        ("demo_fitness", "Fitness & Health"),
    ] {
        fetched(&system, &dana, handle).await;
        let shown = dana.get(&profile(handle)).await.expect(200).json;
        let insights = &shown["ai_insights"];
        assert_eq!(insights["content_category"], category, "{handle}: {insights}");
        assert!(insights["language_distribution"]["en"].as_f64() > Some(0.5), "{insights}");
        for post in shown["posts"].as_array().unwrap() {
            assert_eq!(post["ai_analysis"]["tier"], "rules");
        }
        assert_eq!(dana.get(&verify(handle)).await.expect(200).json["verified"], true);
    }
    fetched(&system, &dana, "demo_polyglot").await;
    let shown = dana.get(&profile("demo_polyglot")).await.expect(200).json;
    let languages = shown["ai_insights"]["language_distribution"].as_object().unwrap().clone();
    let demo = ["en", "es", "pt", "fr", "de", "it", "ar", "tr", "ru", "hi", "ja", "ko", "id", "zh"];
    let found = demo.iter().filter(|code| languages.contains_key(**code)).count();
    assert!(found >= 13, "{languages:?}");
    assert_eq!(shown["stored_posts"], 200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_nothing_of_the_analysis() {
    let (system, _) = analyzed(&Oracle::of(Tier::Lite)).await;
    let emil = system.as_user("emil").await;
    let preview = emil.get(&profile("demo_travel")).await.expect(200).json;
    assert_eq!((&preview["ai_insights"], &preview["fraud_hints"]), (&Value::Null, &Value::Null));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_that_an_analysis_has_ended_sees_what_it_stored() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let system = System::builder().models(oracle.engine()).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    system.job_when(id, "it is stored", entity::job::Model::waits_for_children).await;
    // What is stored can be read while its analysis goes on, and is remembered for a moment.
    let before = eventually("an answer out of memory", || async {
        let answer = dana.get(&profile("demo_travel")).await.expect(200);
        (answer.header("x-data-source") == Some("cache")).then_some(answer)
    })
    .await;
    assert_eq!(before.json["ai_insights"]["available"], false);
    assert!(before.json["ai_insights"]["reason"].is_string());
    assert_eq!(before.json["posts"].as_array().unwrap().len(), 12);
    let at_once = dana.get(&format!("{}?fetch=true&wait=0", profile("demo_travel"))).await;
    assert_eq!(at_once.expect(200).json["access"], "full", "it is fresh, whatever goes on");
    oracle.release();
    system.finish(id).await;
    dana.get(&job(id, "")).await.expect(200);
    let after = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(after.json["ai_insights"]["available"], true);
    assert_ne!(after.header("etag"), before.header("etag"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_waited_for_shows_the_profile_before_its_analysis_is_done() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let system = System::builder().models(oracle.engine()).start().await;
    let dana = system.as_user("dana").await;
    let path = format!("{}?fetch=true&wait=1", profile("demo_food"));
    let shown = eventually("the profile is there", || async {
        let answer = dana.get(&path).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(
        (&shown.json["access"], &shown.json["username"]),
        (&json!("full"), &json!("demo_food"))
    );
    assert_eq!(shown.json["ai_insights"]["available"], false);
    oracle.release();
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_posts_and_shows_the_open_job() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let system = System::builder().models(oracle.engine()).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    dana.get(&status("demo_travel")).await.expect_problem(404, "profile_not_fetched");
    let id = submit(&dana, "demo_travel").await;
    system.job_when(id, "it is stored", entity::job::Model::waits_for_children).await;
    let open = dana.get(&status("demo_travel")).await.expect(200).json;
    assert_eq!((&open["status"], &open["complete"]), (&json!("processing"), &json!(false)));
    assert_eq!((&open["posts_total"], &open["posts_missing"]), (&json!(12), &json!(12)));
    assert_eq!(
        (&open["job"]["progress"]["total"], &open["completeness"]),
        (&json!(12), &json!(0.0))
    );
    // The parent is hers, and with it the child; to others it is only said that there is one.
    let link = open["job"]["link"].as_str().unwrap();
    assert_eq!(dana.get(link).await.expect(200).json["kind"], "profile_analysis");
    let others = emil.get(&status("demo_travel")).await.expect(200).json;
    assert_eq!((&others["job"]["id"], &others["job"]["link"]), (&Value::Null, &Value::Null));
    assert_eq!(others["job"]["progress"]["total"], 12);
    oracle.release();
    system.finish(id).await;
    let done = dana.get(&status("demo_travel")).await.expect(200).json;
    assert_eq!((&done["status"], &done["complete"]), (&json!("completed"), &json!(true)));
    assert_eq!((&done["tiers"], &done["job"]), (&json!({ "lite": 12 }), &Value::Null));
    assert_eq!((&done["posts_analyzed"], &done["completeness"]), (&json!(12), &json!(1.0)));
    assert!(done["last_analyzed"].is_string());
    fetched(&system, &dana, "demo_private").await;
    let empty = dana.get(&status("demo_private")).await.expect(200).json;
    assert_eq!((&empty["status"], &empty["completeness"]), (&json!("empty"), &Value::Null));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_finds_what_the_posts_do_not_say() {
    let (system, dana) = analyzed(&Oracle::of(Tier::Lite)).await;
    let emil = system.as_user("emil").await;
    let good = dana.get(&verify("demo_travel")).await.expect(200).json;
    assert_eq!((&good["verified"], &good["differences"]), (&json!(true), &json!([])));
    assert_eq!((&good["problems"], &good["in_progress"]), (&json!([]), &json!(false)));
    let set = |change: &'static str| sql::execute(system.db().write(), change, vec![]);
    set("UPDATE profiles SET ai_avg_sentiment_score = 0.987, ai_primary_content_type = 'Science'")
        .await
        .unwrap();
    let bad = dana.get(&verify("demo_travel")).await.expect(200).json;
    assert_eq!((&bad["verified"], &bad["enough_posts"]), (&json!(false), &json!(true)));
    assert_eq!(bad["aggregate_matches"], false);
    let differences = bad["differences"].as_array().unwrap();
    let fields: Vec<_> = differences.iter().map(|d| d["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["ai_primary_content_type", "ai_avg_sentiment_score"]);
    assert_eq!(differences[1]["stored"], json!(0.987));
    assert!(differences[1]["expected"].is_number());
    assert!(bad["problems"][0].as_str().unwrap().contains("ai_avg_sentiment_score"));
    // Without access it says where, and not what.
    let hidden = emil.get(&verify("demo_travel")).await.expect(200).json;
    assert_eq!(hidden["verified"], false);
    let difference = &hidden["differences"][1];
    assert_eq!((&difference["stored"], &difference["expected"]), (&Value::Null, &Value::Null));
    // Mended by what mends everything, and not by looking.
    let started = dana.post(&fix("demo_travel")).await.expect(202).json;
    result(&system, &dana, &started).await;
    assert_eq!(dana.get(&verify("demo_travel")).await.expect(200).json["verified"], true);
    set("UPDATE posts SET ai_analyzed_at = NULL WHERE shortcode IN \
         (SELECT shortcode FROM posts ORDER BY id LIMIT 2)")
    .await
    .unwrap();
    let few = dana.get(&verify("demo_travel")).await.expect(200).json;
    assert_eq!((&few["verified"], &few["enough_posts"]), (&json!(false), &json!(false)));
    assert_eq!(few["problems"][0], "10 of 12 posts are analysed");
    dana.get(&verify("nobody")).await.expect_problem(404, "profile_not_fetched");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_analysed_on_request_by_those_with_access() {
    let oracle = Oracle::of(Tier::Lite);
    let (system, dana) = analyzed(&oracle).await;
    let emil = system.as_user("emil").await;
    check_refusal(&emil.post(&fix("demo_travel")).await.expect_problem(403, "no_access"));
    dana.post(&fix("nobody")).await.expect_problem(404, "profile_not_fetched");
    let forget = "UPDATE posts SET ai_analyzed_at = NULL, ai_sentiment = NULL";
    sql::execute(system.db().write(), forget, vec![]).await.unwrap();
    let keyed = dana.with("idempotency-key", "again").with("prefer", "wait=20");
    let done = keyed.post(&fix("demo_travel")).await.expect(200);
    assert_eq!(
        (&done.json["kind"], &done.json["state"]),
        (&json!("profile_analysis"), &json!("succeeded"))
    );
    assert_eq!(done.json["result"]["analyzed"], 12);
    assert_eq!(done.json["progress"]["percent"], 100);
    assert_eq!(keyed.post(&fix("demo_travel")).await.expect(200).json, done.json);
    assert_eq!(dana.get(&status("demo_travel")).await.expect(200).json["posts_analyzed"], 12);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_how_the_analysis_does_and_with_what() {
    let often = |engine: &mut worker::EngineConfig| engine.renew_every = Duration::from_millis(50);
    let models = Oracle::of(Tier::Lite).engine();
    let mut system = System::builder().models(models).engine(often).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    fetched(&system, &dana, "demo_travel").await;
    let activity = dana.get("/api/v1/ai/analysis/status").await.expect(200).json;
    assert_eq!((&activity["queue"]["name"], &activity["workers"]), (&json!("ai"), &json!(1)));
    assert_eq!(
        (&activity["posts_last_hour"], &activity["tiers_last_hour"]),
        (&json!(12), &json!({ "lite": 12 }))
    );
    assert_eq!(
        (&activity["queue"]["queued"], &activity["queue"]["running"]),
        (&json!(0), &json!(0))
    );
    let health = eventually("the worker says what it has", || async {
        let health = dana.get(HEALTH).await.expect(200).json;
        (health["status"] == "ok").then_some(health)
    })
    .await;
    assert_eq!(
        (&health["serving"], health["workers"].as_array().unwrap().len()),
        (&json!("lite"), 1)
    );
    // The same in the figures of the farm, with what the worker has counted by then.
    let figures = eventually("the worker says what it did", || async {
        let figures = dana.get("/api/metrics").await.expect(200).json;
        (figures["ai"]["captions_done"] == json!({ "lite": 12 })).then_some(figures)
    })
    .await;
    let ai = &figures["ai"];
    assert_eq!(ai["tiers_last_hour"], json!({ "lite": 12 }));
    assert!((1..=12).contains(&ai["batch_size"].as_i64().unwrap()), "{ai:#}");
    assert!(ai["captions_per_hour"].as_f64().unwrap() > 0.0, "{ai:#}");
    assert_eq!((&ai["captions_failed"], &figures["workers"]["alive"]), (&json!(0), &json!(1)));
    let names: Vec<_> = figures["queues"].as_array().unwrap().iter().map(|q| &q["name"]).collect();
    assert!(names.contains(&&json!("fetch")) && names.contains(&&json!("ai")), "{names:?}");
    system.api().get("/api/metrics").await.expect_problem(401, "not_authenticated");
    let worker = &health["workers"][0];
    assert_eq!((&worker["status"], &worker["wanted"]), (&json!("serving"), &json!("lite")));
    let models = json!([{ "name": "oracle@lite", "hash": "0".repeat(64) }]);
    assert_eq!(worker["tiers"][0]["models"], models);
    // One of another version that makes do with less, in words of its own.
    system.stop_worker().await;
    let id = Uuid::now_v7();
    let new = NewWorker {
        id,
        host: "elsewhere",
        version: "0",
        kinds: &["profile_analysis"],
        slots: 1,
        lease_ms: 60_000,
    };
    let tx = system.db().begin().await.unwrap();
    entity::worker::register(&tx, &new).await.unwrap();
    let ai = json!({
        "status": "degraded",
        "serving": "rules",
        "why": "the files are not at hand",
        "unheard_of": {},
    });
    let said = Report { ai: Some(ai), ..Report::default() };
    entity::worker::renew(&tx, id, 60_000, said).await.unwrap();
    tx.commit().await.unwrap();
    for (client, why) in [(&dana, Value::Null), (&admin, json!("the files are not at hand"))] {
        let health = client.get(HEALTH).await.expect(200).json;
        assert_eq!((&health["status"], &health["serving"]), (&json!("degraded"), &json!("rules")));
        assert_eq!(
            (&health["workers"][0]["why"], &health["workers"][0]["tiers"]),
            (&why, &json!([]))
        );
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_that_analyses_the_health_says_so() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let health = dana.get(HEALTH).await.expect(200).json;
    assert_eq!(health, json!({ "status": "down", "serving": null, "workers": [] }));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_captions_are_one_job_with_an_item_each() {
    let system = System::builder().models(Oracle::of(Tier::Lite).engine()).start().await;
    let dana = system.as_user("dana").await;
    let captions: Vec<String> = (0..50).map(|n| format!("Caption {n} about things")).collect();
    let body = json!({ "captions": captions });
    let started = dana.post_json(BATCH, body.clone()).await.expect(202);
    let id = id_of(&started.json);
    assert_eq!(started.header("location"), Some(job(id, "").as_str()));
    assert_eq!(
        (&started.json["kind"], &started.json["queue"]),
        (&json!("post_analysis"), &json!("ai"))
    );
    assert_eq!(started.json["progress"]["total"], 50);
    let found = result(&system, &dana, &started.json).await;
    assert_eq!((&found["analyzed"], &found["failed"]), (&json!(50), &json!(0)));
    for (item, caption) in found["items"].as_array().unwrap().iter().zip(&captions) {
        says(&item["analysis"], caption);
        assert_eq!((&item["shortcode"], &item["reason"]), (&Value::Null, &Value::Null));
    }
    // Nothing of it is a stored post.
    assert_eq!(system.count("SELECT count(*) AS n FROM posts").await, 0);
    let mine = dana.get(MINE).await.expect(200).json;
    assert_eq!(mine["items"][0]["id"], started.json["id"]);
    assert_eq!(mine["items"][0]["result"]["analyzed"], 50);
    let emil = system.as_user("emil").await;
    assert_eq!(emil.get(MINE).await.expect(200).json["items"], json!([]));
    emil.get(&job(id, "/result")).await.expect(404);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn my_analyses_come_page_by_page_and_are_mine() {
    let system = System::builder().models(Oracle::of(Tier::Lite).engine()).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let mut ids: Vec<Value> = vec![];
    for n in 0..5 {
        let body = json!({ "caption": format!("number {n}") });
        ids.insert(0, dana.post_json(ANALYZE, body).await.expect(202).json["id"].clone());
    }
    system.drain().await;
    let mut seen = vec![];
    let mut path = format!("{MINE}?limit=2");
    loop {
        let page = dana.get(&path).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{MINE}?limit=2&cursor={next}");
    }
    assert_eq!(seen, ids);
    assert_eq!(admin.get(MINE).await.expect(200).json["items"], json!([]), "an operator's own");
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor")] {
        let answer = dana.get(&format!("{MINE}?{query}")).await;
        check_refusal(&answer);
        assert_eq!(answer.expect(400).json["field"], field);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_post_is_analysed_by_its_code_and_keeps_the_answer() {
    // Nothing is analysed yet.
    let oracle = Oracle::of(Tier::Lite);
    let mut system = System::builder().start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let texts = ["One about the sea", "Two about bread"];
    let creator = Creator::new("77", "writer")
        .posts(&[Post::new("Pone", texts[0], 10), Post::new("Ptwo", texts[1], 20)]);
    system.demo.script("writer", vec![creator.answer()]);
    fetched(&system, &dana, "writer").await;
    let none = dana.get(&analysis("Pone")).await.expect(200).json;
    assert_eq!((&none["analyzed"], &none["ai_analysis"]), (&json!(false), &Value::Null));
    assert!(none["reason"].is_string());
    system.set_models(oracle.engine());
    system.add_worker().await;
    // Not for those without access, and not about what is not stored.
    for client in [&emil, &dana] {
        let unknown = client.post_json(ANALYZE, json!({ "shortcode": "Pnone" })).await;
        let unknown = unknown.expect_problem(404, "post_not_stored");
        assert_eq!(unknown.json["missing"], json!(["Pnone"]));
    }
    let locked = emil.post_json(BATCH, json!({ "shortcodes": ["Pone", "Ptwo"] })).await;
    check_refusal(&locked);
    assert_eq!(locked.expect_problem(403, "no_access").json["locked"], json!(["Pone", "Ptwo"]));
    check_refusal(&emil.get(&analysis("Pone")).await.expect_problem(403, "no_access"));
    let started = dana.post_json(ANALYZE, json!({ "shortcode": "Pone" })).await.expect(202);
    let found = result(&system, &dana, &started.json).await;
    assert_eq!(found["items"][0]["shortcode"], "Pone");
    says(&found["items"][0]["analysis"], texts[0]);
    let stored = dana.get(&analysis("Pone")).await.expect(200).json;
    assert_eq!((&stored["analyzed"], &stored["username"]), (&json!(true), &json!("writer")));
    says(&stored["ai_analysis"], texts[0]);
    let details = &stored["details"];
    assert_eq!(details["category_classification"]["scores"].as_object().unwrap().len(), 20);
    assert_eq!(details["metadata"]["models"][0]["name"], "oracle@lite");
    assert_eq!(details["metadata"]["tier"], "lite");
    // The profile says so, too: of its two posts one is analysed.
    let insights = &dana.get(&profile("writer")).await.expect(200).json["ai_insights"];
    assert_eq!(
        (&insights["available"], &insights["analysis_completeness"]),
        (&json!(true), &json!(0.5))
    );
    let verified = dana.get(&verify("writer")).await.expect(200).json;
    assert_eq!(
        (&verified["aggregate_matches"], &verified["enough_posts"]),
        (&json!(true), &json!(false))
    );
    let both = json!({ "shortcodes": ["Ptwo", "Pone", "Ptwo"], "captions": ["Three"] });
    let started = dana.post_json(BATCH, both).await.expect(202);
    let found = result(&system, &dana, &started.json).await;
    for (item, text) in found["items"].as_array().unwrap().iter().zip([texts[1], texts[0], "Three"])
    {
        says(&item["analysis"], text);
    }
    assert_eq!((found["items"].as_array().unwrap().len(), &found["analyzed"]), (3, &json!(3)));
    assert_eq!(dana.get(&verify("writer")).await.expect(200).json["verified"], true);
    assert_eq!(oracle.asked().len(), 3, "what was answered a moment ago is not asked again");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_cannot_be_analysed_is_named_and_one_alone_fails_the_job() {
    let system = System::builder().models(Oracle::of(Tier::Lite).engine()).start().await;
    let dana = system.as_user("dana").await;
    let captions = json!({ "captions": ["fine", format!("{POISON} here"), "fine as well"] });
    let started = dana.post_json(BATCH, captions).await.expect(202);
    let found = result(&system, &dana, &started.json).await;
    assert_eq!((&found["analyzed"], &found["failed"]), (&json!(2), &json!(1)));
    let bad = &found["items"][1];
    assert_eq!(bad["analysis"], Value::Null);
    assert!(bad["reason"].as_str().unwrap().contains("failed on this text"), "{bad}");
    let alone = dana.post_json(ANALYZE, json!({ "caption": format!("only {POISON}") })).await;
    let id = id_of(&alone.expect(202).json);
    assert_eq!(system.finish(id).await.error_code.as_deref(), Some("not_analyzed"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_same_captions_joins_and_a_key_repeats_the_answer() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let body = json!({ "captions": ["one", "two"] });
    let keyed = dana.with("idempotency-key", "k");
    let first = keyed.post_json(BATCH, body.clone()).await.expect(202);
    assert_eq!(keyed.post_json(BATCH, body.clone()).await.expect(202).json, first.json);
    let other = keyed.post_json(BATCH, json!({ "captions": ["two", "one"] })).await;
    other.expect_problem(422, "idempotency_key_reused");
    let joined = emil.post_json(BATCH, body).await.expect(202).json;
    assert_eq!((&joined["id"], &joined["created"]), (&first.json["id"], &json!(false)));
    system.set_models(Oracle::of(Tier::Lite).engine());
    system.add_worker().await;
    assert_eq!(result(&system, &emil, &joined).await["analyzed"], 2);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_analysed_is_refused_with_field_and_rule() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let long = "x".repeat(5_001);
    let many = |count: usize| vec!["a caption"; count];
    for (path, body, field, rule) in [
        (ANALYZE, json!({}), "shortcode", "required"),
        (ANALYZE, json!({ "shortcode": "a", "caption": "b" }), "caption", "beside"),
        (ANALYZE, json!({ "caption": "" }), "caption", "empty"),
        (ANALYZE, json!({ "caption": " \n\t" }), "caption", "empty"),
        (ANALYZE, json!({ "caption": long }), "caption", "5000 characters"),
        (ANALYZE, json!({ "caption": "a\u{0}b" }), "caption", "NUL"),
        (ANALYZE, json!({ "caption": ["a"] }), "caption", "string"),
        (ANALYZE, json!({ "shortcode": "a/b" }), "shortcode", "letters, digits"),
        (ANALYZE, json!({ "shortcode": "" }), "shortcode", "1 to 64"),
        (ANALYZE, json!({ "shortcode": "é" }), "shortcode", "letters, digits"),
        (ANALYZE, json!({ "shortcode": "x".repeat(65) }), "shortcode", "1 to 64"),
        (ANALYZE, json!({ "caption": "a", "tier": "full" }), "tier", "unknown"),
        (BATCH, json!({}), "captions", "1 to 50"),
        (BATCH, json!({ "captions": [] }), "captions", "1 to 50"),
        (BATCH, json!({ "captions": many(51) }), "captions", "1 to 50"),
        (BATCH, json!({ "shortcodes": many(26), "captions": many(25) }), "shortcodes", "1 to 50"),
        (BATCH, json!({ "captions": ["fine", ""] }), "captions", "number 2 must not be empty"),
        (BATCH, json!({ "shortcodes": ["fine", "no code"] }), "shortcodes", "number 2 must be"),
        (BATCH, json!({ "captions": "one" }), "captions", "list"),
    ] {
        let shown = body.to_string();
        let answer = dana.post_json(path, body).await;
        assert_eq!(answer.status, 400, "{shown}");
        check_refusal(&answer);
        let answer = answer.expect_problem(400, "invalid_body");
        assert_eq!(answer.json["field"], field, "{}", answer.text);
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(field) && detail.contains(rule), "{detail}");
    }
    for path in [ANALYZE, BATCH] {
        check_refusal(&dana.post_text(path, "{").await.expect(400));
    }
    for code in ["%00", "a%20b", "%C3%A9", &"x".repeat(65)] {
        let answer = dana.get(&analysis(code)).await;
        check_refusal(&answer);
        assert_eq!(answer.expect(400).json["field"], "shortcode");
    }
    for path in [status("a..b"), verify("a..b")] {
        assert_eq!(dana.get(&path).await.expect(400).json["field"], "username");
    }
    assert_eq!(dana.post(&fix("a..b")).await.expect(400).json["field"], "username");
    dana.get(&analysis("Pnone")).await.expect_problem(404, "post_not_stored");
    let odd = dana.with("prefer", "wait=soon").post_json(ANALYZE, json!({ "caption": "a" })).await;
    assert_eq!(odd.expect(400).json["field"], "Prefer");
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_caption_is_analysed_anew_and_an_unchanged_one_keeps_its_analysis() {
    let oracle = Oracle::of(Tier::Lite);
    let system = System::builder().models(oracle.engine()).start().await;
    let dana = system.as_user("dana").await;
    let one = Creator::new("78", "writer")
        .posts(&[Post::new("Pa", "same", 1), Post::new("Pb", "old", 1)]);
    let two = Creator::new("78", "writer")
        .posts(&[Post::new("Pa", "same", 9), Post::new("Pb", "new", 1)]);
    system.demo.script("writer", vec![one.answer(), two.answer()]);
    fetched(&system, &dana, "writer").await;
    let before = dana.get(&analysis("Pa")).await.expect(200).json;
    let again = dana.with("prefer", "wait=20").post(&refresh("writer")).await.expect(200).json;
    assert_eq!(again["children"]["succeeded"], 1);
    let after = dana.get(&analysis("Pa")).await.expect(200).json;
    assert_eq!(after["analyzed_at"], before["analyzed_at"], "kept as it was");
    says(&dana.get(&analysis("Pb")).await.expect(200).json["ai_analysis"], "new");
    assert_eq!(oracle.asked(), ["same", "old", "new"]);
    assert_eq!(dana.get(&verify("writer")).await.expect(200).json["verified"], true);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_about_the_analysis_start_nothing() {
    let (system, dana) = analyzed(&Oracle::of(Tier::Lite)).await;
    let before = system.count("SELECT count(*) AS n FROM jobs").await;
    let post: Uuid = system.user("dana").await.id;
    sql::execute(
        system.db().write(),
        "UPDATE posts SET ai_analyzed_at = NULL WHERE id <> ?",
        args![post],
    )
    .await
    .unwrap();
    for path in [
        status("demo_travel"),
        verify("demo_travel"),
        "/api/v1/ai/analysis/status".to_owned(),
        "/api/metrics".to_owned(),
        HEALTH.to_owned(),
        MINE.to_owned(),
    ] {
        dana.get(&path).await.expect(200);
    }
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, before);
    system.end().await;
}
