//! Pictures of creators: from the provider to the CDN, and what people see of them.

use std::collections::BTreeSet;

use entity::cdn_asset::{self, Asset};
use entity::enums::AssetStatus;
use jobs::Options;
use jobs::kinds::image_ingest::ImageIngest;
use jobs::storage::StorageError;
use serde_json::Value;
use serde_json::json;
use tests::bucket::Bucket;
use tests::pictures::{PictureHost, Shown};
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{fetched, id_of, posts, profile, refresh, submit};

fn media(creator: &str) -> String {
    format!("/api/v1/creators/ig/{creator}/media")
}

/// Looks at the pictures again; returns the ended job.
async fn rechecked(system: &System, client: &Client, creator: &str) -> Value {
    let answer = client.post(&format!("{}/refresh", media(creator))).await.expect(202);
    let id = id_of(&answer.json);
    system.finish(id).await;
    client.get(&format!("/api/v1/jobs/{id}")).await.expect(200).json
}

/// An address of the CDN as a path of the front door.
fn on_cdn(url: &Value) -> String {
    let url = url.as_str().expect("an address");
    url.strip_prefix("https://cdn.example.test").expect("an address of our CDN").to_owned()
}

async fn assets(system: &System, view: &Value) -> Vec<Asset> {
    let id: Uuid = view["profile_id"].as_str().unwrap().parse().unwrap();
    cdn_asset::of_profile(system.db().read(), id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_creator_is_on_the_cdn_and_a_second_fetch_writes_nothing() {
    let system = System::builder().pictures().start().await;
    let dana = system.as_user("dana").await;
    let fetch = fetched(&system, &dana, "demo_travel").await;
    assert_eq!(fetch["state"], "succeeded");
    assert_eq!(fetch["children"]["succeeded"], 1, "the job waits for its pictures: {fetch}");
    assert_eq!(fetch["progress"]["percent"], 100);

    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    let status = &view["processing_status"];
    assert_eq!((&status["total_assets"], &status["completed_assets"]), (&13.into(), &13.into()));
    assert_eq!((&status["completion_percentage"], &status["queued"]), (&100.into(), &false.into()));
    let shown = view["posts"].as_array().unwrap();
    assert_eq!(shown.len(), 12);
    let thumbs = shown.iter().map(|post| &post["thumb"]).chain([&view["avatar"]]);
    let mut seen = BTreeSet::new();
    for thumb in thumbs {
        for size in ["256", "512"] {
            let path = on_cdn(&thumb[size]);
            let (answer, bytes) = system.api().bytes(&path).await;
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-type"), Some("image/webp"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
            assert!(bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WEBP");
            let tag = answer.header("etag").unwrap().to_owned();
            let again = system.api().with("if-none-match", &tag).get(&path).await.expect(304);
            assert_eq!(again.header("etag"), Some(tag.as_str()));
            let (part, some) = system.api().with("range", "bytes=8-11").bytes(&path).await;
            assert_eq!(
                (part.expect(206).header("content-length"), &some[..]),
                (Some("4"), &b"WEBP"[..])
            );
            seen.insert(path);
        }
    }
    assert_eq!(seen.len(), 26);

    // What the existing client reads.
    let page = dana.get(&profile("demo_travel")).await.expect(200).json;
    assert_eq!(page["profile_pic_url"], view["avatar"]["256"]);
    assert_eq!(page["cdn_urls"]["avatar_512"], view["avatar"]["512"]);
    assert_eq!(page["posts"][0]["display_url"], shown[0]["thumb"]["512"]);
    assert_eq!(page["posts"][0]["cdn_urls"], shown[0]["thumb"]);
    let list = dana.get(&posts("demo_travel")).await.expect(200).json;
    assert_eq!(list["items"][0]["cdn_urls"], shown[0]["thumb"]);
    assert!(!page.to_string().contains(&system.demo.base_url()), "no address of the provider's");

    let before = written(&system);
    let again = fetched(&system, &dana, "demo_travel").await;
    assert_eq!(again["state"], "succeeded");
    assert_eq!(again["children"]["total"], 0, "the same pictures are not asked for again");
    let page = dana.get(&profile("demo_travel")).await.expect(200);
    let looked = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(looked["result"]["unchanged"], 13, "{looked}");
    assert_eq!(looked["result"]["stored"], 0);
    let again = dana.get(&profile("demo_travel")).await.expect(200);
    assert_eq!(again.header("etag"), page.header("etag"), "the page is what it was");
    assert_eq!(written(&system), before, "nothing was written");
    system.end().await;
}

/// Every file of the storage with the moment it was written.
fn written(system: &System) -> Vec<(String, std::time::SystemTime)> {
    let mut folders = vec![system.path("objects/th")];
    let mut files = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, meta) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), meta.modified().unwrap()));
            }
        }
    }
    files.sort();
    assert_eq!(files.len(), 26);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_the_avatar_is_shown_and_nothing_else() {
    let system = System::builder().pictures().start().await;
    fetched(&system, &system.as_user("dana").await, "demo_fitness").await;
    let emil = system.as_user("emil").await;
    let view = emil.get(&media("demo_fitness")).await.expect(200).json;
    assert_eq!(
        (&view["avatar"]["available"], view["posts"].as_array().unwrap().len()),
        (&true.into(), 0)
    );
    emil.post(&format!("{}/refresh", media("demo_fitness"))).await.expect_problem(403, "no_access");
    system.api().get(&media("demo_fitness")).await.expect_problem(401, "not_authenticated");
    // By id, too; unknown ones are told apart.
    let id = view["profile_id"].as_str().unwrap();
    assert_eq!(emil.get(&media(id)).await.expect(200).json["username"], "demo_fitness");
    emil.get(&media(&Uuid::now_v7().to_string())).await.expect_problem(404, "profile_not_found");
    emil.get(&media("demo_unknown")).await.expect_problem(404, "profile_not_fetched");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn until_a_picture_is_there_a_placeholder_is_and_it_is_one() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    assert_eq!(view["processing_status"]["completion_percentage"], Value::Null, "none is known");
    for shown in [&view["avatar"], &view["posts"][0]] {
        assert_eq!(shown["available"], false);
        let (answer, bytes) = system.api().bytes(&on_cdn(&shown["placeholder"])).await;
        assert_eq!(answer.expect(200).header("content-type"), Some("image/webp"));
        assert!(bytes.starts_with(b"RIFF"));
    }
    let nothing = dana.post(&format!("{}/refresh", media("demo_travel"))).await;
    nothing.expect_problem(409, "no_pictures");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_address_has_the_profile_fetched_again_and_only_once() {
    let system = System::builder().pictures().start().await;
    let dana = system.as_user("dana").await;
    let fetch = submit(&dana, "demo_food").await;
    system.drain().await;
    assert_eq!(system.job(fetch).await.state.as_str(), "succeeded");
    let view = dana.get(&media("demo_food")).await.expect(200).json;
    let failed: Vec<Asset> = assets(&system, &view)
        .await
        .into_iter()
        .filter(|asset| asset.processing_status == AssetStatus::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{view}");
    assert_eq!(failed[0].processing_error_code.as_deref(), Some("source_expired"));
    let of = "SELECT count(*) AS n FROM jobs WHERE kind = 'profile_fetch'";
    assert_eq!(system.count(of).await, 2, "the one that was asked for, and one more");
    assert_eq!(system.demo.calls_for("demo_food"), 2);
    assert_eq!(view["processing_status"]["failed_assets"], 1);
    assert_eq!(view["processing_status"]["completed_assets"], 12);
    let code = view["posts"].as_array().unwrap().iter().find(|post| post["available"] == false);
    assert_eq!(code.unwrap()["reason"], "source_expired");
    system.end().await;
}

/// Points a picture of the creator somewhere else, as another answer of the provider would.
async fn point(system: &System, asset: Uuid, url: &str) {
    let text = "UPDATE cdn_image_assets SET source_url = ?, source_path = ?, source_etag = NULL, \
         source_last_modified = NULL, needs_update = true WHERE id = ?";
    let args = entity::args![url, url, asset];
    entity::sql::execute(system.db().write(), text, args).await.unwrap();
}

/// A picture of one colour.
fn jpeg(colour: [u8; 3]) -> Vec<u8> {
    let (side, mut bytes) = (640_u16, vec![]);
    let pixels: Vec<u8> =
        colour.iter().copied().cycle().take(usize::from(side) * usize::from(side) * 3).collect();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 85);
    encoder.encode(&pixels, side, side, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_do_ends_in_a_word_for_each_picture_and_the_others_go_on() {
    let host = PictureHost::start().await;
    let system = System::builder().pictures().allow(host.at).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    let assets_before = assets(&system, &view).await;
    let lie = vec![("content-type", "image/jpeg".to_owned())];
    let cases: Vec<(&str, Shown, &str)> = vec![
        ("/good.jpg", Shown::picture(jpeg([200, 30, 30])), ""),
        ("/gone.jpg", Shown::status(404), "source_gone"),
        ("/refused.jpg", Shown::status(401), "source_refused"),
        (
            "/html.jpg",
            Shown::Bytes(200, lie.clone(), b"<!DOCTYPE html><html>".to_vec()),
            "unsupported_format",
        ),
        (
            "/svg.jpg",
            Shown::Bytes(200, lie.clone(), b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
            "unsupported_format",
        ),
        ("/text.jpg", Shown::Bytes(200, lie.clone(), b"hello".to_vec()), "not_an_image"),
        ("/empty.jpg", Shown::Bytes(200, lie.clone(), vec![]), "empty_image"),
        ("/cut.jpg", Shown::picture(jpeg([1, 2, 3])[..2_000].to_vec()), "corrupt_image"),
        ("/endless.jpg", Shown::Endless, "image_too_large"),
        (
            "/lying.jpg",
            Shown::Bytes(200, vec![("content-length", "99999999999".to_owned())], vec![0xff]),
            "image_too_large",
        ),
        (
            "/inside.jpg",
            Shown::Bytes(302, vec![("location", "http://169.254.169.254/".to_owned())], vec![]),
            "address_refused",
        ),
        (
            "/round.jpg",
            Shown::Bytes(302, vec![("location", "/round.jpg".to_owned())], vec![]),
            "source_redirects",
        ),
        (
            "/avif.jpg",
            Shown::Bytes(200, lie, b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf".to_vec()),
            "unsupported_format",
        ),
    ];
    for (asset, (path, shown, _)) in assets_before.iter().zip(&cases) {
        point(&system, asset.id, &host.show(path, shown.clone())).await;
    }
    let done = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["result"]["stored"], 1);
    let after = assets(&system, &view).await;
    for ((before, after), (path, _, code)) in assets_before.iter().zip(&after).zip(&cases) {
        assert_eq!(after.processing_error_code.as_deref().unwrap_or(""), *code, "{path}");
        assert_eq!(after.processing_status, AssetStatus::Completed, "{path}: what there was stays");
        assert_eq!(before.keys() == after.keys(), !code.is_empty(), "{path}");
        assert!(!after.is_due(), "{path}: nobody tries for ever");
    }
    let visits = cases.iter().map(|(path, ..)| host.visits(path)).collect::<Vec<_>>();
    assert!(
        visits.iter().enumerate().all(|(n, v)| *v == if n == 11 { 6 } else { 1 }),
        "{visits:?}"
    );
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_is_asked_again_and_then_given_up() {
    let host = PictureHost::start().await;
    let system = System::builder().pictures().allow(host.at).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    let one = assets(&system, &view).await.remove(0);
    point(&system, one.id, &host.show("/away.jpg", Shown::status(503))).await;
    let done = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(host.visits("/away.jpg"), 3, "once in each attempt: {done}");
    assert_eq!(done["result"]["failed"][0]["code"], "source_unavailable");
    assert_eq!(done["attempt"], 3);
    // Back again, and with a tag: made once, then only asked about.
    let tagged = vec![("etag", "\"one\"".to_owned())];
    let shown = Shown::Bytes(200, tagged, jpeg([30, 200, 30]));
    point(&system, one.id, &host.show("/away.jpg", shown)).await;
    let done = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(done["result"]["stored"], 1, "{done}");
    let done = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(done["result"]["unchanged"], 13, "{done}");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_picture_whose_new_address_has_expired_has_the_profile_fetched_too() {
    let host = PictureHost::start().await;
    let system = System::builder().pictures().allow(host.at).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    let one = assets(&system, &view).await.remove(0);
    point(&system, one.id, &host.show("/expired.jpg", Shown::status(410))).await;
    // Alone, so that nothing else succeeds.
    let job = ImageIngest::of(one.profile_id, vec![one.id]);
    let id = system.jobs.submit(&job, &Options::default()).await.unwrap().id;
    let ended = system.finish(id).await;
    assert_eq!(ended.result.unwrap()["refetched"], 1);
    system.drain().await;
    let of = "SELECT count(*) AS n FROM jobs WHERE kind = 'profile_fetch'";
    assert_eq!(system.count(of).await, 2);
    let after = assets(&system, &view).await.remove(0);
    assert_eq!((after.keys(), after.is_due()), (one.keys(), false), "what there was stays");
    assert_eq!(after.processing_error_code, None, "the provider's address is good again");
    let made = |asset: &Asset| asset.processing_completed_at;
    assert_eq!(made(&after), made(&one), "the same bytes are not made into thumbnails again");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pictures_are_served_below_cdn() {
    let system = System::start().await;
    std::fs::write(system.path("secret"), "hush").unwrap();
    for path in [
        "/cdn/",
        "/cdn/th/",
        "/cdn/../secret",
        "/cdn/th/../../secret",
        "/cdn/th/%2e%2e/secret",
        "/cdn/exports/a.csv",
        "/cdn/placeholders/1/nothing.webp",
        "/cdn/th/ig/x/y/256/0123456789abcdef.webp",
    ] {
        system.api().get(path).await.expect_problem(404, "no_such_picture");
    }
    system.api().post("/cdn/th/a").await.expect_problem(405, "method_not_allowed");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cdn_in_numbers_and_what_operators_can_have_done() {
    let system = System::builder().pictures().start().await;
    let (dana, admin) = (system.as_user("dana").await, system.as_user("admin").await);
    fetched(&system, &dana, "demo_food").await;
    system.drain().await;
    for path in ["health", "metrics", "queue/status", "statistics", "processing-status"] {
        dana.get(&format!("/api/v1/cdn/{path}")).await.expect(200);
        system.api().get(&format!("/api/v1/cdn/{path}")).await.expect(401);
    }
    let health = dana.get("/api/v1/cdn/health").await.json;
    assert_eq!((&health["status"], &health["storage"]), (&"ok".into(), &true.into()));
    let work = dana.get("/api/v1/cdn/statistics?hours=2").await.json;
    assert_eq!(work["total"]["images_stored"], 12, "{work}");
    assert_eq!(work["total"]["images_failed"], 1);
    assert_eq!(work["total"]["error_categories"]["source_expired"], 1);
    assert!(work["total"]["avg_processing_ms"].as_f64().unwrap() > 0.0);
    dana.get("/api/v1/cdn/statistics?hours=0").await.expect_problem(400, "invalid_input");

    for path in ["cdn/sync-existing-profiles", "admin/cdn/retry-failed", "admin/cdn/cleanup-jobs"] {
        let path = format!("/api/v1/{path}");
        dana.post(&path).await.expect_problem(403, "operators_only");
        let id = id_of(&admin.post(&path).await.expect(202).json);
        system.finish(id).await;
        system.drain().await;
    }
    let failed = admin.get("/api/v1/admin/cdn/failed-jobs").await.expect(200).json;
    assert_eq!(
        (&failed["total"], &failed["items"][0]["error_code"]),
        (&1.into(), &"source_expired".into())
    );
    assert_eq!(admin.get("/api/v1/admin/cdn/metrics").await.expect(200).json["objects"], 24);
    let none = admin.post(&refresh("demo_missing")).await.expect(202);
    system.finish(id_of(&none.json)).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_the_same_pictures_and_files_and_is_read_back() {
    let bucket = Bucket::start().await;
    let system = System::builder().pictures().storage(bucket.storage()).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    assert_eq!(view["processing_status"]["completion_percentage"], 100, "{view}");
    for asset in assets(&system, &view).await {
        for key in asset.keys().unwrap() {
            let stored = std::fs::read(bucket.path(key)).unwrap();
            let (answer, bytes) = system.api().bytes(&format!("/cdn/{key}")).await;
            answer.expect(200);
            assert_eq!(stored, bytes);
            let hash = jobs::storage::sha256_hex(&stored);
            assert!(key.ends_with(&format!("/{}.webp", &hash[..16])), "{key} names its content");
        }
    }
    let looked = rechecked(&system, &dana, "demo_travel").await;
    assert_eq!(looked["result"]["unchanged"], 13);
    let body = json!({"usernames": ["demo_travel"], "include": ["posts"], "format": "csv"});
    let id = id_of(&dana.post_json("/api/export", body).await.expect(202).json);
    system.finish(id).await;
    let export = dana.get(&format!("/api/export/{id}")).await.expect(200).json;
    let link = export["download_url"].as_str().unwrap();
    let (part, bytes) = system.api().with("range", "bytes=0-7").bytes(link).await;
    part.expect(206);
    assert_eq!(bytes, b"username");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_our_keys_says_so_and_nothing_counts_as_stored() {
    let bucket = Bucket::start().await;
    let wrong = bucket.storage_with("another-secret");
    let error = wrong.put_placeholders().await.unwrap_err();
    assert!(matches!(error, StorageError::Refused(_)), "{error}");
    let system = System::builder().pictures().storage(wrong).start().await;
    let dana = system.as_user("dana").await;
    let fetch = fetched(&system, &dana, "demo_travel").await;
    assert_eq!(fetch["state"], "succeeded", "the profile is there all the same");
    let view = dana.get(&media("demo_travel")).await.expect(200).json;
    assert_eq!(view["processing_status"]["completed_assets"], 0);
    assert_eq!(view["avatar"]["reason"], "storage_refused");
    assert!(!bucket.path("th").exists());
    system.end().await;
}
