//! Recorded provider answers through the whole job. The snapshots hold no third-party text:
//! what is long, an address or a document is shown as its length and the head of its hash.

use std::path::Path;

use entity::sql::{self, Arg};
use entity::{args, post, profile as profiles, related_profile};
use insta::assert_json_snapshot;
use sea_orm::{EntityTrait, Iterable, ModelTrait, Value as Cell};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tests::{System, recorded_dir};

use crate::common::{fetched, id_of, job, profile};

/// Longest code, id or handle that is shown as it is; all that reads like text is digested.
const SHORT: usize = 24;

const OURS: [&str; 9] = [
    "id",
    "profile_id",
    "created_at",
    "updated_at",
    "last_refreshed",
    "posts_refreshed_at",
    "discovered_at",
    "ai_profile_analyzed_at",
    "ai_analyzed_at",
];

fn digest(len: usize, text: &str) -> Value {
    let hash = Sha256::digest(text.as_bytes());
    let head = hash.iter().take(6).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    json!({ "len": len, "sha256": format!("{head:012x}") })
}

/// The same text on every database and however the keys are kept.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields = fields.iter().map(|(name, v)| format!("{name:?}:{}", canonical(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn words(text: &str) -> Value {
    let len = text.chars().count();
    let code = text.chars().all(|c| c.is_ascii_graphic()) && !text.contains("://");
    if code && len <= SHORT { json!(text) } else { digest(len, text) }
}

fn cell(value: Cell) -> Value {
    match value {
        Cell::Bool(v) => json!(v),
        Cell::Int(v) => json!(v),
        Cell::BigInt(v) => json!(v),
        Cell::Double(v) => json!(v.map(|v| (v * 1e6).round() / 1e6)),
        Cell::String(Some(text)) => words(&text),
        Cell::String(None) | Cell::Json(None) => Value::Null,
        Cell::Json(Some(value)) => match value.as_array() {
            Some(items) if items.is_empty() => json!([]),
            Some(items) => digest(items.len(), &canonical(&value)),
            None => digest(canonical(&value).len(), &canonical(&value)),
        },
        other => panic!("no mapped column is a {other:?}"),
    }
}

/// Every mapped column of a row.
fn row<M: ModelTrait>(model: &M) -> Value
where
    <M::Entity as EntityTrait>::Column: Iterable,
{
    use sea_orm::IdenStatic;
    let columns = <M::Entity as EntityTrait>::Column::iter().map(|column| {
        let name = column.as_str().to_owned();
        let value = model.get(column);
        let hide = OURS.contains(&name.as_str()) && !matches!(value, Cell::BigInt(None));
        let shown = if hide { json!(format!("[{name}]")) } else { cell(value) };
        (name, shown)
    });
    Value::Object(columns.collect::<Map<_, _>>())
}

fn related(row: &related_profile::Related) -> Value {
    let Value::Object(fields) = serde_json::to_value(row).unwrap() else { panic!("an object") };
    let shown = fields.into_iter().map(|(name, value)| match value.as_str() {
        Some(text) => (name, words(text)),
        None => (name, value),
    });
    Value::Object(shown.collect())
}

/// What is stored about a creator.
struct Stored {
    profile: profiles::Model,
    posts: Vec<post::Model>,
    related: Vec<related_profile::Related>,
}

impl Stored {
    async fn of(system: &System, handle: &str) -> Self {
        let db = system.db().read();
        let profile = profiles::by_username(db, handle).await.unwrap().expect("a stored profile");
        let mut posts = post::page(db, profile.id, None, 1_000).await.unwrap();
        // Posts of one moment stand in no order of their own.
        posts.sort_by_key(|post| {
            (std::cmp::Reverse(post.taken_at_timestamp), post.shortcode.clone())
        });
        let related = related_profile::of(db, profile.id).await.unwrap();
        Self { profile, posts, related }
    }

    fn rows(&self) -> Value {
        json!({
            "profiles": row(&self.profile),
            "posts": self.posts.iter().map(row).collect::<Vec<_>>(),
            "related_profiles": self.related.iter().map(related).collect::<Vec<_>>(),
        })
    }
}

async fn raw(system: &System, table: &str, column: &str, arg: Arg) -> Value {
    let select = format!("SELECT raw_data FROM {table} WHERE {column} = ?");
    let rows = sql::rows(system.db().read(), &select, args![arg]).await.unwrap();
    rows[0].try_get::<Value>("", "raw_data").unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

async fn check(system: &System, stored: &Stored, user: &Value) {
    let profile = &stored.profile;
    let name = profile.username.as_str();
    assert!(!profile.partial, "{name}");
    assert_eq!(profile.instagram_user_id.as_deref(), user["id"].as_str(), "{name}");
    for (count, key) in [
        (profile.followers_count, "edge_followed_by"),
        (profile.following_count, "edge_follow"),
        (profile.posts_count, "edge_owner_to_timeline_media"),
    ] {
        assert_eq!(count, user[key]["count"].as_i64(), "{name}: {key}");
    }
    for (text, key) in [
        (&profile.full_name, "full_name"),
        (&profile.biography, "biography"),
        (&profile.external_url, "external_url"),
        (&profile.profile_pic_url, "profile_pic_url"),
        (&profile.profile_pic_url_hd, "profile_pic_url_hd"),
    ] {
        assert_eq!(text.as_deref(), user[key].as_str(), "{name}: {key}");
    }
    for (flag, key) in [
        (profile.is_verified, "is_verified"),
        (profile.is_private, "is_private"),
        (profile.is_business_account, "is_business_account"),
        (profile.is_professional_account, "is_professional_account"),
    ] {
        assert_eq!(flag, user[key].as_bool(), "{name}: {key}");
    }
    assert_ne!(profile.category.as_deref(), Some("None"), "{name}");
    assert_ne!(profile.instagram_business_category.as_deref(), Some("None"), "{name}");
    assert_eq!(&raw(system, "profiles", "id", profile.id.into()).await, user, "{name}");

    let edges = user["edge_owner_to_timeline_media"]["edges"].as_array().unwrap();
    assert_eq!(stored.posts.len(), edges.len(), "{name}");
    for node in edges.iter().map(|edge| &edge["node"]) {
        let code = node["shortcode"].as_str().unwrap();
        let post = stored.posts.iter().find(|post| post.shortcode == code).unwrap();
        check_post(post, node, code);
        assert_eq!(&raw(system, "posts", "id", post.id.into()).await, node, "{code}");
    }
    let related = user["edge_related_profiles"]["edges"].as_array().map_or(0, Vec::len);
    assert_eq!(stored.related.len(), related.min(15), "{name}");
    check_scores(stored);
}

fn check_post(post: &post::Model, node: &Value, code: &str) {
    let likes = node["edge_liked_by"]["count"].as_i64();
    let likes = likes.or(node["edge_media_preview_like"]["count"].as_i64());
    let caption = node.pointer("/edge_media_to_caption/edges/0/node/text");
    for (number, said) in [
        (post.likes_count, likes),
        (post.comments_count, node["edge_media_to_comment"]["count"].as_i64()),
        (post.video_view_count, node["video_view_count"].as_i64()),
        (post.taken_at_timestamp, node["taken_at_timestamp"].as_i64()),
        (post.posted_at.map(|at| at.0 / 1_000), node["taken_at_timestamp"].as_i64()),
        (post.width, node["dimensions"]["width"].as_i64()),
        (post.height, node["dimensions"]["height"].as_i64()),
        (post.video_duration, None),
    ] {
        assert_eq!(number, said, "{code}");
    }
    for (text, said) in [
        (&post.caption, caption.and_then(Value::as_str)),
        (&post.instagram_post_id, node["id"].as_str()),
        (&post.media_type, node["__typename"].as_str()),
        (&post.display_url, node["display_url"].as_str()),
        (&post.location_name, node["location"]["name"].as_str()),
    ] {
        assert_eq!(text.as_deref(), said, "{code}");
    }
    assert_eq!(post.is_video, node["is_video"].as_bool(), "{code}");
    let children = node["edge_sidecar_to_children"]["edges"].as_array();
    assert_eq!(post.carousel_media_count, children.map(|c| c.len() as i64), "{code}");
    let tags = caption.and_then(Value::as_str).unwrap_or_default().contains('#');
    assert!(tags || post.hashtags == json!([]), "{code}: hashtags out of nothing");
}

/// The figures of provider.md 4, computed again from the rows.
fn check_scores(stored: &Stored) {
    let name = &stored.profile.username;
    let followers = stored.profile.followers_count.unwrap_or(0) as f64;
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-6,
        (a, b) => a.is_none() && b.is_none(),
    };
    let mean = |numbers: &[f64]| {
        (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
    };
    let mut rates = vec![];
    for post in &stored.posts {
        let (Some(likes), Some(comments)) = (post.likes_count, post.comments_count) else {
            continue;
        };
        let views = post.video_view_count.filter(|_| post.is_video == Some(true)).unwrap_or(0);
        let rate = (likes + comments + views) as f64 / followers * 100.0;
        let rate = ((rate * 1e4).round() / 1e4).min(1_000.0);
        assert!(near(post.engagement_rate, Some(rate)), "{}: {rate}", post.shortcode);
        if rate > 0.0 {
            rates.push(rate);
        }
    }
    assert!(near(stored.profile.engagement_rate, mean(&rates)), "{name}");
    let likes: Vec<f64> =
        stored.posts.iter().filter_map(|p| p.likes_count).map(|n| n as f64).collect();
    assert!(near(stored.profile.avg_likes, mean(&likes)), "{name}");
    let newest = stored.posts.iter().filter_map(|p| p.taken_at_timestamp).max();
    assert_eq!(stored.profile.last_post_at.map(|at| at.0 / 1_000), newest, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_profile_is_stored_as_it_says() {
    let Some(dir) = recorded_dir() else { return };
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "the folder holds no recorded profile");
    let system = System::builder().recorded(dir.clone()).start().await;
    let dana = system.as_user("dana").await;
    for name in names {
        let view = fetched(&system, &dana, &name).await;
        assert_eq!(view["state"], "succeeded", "{view}");
        let file = read(&dir.join(format!("{name}.json")));
        let user = file.pointer("/results/0/content/data/user").unwrap();
        let stored = Stored::of(&system, &name).await;
        check(&system, &stored, user).await;
        assert_eq!(view["result"]["posts_stored"], stored.posts.len());
        assert_eq!(system.demo.calls_for(&name), 1, "{name}");
        assert_json_snapshot!(name.as_str(), stored.rows());
        let shown = dana.get(&profile(&name)).await.expect(200);
        assert!(!shown.text.contains("cdninstagram"), "a hot link to {name}'s pictures");
    }
    let others = "SELECT count(*) AS n FROM related_profiles \
         WHERE relationship_type <> 'suggested' OR source <> 'decodo'";
    assert_eq!(system.count(others).await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_resort_gives_a_partial_profile() {
    let Some(dir) = recorded_dir() else { return };
    let file = read(&dir.join("other_targets/nba_instagram_profile.json"));
    let content = file.pointer("/data/content").unwrap();
    let system = System::builder().recorded(dir).start().await;
    let dana = system.as_user("dana").await;
    let view = fetched(&system, &dana, "nba").await;
    assert_eq!(view["state"], "succeeded", "{view}");
    let stored = Stored::of(&system, "nba").await;
    let row = &stored.profile;
    assert!(row.partial);
    assert_eq!(row.followers_count, Some(76_500_000));
    assert_eq!(row.following_count, Some(1_108));
    assert_eq!(row.posts_count, Some(56_793));
    assert_eq!((row.is_verified, row.is_private), (Some(true), None));
    assert_eq!(row.instagram_user_id, None);
    assert_eq!(row.biography.as_deref(), content["biography"]["description"].as_str());
    assert_eq!(stored.posts.len(), content["posts"].as_array().unwrap().len());
    assert!(stored.posts.iter().all(|p| p.likes_count.is_none() && p.engagement_rate.is_none()));
    assert_eq!(row.engagement_rate, None);
    assert_eq!(system.demo.calls_for("nba"), 5, "the fifth step of the ladder");
    assert_json_snapshot!("nba", stored.rows());
    let shown = dana.get(&profile("nba")).await.expect(200).json;
    assert_eq!((&shown["partial"], &shown["follower_band"]), (&json!(true), &json!("10M+")));
    // Without times the answer's own order, newest first, is the order.
    for (place, said) in content["posts"].as_array().unwrap().iter().enumerate() {
        let code = shown["posts"][place]["shortcode"].as_str().unwrap();
        assert!(said["href"].as_str().unwrap().contains(code), "{place}: {code}");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_errors_end_in_their_class() {
    let Some(dir) = recorded_dir() else { return };
    let system = System::builder().recorded(dir).start().await;
    let dana = system.as_user("dana").await;
    for (handle, code, status, outcome, calls) in [
        ("error_unauthorized", "auth_broken", 503, "auth", 1),
        ("error_task_failed_613", "provider_unavailable", 503, "instability", 10),
        ("error_task_pending", "provider_unavailable", 503, "instability", 10),
    ] {
        let view = fetched(&system, &dana, handle).await;
        assert_eq!(view["error"]["code"], code, "{view}");
        let id = id_of(&view);
        dana.get(&job(id, "/result")).await.expect_problem(status, code);
        let stored = system.job(id).await.calls;
        let stored = stored.as_array().unwrap();
        assert_eq!(stored.len(), calls, "{handle}");
        assert!(stored.iter().all(|call| call["outcome"] == outcome), "{handle}: {stored:?}");
        assert_eq!(system.demo.calls_for(handle), calls);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_rate_limit_is_waited_out_and_then_given_up() {
    let Some(dir) = recorded_dir() else { return };
    let system = System::builder().recorded(dir).start().await;
    let dana = system.as_user("dana").await;
    let view = fetched(&system, &dana, "error_rate_limit").await;
    assert_eq!(view["error"]["code"], "provider_unavailable", "{view}");
    let calls = system.job(id_of(&view)).await.calls;
    let calls = calls.as_array().unwrap();
    assert!(calls.iter().all(|call| call["outcome"] == "rate_limited"), "{calls:?}");
    assert_eq!(calls.len(), 10);
    system.end().await;
}
