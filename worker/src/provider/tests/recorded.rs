//! Recorded answers, compared with what their own JSON says. Skipped where the folder is absent.

use std::path::PathBuf;

use super::super::answer::{Answer, read};
use super::*;

#[allow(clippy::disallowed_methods, reason = "names a folder of test data, not a setting")]
fn folder() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/provider");
    let folder =
        std::env::var("FARM_RECORDED_DIR").map_or_else(|_| PathBuf::from(default), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("recorded answers are not at {}: test skipped", folder.display());
    None
}

fn load(path: &std::path::Path) -> (Vec<u8>, Value) {
    let bytes = std::fs::read(path).unwrap();
    let json = serde_json::from_slice(&bytes).unwrap();
    (bytes, json)
}

fn found(bytes: &[u8], handle: &str) -> FetchedProfile {
    match read(bytes, handle) {
        Answer::Found(profile) => *profile,
        other => panic!("{handle}: {:?}", other.outcome()),
    }
}

#[test]
fn every_recorded_profile_maps_to_what_it_says() {
    let Some(folder) = folder() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (bytes, json) = load(&path);
        let user = json.pointer("/results/0/content/data/user").unwrap();
        let profile = found(&bytes, "asked");
        assert_eq!(profile.username, name);
        assert_eq!(profile.instagram_user_id.as_deref(), user["id"].as_str(), "{name}");
        let counts = [profile.followers_count, profile.following_count, profile.posts_count];
        let said = ["edge_followed_by", "edge_follow", "edge_owner_to_timeline_media"]
            .map(|key| user[key]["count"].as_i64());
        assert_eq!(counts, said, "{name}");
        assert_eq!(profile.full_name.as_deref(), user["full_name"].as_str(), "{name}");
        assert_eq!(profile.biography.as_deref(), user["biography"].as_str(), "{name}");
        assert_eq!(profile.external_url.as_deref(), user["external_url"].as_str(), "{name}");
        assert_eq!(profile.profile_pic_url.as_deref(), user["profile_pic_url"].as_str(), "{name}");
        assert_eq!(profile.is_verified, user["is_verified"].as_bool(), "{name}");
        assert_eq!(profile.is_private, Some(false), "{name}");
        assert_eq!(profile.is_business_account, user["is_business_account"].as_bool(), "{name}");
        assert!(!profile.partial, "{name}");
        assert_eq!(&profile.raw, user, "{name}");
        let edges = user["edge_owner_to_timeline_media"]["edges"].as_array().unwrap();
        assert_eq!(profile.posts.len(), edges.len(), "{name}");
        for (post, edge) in profile.posts.iter().zip(edges) {
            check_post(post, &edge["node"]);
        }
        let related = user["edge_related_profiles"]["edges"].as_array().map_or(0, Vec::len);
        assert_eq!(profile.related.len(), related.min(15), "{name}");
        seen += 1;
    }
    assert!(seen > 0, "the folder holds no recorded profile");
}

fn check_post(post: &FetchedPost, node: &Value) {
    let code = node["shortcode"].as_str().unwrap();
    assert_eq!(post.shortcode, code);
    assert_eq!(post.instagram_post_id.as_deref(), node["id"].as_str(), "{code}");
    assert_eq!(post.media_type.as_deref(), node["__typename"].as_str(), "{code}");
    assert_eq!(post.is_video, node["is_video"].as_bool(), "{code}");
    let likes = node["edge_liked_by"]["count"].as_i64();
    assert_eq!(
        post.likes_count,
        likes.or(node["edge_media_preview_like"]["count"].as_i64()),
        "{code}"
    );
    assert_eq!(post.comments_count, node["edge_media_to_comment"]["count"].as_i64(), "{code}");
    assert_eq!(post.video_view_count, node["video_view_count"].as_i64(), "{code}");
    assert_eq!(post.video_duration, None, "{code}");
    assert_eq!(post.taken_at_timestamp, node["taken_at_timestamp"].as_i64(), "{code}");
    assert_eq!(post.display_url.as_deref(), node["display_url"].as_str(), "{code}");
    let caption = node.pointer("/edge_media_to_caption/edges/0/node/text").and_then(Value::as_str);
    assert_eq!(post.caption.as_deref(), caption, "{code}");
    assert_eq!(post.location_name.as_deref(), node["location"]["name"].as_str(), "{code}");
    let sidecar = node["__typename"] == "GraphSidecar";
    assert_eq!(post.is_carousel, Some(sidecar), "{code}");
    let children = node["edge_sidecar_to_children"]["edges"].as_array().map(Vec::len);
    assert_eq!(post.carousel_media_count.map(|count| count as usize), children, "{code}");
    assert_eq!(&post.raw, node, "{code}");
}

#[test]
fn the_flat_shape_maps() {
    let Some(folder) = folder() else { return };
    let (bytes, json) = load(&folder.join("other_targets/nba_instagram_profile.json"));
    let content = json.pointer("/data/content").unwrap();
    let profile = found(&bytes, "asked");
    assert_eq!(profile.username, content["account"]["username"].as_str().unwrap());
    assert_eq!(profile.followers_count, Some(76_500_000));
    assert_eq!(profile.posts_count, Some(56_793));
    assert_eq!(profile.following_count, Some(1_108));
    assert!(profile.partial && profile.is_verified == Some(true));
    assert_eq!(profile.posts.len(), content["posts"].as_array().unwrap().len());
    assert_eq!(profile.related.len(), content["relatedAccounts"].as_array().unwrap().len());
    for (post, said) in profile.posts.iter().zip(content["posts"].as_array().unwrap()) {
        assert!(said["href"].as_str().unwrap().contains(&format!("/p/{}/", post.shortcode)));
        assert_eq!(post.caption.as_deref(), said["description"].as_str());
    }
}

#[tokio::test]
async fn recorded_errors_keep_their_class() {
    use super::server::{Reply, TestServer};
    let Some(folder) = folder() else { return };
    for (file, status, expected) in [
        ("http200_task_failed_613.json", 200, CallOutcome::Instability),
        ("http200_task_pending.json", 200, CallOutcome::Instability),
        ("http401_unauthorized.json", 401, CallOutcome::Auth),
        ("http429_rate_limit.json", 429, CallOutcome::RateLimited),
    ] {
        let (bytes, _) = load(&folder.join("errors").join(file));
        let server = TestServer::start(vec![Reply::new(status, bytes)]).await;
        let report = fetch(&Decodo::new(config(&server.base)).unwrap(), budget(1)).await;
        assert_eq!(outcomes(&report), [expected], "{file}");
    }
}
