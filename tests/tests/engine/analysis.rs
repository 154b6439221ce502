//! Analyses: what is stored of them, whatever happens on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::aggregate::Aggregate;
use entity::enums::{AiTier, JobState};
use entity::job::Model;
use entity::job::cancel::Leaver;
use entity::job::query::{self, Viewer};
use entity::post::{self, analysis};
use entity::{Time, args, job_watcher, profile, sql};
use farm::demo::Scripted;
use jobs::kinds::consistency_scan::{ConsistencyScan, ConsistencyScanned};
use jobs::kinds::profile_analysis::{ProfileAnalysis, ProfileAnalyzed};
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::{Job, Options};
use models::engine::Settings;
use models::{Prepared, Tier};
use serde_json::{Value, json};
use tests::{Builder, Oracle, System, eventually};
use uuid::Uuid;

/// The provider's answer about an account with these captions, newest first.
fn account(handle: &str, captions: &[String]) -> Scripted {
    let edges: Vec<Value> = captions
        .iter()
        .enumerate()
        .map(|(place, caption)| {
            json!({ "node": {
                "__typename": "GraphImage",
                "shortcode": format!("{handle}{place}"),
                "edge_media_to_caption": { "edges": [{ "node": { "text": caption } }] },
                "taken_at_timestamp": 1_790_000_000 - place * 86_400,
            } })
        })
        .collect();
    let user = json!({
        "id": handle.bytes().map(u32::from).fold(1, |n, byte| n * 31 % 65_521 + byte).to_string(),
        "username": handle,
        "is_private": false,
        "edge_followed_by": { "count": 1_000 },
        "edge_owner_to_timeline_media": { "count": edges.len(), "edges": edges },
    });
    let result = json!({ "content": { "data": { "user": user } }, "status_code": 200 });
    let body = json!({ "results": [result] }).to_string();
    Scripted::Http { status: 200, body, headers: vec![] }
}

fn captions(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("Day {n} of the journey, with words of its own: {}", n * n))
        .collect()
}

/// A system whose provider is patient and knows one account of that many posts.
async fn with_posts(oracle: &Oracle, count: usize) -> System {
    started(System::builder().models(oracle.engine()), count).await
}

async fn started(builder: Builder, count: usize) -> System {
    let system = builder.start().await;
    system.demo.script("writer", vec![account("writer", &captions(count))]);
    system
}

async fn fetch(system: &System, handle: &str) -> Uuid {
    fetch_apart(system, handle, 0).await
}

/// A fetch that does not join those of another depth: one that waits for its analysis is open.
async fn fetch_apart(system: &System, handle: &str, depth: u8) -> Uuid {
    let fetch = ProfileFetch::of(handle.parse().unwrap());
    let fetch = ProfileFetch { force_refresh: true, depth, ..fetch };
    system.jobs.submit(&fetch, &Options::default()).await.unwrap().id
}

/// The analysis a fetch waits for.
async fn analysis_of(system: &System, fetch: Uuid) -> Model {
    system.job_when(fetch, "it handed over", Model::waits_for_children).await;
    let children = job_watcher::children(system.db().read(), fetch).await.unwrap();
    assert_eq!(children.len(), 1);
    system.job(children[0]).await
}

async fn profile_of(system: &System, handle: &str) -> profile::Model {
    profile::by_username(system.db().read(), handle).await.unwrap().expect("a stored profile")
}

async fn posts_of(system: &System, handle: &str) -> Vec<post::Model> {
    let profile = profile_of(system, handle).await.id;
    post::page(system.db().read(), profile, None, 1_000).await.unwrap()
}

async fn analyzed(system: &System, handle: &str) -> usize {
    posts_of(system, handle).await.iter().filter(|post| post.ai_analyzed_at.is_some()).count()
}

fn text_of(post: &post::Model) -> String {
    let hashtags: Vec<String> = serde_json::from_value(post.hashtags.clone()).unwrap();
    Prepared::of(post.caption.as_deref().unwrap_or_default(), &hashtags).text
}

/// Fails unless each post has the answer of this tier about its own caption, and the profile what
/// follows from them.
async fn check(system: &System, handle: &str, tier: Tier) {
    let posts = posts_of(system, handle).await;
    for post in &posts {
        let want = Oracle::answer(tier, &text_of(post));
        assert_eq!(
            post.ai_content_category.as_deref(),
            want.category.label.map(models::Category::as_str)
        );
        assert_eq!(post.ai_sentiment_score, Some(want.sentiment.score));
        assert_eq!(post.ai_language_code, Some(want.language.code));
        assert_eq!(post.ai_tier.as_deref(), Some(tier.as_str()));
        assert_eq!(post.ai_analysis_version.as_deref(), Some(models::analysis::VERSION));
    }
    let profile = profile_of(system, handle).await;
    let facts = analysis::facts(system.db().read(), profile.id).await.unwrap();
    let derived = Aggregate::of(&facts, posts.len());
    assert_eq!(derived.differences(&Aggregate::stored(&profile)), []);
    assert!(profile.ai_profile_analyzed_at.is_some());
}

async fn analysis_jobs(system: &System) -> i64 {
    system.count("SELECT count(*) AS n FROM jobs WHERE kind = 'profile_analysis'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_ends_with_the_analysis_of_its_posts_and_shows_how_far_it_is() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(32);
    let system = with_posts(&oracle, 80).await;
    let client = system.as_user("ann").await;
    let refresh = client.post("/api/v1/instagram/profile/writer/refresh").await.expect(202);
    let id: Uuid = refresh.json["id"].as_str().unwrap().parse().unwrap();
    let child = analysis_of(&system, id).await;
    assert_eq!(child.progress_total, Some(80), "one step for each post");
    let child = system.job_when(child.id, "a chunk is stored", |job| job.progress_done > 0).await;
    assert_eq!((child.progress_done, child.stage.as_deref()), (32, Some("posts")));
    assert_eq!(analyzed(&system, "writer").await, 32, "what is counted is stored");
    let view = client.get(&format!("/api/v1/jobs/{id}")).await.expect(200).json;
    // Two stages of three, and 32 of the 80 posts of the last one.
    let progress = json!({ "done": 192, "total": 240, "percent": 80, "stage": "children" });
    assert_eq!(view["progress"], progress);
    oracle.release();
    let mut percents = vec![80];
    eventually("the fetch has ended", || async {
        let view = client.get(&format!("/api/v1/jobs/{id}")).await.expect(200).json;
        Some(view).filter(|view| view["done"] == true)
    })
    .await;
    let view = client.get(&format!("/api/v1/jobs/{id}")).await.expect(200).json;
    percents.extend(view["progress"]["percent"].as_i64());
    assert_eq!(percents, [80, 100]);
    assert_eq!(view["children"], json!({ "total": 1, "succeeded": 1, "failed": 0 }));
    let output: ProfileAnalyzed =
        serde_json::from_value(system.job(child.id).await.result.unwrap()).unwrap();
    assert_eq!((output.posts, output.analyzed, output.failed), (80, 80, vec![]));
    assert_eq!(output.tiers, [("lite".to_owned(), 80)].into());
    check(&system, "writer", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_the_progress_never_falls() {
    let oracle = Oracle::of(Tier::Lite);
    let system = with_posts(&oracle, 200).await;
    let fetch = fetch(&system, "writer").await;
    let shown = std::cell::RefCell::new(vec![]);
    eventually("the fetch has ended", || async {
        let seen =
            query::seen(system.db().read(), Viewer::Admin, &[fetch]).await.unwrap().remove(0);
        let view = api::view::progress(&seen);
        shown.borrow_mut().extend(view.percent);
        seen.job.state.is_done().then_some(())
    })
    .await;
    let shown = shown.into_inner();
    assert!(shown.is_sorted() && shown.last() == Some(&100), "{shown:?}");
    check(&system, "writer", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_analyses_only_what_a_lost_worker_left() {
    let (first, second) = (Oracle::of(Tier::Lite), Oracle::of(Tier::Lite));
    first.hold_after(32);
    // It never looks at its lease, like a process that was stopped.
    let builder = System::builder().models(first.engine());
    let builder = builder.engine(|engine| engine.renew_every = Duration::from_secs(100));
    let mut system = started(builder, 80).await;
    let fetch = fetch(&system, "writer").await;
    let job = analysis_of(&system, fetch).await;
    let run = system.job_when(job.id, "a chunk is stored", |job| job.progress_done == 32).await;
    eventually("the next chunk is asked for", || async {
        (first.asked().len() > 32).then_some(())
    })
    .await;
    let stored = |posts: &[post::Model]| -> BTreeSet<(Uuid, Time)> {
        posts.iter().filter_map(|post| Some((post.id, post.ai_analyzed_at?))).collect()
    };
    let kept = stored(&posts_of(&system, "writer").await);
    assert_eq!(kept.len(), 32);
    let over = "UPDATE workers SET lease_until = {now-?} WHERE id = ?";
    sql::execute(system.db().write(), over, args![1_i64, run.worker]).await.unwrap();
    system.job_when(job.id, "it is rescued", |job| job.lost == 1).await;
    system.set_models(second.engine());
    system.add_worker().await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.run), (JobState::Succeeded, 2));
    assert_eq!(system.finish(fetch).await.state, JobState::Succeeded);
    let asked: BTreeSet<String> = second.asked().into_iter().collect();
    assert_eq!((asked.len(), second.asked().len()), (48, 48), "each that was left, once");
    let posts = posts_of(&system, "writer").await;
    assert!(stored(&posts).is_superset(&kept), "what was stored before was not stored again");
    for post in posts.iter().filter(|post| kept.contains(&(post.id, post.ai_analyzed_at.unwrap())))
    {
        assert!(!asked.contains(&text_of(post)));
    }
    check(&system, "writer", Tier::Lite).await;
    // The first one wakes up with answers to what is somebody else's by now.
    first.release();
    system.stop_worker().await;
    assert_eq!(posts_of(&system, "writer").await, posts);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_caption_is_not_stored() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let system = System::builder().models(oracle.engine()).start().await;
    let before = captions(3);
    let mut after = before.clone();
    after[1] = "Not what it was".to_owned();
    after.push("And one more".to_owned());
    system.demo.script("writer", vec![account("writer", &before), account("writer", &after)]);
    let one = fetch(&system, "writer").await;
    let job = analysis_of(&system, one).await;
    eventually("the captions are read", || async { (!oracle.asked().is_empty()).then_some(()) })
        .await;
    let two = fetch_apart(&system, "writer", 1).await;
    assert_eq!(analysis_of(&system, two).await.id, job.id, "one analysis for both");
    oracle.release();
    for id in [one, two, job.id] {
        assert_eq!(system.finish(id).await.state, JobState::Succeeded);
    }
    let asked = oracle.asked();
    assert!(asked.contains(&before[1]) && asked.contains(&after[1]), "{asked:?}");
    let output: ProfileAnalyzed =
        serde_json::from_value(system.job(job.id).await.result.unwrap()).unwrap();
    assert_eq!((output.posts, output.analyzed), (4, 4));
    check(&system, "writer", Tier::Lite).await;
    assert_eq!(analysis_jobs(&system).await, 1);
    // Nothing is left to do: a further fetch starts none.
    let three = fetch(&system, "writer").await;
    assert_eq!(system.finish(three).await.state, JobState::Succeeded);
    assert_eq!(analysis_jobs(&system).await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_analysis_stops_at_once_and_keeps_what_it_stored() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(32);
    let system = with_posts(&oracle, 80).await;
    let fetch = fetch(&system, "writer").await;
    let job = analysis_of(&system, fetch).await;
    eventually("the next chunk is asked for", || async {
        (oracle.asked().len() > 32).then_some(())
    })
    .await;
    system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
    // The models still hold what was asked.
    assert_eq!(system.finish(job.id).await.state, JobState::Cancelled);
    let fetched = system.finish(fetch).await;
    assert_eq!(fetched.state, JobState::Succeeded, "a fetch does not fail with its analysis");
    let seen = query::seen(system.db().read(), Viewer::Admin, &[fetch]).await.unwrap();
    assert_eq!((seen[0].children.total, seen[0].children.failed), (1, 1), "but it shows");
    assert_eq!(analyzed(&system, "writer").await, 32);
    assert_eq!(profile_of(&system, "writer").await.ai_profile_analyzed_at, None);
    oracle.release();
    system.jobs.retry(job.id, None, "a test").await.unwrap();
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    check(&system, "writer", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_models_that_are_too_busy_comes_again() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let small = Settings { threads: 1, batch: 4, queue: 1, ..Settings::default() };
    let system = System::builder().models(oracle.engine_with(small)).start().await;
    system.demo.script("writer", vec![account("writer", &captions(12))]);
    let other: Vec<String> = captions(8).iter().map(|text| format!("{text}, elsewhere")).collect();
    system.demo.script("other", vec![account("other", &other)]);
    let first = fetch(&system, "writer").await;
    analysis_of(&system, first).await;
    eventually("the models are busy", || async { (!oracle.asked().is_empty()).then_some(()) })
        .await;
    let second = fetch(&system, "other").await;
    let job = analysis_of(&system, second).await;
    let waits = |job: &Model| job.state == JobState::Retrying;
    let refused = system.job_when(job.id, "it waits", waits).await;
    assert_eq!((refused.error_code.as_deref(), refused.attempt), (Some("overloaded"), 1));
    assert!(refused.run_at > system.now().await, "not before there may be room");
    oracle.release();
    for fetch in [first, second] {
        assert_eq!(system.finish(fetch).await.state, JobState::Succeeded);
    }
    check(&system, "writer", Tier::Lite).await;
    check(&system, "other", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caption_that_breaks_the_models_is_named_and_the_others_are_analysed() {
    let oracle = Oracle::of(Tier::Lite);
    let system = System::builder().models(oracle.engine()).start().await;
    let mut texts = captions(12);
    texts[5] = format!("{} in the middle", tests::oracle::POISON);
    system.demo.script("writer", vec![account("writer", &texts)]);
    let fetch = fetch(&system, "writer").await;
    let job = analysis_of(&system, fetch).await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt), (JobState::Succeeded, 1));
    let output: ProfileAnalyzed = serde_json::from_value(done.result.unwrap()).unwrap();
    assert_eq!((output.posts, output.analyzed), (12, 11));
    assert_eq!((output.failed.len(), output.failed[0].shortcode.as_str()), (1, "writer5"));
    assert!(output.failed[0].reason.contains("panicked"), "{:?}", output.failed);
    for post in posts_of(&system, "writer").await {
        let poisoned = post.shortcode == "writer5";
        assert_eq!(post.ai_analyzed_at.is_none(), poisoned);
        assert_eq!((post.ai_sentiment.is_none(), post.ai_tier.is_none()), (poisoned, poisoned));
    }
    let profile = profile_of(&system, "writer").await;
    let facts = analysis::facts(system.db().read(), profile.id).await.unwrap();
    assert_eq!((facts.len(), Aggregate::stored(&profile)), (11, Aggregate::of(&facts, 12)));
    system.finish(fetch).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_of_too_few_posts_fails_and_its_fetch_does_not() {
    let oracle = Oracle::of(Tier::Lite);
    let system = System::builder().models(oracle.engine()).start().await;
    let texts = ["fine", "poison one", "poison two"].map(str::to_owned);
    system.demo.script("writer", vec![account("writer", &texts)]);
    let fetch = fetch(&system, "writer").await;
    let job = analysis_of(&system, fetch).await;
    let failed = system.finish(job.id).await;
    assert_eq!((failed.state, failed.attempt), (JobState::Failed, 1), "again would not help");
    assert_eq!(failed.error_code.as_deref(), Some("incomplete"));
    assert!(failed.error_message.unwrap().starts_with("1 of 3 posts"));
    assert_eq!(system.finish(fetch).await.state, JobState::Succeeded);
    assert_eq!(analyzed(&system, "writer").await, 1);
    let profile = profile_of(&system, "writer").await;
    let facts = analysis::facts(system.db().read(), profile.id).await.unwrap();
    assert_eq!(
        Aggregate::stored(&profile),
        Aggregate::of(&facts, 3),
        "what there is, is summed up"
    );
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_tier_answers_again_and_a_lower_one_does_not() {
    let (rules, full) = (Oracle::of(Tier::Rules), Oracle::of(Tier::Full));
    let mut system = with_posts(&rules, 40).await;
    let fetch = fetch(&system, "writer").await;
    system.finish(fetch).await;
    check(&system, "writer", Tier::Rules).await;
    let profile = profile_of(&system, "writer").await.id;
    // Who insists on more than this worker has is told so.
    let full_only =
        ProfileAnalysis { model_set: Some(AiTier::Full), ..ProfileAnalysis::missing(profile) };
    let refused = system.jobs.submit(&full_only, &Options::default()).await.unwrap();
    let refused = system.finish(refused.id).await;
    assert_eq!(refused.state, JobState::Failed);
    assert_eq!(refused.error_code.as_deref(), Some("models_unavailable"));
    assert_eq!(refused.attempt, ProfileAnalysis::POLICY.max_attempts);
    system.stop_worker().await;
    system.set_models(full.engine());
    system.add_worker().await;
    let missing = ProfileAnalysis::missing(profile);
    let again = system.jobs.submit(&missing, &Options::default()).await.unwrap();
    assert_eq!(system.finish(again.id).await.state, JobState::Succeeded);
    check(&system, "writer", Tier::Full).await;
    assert_eq!(full.asked().len(), 40);
    // Nothing is missing any more, and nothing is asked.
    let nothing = system.jobs.submit(&missing, &Options::default()).await.unwrap();
    assert_eq!(system.finish(nothing.id).await.state, JobState::Succeeded);
    assert_eq!(full.asked().len(), 40);
    // A lower tier does not replace it, even if told to do everything again.
    system.stop_worker().await;
    system.set_models(rules.engine());
    system.add_worker().await;
    let posts = posts_of(&system, "writer").await;
    let everything = ProfileAnalysis { only_missing: false, ..missing };
    let lower = system.jobs.submit(&everything, &Options::default()).await.unwrap();
    assert_eq!(system.finish(lower.id).await.state, JobState::Succeeded);
    assert_eq!(posts_of(&system, "writer").await, posts);
    check(&system, "writer", Tier::Full).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_is_not_computed_twice_within_a_week() {
    let (first, second) = (Oracle::of(Tier::Lite), Oracle::of(Tier::Lite));
    let mut system = with_posts(&first, 12).await;
    for handle in ["twin", "triplet"] {
        system.demo.script(handle, vec![account(handle, &captions(12))]);
    }
    let one = fetch(&system, "writer").await;
    system.finish(one).await;
    assert_eq!(first.asked().len(), 12);
    system.stop_worker().await;
    // Another process, which has answered nothing yet.
    system.set_models(second.engine());
    system.add_worker().await;
    let two = fetch(&system, "twin").await;
    assert_eq!(system.finish(two).await.state, JobState::Succeeded);
    assert!(second.asked().is_empty(), "{:?}", second.asked());
    check(&system, "twin", Tier::Lite).await;
    let twin = posts_of(&system, "twin").await;
    let details = analysis::details(system.db().read(), twin[0].id).await.unwrap().unwrap();
    let told = &details["metadata"];
    assert_eq!((&told["remembered"], &told["processing_time_ms"]), (&json!(true), &Value::Null));
    let kept = "SELECT count(*) AS n FROM ai_answers";
    assert_eq!(system.count(kept).await, 12);
    system.advance(Duration::from_secs(7 * 24 * 3_600 - 60)).await;
    system.prune().await;
    assert_eq!(system.count(kept).await, 12);
    system.advance(Duration::from_secs(120)).await;
    system.prune().await;
    assert_eq!(system.count(kept).await, 0);
    let three = fetch(&system, "triplet").await;
    assert_eq!(system.finish(three).await.state, JobState::Succeeded);
    assert_eq!(second.asked().len(), 12);
    check(&system, "triplet", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fetches_of_one_profile_share_one_analysis() {
    let oracle = Oracle::of(Tier::Lite);
    oracle.hold_after(0);
    let system = with_posts(&oracle, 12).await;
    let mut fetches = vec![];
    for depth in 0..3 {
        let id = fetch_apart(&system, "writer", depth).await;
        analysis_of(&system, id).await;
        fetches.push(id);
    }
    assert_eq!(analysis_jobs(&system).await, 1);
    oracle.release();
    for fetch in fetches {
        assert_eq!(system.finish(fetch).await.state, JobState::Succeeded);
    }
    assert_eq!(analysis_jobs(&system).await, 1);
    check(&system, "writer", Tier::Lite).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_does_not_wait_for_an_analysis_that_nobody_begins() {
    let system = with_posts(&Oracle::of(Tier::Lite), 12).await;
    entity::queue_control::pause(system.db().write(), "ai", "a test", "").await.unwrap();
    let id = fetch(&system, "writer").await;
    let job = analysis_of(&system, id).await;
    system.advance(Duration::from_secs(24 * 3_600 - 60)).await;
    assert!(system.job(id).await.waits_for_children());
    system.advance(Duration::from_secs(120)).await;
    let failed = system.finish(job.id).await;
    assert_eq!(failed.error_code.as_deref(), Some("deadline"));
    assert_eq!(system.finish(id).await.state, JobState::Succeeded);
    entity::queue_control::resume(system.db().write(), "ai").await.unwrap();
    // The next fetch begins another one.
    let next = fetch(&system, "writer").await;
    assert_eq!(system.finish(next).await.state, JobState::Succeeded);
    check(&system, "writer", Tier::Lite).await;
    system.end().await;
}

/// Waits until the worker has said that this tier answers.
async fn says_it_serves(system: &System, tier: Tier) {
    eventually("the worker has said what it has", || async {
        let live = entity::worker::live(system.db().read()).await.unwrap();
        live[0].ai_state().filter(|state| state.serving.as_deref() == Some(tier.as_str()))
    })
    .await;
}

async fn scan(system: &System) -> ConsistencyScanned {
    let id = system.jobs.submit(&ConsistencyScan {}, &Options::default()).await.unwrap().id;
    let output = system.finish(id).await.result.unwrap();
    // The scan does not wait for what it starts.
    system.drain().await;
    serde_json::from_value(output).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_what_is_missing_lower_or_older_than_its_posts() {
    let (rules, full) = (Oracle::of(Tier::Rules), Oracle::of(Tier::Full));
    let builder = System::builder().models(rules.engine());
    let mut system =
        builder.engine(|engine| engine.renew_every = Duration::from_millis(50)).start().await;
    let handles = ["whole", "torn", "tampered"];
    for handle in handles {
        let texts: Vec<String> =
            captions(5).iter().map(|text| format!("{handle}: {text}")).collect();
        system.demo.script(handle, vec![account(handle, &texts)]);
        let id = fetch(&system, handle).await;
        system.finish(id).await;
    }
    says_it_serves(&system, Tier::Rules).await;
    let none = scan(&system).await;
    assert_eq!((none.profiles, none.started), (0, 0));
    let tear = "UPDATE posts SET ai_analyzed_at = NULL WHERE shortcode = 'torn3'";
    sql::execute(system.db().write(), tear, vec![]).await.unwrap();
    let older = "UPDATE profiles SET ai_profile_analyzed_at = {ai_profile_analyzed_at-?}, \
         ai_avg_sentiment_score = 0.5 WHERE username = 'tampered'";
    sql::execute(system.db().write(), older, args![60_000_i64]).await.unwrap();
    let two = scan(&system).await;
    assert_eq!((two.profiles, two.started), (2, 2));
    for handle in handles {
        check(&system, handle, Tier::Rules).await;
    }
    assert_eq!(scan(&system).await.profiles, 0);
    // A higher tier does everything again.
    system.stop_worker().await;
    system.set_models(full.engine());
    system.add_worker().await;
    says_it_serves(&system, Tier::Full).await;
    assert_eq!(scan(&system).await.started, 3);
    for handle in handles {
        check(&system, handle, Tier::Full).await;
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_models_nothing_waits_for_an_analysis() {
    let system = started(System::builder(), 12).await;
    let fetch = fetch(&system, "writer").await;
    assert_eq!(system.finish(fetch).await.state, JobState::Succeeded);
    assert_eq!((analysis_jobs(&system).await, analyzed(&system, "writer").await), (0, 0));
    let kinds = entity::worker::live_kinds(system.db().read()).await.unwrap();
    assert!(!kinds.iter().any(|kind| kind.ends_with("analysis")), "{kinds:?}");
    system.end().await;
}
