use super::super::mapping::{MAX_POSTS, MAX_RELATED, post, profile};
use super::*;

fn node(changes: Value) -> Value {
    let mut node = json!({"id": "9001", "shortcode": "Sh0rt", "__typename": "GraphImage"});
    for (key, value) in changes.as_object().unwrap() {
        node[key] = value.clone();
    }
    node
}

fn mapped(changes: Value) -> FetchedPost {
    post(&node(changes)).unwrap()
}

fn with_posts(nodes: Vec<Value>) -> FetchedProfile {
    let edges: Vec<Value> = nodes.into_iter().map(|node| json!({"node": node})).collect();
    let mut user = user();
    user["edge_owner_to_timeline_media"] = json!({"count": 900, "edges": edges});
    profile(user, "asked")
}

#[test]
fn an_almost_empty_user_invents_nothing() {
    let found = profile(json!({"full_name": "Only a name"}), "Asked");
    assert_eq!(found.username, "asked");
    assert!(found.partial);
    assert_eq!(found.followers_count, None);
    assert_eq!(found.following_count, None);
    assert_eq!(found.posts_count, None);
    assert_eq!(found.is_verified, None);
    assert_eq!(found.is_private, None);
    assert_eq!(found.is_business_account, None);
    assert!(found.posts.is_empty() && found.related.is_empty());
}

#[test]
fn partial_means_username_id_or_followers_absent() {
    assert!(!profile(user(), "asked").partial);
    for key in ["id", "username", "edge_followed_by"] {
        let mut user = user();
        user.as_object_mut().unwrap().remove(key);
        assert!(profile(user, "asked").partial, "{key}");
    }
    let mut invalid = user();
    invalid["username"] = json!("not a handle!");
    let found = profile(invalid, "asked");
    assert!(found.partial && found.username == "asked");
}

#[test]
fn counts_have_fallbacks_and_hidden_ones_are_absent() {
    let found = profile(
        json!({"id": 5, "username": "X", "follower_count": 3, "following_count": 4,
               "media_count": 6, "is_business": true}),
        "asked",
    );
    assert_eq!(found.instagram_user_id.as_deref(), Some("5"));
    assert_eq!(
        (found.followers_count, found.following_count, found.posts_count),
        (Some(3), Some(4), Some(6))
    );
    assert_eq!(found.is_business_account, Some(true));
    let hidden = profile(json!({"id": "5", "edge_followed_by": {"count": -1}}), "asked");
    assert_eq!(hidden.followers_count, None);
}

#[test]
fn categories() {
    for (user, business, shown) in [
        (json!({"business_category_name": "None", "category_name": "Chef"}), None, Some("Chef")),
        (json!({"business_category_name": "Cafes"}), Some("Cafes"), Some("Cafes")),
        (json!({"overall_category_name": "Food"}), Some("Food"), Some("Food")),
        (
            json!({"business_category_name": "None", "category_enum": "BAR"}),
            Some("BAR"),
            Some("BAR"),
        ),
        (json!({"business_category_name": null}), None, None),
    ] {
        let found = profile(user.clone(), "asked");
        assert_eq!(found.instagram_business_category.as_deref(), business, "{user}");
        assert_eq!(found.category.as_deref(), shown, "{user}");
    }
}

#[test]
fn odd_values_stay_in_raw_only() {
    for address in [json!("{\"city\": \"X\"}"), json!({"city": "X"}), json!(null)] {
        let mut user = user();
        user["business_address_json"] = address.clone();
        user["something_new"] = json!([1]);
        let found = profile(user, "asked");
        assert_eq!(found.raw["business_address_json"], address);
        assert_eq!(found.raw["something_new"], json!([1]));
    }
}

#[test]
fn texts_fit_their_columns_and_lose_nul() {
    let mut user = user();
    user["full_name"] = json!(format!("\u{0}{}", "é".repeat(600)));
    user["biography"] = json!("b".repeat(20_000));
    user["external_url"] = json!("javascript:alert(1)");
    user["extra"] = json!({"k\u{0}": "v\u{0}"});
    let found = profile(user, "asked");
    assert_eq!(found.full_name, Some("é".repeat(500)));
    assert_eq!(found.biography.unwrap().len(), 10_000);
    assert_eq!(found.external_url, None);
    assert!(!found.raw.to_string().contains("\\u0000"));
}

#[test]
fn private_profiles_have_no_posts() {
    let mut user = user();
    user["is_private"] = json!(true);
    user["edge_owner_to_timeline_media"] =
        json!({"count": 3, "edges": [{"node": node(json!({}))}]});
    let found = profile(user, "asked");
    assert_eq!((found.is_private, found.posts.len(), found.posts_count), (Some(true), 0, Some(3)));
}

#[test]
fn likes_come_from_either_edge() {
    for (changes, likes) in [
        (json!({"edge_liked_by": {"count": 7}, "edge_media_preview_like": {"count": 8}}), Some(7)),
        (json!({"edge_media_preview_like": {"count": 8}}), Some(8)),
        (json!({"edge_liked_by": {"count": -1}, "edge_media_preview_like": {"count": 8}}), Some(8)),
        (json!({"edge_liked_by": {"count": 0}}), Some(0)),
        (json!({"edge_liked_by": {"count": -1}}), None),
        (json!({}), None),
    ] {
        assert_eq!(mapped(changes.clone()).likes_count, likes, "{changes}");
    }
}

#[test]
fn carousels() {
    let children = json!({"edges": [
        {"node": {"display_url": "https://i.test/a"}}, {"node": {"display_url": "https://i.test/b"}}
    ]});
    for (changes, carousel, count) in [
        (
            json!({"__typename": "GraphSidecar", "edge_sidecar_to_children": children}),
            Some(true),
            Some(2),
        ),
        (json!({"__typename": "GraphSidecar"}), Some(true), None),
        (
            json!({"__typename": "GraphSidecar", "edge_sidecar_to_children": {"edges": []}}),
            Some(true),
            None,
        ),
        (json!({"__typename": null, "edge_sidecar_to_children": children}), Some(true), Some(2)),
        (json!({"__typename": "GraphVideo"}), Some(false), None),
        (json!({"__typename": null}), None, None),
    ] {
        let post = mapped(changes.clone());
        assert_eq!((post.is_carousel, post.carousel_media_count), (carousel, count), "{changes}");
    }
    let post =
        mapped(json!({"display_url": "https://i.test/a", "edge_sidecar_to_children": children}));
    assert_eq!(post.post_images, ["https://i.test/a", "https://i.test/b"]);
}

#[test]
fn every_post_column() {
    let post = mapped(json!({
        "__typename": "GraphVideo", "is_video": true, "video_url": "https://v.test/1",
        "video_view_count": 44, "video_duration": 12.4, "has_audio": false,
        "display_url": "https://i.test/d", "thumbnail_src": "https://i.test/t",
        "thumbnail_tall_src": "https://i.test/tt",
        "thumbnail_resources": [{"src": "https://i.test/s", "config_width": 1, "config_height": 1}],
        "dimensions": {"width": 10, "height": 20},
        "edge_media_to_caption": {"edges": [{"node": {"text": "Hi #Sun @Bo."}}]},
        "accessibility_caption": "a sun", "edge_media_to_comment": {"count": 3},
        "comments_disabled": false, "like_and_view_counts_disabled": true,
        "viewer_can_reshare": true, "has_upcoming_event": false,
        "location": {"id": 55, "name": "Beach"}, "taken_at_timestamp": 1_700_000_000,
        "edge_media_to_tagged_user": {"edges": [{"node": {"user": {"username": "bo"}}}]},
        "coauthor_producers": [{"username": "bo"}], "owner": {"username": "someone_else"},
    }));
    assert_eq!(post.instagram_post_id.as_deref(), Some("9001"));
    assert_eq!(post.shortcode, "Sh0rt");
    assert_eq!(post.media_type.as_deref(), Some("GraphVideo"));
    assert_eq!((post.is_video, post.has_audio), (Some(true), Some(false)));
    assert_eq!(post.video_url.as_deref(), Some("https://v.test/1"));
    assert_eq!((post.video_view_count, post.video_duration), (Some(44), Some(12)));
    assert_eq!(post.thumbnail_tall_src.as_deref(), Some("https://i.test/tt"));
    assert_eq!(post.post_images, ["https://i.test/d"]);
    assert_eq!(post.post_thumbnails, ["https://i.test/t", "https://i.test/s"]);
    assert_eq!((post.width, post.height), (Some(10), Some(20)));
    assert_eq!(post.caption.as_deref(), Some("Hi #Sun @Bo."));
    assert_eq!((post.hashtags, post.mentions), (vec!["Sun".to_owned()], vec!["bo".to_owned()]));
    assert_eq!(post.accessibility_caption.as_deref(), Some("a sun"));
    assert_eq!(post.comments_count, Some(3));
    assert_eq!(
        (post.comments_disabled, post.like_and_view_counts_disabled),
        (Some(false), Some(true))
    );
    assert_eq!((post.viewer_can_reshare, post.has_upcoming_event), (Some(true), Some(false)));
    assert_eq!(post.location_name.as_deref(), Some("Beach"));
    assert_eq!(post.location_id.as_deref(), Some("55"));
    assert_eq!(post.taken_at_timestamp, Some(1_700_000_000));
    assert_eq!(post.tagged_users.unwrap().as_array().unwrap().len(), 1);
    assert_eq!(post.coauthor_producers, Some(json!([{"username": "bo"}])));
    assert_eq!(post.raw["owner"]["username"], "someone_else");
}

#[test]
fn a_bare_node_leaves_everything_else_absent() {
    let post = post(&json!({"shortcode": "A"})).unwrap();
    let bare = FetchedPost {
        shortcode: "A".to_owned(),
        raw: json!({"shortcode": "A"}),
        ..FetchedPost::default()
    };
    assert_eq!(post, bare);
    let odd = mapped(json!({"edge_media_to_caption": {"edges": []}, "dimensions": null,
                            "location": null, "is_video": "yes", "taken_at_timestamp": "soon"}));
    assert_eq!((odd.caption, odd.width, odd.location_name), (None, None, None));
    assert_eq!((odd.is_video, odd.taken_at_timestamp), (None, None));
}

#[test]
fn posts_are_distinct_capped_and_need_a_shortcode() {
    let found = with_posts(vec![
        node(json!({"id": "1", "shortcode": "A"})),
        node(json!({"id": "2", "shortcode": "A"})),
        node(json!({"id": "1", "shortcode": "B"})),
        node(json!({"id": "3", "shortcode": null})),
        node(json!({"id": "4", "shortcode": "a b"})),
        node(json!({"id": "5", "shortcode": "C"})),
        json!("not a node"),
    ]);
    let codes: Vec<&str> = found.posts.iter().map(|post| post.shortcode.as_str()).collect();
    assert_eq!(codes, ["A", "C"]);
    let many = (0..250).map(|n| json!({"id": n, "shortcode": format!("S{n}")})).collect();
    assert_eq!(with_posts(many).posts.len(), MAX_POSTS);
}

#[test]
fn related_profiles_are_distinct_capped_and_ranked() {
    let mut user = user();
    let edges: Vec<Value> =
        (0..80).map(|n| json!({"node": {"username": format!("R{n}")}})).collect();
    user["edge_related_profiles"] = json!({"edges": edges});
    let found = profile(user.clone(), "asked");
    assert_eq!(found.related.len(), MAX_RELATED);
    assert_eq!(found.related[14].username, "r14");
    assert!((found.related[0].similarity_score - 100.0).abs() < f64::EPSILON);
    assert!((found.related[14].similarity_score - 30.0).abs() < f64::EPSILON);
    user["edge_related_profiles"] = json!({"edges": [
        {"node": {"username": "tiny_shop"}}, {"node": {"full_name": "no handle"}},
        {"node": {"username": "ok", "is_verified": true, "profile_pic_url": "data:x"}},
        {"node": {"username": "OK"}}
    ]});
    let found = profile(user, "asked");
    assert_eq!(found.related.len(), 1);
    assert_eq!(found.related[0].is_verified, Some(true));
    assert_eq!(found.related[0].profile_pic_url, None);
}
